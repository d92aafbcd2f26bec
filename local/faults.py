"""Faults on demand: a list that the control surface writes and every local server asks before it acts."""

import random
import sqlite3
from pathlib import Path
from typing import Any

from local.sqlite_state import StateFile

TARGETS = frozenset(
    {
        "paypal",
        "shippo",
        "sendgrid",
        "turnstile",
        "pubsub-publish",
        "pubsub-push",
        "tasks-create",
        "tasks-push",
        "webhooks",
    }
)
FAULTS = frozenset({"lose", "delay", "repeat", "reorder", "error", "timeout_after_effect"})

SCHEMA = """
create table if not exists faults (
    id integer primary key autoincrement,
    target text not null,
    fault text not null,
    path text not null,
    remaining integer,
    probability real,
    after integer not null,
    seed integer not null,
    delay_s real,
    calls integer not null default 0,
    fired integer not null default 0
);
"""


class Drawn(str):
    """The fault that befalls a call; `delay_s` is how long a delay takes, None: as long as the server's own."""

    delay_s: float | None = None


class Faults:
    """The faults of one state folder, shared by all its processes."""

    def __init__(self, path: str | Path) -> None:
        self._file = StateFile(path, SCHEMA)

    def add(
        self,
        target: str,
        fault: str,
        *,
        count: int = 1,
        probability: float | None = None,
        path: str = "",
        after: int = 0,
        seed: int = 0,
        delay_s: float | None = None,
    ) -> int:
        """Ask for a fault: for `count` calls, or, with `probability`, for that share of all calls until cleared.

        `path` is a prefix of the call's path; the first `after` calls that match are let through; `seed` makes a
        probability draw the same calls again; `delay_s` is how long a vendor's delay takes. Raises ValueError for
        what no server knows.
        """
        if target not in TARGETS:
            raise ValueError(f"target must be one of {', '.join(sorted(TARGETS))}")
        if fault not in FAULTS:
            raise ValueError(f"fault must be one of {', '.join(sorted(FAULTS))}")
        if count < 1 or after < 0:
            raise ValueError("count must be at least 1 and after at least 0")
        if probability is not None and not 0 <= probability <= 1:
            raise ValueError("probability must lie between 0 and 1")
        if delay_s is not None and not 0 <= delay_s <= 300:
            raise ValueError("delay_s must lie between 0 and 300")
        with self._file.transaction() as connection:
            cursor = connection.execute(
                "insert into faults (target, fault, path, remaining, probability, after, seed, delay_s)"
                " values (?, ?, ?, ?, ?, ?, ?, ?)",
                (target, fault, path, None if probability is not None else count, probability, after, seed, delay_s),
            )
            return int(cursor.lastrowid or 0)

    def clear(self) -> None:
        """Forget every fault, fired or not."""
        with self._file.transaction() as connection:
            connection.execute("delete from faults")

    def list(self) -> list[dict[str, Any]]:
        """Every fault since the last clear; `left` is how often it will still fire, None for a probability."""
        rows = self._file.rows("select id, target, fault, path, remaining, fired from faults order by id")
        return [
            {
                "id": row["id"],
                "target": row["target"],
                "fault": row["fault"],
                "path": row["path"],
                "left": row["remaining"],
                "fired": row["fired"],
            }
            for row in rows
        ]

    def draw(self, target: str, path: str) -> Drawn | None:
        """The fault that this call of `target` must suffer, or None. Counts the call; atomic over all processes."""
        # Nearly always there is none, and a call should not take the write lock to learn that.
        if not self._file.rows("select 1 from faults where target = ? limit 1", (target,)):
            return None
        drawn: Drawn | None = None
        with self._file.transaction() as connection:
            for row in connection.execute("select * from faults where target = ? order by id", (target,)).fetchall():
                if not path.startswith(row["path"]):
                    continue
                fires = drawn is None and _fires(row)
                connection.execute(
                    "update faults set calls = calls + 1, fired = fired + ?, remaining = remaining - ? where id = ?",
                    (fires, fires, row["id"]),
                )
                if fires:
                    drawn = Drawn(row["fault"])
                    drawn.delay_s = row["delay_s"]
        return drawn


def _fires(row: sqlite3.Row) -> bool:
    call: int = row["calls"]
    if call < row["after"]:
        return False
    if row["probability"] is None:
        return bool(row["remaining"] > 0)
    return random.Random(f"{row['seed']}:{call}").random() < float(row["probability"])
