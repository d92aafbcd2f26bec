"""Importing a catalogue: good lines go in, bad ones are reported by number and reason, a repeat changes nothing.

A batch of lines is one step: what it changes, what it refuses, its counts and the place behind it, all or nothing. So
an import that ends anywhere goes on behind its last batch, and no line counts twice. Memory is bounded by a batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.catalog.files import START, BadRow, Place, Row
from shared.catalog.products import ImportLine, Refused
from shared.catalog.rows import read_row
from shared.catalog.seen import Seen

BATCH_LINES = 500
# Of the file: 500 long rows would be half a gigabyte.
BATCH_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """A line, or a part of it, that did not go in."""

    line: int
    sku: str
    reason: str


@dataclass(slots=True)
class Counts:
    """Lines by what they did. `refused` counts reports; a refused stock count leaves its line among the others."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0

    def add(self, other: "Counts") -> None:
        self.new += other.new
        self.changed += other.changed
        self.unchanged += other.unchanged
        self.refused += other.refused


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that can be read, refusals of those that cannot; `bytes_read` of the file, packed as it may be, so far."""

    after: Place
    place: Place
    lines: Sequence[ImportLine]
    refusals: Sequence[Refusal]
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Written:
    """What a batch did, its own refusals and those of reading it in the order of lines."""

    counts: Counts
    refusals: Sequence[Refusal] = field(default_factory=tuple)


class Describing(Protocol):
    """Which line of the file describes a product: the first that names it; the others add variants."""

    def claim(self, group_key: str, line: int) -> bool: ...


class Rows(Protocol):
    """What shared.catalog.files reads."""

    @property
    def place(self) -> Place: ...
    @property
    def bytes_read(self) -> int: ...
    def __next__(self) -> Row | BadRow: ...


def import_rows(
    rows: Rows,
    *,
    after: Place = START,
    seen: Seen,
    write: Callable[[Batch], Written],
    currency: str,
    written: Callable[[Written], None] = lambda written: None,
    has_time: Callable[[], bool] = lambda: True,
) -> bool:
    """`write` every row, batch by batch, each in a step of its own; whether this was the end of the file.

    `rows` are those behind `after`, and `seen` knows what the rows before have named. Raises Unreadable, behind which
    the batches before are in, and what `write` raises.
    """
    while has_time():
        batch = _next_batch(rows, after=after, seen=seen, currency=currency)
        if batch.place == after:
            return True
        done = write(batch)
        seen.kept()
        written(done)
        after = batch.place
    return False


def _next_batch(rows: Rows, *, after: Place, seen: Seen, currency: str) -> Batch:
    """The next rows; at the end of the file none. Blank lines behind the last row belong to no batch."""
    lines: list[ImportLine] = []
    refusals: list[Refusal] = []
    place = after
    while len(lines) + len(refusals) < BATCH_LINES and place.bytes - after.bytes < BATCH_BYTES:
        try:
            row = next(rows)
        except StopIteration:
            break
        place = rows.place
        found = _read(row, seen=seen, currency=currency)
        if isinstance(found, Refusal):
            refusals.append(found)
        else:
            lines.append(found)
    return Batch(after, place, lines, refusals, rows.bytes_read)


def _read(row: Row | BadRow, *, seen: Seen, currency: str) -> ImportLine | Refusal:
    sku = str(row.cells.get("sku", ""))[:64] if isinstance(row, Row) else ""
    try:
        if isinstance(row, BadRow):
            raise Refused(row.reason)
        line = read_row(row.line, row.cells, currency=currency)
        earlier = seen.claim_sku(line.sku, row.line)
        if earlier is not None:
            raise Refused(f"{line.sku} is on line {earlier} already")
    except Refused as reason:
        return Refusal(row.line, sku, str(reason))
    return line


def in_order(refusals: Iterable[Refusal]) -> list[Refusal]:
    return sorted(refusals, key=lambda refusal: refusal.line)
