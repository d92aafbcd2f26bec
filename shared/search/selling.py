"""What sells is popular: sales are counted by the day, and products whose popularity has left its step are copied.

Sold is what buyers paid for and kept, on the day (UTC) their order was placed; 30 days later it counts half. The decay
writes nothing: the rebuild of each night copies whom it has moved, and whom a count had no time for. So a product
rises within the hour of its sale, and one that sells no more falls overnight.
"""

import time
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.search.projecting import ProductsChanged, Projection, follow_products

# What was sold earlier would count a sixty-fourth.
COUNTED_DAYS = 180
# So long after it began, a day is counted for the last time: payments are late, orders are cancelled, goods come back.
FINAL_AFTER = timedelta(days=15)


class Sales(Protocol):
    """What was sold by the day, as shared.persistence.search_sales counts it. Each method is one short step."""

    def list_open_days(self, *, since: date, until: date) -> Sequence[date]:
        """Days with orders that were never counted, or not since they were final; the longest uncounted first."""

    def count_day(self, day: date, *, now: datetime) -> Sequence[str]:
        """The SKUs of which more or less was sold that day than was known. Two at once take turns, and a repetition
        changes nothing."""

    def list_products_that_moved(self, skus: Sequence[str], *, now: datetime) -> Sequence[UUID]:
        """Products of these SKUs whose popularity has left its step."""


def count_sales(
    *,
    sales: Sales,
    projection: Projection,
    clock: Clock,
    within_s: float,
    ticks: Callable[[], float] = time.monotonic,
) -> int:
    """Count open days until the time is up, the next run goes on; how many products have moved."""
    until_tick = ticks() + within_s
    today = clock.now().date()
    moved = 0
    for day in sales.list_open_days(since=today - timedelta(days=COUNTED_DAYS - 1), until=today):
        if ticks() > until_tick:
            break
        skus = sales.count_day(day, now=clock.now())
        products = sales.list_products_that_moved(skus, now=clock.now())
        moved += follow_products(ProductsChanged(tuple(products)), projection=projection)
    return moved
