"""What does not add up between PayPal, orders and stock."""

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.reconciliation_views import (
    FindingsQuery,
    FindingView,
    ReconciliationView,
    ResolveBody,
    RunView,
    finding_view,
    run_view,
)
from shared.edge.routing import Routes
from shared.kernel.first_use import first_use
from shared.orders.findings import FindingClosed, FindingNotFound
from shared.persistence.reconciliation import Findings, Runs

routes = Routes()


@first_use
def runs() -> Runs:
    return Runs(parts.database(), parts.clock)


@first_use
def findings() -> Findings:
    return Findings(parts.database(), parts.clock)


@routes.get(
    "/v1/admin/reconciliation",
    query=FindingsQuery,
    answers={200: ReconciliationView},
    permission="reconciliation:read",
)
def show_reconciliation(call: Call[None]) -> Reply:
    """What does not add up between PayPal, orders and stock, the newest first: empty when all is well."""
    before = read_moment_cursor(call)
    found = findings().list_findings(call.query.state, before=before, limit=call.query.limit)
    view = ReconciliationView(
        runs=[run_view(run) for run in runs().list_latest()],
        items=[finding_view(finding) for finding in found],
        next_cursor=cursor_after(call, found, lambda each: (each.found_at, each.id)),
    )
    return Reply(200, view)


@routes.post("/v1/admin/reconciliation", answers={202: RunView}, permission="reconciliation:write")
def ask_for_reconciliation(call: Call[None]) -> Reply:
    """Compare everything now; where that is under way already, the run that is."""
    runs().ask(actor=call.actor, answering=call.answering(202, run_view))
    return Reply(202)


@routes.post(
    "/v1/admin/reconciliation/findings/<finding_id>/resolve",
    body=ResolveBody,
    answers={200: FindingView},
    errors=[FindingNotFound, FindingClosed],
    permission="reconciliation:write",
)
def resolve_finding(call: Call[ResolveBody]) -> Reply:
    """Say why something is as it is; nothing else changes by it."""
    finding_id, answering = call.uuid("finding_id"), call.answering(200, finding_view)
    findings().resolve(finding_id, actor=call.actor, reason=call.body.reason, answering=answering)
    return Reply(200)
