"""The webhook inbox as staff see it: what was received and what came of it, and applying it again."""

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from shared.kernel.errors import Conflict, NotFound


class WebhookEventNotFound(NotFound):
    sentence = "There is no such webhook event."


class NotReplayable(Conflict):
    sentence = "Nothing would come of doing this again."


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """One stored event. `order_numbers` are those that it was found to be about; a list leaves `body` out."""

    id: UUID
    provider: str
    transmission_id: str
    event_id: str
    event_type: str
    state: str
    verdict: str | None
    received_at: datetime
    applied_at: datetime | None
    attempts: int
    replays: int
    next_attempt_at: datetime | None
    order_numbers: tuple[str, ...]
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a list of events is narrowed to; None is everything."""

    provider: str | None = None
    state: str | None = None
    event_type: str | None = None
    order_number: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalCount:
    """How often a day's webhooks were refused for a reason; nothing else is kept of them."""

    day: date
    provider: str
    reason: str
    count: int
