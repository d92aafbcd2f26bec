"""What no consumer took."""

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.leftover_views import (
    DeadLetterDetailView,
    DeadLettersPage,
    DeadLettersQuery,
    DeadLetterView,
    DiscardBody,
    dead_letter_detail_view,
    dead_letter_view,
)
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.kernel.first_use import first_use
from shared.outbox.dead_letters import DeadLetterDiscarded, DeadLetterNotFound, DeadLetterReplayed, NotSendable
from shared.persistence.dead_letters import DeadLetters

routes = Routes()


@first_use
def dead_letters() -> DeadLetters:
    return DeadLetters(parts.database(), parts.clock)


@routes.get(
    "/v1/admin/dead-letters", query=DeadLettersQuery, answers={200: DeadLettersPage}, permission="dead-letters:read"
)
def list_dead_letters(call: Call[None]) -> Reply:
    """Messages that no consumer took, the newest first."""
    query = call.query
    letters = dead_letters().list_letters(
        state=query.state,
        subscription=query.subscription,
        limit=query.limit,
        before=read_moment_cursor(call),
    )
    cursor = cursor_after(call, letters, lambda letter: (letter.received_at, letter.id))
    return Reply(200, DeadLettersPage(items=[dead_letter_view(letter) for letter in letters], next_cursor=cursor))


@routes.get(
    "/v1/admin/dead-letters/<letter_id>",
    answers={200: DeadLetterDetailView},
    errors=[DeadLetterNotFound],
    permission="dead-letters:read",
)
def get_dead_letter(call: Call[None]) -> Reply:
    """One of them with its payload."""
    return Reply(200, dead_letter_detail_view(dead_letters().get(call.uuid("letter_id"))))


@routes.post(
    "/v1/admin/dead-letters/<letter_id>/replay",
    answers={200: DeadLetterView},
    errors=[DeadLetterNotFound, DeadLetterDiscarded, NotSendable],
    permission="dead-letters:write",
)
def replay_dead_letter(call: Call[None]) -> Reply:
    """Send the same event again, under its id: whoever took it before knows it. The answer is kept, so it is short."""
    answering = call.answering(200, dead_letter_view)
    dead_letters().replay(call.uuid("letter_id"), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/dead-letters/<letter_id>/discard",
    body=DiscardBody,
    answers={200: DeadLetterView},
    errors=[DeadLetterNotFound, DeadLetterDiscarded, DeadLetterReplayed],
    permission="dead-letters:write",
)
def discard_dead_letter(call: Call[DiscardBody]) -> Reply:
    """Put it away for good, for a reason."""
    answering = call.answering(200, dead_letter_view)
    dead_letters().discard(call.uuid("letter_id"), reason=call.body.reason, actor=call.actor, answering=answering)
    return Reply(200)
