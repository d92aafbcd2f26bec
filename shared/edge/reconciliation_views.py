"""What staff see of reconciliation, and say to it (DESIGN.md section 5)."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import SEEN_LINE
from shared.kernel.clock import iso
from shared.orders.findings import KnownFinding, Run


class FindingsQuery(Query, frozen=True, kw_only=True):
    """`state`: what waits for a repair or a person, what was put right, or what has a reason."""

    state: Literal["open", "repaired", "explained"] = "open"
    cursor: Cursor | None = None
    limit: Limit = 24


class ResolveBody(Body, frozen=True, kw_only=True):
    """Why it is as it is; it is not found again while it stays so."""

    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=SEEN_LINE)]


class RunView(View, frozen=True, kw_only=True):
    """`step` is how far it has come; `counts` what it looked at, and `found_<kind>` what it found."""

    id: str
    kind: str
    asked_by: str
    started_at: str
    finished_at: str | None
    step: str
    counts: dict[str, int]


class FindingView(View, frozen=True, kw_only=True):
    """`subject` is what it is about: a SKU and location, an order number, or an id of PayPal's."""

    id: str
    kind: str
    subject: str
    order_number: str | None
    state: str
    detail: dict[str, Any]
    found_at: str
    seen_at: str
    closed_at: str | None
    closed_by: str | None
    reason: str | None


class ReconciliationView(View, frozen=True, kw_only=True):
    """`runs`: those under way, and the last of each kind that ended."""

    runs: list[RunView]
    items: list[FindingView]
    next_cursor: str | None


def run_view(run: Run) -> RunView:
    return RunView(
        id=str(run.id),
        kind=run.kind,
        asked_by=run.asked_by,
        started_at=iso(run.started_at),
        finished_at=iso(run.finished_at) if run.finished_at is not None else None,
        step=run.step,
        counts=run.counts,
    )


def finding_view(finding: KnownFinding) -> FindingView:
    return FindingView(
        id=str(finding.id),
        kind=finding.kind,
        subject=finding.subject,
        order_number=finding.order_number,
        state=finding.state,
        detail=dict(finding.detail),
        found_at=iso(finding.found_at),
        seen_at=iso(finding.seen_at),
        closed_at=iso(finding.closed_at) if finding.closed_at is not None else None,
        closed_by=finding.closed_by,
        reason=finding.reason,
    )
