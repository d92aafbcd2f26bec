"""What was begun and nobody has finished."""

from functools import partial

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.leftover_views import (
    OpenRowsPage,
    OpenRowsQuery,
    OpenRowView,
    open_row_view,
    read_kind,
    read_open_rows_cursor,
)
from shared.edge.paging import cursor_after
from shared.edge.routing import Routes
from shared.kernel.first_use import first_use
from shared.outbox.open_rows import OpenRowNotFound, RowAtWork, RowFinal
from shared.persistence.open_rows import OpenRows

routes = Routes()


@first_use
def open_rows() -> OpenRows:
    return OpenRows(parts.database(), parts.clock)


@routes.get("/v1/admin/open-rows", query=OpenRowsQuery, answers={200: OpenRowsPage}, permission="open-rows:read")
def list_open_rows(call: Call[None]) -> Reply:
    """What was begun and is open: messages, captures, refunds, tracking numbers, webhooks, mails; the oldest."""
    query = call.query
    rows = open_rows().list_rows(kind=query.kind, limit=query.limit, after=read_open_rows_cursor(call))
    cursor = cursor_after(call, rows, lambda row: (row.since, row.kind, row.id))
    return Reply(200, OpenRowsPage(items=[open_row_view(row, at=call.at) for row in rows], next_cursor=cursor))


@routes.post(
    "/v1/admin/open-rows/<kind>/<row_id>/replay",
    answers={200: OpenRowView},
    errors=[OpenRowNotFound, RowAtWork, RowFinal],
    permission="open-rows:write",
)
def wake_open_row(call: Call[None]) -> Reply:
    """Have that one row worked on now, as the sweeps would do it later."""
    kind, row_id = read_kind(call.path["kind"]), call.uuid("row_id")
    answering = call.answering(200, partial(open_row_view, at=call.at))
    open_rows().wake(kind, row_id, actor=call.actor, answering=answering)
    return Reply(200)
