from datetime import UTC, datetime

import pytest

from local.cron import Cron


@pytest.mark.parametrize(
    ("line", "moment", "due"),
    [
        ("* * * * *", "2026-11-22T10:00:00", "2026-11-22T10:01:00"),
        ("* * * * *", "2026-11-22T10:00:59", "2026-11-22T10:01:00"),
        ("*/15 * * * *", "2026-11-22T10:46:00", "2026-11-22T11:00:00"),
        ("30 4 * * *", "2026-12-31T04:30:00", "2027-01-01T04:30:00"),
        ("0 9-17/4 * * 1-5", "2026-11-20T17:30:00", "2026-11-23T09:00:00"),
        ("0 0 1 * *", "2026-11-22T10:00:00", "2026-12-01T00:00:00"),
        ("0 0 13 * 5", "2026-11-01T00:00:00", "2026-11-06T00:00:00"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("5,10 0 * * 7", "2026-11-22T00:05:00", "2026-11-22T00:10:00"),
    ],
)
def test_the_next_due_time_is_the_first_that_is_later(line: str, moment: str, due: str) -> None:
    after = datetime.fromisoformat(moment).replace(tzinfo=UTC)

    found = datetime.fromtimestamp(Cron(line).next_after(after.timestamp()), UTC)

    assert found == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("line", ["", "* * * *", "60 * * * *", "* * 0 * *", "a * * * *", "*/0 * * * *", "5-1 * * * *"])
def test_a_line_that_makes_no_sense_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"cron|minute|hour|day|month"):
        Cron(line)


def test_a_day_that_never_comes_is_refused() -> None:
    with pytest.raises(ValueError, match="never due"):
        Cron("0 0 30 2 *").next_after(0.0)
