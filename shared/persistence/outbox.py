"""The outbox's rows after their commit: leased, marked, purged. Steps write them (database.Transaction.emit)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.kernel.messages import Event, Message, Task
from shared.persistence.database import Database, Row

# What was never tried goes first, so that rows which cannot go hold up nothing. The rows are locked before they are
# leased; a concurrent relay passes over them, and finds them leased afterwards.
_LEASE = """
with due as materialized (
    select id from outbox
    where published_at is null and created_at <= :created_before::timestamptz
        and (leased_until is null or leased_until <= :now::timestamptz)
        and (not_before is null or not_before <= :due_before::timestamptz)
    order by leased_until nulls first, position limit :limit::int
    for update skip locked
), leased as (
    update outbox o set leased_until = :until::timestamptz from due where o.id = due.id
    returning o.id, o.position, o.destination, o.name, o.payload, o.not_before
)
select id, destination, name, payload, not_before from leased order by position
"""

_MARK = "update outbox set published_at = :at::timestamptz where id = any (:ids::uuid[]) and published_at is null"

_REST = "update outbox set leased_until = :until::timestamptz where id = any (:ids::uuid[]) and published_at is null"

_PURGE = """
with old as materialized (
    select id from outbox where published_at < :before::timestamptz order by published_at limit :limit::int
    for update skip locked
)
delete from outbox o using old where o.id = old.id returning o.id
"""


class Outbox:
    """One short statement a method, no transaction left open. All raise Unavailable."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lease(
        self, limit: int, *, now: datetime, until: datetime, created_before: datetime, due_before: datetime
    ) -> list[Message]:
        rows = self._database.call(
            _LEASE, limit=limit, now=now, until=until, created_before=created_before, due_before=due_before
        )
        return [message_of(row) for row in rows]

    def mark_published(self, ids: Sequence[UUID], at: datetime) -> None:
        self._database.call(_MARK, ids=list(ids), at=at)

    def rest(self, ids: Sequence[UUID], until: datetime) -> None:
        self._database.call(_REST, ids=list(ids), until=until)

    def purge(self, published_before: datetime, limit: int) -> int:
        return len(self._database.call(_PURGE, before=published_before, limit=limit))


def message_of(row: Row) -> Message:
    kind, _, place = row["destination"].partition(":")
    if kind == "topic":
        return Event(place, row["name"], row["payload"], id=row["id"])
    return Task(place, row["name"], row["payload"], not_before=row["not_before"], id=row["id"])
