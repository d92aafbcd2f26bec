"""What was paid beyond an order's total: it was never owed, nor invoiced, and goes back before the order goes on.

What gives back neither units nor shipping gives back the excess first, in the order in which PayPal made it: our free
amounts, and refunds that were made outside. So it does not matter in which order they are told.
"""

from shared.orders.order import Order
from shared.payments.ledger import Ledger, Refund


def excess_minor(order: Order, ledger: Ledger) -> int:
    """By how much the payment that the order is bound to is above its total; below 0 where it is less than that."""
    return sum(
        (capture.amount_minor or 0) - order.total_minor
        for capture in ledger.captures
        if capture.id == order.bound_capture_id and capture.is_completed and capture.currency == order.currency
    )


def returned_excess(order: Order, ledger: Ledger) -> dict[str, int]:
    """What of the excess each completed refund gave back, in minor units by PayPal's id of it."""
    left = excess_minor(order, ledger)
    returned = {}
    for refund in sorted(_made_of(order, ledger), key=_as_made):
        if left > 0:
            returned[refund.id] = min(_free_minor(refund, order), left)
            left -= returned[refund.id]
    return returned


def _made_of(order: Order, ledger: Ledger) -> list[Refund]:
    """Refunds of the order's own payment; what PayPal took back by itself is none."""
    return [
        refund
        for refund in ledger.refunds
        if refund.capture_id == order.bound_capture_id and refund.status == "COMPLETED" and not refund.reversal
    ]


def _as_made(refund: Refund) -> tuple[str, str]:
    return refund.occurred_at.isoformat() if refund.occurred_at else "~", refund.id


def _free_minor(refund: Refund, order: Order) -> int:
    asked = next((known for known in order.refunds if known.id == refund.ours), None)
    named = sum(line.amount_minor for line in asked.lines) + asked.shipping_minor if asked is not None else 0
    return max(refund.amount_minor - named, 0)
