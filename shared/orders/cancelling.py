"""Cancelling: an order of which nothing has left is over, its stock is free and all of its money goes back, at once.

One command does it for buyers and staff, whether the money has come or not; doing it twice is once. The refund is a
row of the same transaction: if PayPal refuses it, the order stays cancelled and staff see the refund that failed.
"""

from datetime import datetime
from uuid import UUID

from shared.orders.order import NotCancellable, OrderRefund, PaymentInProgress
from shared.orders.settling import Command, Done, Outcome, Situation, find_bound, refundable_minor, require_undisputed

_BY_BUYER = ("pending_payment", "paid", "fulfilling")
# What is on hold is for staff to decide (DESIGN.md section 4).
_BY_STAFF = (*_BY_BUYER, "on_hold")


def cancel_order(*, refund_id: UUID, reason: str, actor: str, is_staff: bool, note: str = "") -> Command:
    """Cancel an order. `reason` stands in the order, `note` is what the buyer reads beside the refund.

    Raises PaymentInProgress while PayPal owes an answer to a capture, Disputed, NotCancellable.
    """

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        order = outcome.order
        if order.status == "cancelled":
            return
        if outcome.is_being_captured or (order.is_open and order.status == "on_hold"):
            raise PaymentInProgress
        allowed = order.status in (_BY_STAFF if is_staff else _BY_BUYER)
        if not allowed or order.has_handed_over or any(known.state == "label_requested" for known in order.shipments):
            raise NotCancellable(status=order.status)
        refund = _give_all_back(situation, outcome, refund_id, note, actor, now)
        outcome.actor = actor
        outcome.move("cancelled", reason)
        outcome.change(resume_status=None)
        outcome.stock = "cancel"
        outcome.events.append("order.cancelled")
        if is_staff:
            back = {"refund_id": str(refund.id), "amount_minor": refund.amount_minor} if refund else {}
            outcome.audit.append(Done("order-cancelled", {"was": order.status, "note": note, **back}))

    return command


def _give_all_back(
    situation: Situation, outcome: Outcome, refund_id: UUID, note: str, actor: str, now: datetime
) -> OrderRefund | None:
    """What neither went back nor is on its way: whatever was captured, also another amount than the order's."""
    capture = find_bound(outcome.order, situation.ledger)
    if capture is None or capture.currency is None:
        return None
    left = refundable_minor(outcome, situation.ledger, capture)
    if left <= 0:
        return None
    require_undisputed(situation.ledger, capture)
    refund = OrderRefund(
        id=refund_id,
        capture_id=capture.id,
        kind="cancelled",
        amount_minor=left,
        currency=capture.currency,
        reason=note or "The order was cancelled.",
        state="requested",
        requested_by=actor,
        requested_at=now,
    )
    outcome.new_refunds.append(refund)
    return refund
