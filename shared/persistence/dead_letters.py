"""Dead letters in SQL: kept once, sent again through the outbox, or put away with a reason."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.kernel.messages import Event
from shared.outbox.dead_letters import (
    DeadLetter,
    DeadLetterDiscarded,
    DeadLetterNotFound,
    DeadLetterReplayed,
    DeadMessage,
    readable_payload,
)
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction, as_json

# Pub/Sub brings it at least once; the consumer may only insert.
_KEEP = """
insert into dead_letters (id, subscription, message_id, topic, event_id, name, schema_version, payload, attempts,
    received_at, state)
values (:id::uuid, :subscription::text, :message_id::text, :topic::text, :event_id::uuid, :name::text, :version::int,
    :payload::text, :attempts::int, :at::timestamptz, 'open')
on conflict do nothing
"""

_COLUMNS = """
id, subscription, topic, message_id, event_id, name, attempts, received_at, state, replays, closed_at, reason
"""

# The order of the index dead_letters_received.
_LIST = f"""
select {_COLUMNS} from dead_letters
where (:state::text is null or state = :state) and (:subscription::text is null or subscription = :subscription)
    and (:before_at::timestamptz is null or received_at < :before_at
        or (received_at = :before_at and id > :before_id::uuid))
order by received_at desc, id limit :limit::int
"""

_GET = f"select {_COLUMNS}, payload, schema_version from dead_letters where id = :id::uuid"

# Under its own id. Where the outbox still has it, that row is open again and says what is sent; the relay sends it
# where this request does not.
_SEND_AGAIN = """
insert into outbox as o (id, destination, name, payload, created_at)
values (:event_id::uuid, 'topic:' || :topic::text, :name::text, :payload::jsonb, :at::timestamptz)
on conflict (id) do update set published_at = null, leased_until = null, created_at = excluded.created_at
returning name, payload
"""

_CLOSE = """
update dead_letters set state = :state::text, closed_at = :at::timestamptz, reason = :reason::text,
    replays = replays + (:state::text = 'replayed')::int
where id = :id::uuid
"""


class DeadLetters:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def keep(self, message: DeadMessage, *, subscription: str, topic: str) -> None:
        """`subscription` and `topic` are those that it was for."""
        self._database.call(
            _KEEP,
            id=new_id(),
            subscription=subscription,
            message_id=message.message_id,
            topic=topic,
            event_id=message.event_id,
            name=message.name,
            version=message.schema_version,
            payload=message.payload,
            attempts=message.attempts,
            at=self._clock.now(),
        )

    def list_letters(
        self,
        *,
        state: str | None,
        subscription: str | None,
        limit: int,
        before: tuple[datetime, UUID] | None = None,
    ) -> Sequence[DeadLetter]:
        """The newest first, without their payloads; those after the one with `before`'s moment and id."""
        before_at, before_id = before or (None, None)
        rows = self._database.call(
            _LIST, state=state, subscription=subscription, before_at=before_at, before_id=before_id, limit=limit
        )
        return [_letter(row) for row in rows]

    def get(self, letter_id: UUID) -> DeadLetter:
        row = self._database.find(_GET, id=letter_id)
        if row is None:
            raise DeadLetterNotFound
        return _letter(row)

    def replay(self, letter_id: UUID, *, actor: str, answering: Answering[DeadLetter] | None = None) -> DeadLetter:
        """Send the same event to its topic again, under its id. Raises DeadLetterNotFound, DeadLetterDiscarded,
        NotSendable.
        """

        def in_one_step(tx: Transaction) -> tuple[DeadLetter, Event]:
            row = _lock(tx, letter_id)
            payload = readable_payload(_message(row))
            sent = tx.one(
                _SEND_AGAIN,
                event_id=row["event_id"],
                topic=row["topic"],
                name=row["name"],
                payload=as_json(payload),
                at=tx.clock.now(),
            )
            letter = _close(tx, row, "replayed", None, actor)
            event = Event(row["topic"], sent["name"], sent["payload"], id=row["event_id"])
            return tx.answer(answering, letter), event

        letter, event = self._database.step(in_one_step)
        self._database.announce([event])
        return letter

    def discard(
        self, letter_id: UUID, *, reason: str, actor: str, answering: Answering[DeadLetter] | None = None
    ) -> DeadLetter:
        """Put it away for good. Raises DeadLetterNotFound, DeadLetterDiscarded, DeadLetterReplayed."""

        def in_one_step(tx: Transaction) -> DeadLetter:
            row = _lock(tx, letter_id)
            if row["state"] == "replayed":
                raise DeadLetterReplayed
            return tx.answer(answering, _close(tx, row, "discarded", reason, actor))

        return self._database.step(in_one_step)


def _lock(tx: Transaction, letter_id: UUID) -> Row:
    row = tx.find(f"{_GET} for update", id=letter_id)
    if row is None:
        raise DeadLetterNotFound
    if row["state"] == "discarded":
        raise DeadLetterDiscarded
    return row


def _close(tx: Transaction, row: Row, state: str, reason: str | None, actor: str) -> DeadLetter:
    now = tx.clock.now()
    tx.rows(_CLOSE, id=row["id"], state=state, reason=reason, at=now)
    detail = {name: row[name] for name in ("subscription", "event_id", "name")} | ({"reason": reason} if reason else {})
    audit.append(tx, Entry(now, actor, f"dead-letter.{state}", f"dead-letter:{row['id']}", detail))
    return _letter(tx.one(_GET, id=row["id"]))


def _message(row: Row) -> DeadMessage:
    return DeadMessage(
        row["message_id"], row["event_id"], row["name"], row["schema_version"], row["payload"], row["attempts"]
    )


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(
        id=row["id"],
        subscription=row["subscription"],
        topic=row["topic"],
        message_id=row["message_id"],
        event_id=row["event_id"],
        name=row["name"],
        attempts=row["attempts"],
        received_at=row["received_at"],
        state=row["state"],
        replays=row["replays"],
        closed_at=row["closed_at"],
        reason=row["reason"],
        payload=row.get("payload"),
    )
