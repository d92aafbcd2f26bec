"""Drift: where a SKU's level, its movements and the orders that keep units of it do not say the same thing.

Every step writes the three together, so they differ only where somebody went round the steps: by hand, by a restored
backup, by a mistake of ours. It is pure: persistence reads the books under the level's lock and writes the entries.

A level changes by an entry alone, also when it is put right. So there are two kinds of entries, in this order: what
the level says and no movement does is written down; then the level is brought to what is true, by the opposite entry.
Held is true by the orders that keep units. On hand is true by the log, because it only grows; but not where an order's
own movement is missing from it, or where it cannot be whole: then the level is right and the log is completed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Units:
    on_hand: int = 0
    held: int = 0

    def __add__(self, other: "Units") -> "Units":
        return Units(self.on_hand + other.on_hand, self.held + other.held)

    def __sub__(self, other: "Units") -> "Units":
        return Units(self.on_hand - other.on_hand, self.held - other.held)


NOTHING = Units()


@dataclass(frozen=True, slots=True)
class OrderDrift:
    """What the movements of an order lack to say what its lines say; an order without such a line keeps nothing."""

    order_id: UUID
    order_number: str | None
    lacks: Units


@dataclass(frozen=True, slots=True)
class Books:
    """All that is known of one SKU at one location, read in one statement.

    `kept` is held + allocated of all order lines. `log_is_whole` says that the movements, one after the other, never
    made less on hand than held, and that there are any.
    """

    sku: str
    location: str
    level: Units
    moved: Units
    kept: int
    orders: tuple[OrderDrift, ...] = ()
    log_is_whole: bool = True

    @property
    def agree(self) -> bool:
        return self.level == self.moved and self.level.held == self.kept


@dataclass(frozen=True, slots=True)
class Entry:
    """A movement of the kind `repair`; `moves_level`: the level changes by it, else it says what the level has."""

    delta: Units
    moves_level: bool
    reason: str
    order_id: UUID | None = None
    order_number: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """`short`: orders keep more than is on hand, and no entry can put that right."""

    entries: tuple[Entry, ...]
    short: bool

    @property
    def orders(self) -> list[str]:
        """The orders that a movement is missing of, or that never were."""
        return [entry.order_number or str(entry.order_id) for entry in self.entries if entry.order_id is not None]


def put_right(books: Books) -> Repair:
    """The entries after which level, movements and order lines agree, or as near as they can be brought."""
    missing = books.level - books.moved
    missed = _responsible(books.orders, missing)
    entries = _entries(
        missing, missed, moves_level=False, known="its movement is missing", unknown="changed without a movement"
    )
    log_is_true = not missed and books.log_is_whole and books.moved.on_hand >= books.kept
    on_hand = books.moved.on_hand if log_is_true else books.level.on_hand
    short = on_hand < books.kept
    true = Units(on_hand, books.level.held if short else books.kept)
    undone = true - books.level
    others = [order for order in books.orders if order not in missed]
    surplus = _responsible(others, undone)
    entries += _entries(
        undone,
        surplus,
        moves_level=True,
        known="held for an order that does not keep it",
        unknown="put back to what movements and orders say",
    )
    entries += _name_orders([order for order in others if order not in surplus])
    return Repair(tuple(entries), short)


def _responsible(orders: Sequence[OrderDrift], difference: Units) -> list[OrderDrift]:
    """The orders that explain a difference: all of them together, or the one that does alone."""
    if difference == NOTHING or not orders:
        return []
    if sum((order.lacks for order in orders), start=NOTHING) == difference:
        return list(orders)
    return [order for order in orders if order.lacks == difference][:1]


def _name_orders(orders: Sequence[OrderDrift]) -> list[Entry]:
    """Orders that explain no difference by themselves get what is theirs, out of what is nobody's: in all, zero."""
    entries = [
        Entry(order.lacks, False, "its movement is missing", order.order_id, order.order_number) for order in orders
    ]
    nobodys = NOTHING - sum((order.lacks for order in orders), start=NOTHING)
    return entries if nobodys == NOTHING else [*entries, Entry(nobodys, False, "is that of the orders beside it")]


def _entries(
    difference: Units, orders: Sequence[OrderDrift], *, moves_level: bool, known: str, unknown: str
) -> list[Entry]:
    if difference == NOTHING:
        return []
    if orders:
        return [Entry(order.lacks, moves_level, known, order.order_id, order.order_number) for order in orders]
    return [Entry(difference, moves_level, unknown)]
