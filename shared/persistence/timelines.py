"""What has happened to an order, for its buyer to read: one query over what bears the order's id."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.payments.declines import BY_BUYER
from shared.persistence.database import Database

_TIMELINE = """
select at, event, amount_minor, detail from (
    select placed_at as at, 'placed' as event, total_minor as amount_minor, null as detail, 0 as place
        from orders where id = :id::uuid
    union all select paid_at, 'paid', total_minor, null, 2 from orders where id = :id::uuid and paid_at is not null
    union all select closed_at, 'payment_refused', null, null, 1 from capture_attempts
        where order_id = :id::uuid and state = 'refused' and closed_at is not null
            and (capture_id is not null or refusal = any (:by_buyer::text[]))
    union all select requested_at, 'refund_requested', amount_minor, null, 3 from refunds where order_id = :id::uuid
    union all select recorded_at, case when reversal then 'reversed' else 'refunded' end, amount_minor, null, 4
        from payment_facts where order_id = :id::uuid and kind = 'refund' and status = 'COMPLETED'
    union all select min(m.at), case m.kind when 'expire' then 'expired' else 'cancelled' end, null, null, 5
        from stock_movements m join orders o on o.id = m.order_id
        where m.order_id = :id::uuid and (m.kind, o.status) in (('expire', 'expired'), ('cancel', 'cancelled'))
        group by m.kind
    union all select shipped_at, 'shipped', null, carrier || ' ' || tracking_number, 6 from shipments
        where order_id = :id::uuid and shipped_at is not null
    union all select delivered_at, 'delivered', null, carrier || ' ' || tracking_number, 7 from shipments
        where order_id = :id::uuid and delivered_at is not null
    union all select issued_at, kind || '_issued', amount_minor, number, 8 from documents
        where order_id = :id::uuid and number is not null
) t order by at, place, detail
"""


class Happening(NamedTuple):
    """`amount_minor` is of the order's currency; `detail` the number of a document, or carrier and tracking number."""

    at: datetime
    event: str
    amount_minor: int | None
    detail: str | None


def list_happenings(database: Database, order_id: UUID) -> list[Happening]:
    return [Happening(**row) for row in database.call(_TIMELINE, id=order_id, by_buyer=sorted(BY_BUYER))]
