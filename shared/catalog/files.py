"""Reading a catalogue file row by row: JSON Lines or CSV, gzip or plain, in bounded memory whatever the file holds.

A row that cannot be read is a BadRow with its line number and the reading goes on; a file that cannot be read at all is
Unreadable. Between two rows the reading may be left off, and taken up in another process by its Place.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import PurePath
from typing import IO, Any, NoReturn

from shared.catalog.formulas import unmarked
from shared.catalog.rows import column_name

# A row, and in CSV a field, longer than this is a mistake in the file: most often a quote that was never closed.
MAX_ROW_BYTES = 1 << 20


class Unreadable(Exception):
    """This is no catalogue; the message says why, for the merchant."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells by column, as the file has them; `line` counts from 1."""

    line: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Place:
    """Between two rows: so many bytes and lines of the file lie before it, of what a gzip file unpacks to."""

    bytes: int = 0
    line: int = 0


START = Place()


class Rows:
    """The rows one by one; `place` is behind the one that was given last. Raises Unreadable."""

    def __init__(self, raw: IO[bytes], name: str, *, after: Place, most_bytes: int | None) -> None:
        self._raw = raw
        self._stream = _unpacked(raw)
        self._lines = _Lines(self._stream, most_bytes=most_bytes)
        self._rows = _read(self._stream, self._lines, name, after)

    @property
    def place(self) -> Place:
        return Place(self._lines.bytes, self._lines.number)

    @property
    def bytes_read(self) -> int:
        """Of the file as it is, packed or not; of a pipe, what it unpacked to."""
        return self._raw.tell() if self._raw.seekable() else self._lines.bytes

    def __iter__(self) -> "Rows":
        return self

    def __next__(self) -> Row | BadRow:
        return next(self._rows)


def read_rows(raw: IO[bytes], name: str, *, after: Place = START, most_bytes: int | None = None) -> Rows:
    """Every row of the file `raw` called `name`, or those behind the place `after`; numbers are int and Decimal.

    `raw` is seekable, at its beginning. A gzip file is read from there all the same, and thrown away up to `after`: its
    stream can be entered nowhere else. One that unpacks to more than `most_bytes` is Unreadable.
    """
    return Rows(raw, name, after=after, most_bytes=most_bytes)


def _read(stream: IO[bytes], lines: "_Lines", name: str, after: Place) -> Iterator[Row | BadRow]:
    try:
        head = stream.peek(4096)[:4096]  # type: ignore[attr-defined]  # both readers are buffered
        _refuse_other_encodings(head)
        first = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        if not first and len(head) < 4096:
            raise Unreadable("the file is empty")
        suffix = PurePath(name.lower().removesuffix(".gz")).suffix
        if first == b"[" and suffix not in (".csv", ".tsv"):
            raise Unreadable("the file is one JSON array; write one object on each line (JSON Lines)")
        if suffix in (".jsonl", ".ndjson", ".json") or (suffix not in (".csv", ".tsv") and first == b"{"):
            lines.go_on(after)
            yield from _json_rows(lines)
        else:
            header, delimiter = _csv_header(lines)
            lines.go_on(after)
            yield from _csv_rows(lines, header, delimiter)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(f"the file is damaged or ends too early ({error})") from error


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    # By what it is, not by what it is called.
    start = raw.peek(2)[:2]  # type: ignore[attr-defined]
    return gzip.GzipFile(fileobj=raw, mode="rb") if start == b"\x1f\x8b" else raw  # type: ignore[return-value]


def _refuse_other_encodings(head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("the file is UTF-16; save it as UTF-8")
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise Unreadable("the file is a spreadsheet or an archive; save it as CSV (UTF-8)")
    if head.count(b"\0") > len(head) // 8:
        raise Unreadable("the file is not text")


class _TooLong(Exception):
    """The line is longer than MAX_ROW_BYTES; it was skipped."""


class _NotUtf8(Exception):
    """The line is not UTF-8; it was skipped."""


class _Lines:
    """Physical lines as text, numbered; after an exception the next line follows. `bytes` have been read so far."""

    def __init__(self, stream: IO[bytes], *, most_bytes: int | None) -> None:
        self._stream = stream
        self._most_bytes = most_bytes
        self.number = 0
        self.bytes = 0

    def go_on(self, after: Place) -> None:
        """From there, unless that is the beginning."""
        if after.bytes:
            self._stream.seek(after.bytes)
            self.number, self.bytes = after.line, after.bytes

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._some(MAX_ROW_BYTES + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > MAX_ROW_BYTES:
            while line and not line.endswith(b"\n"):
                line = self._some(MAX_ROW_BYTES)
            raise _TooLong
        if self.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        try:
            return line.decode()
        except UnicodeDecodeError:
            raise _NotUtf8 from None

    def _some(self, most: int) -> bytes:
        """A line, or as much of it. Raises Unreadable."""
        found = self._stream.readline(most)
        self.bytes += len(found)
        if self._most_bytes is not None and self.bytes > self._most_bytes:
            raise Unreadable(f"the file is longer than {self._most_bytes} bytes when it is unpacked")
        return found


_BAD_LINE = {_TooLong: f"the line is longer than {MAX_ROW_BYTES} bytes", _NotUtf8: "the line is not valid UTF-8"}


def _json_rows(lines: _Lines) -> Iterator[Row | BadRow]:
    while True:
        try:
            line = next(lines)
            if not line.strip():
                continue
            cells = json.loads(line, parse_float=Decimal, parse_constant=_refuse_constant)
            if isinstance(cells, dict):
                yield Row(lines.number, cells)
            else:
                yield BadRow(lines.number, "the line is not a JSON object")
        except StopIteration:
            return
        except (_TooLong, _NotUtf8) as error:
            yield BadRow(lines.number, _BAD_LINE[type(error)])
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)[:100]
            yield BadRow(lines.number, f"the line is not JSON: {reason}")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _csv_rows(lines: _Lines, header: list[str], delimiter: str) -> Iterator[Row | BadRow]:
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        first = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except (_TooLong, _NotUtf8) as error:
            yield BadRow(lines.number, _BAD_LINE[type(error)])
            continue
        except csv.Error as error:
            hint = "; is a closing quote missing?" if "limit" in str(error) else ""
            yield BadRow(first, f"the line is not CSV: {error}{hint}")
            continue
        if not any(field.strip() for field in fields):
            continue
        if len(fields) != len(header):
            yield BadRow(first, f"the line has {len(fields)} fields, and the header {len(header)}")
            continue
        yield Row(first, dict(zip(header, map(unmarked, fields), strict=True)))


def _csv_header(lines: _Lines) -> tuple[list[str], str]:
    """The columns, and whichever of , ; and tab gives a column `sku`. Raises Unreadable."""
    csv.field_size_limit(MAX_ROW_BYTES)
    try:
        line = next(lines)
    except (_TooLong, _NotUtf8) as error:
        raise Unreadable(f"line 1: {_BAD_LINE[type(error)]}") from None
    for delimiter in (",", ";", "\t"):
        with suppress(csv.Error, StopIteration):
            header = [column_name(name) for name in next(csv.reader([line], delimiter=delimiter))]
            if "sku" in header:
                twice = sorted({name for name in header if name and header.count(name) > 1})
                if twice:
                    raise Unreadable(f"the header names a column twice: {', '.join(twice)}")
                return header, delimiter
    raise Unreadable(f"the header has no column sku: {line.strip()[:120]!r}")
