"""Open rows in SQL: one list over the tables whose rows wait to be finished, and waking one of them at once."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.kernel.messages import Message
from shared.outbox.open_rows import Kind, OpenRow, OpenRowNotFound, RowAtWork, RowFinal
from shared.payments.tasks import capture_task, documents_task, refund_task, tracking_task, webhook_task
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction
from shared.persistence.outbox import message_of

# Each branch has a partial index of what is open; what is not wanted is not looked at.
_ROWS = """
select 'outbox' as kind, o.id, o.created_at as since, 'unpublished' as state, o.name as what,
    o.payload -> 'order' ->> 'number' as order_number, null::int as attempts, o.not_before as due_at,
    null::text as failure
from outbox o where o.published_at is null and coalesce(:kind::text, 'outbox') = 'outbox'
union all
select 'capture-attempts', a.id, a.requested_at, a.state, 'capture', r.number, null, null, null
from capture_attempts a join orders r on r.id = a.order_id
where a.state = 'requested' and coalesce(:kind, 'capture-attempts') = 'capture-attempts'
union all
select 'refunds', f.id, f.requested_at, f.state, f.kind, r.number, null, null, f.failure
from refunds f join orders r on r.id = f.order_id
where f.state in ('requested', 'pending') and coalesce(:kind, 'refunds') = 'refunds'
union all
select 'trackings', s.id, s.shipped_at, s.paypal_state, s.carrier, r.number, null, null, null
from shipments s join orders r on r.id = s.order_id
where s.paypal_state = 'due' and coalesce(:kind, 'trackings') = 'trackings'
union all
select 'documents', d.id, d.owed_at, 'owed', d.kind, r.number, null, null, null
from documents d join orders r on r.id = d.order_id
where d.number is null and coalesce(:kind, 'documents') = 'documents'
union all
select 'webhook-events', e.id, e.received_at, e.state, e.event_type, null, e.attempts, e.next_attempt_at, e.verdict
from webhook_events e
where e.state in ('received', 'waiting') and coalesce(:kind, 'webhook-events') = 'webhook-events'
union all
select 'mails', m.id, m.created_at, m.state, m.template, r.number, m.attempts, m.next_attempt_at, m.failure
from mails m left join orders r on r.id = m.order_id
where (m.state in ('queued', 'sending') or m.state = 'failed') and coalesce(:kind, 'mails') = 'mails'
    -- What was accepted and came back is final: nothing of it is open.
    and not (m.state = 'failed' and exists (select 1 from mail_events e where e.mail_id = m.id))
"""

_LIST = f"""
select * from ({_ROWS}) open_rows
where :after::timestamptz is null
    or (since, kind collate "C", id) > (:after, :after_kind::text collate "C", :after_id::uuid)
