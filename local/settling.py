"""Waiting until all that was set going has come to rest."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pg8000.native

from local.clock import Clock
from local.database import Address
from local.scheduler import Scheduler

PAUSE_S = 0.05

# Rows that wait for another attempt at a later time of the clock, and the schedule that makes it. They are work under
# way whose retry should run at once, like that of a task; the clock itself is moved by nobody but who asks for it.
RETRIED_BY_SCHEDULE = {
    "mails": (
        "sweep-mails",
        "update mails set next_attempt_at = :now where state in ('queued', 'sending') and next_attempt_at > :now"
        " returning id",
    ),
    "webhook_events": (
        "sweep-payments",
        "update webhook_events set next_attempt_at = :now where state in ('received', 'waiting')"
        " and next_attempt_at > :now returning id",
    ),
    # Owed by what came to pass after the schedules had run.
    "documents": ("issue-documents", "select id from documents where number is null and owed_at <= :now"),
}
# What a request left to the relay, which waits until nobody else can be about to publish it. While nothing else is
# under way, nobody is.
LEFT_TO_RELAY = """
update outbox set created_at = created_at - interval '5 seconds'
where published_at is null and leased_until is null and (not_before is null or not_before <= :now) returning id
"""
# A vendor that is down stays down, however often it is asked: then such rows are left to their time.
MOST_ROUNDS = 4


class Settling:
    """Looks into the outbox and asks the local servers what they still have to deliver.

    `servers` are base URLs that answer /_local/pending and /_local/retry-now.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        servers: Mapping[str, str],
        database: Address,
        clock: Clock,
        session: aiohttp.ClientSession,
    ) -> None:
        self._scheduler = scheduler
        self._servers = servers
        self._database = database
        self._clock = clock
        self._session = session
        self._connection: pg8000.native.Connection | None = None

    async def settle(self, timeout_s: float) -> tuple[bool, dict[str, Any]]:
        """Run each schedule once, then wait until nothing is under way. False and what is left when time is up.

        Retries run at once, whatever their backoff; what waits for a later time of the clock is left alone. One
        settling at a time: they share a connection, which stays open for the next one.
        """
        deadline = time.monotonic() + timeout_s
        report: dict[str, Any] = {"schedules": [], "left": {}, "dead_letters": {}, "later": {}}
        rounds_end = time.monotonic() + timeout_s / 2
        try:
            async with asyncio.timeout(timeout_s):
                report["schedules"] = await self._scheduler.run_all()
        except TimeoutError:
            report["left"] = {"schedules": "still running"}
            return False, report
        quiet = alone = rounds = 0
        while True:
            left, dead_letters = await self._look()
            # Work leaves a place only after it has arrived in the next one, but it may arrive behind our back: what
            # is empty twice in a row is empty.
            quiet = 0 if left else quiet + 1
            report |= {"left": left, "dead_letters": dead_letters}
            if quiet == 2:
                report["later"] = await asyncio.to_thread(self._bring_forward)
                rounds += 1
                if not report["later"] or rounds > MOST_ROUNDS or time.monotonic() > rounds_end:
                    return True, report
                await self._scheduler.run_named({RETRIED_BY_SCHEDULE[table][0] for table in report["later"]})
                quiet = 0
            if time.monotonic() > deadline:
                return False, report
            alone = alone + 1 if left.keys() == {"outbox"} else 0
            if alone == 2:
                alone = 0
                if (await asyncio.to_thread(self._try, "outbox", LEFT_TO_RELAY)) > 0:
                    await self._scheduler.run_named({"relay"})
            await asyncio.gather(*(self._retry_now(url) for name, url in self._servers.items() if name in left))
            await asyncio.sleep(PAUSE_S)

    async def _look(self) -> tuple[dict[str, Any], dict[str, Any]]:
        left: dict[str, Any] = {}
        dead_letters: dict[str, Any] = {}
        answers = await asyncio.gather(
            asyncio.to_thread(self._outbox), *(self._pending(url) for url in self._servers.values())
        )
        waiting, *servers = answers
        if waiting:
            left["outbox"] = waiting
        for name, pending in zip(self._servers, servers, strict=True):
            if pending.get("pending"):
                left[name] = {"pending": pending["pending"], "items": pending.get("items", [])}
            if pending.get("dead_letters"):
                dead_letters[name] = pending["dead_letters"]
        return left, dead_letters

    def _outbox(self) -> int | str:
        """How many rows wait to be published, or why that cannot be said."""
        try:
            rows = self._run(
                "outbox",
                "select count(*) from outbox where published_at is null and (not_before is null or not_before <= :now)",
            )
            return int(rows[0][0]) if rows else 0
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError) as failure:
            self._close()
            return f"the database does not answer: {failure}"

    def _bring_forward(self) -> dict[str, int]:
        """Make rows that wait for another attempt due now; how many there are, by table."""
        found = {table: self._try(table, statement) for table, (_, statement) in RETRIED_BY_SCHEDULE.items()}
        return {table: rows for table, rows in found.items() if rows}

    def _try(self, table: str, statement: str) -> int:
        """How many rows a statement about a table returns; none while the database does not answer."""
        try:
            return len(self._run(table, statement))
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError):
            self._close()
            return 0

    def _run(self, table: str, statement: str) -> list[Any]:
        """The rows of a statement about a table; none where this shop has no such table."""
        if self._connection is None:
            self._connection = self._database.connect()
        if self._connection.run("select to_regclass(:table) is null", table=f"public.{table}")[0][0]:
            return []
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        rows: list[Any] = self._connection.run(statement, now=now)
        return rows

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(pg8000.native.InterfaceError, OSError):
                connection.close()

    async def _pending(self, url: str) -> dict[str, Any]:
        try:
            async with self._session.get(f"{url}/_local/pending") as answer:
                pending: dict[str, Any] = await answer.json()
                return pending
        except (aiohttp.ClientError, ValueError) as failure:
            return {"pending": 1, "items": [f"does not answer: {failure!r}"]}

    async def _retry_now(self, url: str) -> None:
        try:
            async with self._session.post(f"{url}/_local/retry-now") as answer:
                await answer.read()
        except aiohttp.ClientError:
            return  # it is being started again; the next look says so
