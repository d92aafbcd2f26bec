"""What Pub/Sub remembers: topics, subscriptions, every message until each of its subscriptions has acknowledged it."""

import base64
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local.google.times import LONGEST_REST_S, REST_S, timestamp
from local.sqlite_state import StateFile

SCHEMA = """
create table if not exists topics (name text primary key, configured integer not null);
create table if not exists subscriptions (
    name text primary key,
    topic text not null,
    push_endpoint text not null,
    ack_deadline_s integer not null,
    min_backoff_s real,
    max_backoff_s real,
    max_delivery_attempts integer not null,
    dead_letter_topic text not null,
    oidc_email text not null,
    oidc_audience text not null,
    configured integer not null
);
create table if not exists last_message (only_row integer primary key check (only_row = 1), id integer not null);
create table if not exists messages (
    id integer primary key,
    topic text not null,
    data blob not null,
    attributes text not null,
    ordering_key text not null,
    published_at real not null
);
create table if not exists deliveries (
    id integer primary key autoincrement,
    subscription text not null,
    message_id integer not null references messages (id),
    failures integer not null,
    due_at real not null,
    failed_at real not null,
    leases integer not null,
    leased integer not null,
    problem text not null
);
create index if not exists deliveries_due on deliveries (subscription, leased, due_at);
create index if not exists deliveries_message on deliveries (message_id);
create table if not exists dead_letters (
    id integer primary key autoincrement,
    subscription text not null,
    message_id integer not null references messages (id),
    forwarded_id integer not null,
    attempts integer not null,
    problem text not null,
    at real not null
);
create index if not exists dead_letters_message on dead_letters (message_id);
"""

# Google pushes to one endpoint as fast as it answers; eight at once is enough to meet every race on a laptop.
PUSHES_AT_ONCE = 8
# Cloud Pub/Sub without a retry policy redelivers at once, slowed for push to 100 ms to 60 s ("push backoff").
PUSH_BACKOFF_S = (0.1, 60.0)
# When a delivery that has failed may be tried again, for who does not wait for its backoff.
_RESTED = "max(:now, failed_at + min(:most, :rest * (1 << min(max(failures, 1) - 1, 16))))"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Full resource names; an empty text or 0 where Google's resource has no such part."""

    name: str
    topic: str
    push_endpoint: str = ""
    ack_deadline_s: int = 10
    min_backoff_s: float | None = None
    max_backoff_s: float | None = None
    max_delivery_attempts: int = 0
    dead_letter_topic: str = ""
    oidc_email: str = ""
    oidc_audience: str = ""

    def backoff_s(self, failures: int) -> float:
        """The wait after the n-th failure: doubles from the least to the most."""
        least, most = self.min_backoff_s, self.max_backoff_s
        if least is None or most is None:
            if not self.push_endpoint:
                return 0.0
            least, most = PUSH_BACKOFF_S
        return min(most, math.ldexp(least, min(failures - 1, 60)))


