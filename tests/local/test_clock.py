import time
from pathlib import Path

import pytest

from local.clock import Clock


def test_a_clock_without_a_file_shows_the_real_time(tmp_path: Path) -> None:
    before = time.time()
    now = Clock(tmp_path / "clock").now()

    assert before <= now <= time.time()


def test_an_advance_reaches_a_clock_that_was_read_before(tmp_path: Path) -> None:
    reader, writer = Clock(tmp_path / "clock"), Clock(tmp_path / "clock")
    reader.now()

    writer.advance(60)
    writer.advance(0.5)

    assert reader.offset_s() == 60.5
    assert 60 <= reader.now() - time.time() <= 61


def test_the_clock_never_goes_back(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock")
    clock.advance(5)

    for step in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="only goes forward"):
            clock.advance(step)

    assert clock.offset_s() == 5
