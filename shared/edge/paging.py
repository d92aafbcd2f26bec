"""Pages by key: a cursor says where a page ended, of which list and with which filter. It is a word for an address.

It holds no secret and opens nothing, so its mark is a plain digest: it tells the cursor of another list, or of the same
one filtered in another way, from this one's. What it says is checked all the same.
"""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.edge.calls import Call
from shared.edge.parsing import Query
from shared.edge.problems import Unreadable

T = TypeVar("T")
Limit = Annotated[int, Meta(ge=1, le=100)]
Cursor = Annotated[str, Meta(max_length=400)]
_MARK_BYTES = 9


class PageQuery(Query, frozen=True, kw_only=True):
    cursor: Cursor | None = None
    limit: Limit = 24


def cursor_after(call: Call[Any], rows: Sequence[T], place: Callable[[T], tuple[object, ...]]) -> str | None:
    """Where a page ended, by the `place` of its last row, as a word for an address; None where it is the last page.

    The query of the call has the list's filter, its limit and the cursor that was asked with.
    """
    return None if len(rows) < call.query.limit else write_cursor(call, place(rows[-1]))


def write_cursor(call: Call[Any], place: tuple[object, ...]) -> str:
    """The place where a page ended as a word for an address."""
    parts = (part.isoformat() if isinstance(part, date) else str(part) for part in place)
    content = "\x1f".join(parts).encode()
    return base64.urlsafe_b64encode(_mark(call, content) + content).rstrip(b"=").decode()


def read_cursor(call: Call[Any], parts: int) -> list[str] | None:
    """The parts of the cursor that the call asks with; None where there is none. Raises Unreadable where this list, as
    it is filtered, has not given it.
    """
    cursor: str | None = call.query.cursor
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, content = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
        found = content.decode()
    except (binascii.Error, ValueError) as error:
        raise foreign_cursor() from error
    read = found.split("\x1f")
    if mark != _mark(call, content) or len(read) != parts or "\x00" in found:
        raise foreign_cursor()
    return read


def read_moment_cursor(call: Call[Any]) -> tuple[datetime, UUID] | None:
    """Of a list by moment and id. Raises Unreadable."""
    found = read_cursor(call, 2)
    if found is None:
        return None
    try:
        return read_cursor_moment(found[0]), UUID(found[1])
    except ValueError as error:
        raise foreign_cursor() from error


def read_cursor_moment(text: str) -> datetime:
    """Raises ValueError, also for a year that no shop has seen: the driver reckons in UTC, and from the first day of
    the first year or the last of the last there is no way there."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or not 2000 <= moment.year <= 9000:
        raise ValueError("no moment of a list")
    return moment


def foreign_cursor() -> Unreadable:
    return Unreadable(parameters={"cursor": "is none that this list has given"})


def _mark(call: Call[Any], content: bytes) -> bytes:
    filtered = msgspec.structs.replace(call.query, cursor=None, limit=1)
    asked = msgspec.json.encode([call.route, call.path, filtered], order="deterministic")
    return hashlib.sha256(asked + b"\0" + content).digest()[:_MARK_BYTES]
