"""What has happened to an order, for its buyer to read: one query over what bears the order's id."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from shared.orders.refunding import ALL_REFUNDED
from shared.payments.declines import BY_BUYER
from shared.persistence.database import Database

# A refund of ours is known by its fact; one that staff have booked was never requested. No movement says when an order
# ended that kept no stock: the refund of its cancel does, or else its last change.
_TIMELINE = """
select at, event, amount_minor, coalesce(t.currency, o.currency) as currency, detail from orders o, lateral (
    select o.placed_at as at, 'placed' as event, o.total_minor as amount_minor, o.currency, null as detail, 0 as place
    union all select o.paid_at, 'paid', o.total_minor, o.currency, null, 2 where o.paid_at is not null
    union all select closed_at, 'payment_refused', null, null, null, 1 from capture_attempts
        where order_id = o.id and state = 'refused' and closed_at is not null
            and (capture_id is not null or refusal = any (:by_buyer::text[]))
    union all select r.requested_at, 'refund_requested', r.amount_minor, r.currency, null, 3 from refunds r
        where r.order_id = o.id and (r.paypal_refund_id is null or exists (
            select 1 from payment_facts f where f.order_id = o.id and f.ours = r.id))
    union all select f.recorded_at, case when f.reversal then 'reversed' else 'refunded' end, f.amount_minor,
        coalesce(f.currency, (select max(c.currency) from payment_facts c
            where c.order_id = o.id and c.kind = 'capture' and c.object_id = f.capture_id)), null, 4
        from payment_facts f where f.order_id = o.id and f.kind = 'refund' and f.status = 'COMPLETED'
    union all select min(m.at), 'expired', null, null, null, 5 from stock_movements m
        where m.order_id = o.id and m.kind = 'expire' and o.status = 'expired' having count(*) > 0
    union all select coalesce(
            (select min(m.at) from stock_movements m where m.order_id = o.id and m.kind = 'cancel'),
            (select max(m.at) from stock_movements m
                where m.order_id = o.id and m.kind = 'release' and o.status_reason = :all_refunded::text),
            (select min(r.requested_at) from refunds r where r.order_id = o.id and r.kind = 'cancelled'),
            o.updated_at), 'cancelled', null, null, null, 5
        where o.status = 'cancelled'
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
    rows = database.call(_TIMELINE, id=order_id, by_buyer=sorted(BY_BUYER), all_refunded=ALL_REFUNDED)
    return [Happening(**row) for row in rows]
