"""Pages by key: a cursor says where a page ended. It is a word for an address, opens nothing, and is checked."""

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, TypeVar
from uuid import UUID

from msgspec import Meta

from shared.edge.parsing import Query
from shared.edge.problems import Unreadable

T = TypeVar("T")
Limit = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(max_length=400)]


class PageQuery(Query, frozen=True, kw_only=True):
    cursor: Cursor | None = None
    limit: Limit = 24


def cursor_after(rows: Sequence[T], limit: int, place: Callable[[T], tuple[object, ...]]) -> str | None:
    """Where a page ended, by the `place` of its last row, as a word for an address; None where it is the last page."""
    if len(rows) < limit:
        return None
    parts = (part.isoformat() if isinstance(part, date) else str(part) for part in place(rows[-1]))
    return base64.urlsafe_b64encode("\x1f".join(parts).encode()).rstrip(b"=").decode()


def read_cursor(cursor: str | None, parts: int) -> list[str] | None:
    """The parts of a cursor of ours; None where there is none. Raises Unreadable."""
    if cursor is None:
        return None
    try:
        found = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise foreign_cursor() from error
    read = found.split("\x1f")
    if len(read) != parts or "\x00" in found:
        raise foreign_cursor()
    return read


def read_moment_cursor(cursor: str | None) -> tuple[datetime, UUID] | None:
    """Of a list by moment and id. Raises Unreadable."""
    found = read_cursor(cursor, 2)
    if found is None:
        return None
    try:
        moment, place = datetime.fromisoformat(found[0]), UUID(found[1])
    except ValueError as error:
        raise foreign_cursor() from error
    if moment.tzinfo is None:
        raise foreign_cursor()
    return moment, place


def foreign_cursor() -> Unreadable:
    return Unreadable(parameters={"cursor": "is none that this list has given"})
