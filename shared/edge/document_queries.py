"""How documents and timelines are asked for; document_views, which imports more, answers."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Protocol

from msgspec import UNSET, UnsetType

from shared.edge.money_view import MoneyView, money
from shared.edge.parsing import Query, View
from shared.kernel.clock import iso

# Of an answer that is a document: what it may be.
MEDIA = ("text/html", "application/pdf")


class DocumentQuery(Query, frozen=True, kw_only=True):
    """`format` goes before the Accept header."""

    format: Literal["html", "pdf"] | None = None


class HappeningView(View, frozen=True, kw_only=True):
    """`document` is the number of an invoice or credit note, `tracking` carrier and number of a parcel."""

    at: str
    event: Literal[
        "placed",
        "payment_refused",
        "paid",
        "refund_requested",
        "refunded",
        "reversed",
        "expired",
        "cancelled",
        "shipped",
        "delivered",
        "invoice_issued",
        "credit_note_issued",
    ]
    amount: MoneyView | UnsetType = UNSET
    document: str | UnsetType = UNSET
    tracking: str | UnsetType = UNSET


class TimelineView(View, frozen=True, kw_only=True):
    items: list[HappeningView]


class _Happening(Protocol):
    @property
    def at(self) -> datetime: ...
    @property
    def event(self) -> str: ...
    @property
    def amount_minor(self) -> int | None: ...
    @property
    def currency(self) -> str: ...
    @property
    def detail(self) -> str | None: ...


def timeline_view(happenings: Sequence[_Happening]) -> TimelineView:
    return TimelineView(items=[_happening_view(happening) for happening in happenings])


def _happening_view(happening: _Happening) -> HappeningView:
    is_document = happening.event.endswith("_issued")
    detail = UNSET if happening.detail is None else happening.detail
    return HappeningView(
        at=iso(happening.at),
        event=happening.event,  # type: ignore[arg-type]  # one of those that the query names
        amount=UNSET if happening.amount_minor is None else money(happening.amount_minor, happening.currency),
        document=detail if is_document else UNSET,
        tracking=UNSET if is_document else detail,
    )
