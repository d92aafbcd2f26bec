"""What a request committed leaves before its answer does, because the CPU is gone afterwards (DESIGN.md rule 11)."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Unavailable
from shared.kernel.logs import Log
from shared.kernel.messages import Message
from shared.outbox.publishing import Publisher, is_due

log = Log(__name__)


class Marks(Protocol):
    def mark_published(self, ids: Sequence[UUID], at: datetime) -> None:
        """Raises Unavailable."""


class _OfThread(threading.local):
    def __init__(self) -> None:
        self.committed: list[Message] = []
        self.published: list[UUID] = []


class Dispatcher:
    """Collects what this thread's steps committed, and publishes it once, best effort: the relay takes what is left.

    Database(committed=dispatcher.collect) fills it; the edge calls flush() when the handler is done. A flow that has
    one more step to commit anyway publishes before it and marks in passing: publish(), then take_published().
    """

    def __init__(self, publisher: Publisher, marks: Callable[[], Marks], clock: Clock) -> None:
        self._publisher = publisher
        self._marks = marks
        self._clock = clock
        self._of_thread = _OfThread()

    def collect(self, messages: Sequence[Message]) -> None:
        """Messages of a transaction that has committed."""
        self._of_thread.committed.extend(messages)

    def publish(self, within_s: float = 1.0) -> None:
        """Hand over what was collected. Never raises, never tries twice."""
        committed, self._of_thread.committed = self._of_thread.committed, []
        now = self._clock.now()
        due = [message for message in committed if is_due(message, now)]
        if due:
            self._of_thread.published += self._publisher.hand_over(due, within_s=within_s)

    def take_published(self) -> list[UUID]:
        """Ids that were published and are not marked yet; they are the caller's to mark now."""
        published, self._of_thread.published = self._of_thread.published, []
        return published

    def flush(self, within_s: float = 1.0) -> None:
        """Publish, then mark in one statement. Never raises: a row left unmarked is published again."""
        self.publish(within_s)
        published = self.take_published()
        if published:
            try:
                self._marks().mark_published(published, self._clock.now())
            except Unavailable:
                log.warning("outbox_not_marked", count=len(published))
