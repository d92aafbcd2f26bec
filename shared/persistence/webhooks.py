"""What vendors have told us: stored once, woken until it is settled, counted where it was refused."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from shared.kernel.messages import Task
from shared.payments.webhooks import PROVIDER, State, WebhookEvent
from shared.persistence.database import Database, Row, Transaction

# Both unique constraints may be hurt, by transmission and by event. A second delivery at the same moment waits until
# the first has committed, and then finds it there.
_KEEP = """
insert into webhook_events (id, provider, transmission_id, event_id, event_type, body, received_at, state, verdict,
    applied_at, next_attempt_at)
values (:id::uuid, :provider::text, :transmission_id::text, :event_id::text, :event_type::text, :body::text,
    :received_at::timestamptz, :state::text, :verdict::text,
    case when :state::text = 'ignored' then :received_at::timestamptz end,
    :received_at::timestamptz + interval '2 minutes')
on conflict do nothing returning id
"""

_COUNT_REFUSAL = """
insert into webhook_refusals as r (provider, reason, day, count)
values (:provider::text, :reason::text, (:at::timestamptz at time zone 'UTC')::date, 1)
on conflict (provider, reason, day) do update set count = r.count + 1
"""

# Waits double from two minutes to about an hour, counted from the last try.
_BEGIN = """
update webhook_events
set attempts = attempts + 1,
    next_attempt_at = :at::timestamptz + interval '1 minute' * (2 ^ least(attempts + 1, 6))
where id = :id::uuid and state in ('received', 'waiting')
returning id, transmission_id, event_id, event_type, body, received_at, state, verdict, replays
"""

_CONCLUDE = """
update webhook_events
set state = :state::text, verdict = :verdict::text, order_ids = :order_ids::uuid[],
    applied_at = case when :state::text = 'waiting' then null else :at::timestamptz end
where id = :id::uuid and state in ('received', 'waiting')
"""

_FIND_IN_LEDGER = """
select order_id from payment_facts
where provider = 'paypal' and kind = :kind::text and object_id = :object_id::text and status = :status::text
    and update_time = :update_time::text
"""

# The task sets the time after this one when it begins; one that is lost is woken again in ten minutes.
_WAKE_DUE = """
with due as materialized (
    select id from webhook_events
    where state in ('received', 'waiting') and next_attempt_at <= :at::timestamptz
    order by next_attempt_at limit :limit::int
    for update skip locked
)
update webhook_events e set next_attempt_at = :at::timestamptz + interval '10 minutes'
from due where e.id = due.id
returning e.id
"""


class WebhookEvents:
    """Provides payments.webhooks.Events and payments.applying.OpenEvents. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def keep(self, event: WebhookEvent, *tasks: Task) -> bool:
        def step(tx: Transaction) -> bool:
            is_new = bool(
                tx.rows(
                    _KEEP,
                    id=event.id,
                    provider=PROVIDER,
                    transmission_id=event.transmission_id,
                    event_id=event.event_id,
                    event_type=event.event_type,
                    body=event.body,
                    received_at=event.received_at,
                    state=event.state,
                    verdict=event.verdict,
                )
            )
            if is_new:
                tx.emit(*tasks)
            return is_new

        return self._database.step(step)

    def count_refusal(self, provider: str, reason: str, at: datetime) -> None:
        self._database.call(_COUNT_REFUSAL, provider=provider, reason=reason, at=at)

    def begin(self, event_id: UUID, at: datetime) -> WebhookEvent | None:
        row = self._database.find(_BEGIN, id=event_id, at=at)
        return None if row is None else _event(row)

    def conclude(
        self, event_id: UUID, state: State, verdict: str, at: datetime, *, order_ids: Sequence[UUID] = ()
    ) -> None:
        self._database.call(
            _CONCLUDE, id=event_id, state=state, verdict=verdict, order_ids=sorted(set(order_ids)), at=at
        )

    def find_in_ledger(self, kind: str, object_id: str, status: str, update_time: str) -> list[UUID] | None:
        found = self._database.call(
            _FIND_IN_LEDGER, kind=kind, object_id=object_id, status=status, update_time=update_time
        )
        return [row["order_id"] for row in found if row["order_id"] is not None] if found else None

    def wake_due(self, at: datetime, limit: int, task: Callable[[UUID], Task]) -> int:
        def step(tx: Transaction) -> int:
            woken = tx.rows(_WAKE_DUE, at=at, limit=limit)
            tx.emit(*(task(row["id"]) for row in woken))
            return len(woken)

        return self._database.step(step)


def _event(row: Row) -> WebhookEvent:
    return WebhookEvent(
        id=row["id"],
        transmission_id=row["transmission_id"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        body=row["body"],
        received_at=row["received_at"],
        state=row["state"],
        verdict=row["verdict"],
        replays=row["replays"],
    )
