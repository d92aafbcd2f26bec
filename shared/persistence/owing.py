"""What a settled order owes its buyer on paper, written down under its lock.

Apart from the rest of documents, which a request that pays an order should not have to import.
"""

from datetime import datetime

from shared.documents.owing import owed
from shared.kernel.ids import new_id
from shared.orders.order import Order
from shared.payments.ledger import Ledger
from shared.persistence.database import Transaction

_OWE = """
insert into documents (id, order_id, kind, refund_id, amount_minor, currency, owed_at)
select id, :order_id::uuid, kind, refund_id, amount_minor, :currency::text, :now::timestamptz
from unnest(:ids::uuid[], :kinds::text[], :refund_ids::text[], :amounts::bigint[])
    with ordinality as d (id, kind, refund_id, amount_minor, place)
order by place
on conflict (order_id) where kind = 'invoice' do nothing
"""


def owe_documents(tx: Transaction, order: Order, ledger: Ledger, now: datetime) -> None:
    """Write down what a settled order owes. Its lock is held, so nobody else does so for this order now.

    One statement while nothing has gone back; its invoice is there once, however often it is written.
    """
    credited = _credited(tx, order) if ledger.refunds else {}
    new = owed(order, ledger, credited=credited)
    if new:
        tx.rows(
            _OWE,
            order_id=order.id,
            currency=order.currency,
            now=now,
            ids=[new_id() for _ in new],
            kinds=[document.kind for document in new],
            refund_ids=[document.refund_id for document in new],
            amounts=[document.amount_minor for document in new],
        )


def _credited(tx: Transaction, order: Order) -> dict[str, int]:
    rows = tx.rows(
        "select refund_id, amount_minor from documents where order_id = :order_id::uuid and kind = 'credit_note'",
        order_id=order.id,
    )
    return {row["refund_id"]: row["amount_minor"] for row in rows}
