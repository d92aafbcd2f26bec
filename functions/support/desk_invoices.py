"""Invoices and credit notes, for staff."""

from functions.support.wiring import parts
from shared.documents.errors import DocumentNotFound
from shared.edge.calls import Call, Reply
from shared.edge.document_queries import MEDIA, DocumentQuery
from shared.edge.invoice_views import (
    CSV,
    JSON,
    MOST_EXPORTED,
    DocumentsPage,
    DocumentsQuery,
    ExportQuery,
    PeriodQuery,
    TaxSumsView,
    document_row_view,
    export,
    tax_sum_view,
)
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.problems import Unreadable
from shared.edge.routing import Routes
from shared.kernel.first_use import first_use
from shared.persistence.documents import Documents

routes = Routes()


@first_use
def documents() -> Documents:
    return Documents(parts.database(), parts.clock)


@routes.get("/v1/admin/invoices", query=DocumentsQuery, answers={200: DocumentsPage}, permission="invoices:read")
def list_documents(call: Call[None]) -> Reply:
    """Invoices and credit notes, the newest first."""
    asked = call.query
    found = documents().list_issued(
        kind=asked.kind,
        order_number=asked.order_number.upper() if asked.order_number is not None else None,
        before=read_moment_cursor(call),
        limit=asked.limit,
    )
    cursor = cursor_after(call, found, lambda each: (each.issued_at, each.id))
    return Reply(200, DocumentsPage(items=[document_row_view(each) for each in found], next_cursor=cursor))


@routes.get("/v1/admin/invoices/taxes", query=PeriodQuery, answers={200: TaxSumsView}, permission="invoices:read")
def sum_taxes(call: Call[None]) -> Reply:
    """What the documents of a period amount to, by kind and tax rate."""
    first, until = call.query.period()
    rows = documents().sum_taxes(first.date(), until.date())
    return Reply(200, TaxSumsView(items=[tax_sum_view(row) for row in rows]))


@routes.get(
    "/v1/admin/invoices/export", query=ExportQuery, answers={200: None}, media=[CSV, JSON], permission="invoices:read"
)
def export_documents(call: Call[None]) -> Reply:
    """A row for each document of a period and each of its tax rates, oldest first; credit notes count negative."""
    first, until = call.query.period()
    found = documents().list_period(first, until, limit=MOST_EXPORTED + 1)
    if len(found) > MOST_EXPORTED:
        raise Unreadable(parameters={"last": f"makes more than {MOST_EXPORTED} documents; take a shorter period"})
    name = f"documents-{call.query.first}-{call.query.last}.{call.query.format}"
    content_type = f"{CSV}; charset=utf-8" if call.query.format == "csv" else JSON
    headers = {"Content-Type": content_type, "Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(200, export(found, call.query.format), headers)


@routes.get(
    "/v1/admin/invoices/<number>",
    query=DocumentQuery,
    answers={200: None},
    media=MEDIA,
    errors=[DocumentNotFound],
    permission="invoices:read",
)
def get_document(call: Call[None]) -> Reply:
    """An invoice or a credit note by its number, as HTML or PDF."""
    from shared.edge.document_views import document_reply  # what it renders with is heavy

    return document_reply(call, documents().get_by_number(call.path["number"]))
