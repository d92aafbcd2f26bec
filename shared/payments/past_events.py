"""What the processor says it has told us: its own list of events, for those that never came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PastEvent:
    """An event as it would have been delivered; `body` is its JSON."""

    id: str
    event_type: str
    body: str


@dataclass(frozen=True, slots=True)
class PageOfEvents:
    """`next` is where the list goes on, None at its end."""

    events: tuple[PastEvent, ...]
    next: str | None


class EventHistory(Protocol):
    def list_events(self, *, since: datetime, until: datetime, cursor: str | None) -> PageOfEvents:
        """Those created from `since` to `until`, a page at a time, the newest first. Raises Unavailable."""
        ...