order by since, kind collate "C", id limit :limit::int
"""

_FIND = f"select * from ({_ROWS}) open_rows where id = :id::uuid"

# A relay that has leased it sends it as well: at least once, and known by its id.
_WAKE_OUTBOX = """
update outbox set leased_until = null where id = :id::uuid and published_at is null
returning id, destination, name, payload, not_before
"""

_WAKE_ATTEMPT = "select id from capture_attempts where id = :id::uuid and state = 'requested'"

_WAKE_REFUND = "select id from refunds where id = :id::uuid and state in ('requested', 'pending')"

_WAKE_TRACKING = "select id from shipments where id = :id::uuid and paypal_state = 'due'"

_WAKE_DOCUMENT = "select id from documents where id = :id::uuid and number is null"

# As the sweep does: the task sets the time after this one, and one that is lost is woken again in ten minutes.
_WAKE_EVENT = """
update webhook_events set next_attempt_at = :at::timestamptz + interval '10 minutes'
where id = :id::uuid and state in ('received', 'waiting') returning id
"""

_LOCK_MAIL = """
select m.state, exists (select 1 from mail_events e where e.mail_id = m.id) as told from mails m
where m.id = :id::uuid and m.state in ('queued', 'sending', 'failed') for update of m
"""

# The sweep of the next minute sends it. What SendGrid refused was not sent.
_WAKE_MAIL = """
update mails set state = 'queued', next_attempt_at = :at::timestamptz, updated_at = :at::timestamptz
where id = :id::uuid
"""


class OpenRows:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_rows(
        self, *, kind: Kind | None, limit: int, after: tuple[datetime, str, UUID] | None = None
    ) -> Sequence[OpenRow]:
        """The oldest first; those after the one with `after`'s moment, kind and id."""
        since, after_kind, after_id = after or (None, None, None)
        rows = self._database.call(_LIST, kind=kind, after=since, after_kind=after_kind, after_id=after_id, limit=limit)
        return [_open_row(row) for row in rows]

    def wake(self, kind: Kind, row_id: UUID, *, actor: str, answering: Answering[OpenRow] | None = None) -> OpenRow:
        """Have that one row worked on now, in the way in which the sweeps do it; the row as it is now.

        Raises OpenRowNotFound; RowAtWork for a mail whose outcome is not known; RowFinal for one that was refused by
        the receiver.
        """

        def in_one_step(tx: Transaction) -> tuple[OpenRow, list[Message]]:
            messages = _WAYS[kind](tx, row_id)
            row = _open_row(_found(tx.find(_FIND, kind=kind, id=row_id)))  # finished by somebody meanwhile: not open
            detail = {"state": row.state, "what": row.what}
            audit.append(tx, Entry(tx.clock.now(), actor, "open-row.woken", f"{kind}:{row_id}", detail))
            return tx.answer(answering, row), messages

        row, messages = self._database.step(in_one_step)
        self._database.announce(messages)
        return row


def _wake_outbox(tx: Transaction, row_id: UUID) -> list[Message]:
    return [message_of(_found(tx.find(_WAKE_OUTBOX, id=row_id)))]


def _wake_attempt(tx: Transaction, row_id: UUID) -> list[Message]:
    _found(tx.find(_WAKE_ATTEMPT, id=row_id))
    tx.emit(capture_task(row_id))
    return []


def _wake_refund(tx: Transaction, row_id: UUID) -> list[Message]:
    _found(tx.find(_WAKE_REFUND, id=row_id))
    tx.emit(refund_task(row_id))
    return []


def _wake_tracking(tx: Transaction, row_id: UUID) -> list[Message]:
    _found(tx.find(_WAKE_TRACKING, id=row_id))
    tx.emit(tracking_task(row_id))
    return []


def _wake_document(tx: Transaction, row_id: UUID) -> list[Message]:
    """Its number is the next one, so all that were owed before it come first."""
    _found(tx.find(_WAKE_DOCUMENT, id=row_id))
    tx.emit(documents_task())
    return []


def _wake_event(tx: Transaction, row_id: UUID) -> list[Message]:
    _found(tx.find(_WAKE_EVENT, id=row_id, at=tx.clock.now()))
    tx.emit(webhook_task(row_id))
    return []


def _wake_mail(tx: Transaction, row_id: UUID) -> list[Message]:
    mail = _found(tx.find(_LOCK_MAIL, id=row_id))
    if mail["state"] == "sending":
        raise RowAtWork  # it may have been accepted: repeating it now would be a second mail
    if mail["state"] == "failed" and mail["told"]:
        raise RowFinal  # it was accepted, and bounced
    tx.rows(_WAKE_MAIL, id=row_id, at=tx.clock.now())
    return []


_WAYS: Mapping[Kind, Callable[[Transaction, UUID], list[Message]]] = {
    "outbox": _wake_outbox,
    "capture-attempts": _wake_attempt,
    "refunds": _wake_refund,
    "trackings": _wake_tracking,
    "documents": _wake_document,
    "webhook-events": _wake_event,
    "mails": _wake_mail,
}


def _found(row: Row | None) -> Row:
    if row is None:
        raise OpenRowNotFound
    return row


def _open_row(row: Row) -> OpenRow:
    return OpenRow(
        kind=row["kind"],
        id=row["id"],
        since=row["since"],
        state=row["state"],
        what=row["what"],
        order_number=row["order_number"],
        attempts=row["attempts"],
        due_at=row["due_at"],
        failure=row["failure"],
    )
