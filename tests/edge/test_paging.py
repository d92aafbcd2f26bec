"""A cursor is the place of a page's last row, and there is none where the page is not full."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from shared.edge.paging import cursor_after, read_cursor, read_moment_cursor
from shared.edge.problems import Unreadable

AT = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
ID = UUID("018f0000-0000-7000-8000-000000000001")


def test_a_full_page_is_followed_from_its_last_row() -> None:
    rows = [(datetime(2026, 3, 2, tzinfo=UTC), UUID(int=1)), (AT, ID)]

    assert read_moment_cursor(cursor_after(rows, 2, lambda row: row)) == (AT, ID)


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert cursor_after(["A"], 2, lambda sku: (sku,)) is None
    assert cursor_after([], 1, lambda sku: (sku,)) is None


def test_a_cursor_has_as_many_parts_as_the_place() -> None:
    cursor = cursor_after([(date(2026, 3, 1), "paypal", 7)], 1, lambda row: row)

    assert read_cursor(cursor, 3) == ["2026-03-01", "paypal", "7"]
    with pytest.raises(Unreadable):
        read_cursor(cursor, 2)
