"""What mails say of an order, as events carry it. Checked where an event comes in; it may carry more than this."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Address:
    name: str
    line1: str
    city: str
    country: str
    line2: str | None = None
    region: str | None = None
    postal_code: str | None = None


@dataclass(frozen=True, slots=True)
class Line:
    sku: str
    name: str
    quantity: int
    unit_price_minor: int
    total_minor: int
    options: Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class ShippingOption:
    name: str


@dataclass(frozen=True, slots=True)
class Refund:
    id: UUID
    kind: str
    state: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the moment of its event. Amounts are minor units of `currency`."""

    id: UUID
    number: str
    email: str
    status: str
    status_reason: str | None
    currency: str
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    captured_minor: int
    prices_include_tax: bool
    placed_at: datetime
    hold_expires_at: datetime
    shipping_address: Address
    shipping_option: ShippingOption
    lines: tuple[Line, ...]
    refunds: tuple[Refund, ...]

    def names_of(self, units: "tuple[Units, ...]") -> list[tuple[int, str]]:
        """How many of what; several entries of one SKU become one."""
        counted: dict[str, int] = {}
        for entry in units:
            counted[entry.sku] = counted.get(entry.sku, 0) + entry.quantity
        of_sku = {line.sku: line.name for line in self.lines}
        return [(quantity, of_sku.get(sku, sku)) for sku, quantity in counted.items()]

    def refunded_minor(self, refund_id: UUID | None) -> int:
        """What that refund has given back."""
        return sum(refund.amount_minor for refund in self.refunds if refund.id == refund_id)

    def returning_minor(self, *kinds: str) -> int:
        """What is on its way back to the buyer, of refunds of these kinds; one that failed is not."""
        return sum(
            refund.amount_minor
            for refund in self.refunds
            if refund.kind in kinds and refund.state in ("requested", "pending", "completed")
        )


@dataclass(frozen=True, slots=True)
class Units:
    """So many of a SKU of the order."""

    sku: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Shipment:
    """What order.shipped is about."""

    id: UUID
    carrier: str
    tracking_number: str
    lines: tuple[Units, ...]


@dataclass(frozen=True, slots=True)
class Goods:
    """What a return.* event is about: what is to come back, and what of it came."""

    id: UUID
    lines: tuple[Units, ...]
    receipts: tuple[Units, ...]
    rejection: str | None = None


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """The payload of every event of the topic `orders`.

    `shipment` is of order.shipped, `goods` of return.*, `refund_id` of order.refunded.
    """

    order: Order
    shipment: Shipment | None = None
    goods: Goods | None = None
    refund_id: UUID | None = None
