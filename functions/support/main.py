"""Support: the desk, where staff see orders, move money back and look after what has not gone by itself (`desk`)."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.desk_views import AuditPage, AuditQuery, LockoutsPage, audit_entry_view, lockout_view
from shared.edge.paging import PageQuery, make_cursor, read_moment_cursor
from shared.edge.webhook_inbox_views import (
    WebhookEventDetailView,
    WebhookEventsPage,
    WebhookEventsQuery,
    WebhookRefusalsPage,
    read_refusals_cursor,
    webhook_event_detail_view,
    webhook_event_view,
    webhook_refusal_view,
)
from shared.kernel.first_use import first_use
from shared.orders.lockout import LockoutNotFound
from shared.payments.inbox import NotReplayable, WebhookEventNotFound
from shared.persistence.audit import AuditLog
from shared.persistence.lockouts import Lockouts
from shared.persistence.webhook_inbox import WebhookInbox
from shared.wiring.parts import Parts

parts = Parts()
api = Api("desk", services=parts.services(signed_in=True))


@first_use
def inbox() -> WebhookInbox:
    return WebhookInbox(parts.database(), parts.clock)


def desk(request: Request) -> Response:
    """The entry point of the deployment `desk`."""
    return api.serve(request)


# What staff did ------------------------------------------------------------------------------------------


@api.get("/v1/admin/audit-log", query=AuditQuery, answers={200: AuditPage}, permission="audit:read")
def list_audit_log(call: Call[None]) -> Reply:
    """Who did what, the newest first; all of it, or what was done to one thing."""
    before = read_moment_cursor(call.query.cursor)
    entries = AuditLog(parts.database()).list_entries(call.query.subject, limit=call.query.limit, before=before)
    last = entries[-1] if len(entries) == call.query.limit else None
    cursor = make_cursor(last.at.isoformat(), last.id) if last else None
    return Reply(200, AuditPage(items=[audit_entry_view(entry) for entry in entries], next_cursor=cursor))


# What vendors have told us, and what came of it -----------------------------------------------------------


@api.get(
    "/v1/admin/webhook-events", query=WebhookEventsQuery, answers={200: WebhookEventsPage}, permission="webhooks:read"
)
def list_webhook_events(call: Call[None]) -> Reply:
    """What vendors have told us and what came of it, the newest first."""
    before = read_moment_cursor(call.query.cursor)
    events = inbox().list_events(call.query.wanted, limit=call.query.limit, before=before)
    last = events[-1] if len(events) == call.query.limit else None
    cursor = make_cursor(last.received_at.isoformat(), last.id) if last else None
    return Reply(200, WebhookEventsPage(items=[webhook_event_view(event) for event in events], next_cursor=cursor))


@api.get(
    "/v1/admin/webhook-events/<event_id>",
    answers={200: WebhookEventDetailView},
    errors=[WebhookEventNotFound],
    permission="webhooks:read",
)
def get_webhook_event(call: Call[None]) -> Reply:
    """One event with its body and the verdict on it."""
    return Reply(200, webhook_event_detail_view(inbox().get(call.uuid("event_id"))))


@api.post(
    "/v1/admin/webhook-events/<event_id>/replay",
    answers={200: WebhookEventDetailView},
    errors=[WebhookEventNotFound, NotReplayable],
    permission="webhooks:write",
)
def replay_webhook_event(call: Call[None]) -> Reply:
    """Have it applied again: its object is read back at the vendor, and what is known already stays as it is."""
    answering = call.answering(200, webhook_event_detail_view)
    inbox().replay(call.uuid("event_id"), actor=call.actor, answering=answering)
    return Reply(200)


@api.get("/v1/admin/webhook-refusals", query=PageQuery, answers={200: WebhookRefusalsPage}, permission="webhooks:read")
def list_webhook_refusals(call: Call[None]) -> Reply:
    """How many webhooks were refused, by day and reason, the latest day first."""
    before = read_refusals_cursor(call.query.cursor)
    counts = inbox().list_refusals(limit=call.query.limit, before=before)
    last = counts[-1] if len(counts) == call.query.limit else None
    cursor = make_cursor(last.day.isoformat(), last.provider, last.reason) if last else None
    return Reply(200, WebhookRefusalsPage(items=[webhook_refusal_view(each) for each in counts], next_cursor=cursor))


# Who waits after too many refused payments ---------------------------------------------------------------


@api.get("/v1/admin/lockouts", query=PageQuery, answers={200: LockoutsPage}, permission="lockouts:read")
def list_lockouts(call: Call[None]) -> Reply:
    """Carts, e-mail addresses and networks that wait after too many refused payments, the longest wait first."""
    after = read_moment_cursor(call.query.cursor)
    found = Lockouts(parts.database(), parts.clock).list_locked(limit=call.query.limit, after=after)
    last = found[-1] if len(found) == call.query.limit else None
    cursor = make_cursor(last.locked_until.isoformat(), last.id) if last and last.locked_until else None
    return Reply(200, LockoutsPage(items=[lockout_view(lockout) for lockout in found], next_cursor=cursor))


@api.delete(
    "/v1/admin/lockouts/<lockout_id>", answers={204: None}, errors=[LockoutNotFound], permission="lockouts:write"
)
def lift_lockout(call: Call[None]) -> Reply:
    """Let it go on at once: its refusals are forgotten."""
    Lockouts(parts.database(), parts.clock).lift(call.uuid("lockout_id"), actor=call.actor)
    return Reply(204)
