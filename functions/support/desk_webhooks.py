"""What vendors have told us, and what came of it."""

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.paging import PageQuery, cursor_after, read_moment_cursor
from shared.edge.routing import Routes
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
from shared.payments.inbox import NotReplayable, WebhookEventNotFound
from shared.persistence.webhook_inbox import WebhookInbox

routes = Routes()


@first_use
def inbox() -> WebhookInbox:
    return WebhookInbox(parts.database(), parts.clock)


@routes.get(
    "/v1/admin/webhook-events", query=WebhookEventsQuery, answers={200: WebhookEventsPage}, permission="webhooks:read"
)
def list_webhook_events(call: Call[None]) -> Reply:
    """What vendors have told us and what came of it, the newest first."""
    before = read_moment_cursor(call)
    events = inbox().list_events(call.query.wanted, limit=call.query.limit, before=before)
    cursor = cursor_after(call, events, lambda event: (event.received_at, event.id))
    return Reply(200, WebhookEventsPage(items=[webhook_event_view(event) for event in events], next_cursor=cursor))


@routes.get(
    "/v1/admin/webhook-events/<event_id>",
    answers={200: WebhookEventDetailView},
    errors=[WebhookEventNotFound],
    permission="webhooks:read",
)
def get_webhook_event(call: Call[None]) -> Reply:
    """One event with its body and the verdict on it."""
    return Reply(200, webhook_event_detail_view(inbox().get(call.uuid("event_id"))))


@routes.post(
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


@routes.get(
    "/v1/admin/webhook-refusals", query=PageQuery, answers={200: WebhookRefusalsPage}, permission="webhooks:read"
)
def list_webhook_refusals(call: Call[None]) -> Reply:
    """How many webhooks were refused, by day and reason, the latest day first."""
    before = read_refusals_cursor(call)
    counts = inbox().list_refusals(limit=call.query.limit, before=before)
    cursor = cursor_after(call, counts, lambda each: (each.day, each.provider, each.reason))
    return Reply(200, WebhookRefusalsPage(items=[webhook_refusal_view(each) for each in counts], next_cursor=cursor))