@dataclass(frozen=True, slots=True)
class Message:
    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str = ""
    id: int = 0
    published_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one subscription."""

    id: int
    subscription: Subscription
    message: Message
    failures: int
    leases: int

    @property
    def lane(self) -> str:
        return self.subscription.name

    @property
    def ack_id(self) -> str:
        return f"{self.id}:{self.leases}"


class PubSubState:
    """One state file. Every change is committed when the method returns."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, SCHEMA)
        self._subscriptions: dict[str, Subscription] = {}
        self._read_subscriptions()

    # --- topics and subscriptions

    def configure(self, topics: Iterable[str], subscriptions: Sequence[Subscription]) -> None:
        """Make these and forget those of an earlier configuration; what was created by a call stays."""
        wanted = {*topics, *(s.topic for s in subscriptions), *(s.dead_letter_topic for s in subscriptions)} - {""}
        names = [subscription.name for subscription in subscriptions]
        with self._file.transaction() as connection:
            marks = ",".join("?" * len(wanted))
            connection.execute(f"delete from topics where configured and name not in ({marks})", [*wanted])
            for topic in wanted:
                connection.execute("insert or replace into topics (name, configured) values (?, 1)", (topic,))
            for (name,) in connection.execute("select name from subscriptions where configured").fetchall():
                if name not in names:
                    _delete_subscription(connection, name)
            for subscription in subscriptions:
                _insert_subscription(connection, subscription, configured=True)
        self._read_subscriptions()

    def create_topic(self, name: str) -> bool:
        """False where it exists."""
        with self._file.transaction() as connection:
            made = connection.execute("insert or ignore into topics (name, configured) values (?, 0)", (name,))
            return made.rowcount == 1

    def delete_topic(self, name: str) -> bool:
        with self._file.transaction() as connection:
            connection.execute("update subscriptions set topic = '_deleted-topic_' where topic = ?", (name,))
            deleted = connection.execute("delete from topics where name = ?", (name,)).rowcount == 1
        self._read_subscriptions()
        return deleted

    def has_topic(self, name: str) -> bool:
        return bool(self._file.rows("select 1 from topics where name = ?", (name,)))

    def list_topics(self, project: str) -> list[str]:
        """Names of all topics of a project, sorted."""
        rows = self._file.rows("select name from topics order by name")
        return [row["name"] for row in rows if row["name"].startswith(f"{project}/topics/")]

    def create_subscription(self, subscription: Subscription) -> bool:
        """False where one of this name exists."""
        if subscription.name in self._subscriptions:
            return False
        with self._file.transaction() as connection:
            _insert_subscription(connection, subscription, configured=False)
        self._read_subscriptions()
        return True

    def delete_subscription(self, name: str) -> bool:
        found = name in self._subscriptions
        with self._file.transaction() as connection:
            _delete_subscription(connection, name)
        self._read_subscriptions()
        return found

    def find_subscription(self, name: str) -> Subscription | None:
        return self._subscriptions.get(name)

    def _read_subscriptions(self) -> None:
        rows = self._file.rows("select * from subscriptions")
        self._subscriptions = {
            row["name"]: Subscription(**{field: row[field] for field in Subscription.__dataclass_fields__})
            for row in rows
        }

    # --- messages

    def publish(self, topic: str, messages: Sequence[Message], *, now: float, copies: int = 1) -> list[int]:
        """Take the messages; the ids that Google's answer would carry. `copies` 2 is a publisher's unseen repeat."""
        with self._file.transaction() as connection:
            ids = []
            for message in messages:
                taken = [_publish(connection, topic, message, now) for _ in range(copies)]
                ids.append(taken[0])
            return ids

    def acknowledge(self, deliveries: Iterable[int]) -> None:
        with self._file.transaction() as connection:
            for delivery in deliveries:
                _acknowledge(connection, delivery)

    def acknowledge_leases(self, subscription: str, ack_ids: Iterable[str]) -> None:
        """As Google does, an ack id that is no longer good is passed over in silence."""
        with self._file.transaction() as connection:
            for ack_id in ack_ids:
                row = _find_leased(connection, subscription, ack_id)
                if row is not None:
                    _acknowledge(connection, row["id"])

    def extend_leases(self, subscription: str, ack_ids: Iterable[str], deadline_s: int, *, now: float) -> None:
        """A deadline of 0 gives the message back: a failure."""
        for ack_id in ack_ids:
            with self._file.transaction() as connection:
                row = _find_leased(connection, subscription, ack_id)
                if row is not None and deadline_s > 0:
                    connection.execute("update deliveries set due_at = ? where id = ?", (now + deadline_s, row["id"]))
            if row is not None and deadline_s == 0:
                self.fail(row["id"], "given back", now=now)

    def pull(self, subscription: Subscription, limit: int, *, now: float) -> list[Delivery]:
        """Lease what is due; a lease that ran out counts as a failure."""
        expired = self._file.rows(
            "select id, due_at from deliveries where subscription = ? and leased and due_at <= ?",
            (subscription.name, now),
        )
        for row in expired:
            self.fail(row["id"], "the ack deadline passed", now=row["due_at"])
        due = self.list_due(subscription.name, now=now, limit=limit, besides=())
        leased = [replace(delivery, leases=delivery.leases + 1) for delivery in due]
        with self._file.transaction() as connection:
            for delivery in leased:
                connection.execute(
                    "update deliveries set leased = 1, leases = ?, due_at = ? where id = ?",
                    (delivery.leases, now + subscription.ack_deadline_s, delivery.id),
                )
        return leased

    def fail(self, delivery: int, problem: str, *, now: float) -> None:
        """Count a failure: another attempt after the backoff, or, after the last, the dead-letter topic."""
        with self._file.transaction() as connection:
            row = connection.execute("select * from deliveries where id = ?", (delivery,)).fetchone()
            subscription = self._subscriptions.get(row["subscription"]) if row is not None else None
            if row is None or subscription is None:
                return  # deleted meanwhile
            failures = row["failures"] + 1
            if subscription.max_delivery_attempts and failures >= subscription.max_delivery_attempts:
                _bury(connection, row, subscription, failures, problem, now)
                return
            connection.execute(
                "update deliveries set failures = ?, due_at = ?, failed_at = ?, leased = 0, problem = ? where id = ?",
                (failures, now + subscription.backoff_s(failures), now, problem, delivery),
            )

    # --- the dispatcher's source: push subscriptions are its lanes

    def lanes(self) -> Mapping[str, int]:
        return {name: PUSHES_AT_ONCE for name, each in self._subscriptions.items() if each.push_endpoint}

    def list_due(self, lane: str, *, now: float, limit: int, besides: Sequence[int]) -> list[Delivery]:
        rows = self._file.rows(
            "select d.id, d.failures, d.leases, m.id as message_id, m.data, m.attributes, m.ordering_key,"
            " m.published_at from deliveries d join messages m on m.id = d.message_id"
            " where d.subscription = ? and not d.leased and d.due_at <= ? order by d.due_at, d.id limit ?",
            (lane, now, limit + len(besides)),
        )
        subscription = self._subscriptions[lane]
        return [
            Delivery(row["id"], subscription, _message(row), row["failures"], row["leases"])
            for row in rows
            if row["id"] not in besides
        ][:limit]

    def next_due(self, *, now: float) -> float:
        (row,) = self._file.rows("select min(due_at) as due_at from deliveries where not leased and due_at > ?", (now,))
        return math.inf if row["due_at"] is None else float(row["due_at"])

    # --- the control surface

    def pending(self, *, now: float, under_way: frozenset[int]) -> dict[str, Any]:
        rows = self._file.rows(
            "select d.*, m.attributes, m.published_at from deliveries d join messages m on m.id = d.message_id"
            " join subscriptions s on s.name = d.subscription where s.push_endpoint <> '' order by d.due_at, d.id"
        )
        in_flight = sum(row["id"] in under_way for row in rows)
        due = sum(row["due_at"] <= now for row in rows if row["id"] not in under_way)
        return {
            "pending": len(rows),
            "due": due,
            "in_flight": in_flight,
            "retrying": len(rows) - in_flight - due,
            "later": 0,
            "items": [
                {
                    "subscription": _short(row["subscription"]),
                    "message_id": str(row["message_id"]),
                    "attributes": json.loads(row["attributes"]),
                    "failures": row["failures"],
                    "in_flight": row["id"] in under_way,
                    "due_at": timestamp(row["due_at"]),
                    "problem": row["problem"],
                }
                for row in rows[:100]
            ],
            "dead_letters": self.list_dead_letters(),
        }

    def list_dead_letters(self) -> list[dict[str, Any]]:
        rows = self._file.rows(
            "select l.*, m.topic, m.data, m.attributes from dead_letters l join messages m on m.id = l.message_id"
            " order by l.id"
        )
        return [
            {
                "id": row["id"],
                "subscription": _short(row["subscription"]),
                "topic": _short(row["topic"]),
                "message_id": str(row["message_id"]),
                "attributes": json.loads(row["attributes"]),
                "data": base64.b64encode(row["data"]).decode(),
                "attempts": row["attempts"],
                "problem": row["problem"],
                "at": timestamp(row["at"]),
            }
            for row in rows
        ]

    def retry_now(self, *, now: float) -> int:
        with self._file.transaction() as connection:
            retried = connection.execute(
                f"update deliveries set due_at = {_RESTED} where not leased and due_at > {_RESTED} and subscription in"
                " (select name from subscriptions where push_endpoint <> '')",
                {"now": now, "rest": REST_S, "most": LONGEST_REST_S},
            )
            return retried.rowcount

    def replay(self, dead_letter: int, *, now: float) -> bool:
        """To its own subscription only: the others had the message long ago."""
        with self._file.transaction() as connection:
            row = connection.execute("select * from dead_letters where id = ?", (dead_letter,)).fetchone()
            if row is None or row["subscription"] not in self._subscriptions:
                return False
            _deliver(connection, row["subscription"], row["message_id"], now)
            forwarded = connection.execute("select id from deliveries where message_id = ?", (row["forwarded_id"],))
            for (delivery,) in forwarded.fetchall():
                _acknowledge(connection, delivery)
            connection.execute("delete from dead_letters where id = ?", (dead_letter,))
            return True


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _message(row: sqlite3.Row) -> Message:
    attributes = json.loads(row["attributes"])
    return Message(row["data"], attributes, row["ordering_key"], row["message_id"], row["published_at"])


