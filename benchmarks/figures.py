"""What a benchmark says: a figure beside the floor of the same run, the goal, and where we stand."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

Stand = Literal["met", "missed", "shown", "skipped", "failed"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of the ratio; neither is set where the figure is only to be seen."""

    at_most: float | None = None
    at_least: float | None = None

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"<= {self.at_most:g}"
        return f">= {self.at_least:g}" if self.at_least is not None else "print it"

    def stand(self, ratio: float) -> Stand:
        if self.at_most is not None:
            return "met" if round(ratio, 2) <= self.at_most else "missed"
        if self.at_least is not None:
            return "met" if round(ratio, 2) >= self.at_least else "missed"
        return "shown"


@dataclass(frozen=True, slots=True)
class Figure:
    """`floor` and `ours` are medians, written with their units; `ratio` is the median over pairs that ran together."""

    what: str
    floor: str = ""
    ours: str = ""
    ratio: float | None = None
    goal: str = ""
    stand: Stand = "shown"
    note: str = ""


def compare(
    what: str,
    floors: Sequence[float],
    ours: Sequence[float],
    *,
    unit: str,
    goal: Goal,
    floor_name: str = "",
    note: str = "",
) -> Figure:
    """The n-th of ours ran beside the n-th of the floors: what else the machine did befell both."""
    ratios = [mine / floor for floor, mine in zip(floors, ours, strict=True)]
    ratio = statistics.median(ratios)
    spread = f"ratios {min(ratios):.2f}-{max(ratios):.2f} of {len(ratios)}" if len(ratios) > 1 else ""
    return Figure(
        what=what,
        floor=f"{floor_name} {_number(statistics.median(floors))} {unit}".strip(),
        ours=f"{_number(statistics.median(ours))} {unit}",
        ratio=round(ratio, 3),
        goal=str(goal),
        stand=goal.stand(ratio),
        note="; ".join(part for part in (spread, note) if part),
    )


def bounded(figure: Figure, of_all: str, value: float, *, at_most: float, unit: str) -> Figure:
    """The same figure, whose goal is no ratio: the p99 or the worst of all may not be more than so much."""
    stand: Stand = "met" if value <= at_most else "missed"
    said = f"{of_all} {_number(value)} {unit}"
    note = "; ".join(part for part in (said, figure.note) if part)
    return replace(figure, goal=f"{of_all} <= {at_most:,g} {unit}", stand=stand, note=note)


def skipped(what: str, why: str) -> Figure:
    return Figure(what=what, stand="skipped", note=why)


def failed(what: str, why: str) -> Figure:
    return Figure(what=what, stand="failed", note=why)


def as_table(figures: Iterable[Figure]) -> str:
    """One line a figure, its note below it."""
    head = ("what", "floor", "ours", "ratio", "goal", "stand")
    rows = [(f.what, f.floor, f.ours, "" if f.ratio is None else f"{f.ratio:.2f}", f.goal, f.stand) for f in figures]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [_line(head, widths), _line(["-" * width for width in widths], widths)]
    for figure, row in zip(figures, rows, strict=True):
        lines.append(_line(row, widths))
        if figure.note:
            lines.append(f"    {figure.note}")
    return "\n".join(lines)


def as_json(figures: Iterable[Figure]) -> str:
    return json.dumps([asdict(figure) for figure in figures], indent=1)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
