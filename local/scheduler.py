"""Cloud Scheduler on a laptop: cron lines of deployments.yaml, on a clock that can be moved forward."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from local.clock import Clock
from local.cron import Cron
from local.google.identity import Issuer
from local.table import Schedule

TICK_S = 0.2
# The first turn of a schedule that runs every second waits a little, so as not to compete with the first visitor.
FIRST_TURN_AFTER_S = 3.0


@dataclass
class _Job:
    schedule: Schedule
    url: str
    audience: str
    timeout_s: float
    cron: Cron
    due_at: float
    # Held during a run: one run at a time per schedule, whoever asks for it.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    runs: int = 0
    last: dict[str, Any] | None = None

    def due_after(self, moment: float) -> float:
        if self.schedule.local_every_s is not None:
            return moment + self.schedule.local_every_s
        return self.cron.next_after(moment)


class Scheduler:
    """Calls each schedule's path when it is due, with an identity token, as Cloud Scheduler does: once, no retry."""

    def __init__(
        self,
        schedules: Sequence[Schedule],
        *,
        base_urls: Mapping[str, str],
        timeouts_s: Mapping[str, float],
        account: str,
        issuer: Issuer,
        clock: Clock,
        session: aiohttp.ClientSession,
        on_failure: Callable[[str, str], None] = lambda name, what: None,
    ) -> None:
        self._account = account
        self._issuer = issuer
        self._clock = clock
        self._session = session
        self._on_failure = on_failure
        self._under_way: set[asyncio.Task[Any]] = set()
        # Held while the clock is moved: the ticker must not run, out of order, what has just become due.
        self._moving = asyncio.Lock()
        now = clock.now()
        self._jobs = [
            _Job(
                schedule=schedule,
                url=base_urls[schedule.deployment] + schedule.path,
                audience=base_urls[schedule.deployment],
                timeout_s=timeouts_s[schedule.deployment],
                cron=(cron := Cron(schedule.cron)),
                due_at=now + FIRST_TURN_AFTER_S if schedule.local_every_s is not None else cron.next_after(now),
            )
            for schedule in schedules
        ]

    async def run_forever(self) -> None:
        """Run what is due, on and on. A schedule whose last run goes on is skipped until that ends."""
        while True:
            async with self._moving:
                now = self._clock.now()
                for job in self._jobs:
                    if job.due_at <= now and not job.turn.locked():
                        job.due_at = job.due_after(now)
                        task = asyncio.create_task(self._run(job))
                        self._under_way.add(task)
                        task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(TICK_S)

    async def advance(self, seconds: float) -> list[dict[str, Any]]:
        """Move the clock, then run every schedule that became due, once each, in the order they became due.

        What already ran when the clock was moved does not count: it may have read the time before.
        """
        async with self._moving:
            self._clock.advance(seconds)
            now = self._clock.now()
            due = sorted((job for job in self._jobs if job.due_at <= now), key=lambda job: job.due_at)
            for job in due:
                job.due_at = job.due_after(now)
            return [await self._run(job) for job in due]

    async def run_all(self) -> list[dict[str, Any]]:
        """Run every schedule once, in the order of the table, due or not."""
        return [await self._run(job) for job in self._jobs]

    async def run_named(self, names: Collection[str]) -> None:
        """Run those of these schedules that the table has."""
        for job in self._jobs:
            if job.schedule.name in names:
                await self._run(job)

    async def _run(self, job: _Job) -> dict[str, Any]:
        async with job.turn:
            started = self._clock.now()
            token = self._issuer.token(self._account, job.audience, now=started)
            headers = {
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                "User-Agent": "Google-Cloud-Scheduler",
                "X-CloudScheduler": "true",
                "X-CloudScheduler-JobName": job.schedule.name,
            }
            status: int | None = None
            detail = ""
            try:
                # The front gives up after the function's own timeout; this is for a start that takes its time.
                async with (
                    asyncio.timeout(job.timeout_s + 60),
                    self._session.post(job.url, data=b"{}", headers=headers) as answer,
                ):
                    status = answer.status
                    detail = (await answer.content.read(300)).decode(errors="replace") if status >= 300 else ""
            except (aiohttp.ClientError, TimeoutError) as failure:
                detail = repr(failure)
            job.runs += 1
            job.last = {"name": job.schedule.name, "status": status, "at": started}
            if status is None or status >= 300:
                job.last["detail"] = detail
                self._on_failure(job.schedule.name, f"{status} {detail}")
            return job.last

    def report(self) -> list[dict[str, Any]]:
        """Every schedule: when it is due, how often it ran, and how the last run went."""
        return [
            {
                "name": job.schedule.name,
                "deployment": job.schedule.deployment,
                "cron": job.schedule.cron,
                "local_every_s": job.schedule.local_every_s,
                "due_at": job.due_at,
                "runs": job.runs,
                "last": job.last,
            }
            for job in self._jobs
        ]
