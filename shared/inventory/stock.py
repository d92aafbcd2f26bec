"""Stock: what is on hand, what is held for orders, and the movements that explain both."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.kernel.errors import Conflict, Invalid, NotFound
from shared.kernel.messages import Event


@dataclass(frozen=True, slots=True)
class Level:
    """Units of one SKU at one location; `held` is promised to open orders and part of `on_hand`."""

    sku: str
    location: str
    on_hand: int
    held: int

    @property
    def available(self) -> int:
        return self.on_hand - self.held


def stock_changed(skus: Sequence[str]) -> Event:
    """Of these SKUs there is something to buy now and was not, or the reverse: nothing else is told of stock."""
    return Event("catalog", "stock.changed", {"skus": list(skus)})


@dataclass(frozen=True, slots=True)
class Movement:
    at: datetime
    kind: str
    sku: str
    location: str
    delta_on_hand: int
    delta_held: int
    order_number: str | None
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Units of a SKU that an order keeps: held until it is paid, allocated until they are handed over."""

    sku: str
    location: str
    held: int
    allocated: int
    order_number: str
    order_status: str


@dataclass(frozen=True, slots=True)
class ShortLine:
    sku: str
    wanted: int
    available: int


class OutOfStock(Conflict):
    """Some lines want more than there is; every short line is named."""

    sentence = "Some items are no longer available in the quantity you want."

    def __init__(self, short: Sequence[ShortLine]) -> None:
        super().__init__(
            lines=[{"sku": line.sku, "wanted": line.wanted, "available": line.available} for line in short]
        )
        self.short = tuple(short)


class BelowHeld(Conflict):
    """A count or an adjustment would leave less on hand than is promised to orders; those orders are named."""

    sentence = "Open orders hold more than that. Cancel or move them first."

    def __init__(self, sku: str, held: int, order_numbers: Sequence[str]) -> None:
        super().__init__(sku=sku, held=held, orders=list(order_numbers))


class UnknownSku(NotFound):
    sentence = "There is no such SKU."


class NothingChanges(Invalid):
    sentence = "An adjustment of zero changes nothing."
