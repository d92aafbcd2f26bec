"""What Cloud Tasks remembers: queues, every task until it has succeeded or used up its attempts, and used names."""

import base64
import json
import math
import secrets
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from local.google.times import REST_S, timestamp
from local.sqlite_state import StateFile

SCHEMA = """
create table if not exists queues (
    name text primary key,
    max_dispatches_per_second real not null,
    max_concurrent_dispatches integer not null,
    max_attempts integer not null,
    max_retry_duration_s real not null,
    min_backoff_s real not null,
    max_backoff_s real not null,
    max_doublings integer not null,
    configured integer not null
);
create table if not exists tasks (
    id integer primary key autoincrement,
    name text not null unique,
    queue text not null,
    method text not null,
    url text not null,
    headers text not null,
    body blob not null,
    oidc_email text not null,
    oidc_audience text not null,
    dispatch_deadline_s real not null,
    created_at real not null,
    scheduled_at real not null,
    due_at real not null,
    runs_left integer not null,
    dispatches integer not null,
    responses integer not null,
    failed_at real not null,
    first_failed_at real not null,
    last_status integer,
    problem text not null
);
create index if not exists tasks_due on tasks (queue, due_at);
create table if not exists used_names (name text primary key, until real not null);
create table if not exists dead_letters (
    id integer primary key autoincrement,
    task text not null,
    name text not null,
    queue text not null,
    attempts integer not null,
    problem text not null,
    at real not null
);
"""

# How long a name stays used after its task is over: "up to 24 hours" (CreateTaskRequest.task).
NAME_LIFE_S = 24 * 3600.0
NEVER_DISPATCHED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The full name; -1 attempts and 0 seconds of duration mean without limit. Defaults are those of Cloud Tasks."""

    name: str
    max_dispatches_per_second: float = 500.0
    max_concurrent_dispatches: int = 1000
    max_attempts: int = 100
    max_retry_duration_s: float = 0.0
    min_backoff_s: float = 0.1
    max_backoff_s: float = 3600.0
    max_doublings: int = 16

    def backoff_s(self, failures: int) -> float:
        """RetryConfig.max_doublings: doubles so often, then grows by the last step, never above max_backoff."""
        doublings = min(failures - 1, self.max_doublings, 60)
        step = math.ldexp(self.min_backoff_s, doublings)
        return min(self.max_backoff_s, step * (failures - doublings))

    def gives_up(self, attempts: int, first_failed_at: float, now: float) -> bool:
        """Only when both limits that are set have been reached (RetryConfig.max_attempts, max_retry_duration)."""
        if self.max_attempts < 0 and not self.max_retry_duration_s:
            return False
        used_up = self.max_attempts < 0 or attempts >= self.max_attempts
        too_old = not self.max_retry_duration_s or now - first_failed_at >= self.max_retry_duration_s
        return used_up and too_old


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task and what has become of it. `name` is the full name; `dispatches` counts attempts that are over."""

    name: str
    queue: str
    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    oidc_email: str
    oidc_audience: str
    dispatch_deadline_s: float
    created_at: float
    scheduled_at: float
    due_at: float
    id: int = 0
    runs_left: int = 1
    dispatches: int = NEVER_DISPATCHED
    responses: int = 0
    failed_at: float = 0.0
    first_failed_at: float = 0.0
    last_status: int | None = None
    problem: str = ""

    @property
    def lane(self) -> str:
        return self.queue

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]


TASK_FIELDS = [name for name in Task.__dataclass_fields__ if name != "id"]


@dataclass(slots=True)
class Bucket:
    """Tokens of a queue's rate: a second's worth at once, then one by one (RateLimits.max_burst_size)."""

    rate: float
    tokens: float = field(default=0.0)
    at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.tokens = self._most

    @property
    def _most(self) -> float:
        return max(1.0, self.rate)

    def available(self) -> int:
        now = time.monotonic()
        self.tokens = min(self._most, self.tokens + (now - self.at) * self.rate)
        self.at = now
        return int(self.tokens)

    def wait_s(self) -> float:
        """Until there is a token again, counted from the last look; infinity where there is one."""
        return math.inf if self.tokens >= 1 else (1 - self.tokens) / self.rate


class NameInUse(Exception):
    """A task of this name is there, or was until a short while ago."""


