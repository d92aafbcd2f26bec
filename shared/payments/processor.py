"""What the shop needs of whoever moves its money, and the facts that come back. The gateway that speaks to PayPal
provides it; nothing here knows how.

Every method raises Unavailable where the outcome is not known: a time-out, a lost connection, an error of the other
side, too many requests. The same call with the same id may then be repeated, and is done once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.kernel.money import Money


@dataclass(frozen=True, slots=True)
class PaymentLine:
    name: str
    sku: str
    quantity: int
    unit_price_minor: int


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """A frozen order as the processor is asked to collect it.

    `tax_minor` is what is added to the lines, 0 where prices include it; subtotal - discount + shipping + tax = total.
    `request_id` makes a repeat the same order. `address` has the shape of DESIGN.md section 5: name, line1, line2,
    city, region, postal_code, country, phone.
    """

    request_id: UUID
    order_id: UUID
    number: str
    currency: str
    lines: tuple[PaymentLine, ...]
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    email: str
    address: Mapping[str, str | None]
    return_url: str
    cancel_url: str


@dataclass(frozen=True, slots=True)
class Approval:
    """The processor's order that waits for its buyer at `approve_url`."""

    paypal_order_id: str
    approve_url: str
    status: str


@dataclass(frozen=True, slots=True)
class CaptureFact:
    """Money taken, or not: `status` is COMPLETED, PENDING, DECLINED, PARTIALLY_REFUNDED, REFUNDED or FAILED.

    `amount` is None where the processor named none that this shop can read; nothing is ever paid by such a capture.
    """

    id: str
    status: str
    amount: Money | None
    invoice_id: str | None
    custom_id: str | None
    paypal_order_id: str | None
    created_at: datetime | None
    update_time: str


@dataclass(frozen=True, slots=True)
class RefundFact:
    """Money given back: `status` is COMPLETED, PENDING, FAILED or CANCELLED.

    `custom_id` is our refund's id where we asked for it. `reversal` says that the processor took the money back itself:
    a chargeback, a bank's return.
    """

    id: str
    capture_id: str
    status: str
    amount: Money
    custom_id: str | None
    created_at: datetime | None
    update_time: str
    reversal: bool = False


@dataclass(frozen=True, slots=True)
class OrderFact:
    """The processor's order with every capture and refund that it lists."""

    id: str
    status: str
    update_time: str
    custom_id: str | None
    invoice_id: str | None
    captures: tuple[CaptureFact, ...]
    refunds: tuple[RefundFact, ...]


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """A buyer's complaint; `outcome` is None until it is decided."""

    id: str
    status: str
    outcome: str | None
    capture_ids: tuple[str, ...]
    amount: Money | None
    update_time: str


Fact = OrderFact | CaptureFact | RefundFact | DisputeFact


@dataclass(frozen=True, slots=True)
class Refused:
    """A definite no: asking again with the same id answers the same."""

    reason: str


class Cashier(Protocol):
    """What placing needs: somebody who opens a payment. Raises Unavailable wherever the outcome is not known."""

    def open(self, request: PaymentRequest) -> Approval:
        """An order that waits for approval; the same `request_id` always gives the same one. Raises Declined."""
        ...


class Processor(Cashier, Protocol):
    """What capturing, refunding and applying need. Raises Unavailable wherever the outcome is not known."""

    def capture(self, paypal_order_id: str, *, attempt_id: UUID) -> CaptureFact | Refused:
        """Take the approved money. Once per `attempt_id`; an order captured before answers the capture it has."""
        ...

    def refund(
        self, capture_id: str, *, refund_id: UUID, amount: Money, number: str, note: str
    ) -> RefundFact | Refused:
        """Give back `amount` of a capture of order `number`, once per `refund_id`; `note` is what the buyer reads."""
        ...

    def find_order(self, paypal_order_id: str) -> OrderFact | None: ...

    def find_capture(self, capture_id: str) -> CaptureFact | None: ...

    def find_refund(self, refund_id: str) -> RefundFact | None: ...

    def find_dispute(self, dispute_id: str) -> DisputeFact | None: ...


@dataclass(frozen=True, slots=True)
class TrackedItem:
    name: str
    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where units of a captured order travel; `carrier` is the merchant's own word for it."""

    shipment_id: UUID
    paypal_order_id: str
    capture_id: str
    carrier: str
    tracking_number: str
    items: tuple[TrackedItem, ...]


class Tracker(Protocol):
    """What telling a tracking number needs of the processor. Raises Unavailable wherever the outcome is not known."""

    def track(self, tracking: Tracking) -> Refused | None:
        """None once the processor has it; telling it again changes nothing."""
        ...
