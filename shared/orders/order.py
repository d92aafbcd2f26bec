"""An order: a cart frozen at a price, and everything that has become of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.kernel.errors import Conflict, NotFound, RateLimited, Unavailable
from shared.payments.declines import BY_BUYER, BY_SHOP, NOT_APPROVED
from shared.shipping import shipments as shipment_values
from shared.shipping.shipments import Shipment

Status = Literal["pending_payment", "paid", "on_hold", "fulfilling", "completed", "cancelled", "expired"]
OPEN_ATTEMPT = ("requested", "pending", "completed")
# How many payments of an order may be refused, and the reason of one that waits for its money and takes none any more.
MAX_ATTEMPTS = 3
# What a buyer reads beside money that the merchant gave back in PayPal's own dashboard.
REFUNDED_OUTSIDE = "Refunded at PayPal"
USED_UP = "payments_used_up"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """A frozen line. Where its units are is counted: held + allocated + consumed + released + expired = quantity.

    `discount_minor` is its share of the order's discount, `tax_minor` the tax of what is left at `tax_rate`, a decimal
    ("0.0725" is 7.25 %; None in orders older than that column). What was paid for it is `paid_minor` of its order.
    """

    sku: str
    location: str
    position: int
    name: str
    options: Mapping[str, Any]
    quantity: int
    unit_price_minor: int
    total_minor: int
    tax_minor: int
    tax_class: str
    discount_minor: int = 0
    tax_rate: str | None = None
    held: int = 0
    allocated: int = 0
    consumed: int = 0
    released: int = 0
    expired: int = 0
    returned: int = 0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request to capture an order's money; `id` is the PayPal-Request-Id."""

    id: UUID
    state: Literal["requested", "pending", "completed", "refused"]
    requested_at: datetime
    capture_id: str | None = None
    refusal: str | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_ATTEMPT

    @property
    def was_denied(self) -> bool:
        """PayPal made a capture of it and denied that one: its order there is over, and cannot be approved again."""
        return self.state == "refused" and self.capture_id is not None

    @property
    def was_refused_to_buyer(self) -> bool:
        """It is the buyer's means of payment that was refused, and not the shop: these are counted."""
        return self.was_denied or (self.state == "refused" and self.refusal in BY_BUYER)

    @property
    def counts_for_lockout(self) -> bool:
        """A card may have been tried out: it was refused to the buyer, or by a name that nobody knows."""
        return self.state == "refused" and self.refusal not in BY_SHOP and self.refusal != NOT_APPROVED


@dataclass(frozen=True, slots=True)
class RefundLine:
    """Units of a line that a refund gives back the money of; `tax_minor` is the tax within `amount_minor`."""

    sku: str
    quantity: int
    amount_minor: int
    tax_minor: int
    restock: bool


