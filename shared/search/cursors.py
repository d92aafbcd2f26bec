"""Cursors of product lists: opaque, bound to the search they were made for, and refused when anything in them is odd.

A cursor holds no secret and opens nothing, so its mark is a plain digest: it tells a cursor of another search, or one
that was changed on the way, from ours. What it says is checked all the same, because anybody may compute a digest.
"""

import base64
import hashlib
import json
from uuid import UUID

from shared.search.listing import Continuation, Matching, Position, Search, Sort, Total
from shared.search.texts import clean

_MAX_LENGTH = 1500
_MOST_TIERS = 5
_LONGEST_TEXT = 200
# A moment is a key in microseconds: far enough for prices and scores, and a date on either side of 1970.
_LARGEST_KEY = 60_000_000_000_000_000
_MARK_BYTES = 9
# Counted up with each change of how texts are ranked: a position in another order would pass products over in silence.
RANKING = 2


class ForeignCursor(Exception):
    """This is no cursor of this list."""


def write_cursor(search: Search, following: Continuation) -> str:
    content = json.dumps(
        [
            following.matching.value,
            following.reach,
            following.corrected,
            following.total.value,
            int(following.total.exact),
            following.after.key,
            following.after.id.hex,
            # Left out where it says nothing: cursors of most lists are those of the version before.
            *([1] if following.steered else []),
        ],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()
    return base64.urlsafe_b64encode(_mark(search, content) + content).decode().rstrip("=")


def read_cursor(search: Search, cursor: str) -> Continuation:
    """Raises ForeignCursor."""
    if len(cursor) > _MAX_LENGTH or not cursor.isascii():
        raise ForeignCursor
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        mark, content = raw[:_MARK_BYTES], raw[_MARK_BYTES:]
        if mark != _mark(search, content):
            raise ForeignCursor
        matching, reach, corrected, value, exact, key, last, *steered = json.loads(content)
        if steered not in ([], [1]):
            raise ForeignCursor
        if not (_is_whole(value) and value >= 0 and exact in (0, 1) and _is_whole(key)):
            raise ForeignCursor
        if not (_is_whole(reach) and -1 <= reach < _MOST_TIERS and _is_text(corrected)):
            raise ForeignCursor
        if (Matching(matching) is Matching.EVERYTHING) != (not search.text):
            raise ForeignCursor
        if corrected is not None and not search.text:
            raise ForeignCursor
        position = Position(key, UUID(hex=last))
        return Continuation(Matching(matching), reach, corrected, Total(value, bool(exact)), position, bool(steered))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ForeignCursor from error


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST_KEY


def _is_text(value: object) -> bool:
    return value is None or (isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and clean(value) == value)


def _mark(search: Search, content: bytes) -> bytes:
    asked = [
        search.text,
        search.category,
        search.brand,
        search.price_min,
        search.price_max,
        search.in_stock,
        search.sorted_by.value,
        search.correct,
        *([RANKING] if search.text and search.sorted_by is Sort.RELEVANCE else []),
    ]
    return hashlib.sha256(json.dumps(asked).encode() + b"\0" + content).digest()[:_MARK_BYTES]
