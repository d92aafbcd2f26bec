"""How a purchase is told on a terminal: steps, calls with their times, tables, nothing that breaks a narrow window."""

import sys
import textwrap
import time
from collections.abc import Iterable, Sequence
from typing import TextIO

from local.demo.shop import Called

WIDTH = 96
_CALL = 64
_BOLD, _DIM, _GREEN, _RED, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m", "\x1b[0m"


class Telling:
    """Writes to a terminal in colours, elsewhere plainly."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._colours = out.isatty()
        self._steps = 0
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began

    def title(self, text: str) -> None:
        self._write(self._in(_BOLD, text))

    def step(self, name: str) -> None:
        """What happens next."""
        self._steps += 1
        self._write("")
        self._write(self._in(_BOLD, f"{self._steps:>3}  {name}"))

    def call(self, call: Called) -> None:
        """A call as it went over the wire, and how long its answer took."""
        line = cut_inside(f"{call.method:<6}{call.target}", _CALL)
        self._write(self._in(_DIM, f"     {line:<{_CALL}}  {call.status}  {call.took_s * 1000:>8,.0f} ms"))

    def say(self, text: str) -> None:
        """What came of the step."""
        for line in textwrap.wrap(printable(text), WIDTH - 5, break_on_hyphens=False):
            self._write(f"     {line}")

    def section(self, name: str) -> None:
        self._write("")
        self._write(self._in(_BOLD, printable(name)))

    def table(self, rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> None:
        """Aligned columns; those of `right` end flush. The last one takes what it needs."""
        cells = [[printable(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for row in cells:
            placed = [
                cell.rjust(width) if at in right else cell.ljust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            self._write(("     " + "  ".join(placed)).rstrip())

    def quote(self, text: str, *, lines: int) -> None:
        """The beginning of a longer text."""
        kept = [line.rstrip() for line in text.strip().splitlines()]
        for line in kept[:lines]:
            self._write((self._in(_DIM, "     │ ") + cut_inside(printable(line), WIDTH - 7)).rstrip())
        if len(kept) > lines:
            self._write(self._in(_DIM, f"     │ … {len(kept) - lines} more lines"))

    def done(self, text: str) -> None:
        self._write("")
        self._write(self._in(_GREEN, printable(text)))

    def failed(self, text: str) -> None:
        self._write("")
        self._write(self._in(_RED, printable(text)))

    def _in(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_PLAIN}" if self._colours else text

    def _write(self, line: str) -> None:
        self._out.write(line + "\n")
        self._out.flush()


def printable(text: str) -> str:
    """What a catalogue or a mail contains must not drive the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut_inside(text: str, width: int) -> str:
    """The beginning and the end, which say most, where the whole does not fit."""
    kept = (width - 1) // 3
    return text if len(text) <= width else f"{text[: width - 1 - kept]}…{text[-kept:]}"
