"""What leaves a transaction: events for whoever listens, tasks for one of our own jobs. Both wait in the outbox."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.kernel.ids import new_id

# Raised when the shape of a payload changes; consumers take this version and the one before (DESIGN.md rule 15).
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened, `order.paid`. The payload is frozen here; a consumer knows the event by `id`."""

    topic: str
    name: str
    payload: Mapping[str, object]
    id: UUID = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Task:
    """A wake-up for a row of ours: POST `payload` to `path` of the queue's deployment, not before `not_before`."""

    queue: str
    path: str
    payload: Mapping[str, object]
    not_before: datetime | None = None
    id: UUID = field(default_factory=new_id)


Message = Event | Task
