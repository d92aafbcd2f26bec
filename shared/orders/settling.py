"""Settling: after every fact, one function says what order and stock are, from the ledger's sums (DESIGN.md rule 7).

It is pure. Persistence calls it under the order's lock with everything it needs to know, and applies the Outcome.
Because it looks at the ledger and never at "what has just happened", order and repetition of facts make no difference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from shared.kernel.ids import new_id
from shared.orders.order import LOST, MAX_ATTEMPTS, USED_UP, Attempt, Disputed, Order, OrderRefund, Status
from shared.payments.declines import NOT_APPROVED
from shared.payments.ledger import Capture, Ledger, Refund

_AFTER_APPROVAL = timedelta(minutes=10)
_AFTER_REFUSAL = timedelta(minutes=10)
_AFTER_DENIAL = timedelta(minutes=30)

StockChange = Literal["allocate", "take again", "expire", "cancel"]


@dataclass(frozen=True, slots=True)
class AttemptReply:
    """PayPal's definite answer to the capture that we asked for: the id of a capture, or a refusal."""

    attempt_id: UUID
    capture_id: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when an order is settled, all read under its lock.

    `cart_is_taken`: another order of the cart is open or paid. `stock_is_there`: every line could be held again now.
    `locked_until`: its buyer had too many payments refused, and no capture is asked for before then.
    """

    order: Order
    attempts: tuple[Attempt, ...]
    ledger: Ledger
    cart_is_taken: bool = False
    stock_is_there: bool = False
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants of an order that waits for its money: the deadline has come, or it is to be cancelled."""

    to: Literal["expired", "cancelled"]
    reason: str | None = None
    actor: str = "shop"


@dataclass(frozen=True, slots=True)
class Restock:
    """Units of a line that an order no longer wants: `released` were still here, `returned` had left and are back."""

    sku: str
    released: int
    returned: int


@dataclass(frozen=True, slots=True)
class Done:
    """What somebody did to the order, for the audit log."""

    action: str
    detail: Mapping[str, object]


@dataclass(slots=True)
class Outcome:
    """What the order becomes, what happens to its stock, and what is asked for or told after the commit.

    `dropped_drafts`: shipments that planned units which are no longer the order's.
    `booked`: refunds that were made outside, and that staff let stand as if we had asked for them.
    `refused_payments`: how many attempts have ended just now in a refusal that counts for the lockout.
    """

    order: Order
    stock: StockChange | None = None
    known: Sequence[Attempt] = ()
    attempts: list[Attempt] = field(default_factory=list)
    new_attempt: Attempt | None = None
    refunds: list[OrderRefund] = field(default_factory=list)
    new_refunds: list[OrderRefund] = field(default_factory=list)
    booked: list[OrderRefund] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    refunded: list[UUID] = field(default_factory=list)
    restocks: list[Restock] = field(default_factory=list)
    dropped_drafts: list[UUID] = field(default_factory=list)
    audit: list[Done] = field(default_factory=list)
    actor: str = "shop"
    refused_payments: int = 0

    @property
    def refunds_now(self) -> tuple[OrderRefund, ...]:
        """The order's refunds as they will stand."""
        followed = {refund.id: refund for refund in self.refunds}
        return (*(followed.get(refund.id, refund) for refund in self.order.refunds), *self.new_refunds, *self.booked)

    @property
    def is_being_captured(self) -> bool:
        """Whether PayPal owes an answer to a capture: nothing else may happen to the order."""
        return self.new_attempt is not None or any(attempt.state in ("requested", "pending") for attempt in self.known)

    def change(self, **values: object) -> None:
        self.order = replace(self.order, **values)  # type: ignore[arg-type]  # names are those of Order

    def move(self, status: Status, reason: str | None = None) -> None:
        self.change(status=status, status_reason=reason)


Command = Callable[[Situation, Outcome, datetime], None]
"""What staff or a buyer do to an order once it is settled, in the same step: changes the outcome, or raises."""


