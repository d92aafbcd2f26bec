"""Holding: staff stop a paid order, and let one that is on hold go on where its money and its stock are there."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from shared.kernel.errors import Conflict
from shared.kernel.ids import new_id
from shared.orders.excess import excess_minor, returned_excess
from shared.orders.order import REFUNDED_OUTSIDE, Order, OrderRefund, PaymentInProgress, Status
from shared.orders.settling import (
    Command,
    Done,
    Outcome,
    Situation,
    find_bound,
    find_trouble,
    list_outside,
    refundable_minor,
)
from shared.payments.ledger import Capture, Ledger

BY_STAFF = "staff"


class NotHoldable(Conflict):
    """Only what is paid, and of which nothing has left, can be stopped; `status` is the order's."""

    sentence = "This order cannot be put on hold as it is now."


class NotOnHold(Conflict):
    sentence = "This order is not on hold."


class NotReleasable(Conflict):
    """`why`: what is missing or in the way.

    money: its payment was another amount or currency and the excess is not back, or money left that no refund explains,
    or nothing is left; disputed: a dispute is open; lost: one was decided for the buyer; stock: what it needs is not
    there.
    """

    sentence = "What put this order on hold is still so."

    def __init__(self, why: Literal["money", "disputed", "lost", "stock"]) -> None:
        super().__init__(why=why)


def hold_order(*, reason: str, actor: str) -> Command:
    """Stop a paid order of which nothing has left. A second time changes nothing. Raises NotHoldable."""

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        order = outcome.order
        if (order.status, order.status_reason) == ("on_hold", BY_STAFF):
            return
        if order.status not in ("paid", "fulfilling") or order.has_handed_over:
            raise NotHoldable(status=order.status)
        outcome.actor = actor
        outcome.change(resume_status=order.status)
        outcome.move("on_hold", BY_STAFF)
        outcome.events.append("order.on_hold")
        outcome.audit.append(Done("hold.placed", {"reason": reason}))

    return command


def release_order(*, actor: str) -> Command:
    """Let an order go on to where it was; one that had no stock takes it now.

    Its payment was the total, or what was beyond has gone back freely and PayPal has said so; what staff have given
    back besides does not count. What was refunded outside is booked as a refund of the order, and stops it no more,
    while something is left; what PayPal took back by itself stays in the way. Its stock is taken or can be: else
    NotReleasable. Raises NotOnHold, PaymentInProgress.
    """

    def command(situation: Situation, outcome: Outcome, now: datetime) -> None:
        order, was = outcome.order, outcome.order.status_reason
        if order.status != "on_hold":
            raise NotOnHold(status=order.status)
        if outcome.is_being_captured or order.is_open:
            raise PaymentInProgress
        capture = find_bound(order, situation.ledger)
        if capture is None or not _is_paid(order, capture, situation.ledger):
            raise NotReleasable("money")
        booked = _book_outside(order, situation.ledger, actor, now)
        trouble = find_trouble(replace(order, refunds=(*order.refunds, *booked)), situation.ledger)
        if trouble is not None:
            raise NotReleasable(trouble)
        if booked and refundable_minor(outcome, situation.ledger, capture) <= 0:
            raise NotReleasable("money")
        outcome.booked += booked
        _take_stock(situation, outcome)
        status: Status = "fulfilling" if order.resume_status == "fulfilling" else "paid"
        outcome.actor = actor
        outcome.move(status)
        outcome.change(resume_status=None)
        if order.paid_at is None:
            outcome.change(paid_at=now)
            outcome.events.append("order.paid")
        accepted = {refund.paypal_refund_id: refund.amount_minor for refund in booked}
        outcome.audit.append(Done("hold.released", {"was": was, **({"accepted": accepted} if accepted else {})}))

    return command


def _book_outside(order: Order, ledger: Ledger, actor: str, now: datetime) -> list[OrderRefund]:
    """Refunds that were made at PayPal itself, as rows of ours; a free amount each."""
    return [
        OrderRefund(
            id=new_id(),
            capture_id=refund.capture_id,
            kind="staff",
            amount_minor=refund.amount_minor,
            currency=order.currency,
            reason=REFUNDED_OUTSIDE,
            state="completed",
            paypal_refund_id=refund.id,
            requested_by=actor,
            requested_at=now,
        )
        for refund in list_outside(order, ledger)
        if not refund.reversal
    ]


def _is_paid(order: Order, capture: Capture, ledger: Ledger) -> bool:
    if capture.currency != order.currency:
        return False
    excess = excess_minor(order, ledger)
    return excess >= 0 and sum(returned_excess(order, ledger).values()) == excess


def _take_stock(situation: Situation, outcome: Outcome) -> None:
    """What the order holds is allocated; one that lost its hold takes all of it again. Raises NotReleasable."""
    order = outcome.order
    if _accounts_for_every_unit(order):
        if any(line.held for line in order.lines):
            outcome.stock = "allocate"
    elif situation.stock_is_there and not any(line.released for line in order.lines):
        outcome.stock = "take again"
    else:
        raise NotReleasable("stock")


def _accounts_for_every_unit(order: Order) -> bool:
    """Every unit is held or allocated, has left, or was given up by staff: none has to be taken again."""
    return all(line.held + line.allocated + line.consumed + line.released == line.quantity for line in order.lines)
