"""The relay sweeps what requests did not publish: each minute in the cloud, each second locally (DESIGN.md rule 11).

Rows are leased in one short statement, handed over with no transaction open, and marked in another. Two relays never
lease the same row; the rows of a relay that was killed come again when its lease is over. At least once, normally once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.messages import Message
from shared.outbox.publishing import HORIZON, Publisher

BATCH = 200
# A request publishes within 1 s of its commit and marks then: younger rows are still its own.
SETTLED_AFTER = timedelta(seconds=5)
LEASE = timedelta(seconds=30)
HAND_OVER_WITHIN_S = 15.0  # well within the lease
# Rows that could not be handed over rest a little; whatever was never tried goes before them, this time and the next.
REST = timedelta(seconds=5)
# Longer than Pub/Sub keeps a message (7 days), so that a repetition is still explained by its row.
KEPT_FOR = timedelta(days=10)
PURGED_AT_ONCE = 500


class Outbox(Protocol):
    """The outbox as shared.persistence.outbox provides it: one short statement a method, each raises Unavailable."""

    def lease(
        self, limit: int, *, now: datetime, until: datetime, created_before: datetime, due_before: datetime
    ) -> list[Message]:
        """Unpublished, unleased rows, leased until then: what was never leased first, in its order.

        Passes over rows that another relay takes.
        """

    def mark_published(self, ids: Sequence[UUID], at: datetime) -> None: ...

    def rest(self, ids: Sequence[UUID], until: datetime) -> None:
        """Their lease ends at that moment."""

    def purge(self, published_before: datetime, limit: int) -> int:
        """Delete that many rows at most; how many."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one run did: rows handed over, rows that could not be, old rows deleted."""

    published: int
    left: int
    purged: int


def relay(
    outbox: Outbox,
    publisher: Publisher,
    *,
    clock: Clock,
    within_s: float,
    batch: int = BATCH,
    ticks: Callable[[], float] = time.monotonic,
) -> Relayed:
    """Hand over everything that waits, batch by batch, until nothing does or the time is up."""
    published = left = 0
    stop_at = ticks() + within_s - HAND_OVER_WITHIN_S
    while True:
        now = clock.now()
        messages = outbox.lease(
            batch, now=now, until=now + LEASE, created_before=now - SETTLED_AFTER, due_before=now + HORIZON
        )
        if not messages:
            break
        taken = publisher.hand_over(messages, within_s=HAND_OVER_WITHIN_S)
        if taken:
            outbox.mark_published(taken, clock.now())
        refused = {message.id for message in messages}.difference(taken)
        if refused:
            outbox.rest(list(refused), clock.now() + REST)
        published, left = published + len(taken), left + len(refused)
        if len(messages) < batch or ticks() > stop_at:
            break
    purged = outbox.purge(clock.now() - KEPT_FOR, PURGED_AT_ONCE)
    return Relayed(published, left, purged)
