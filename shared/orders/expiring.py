"""Expiring and cancelling: an order that waits for its money lets its stock go. Only these transactions release a
hold.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Unavailable
from shared.kernel.idempotency import Answering
from shared.orders.capturing import Store, finish_attempt, look_at_paypal
from shared.orders.order import NotCancellable, Order, PaymentInProgress
from shared.orders.settling import Outcome, Wish
from shared.payments.processor import Processor


class DueStore(Store, Protocol):
    def list_due(self, now: datetime, limit: int) -> Sequence[UUID]:
        """Orders whose deadline has passed, oldest first."""
        ...


def expire_orders(*, store: DueStore, processor: Processor, clock: Clock, limit: int = 100) -> int:
    """Expire what is due. Each order is asked about at PayPal first, best effort: an approval that nobody told us of is
    captured instead. Answers how many orders were looked at."""
    due = store.list_due(clock.now(), limit)
    for order_id in due:
        order = store.get(order_id)
        settled = look_at_paypal(order, store=store, processor=processor, wish=Wish("expired"), best_effort=True)
        if settled.attempt is not None:
            with suppress(Unavailable):  # its task goes on
                finish_attempt(settled.attempt, settled.order, store=store, processor=processor)
    return len(due)


def cancel_order(order_id: UUID, *, by: str, store: Store, answering: Answering[Order] | None = None) -> Order:
    """Cancel an order that waits for its money; cancelling twice is once. Raises PaymentInProgress, NotCancellable."""
    return store.settle(order_id, wish=Wish("cancelled", by), require=_must_be_cancelled, answering=answering).order


def _must_be_cancelled(outcome: Outcome) -> None:
    if outcome.order.status == "cancelled":
        return
    if outcome.order.is_open:
        raise PaymentInProgress
    raise NotCancellable(status=outcome.order.status)