@dataclass(frozen=True, slots=True)
class OrderRefund:
    """Money that we have asked PayPal to give back; `id` is the PayPal-Request-Id and PayPal's custom_id.

    `lines` and `shipping_minor` say what it is for; what of the amount is in neither is free. `retries` is the failed
    refund that it takes up again; `reason` is what the buyer reads.
    """

    id: UUID
    capture_id: str
    kind: Literal["duplicate", "late", "cancelled", "staff"]
    amount_minor: int
    currency: str
    reason: str
    state: Literal["requested", "pending", "completed", "failed", "cancelled"]
    paypal_refund_id: str | None = None
    failure: str | None = None
    lines: tuple[RefundLine, ...] = ()
    shipping_minor: int = 0
    retries: UUID | None = None
    requested_by: str = "shop"
    requested_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        """Asked for, and PayPal has not said how it ended."""
        return self.state in ("requested", "pending")

    @property
    def counts(self) -> bool:
        """Whether the money has gone back, or may still go."""
        return self.is_open or self.state == "completed"


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    number: str
    cart_id: str
    cart_version: int
    status: Status
    status_reason: str | None
    resume_status: str | None
    email: str
    customer_id: UUID | None
    client_network: str
    currency: str
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    shipping_address: Mapping[str, str]
    shipping_option: Mapping[str, Any]
    prices_include_tax: bool
    placed_at: datetime
    hold_expires_at: datetime
    paid_at: datetime | None
    paypal_order_id: str | None
    approve_url: str | None
    bound_capture_id: str | None
    late: bool
    disputed: bool
    captured_minor: int
    refunded_minor: int
    reversed_minor: int
    pending_minor: int
    lines: tuple[OrderLine, ...]
    refunds: tuple[OrderRefund, ...] = ()
    attempt: Attempt | None = None
    shipments: tuple[Shipment, ...] = ()
    shipping_tax_rate: str | None = None
    voucher_code: str | None = None
    voucher_over_limit: bool = False

    @property
    def is_open(self) -> bool:
        """Waiting for its money: pending_payment, or on hold because the capture is pending."""
        return self.status == "pending_payment" or (self.status, self.status_reason) == ("on_hold", "capture_pending")

    @property
    def takes_no_payment(self) -> bool:
        """It waits for its money, and as many payments were refused as may be: it is cancelled, or its deadline comes.

        Until then it keeps its stock (DESIGN.md section 4), and no approval is captured.
        """
        return (self.status, self.status_reason) == ("pending_payment", USED_UP)

    def paid_minor(self, line: OrderLine) -> int:
        """What of the total is this line's. All lines and the shipping make the total."""
        return line.total_minor - line.discount_minor + (0 if self.prices_include_tax else line.tax_minor)

    @property
    def shipping_tax_minor(self) -> int:
        return self.tax_minor - sum(line.tax_minor for line in self.lines)

    @property
    def shipping_paid_minor(self) -> int:
        """What of the total is the shipping's."""
        return self.shipping_minor + (0 if self.prices_include_tax else self.shipping_tax_minor)

    @property
    def holds_its_stock(self) -> bool:
        return all(line.held == line.quantity for line in self.lines)

    @property
    def has_handed_over(self) -> bool:
        return any(line.consumed for line in self.lines)

    @property
    def is_done(self) -> bool:
        """Every unit was delivered, came back, or is no longer wanted; as far as `shipments` are read."""
        return all(line.held + line.allocated == 0 and self._has_arrived(line) for line in self.lines)

    def _has_arrived(self, line: OrderLine) -> bool:
        # What came back was either delivered before or never will be: the larger of both is what is certain.
        ended = [shipment for shipment in self.shipments if shipment.state in ("delivered", "returned")]
        return line.consumed <= max(line.returned, sum(shipment.units_of(line.sku) for shipment in ended))


class OrderNotFound(NotFound):
    sentence = "There is no such order."


class PriceChanged(Conflict):
    """`lines` names SKU, the unit price that the buyer saw, and the one of now (minor units)."""

    sentence = "Prices have changed since you filled your cart."

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(lines=[{"sku": line["sku"], "was": line["was"], "now": line["now"]} for line in lines])


