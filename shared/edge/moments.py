"""Moments that callers send."""

from datetime import UTC, datetime
from typing import Annotated

from msgspec import Meta

from shared.kernel.errors import Field, Invalid

Moment = Annotated[str, Meta(max_length=40)]


def read_moment(text: str | None, pointer: str) -> datetime | None:
    """Raises Invalid."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None or not 2000 <= moment.year <= 9000:
            raise ValueError
        return moment.astimezone(UTC)
    except ValueError as error:
        raise Invalid([Field(pointer, "A moment of ISO 8601 with its time zone, 2026-12-01T00:00:00Z.")]) from error
