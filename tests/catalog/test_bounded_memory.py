"""An import holds a batch, not a file: four times the rows need no more memory, and none of those before them do."""

import gc
import io
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing

from shared.catalog.files import START, Place, read_rows
from shared.catalog.importing import Batch, Counts, Written, import_rows
from shared.catalog.seen import Seen

LINE = b"SKU-%08d,Lamp" + b" Lamp" * 19 + b",1," + b"warm " * 200 + b"\n"
HEADER = b"sku,name,price,description\n"
BYTES = len(LINE % 0)


class Lines(io.RawIOBase):
    """A file of `count` lines that lies nowhere."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset if whence == io.SEEK_SET else self._at + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # the stubs name a type that is none
        behind = self._at - len(HEADER)
        number = behind // BYTES
        if behind < 0:
            part = HEADER[self._at :]
        elif number < self._count:
            part = (LINE % number)[behind % BYTES :]
        else:
            return 0
        part = part[: len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _import(count: int, *, after: int = 0) -> int:
    """The lines behind the first `after`, into a catalogue that takes everything and keeps nothing."""
    total = Counts()
    place = Place(len(HEADER) + after * BYTES, after + 1) if after else START

    def names_before() -> Iterator[str]:
        for first in range(0, after, 500):
            with closing(Seen()) as batch:
                for number in range(first, first + 500):
                    assert batch.claim_sku(f"SKU-{number:08d}", number + 2) is None
                    assert batch.claim(f"SKU-{number:08d}", number + 2)
                yield batch.named()

    with closing(Seen(names_before())) as seen:

        def write(batch: Batch) -> Written:
            for line in batch.lines:
                seen.claim(line.sku, line.line)
            seen.named()
            return Written(Counts(new=len(batch.lines)), batch.refusals)

        raw = io.BufferedReader(Lines(after + count))
        rows = read_rows(raw, "lamps.csv", after=place)
        assert import_rows(
            rows, after=place, seen=seen, write=write, currency="USD", written=lambda done: total.add(done.counts)
        )
        assert seen.claim_sku("SKU-00000000", 9) == 2
    assert total == Counts(new=count)
    return count


def _peak(work: Callable[[], int]) -> int:
    gc.collect()
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_four_times_the_rows_need_no_more_memory() -> None:
    _import(600)  # imports and caches of the first time
    small = _peak(lambda: _import(1_000))

    assert _peak(lambda: _import(4_000)) < small * 1.2


def test_whoever_goes_on_behind_six_times_the_rows_needs_no_more_memory() -> None:
    _import(600, after=1_000)
    small = _peak(lambda: _import(500, after=1_000))

    assert _peak(lambda: _import(500, after=6_000)) < small * 1.2
