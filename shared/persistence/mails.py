"""Mails and what the vendor tells of them. Every method is one step; none calls anybody."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from shared.notices.delivery import state_after
from shared.notices.mails import Draft, Mail, MailEvent
from shared.persistence.database import Database, Row, Transaction
from shared.persistence.inbox import record_event

_INSERT = """
insert into mails (id, event_id, template, recipient, order_id, subject, text_body, html_body, state, created_at,
    updated_at, next_attempt_at)
values (:id::uuid, :event_id::uuid, :template::text, :recipient::text, :order_id::uuid, :subject::text, :text::text,
    :html::text, 'queued', :at::timestamptz, :at::timestamptz, :at::timestamptz)
on conflict on constraint mails_once do nothing
"""

_FIND = """
select id from mails
where event_id = :event_id::uuid and template = :template::text and recipient = :recipient::text
"""

# One of many that want it gets it: the others wait for the row and find that it is no longer due.
_CLAIM = """
update mails set state = 'sending', attempts = attempts + 1, unanswered = unanswered + (state = 'sending')::int,
    next_attempt_at = :at::timestamptz + :grace::interval * 2 ^ least(unanswered + (state = 'sending')::int, 10),
    updated_at = :at::timestamptz
where id = :id::uuid and state in ('queued', 'sending') and next_attempt_at <= :at::timestamptz
returning id, event_id, template, recipient, order_id, subject, text_body, html_body, attempts, unanswered
"""

_ACCEPT = """
update mails set state = 'accepted', next_attempt_at = null, vendor_message_id = :message_id::text, failure = null,
    updated_at = :at::timestamptz
where id = :id::uuid and state in ('queued', 'sending')
"""

# `attempts` is the fence: an attempt that came to its end too late says nothing about the one that took its place.
_PUT_OFF = """
update mails set state = 'queued', next_attempt_at = :until::timestamptz, failure = :failure::text,
    updated_at = :at::timestamptz
where id = :id::uuid and state = 'sending' and attempts = :attempt::int
"""

_REFUSE = """
update mails set state = 'failed', next_attempt_at = null, failure = :failure::text, updated_at = :at::timestamptz
where id = :id::uuid and state = 'sending' and attempts = :attempt::int
"""

_DUE = """
select id from mails where state in ('queued', 'sending') and next_attempt_at <= :at::timestamptz
order by next_attempt_at, id limit :limit::int
"""

_LOCK = "select id from mails where id = any (:ids::uuid[]) order by id for update"

_RECORD = """
insert into mail_events (id, mail_id, event, vendor_message_id, at, reason, recorded_at)
select id, mail_id, event, message_id, at, reason, :recorded_at::timestamptz
from unnest(:ids::text[], :mail_ids::uuid[], :events::text[], :message_ids::text[], :ats::timestamptz[],
    :reasons::text[]) as e (id, mail_id, event, message_id, at, reason)
where mail_id = any (:known::uuid[])
on conflict do nothing
returning mail_id
"""

_TOLD = "select event, vendor_message_id, reason from mail_events where mail_id = :id::uuid order by at, id"

_SETTLE = """
update mails set state = :state::text, next_attempt_at = null, vendor_message_id = :message_id::text,
    failure = :failure::text, updated_at = :at::timestamptz
where id = :id::uuid
"""


class Mails:
    """Implements shared.notices.mails.Mails and MailEvents. All methods raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, draft: Draft, *, consumer: str, at: datetime) -> UUID | None:
        def work(tx: Transaction) -> UUID | None:
            if record_event(tx, consumer, draft.event_id):
                tx.rows(
                    _INSERT,
                    id=draft.id,
                    event_id=draft.event_id,
                    template=draft.template,
                    recipient=draft.recipient,
                    order_id=draft.order_id,
                    subject=draft.subject,
                    text=draft.text,
                    html=draft.html,
                    at=at,
                )
            row = tx.find(_FIND, event_id=draft.event_id, template=draft.template, recipient=draft.recipient)
            return row["id"] if row is not None else None

        return self._database.step(work)

    def claim(self, mail_id: UUID, *, at: datetime, grace: timedelta) -> Mail | None:
        # Through a step: a single statement may be run again on a new connection, and would find its own claim.
        row = self._database.step(lambda tx: tx.find(_CLAIM, id=mail_id, at=at, grace=grace))
        return _mail(row) if row is not None else None

    def accept(self, mail_id: UUID, *, message_id: str, at: datetime) -> None:
        self._database.call(_ACCEPT, id=mail_id, message_id=message_id, at=at)

    def put_off(self, mail_id: UUID, *, attempt: int, until: datetime, failure: str, at: datetime) -> None:
        self._database.call(_PUT_OFF, id=mail_id, attempt=attempt, until=until, failure=failure, at=at)

    def refuse(self, mail_id: UUID, *, attempt: int, failure: str, at: datetime) -> None:
        self._database.call(_REFUSE, id=mail_id, attempt=attempt, failure=failure, at=at)

    def list_due(self, *, at: datetime, limit: int) -> list[UUID]:
        return [row["id"] for row in self._database.call(_DUE, at=at, limit=limit)]

    def record(self, events: Sequence[MailEvent], *, at: datetime) -> int:
        def work(tx: Transaction) -> int:
            known = [row["id"] for row in tx.rows(_LOCK, ids=[event.mail_id for event in events])]
            new = tx.rows(
                _RECORD,
                ids=[event.id for event in events],
                mail_ids=[event.mail_id for event in events],
                events=[event.event for event in events],
                message_ids=[event.message_id for event in events],
                ats=[event.at for event in events],
                reasons=[event.reason for event in events],
                known=known,
                recorded_at=at,
            )
            for mail_id in sorted({row["mail_id"] for row in new}):
                _settle(tx, mail_id, at)
            return len(new)

        return self._database.step(work)


def _settle(tx: Transaction, mail_id: UUID, at: datetime) -> None:
    told = tx.rows(_TOLD, id=mail_id)
    state = state_after({row["event"] for row in told})
    if state is not None:
        reasons = [f"{row['event']}: {row['reason'] or ''}" for row in told if row["event"] in ("bounce", "dropped")]
        failure = reasons[-1] if state == "failed" else None
        tx.rows(_SETTLE, id=mail_id, state=state, message_id=told[-1]["vendor_message_id"], failure=failure, at=at)


def _mail(row: Row) -> Mail:
    return Mail(
        id=row["id"],
        event_id=row["event_id"],
        template=row["template"],
        recipient=row["recipient"],
        order_id=row["order_id"],
        subject=row["subject"],
        text=row["text_body"],
        html=row["html_body"],
        attempt=row["attempts"],
        unanswered=row["unanswered"],
    )
