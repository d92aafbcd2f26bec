"""The audit log: appended by the step that has the effect, so that neither is there without the other."""

import json
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.persistence.database import Database, Transaction, as_json, fields_of

_APPEND = """
insert into audit_log (id, at, actor, action, subject, detail)
values (:id::uuid, :at::timestamptz, :actor::text, :action::text, :subject::text, :detail::jsonb)
"""

_APPEND_ALL = """
insert into audit_log (id, at, actor, action, subject, detail)
select id, at, actor, action, subject, detail
from json_to_recordset(:entries::json)
    as e (id uuid, at timestamptz, actor text, action text, subject text, detail jsonb)
"""

# Two entries of one moment are told apart by their id: the order of the indexes audit_log_subject and audit_log_at.
_LIST = """
select id, at, actor, action, subject, detail from audit_log
where {of}at <= coalesce(:before_at::timestamptz, 'infinity')
    and (:before_at::timestamptz is null or at < :before_at or id > :before_id::uuid)
order by at desc, id
limit :limit::int
"""
_LIST_ALL = _LIST.format(of="")
_LIST_OF_SUBJECT = _LIST.format(of="subject = :subject::text and ")


def append(tx: Transaction, entry: Entry) -> None:
    tx.rows(
        _APPEND,
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=as_json(entry.detail),
    )


def append_all(tx: Transaction, entries: Sequence[Entry]) -> None:
    tx.rows(_APPEND_ALL, entries=as_json([fields_of(entry) for entry in entries]))


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def list_entries(
        self, subject: str | None = None, *, limit: int, before: tuple[datetime, UUID] | None = None
    ) -> Sequence[Entry]:
        before_at, before_id = before or (None, None)
        page = {"before_at": before_at, "before_id": before_id, "limit": limit}
        if subject is None:
            rows = self._database.call(_LIST_ALL, **page)
        else:
            rows = self._database.call(_LIST_OF_SUBJECT, subject=subject, **page)
        return [
            Entry(
                at=row["at"],
                actor=row["actor"],
                action=row["action"],
                subject=row["subject"],
                detail=json.loads(row["detail"]) if isinstance(row["detail"], str) else row["detail"],
                id=row["id"],
            )
            for row in rows
        ]
