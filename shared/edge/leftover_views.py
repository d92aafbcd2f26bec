"""What staff see of what did not go by itself: dead letters, and rows that nobody has finished."""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args
from uuid import UUID

from msgspec import Meta

from shared.edge.calls import Call
from shared.edge.masking import mask_text
from shared.edge.paging import Cursor, Limit, foreign_cursor, read_cursor, read_cursor_moment
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import SEEN_LINE
from shared.kernel.clock import iso
from shared.outbox.dead_letters import DeadLetter
from shared.outbox.open_rows import Kind, OpenRow, OpenRowNotFound

State = Literal["open", "replayed", "discarded"]


class DeadLettersQuery(Query, frozen=True, kw_only=True):
    state: State | None = None
    subscription: Annotated[str, Meta(min_length=1, max_length=255)] | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class DiscardBody(Body, frozen=True, kw_only=True):
    reason: Annotated[str, Meta(min_length=1, max_length=500, pattern=SEEN_LINE)]


class DeadLetterView(View, frozen=True, kw_only=True):
    """`subscription` is the one whose consumer did not take it; `event_id` and `name` are null for what is no event of
    ours; `attempts` is how often it was given.
    """

    id: str
    subscription: str
    topic: str
    message_id: str
    event_id: str | None
    name: str | None
    attempts: int | None
    received_at: str
    state: State
    replays: int
    closed_at: str | None
    reason: str | None


class DeadLetterDetailView(DeadLetterView, frozen=True, kw_only=True):
    """`payload` is the message's data as text; what in it opens a cart, an order or an account is masked."""

    payload: str


class DeadLettersPage(View, frozen=True, kw_only=True):
    items: list[DeadLetterView]
    next_cursor: str | None


class OpenRowsQuery(Query, frozen=True, kw_only=True):
    kind: Kind | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class OpenRowView(View, frozen=True, kw_only=True):
    """`since` is when it was begun, `age_s` that long ago; `due_at` when it is looked at next, where that is set."""

    kind: Kind
    id: str
    since: str
    age_s: int
    state: str
    what: str
    order_number: str | None
    attempts: int | None
    due_at: str | None
    failure: str | None


class OpenRowsPage(View, frozen=True, kw_only=True):
    items: list[OpenRowView]
    next_cursor: str | None


def dead_letter_view(letter: DeadLetter) -> DeadLetterView:
    return DeadLetterView(**_fields(letter))


def dead_letter_detail_view(letter: DeadLetter) -> DeadLetterDetailView:
    return DeadLetterDetailView(**_fields(letter), payload=mask_text(letter.payload or ""))


def _fields(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": str(letter.id),
        "subscription": letter.subscription,
        "topic": letter.topic,
        "message_id": letter.message_id,
        "event_id": str(letter.event_id) if letter.event_id else None,
        "name": letter.name,
        "attempts": letter.attempts,
        "received_at": iso(letter.received_at),
        "state": letter.state,
        "replays": letter.replays,
        "closed_at": iso(letter.closed_at) if letter.closed_at else None,
        "reason": letter.reason,
    }


def open_row_view(row: OpenRow, *, at: datetime) -> OpenRowView:
    return OpenRowView(
        kind=row.kind,
        id=str(row.id),
        since=iso(row.since),
        age_s=max(0, int((at - row.since).total_seconds())),
        state=row.state,
        what=row.what,
        order_number=row.order_number,
        attempts=row.attempts,
        due_at=iso(row.due_at) if row.due_at else None,
        failure=row.failure,
    )


def read_kind(text: str) -> Kind:
    """Raises OpenRowNotFound for what is none."""
    for kind in get_args(Kind):
        if text == kind:
            found: Kind = kind
            return found
    raise OpenRowNotFound


def read_open_rows_cursor(call: Call[Any]) -> tuple[datetime, str, UUID] | None:
    """Raises Unreadable."""
    found = read_cursor(call, 3)
    if found is None:
        return None
    try:
        return read_cursor_moment(found[0]), found[1], UUID(found[2])
    except ValueError as error:
        raise foreign_cursor() from error
