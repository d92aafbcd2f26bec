"""The webhook inbox as staff see it (DESIGN.md section 5): verdict and body, never a header that proves who sent it."""

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.edge.calls import Call
from shared.edge.masking import mask_text
from shared.edge.paging import Cursor, Limit, foreign_cursor, read_cursor
from shared.edge.parsing import Query, View
from shared.kernel.clock import iso
from shared.payments.inbox import InboxEvent, RefusalCount, Wanted

EventState = Literal["received", "applied", "ignored", "waiting"]


class WebhookEventsQuery(Query, frozen=True, kw_only=True):
    """`type` is the vendor's name of the event, `order` the number of one of our orders."""

    provider: Annotated[str, Meta(min_length=1, max_length=40)] | None = None
    state: EventState | None = None
    type: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    order: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    cursor: Cursor | None = None
    limit: Limit = 24

    @property
    def wanted(self) -> Wanted:
        number = self.order.upper() if self.order is not None else None
        return Wanted(self.provider, self.state, self.type, number)


class WebhookEventView(View, frozen=True, kw_only=True):
    """`state`: received and not applied yet, applied, of no concern to us, or waiting for an order not known yet."""

    id: str
    provider: str
    transmission_id: str
    event_id: str
    type: str
    state: EventState
    verdict: str | None
    received_at: str
    applied_at: str | None
    attempts: int
    replays: int
    next_attempt_at: str | None
    order_numbers: list[str]


class WebhookEventDetailView(WebhookEventView, frozen=True, kw_only=True):
    """`body` is what was sent, as text, with what opens an order or an account masked; what it claims counts for
    nothing, the object it names was read back.
    """

    body: str


class WebhookEventsPage(View, frozen=True, kw_only=True):
    items: list[WebhookEventView]
    next_cursor: str | None


class WebhookRefusalView(View, frozen=True, kw_only=True):
    """So many were refused on that day (UTC) for that reason; nothing else of them was kept."""

    day: str
    provider: str
    reason: str
    count: int


class WebhookRefusalsPage(View, frozen=True, kw_only=True):
    items: list[WebhookRefusalView]
    next_cursor: str | None


def webhook_event_view(event: InboxEvent) -> WebhookEventView:
    return WebhookEventView(**_fields(event))


def webhook_event_detail_view(event: InboxEvent) -> WebhookEventDetailView:
    return WebhookEventDetailView(**_fields(event), body=mask_text(event.body or ""))


def _fields(event: InboxEvent) -> dict[str, Any]:
    return {
        "id": str(event.id),
        "provider": event.provider,
        "transmission_id": event.transmission_id,
        "event_id": event.event_id,
        "type": event.event_type,
        "state": event.state,
        "verdict": event.verdict,
        "received_at": iso(event.received_at),
        "applied_at": iso(event.applied_at) if event.applied_at else None,
        "attempts": event.attempts,
        "replays": event.replays,
        "next_attempt_at": iso(event.next_attempt_at) if event.next_attempt_at else None,
        "order_numbers": list(event.order_numbers),
    }


def webhook_refusal_view(count: RefusalCount) -> WebhookRefusalView:
    return WebhookRefusalView(
        day=count.day.isoformat(), provider=count.provider, reason=count.reason, count=count.count
    )


def read_refusals_cursor(call: Call[Any]) -> tuple[date, str, str] | None:
    """Raises Unreadable."""
    found = read_cursor(call, 3)
    if found is None:
        return None
    try:
        return date.fromisoformat(found[0]), found[1], found[2]
    except ValueError as error:
        raise foreign_cursor() from error
