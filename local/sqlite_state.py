"""State that a local server keeps on disk before it answers, so that any process may be killed at any moment."""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class StateFile:
    """A SQLite file that several threads and several processes may use at once.

    synchronous is OFF: what is committed survives the death of a process, and no more is asked of a laptop.
    """

    def __init__(self, path: str | Path, schema: str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
        self._connection.row_factory = sqlite3.Row
        self._switch_to_wal()
        self._connection.execute("pragma synchronous = off")
        self._connection.execute("pragma foreign_keys = on")
        with self.transaction() as connection:
            for statement in _statements(schema):
                connection.execute(statement)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection inside BEGIN IMMEDIATE: one writer at a time over all processes; commits when left cleanly."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """A read outside a transaction of its own."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def _switch_to_wal(self) -> None:
        # SQLite does not wait for its busy timeout here: two processes that make the file at once see "locked".
        for attempt in range(200):
            try:
                self._connection.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError:
                if attempt == 199:
                    raise
                time.sleep(0.02)


def _statements(schema: str) -> Iterator[str]:
    # executescript() would commit first and run outside the transaction.
    statement = ""
    for line in schema.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
