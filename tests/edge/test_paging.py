"""A cursor is the place of a page's last row, in one list filtered in one way; a page that is not full has none."""

import base64
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from werkzeug.datastructures import Headers

from shared.accounts.principals import Guest
from shared.edge.calls import Call, Rendered
from shared.edge.leftover_views import read_open_rows_cursor
from shared.edge.paging import Cursor, Limit, PageQuery, cursor_after, read_cursor, read_moment_cursor
from shared.edge.parsing import Query
from shared.edge.problems import Unreadable
from shared.edge.product_views import read_place

AT = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
ID = UUID("018f0000-0000-7000-8000-000000000001")
FOREIGN = {"cursor": "is none that this list has given"}


class _ThingsQuery(Query, frozen=True, kw_only=True):
    state: str | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


def call(query: Query, *, route: str = "GET /v1/admin/things", path: dict[str, str] | None = None) -> Call[None]:
    return Call(
        method="GET",
        route=route,
        path=path or {},
        query=query,
        body=None,
        raw=b"",
        headers=Headers(),
        principal=Guest(),
        client_address="127.0.0.1",
        at=AT,
        give_up_at=AT,
        order_token="",
        if_match=None,
        claim=None,
        rendered=Rendered(),
    )


def page(limit: int, **more: Any) -> Call[None]:
    return call(PageQuery(limit=limit), **more)


def test_a_full_page_is_followed_from_its_last_row() -> None:
    rows = [(datetime(2026, 3, 2, tzinfo=UTC), UUID(int=1)), (AT, ID)]

    cursor = cursor_after(page(2), rows, lambda row: row)

    assert read_moment_cursor(call(PageQuery(cursor=cursor, limit=2))) == (AT, ID)
    assert read_moment_cursor(call(PageQuery(cursor=cursor, limit=50))) == (AT, ID)
    assert read_moment_cursor(page(2)) is None


def test_a_page_that_is_not_full_is_the_last() -> None:
    assert cursor_after(page(2), ["A"], lambda sku: (sku,)) is None
    assert cursor_after(page(1), [], lambda sku: (sku,)) is None


def test_a_cursor_has_as_many_parts_as_the_place() -> None:
    cursor = cursor_after(page(1), [(date(2026, 3, 1), "paypal", 7)], lambda row: row)
    asked = call(PageQuery(cursor=cursor))

    assert read_cursor(asked, 3) == ["2026-03-01", "paypal", "7"]
    with pytest.raises(Unreadable):
        read_cursor(asked, 2)


def test_the_cursor_of_another_list_or_filter_is_refused() -> None:
    cursor = cursor_after(call(_ThingsQuery(state="open", limit=1)), ["A"], lambda sku: (sku,))
    asked = _ThingsQuery(state="open", cursor=cursor)

    assert read_cursor(call(asked), 1) == ["A"]
    for other in (
        call(asked, route="GET /v1/admin/others"),
        call(asked, path={"sku": "A"}),
        call(msgspec.structs.replace(asked, state="closed")),
        call(msgspec.structs.replace(asked, state=None)),
    ):
        with pytest.raises(Unreadable) as refused:
            read_cursor(other, 1)
        assert refused.value.parameters == FOREIGN


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-03-01T12:00:00"])
def test_a_moment_that_no_list_has_is_refused_with_the_right_mark_as_well(moment: str) -> None:
    cursor = cursor_after(page(1), [(moment, ID)], lambda row: row)
    asked = cursor_after(page(1), [(moment, "paypal", ID)], lambda row: row)

    for read, made in ((read_moment_cursor, cursor), (read_open_rows_cursor, asked)):
        with pytest.raises(Unreadable) as refused:
            read(call(PageQuery(cursor=made)))
        assert refused.value.parameters == FOREIGN


@pytest.mark.parametrize("position", ["99999999999", "-2147483649", "9" * 300])
def test_a_place_that_no_column_holds_is_refused(position: str) -> None:
    cursor = cursor_after(page(1), [(ID, position, "LAMP")], lambda row: row)

    with pytest.raises(Unreadable) as refused:
        read_place(call(PageQuery(cursor=cursor)))
    assert refused.value.parameters == FOREIGN


@pytest.mark.parametrize(
    "cursor",
    ["", "A", "x" * 400, "é", str(ID), base64.urlsafe_b64encode(b"2026-03-01T00:00:00+00:00\x1f" + b"0" * 32).decode()],
)
def test_what_no_list_has_given_is_refused(cursor: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read_moment_cursor(call(PageQuery(cursor=cursor)))
    assert refused.value.parameters == FOREIGN