def settle(
    situation: Situation,
    *,
    now: datetime,
    reply: AttemptReply | None = None,
    wish: Wish | None = None,
    is_commanded: bool = False,
) -> Outcome:
    """What the order is, now that the ledger says this. Settling twice changes nothing the second time.

    Where somebody's command follows, or wants it cancelled, no capture is asked for: an approval that waited behind a
    lockout would else refuse every cancel.
    """
    outcome = Outcome(situation.order)
    ledger = situation.ledger
    outcome.change(
        captured_minor=ledger.captured_minor(situation.order.currency),
        refunded_minor=ledger.refunded_minor(situation.order.currency),
        reversed_minor=ledger.reversed_minor(situation.order.currency),
        pending_minor=ledger.pending_minor(situation.order.currency),
        disputed=bool(ledger.open_disputes),
    )
    attempts = _close_attempts(situation, outcome, now, reply)
    outcome.known = attempts
    _follow_refunds(situation, outcome)
    _follow_payment(situation, outcome, now)
    if outcome.order.status == "pending_payment" and _are_used_up(attempts):
        outcome.change(status_reason=USED_UP)
    _follow_outside(situation, outcome)
    _give_back_strays(situation, outcome)
    if not is_commanded and (wish is None or wish.to == "expired"):
        _open_attempt(situation, outcome, attempts, now)
    if wish is not None:
        _grant(wish, outcome, attempts, now)
    return outcome


# Attempts -----------------------------------------------------------------------------------------


def _close_attempts(situation: Situation, outcome: Outcome, now: datetime, reply: AttemptReply | None) -> list[Attempt]:
    """Bring every attempt to where its capture is. Only the reply to its own call refuses an attempt that is
    requested.
    """
    captures = {capture.id: capture for capture in situation.ledger.captures}
    claimed = {attempt.capture_id for attempt in situation.attempts}
    settled: list[Attempt] = []
    for attempt in situation.attempts:
        fresh = attempt
        if reply is not None and reply.attempt_id == attempt.id and attempt.state == "requested":
            fresh = replace(attempt, capture_id=reply.capture_id, refusal=reply.refusal)
            if reply.refusal is not None:
                fresh = replace(fresh, state="refused")
        if fresh.state == "requested" and fresh.capture_id is None:
            unclaimed = [c for c in situation.ledger.captures if c.id not in claimed and not c.is_refused]
            if unclaimed:
                fresh = replace(fresh, capture_id=min(unclaimed, key=_completed_first).id)
        capture = captures.get(fresh.capture_id or "")
        if capture is not None and fresh.state in ("requested", "pending"):
            fresh = _follow_capture(fresh, capture)
        if fresh != attempt:
            outcome.attempts.append(fresh)
            if fresh.was_refused_to_buyer:
                _after_refusal(situation, outcome, fresh, now)
            outcome.refused_payments += fresh.counts_for_lockout
        settled.append(fresh)
    return settled


def _completed_first(capture: Capture) -> tuple[bool, str, str]:
    return not capture.is_completed, capture.occurred_at.isoformat() if capture.occurred_at else "~", capture.id


def _follow_capture(attempt: Attempt, capture: Capture) -> Attempt:
    if capture.is_completed:
        return replace(attempt, state="completed")
    if capture.is_refused:
        return replace(attempt, state="refused", refusal=f"CAPTURE_{capture.status}")
    return replace(attempt, state="pending")


def _after_refusal(situation: Situation, outcome: Outcome, attempt: Attempt, now: datetime) -> None:
    """A buyer whose payment was refused has at least ten minutes for another one; after the last there is none."""
    if outcome.order.status != "pending_payment" or _are_used_up(situation.attempts):
        return
    if not _are_used_up((*situation.attempts, attempt)):
        outcome.change(hold_expires_at=max(outcome.order.hold_expires_at, now + _AFTER_REFUSAL))
    outcome.events.append("payment.refused")


def _are_used_up(attempts: Sequence[Attempt]) -> bool:
    return sum(attempt.was_refused_to_buyer for attempt in attempts) >= MAX_ATTEMPTS


