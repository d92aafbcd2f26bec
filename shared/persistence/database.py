"""Steps: a step opens a transaction, commits when it leaves cleanly, and may be run again as a whole.

Statements are prepared once a connection (one round trip each instead of three) and named by their text. The pool is
small, never overflows, and answers a full house with Unavailable instead of a queue.
"""

import json
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import Field, fields
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

import pg8000.exceptions
from pg8000.converters import array_out
from pg8000.core import CoreConnection
from pg8000.native import PreparedStatement

from shared.kernel.clock import Clock
from shared.kernel.errors import ShopError, Unavailable
from shared.kernel.idempotency import Answering, LeaseLost, T
from shared.kernel.messages import Event, Message, Task

Row = dict[str, Any]
_R = TypeVar("_R")

# A guard of ours raised inside a SQL function: its message is the error's name, its detail the error's data.
_GUARD = "VT001"
_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock: the step is run again, three times at most
_STALE_PLAN = {"0A000", "26000"}  # a statement prepared before a migration, or gone: a new connection, once
_BUSY = {"55P03", "57014", "53300", "57P01", "57P02", "57P03", "25P03"}  # lock or statement timeout, server going down
_RECYCLE_AFTER_S = 1500
MOST_PREPARED = 200
_TIMESTAMPTZ = 1184  # its type's OID


class SqlError(Exception):
    """PostgreSQL refused a statement: `state` is the SQLSTATE, `constraint` the name of the constraint, if one was
    hurt.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__(f"{fields.get('C')} {fields.get('M')}")
        self.state = fields.get("C", "")
        self.constraint = fields.get("n", "")
        self.message = fields.get("M", "")
        self.detail = fields.get("D", "")


class _Broken(Exception):
    """The connection is of no use any more."""


class _Connection:
    """A connection and the statements prepared on it; used by one thread at a time."""

    def __init__(self, connection: CoreConnection) -> None:
        connection.register_in_adapter(_TIMESTAMPTZ, _moment)
        connection.register_out_adapter(list, _array)
        self._connection = connection
        self._prepared: dict[str, tuple[PreparedStatement, list[str]]] = {}
        self.answered = 0  # statements since it was taken from the pool: a retry asks whether anything has happened
        self.stale_at = time.monotonic() + _RECYCLE_AFTER_S * random.uniform(0.8, 1.2)

    def run(self, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
        try:
            # The one used last is the last of the dict: a search has more forms than a backend should keep plans of.
            known = self._prepared.pop(sql, None)
            if known is None:
                if len(self._prepared) >= MOST_PREPARED:
                    self._prepared.pop(next(iter(self._prepared)))[0].close()
                statement = PreparedStatement(self._connection, sql)
                known = statement, [column["name"] for column in statement.cols or ()]
            self._prepared[sql] = known
            statement, names = known
            rows = statement.run(**parameters)
        except pg8000.exceptions.DatabaseError as error:
            raise SqlError(_fields(error)) from None  # its detail may be a whole row, with names and addresses
        except (pg8000.exceptions.InterfaceError, OSError) as error:
            raise _Broken from error
        self.answered += 1
        return [dict(zip(names, row, strict=True)) for row in rows or ()]

    def simple(self, sql: str) -> None:
        try:
            self._connection.execute_simple(sql)
        except pg8000.exceptions.DatabaseError as error:
            raise SqlError(_fields(error)) from None  # its detail may be a whole row, with names and addresses
        except (pg8000.exceptions.InterfaceError, OSError) as error:
            raise _Broken from error

    def close(self) -> None:
        with suppress(pg8000.exceptions.Error, OSError):
            self._connection.close()


def _moment(text: str) -> datetime | str:
    """A timestamptz as PostgreSQL writes it: the driver's own strptime takes ten times as long, a dozen times a row.

    Infinity and years beyond Python's stay text, as the driver leaves them.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _array(values: list[Any]) -> str:
    """A list as PostgreSQL reads an array (8.15.6), every text of it in quotes.

    The driver asks each letter of each text whether it needs them, which takes a quarter of an import; and it leaves a
    text `null` without, which PostgreSQL reads as NULL, in any capitals.
    """
    return f"{{{','.join([_element(value) for value in values])}}}"