class TasksState:
    """One state file. Every change is committed when the method returns."""

    def __init__(self, path: Path) -> None:
        self._file = StateFile(path, SCHEMA)
        self._queues: dict[str, Queue] = {}
        self._buckets: dict[str, Bucket] = {}
        self._read_queues()

    # --- queues

    def configure(self, queues: Sequence[Queue]) -> None:
        """Make these and forget those of an earlier configuration; what was created by a call stays."""
        names = [queue.name for queue in queues]
        with self._file.transaction() as connection:
            for (name,) in connection.execute("select name from queues where configured").fetchall():
                if name not in names:
                    for table, column in (("tasks", "queue"), ("dead_letters", "queue"), ("queues", "name")):
                        connection.execute(f"delete from {table} where {column} = ?", (name,))
            for queue in queues:
                _insert_queue(connection, queue, configured=True)
        self._read_queues()

    def create_queue(self, queue: Queue) -> bool:
        """False where one of this name exists."""
        if queue.name in self._queues:
            return False
        with self._file.transaction() as connection:
            _insert_queue(connection, queue, configured=False)
        self._read_queues()
        return True

    def find_queue(self, name: str) -> Queue | None:
        return self._queues.get(name)

    def list_queues(self, parent: str) -> list[Queue]:
        return [queue for name, queue in sorted(self._queues.items()) if name.startswith(f"{parent}/queues/")]

    def _read_queues(self) -> None:
        rows = self._file.rows("select * from queues")
        queues = [Queue(**{name: row[name] for name in Queue.__dataclass_fields__}) for row in rows]
        self._queues = {queue.name: queue for queue in queues}
        self._buckets = {queue.name: Bucket(queue.max_dispatches_per_second) for queue in queues}

    # --- tasks

    def create(self, task: Task, *, now: float, runs: int = 1) -> None:
        """Take a task; with `runs` 2 it is called twice, as the service may. Raises NameInUse."""
        with self._file.transaction() as connection:
            connection.execute("delete from used_names where until <= ?", (now,))
            for table in ("tasks", "used_names"):
                if connection.execute(f"select 1 from {table} where name = ?", (task.name,)).fetchone():
                    raise NameInUse(task.name)
            _insert_task(connection, replace(task, runs_left=runs))

    def find(self, name: str) -> Task | None:
        rows = self._file.rows("select * from tasks where name = ?", (name,))
        return _task(rows[0]) if rows else None

    def list_tasks(self, queue: str, *, after: int, limit: int) -> list[Task]:
        """By age; `after` is the id of the last one of the page before."""
        rows = self._file.rows(
            "select * from tasks where queue = ? and id > ? order by id limit ?", (queue, after, limit)
        )
        return [_task(row) for row in rows]

    def delete(self, name: str, *, now: float) -> bool:
        """As at Google, the name stays used for a while."""
        with self._file.transaction() as connection:
            return _remove(connection, name, now)

    def hurry(self, name: str, *, now: float) -> Task | None:
        """Due at once, whatever its schedule (RunTask)."""
        with self._file.transaction() as connection:
            connection.execute("update tasks set due_at = ? where name = ?", (now, name))
        return self.find(name)

    def succeed(self, task: Task, *, now: float) -> None:
        with self._file.transaction() as connection:
            if task.runs_left > 1:
                connection.execute(
                    "update tasks set runs_left = runs_left - 1, due_at = ? where id = ?", (now, task.id)
                )
            else:
                _remove(connection, task.name, now, task_id=task.id)

    def fail(self, task: Task, status: int | None, problem: str, *, now: float, retry_after_s: float = 0) -> None:
        """Count an attempt: another one after the backoff, or, after the last, deletion and a dead letter."""
        queue = self._queues.get(task.queue)
        if queue is None:
            return
        dispatches = task.dispatches + 1
        first_failed_at = task.first_failed_at or now
        with self._file.transaction() as connection:
            if queue.gives_up(dispatches, first_failed_at, now):
                if _remove(connection, task.name, now, task_id=task.id):
                    _bury(connection, task, dispatches, problem, now)
                return
            wait_s = max(queue.backoff_s(dispatches), retry_after_s)
            # "This number does not include attempts that failed with a 5xx": TaskContext.executionCount.
            answered = status is not None and status < 500
            connection.execute(
                "update tasks set dispatches = ?, responses = responses + ?, due_at = ?, failed_at = ?,"
                " first_failed_at = ?, last_status = ?, problem = ? where id = ?",
                (dispatches, answered, now + wait_s, now, first_failed_at, status, problem, task.id),
            )

    # --- the dispatcher's source: queues are its lanes

    def lanes(self) -> Mapping[str, int]:
        return {name: queue.max_concurrent_dispatches for name, queue in self._queues.items()}

    def list_due(self, lane: str, *, now: float, limit: int, besides: Sequence[int]) -> list[Task]:
        bucket = self._buckets[lane]
        limit = min(limit, bucket.available())
        if limit == 0:
            return []
        rows = self._file.rows(
            "select * from tasks where queue = ? and due_at <= ? order by due_at, id limit ?",
            (lane, now, limit + len(besides)),
        )
        due = [_task(row) for row in rows if row["id"] not in besides][:limit]
        bucket.tokens -= len(due)
        return due

    def next_due(self, *, now: float) -> float:
        # A queue that has just used up its rate may have more that is due already.
        refilled = now + min((bucket.wait_s() for bucket in self._buckets.values()), default=math.inf)
        (row,) = self._file.rows("select min(due_at) as due_at from tasks where due_at > ?", (now,))
        return refilled if row["due_at"] is None else min(refilled, float(row["due_at"]))

    # --- the control surface

    def pending(self, *, now: float, under_way: frozenset[int]) -> dict[str, Any]:
        tasks = [_task(row) for row in self._file.rows("select * from tasks order by due_at, id")]
        in_flight = [task for task in tasks if task.id in under_way]
        waiting = [task for task in tasks if task.id not in under_way]
        due = [task for task in waiting if task.due_at <= now]
        retrying = [task for task in waiting if task.due_at > now and task.dispatches > NEVER_DISPATCHED]
        later = [task for task in waiting if task.due_at > now and task.dispatches == NEVER_DISPATCHED]
        return {
            "pending": len(in_flight) + len(due) + len(retrying),
            "due": len(due),
            "in_flight": len(in_flight),
            "retrying": len(retrying),
            "later": len(later),
            "items": [
                {
                    "queue": task.queue.rpartition("/")[2],
                    "name": task.short_name,
                    "url": task.url,
                    "attempts": task.dispatches,
                    "in_flight": task.id in under_way,
                    "due_at": timestamp(task.due_at),
                    "problem": task.problem,
                }
                for task in [*in_flight, *due, *retrying, *later][:100]
            ],
            "dead_letters": self.list_dead_letters(),
        }

    def list_dead_letters(self) -> list[dict[str, Any]]:
        letters = []
        for row in self._file.rows("select * from dead_letters order by id"):
            task = json.loads(row["task"])
            letters.append(
                {
                    "id": row["id"],
                    "queue": row["queue"].rpartition("/")[2],
                    "name": row["name"].rpartition("/")[2],
                    "url": task["url"],
                    "body": task["body"],
                    "attempts": row["attempts"],
                    "problem": row["problem"],
                    "at": timestamp(row["at"]),
                }
            )
        return letters

    def retry_now(self, *, now: float) -> int:
        with self._file.transaction() as connection:
            retried = connection.execute(
                "update tasks set due_at = max(:now, failed_at + :rest) where dispatches > 0"
                " and due_at > max(:now, failed_at + :rest)",
                {"now": now, "rest": REST_S},
            )
            return retried.rowcount

    def replay(self, dead_letter: int, *, now: float) -> bool:
        """The same task under the same name, unless a task of that name is there."""
        with self._file.transaction() as connection:
            row = connection.execute("select * from dead_letters where id = ?", (dead_letter,)).fetchone()
            if row is None:
                return False
            kept = json.loads(row["task"])
            kept["body"] = base64.b64decode(kept["body"])
            connection.execute("delete from used_names where name = ?", (row["name"],))
            if not connection.execute("select 1 from tasks where name = ?", (row["name"],)).fetchone():
                _insert_task(connection, Task(**kept, created_at=now, scheduled_at=now, due_at=now))
            connection.execute("delete from dead_letters where id = ?", (dead_letter,))
            return True


