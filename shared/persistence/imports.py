"""Imports in SQL: turns at them, and batches, each with its place, counts, refusals and names in one transaction.

A batch takes the turn at the catalogue, writes, and moves its import on last of all, where lease and place are still
those of the turn: whoever cancels waits for no batch, and a batch that somebody else has written rolls back.
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

from shared.catalog.importing import Batch, Counts, Refusal, Written, in_order
from shared.catalog.imports import MOST_ERRORS, Import, ImportTaken, Turn
from shared.catalog.seen import Seen
from shared.kernel.clock import Clock
from shared.kernel.ids import new_id
from shared.persistence.catalog import find_currency, write_lines
from shared.persistence.database import Database, Transaction
from shared.persistence.import_rows import BEGIN, COLUMNS, FORGET_NAMES, import_of, wake_up

# A batch waits a minute for the turn at the catalogue at most, and takes a few seconds.
LEASE = timedelta(minutes=3)
_NAMES_AT_ONCE = 20

_TAKE_TURN = f"""
update imports set lease_token = :token::uuid, leased_until = :until::timestamptz, idle_turns = idle_turns + 1,
    state = 'running', failure = null, finished_at = null
where id = :id::uuid and (state = 'running' and (leased_until is null or leased_until <= :at::timestamptz)
    or :by_force::boolean and state in ('running', 'failed'))
returning {COLUMNS}
"""

_MOVE_ON = """
update imports set position_bytes = :place_bytes::bigint, position_line = :place_line::int,
    bytes_read = :bytes_read::bigint, new_lines = new_lines + :new::int, changed_lines = changed_lines + :changed::int,
    unchanged_lines = unchanged_lines + :unchanged::int, refused = refused + :refused::int,
    progressed_at = :at::timestamptz, leased_until = :until::timestamptz, idle_turns = 0
where id = :id::uuid and lease_token = :token::uuid and state = 'running' and position_bytes = :after_bytes::bigint
returning refused
"""

_KEEP_NAMES = "insert into import_names (import_id, line, names) values (:id::uuid, :line::int, :names::text)"
_LIST_NAMES = """
select line, names from import_names where import_id = :id::uuid and line > :after::int order by line limit :limit::int
"""
_KEEP_ERRORS = """
insert into import_errors (import_id, number, line, sku, reason)
select :id::uuid, number, line, sku, reason
from unnest(:numbers::int[], :lines::int[], :skus::text[], :reasons::text[]) as e (number, line, sku, reason)
"""

_END = """
update imports set state = :state::text, failure = :failure::text, finished_at = :at::timestamptz, lease_token = null,
    leased_until = null
where id = :id::uuid and lease_token = :token::uuid and state = 'running' returning id
"""

_PAUSE = """
update imports set lease_token = null, leased_until = null
where id = :id::uuid and lease_token = :token::uuid and state = 'running' returning id
"""


class Imports:
    """Provides catalog.imports.Ledger. Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, filename: str, *, version: str, size_bytes: int, default_on_hand: int | None, actor: str) -> Turn:
        """An import of a file that the caller reads itself, and the first turn at it."""
        made = self._database.find(
            BEGIN,
            id=new_id(),
            filename=filename,
            object_name=None,
            version=version,
            size_bytes=size_bytes,
            default_on_hand=default_on_hand,
            state="running",
            asked_by=actor,
            at=self._clock.now(),
        )
        assert made is not None
        turn = self.take_turn(made["id"], by_force=True)
        assert turn is not None  # nobody else knows of it
        return turn

    def find_of_shell(self, filename: str) -> Import | None:
        """The newest one of a file of this name that a shell has read, or was reading."""
        found = self._database.find(
            f"select {COLUMNS} from imports where object_name is null and filename = :filename::text"
            " order by created_at desc, id limit 1",
            filename=filename,
        )
        return None if found is None else import_of(found)

    def take_turn(self, import_id: UUID, *, by_force: bool = False) -> Turn | None:
        """`by_force`: also from somebody who has it, whose next batch does not go in then, and though it has failed."""
        token, at = new_id(), self._clock.now()
        found = self._database.find(_TAKE_TURN, id=import_id, token=token, at=at, until=at + LEASE, by_force=by_force)
        return None if found is None else Turn(import_of(found), token)

    def list_names(self, import_id: UUID) -> Iterator[str]:
        after = -1
        while rows := self._database.call(_LIST_NAMES, id=import_id, after=after, limit=_NAMES_AT_ONCE):
            yield from (row["names"] for row in rows)
            after = rows[-1]["line"]

    def find_currency(self) -> str | None:
        return find_currency(self._database)

    def write(self, turn: Turn, batch: Batch, seen: Seen) -> Written:
        reason = f"import of {turn.of.filename}"[:200]

        def in_one_step(tx: Transaction) -> Written:
            done = write_lines(tx, batch.lines, describing=seen, default_on_hand=turn.of.default_on_hand, reason=reason)
            refusals = in_order([*batch.refusals, *done.refusals])
            counts = Counts(done.counts.new, done.counts.changed, done.counts.unchanged, len(refusals))
            self._move_on(tx, turn, batch, counts, refusals)
            tx.rows(_KEEP_NAMES, id=turn.of.id, line=batch.place.line, names=seen.named())
            return Written(counts, refusals)

        return self._database.step(in_one_step)

    def _move_on(self, tx: Transaction, turn: Turn, batch: Batch, counts: Counts, refusals: Sequence[Refusal]) -> None:
        at = self._clock.now()
        moved = tx.find(
            _MOVE_ON,
            id=turn.of.id,
            token=turn.token,
            after_bytes=batch.after.bytes,
            place_bytes=batch.place.bytes,
            place_line=batch.place.line,
            bytes_read=batch.bytes_read,
            new=counts.new,
            changed=counts.changed,
            unchanged=counts.unchanged,
            refused=counts.refused,
            at=at,
            until=at + LEASE,
        )
        if moved is None:
            raise ImportTaken
        first = moved["refused"] - len(refusals)
        kept = refusals[: max(MOST_ERRORS - first, 0)]
        if kept:
            tx.rows(
                _KEEP_ERRORS,
                id=turn.of.id,
                numbers=[first + n for n, _each in enumerate(kept, start=1)],
                lines=[each.line for each in kept],
                skus=[each.sku.replace("\0", "") for each in kept],
                reasons=[each.reason for each in kept],
            )

    def pause(self, turn: Turn, *, go_on: bool) -> None:
        def in_one_step(tx: Transaction) -> None:
            if tx.find(_PAUSE, id=turn.of.id, token=turn.token) is not None and go_on:
                tx.emit(wake_up(turn.of.id))

        self._database.step(in_one_step)

    def finish(self, turn: Turn) -> None:
        self._end(turn, "finished", None)

    def fail(self, turn: Turn, reason: str) -> None:
        """What its batches have named stays: it may be started again."""
        self._end(turn, "failed", reason)

    def _end(self, turn: Turn, state: str, failure: str | None) -> None:
        def in_one_step(tx: Transaction) -> None:
            at = self._clock.now()
            mine = tx.find(_END, id=turn.of.id, token=turn.token, state=state, failure=failure, at=at)
            if mine is not None and state == "finished":
                tx.rows(FORGET_NAMES, id=turn.of.id)

        self._database.step(in_one_step)
