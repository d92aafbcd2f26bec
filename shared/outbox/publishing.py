"""Handing messages over to Pub/Sub and Cloud Tasks: a request does it after its commit, the relay with the rest."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from shared.kernel.errors import Declined, ShopError
from shared.kernel.logs import Log
from shared.kernel.messages import Event, Message, Task

log = Log(__name__)

# Cloud Tasks takes a schedule time of 30 days at most; an hour less leaves room for clocks that differ.
HORIZON = timedelta(days=30) - timedelta(hours=1)


class Topics(Protocol):
    """Pub/Sub, as shared.gateways.pubsub provides it."""

    def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
        """Publish them in one call, all or none. Raises Unavailable within that time."""


class Queues(Protocol):
    """Cloud Tasks, as shared.gateways.tasks provides it."""

    def enqueue(self, task: Task, *, within_s: float) -> None:
        """Create the task under its own id; the second time does nothing. Raises Unavailable within that time."""


def is_due(message: Message, now: datetime) -> bool:
    """Whether it can be handed over already; a task beyond the horizon waits in the outbox."""
    return isinstance(message, Event) or message.not_before is None or message.not_before <= now + HORIZON


T = TypeVar("T")


class _Once(Generic[T]):
    """What the factory makes, made when it is first asked for: a client keeps its connection."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._lock = threading.Lock()

    def __call__(self) -> T:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made


class Publisher:
    """Hands messages over within a time. Its clients are made on first use, once, and must be safe for threads."""

    def __init__(
        self, topics: Callable[[], Topics], queues: Callable[[], Queues], *, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._topics = _Once(topics)
        self._queues = _Once(queues)
        self._ticks = ticks

    def hand_over(self, messages: Sequence[Message], *, within_s: float) -> list[UUID]:
        """The ids of the messages that were certainly taken. Never raises: what failed comes again from the outbox.

        The time is shared out among the destinations, so that one that hangs leaves the others theirs.
        """
        events: dict[str, list[Event]] = {}
        tasks: dict[str, list[Task]] = {}
        for message in messages:
            if isinstance(message, Event):
                events.setdefault(message.topic, []).append(message)
            else:
                tasks.setdefault(message.queue, []).append(message)

        taken: list[UUID] = []
        left = len(events) + len(tasks)
        until = self._ticks() + within_s
        for topic, batch in events.items():
            taken += self._publish(topic, batch, (until - self._ticks()) / left)
            left -= 1
        for queue, errands in tasks.items():
            taken += self._enqueue(queue, errands, (until - self._ticks()) / left)
            left -= 1
        return taken

    def _publish(self, topic: str, events: Sequence[Event], within_s: float) -> list[UUID]:
        taken: list[UUID] = []
        until = self._ticks() + within_s
        with _leaving_failures_to_the_relay(topic):
            try:
                self._topics().publish_all(topic, events, within_s=within_s)
                taken += [event.id for event in events]
            except Declined:
                if len(events) == 1:
                    raise
                # One of them is refused for good, and a batch goes whole or not at all: each for itself, then.
                for event in events:
                    taken += self._publish(topic, [event], until - self._ticks())
        return taken

    def _enqueue(self, queue: str, tasks: Sequence[Task], within_s: float) -> list[UUID]:
        taken: list[UUID] = []
        with _leaving_failures_to_the_relay(queue):
            queues = self._queues()
            until = self._ticks() + within_s
            for task in tasks:
                try:
                    queues.enqueue(task, within_s=until - self._ticks())
                    taken.append(task.id)
                except Declined as refused:  # this one for good; those behind it are no worse for that
                    log.warning("outbox_left_to_relay", destination=queue, error=type(refused).__name__)
        return taken


@contextmanager
def _leaving_failures_to_the_relay(destination: str) -> Iterator[None]:
    """The work is committed: no failure here, not even a mistake of ours, may turn its answer into an error."""
    try:
        yield
    except ShopError as error:
        log.warning("outbox_left_to_relay", destination=destination, error=type(error).__name__)
    except Exception as error:  # noqa: BLE001 - see above; it is logged, and the relay meets it again
        log.error("outbox_left_to_relay", exc=error, destination=destination)
