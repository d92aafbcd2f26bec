"""What staff see at the desk (DESIGN.md section 5)."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.audit.entries import Entry
from shared.edge.masking import mask_id
from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Query, View
from shared.kernel.clock import iso
from shared.orders.lockout import Lockout


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


class LockoutView(View, frozen=True, kw_only=True):
    """Who waits, and why: `refused_payments` within the last hour; `times` it was locked in a row. Of a cart the
    beginning of its id is shown.
    """

    id: str
    kind: Literal["cart", "email", "network"]
    subject: str
    refused_payments: int
    times: int
    locked_until: str | None


class LockoutsPage(View, frozen=True, kw_only=True):
    items: list[LockoutView]
    next_cursor: str | None


def lockout_view(lockout: Lockout) -> LockoutView:
    return LockoutView(
        id=str(lockout.id),
        kind=lockout.kind,
        subject=mask_id(lockout.subject) if lockout.kind == "cart" else lockout.subject,
        refused_payments=len(lockout.refused_at),
        times=lockout.times,
        locked_until=iso(lockout.locked_until) if lockout.locked_until else None,
    )
