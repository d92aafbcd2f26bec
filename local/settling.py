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


class Settling:
    """Looks into the outbox and asks the local servers what they still have to deliver.

    `servers` are base URLs that answer /_local/pending and /_local/retry-now.
    """

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        servers: Mapping[str, str],
        database: Address | None,
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
        settling at a time: they share a connection.
        """
        try:
            return await self._settle(timeout_s)
        finally:
            await asyncio.to_thread(self._close)

    async def _settle(self, timeout_s: float) -> tuple[bool, dict[str, Any]]:
        deadline = time.monotonic() + timeout_s
        report: dict[str, Any] = {"schedules": [], "left": {}, "dead_letters": {}}
        try:
            async with asyncio.timeout(timeout_s):
                report["schedules"] = await self._scheduler.run_all()
        except TimeoutError:
            report["left"] = {"schedules": "still running"}
            return False, report
        quiet = 0
        while True:
            left, dead_letters = await self._look()
            # Work leaves a place only after it has arrived in the next one, but it may arrive behind our back: what
            # is empty twice in a row is empty.
            quiet = 0 if left else quiet + 1
            report |= {"left": left, "dead_letters": dead_letters}
            if quiet == 2:
                return True, report
            if time.monotonic() > deadline:
                return False, report
            await asyncio.gather(*(self._retry_now(url) for url in self._servers.values()))
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
        if self._database is None:
            return 0
        try:
            if self._connection is None:
                self._connection = self._database.connect()
            if self._connection.run("select to_regclass('public.outbox') is null")[0][0]:
                return 0
            rows = self._connection.run(
                "select count(*) from outbox where published_at is null and (not_before is null or not_before <= :now)",
                now=datetime.fromtimestamp(self._clock.now(), UTC),
            )
            return int(rows[0][0])
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError) as failure:
            self._close()
            return f"the database does not answer: {failure}"

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
