"""Which documents an order owes its buyer. Pure, and of the ledger: order and repetition of facts do not matter."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from shared.orders.excess import returned_excess
from shared.orders.order import Order
from shared.payments.ledger import Ledger, Refund

Kind = Literal["invoice", "credit_note"]


@dataclass(frozen=True, slots=True)
class Owed:
    """A document that an order owes: `refund_id` is PayPal's id of the refund that a credit note answers."""

    kind: Kind
    amount_minor: int
    currency: str
    refund_id: str | None = None


def owed(order: Order, ledger: Ledger, *, credited: Mapping[str, int]) -> list[Owed]:
    """The invoice, and the credit notes that are not known yet; `credited` has the amount of each by its refund's id.

    An order that was ever paid owes one invoice. Each completed refund of the capture that paid it owes a credit note,
    whoever made it: we, or the merchant in PayPal's dashboard. Money of a second or late payment was never invoiced, so
    its return credits nothing. A reversal is the bank's word and not the seller's: the buyer owes again what the
    invoice says, until a dispute is lost; then it is credited. What was paid beyond the total was not invoiced either.
    Credits never exceed the invoice.
    """
    if order.paid_at is None:
        return []
    found = [Owed("invoice", order.total_minor, order.currency)]
    left = order.total_minor - sum(credited.values())
    uninvoiced = returned_excess(order, ledger)
    for refund in _crediting(order, ledger, known=credited.keys()):
        amount = min(refund.amount_minor - uninvoiced.get(refund.id, 0), left)
        if amount > 0:
            found.append(Owed("credit_note", amount, order.currency, refund.id))
            left -= amount
    return found


def _crediting(order: Order, ledger: Ledger, *, known: Collection[str]) -> list[Refund]:
    lost = order.bound_capture_id in ledger.lost_captures - ledger.disputed_captures
    return [
        refund
        for refund in ledger.refunds
        if refund.capture_id == order.bound_capture_id
        and refund.status == "COMPLETED"
        and refund.id not in known
        and (lost or not refund.reversal)
    ]
