"""Expiring and cancelling: an order that waits for its money lets its stock go. Only these transactions release a
hold.
"""

from contextlib import suppress
from uuid import UUID

from shared.kernel.errors import Unavailable
from shared.kernel.idempotency import Answering
from shared.orders.capturing import Store, finish_attempt, look_at_paypal
from shared.orders.order import NotCancellable, Order, PaymentInProgress
from shared.orders.settling import Outcome, Wish
from shared.payments.processor import Processor


def expire_order(order_id: UUID, *, store: Store, processor: Processor) -> None:
    """Let go of an order whose deadline has passed, if nothing of its payment is open.

    PayPal is asked first, best effort: an approval that nobody told us of is captured instead. Idempotent.
    """
    order = store.get(order_id)
    settled = look_at_paypal(order, store=store, processor=processor, wish=Wish("expired"), best_effort=True)
    if settled.attempt is not None:
        with suppress(Unavailable):  # its task goes on
            finish_attempt(settled.attempt, settled.order, store=store, processor=processor)


def cancel_order(
    order_id: UUID, *, reason: str, actor: str, store: Store, answering: Answering[Order] | None = None
) -> Order:
    """Cancel an order that waits for its money; cancelling twice is once. Raises PaymentInProgress, NotCancellable."""
    wish = Wish("cancelled", reason, actor)
    return store.settle(order_id, wish=wish, require=_must_be_cancelled, answering=answering).order


def _must_be_cancelled(outcome: Outcome) -> None:
    if outcome.order.status == "cancelled":
        return
    if outcome.order.is_open:
        raise PaymentInProgress
    raise NotCancellable(status=outcome.order.status)