def _open_attempt(situation: Situation, outcome: Outcome, attempts: Sequence[Attempt], now: datetime) -> None:
    """An approval that no attempt has used yet asks for the capture, while every line is held (DESIGN.md rule 5).

    What was refused to the shop counts for nothing, but no approval after the third attempt moves the deadline.
    """
    order = outcome.order
    waits = order.status == "pending_payment" and order.holds_its_stock and outcome.stock is None
    if not waits or any(attempt.is_open for attempt in attempts) or _are_used_up(attempts):
        return
    if situation.locked_until is not None and now < situation.locked_until:
        return  # it is asked for when the buyer comes back after the wait, or at the deadline
    if situation.ledger.approvals <= len(attempts):
        return  # every attempt has used up an approval, also one that PayPal no longer knew of
    outcome.new_attempt = Attempt(new_id(), "requested", now)
    moved = sum(attempt.refusal != NOT_APPROVED for attempt in attempts)
    if now < order.hold_expires_at and moved < MAX_ATTEMPTS:
        outcome.change(hold_expires_at=now + _AFTER_APPROVAL)


# Money --------------------------------------------------------------------------------------------


def _follow_payment(situation: Situation, outcome: Outcome, now: datetime) -> None:
    order, ledger = outcome.order, situation.ledger
    capture = _binding(order, ledger)
    pending = any(known.is_pending for known in ledger.captures)
    if order.status == "expired":
        if capture is not None and order.bound_capture_id is None:
            _pay_late(situation, outcome, capture, now)
    elif capture is not None and order.status != "cancelled":
        _bind(situation, outcome, capture, now)
    elif order.status == "pending_payment" and pending:
        outcome.move("on_hold", "capture_pending")
        outcome.events.append("order.on_hold")
    elif order.is_open and order.status == "on_hold" and not pending:
        outcome.move("pending_payment")
        if not _are_used_up(outcome.known):
            outcome.change(hold_expires_at=now + _AFTER_DENIAL)
        if "payment.refused" not in outcome.events:
            outcome.events.append("payment.refused")


def _binding(order: Order, ledger: Ledger) -> Capture | None:
    """The completed capture that is the order's own: one of its amount goes first, then the one that PayPal made first.

    What PayPal made first may be told last, so the choice is made anew with every fact; otherwise the order in which
    facts arrive would decide. What has gone back is not chosen again, and some choices stay.
    """
    if _stays_bound(order):
        return next((capture for capture in ledger.captures if capture.id == order.bound_capture_id), None)
    returned = {refund.capture_id for refund in order.refunds if refund.kind != "staff"}
    own = [capture for capture in ledger.captures if capture.is_completed and capture.id not in returned]
    return min(own, key=lambda capture: (not matches(order, capture), *_completed_first(capture)), default=None)


def _stays_bound(order: Order) -> bool:
    """Units have left or were given up, or staff have given back what the order was paid for.

    Bound to another capture, the order would keep its whole total and still count that as refunded. Free amounts of an
    order that was never paid, its payment being of another amount, are no part of its price.
    """
    given_back = [known for known in order.refunds if known.kind == "staff" and known.counts]
    return any(line.consumed or line.released for line in order.lines) or any(
        refund.capture_id == order.bound_capture_id and (refund.lines or refund.shipping_minor or order.paid_at)
        for refund in given_back
    )


def _bind(situation: Situation, outcome: Outcome, capture: Capture, now: datetime) -> None:
    """Bound to this capture, the order is paid if amount and currency are those that were frozen."""
    order = outcome.order
    if capture.id == order.bound_capture_id:
        return
    outcome.change(bound_capture_id=capture.id)
    waits = order.is_open or (order.status, order.status_reason) == ("on_hold", "amount_mismatch")
    if not waits:
        return
    if not matches(order, capture):
        if order.status_reason != "amount_mismatch":
            outcome.move("on_hold", "amount_mismatch")
            outcome.events.append("order.on_hold")
    elif order.holds_its_stock or situation.stock_is_there:
        outcome.move("paid")
        outcome.change(paid_at=now)
        outcome.stock = "allocate" if order.holds_its_stock else "take again"
        outcome.events.append("order.paid")
    else:
        outcome.move("on_hold", "no_stock")
        outcome.events.append("order.on_hold")


