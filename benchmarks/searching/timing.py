"""Milliseconds, and what is said of many of them."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def at(took: Sequence[float], share: float) -> float:
    """Of sorted ones."""
    return took[min(int(len(took) * share), len(took) - 1)]


@dataclass(frozen=True, slots=True)
class Times:
    """Sorted. `cpu` is what client and server have computed for each, without waiting for anybody: what it takes where
    nothing else runs, nearly. `failed` counts what was not answered."""

    took: Sequence[float]
    cpu: Sequence[float] = ()
    failed: int = 0

    @property
    def p50(self) -> float:
        return at(self.took, 0.5)

    @property
    def p95(self) -> float:
        return at(self.took, 0.95)

    @property
    def p99(self) -> float:
        return at(self.took, 0.99)

    def over(self, ms: float) -> int:
        return sum(1 for each in self.took if each > ms)


class Cpu:
    """What this thread and some processes of a server have used, in seconds. Nothing where there is no /proc."""

    def __init__(self, *servers: int) -> None:
        self._files = [file for each in servers if (file := Path(f"/proc/{each}/schedstat")).exists()]

    def read(self) -> float:
        return time.thread_time() + sum(int(file.read_text().split()[0]) for file in self._files) / 1e9


def measure(
    asked: Sequence[T], ask: Callable[[T], object], *, rounds: int, within_s: float, cpu: Cpu | None = None
) -> Times | None:
    """Everything is asked once before, so that plans are made and pages are read, and `rounds` times in the order in
    which it comes; no longer than twice `within_s`. None where nothing is asked or nothing was answered."""
    took: list[float] = []
    used: list[float] = []
    failed = warm = 0
    until = time.monotonic() + within_s
    for one in asked:
        _try(one, ask)
        warm += 1
        if time.monotonic() > until:
            break
    until = time.monotonic() + within_s
    for one in [each for _ in range(rounds) for each in asked[:warm]]:
        before = cpu.read() if cpu is not None else 0.0
        began = time.perf_counter()
        answered = _try(one, ask)
        ended = time.perf_counter()
        if answered:
            took.append((ended - began) * 1000)
        else:
            failed += 1
        if cpu is not None and answered:
            used.append((cpu.read() - before) * 1000)
        if time.monotonic() > until:
            break
    return Times(sorted(took), sorted(used), failed) if took else None


def _try(one: T, ask: Callable[[T], object]) -> bool:
    """Whether it was answered: what takes too long the database refuses, and the next is asked all the same."""
    try:
        ask(one)
    except Unanswered:
        return False
    return True


class Unanswered(Exception):
    """Refused, or the time was up."""