def _insert_subscription(connection: sqlite3.Connection, subscription: Subscription, *, configured: bool) -> None:
    fields = list(Subscription.__dataclass_fields__)
    values = [getattr(subscription, field) for field in fields]
    marks = ", ".join("?" * (len(fields) + 1))
    connection.execute(
        f"insert or replace into subscriptions ({', '.join(fields)}, configured) values ({marks})",
        (*values, configured),
    )


def _delete_subscription(connection: sqlite3.Connection, name: str) -> None:
    for (delivery,) in connection.execute("select id from deliveries where subscription = ?", (name,)).fetchall():
        _acknowledge(connection, delivery)
    letters = connection.execute("select message_id from dead_letters where subscription = ?", (name,)).fetchall()
    connection.execute("delete from dead_letters where subscription = ?", (name,))
    for (message,) in letters:
        _forget_message(connection, message)
    connection.execute("delete from subscriptions where name = ?", (name,))


def _publish(connection: sqlite3.Connection, topic: str, message: Message, now: float) -> int:
    # Sixteen digits, as Google's: whoever keeps them in a small integer, or sorts them as text, learns it here.
    (message_id,) = connection.execute(
        "insert into last_message (only_row, id) values (1, :now)"
        " on conflict (only_row) do update set id = max(id + 1, excluded.id) returning id",
        {"now": int(now * 1e6)},
    ).fetchone()
    names = connection.execute("select name from subscriptions where topic = ?", (topic,)).fetchall()
    if names:  # as at Google, a topic that nobody subscribes to drops
        connection.execute(
            "insert into messages (id, topic, data, attributes, ordering_key, published_at) values (?, ?, ?, ?, ?, ?)",
            (message_id, topic, message.data, json.dumps(dict(message.attributes)), message.ordering_key, now),
        )
    for (name,) in names:
        _deliver(connection, name, message_id, now)
    return int(message_id)


