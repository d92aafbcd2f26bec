"""Milliseconds, and what is said of many of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Times:
    """Sorted. `failed` counts what was not answered; `over` what took longer than search may."""

    took: Sequence[float]
    failed: int = 0

    def at(self, share: float) -> float:
        return self.took[min(int(len(self.took) * share), len(self.took) - 1)]

    @property
    def p50(self) -> float:
        return self.at(0.5)

    @property
    def p95(self) -> float:
        return self.at(0.95)

    @property
    def p99(self) -> float:
        return self.at(0.99)

    def over(self, ms: float) -> int:
        return sum(1 for each in self.took if each > ms)


def measure(asked: Sequence[T], ask: Callable[[T], object], *, rounds: int, within_s: float) -> Times | None:
    """Everything is asked once before, so that plans are made and pages are read, and `rounds` times in the order in
    which it comes; no longer than twice `within_s`. None where nothing is asked or nothing was answered."""
    took: list[float] = []
    failed = 0
    until = time.monotonic() + within_s
    warm = 0
    for one in asked:
        _try(one, ask)
        warm += 1
        if time.monotonic() > until:
            break
    until = time.monotonic() + within_s
    for one in [each for _ in range(rounds) for each in asked[:warm]]:
        began = time.perf_counter()
        answered = _try(one, ask)
        if answered:
            took.append((time.perf_counter() - began) * 1000)
        else:
            failed += 1
        if time.monotonic() > until:
            break
    return Times(sorted(took), failed) if took else None


def _try(one: T, ask: Callable[[T], object]) -> bool:
    """Whether it was answered: what takes too long the database refuses, and the next is asked all the same."""
    try:
        ask(one)
    except Unanswered:
        return False
    return True


class Unanswered(Exception):
    """Refused, or the time was up."""