class OtherCurrency(Conflict):
    """The shop takes another currency than these are priced in: `lines` names SKU, its currency and the shop's."""

    sentence = "Some of these items have no price in the currency of this shop."

    def __init__(self, lines: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(lines=[{name: line[name] for name in ("sku", "currency", "shop_currency")} for line in lines])


class PaymentInProgress(Conflict):
    """A capture was asked for and PayPal has not answered yet, so nothing else may happen to the order."""

    sentence = "The payment of this order is being processed. Please wait for its result."


class NotCancellable(Conflict):
    sentence = "This order can no longer be cancelled here."


class Disputed(Conflict):
    """The buyer has opened a case with PayPal or a bank; what becomes of the money is decided there.

    One that was lost is over for us once its reversal is known: until then the sentence is LOST.
    """

    sentence = (
        "A dispute about this payment is open. Answer it in PayPal's Resolution Center; nothing else moves its money."
    )


LOST = (
    "PayPal has decided this dispute against the shop and takes the money back; until that is known here, nothing else "
    "of this payment goes back. What PayPal leaves of it can be given back in PayPal itself."
)


class OrderMoved(Conflict):
    """While PayPal was asked, the order was replaced, cancelled or paid; asking again shows what it is now."""

    sentence = "The order has changed meanwhile. Please look at it again."


class NotPayable(Conflict):
    sentence = "This order does not wait for a payment."


class PaymentsUsedUp(Conflict):
    """As many payments of this order as may be were refused; none is asked for any more."""

    sentence = (
        "Too many payments of this order were refused, so it takes no more. You have not been charged. Please cancel it"
        " and order again: your cart is as you left it."
    )


class TooManyOpenOrders(RateLimited):
    """`per` is email or network, `limit` how many orders of it may be open at once."""

    sentence = "You have too many orders that wait for their payment. Please pay or cancel one of them first."


class OrdersClosed(Unavailable):
    sentence = "The shop takes no orders at the moment. Please come back later."

    def __init__(self) -> None:
        super().__init__(retry_after_s=60)


def from_json(value: Mapping[str, Any]) -> Order:
    """An order from what `order_json_v2` gives; events carry the same shape."""
    return Order(
        id=UUID(value["id"]),
        number=value["number"],
        cart_id=value["cart_id"],
        cart_version=value["cart_version"],
        status=value["status"],
        status_reason=value["status_reason"],
        resume_status=value["resume_status"],
        email=value["email"],
        customer_id=UUID(value["customer_id"]) if value["customer_id"] else None,
        client_network=value["client_network"],
        currency=value["currency"],
        subtotal_minor=value["subtotal_minor"],
        discount_minor=value["discount_minor"],
        shipping_minor=value["shipping_minor"],
        tax_minor=value["tax_minor"],
        total_minor=value["total_minor"],
        shipping_address=value["shipping_address"],
        shipping_option=value["shipping_option"],
        prices_include_tax=value["prices_include_tax"],
        placed_at=parse_iso(value["placed_at"]),
        hold_expires_at=parse_iso(value["hold_expires_at"]),
        paid_at=parse_iso(value["paid_at"]) if value["paid_at"] else None,
        paypal_order_id=value["paypal_order_id"],
        approve_url=value["approve_url"],
        bound_capture_id=value["bound_capture_id"],
        late=value["late"],
        disputed=value["disputed"],
        captured_minor=value["captured_minor"],
        refunded_minor=value["refunded_minor"],
        reversed_minor=value["reversed_minor"],
        pending_minor=value["pending_minor"],
        lines=tuple(_line(line) for line in value["lines"]),
        refunds=tuple(_refund(refund) for refund in value["refunds"]),
        attempt=attempt_from_json(value["attempt"]) if value["attempt"] else None,
        shipments=tuple(shipment_values.from_json(shipment) for shipment in value.get("shipments", ())),
        shipping_tax_rate=value.get("shipping_tax_rate"),
        voucher_code=value.get("voucher_code"),
        voucher_over_limit=value.get("voucher_over_limit", False),
    )


_LINE = tuple(OrderLine.__dataclass_fields__)


def _line(value: Mapping[str, Any]) -> OrderLine:
    """What a later version says of a line besides is not ours to know."""
    return OrderLine(**{name: value[name] for name in _LINE if name in value})


def attempt_from_json(value: Mapping[str, Any]) -> Attempt:
    return Attempt(
        UUID(value["id"]), value["state"], parse_iso(value["requested_at"]), value["capture_id"], value["refusal"]
    )


def _refund(value: Mapping[str, Any]) -> OrderRefund:
    return OrderRefund(
        id=UUID(value["id"]),
        capture_id=value["capture_id"],
        kind=value["kind"],
        amount_minor=value["amount_minor"],
        currency=value["currency"],
        reason=value["reason"],
        state=value["state"],
        paypal_refund_id=value["paypal_refund_id"],
        failure=value["failure"],
        lines=tuple(RefundLine(**line) for line in value.get("lines", ())),
        shipping_minor=value.get("shipping_minor", 0),
        retries=UUID(value["retries"]) if value.get("retries") else None,
        requested_by=value["requested_by"],
        requested_at=parse_iso(value["requested_at"]),
    )
