"""Rows of imports, as the jobs that move them on and the staff who look at them both have them."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.catalog.files import Place
from shared.catalog.importing import Counts, Refusal
from shared.catalog.imports import Import
from shared.kernel.messages import Task
from shared.persistence.database import Database, Row, Transaction

QUEUE = "imports"
GO_ON_PATH = "/jobs/imports/go-on"
# What nobody has moved for so long is given up: the file was deleted days ago, or a shell has ended.
GIVEN_UP_AFTER = timedelta(days=7)
KEPT_FOR = timedelta(days=90)
LEFT_ALONE_AFTER = timedelta(minutes=2)

COLUMNS = """id, filename, object_name, version, size_bytes, default_on_hand, state, position_bytes, position_line,
    bytes_read, new_lines, changed_lines, unchanged_lines, refused, failure, asked_by, created_at, started_at,
    progressed_at, finished_at, idle_turns"""

BEGIN = f"""
insert into imports (id, filename, object_name, version, size_bytes, default_on_hand, state, asked_by, created_at,
    started_at, progressed_at)
values (:id::uuid, :filename::text, :object_name::text, :version::text, :size_bytes::bigint, :default_on_hand::int,
    :state::text, :asked_by::text, :at::timestamptz,
    case when :state::text = 'running' then :at::timestamptz end, :at::timestamptz)
returning {COLUMNS}
"""

FORGET_NAMES = "delete from import_names where import_id = :id::uuid"

_LIST_ERRORS = """
select number, line, sku, reason from import_errors
where import_id = :id::uuid and number > :after::int order by number limit :limit::int
"""

_LEFT_ALONE = """
select id from imports
where state = 'running' and object_name is not null and progressed_at < :before::timestamptz
    and (leased_until is null or leased_until <= :at::timestamptz)
order by progressed_at limit :limit::int
"""

_GIVE_UP = """
with given_up as (
    select id from imports where state in ('waiting', 'running', 'failed') and progressed_at < :before::timestamptz
    order by progressed_at limit :limit::int for update skip locked
), forgotten as (
    delete from import_names where import_id in (select id from given_up)
)
update imports set state = 'cancelled', failure = coalesce(failure, 'given up: nothing happened to it for a week'),
    finished_at = :at::timestamptz, lease_token = null, leased_until = null
where id in (select id from given_up)
"""

_FORGET = """
delete from imports where id in (
    select id from imports where finished_at < :before::timestamptz order by finished_at limit :limit::int)
"""


def list_errors(database: Database, import_id: UUID, *, after: int = 0, limit: int) -> Sequence[tuple[int, Refusal]]:
    """What was refused, by number; those behind the number `after`."""
    rows = database.call(_LIST_ERRORS, id=import_id, after=after, limit=limit)
    return [(row["number"], Refusal(row["line"], row["sku"], row["reason"])) for row in rows]


def sweep(database: Database, *, now: datetime, limit: int = 100) -> int:
    """Wake what stays open and nobody is at, give up what nothing happens to, forget what was over long ago. How many
    were woken."""

    def in_one_step(tx: Transaction) -> int:
        tx.rows(_GIVE_UP, at=now, before=now - GIVEN_UP_AFTER, limit=limit)
        tx.rows(_FORGET, before=now - KEPT_FOR, limit=limit)
        left = tx.rows(_LEFT_ALONE, at=now, before=now - LEFT_ALONE_AFTER, limit=limit)
        tx.emit(*(wake_up(row["id"]) for row in left))
        return len(left)

    return database.step(in_one_step)


def wake_up(import_id: UUID) -> Task:
    return Task(QUEUE, GO_ON_PATH, {"import_id": str(import_id)})


def import_of(row: Row) -> Import:
    fields: Mapping[str, Any] = row
    plain = {
        name: fields[name]
        for name in (
            "id", "filename", "object_name", "version", "size_bytes", "default_on_hand", "state", "bytes_read",
            "failure", "asked_by", "created_at", "started_at", "progressed_at", "finished_at", "idle_turns",
        )
    }  # fmt: skip
    return Import(
        **plain,
        place=Place(row["position_bytes"], row["position_line"]),
        counts=Counts(row["new_lines"], row["changed_lines"], row["unchanged_lines"], row["refused"]),
    )
