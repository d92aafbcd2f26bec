"""Capturing: the money of an approved order is taken, once, through an attempt (DESIGN.md rule 5).

The buyer's return, the approval notice, the task of an attempt and the expiring job all come through here. Whoever
comes first opens the attempt; the others find it open, or the order paid.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, Unavailable
from shared.kernel.idempotency import Answering
from shared.kernel.logs import Log
from shared.orders.lockout import refuse_while_locked
from shared.orders.order import Attempt, NotPayable, Order, OrderNotFound, PaymentInProgress, PaymentsUsedUp
from shared.orders.settling import AttemptReply, Command, Outcome, Wish
from shared.payments.declines import BY_BUYER, NOT_APPROVED
from shared.payments.processor import Fact, Processor, Refused

log = Log(__name__)

Source = Literal["reply", "webhook", "poll"]


@dataclass(frozen=True, slots=True)
class Settled:
    """The order as it stands, and the attempt that this step has opened and somebody must now finish."""

    order: Order
    attempt: Attempt | None = None


class Store(Protocol):
    """What capturing needs of the database; each method is one step."""

    def get(self, order_id: UUID) -> Order:
        """Raises OrderNotFound."""
        ...

    def find_attempt(self, attempt_id: UUID) -> tuple[Attempt, Order] | None: ...

    def find_wait(self, order: Order) -> datetime | None:
        """Until when its buyer waits, after too many refused payments (orders.lockout); None who does not."""
        ...

    def settle(
        self,
        order_id: UUID,
        *,
        facts: Sequence[Fact] = (),
        source: Source = "poll",
        reply: AttemptReply | None = None,
        wish: Wish | None = None,
        require: Callable[[Outcome], None] | None = None,
        command: Command | None = None,
        answering: Answering[Order] | None = None,
    ) -> Settled:
        """Record facts, decide, apply: one transaction under the locks of cart, order and stock, in that order.

        `command` is done once the order is settled; it and `require` may raise to refuse the outcome, and then nothing
        has changed. Raises OrderNotFound.
        """
        ...


class NotApproved(Conflict):
    sentence = "PayPal has not told us of your approval yet."


class PaymentRefused(Conflict):
    sentence = "PayPal could not take the payment. Please choose another way to pay at PayPal, or try again."
    last = "PayPal could not take the payment, and the order takes no more. Please cancel it and order again."


class ShopCannotBePaid(Conflict):
    """PayPal has refused the shop and not the buyer, whose order stays open until its deadline."""

    sentence = "The shop cannot take your payment at the moment. You have not been charged. Please try again later."


def capture_order(
    order_id: UUID, *, store: Store, processor: Processor, clock: Clock, answering: Answering[Order] | None = None
) -> Order:
    """Ask PayPal whether the buyer has approved, and if so take the money.

    Idempotent: at most one attempt of an order is open at any time, and its id is the PayPal-Request-Id. Raises
    NotApproved, PaymentRefused, PaymentsUsedUp, ShopCannotBePaid, PaymentInProgress, NotPayable, CheckoutLocked, and
    Unavailable while PayPal has given no definite answer; the attempt then stays open and its task goes on.
    """
    order = store.get(order_id)
    if order.takes_no_payment:
        raise PaymentsUsedUp
    if order.status == "pending_payment":
        if order.attempt is None or not order.attempt.is_open:
            refuse_while_locked(store.find_wait(order), at=clock.now())
        settled = look_at_paypal(order, store=store, processor=processor)
        # An attempt that the notice has opened a moment ago is this buyer's as well: the same id, the same capture.
        attempt = settled.attempt or settled.order.attempt
        if settled.order.status == "pending_payment" and attempt is not None and attempt.state == "requested":
            settled = finish_attempt(attempt, settled.order, store=store, processor=processor)
        order = settled.order
    if order.status == "pending_payment":
        raise _why_unpaid(order)
    if order.status in ("expired", "cancelled"):
        raise NotPayable(status=order.status)
    if answering is not None:
        order = store.settle(order_id, answering=answering).order
    return order


def _why_unpaid(order: Order) -> Conflict:
    attempt = order.attempt
    if attempt is not None and attempt.is_open:
        return PaymentInProgress()
    if order.takes_no_payment:
        return PaymentRefused(PaymentRefused.last)
    if attempt is not None and attempt.was_refused_to_buyer:
        return PaymentRefused(approve_url=order.approve_url)
    if attempt is not None and attempt.state == "refused" and attempt.refusal != NOT_APPROVED:
        return ShopCannotBePaid(approve_url=order.approve_url)
    return NotApproved(approve_url=order.approve_url)


def look_at_paypal(
    order: Order, *, store: Store, processor: Processor, wish: Wish | None = None, best_effort: bool = False
) -> Settled:
    """Read PayPal's order back and settle by what it says; `best_effort` goes on without it where PayPal is away."""
    seen = None
    if order.paypal_order_id is not None:
        try:
            seen = processor.find_order(order.paypal_order_id)
        except Unavailable:
            if not best_effort:
                raise
    return store.settle(order.id, facts=[] if seen is None else [seen], source="poll", wish=wish)


def finish_attempt(attempt: Attempt, order: Order, *, store: Store, processor: Processor) -> Settled:
    """Make the call of an open attempt and write down its answer. Raises Unavailable while there is no definite one."""
    if order.paypal_order_id is None:
        raise OrderNotFound
    answer = processor.capture(order.paypal_order_id, attempt_id=attempt.id)
    if isinstance(answer, Refused):
        if answer.reason not in BY_BUYER and answer.reason != NOT_APPROVED:
            log.error("payment_refused_to_shop", order_id=order.id, attempt_id=attempt.id, reason=answer.reason)
        return store.settle(order.id, reply=AttemptReply(attempt.id, refusal=answer.reason), source="reply")
    reply = AttemptReply(attempt.id, capture_id=answer.id)
    return store.settle(order.id, facts=[answer], reply=reply, source="reply")


def resume_attempt(attempt_id: UUID, *, store: Store, processor: Processor) -> None:
    """The attempt's task: look first, and repeat the call with the same request id only if PayPal has no capture
    yet.
    """
    found = store.find_attempt(attempt_id)
    if found is None or found[0].state != "requested":
        return
    attempt, order = found
    look_at_paypal(order, store=store, processor=processor)
    found = store.find_attempt(attempt_id)
    if found is not None and found[0].state == "requested":
        finish_attempt(attempt, order, store=store, processor=processor)


def follow_facts(order_id: UUID, facts: Sequence[Fact], *, source: Source, store: Store, processor: Processor) -> Order:
    """What a webhook or a poll has read back; an approval among it goes straight on to its capture."""
    settled = store.settle(order_id, facts=facts, source=source)
    if settled.attempt is not None:
        settled = finish_attempt(settled.attempt, settled.order, store=store, processor=processor)
    return settled.order


def look_again(order_id: UUID, *, store: Store, processor: Processor) -> None:
    """PayPal has been thinking about a capture for a while, or its notice got lost: read it back."""
    settled = look_at_paypal(store.get(order_id), store=store, processor=processor)
    if settled.attempt is not None:
        finish_attempt(settled.attempt, settled.order, store=store, processor=processor)