def _element(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    text: str = _array(value) if isinstance(value, list) else array_out(value)
    return text


def _fields(error: pg8000.exceptions.DatabaseError) -> Mapping[str, str]:
    first = error.args[0] if error.args else {}
    return first if isinstance(first, dict) else {"M": str(first)}


class Transaction:
    """What a step may do. Nobody but the step's owner commits."""

    def __init__(self, connection: _Connection, clock: Clock) -> None:
        self._connection = connection
        self.clock = clock
        self.emitted: list[Message] = []
        self.left: list[Message] = []

    def rows(self, sql: str, **parameters: Any) -> list[Row]:
        return self._connection.run(sql, parameters)

    def find(self, sql: str, **parameters: Any) -> Row | None:
        """The one row, or None."""
        rows = self._connection.run(sql, parameters)
        return rows[0] if rows else None

    def one(self, sql: str, **parameters: Any) -> Row:
        """The row that must be there."""
        return self._connection.run(sql, parameters)[0]

    def emit(self, *messages: Message) -> None:
        """Written into the outbox when the step commits, and published after it (DESIGN.md rule 11)."""
        self.emitted.extend(messages)

    def leave(self, *messages: Message) -> None:
        """Like `emit`, but for the relay alone: a wake-up that this very request hopes to make needless."""
        self.left.extend(messages)

    def answer(self, answering: Answering[T] | None, result: T) -> T:
        """Store the answer of the request that this step completes. Raises LeaseLost."""
        if answering is not None:
            claim = answering.claim
            self.rows(
                _STORE_ANSWER,
                scope=claim.scope,
                route=claim.route,
                key=claim.key,
                token=claim.token,
                status=answering.status,
                body=answering.render(result),
            )
        return result


_STORE_ANSWER = """
select store_answer_v1(:scope::text, :route::text, :key::text, :token::uuid, :status::int, :body::text)
"""

_WRITE_OUTBOX = """
insert into outbox (id, destination, name, payload, created_at, not_before)
select id, destination, name, payload::jsonb, :now::timestamptz, not_before
from unnest(:ids::uuid[], :destinations::text[], :names::text[], :payloads::text[], :not_before::timestamptz[])
    as m (id, destination, name, payload, not_before)
"""


class Database:
    """A pool of `size` connections, opened when they are needed. Safe for threads."""

    def __init__(
        self,
        connect: Callable[[], CoreConnection],
        *,
        size: int,
        clock: Clock,
        committed: Callable[[Sequence[Message]], None] = lambda messages: None,
        guards: Mapping[str, Callable[[Mapping[str, Any]], ShopError]] | None = None,
        wait_s: float = 1.0,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._committed = committed
        self._guards = {"LeaseLost": lambda data: LeaseLost(), **(guards or {})}
        self._idle: list[_Connection] = []
        self._free = threading.Semaphore(size)
        self._wait_s = wait_s

    def step(self, work: Callable[[Transaction], _R]) -> _R:
        """Run `work` in a transaction. It may run more than once, so it does nothing that a rollback does not undo.

        Raises what a guard names, Unavailable (pool full, lock or statement timeout, server gone), SqlError otherwise.
        """

        def in_transaction(connection: _Connection) -> _R:
            connection.simple("begin")
            transaction = Transaction(connection, self._clock)
            result = work(transaction)
            self._write_outbox(transaction)
            connection.simple("commit")
            self._committed(transaction.emitted)
            return result

        return self._attempt(in_transaction)

    def call(self, sql: str, **parameters: Any) -> list[Row]:
        """One statement that is its own transaction: one round trip. Raises as `step` does.

        It may run twice where a pooled connection breaks under it, so it reads, or is guarded against a second time.
        """
        return self._attempt(lambda connection: connection.run(sql, parameters))

    def now(self) -> datetime:
        """By the clock of its steps."""
        return self._clock.now()

    def find(self, sql: str, **parameters: Any) -> Row | None:
        rows = self.call(sql, **parameters)
        return rows[0] if rows else None

    def announce(self, messages: Sequence[Message]) -> None:
        """Messages that a SQL function has written to the outbox itself: published like those of a step."""
        self._committed(messages)

    def close(self) -> None:
        """Close what is idle, for programs that end."""
        while (connection := self._pop_idle()) is not None:
            connection.close()

    def _write_outbox(self, transaction: Transaction) -> None:
        messages = [*transaction.emitted, *transaction.left]
        if messages:
            transaction.rows(
                _WRITE_OUTBOX,
                ids=[message.id for message in messages],
                destinations=[_destination(message) for message in messages],
                names=[message.name if isinstance(message, Event) else message.path for message in messages],
                payloads=[json.dumps(message.payload, default=str) for message in messages],
                not_before=[message.not_before if isinstance(message, Task) else None for message in messages],
                now=self._clock.now(),
            )

    def _attempt(self, work: Callable[[_Connection], _R]) -> _R:
        again, fresh = 3, 1
        while True:
            connection, is_new = self._take(new=fresh == 0)
            connection.answered = 0
            try:
                result = work(connection)
            except SqlError as error:
                if error.state in _STALE_PLAN:
                    self._drop(connection)  # its other plans may be as stale
                    if connection.answered == 0 and fresh:
                        fresh -= 1
                        continue
                    raise Unavailable from error
                self._roll_back(connection)
                if error.state in _AGAIN and again:
                    again -= 1
                    time.sleep(random.uniform(0.005, 0.03))
                    continue
                raise self._meaning(error) from error
            except _Broken as error:
                self._drop(connection)
                # A pooled connection may have died while it was idle; nothing has happened on it yet.
                if connection.answered == 0 and not is_new and fresh:
                    fresh -= 1
                    continue
                raise Unavailable from error
            except BaseException:
                self._roll_back(connection)
                raise
            self._give_back(connection)
            return result

    def _meaning(self, error: SqlError) -> Exception:
        if error.state == _GUARD and error.message in self._guards:
            return self._guards[error.message](json.loads(error.detail or "{}"))
        if error.state in _BUSY:
            return Unavailable()
        return error

    def _take(self, *, new: bool) -> tuple[_Connection, bool]:
        if not self._free.acquire(timeout=self._wait_s):
            raise Unavailable(retry_after_s=1)
        try:
            while not new and (connection := self._pop_idle()) is not None:
                if connection.stale_at > time.monotonic():
                    return connection, False
                connection.close()
            return _Connection(self._connect()), True
        except (pg8000.exceptions.Error, OSError) as error:
            self._free.release()
            raise Unavailable from error
        except BaseException:
            self._free.release()
            raise

    def _pop_idle(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:  # asked and taken in one step: between a look and a pop another thread may have had it
            return None

    def _give_back(self, connection: _Connection) -> None:
        self._idle.append(connection)
        self._free.release()

    def _drop(self, connection: _Connection) -> None:
        connection.close()
        self._free.release()

    def _roll_back(self, connection: _Connection) -> None:
        try:
            connection.simple("rollback")
        except (SqlError, _Broken):
            self._drop(connection)
        else:
            self._give_back(connection)


def _destination(message: Message) -> str:
    return f"topic:{message.topic}" if isinstance(message, Event) else f"queue:{message.queue}"


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


def fields_of(value: _Dataclass) -> dict[str, Any]:
    """The fields of a dataclass by name. asdict would copy all that lies in them, which takes a third of a checkout."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def as_json(value: object) -> str:
    """A parameter for `:x::jsonb`: UUIDs and moments as text."""
    return json.dumps(value, default=str)


def as_uuid(value: str | UUID) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)
