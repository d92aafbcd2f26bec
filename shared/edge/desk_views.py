"""What staff see at the desk (DESIGN.md section 5)."""

from typing import Annotated, Any

from msgspec import Meta

from shared.audit.entries import Entry
from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Query, View
from shared.kernel.clock import iso


class AuditQuery(Query, frozen=True, kw_only=True):
    """`subject` is a thing of ours, order:<number> or sku:<sku>."""

    subject: Annotated[str, Meta(min_length=1, max_length=100)] | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class AuditEntryView(View, frozen=True, kw_only=True):
    """Who did what to what, and when; `detail` says what changed."""

    at: str
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditPage(View, frozen=True, kw_only=True):
    items: list[AuditEntryView]
    next_cursor: str | None


def audit_entry_view(entry: Entry) -> AuditEntryView:
    return AuditEntryView(
        at=iso(entry.at), actor=entry.actor, action=entry.action, subject=entry.subject, detail=dict(entry.detail)
    )