def new_name(queue: str) -> str:
    """A name as the service makes them up: digits that nobody can guess."""
    return f"{queue}/tasks/{secrets.randbelow(9 * 10**18) + 10**18}"


def _task(row: sqlite3.Row) -> Task:
    values = {name: row[name] for name in TASK_FIELDS}
    return Task(**values | {"headers": json.loads(row["headers"])}, id=row["id"])


def _insert_task(connection: sqlite3.Connection, task: Task) -> None:
    values = {name: getattr(task, name) for name in TASK_FIELDS} | {"headers": json.dumps(dict(task.headers))}
    marks = ", ".join("?" * len(TASK_FIELDS))
    connection.execute(f"insert into tasks ({', '.join(TASK_FIELDS)}) values ({marks})", list(values.values()))


def _insert_queue(connection: sqlite3.Connection, queue: Queue, *, configured: bool) -> None:
    fields = list(Queue.__dataclass_fields__)
    marks = ", ".join("?" * (len(fields) + 1))
    connection.execute(
        f"insert or replace into queues ({', '.join(fields)}, configured) values ({marks})",
        (*(getattr(queue, name) for name in fields), configured),
    )


def _remove(connection: sqlite3.Connection, name: str, now: float, *, task_id: int | None = None) -> bool:
    removed = connection.execute("delete from tasks where name = ? and id = coalesce(?, id)", (name, task_id)).rowcount
    if removed:
        connection.execute("insert or replace into used_names (name, until) values (?, ?)", (name, now + NAME_LIFE_S))
    return bool(removed)


def _bury(connection: sqlite3.Connection, task: Task, attempts: int, problem: str, now: float) -> None:
    # Cloud Tasks just deletes; what was lost is kept here for people to see and to send again.
    kept = {
        "name": task.name,
        "queue": task.queue,
        "method": task.method,
        "url": task.url,
        "headers": dict(task.headers),
        "body": base64.b64encode(task.body).decode(),
        "oidc_email": task.oidc_email,
        "oidc_audience": task.oidc_audience,
        "dispatch_deadline_s": task.dispatch_deadline_s,
    }
    connection.execute(
        "insert into dead_letters (task, name, queue, attempts, problem, at) values (?, ?, ?, ?, ?, ?)",
        (json.dumps(kept), task.name, task.queue, attempts, problem, now),
    )
