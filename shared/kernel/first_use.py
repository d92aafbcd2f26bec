"""Made on first use, and once: importing a function makes nothing, and its first sixteen requests come at once.

functools.cache would let each of them make its own pool, and the connections of an instance would be counted wrong.
"""

import threading
from collections.abc import Callable
from functools import update_wrapper
from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)

# One lock for all: what is made may ask for another thing that is made, in any order, without a deadlock.
_making = threading.RLock()


class FirstUse(Generic[T_co]):
    """Calls `make` at the first call and gives what it made to every one; a failure is tried again."""

    def __init__(self, make: Callable[[], T_co]) -> None:
        self._make = make
        self._made: list[T_co] = []
        update_wrapper(self, make)

    def __call__(self) -> T_co:
        if not self._made:
            with _making:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


def first_use(make: Callable[[], T_co]) -> FirstUse[T_co]:
    """`@first_use def database() -> Database: ...` in a function."""
    return FirstUse(make)
