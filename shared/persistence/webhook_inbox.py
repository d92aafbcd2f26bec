"""The webhook inbox for staff: pages of what was received, and one event applied again."""

from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.payments.inbox import InboxEvent, NotReplayable, RefusalCount, Wanted, WebhookEventNotFound
from shared.payments.tasks import webhook_task
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction

_COLUMNS = """
e.id, e.provider, e.transmission_id, e.event_id, e.event_type, e.state, e.verdict, e.received_at, e.applied_at,
e.attempts, e.replays, case when e.state in ('received', 'waiting') then e.next_attempt_at end as next_attempt_at,
array(select o.number from orders o where o.id = any (e.order_ids) order by o.number) as order_numbers
"""

# The order of the index webhook_events_received.
_LIST = f"""
select {_COLUMNS} from webhook_events e
where (:provider::text is null or e.provider = :provider) and (:state::text is null or e.state = :state)
    and (:event_type::text is null or e.event_type = :event_type)
    and (:number::text is null or e.order_ids @> array[(select id from orders where number = :number)])
    and (:before_at::timestamptz is null or e.received_at < :before_at
        or (e.received_at = :before_at and e.id > :before_id::uuid))
order by e.received_at desc, e.id limit :limit::int
"""

_GET = f"select {_COLUMNS}, e.body from webhook_events e where e.id = :id::uuid"

# Nothing that was found out is forgotten before it is found out again; the sweep wakes it if the task gets lost.
_REPLAY = """
update webhook_events
set state = 'received', applied_at = null, replays = replays + 1,
    next_attempt_at = :at::timestamptz + interval '10 minutes'
where id = :id::uuid returning id
"""

_REFUSALS = """
select day, provider, reason, count from webhook_refusals
where :day::date is null or (day, provider, reason) < (:day, :provider::text, :reason::text)
order by day desc, provider desc, reason desc limit :limit::int
"""


class WebhookInbox:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_events(
        self, wanted: Wanted, *, limit: int, before: tuple[datetime, UUID] | None = None
    ) -> Sequence[InboxEvent]:
        """The newest first, without their bodies; those after the one with `before`'s moment and id."""
        before_at, before_id = before or (None, None)
        rows = self._database.call(
            _LIST,
            provider=wanted.provider,
            state=wanted.state,
            event_type=wanted.event_type,
            number=wanted.order_number,
            before_at=before_at,
            before_id=before_id,
            limit=limit,
        )
        return [_event(row) for row in rows]

    def get(self, event_id: UUID) -> InboxEvent:
        row = self._database.find(_GET, id=event_id)
        if row is None:
            raise WebhookEventNotFound
        return _event(row)

    def replay(self, event_id: UUID, *, actor: str, answering: Answering[InboxEvent] | None = None) -> InboxEvent:
        """Have it applied again: what it names is read back and its order settled anew, which repeats no fact.

        Raises WebhookEventNotFound; NotReplayable for what nobody could read.
        """

        def in_one_step(tx: Transaction) -> InboxEvent:
            return tx.answer(answering, wake_event(tx, event_id, actor=actor))

        return self._database.step(in_one_step)

    def list_refusals(self, *, limit: int, before: tuple[date, str, str] | None = None) -> Sequence[RefusalCount]:
        day, provider, reason = before or (None, None, None)
        rows = self._database.call(_REFUSALS, day=day, provider=provider, reason=reason, limit=limit)
        return [RefusalCount(row["day"], row["provider"], row["reason"], row["count"]) for row in rows]


def wake_event(tx: Transaction, event_id: UUID, *, actor: str) -> InboxEvent:
    now = tx.clock.now()
    row = tx.find(f"{_GET} for update of e", id=event_id)
    if row is None:
        raise WebhookEventNotFound
    if row["verdict"] == "unreadable":
        raise NotReplayable
    tx.rows(_REPLAY, id=event_id, at=now)
    tx.emit(webhook_task(event_id))
    detail = {"event_type": row["event_type"], "was": row["state"], "verdict": row["verdict"]}
    audit.append(tx, Entry(now, actor, "webhook.replayed", f"webhook-event:{event_id}", detail))
    return _event(tx.one(_GET, id=event_id))


def _event(row: Row) -> InboxEvent:
    return InboxEvent(
        id=row["id"],
        provider=row["provider"],
        transmission_id=row["transmission_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        state=row["state"],
        verdict=row["verdict"],
        received_at=row["received_at"],
        applied_at=row["applied_at"],
        attempts=row["attempts"],
        replays=row["replays"],
        next_attempt_at=row["next_attempt_at"],
        order_numbers=tuple(row["order_numbers"]),
        body=row.get("body"),
    )
