"""What mails say of an order, as events carry it. Checked where an event comes in; it may carry more than this."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.kernel.money import Money


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
    """Money that goes back, in its capture's currency; None: an event of before did not say, and it is the order's."""

    id: UUID
    kind: str
    state: str
    amount_minor: int
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """An order at the moment of its event. Its own amounts are minor units of `currency`; refunds have theirs."""

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
    bound_capture_id: str | None = None

    @property
    def was_charged(self) -> bool:
        """Whether money came, of whatever currency: `captured_minor` is what came in the order's."""
        return self.captured_minor > 0 or self.bound_capture_id is not None

    @property
    def takes_no_payment(self) -> bool:
        """Too many payments were refused: it waits for its end, and nobody is invited to pay it."""
        return self.status_reason == "payments_used_up"

    def names_of(self, units: "tuple[Units, ...]") -> list[tuple[int, str]]:
        """How many of what; several entries of one SKU become one."""
        counted: dict[str, int] = {}
        for entry in units:
            counted[entry.sku] = counted.get(entry.sku, 0) + entry.quantity
        of_sku = {line.sku: line.name for line in self.lines}
        return [(quantity, of_sku.get(sku, sku)) for sku, quantity in counted.items()]

    def refunded(self, refund_id: UUID | None) -> Money:
        """What that refund has given back."""
        given = (self._money_of(refund) for refund in self.refunds if refund.id == refund_id)
        return next(given, Money.zero(self.currency))

    def returning(self, *kinds: str) -> list[Money]:
        """What is on its way back to the buyer, of refunds of these kinds, by currency; one that has ended is not."""
        sums: dict[str, Money] = {}
        for refund in self.refunds:
            if refund.kind in kinds and refund.state in ("requested", "pending"):
                amount = self._money_of(refund)
                sums[amount.currency] = sums.get(amount.currency, Money.zero(amount.currency)) + amount
        return [amount for amount in sums.values() if amount.minor]

    def _money_of(self, refund: Refund) -> Money:
        return Money(refund.amount_minor, refund.currency or self.currency)


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
