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

    Told late, a refund can take on itself what of the excess another one gave back, which is credited already for too
    little: so the late one credits what all of them owe together less what is credited. Credits never exceed the
    invoice.
    """
    if order.paid_at is None:
        return []
    found = [Owed("invoice", order.total_minor, order.currency)]
    left = order.total_minor - sum(credited.values())
    returned = returned_excess(order, ledger)
    refunds = _crediting(order, ledger, known=credited.keys())
    owes = {refund.id: refund.amount_minor - returned.get(refund.id, 0) for refund in refunds}
    # Minor units by which what is known was credited too little; below 0 where it was too much.
    behind = sum(owes[refund.id] for refund in refunds if refund.id in credited) - sum(credited.values())
    for refund in refunds:
        if refund.id in credited:
            continue
        amount = max(min(owes[refund.id] + behind, refund.amount_minor, left), 0)
        behind += owes[refund.id] - amount
        if amount > 0:
            found.append(Owed("credit_note", amount, order.currency, refund.id))
            left -= amount
    return found


def _crediting(order: Order, ledger: Ledger, *, known: Collection[str]) -> list[Refund]:
    """Also a reversal that is `known`, because its dispute was lost, and is open again."""
    lost = order.bound_capture_id in ledger.lost_captures - ledger.disputed_captures
    return [
        refund
        for refund in ledger.refunds
        if refund.capture_id == order.bound_capture_id
        and refund.status == "COMPLETED"
        and (lost or not refund.reversal or refund.id in known)
    ]
