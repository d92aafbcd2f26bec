"""The shortest story that still fails: parts are left out, half of them first, one by one at last (ddmin, bounded)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Part = TypeVar("Part")


@dataclass
class Tries(Generic[Part]):
    """Asks whether a selection of parts still fails, at most so often."""

    fails: Callable[[Sequence[Part]], bool]
    left: int

    def __call__(self, parts: Sequence[Part]) -> bool:
        if self.left <= 0:
            return False
        self.left -= 1
        return self.fails(parts)


def reduce(parts: Sequence[Part], tries: Tries[Part]) -> list[Part]:
    """A smaller selection that still fails; `parts` itself where nothing can be left out, or the tries are used up."""
    kept = list(parts)
    size = max(len(kept) // 2, 1)
    while kept and tries.left > 0:
        reduced = False
        start = 0
        while start < len(kept) and tries.left > 0:
            rest = kept[:start] + kept[start + size :]
            if rest and tries(rest):
                kept, reduced = rest, True
            else:
                start += size
        if size == 1 and not reduced:
            return kept
        size = max(size // 2, 1)
    return kept
