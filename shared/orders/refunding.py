"""Refunding: what settling has asked for is asked of PayPal, until PayPal has said how it ended."""

from typing import Protocol
from uuid import UUID

from shared.kernel.money import Money
from shared.orders.capturing import Store
from shared.orders.order import Order, OrderRefund
from shared.payments.processor import Processor, Refused


class RefundStore(Store, Protocol):
    def find_refund(self, refund_id: UUID) -> tuple[OrderRefund, Order] | None: ...

    def fail_refund(self, refund_id: UUID, failure: str) -> None:
        """PayPal will not give this money back; staff see why."""
        ...


def finish_refund(refund_id: UUID, *, store: RefundStore, processor: Processor) -> None:
    """Ask PayPal for a refund, or how one that is pending has ended. Idempotent: the request id is the refund's id.

    Raises Unavailable while there is no definite answer.
    """
    found = store.find_refund(refund_id)
    if found is None:
        return
    refund, order = found
    if refund.state == "pending" and refund.paypal_refund_id is not None:
        seen = processor.find_refund(refund.paypal_refund_id)
        if seen is not None:
            store.settle(order.id, facts=[seen], source="poll")
    elif refund.state == "requested":
        answer = processor.refund(
            refund.capture_id,
            refund_id=refund.id,
            amount=Money(refund.amount_minor, refund.currency),
            number=order.number,
            note=refund.reason,
        )
        if isinstance(answer, Refused):
            store.fail_refund(refund.id, answer.reason)
        else:
            store.settle(order.id, facts=[answer], source="reply")
