"""PayPal's books: every object, event, transmission and request, on disk before anything is answered."""

import json
import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local.clock import Clock
from local.paypal import ids
from local.sqlite_state import StateFile

SCHEMA = """
create table if not exists objects (
    position integer primary key autoincrement,
    kind text not null,
    id text not null,
    parent text not null,
    body text not null,
    unique (kind, id)
);
create index if not exists objects_parent on objects (kind, parent);
create index if not exists captures_invoice on objects (json_extract(body, '$.invoice_id')) where kind = 'capture';
create table if not exists request_keys (
    operation text not null,
    request_id text not null,
    object_id text not null,
    failure text,
    kept_until real not null,
    primary key (operation, request_id)
);
create table if not exists tokens (token text primary key, expires_at real not null);
create table if not exists requests (
    id integer primary key autoincrement,
    method text not null,
    path text not null,
    headers text not null,
    status integer,
    at text not null
);
create table if not exists events (
    position integer primary key autoincrement,
    id text not null unique,
    event_type text not null,
    subjects text not null,
    body text not null,
    created_at real not null,
    forged integer not null
);
create table if not exists transmissions (
    position integer primary key autoincrement,
    id text not null unique,
    event_id text not null references events (id),
    time text not null,
    state text not null,
    next_at real not null,
    attempts integer not null default 0,
    tried_at real,
    hurried integer not null default 0,
    spared integer not null default 0
);
create index if not exists transmissions_due on transmissions (next_at) where state = 'open';
create table if not exists attempts (
    id integer primary key autoincrement,
    event_id text not null,
    transmission_id text not null,
    at text not null,
    status integer,
    error text
);
create index if not exists attempts_event on attempts (event_id);
"""

# Keys that start with an underscore are the simulator's own; no rendering shows them.
Document = dict[str, Any]


class Entries:
    """The books inside one transaction."""

    def __init__(self, connection: sqlite3.Connection, now: float) -> None:
        self.connection = connection
        self.now = now

    def find(self, kind: str, object_id: str) -> Document | None:
        row = self.connection.execute(
            "select body from objects where kind = ? and id = ?", (kind, object_id)
        ).fetchone()
        return None if row is None else json.loads(row["body"])

    def children(self, kind: str, parent: str) -> list[Document]:
        """In the order in which they came to be."""
        rows = self.connection.execute(
            "select body from objects where kind = ? and parent = ? order by position", (kind, parent)
        )
        return [json.loads(row["body"]) for row in rows]

    def all(self, kind: str) -> list[Document]:
        rows = self.connection.execute("select body from objects where kind = ? order by position", (kind,))
        return [json.loads(row["body"]) for row in rows]

    def add(self, kind: str, document: Document, *, parent: str = "") -> None:
        document.setdefault("create_time", ids.iso(self.now))
        document.setdefault("update_time", document["create_time"])
        self.connection.execute(
            "insert into objects (kind, id, parent, body) values (?, ?, ?, ?)",
            (kind, _id_of(kind, document), parent, json.dumps(document)),
        )

    def change(self, kind: str, document: Document) -> None:
        """Store a changed object. Its update_time always moves on: times are whole seconds here, and two changes of
        one second would otherwise read as one and the same state."""
        moved = max(self.now, ids.epoch(document["update_time"]) + 1)
        document["update_time"] = ids.iso(moved)
        self.keep(kind, document)

    def keep(self, kind: str, document: Document) -> None:
        """Store what nobody outside can see as a change: update_time stays."""
        self.connection.execute(
            "update objects set body = ? where kind = ? and id = ?",
            (json.dumps(document), kind, _id_of(kind, document)),
        )

    def add_event(self, event: Document, subjects: Sequence[str], *, forged: bool = False) -> None:
        """An event and its first transmission, in the transaction of what it tells: neither without the other."""
        self.connection.execute(
            "insert into events (id, event_type, subjects, body, created_at, forged) values (?, ?, ?, ?, ?, ?)",
            (
                event["id"],
                event["event_type"],
                json.dumps(list(subjects)),
                json.dumps(event, separators=(",", ":"), ensure_ascii=False),
                self.now,
                forged,
            ),
        )
        self.add_transmission(event["id"])

    def last_event(self) -> int:
        row = self.connection.execute("select coalesce(max(position), 0) as position from events").fetchone()
        return int(row["position"])

    def events_after(self, position: int) -> list[Document]:
        rows = self.connection.execute("select body from events where position > ? order by position", (position,))
        return [json.loads(row["body"]) for row in rows]

    def add_transmission(self, event_id: str, *, spared: bool = False) -> str:
        """One more notice of an event, due now; a spared one suffers no fault on its first attempt."""
        transmission_id = str(uuid.uuid4())
        self.connection.execute(
            "insert into transmissions (id, event_id, time, state, next_at, spared) values (?, ?, ?, 'open', ?, ?)",
            (transmission_id, event_id, ids.iso(self.now), self.now, spared),
        )
        return transmission_id


class Books:
    """The books as a file."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.file = StateFile(folder / "paypal.db", SCHEMA)

    @contextmanager
    def open(self) -> Iterator[Entries]:
        """Entries that are all kept when the block ends cleanly, and none otherwise."""
        with self.file.transaction() as connection:
            yield Entries(connection, self.clock.now())

    def log_request(self, method: str, path: str, headers: dict[str, str]) -> int:
        with self.file.transaction() as connection:
            cursor = connection.execute(
                "insert into requests (method, path, headers, at) values (?, ?, ?, ?)",
                (method, path, json.dumps(headers), ids.iso_ms(self.clock.now())),
            )
            return int(cursor.lastrowid or 0)

    def log_status(self, request: int, status: int | None) -> None:
        with self.file.transaction() as connection:
            connection.execute("update requests set status = ? where id = ?", (status, request))

    def requests(self) -> list[Document]:
        """Oldest first."""
        rows = self.file.rows("select method, path, headers, status, at from requests order by id")
        return [{**dict(row), "headers": json.loads(row["headers"])} for row in rows]


def _id_of(kind: str, document: Document) -> str:
    return str(document["dispute_id"] if kind == "dispute" else document["id"])
