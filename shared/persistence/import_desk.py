"""Imports as staff see and steer them, every step of theirs in the audit log."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.imports import Import, ImportOfShell, ImportOver, UnknownImport, UploadChanged
from shared.kernel.clock import Clock
from shared.kernel.idempotency import Answering
from shared.kernel.storage import StoredObject
from shared.persistence import audit
from shared.persistence.database import Database, Transaction
from shared.persistence.import_rows import BEGIN, COLUMNS, FORGET_NAMES, import_of, wake_up

_LOCK = f"select {COLUMNS} from imports where id = :id::uuid for update"
_GET = f"select {COLUMNS} from imports where id = :id::uuid"
_LIST = f"""
select {COLUMNS} from imports
where created_at <= coalesce(:before_at::timestamptz, 'infinity')
    and (:before_at::timestamptz is null or created_at < :before_at or id > :before_id::uuid)
order by created_at desc, id limit :limit::int
"""

_START = f"""
update imports set state = 'running', version = :version::text, started_at = coalesce(started_at, :at::timestamptz),
    progressed_at = :at::timestamptz, finished_at = null, failure = null, idle_turns = 0
where id = :id::uuid
returning {COLUMNS}
"""

_CANCEL = f"""
update imports set state = 'cancelled', finished_at = :at::timestamptz, lease_token = null, leased_until = null
where id = :id::uuid
returning {COLUMNS}
"""


class ImportDesk:
    """Raises UnknownImport, and Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, import_id: UUID) -> Import:
        found = self._database.find(_GET, id=import_id)
        if found is None:
            raise UnknownImport
        return import_of(found)

    def list_imports(self, *, limit: int, before: tuple[datetime, UUID] | None = None) -> Sequence[Import]:
        """The newest first, those after the one of `before`'s moment and id."""
        moment, last = before or (None, None)
        rows = self._database.call(_LIST, before_at=moment, before_id=last, limit=limit)
        return [import_of(row) for row in rows]

    def create(
        self,
        import_id: UUID,
        filename: str,
        *,
        object_name: str,
        size_bytes: int,
        default_on_hand: int | None,
        actor: str,
        answering: Answering[Import] | None = None,
    ) -> Import:
        """One that waits for its file."""

        def in_one_step(tx: Transaction) -> Import:
            at = self._clock.now()
            made = import_of(
                tx.one(
                    BEGIN,
                    id=import_id,
                    filename=filename,
                    object_name=object_name,
                    version=None,
                    size_bytes=size_bytes,
                    default_on_hand=default_on_hand,
                    state="waiting",
                    asked_by=actor,
                    at=at,
                )
            )
            _note(tx, at, actor, "import.created", made)
            return tx.answer(answering, made)

        return self._database.step(in_one_step)

    def start(
        self, import_id: UUID, file: StoredObject, *, actor: str, answering: Answering[Import] | None = None
    ) -> Import:
        """Have the jobs begin it with this file, or go on with it after it has failed. One that runs runs on.

        Raises ImportOver, ImportOfShell, UploadChanged.
        """

        def started(tx: Transaction, found: Import, at: datetime) -> Import:
            if found.object_name is None:
                raise ImportOfShell
            if found.state in ("finished", "cancelled"):
                raise ImportOver(state=found.state)
            version = str(file.generation)
            if file.size_bytes != found.size_bytes or found.version not in (None, version):
                raise UploadChanged
            if found.state == "running":
                return found
            tx.emit(wake_up(found.id))
            _note(tx, at, actor, "import.started", found)
            return import_of(tx.one(_START, id=found.id, version=version, at=at))

        return self._change(import_id, started, answering)

    def cancel(self, import_id: UUID, *, actor: str, answering: Answering[Import] | None = None) -> Import:
        """What is in stays in, and nothing more goes in: no batch that is under way either. Raises ImportOver."""

        def cancelled(tx: Transaction, found: Import, at: datetime) -> Import:
            if found.state == "finished":
                raise ImportOver(state=found.state)
            if found.state == "cancelled":
                return found
            tx.rows(FORGET_NAMES, id=found.id)
            _note(tx, at, actor, "import.cancelled", found)
            return import_of(tx.one(_CANCEL, id=found.id, at=at))

        return self._change(import_id, cancelled, answering)

    def _change(
        self,
        import_id: UUID,
        change: Callable[[Transaction, Import, datetime], Import],
        answering: Answering[Import] | None,
    ) -> Import:
        def in_one_step(tx: Transaction) -> Import:
            found = tx.find(_LOCK, id=import_id)
            if found is None:
                raise UnknownImport
            return tx.answer(answering, change(tx, import_of(found), self._clock.now()))

        return self._database.step(in_one_step)


def _note(tx: Transaction, at: datetime, actor: str, action: str, of: Import) -> None:
    detail = {"filename": of.filename, "line": of.place.line}
    audit.append(tx, Entry(at, actor, action, f"import:{of.id}", detail))
