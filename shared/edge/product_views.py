"""What staff ask of the catalogue and see of it."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from shared.catalog.exporting import Place
from shared.edge.calls import Call
from shared.edge.paging import foreign_cursor, read_cursor
from shared.edge.parsing import Query

CSV = "text/csv"
# An answer is made in memory: it ends after so many lines, or after the batch in which it has become so long.
MOST_EXPORTED = 10_000
LONGEST_EXPORT = 8 * 1024 * 1024


class ExportQuery(Query, frozen=True, kw_only=True):
    """`on_hand` adds the counts of stock, which an import would take for new counts."""

    on_hand: bool = False
    cursor: Annotated[str, Meta(max_length=600)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_EXPORTED)] = MOST_EXPORTED


def read_place(call: Call[None]) -> Place | None:
    """Raises Unreadable."""
    found = read_cursor(call, 3)
    if found is None:
        return None
    try:
        return UUID(found[0]), int(found[1]), found[2]
    except ValueError as error:
        raise foreign_cursor() from error
