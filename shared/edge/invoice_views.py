"""Invoices and credit notes as staff see them: a list, the taxes of a period, and the rows of a ledger."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, cast

from msgspec import UNSET, Meta, UnsetType, json

from shared.documents.documents import Document
from shared.edge.money_view import MoneyView, money
from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Query, View
from shared.edge.problems import Unreadable
from shared.kernel.clock import iso
from shared.kernel.money import Money

DocumentKind = Literal["invoice", "credit_note"]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")]
CSV, JSON = "text/csv", "application/json"
# How a spreadsheet knows a formula; a cell that begins so is text with a mark before it (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LONGEST = timedelta(days=400)
# One answer, made in memory: a few hundred bytes a row.
MOST_EXPORTED = 10_000


class PeriodQuery(Query, frozen=True, kw_only=True):
    """Days of issue, UTC; the last one belongs to it."""

    first: Day
    last: Day

    def period(self) -> tuple[datetime, datetime]:
        """From its first moment to the first one after it. Raises Unreadable."""
        first, last = _day("first", self.first), _day("last", self.last)
        if last == date.max:
            raise Unreadable(parameters={"last": "has no day after it"})
        if last < first:
            raise Unreadable(parameters={"last": "is before the first day"})
        if last - first > _LONGEST:
            raise Unreadable(parameters={"last": f"is more than {_LONGEST.days} days after the first day"})
        return _midnight(first), _midnight(last) + timedelta(days=1)


class ExportQuery(PeriodQuery, frozen=True, kw_only=True):
    format: Literal["csv", "json"] = "csv"


class DocumentsQuery(Query, frozen=True, kw_only=True):
    kind: DocumentKind | None = None
    order_number: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class DocumentRowView(View, frozen=True, kw_only=True):
    """`invoice` is the number of the invoice that a credit note credits."""

    number: str
    kind: DocumentKind
    issued_at: str
    order_number: str
    buyer: str
    net: MoneyView
    tax: MoneyView
    total: MoneyView
    invoice: str | UnsetType = UNSET


class DocumentsPage(View, frozen=True, kw_only=True):
    items: list[DocumentRowView]
    next_cursor: str | None


class TaxSumView(View, frozen=True, kw_only=True):
    """What documents of one kind amount to at one rate; `rate` is a decimal, 0.0725 for 7.25 %."""

    kind: DocumentKind
    rate: str
    documents: int
    net: MoneyView
    tax: MoneyView
    gross: MoneyView


class TaxSumsView(View, frozen=True, kw_only=True):
    items: list[TaxSumView]


def document_row_view(document: Document) -> DocumentRowView:
    content = document.content
    return DocumentRowView(
        number=document.number,
        kind=document.kind,
        issued_at=iso(document.issued_at),
        order_number=content.order_number,
        buyer=content.buyer.name,
        net=money(content.net_minor, content.currency),
        tax=money(content.tax_minor, content.currency),
        total=money(content.total_minor, content.currency),
        invoice=UNSET if content.invoice_number is None else content.invoice_number,
    )


def tax_sum_view(row: Mapping[str, Any]) -> TaxSumView:
    return TaxSumView(
        kind=cast("DocumentKind", row["kind"]),
        rate=row["rate"],
        documents=row["documents"],
        net=money(row["net_minor"], row["currency"]),
        tax=money(row["tax_minor"], row["currency"]),
        gross=money(row["gross_minor"], row["currency"]),
    )


def export(documents: Sequence[Document], form: Literal["csv", "json"]) -> bytes:
    """One row for each document and rate, oldest first; a credit note's amounts are negative."""
    rows = [row for document in documents for row in _rows(document)]
    if form == "json":
        return json.encode({"items": rows})
    file = io.StringIO()
    writer = csv.DictWriter(file, _COLUMNS)
    writer.writeheader()
    writer.writerows({name: _cell(name, value) for name, value in row.items()} for row in rows)
    return file.getvalue().encode()


_AMOUNTS = ("rate", "net", "tax", "gross")
_COLUMNS = ("number", "kind", "issued_on", "order_number", "invoice", "buyer", "country", "currency", *_AMOUNTS)


def _rows(document: Document) -> list[dict[str, str]]:
    content = document.content
    sign = 1 if document.kind == "invoice" else -1

    def amount(minor: int) -> str:
        return f"{Money(sign * minor, content.currency).major()}"

    return [
        {
            "number": document.number,
            "kind": document.kind,
            "issued_on": document.issued_at.astimezone(UTC).date().isoformat(),
            "order_number": content.order_number,
            "invoice": content.invoice_number or "",
            "buyer": content.buyer.name,
            "country": content.buyer.address[-1],
            "currency": content.currency,
            "rate": part.rate,
            "net": amount(part.net_minor),
            "tax": amount(part.tax_minor),
            "gross": amount(part.gross_minor),
        }
        for part in content.taxes
    ]


def _cell(name: str, value: str) -> str:
    return f"'{value}" if name not in _AMOUNTS and value.startswith(_FORMULA) else value


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise Unreadable(parameters={name: "is no day"}) from error


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
