"""A database whose outbox is this test's alone, topics and queues that keep what they get, and a clock that stands."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pg8000.exceptions
import pytest
from pg8000.core import CoreConnection

from local.database import Address
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.messages import Event, Task
from shared.outbox.dispatching import Dispatcher
from shared.outbox.publishing import Publisher
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Row
from shared.persistence.outbox import Outbox
from shared.settings import DatabaseSettings
from tools.scratch_database import ScratchServer


class StandingClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> None:
        self.moment += timedelta(**parts)


class Recorder:
    """Topics and queues in one: keeps what it took, refuses destinations that are `down`."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.refused: set[UUID] = set()
        self.batches: list[tuple[str, list[Event]]] = []
        self.tasks: list[Task] = []
        self.allowed_s: dict[str, float] = {}

    def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
        self.allowed_s[topic] = within_s
        if topic in self.down:
            raise Unavailable
        if any(event.id in self.refused for event in events):
            raise Declined
        self.batches.append((topic, list(events)))

    def enqueue(self, task: Task, *, within_s: float) -> None:
        self.allowed_s[task.queue] = within_s
        if task.queue in self.down:
            raise Unavailable
        if task.id in self.refused:
            raise Declined
        self.tasks.append(task)

    @property
    def events(self) -> list[Event]:
        return [event for _, batch in self.batches for event in batch]

    def times_taken(self) -> dict[UUID, int]:
        times: dict[UUID, int] = defaultdict(int)
        taken: list[Event | Task] = [*self.events, *self.tasks]
        for message in taken:
            times[message.id] += 1
        return dict(times)


class Shop:
    """A database as one process sees it, and what it sends."""

    def __init__(self, url: str, clock: StandingClock) -> None:
        self.clock = clock
        self.sent = Recorder()
        self.publisher = Publisher(lambda: self.sent, lambda: self.sent)
        self.restart()
        self._connect = connector(DatabaseSettings("url", 2, url), application="test")
        self._connections: list[CoreConnection] = []
        self.database = Database(
            self._open,
            size=4,
            clock=clock,
            committed=lambda messages: self.dispatcher.collect(messages),
        )
        self.outbox = Outbox(self.database)

    def _open(self) -> CoreConnection:
        self._connections.append(self._connect())
        return self._connections[-1]

    def close(self) -> None:
        for connection in self._connections:
            with suppress(pg8000.exceptions.Error, OSError):
                connection.close()

    def restart(self) -> None:
        """The process died: what its dispatcher knew is gone."""
        self.dispatcher = Dispatcher(self.publisher, lambda: self.outbox, self.clock)

    def emit(self, *messages: Event | Task) -> None:
        self.database.step(lambda tx: tx.emit(*messages))

    def rows(self) -> list[Row]:
        return self.database.call("select id, name, published_at, leased_until from outbox order by position")

    def published(self) -> dict[UUID, datetime | None]:
        return {row["id"]: row["published_at"] for row in self.rows()}


def make_event(number: int = 1, *, topic: str = "orders", name: str = "order.paid") -> Event:
    return Event(topic, name, {"order": {"number": number}})


def make_task(*, not_before: datetime | None = None, payload: dict[str, Any] | None = None) -> Task:
    return Task("payments", "/jobs/payments/capture", payload or {"attempt_id": "a"}, not_before=not_before)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture(scope="session")
def outbox_database(postgres: ScratchServer) -> Address:
    """The relay sweeps whole databases, so these tests have one of their own."""
    return postgres.copy()


@pytest.fixture
def shop(outbox_database: Address, clock: StandingClock) -> Iterator[Shop]:
    made = Shop(outbox_database.url, clock)
    made.database.call("truncate outbox")
    yield made
    made.close()


@pytest.fixture
def another_shop(outbox_database: Address, clock: StandingClock) -> Iterator[Shop]:
    """A second process on the same database, at the same time."""
    made = Shop(outbox_database.url, clock)
    yield made
    made.close()
