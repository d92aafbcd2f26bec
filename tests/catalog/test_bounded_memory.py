"""An import holds a batch, not a file: six times the rows need no more memory."""

import gc
import tracemalloc
from collections.abc import Iterator, Sequence

from shared.catalog.files import Row
from shared.catalog.importing import Counts, Describing, Refusal, Written, import_rows
from shared.catalog.products import ImportLine


class Nowhere:
    """A catalogue that takes everything and keeps nothing."""

    def write(self, lines: Sequence[ImportLine], *, describing: Describing, default_on_hand: int | None) -> Written:
        for line in lines:
            describing.claim(line.sku, line.line)
        return Written(Counts(new=len(lines)))


def _rows(count: int) -> Iterator[Row]:
    for number in range(count):
        cells = {"sku": f"SKU-{number}", "name": "Lamp " * 20, "price": "1", "description": "warm " * 200}
        yield Row(number + 1, cells)


def _peak(count: int) -> int:
    gc.collect()
    tracemalloc.start()
    refusals: list[Refusal] = []
    counts = import_rows(_rows(count), catalogue=Nowhere(), currency="USD", report=refusals.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (counts.new, refusals) == (count, [])
    return peak


def test_six_times_the_rows_need_no_more_memory() -> None:
    _peak(600)  # imports and caches of the first time
    small = _peak(1_000)

    assert _peak(6_000) < small * 1.2