def _pay_late(situation: Situation, outcome: Outcome, capture: Capture, now: datetime) -> None:
    """The money of an expired order has come all the same: if the goods are there it counts, else it goes back."""
    if situation.cart_is_taken or not situation.stock_is_there or not matches(outcome.order, capture):
        return
    # Where one capture went back, or is on its way, the order stays expired for good.
    if outcome.order.refunds or capture.status != "COMPLETED" or situation.ledger.is_going_back(capture.id):
        return
    outcome.move("paid")
    outcome.change(bound_capture_id=capture.id, paid_at=now, late=True)
    outcome.stock = "take again"
    outcome.events.append("order.paid")


def matches(order: Order, capture: Capture) -> bool:
    """Whether the capture is of the amount and currency that were frozen."""
    return (capture.amount_minor, capture.currency) == (order.total_minor, order.currency)


def _follow_outside(situation: Situation, outcome: Outcome) -> None:
    """Money that left without our asking stops the goods, and lets them go on when it is back."""
    order, ledger = outcome.order, situation.ledger
    if order.bound_capture_id is None:
        return
    troubled = find_trouble(order, ledger) is not None
    if troubled and order.status in ("paid", "fulfilling") and not order.has_handed_over:
        outcome.change(resume_status=order.status)
        outcome.move("on_hold", "outside")
        outcome.events.append("order.on_hold")
    elif not troubled and (order.status, order.status_reason) == ("on_hold", "outside"):
        status: Status = "fulfilling" if order.resume_status == "fulfilling" else "paid"
        outcome.move(status)
        outcome.change(resume_status=None)


def find_trouble(order: Order, ledger: Ledger) -> Literal["money", "disputed", "lost"] | None:
    """Why goods must not leave: of the bound capture money left without our asking, or a dispute is open or lost."""
    if order.bound_capture_id in ledger.disputed_captures:
        return "disputed"
    if order.bound_capture_id in ledger.lost_captures:
        return "lost"
    return "money" if list_outside(order, ledger) or _is_unexplained(order, ledger) else None


def list_outside(order: Order, ledger: Ledger) -> list[Refund]:
    """What left of the bound capture without our asking, and is not booked as a refund of the order yet."""
    ours = {refund.id for refund in order.refunds}
    booked = {refund.paypal_refund_id for refund in order.refunds}
    return [
        refund
        for refund in ledger.refunds
        if refund.capture_id == order.bound_capture_id
        and refund.status == "COMPLETED"
        and refund.amount_minor > 0
        and refund.ours not in ours
        and refund.id not in booked
    ]


def find_bound(order: Order, ledger: Ledger) -> Capture | None:
    """The completed capture that the order is bound to."""
    return next((known for known in ledger.captures if known.id == order.bound_capture_id and known.is_completed), None)


def require_undisputed(ledger: Ledger, capture: Capture) -> None:
    """Nothing is sent back that PayPal is taking, or may take: it would go twice. Raises Disputed."""
    if capture.id in ledger.disputed_captures:
        raise Disputed
    if capture.id in ledger.unreversed_captures:
        raise Disputed(LOST)


def refundable_minor(outcome: Outcome, ledger: Ledger, capture: Capture) -> int:
    """What of a capture neither went back nor is on its way: captured - refunded - pending."""
    refunds = outcome.refunds_now
    ours = {refund.id for refund in refunds}
    elsewhere = sum(
        refund.amount_minor
        for refund in ledger.refunds
        if refund.capture_id == capture.id and refund.status == "PENDING" and refund.ours not in ours
    )
    asked = sum(refund.amount_minor for refund in refunds if refund.capture_id == capture.id and refund.is_open)
    return (capture.amount_minor or 0) - ledger.given_back_of(capture.id) - elsewhere - asked


