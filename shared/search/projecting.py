"""Keeping what search reads like the catalogue: by events, by a sweep of what they missed, by a rebuild.

All three do the same to a product: they read it as it is now and copy it. So events may come late, twice or in any
order and need not be recorded; and none of it ever happens in a transaction of stock (DESIGN.md rule 3).
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock

BATCH = 200
# A change is stamped when its transaction begins and seen when it commits: an import's batch may take a minute.
SEEN_LATE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class ProductsChanged:
    """The payload of product.changed: described, sold or no longer sold otherwise than before."""

    product_ids: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class StockChanged:
    """The payload of stock.changed: of these SKUs there is something to buy now and was not, or the reverse."""

    skus: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OrderLine:
    sku: str


@dataclass(frozen=True, slots=True)
class ChangedOrder:
    lines: tuple[OrderLine, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """What the payload of an event of the topic orders says of stock: an order takes units and gives them back."""

    order: ChangedOrder = ChangedOrder()


@dataclass(frozen=True, slots=True)
class Rebuild:
    """How far a rebuild is. `total` is what there was when it began."""

    done: int
    total: int
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def under_way(self) -> bool:
        return self.started_at is not None and self.finished_at is None


class Projection(Protocol):
    """What search reads, as shared.persistence.search_projection provides it. Each method is one short step."""

    def project(self, product_ids: Sequence[UUID]) -> int:
        """Copy them as they are now, all or none; how many differed."""

    def find_products_out_of_date(self, skus: Sequence[str]) -> list[UUID]:
        """Those whose copy says in stock of one of the SKUs where there is none now, or the reverse."""

    def take_missed_products(self, limit: int, *, now: datetime) -> list[UUID]:
        """Products that have changed, or whose publication has come, and whose copy has not."""

    def take_missed_stock(self, limit: int, *, now: datetime) -> list[UUID]:
        """Products of the latest movements of stock whose copy says otherwise than their stock."""

    def mark_swept(self, *, now: datetime) -> None:
        """Nothing was missed up to SEEN_LATE ago: the next sweep begins there."""

    def begin_rebuild(self, *, now: datetime) -> None:
        """Copy everything anew, from the first product on; the sizes of the tiers are decided now."""

    def continue_rebuild(self, limit: int, *, now: datetime) -> Rebuild:
        """The next products; two at once take turns."""

    def find_rebuild(self) -> Rebuild: ...

    def has_outgrown_its_tiers(self) -> bool:
        """Whether a text would have to be looked for among far more products than its tiers were made for."""


def follow_products(changed: ProductsChanged, *, projection: Projection) -> int:
    return _project(changed.product_ids, projection)


def follow_stock(skus: Sequence[str], *, projection: Projection) -> int:
    """Copy the products whose availability has crossed zero; a sale of one of many writes nothing."""
    return _project(projection.find_products_out_of_date(skus), projection)


def sweep(*, projection: Projection, clock: Clock, within_s: float, ticks: Callable[[], float] = time.monotonic) -> int:
    """Catch what events missed, then go on with a rebuild that is under way, until the time is up; how many rows
    changed."""
    until = ticks() + within_s
    changed = 0
    for take in (projection.take_missed_products, projection.take_missed_stock):
        while missed := take(BATCH, now=clock.now()):
            changed += projection.project(missed)
            if ticks() > until:
                return changed
    projection.mark_swept(now=clock.now())
    if not projection.find_rebuild().under_way and projection.has_outgrown_its_tiers():
        projection.begin_rebuild(now=clock.now())
    while ticks() < until and projection.find_rebuild().under_way:
        projection.continue_rebuild(BATCH, now=clock.now())
    return changed


def rebuild(
    *, projection: Projection, clock: Clock, anew: bool, progress: Callable[[Rebuild], None] = lambda rebuild: None
) -> Rebuild:
    """Copy the whole catalogue while it is read and changed. One that was interrupted goes on, unless `anew`."""
    if anew or not projection.find_rebuild().under_way:
        projection.begin_rebuild(now=clock.now())
    while True:
        at = projection.continue_rebuild(BATCH, now=clock.now())
        progress(at)
        if not at.under_way:
            return at


def _project(product_ids: Sequence[UUID], projection: Projection) -> int:
    ordered = sorted(set(product_ids))
    return sum(projection.project(ordered[start : start + BATCH]) for start in range(0, len(ordered), BATCH))
