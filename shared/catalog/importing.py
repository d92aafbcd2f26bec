"""Importing a catalogue: good lines go in, bad ones are reported by number and reason, a repeat changes nothing.

Memory is bounded: a batch at a time, and what must be known of a whole file (which SKUs and products it has named) lies
in a temporary database on disk.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol

from shared.catalog.files import BadRow, Row
from shared.catalog.products import ImportLine, Refused
from shared.catalog.rows import read_row

BATCH_LINES = 500


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
class Written:
    """What a batch did."""

    counts: Counts
    refusals: Sequence[Refusal] = field(default_factory=tuple)


class Describing(Protocol):
    """Which line of the file describes a product: the first that names it; the others add variants."""

    def claim(self, group_key: str, line: int) -> bool: ...


class Catalogue(Protocol):
    def write(self, lines: Sequence[ImportLine], *, describing: Describing, default_on_hand: int | None) -> Written:
        """All the lines in one step, which may be run again as a whole."""


def import_rows(
    rows: Iterable[Row | BadRow],
    *,
    catalogue: Catalogue,
    currency: str,
    report: Callable[[Refusal], None],
    default_on_hand: int | None = None,
    batch_written: Callable[[Counts], None] = lambda counts: None,
) -> Counts:
    """Import every row; `report` hears of each refusal, in the order of batches. A new SKU without an on_hand gets
    `default_on_hand` units, if that is given. Two imports at once take turns, batch by batch."""
    total = Counts()
    with closing(Seen()) as seen:
        for batch in _batches(_readable(rows, currency=currency, seen=seen, report=report, counts=total)):
            written = catalogue.write(batch, describing=seen, default_on_hand=default_on_hand)
            for refusal in written.refusals:
                report(refusal)
            total.add(written.counts)
            batch_written(total)
    return total


def _readable(
    rows: Iterable[Row | BadRow], *, currency: str, seen: "Seen", report: Callable[[Refusal], None], counts: Counts
) -> Iterator[ImportLine]:
    for row in rows:
        sku = str(row.cells.get("sku", ""))[:64] if isinstance(row, Row) else ""
        try:
            if isinstance(row, BadRow):
                raise Refused(row.reason)
            line = read_row(row.line, row.cells, currency=currency)
            earlier = seen.claim_sku(line.sku, row.line)
            if earlier is not None:
                raise Refused(f"{line.sku} is on line {earlier} already")
        except Refused as reason:
            counts.refused += 1
            report(Refusal(row.line, sku, str(reason)))
        else:
            yield line


def _batches(lines: Iterable[ImportLine]) -> Iterator[list[ImportLine]]:
    batch: list[ImportLine] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH_LINES:
            yield batch
            batch = []
    if batch:
        yield batch


class Seen:
    """What the file has named so far, in a temporary database that SQLite moves to disk when it grows."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("pragma journal_mode = off")
        self._database.execute("pragma synchronous = off")
        self._database.execute("create table skus (name text primary key, line integer) without rowid")
        self._database.execute("create table products (name text primary key, line integer) without rowid")
        self._database.execute("begin")

    def claim_sku(self, sku: str, line: int) -> int | None:
        """None for the first line with this SKU, else that line's number."""
        return self._claim("skus", sku, line)

    def claim(self, group_key: str, line: int) -> bool:
        """Whether this line is the one that describes the product; it may ask again."""
        earlier = self._claim("products", group_key, line)
        return earlier in (None, line)

    def _claim(self, table: str, name: str, line: int) -> int | None:
        made = self._database.execute(f"insert or ignore into {table} values (?, ?)", (name, line))
        if made.rowcount == 1:
            return None
        earlier: tuple[int] = self._database.execute(f"select line from {table} where name = ?", (name,)).fetchone()
        return earlier[0]

    def close(self) -> None:
        self._database.close()