def _is_unexplained(order: Order, ledger: Ledger) -> bool:
    """PayPal calls the order's capture refunded, and no refund that we know of, or have asked for, says why.

    One that was pending and then failed says why as well: a capture's furthest status stays the ledger's.
    """
    capture = next(known for known in ledger.captures if known.id == order.bound_capture_id)
    known = [refund for refund in ledger.refunds if refund.capture_id == capture.id]
    told = {refund.ours for refund in known}
    asked = [r for r in order.refunds if r.capture_id == capture.id and r.is_open and r.id not in told]
    explained = sum(refund.amount_minor for refund in known) + sum(refund.amount_minor for refund in asked)
    if capture.status == "REFUNDED":
        return explained < (capture.amount_minor or 0)
    return capture.status == "PARTIALLY_REFUNDED" and explained == 0


# Refunds ------------------------------------------------------------------------------------------

REFUNDED = "order.refunded"
_REFUND_STATES: dict[str, Literal["pending", "completed", "failed", "cancelled"]] = {
    "PENDING": "pending",
    "COMPLETED": "completed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}


def _follow_refunds(situation: Situation, outcome: Outcome) -> None:
    facts = {refund.ours: refund for refund in situation.ledger.refunds if refund.ours is not None}
    for refund in outcome.order.refunds:
        fact = facts.get(refund.id)
        state = _REFUND_STATES.get(fact.status) if fact is not None else None
        if fact is None or state is None or (state, fact.id) == (refund.state, refund.paypal_refund_id):
            continue
        # PayPal gives no reason where a refund that it had taken ends badly.
        failure = (refund.failure or f"REFUND_{fact.status}") if state in ("failed", "cancelled") else None
        outcome.refunds.append(replace(refund, state=state, paypal_refund_id=fact.id, failure=failure))
        if state == "completed" and refund.state != "completed" and refund.kind in ("staff", "cancelled"):
            outcome.refunded.append(refund.id)


def _give_back_strays(situation: Situation, outcome: Outcome) -> None:
    """Every completed capture that is not the order's own goes back in full, once (DESIGN.md rule 8)."""
    order, ledger = outcome.order, situation.ledger
    asked = {refund.capture_id for refund in order.refunds if refund.kind != "staff"}
    for capture in ledger.captures:
        if not capture.is_completed or capture.id == order.bound_capture_id or capture.id in asked:
            continue
        if capture.amount_minor is None or capture.currency is None:
            continue
        left = capture.amount_minor - ledger.given_back_of(capture.id) - _being_given_back(order, capture)
        if left <= 0:
            continue
        kind: Literal["duplicate", "late"] = "late" if order.bound_capture_id is None else "duplicate"
        reason = (
            "second payment of the same order" if kind == "duplicate" else f"payment of an order that is {order.status}"
        )
        outcome.new_refunds.append(OrderRefund(new_id(), capture.id, kind, left, capture.currency, reason, "requested"))
        outcome.events.append("payment.returned")


def _being_given_back(order: Order, capture: Capture) -> int:
    """What staff have asked PayPal to give back of it, and PayPal has not done yet."""
    return sum(
        refund.amount_minor
        for refund in order.refunds
        if refund.capture_id == capture.id and refund.kind == "staff" and refund.state in ("requested", "pending")
    )


# Wishes -------------------------------------------------------------------------------------------


def _grant(wish: Wish, outcome: Outcome, attempts: Sequence[Attempt], now: datetime) -> None:
    """Let go of an order that waits for its money. What has an attempt open, or no deadline passed, stays as it is."""
    order = outcome.order
    busy = outcome.new_attempt is not None or any(attempt.is_open for attempt in attempts)
    if order.status != "pending_payment" or busy:
        return
    if wish.to == "expired" and now < order.hold_expires_at:
        return
    outcome.actor = wish.actor
    outcome.move(wish.to, wish.reason)
    outcome.stock = "expire" if wish.to == "expired" else "cancel"
    outcome.events.append(f"order.{wish.to}")