def _deliver(connection: sqlite3.Connection, subscription: str, message_id: int, now: float) -> None:
    connection.execute(
        "insert into deliveries (subscription, message_id, failures, due_at, failed_at, leases, leased, problem)"
        " values (?, ?, 0, ?, 0, 0, 0, '')",
        (subscription, message_id, now),
    )


def _acknowledge(connection: sqlite3.Connection, delivery: int) -> None:
    row = connection.execute("delete from deliveries where id = ? returning message_id", (delivery,)).fetchone()
    if row is None:
        return
    _forget_message(connection, row["message_id"])
    # Whoever takes a dead letter out of its topic has it now: it is no longer open.
    for (message,) in connection.execute(
        "delete from dead_letters where forwarded_id = ? returning message_id", (row["message_id"],)
    ).fetchall():
        _forget_message(connection, message)


def _forget_message(connection: sqlite3.Connection, message_id: int) -> None:
    connection.execute(
        "delete from messages where id = ?"
        " and not exists (select 1 from deliveries d where d.message_id = messages.id)"
        " and not exists (select 1 from dead_letters l where l.message_id = messages.id)",
        (message_id,),
    )


def _find_leased(connection: sqlite3.Connection, subscription: str, ack_id: str) -> sqlite3.Row | None:
    delivery, _, lease = ack_id.partition(":")
    row: sqlite3.Row | None = connection.execute(
        "select id from deliveries where id = ? and leases = ? and leased and subscription = ?",
        (delivery, lease, subscription),
    ).fetchone()
    return row


def _bury(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    subscription: Subscription,
    attempts: int,
    problem: str,
    now: float,
) -> None:
    """Out of the subscription, into the dead-letter topic with the attributes that Google adds, and on the list."""
    found = connection.execute(
        "select id as message_id, data, attributes, ordering_key, published_at from messages where id = ?",
        (row["message_id"],),
    ).fetchone()
    message = _message(found)
    project = subscription.name.split("/")[1]
    attributes = {
        **message.attributes,
        "CloudPubSubDeadLetterSourceDeliveryCount": str(attempts),
        "CloudPubSubDeadLetterSourceSubscription": _short(subscription.name),
        "CloudPubSubDeadLetterSourceSubscriptionProject": project,
        "CloudPubSubDeadLetterSourceTopicPublishTime": timestamp(message.published_at),
    }
    forwarded = _publish(connection, subscription.dead_letter_topic, replace(message, attributes=attributes), now)
    connection.execute(
        "insert into dead_letters (subscription, message_id, forwarded_id, attempts, problem, at)"
        " values (?, ?, ?, ?, ?, ?)",
        (subscription.name, row["message_id"], forwarded, attempts, problem, now),
    )
    connection.execute("delete from deliveries where id = ?", (row["id"],))
