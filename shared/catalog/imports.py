"""An import as a thing of its own: a file, how far it has come, what it did, and the turns in which that happens.

States: waiting (for its file, and to be started) | running | finished | failed (its file cannot be read; it may be
started again) | cancelled. Only one turn at a time has it: the turn holds a lease that each batch renews, and a batch
goes in only where the lease and the place are still the turn's.
"""

from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Literal, Protocol
from uuid import UUID

from shared.catalog.files import Place, Unreadable, read_rows
from shared.catalog.importing import Batch, Counts, Written, import_rows
from shared.catalog.seen import Seen
from shared.kernel.clock import Clock
from shared.kernel.errors import Conflict, NotFound, Unavailable

State = Literal["waiting", "running", "finished", "failed", "cancelled"]

# Of one import; those behind them are only counted.
MOST_ERRORS = 10_000
MOST_UPLOADED_BYTES = 2 << 30
# A gzip file of a megabyte may unpack to a thousand, and each turn unpacks it from its beginning.
MOST_UNPACKED_BYTES = 4 << 30
# Turns that have come to an end, or been killed, without a batch. One is a misfortune.
MOST_IDLE_TURNS = 20


class UnknownImport(NotFound):
    sentence = "There is no such import."


class ImportOver(Conflict):
    sentence = "This import is over."


class ImportOfShell(Conflict):
    sentence = "This import reads a file of somebody's shell, and can only go on there."


class UploadMissing(Conflict):
    sentence = "The file of this import has not been sent yet."


class UploadChanged(Conflict):
    sentence = "The file of this import is another one than it began with."


class ImportTaken(Exception):
    """Somebody else goes on with the import, or it was cancelled: this turn's batch did not go in."""


class FileGone(Exception):
    """The file is no longer there, or no longer the one that the import began with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """`object_name` is None where a shell reads its own file; `version` names the content that it began with.

    `place` is between two rows, `bytes_read` of `size_bytes` say how far that is.
    """

    id: UUID
    filename: str
    object_name: str | None
    version: str | None
    size_bytes: int
    default_on_hand: int | None
    state: State
    place: Place
    bytes_read: int
    counts: Counts
    failure: str | None
    asked_by: str
    created_at: datetime
    started_at: datetime | None
    progressed_at: datetime
    finished_at: datetime | None
    idle_turns: int


@dataclass(frozen=True, slots=True)
class Turn:
    """The import as it was when the turn began, and the lease's token."""

    of: Import
    token: UUID


class Ledger(Protocol):
    """The imports as shared.persistence.imports keeps them."""

    def take_turn(self, import_id: UUID) -> Turn | None:
        """None where it is not running, or somebody has the turn."""
        ...

    def list_names(self, import_id: UUID) -> Iterable[str]:
        """What its batches have named, each as Seen has put it, a few at a time."""
        ...

    def write(self, turn: Turn, batch: Batch, seen: Seen) -> Written:
        """The whole batch in one step. Raises ImportTaken."""
        ...

    def pause(self, turn: Turn, *, go_on: bool) -> None:
        """Give the turn back; with `go_on` a task takes the next one."""
        ...

    def finish(self, turn: Turn) -> None: ...
    def fail(self, turn: Turn, reason: str) -> None: ...
    def find_currency(self) -> str | None: ...


def take_turn_at(
    import_id: UUID,
    *,
    ledger: Ledger,
    open_file: Callable[[Import], IO[bytes]],
    default_currency: str,
    give_up_at: datetime,
    clock: Clock,
) -> None:
    """Go on with a running import until it ends or the time is up; what is left the next turn does.

    `open_file` gives a seekable buffered reader. Raises Unavailable, behind which the turn is given back.
    """
    turn = ledger.take_turn(import_id)
    if turn is None:
        return
    if turn.of.idle_turns > MOST_IDLE_TURNS:
        ledger.fail(turn, f"it did not get on in {MOST_IDLE_TURNS} turns, behind line {turn.of.place.line}")
        return
    try:
        with open_file(turn.of) as raw:
            ended = go_on(
                turn,
                raw,
                ledger=ledger,
                default_currency=default_currency,
                most_bytes=MOST_UNPACKED_BYTES,
                has_time=lambda: clock.now() < give_up_at,
            )
    except ImportTaken:
        return
    except Unreadable as error:
        ledger.fail(turn, str(error))
    except FileGone:
        ledger.fail(turn, "the file is no longer there, or it was replaced")
    except Unavailable:
        ledger.pause(turn, go_on=False)
        raise
    else:
        if ended:
            ledger.finish(turn)
        else:
            ledger.pause(turn, go_on=True)


def go_on(
    turn: Turn,
    raw: IO[bytes],
    *,
    ledger: Ledger,
    default_currency: str,
    most_bytes: int | None = None,
    written: Callable[[Written], None] = lambda written: None,
    has_time: Callable[[], bool] = lambda: True,
) -> bool:
    """The rows behind the turn's place; whether that was all. Raises ImportTaken, Unreadable, Unavailable."""
    rows = read_rows(raw, turn.of.filename, after=turn.of.place, most_bytes=most_bytes)
    with closing(Seen(ledger.list_names(turn.of.id))) as seen:
        return import_rows(
            rows,
            after=turn.of.place,
            seen=seen,
            write=lambda batch: ledger.write(turn, batch, seen),
            currency=ledger.find_currency() or default_currency,
            written=written,
            has_time=has_time,
        )
