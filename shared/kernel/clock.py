"""Business time. Everything that decides by time asks a Clock; SQL's now() decides nothing (DESIGN.md rule 15)."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> datetime: ...


class SystemClock:
    """The machine's time, aware UTC. It reads time.time() and nothing else, so that a launcher can shift a whole
    process.
    """

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds and a Z, as every answer writes times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_iso(text: str) -> datetime:
    """The inverse of `iso`; takes any offset. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return moment.astimezone(UTC)
