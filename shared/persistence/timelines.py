"""What has happened to an order, for its buyer to read: one query over what bears the order's id."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.payments.declines import BY_BUYER
from shared.persistence.database import Database

_TIMELINE = """
select at, event, amount_minor, coalesce(t.currency, o.currency) as currency, detail from orders o, lateral (
    select o.placed_at as at, 'placed' as event, o.total_minor as amount_minor, o.currency, null as detail, 0 as place
    union all select o.paid_at, 'paid', o.total_minor, o.currency, null, 2 where o.paid_at is not null
    union all select closed_at, 'payment_refused', null, null, null, 1 from capture_attempts
        where order_id = o.id and state = 'refused' and closed_at is not null
            and (capture_id is not null or refusal = any (:by_buyer::text[]))
    union all select requested_at, 'refund_requested', amount_minor, currency, null, 3 from refunds
        where order_id = o.id
    union all select f.recorded_at, case when f.reversal then 'reversed' else 'refunded' end, f.amount_minor,
        coalesce(f.currency, (select max(c.currency) from payment_facts c
            where c.order_id = o.id and c.kind = 'capture' and c.object_id = f.capture_id)), null, 4
        from payment_facts f where f.order_id = o.id and f.kind = 'refund' and f.status = 'COMPLETED'
    union all select min(m.at), case m.kind when 'expire' then 'expired' else 'cancelled' end, null, null, null, 5
        from stock_movements m
        where m.order_id = o.id and (m.kind, o.status) in (('expire', 'expired'), ('cancel', 'cancelled'))
        group by m.kind
    union all select shipped_at, 'shipped', null, null, carrier || ' ' || tracking_number, 6 from shipments
        where order_id = o.id and shipped_at is not null
    union all select delivered_at, 'delivered', null, null, carrier || ' ' || tracking_number, 7 from shipments
        where order_id = o.id and delivered_at is not null
    union all select issued_at, kind || '_issued', amount_minor, currency, number, 8 from documents
        where order_id = o.id and number is not null
) t where o.id = :id::uuid order by at, place, detail
"""


class Happening(NamedTuple):
    """`amount_minor` is of `currency`: money goes back in the one that it came in, which may not be the order's.

    `detail` is the number of a document, or carrier and tracking number.
    """

    at: datetime
    event: str
    amount_minor: int | None
    currency: str
    detail: str | None


def list_happenings(database: Database, order_id: UUID) -> list[Happening]:
    return [Happening(**row) for row in database.call(_TIMELINE, id=order_id, by_buyer=sorted(BY_BUYER))]
