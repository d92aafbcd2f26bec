"""The event webhook: signed batches, posted until a 2xx, duplicates included."""

import asyncio
import contextlib
import json
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric import ec

from local.faults import Faults
from local.sendgrid.mailbox import Mailbox, iso
from local.sendgrid.signing import sign

# How long SendGrid goes on is not published where we could read it; a day is what it is said to be.
GIVE_UP_AFTER = 22
LONGEST_WAIT_S = 7_200
TIMEOUT_S = 30
BATCH = 100
POLL_S = 0.2
# Between two posts of one event, however often somebody asks for a retry now.
PACE_S = 0.25
DELAY_S = 2.0
REORDER_S = 1.0


class Reporter:
    """Tells a URL what became of every mail."""

    def __init__(self, mailbox: Mailbox, faults: Faults, key: ec.EllipticCurvePrivateKey, url: str) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._key = key
        self._url = url
        self._path = "/" + url.partition("://")[2].partition("/")[2]
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            while True:
                batch = self._due()
                if batch:
                    await self._report(session, batch)
                    continue
                self._woken.clear()
                # Not wait_for: 3.11's swallows a cancellation that comes together with the wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause_s()):
                        await self._woken.wait()

    def wake(self) -> None:
        self._woken.set()

    def pending(self) -> dict[str, Any]:
        """Events that are not told yet, those of mails scheduled for later, and those that were given up."""
        now = self._mailbox.clock.now()
        rows = self._mailbox.file.rows(
            "select id, body, state, next_at, tried_at, attempts from events"
            " where state in ('open', 'exhausted') order by id"
        )
        items = [
            {
                "id": row["id"],
                "state": row["state"],
                "event": json.loads(row["body"])["event"],
                "next_at": iso(row["next_at"]),
                "attempts": row["attempts"],
            }
            for row in rows
        ]
        waiting = [row for row in rows if row["state"] == "open"]
        # A pause between attempts is not `later`, and an event that follows in a moment is not either: who waits for
        # silence waits for them.
        later = [row for row in waiting if row["tried_at"] is None and row["next_at"] > now + 0.5]
        return {
            "pending": len(waiting) - len(later),
            "later": len(later),
            "items": [item for item in items if item["state"] == "open"],
            "dead_letters": [item for item in items if item["state"] == "exhausted"],
        }

    def retry_now(self) -> int:
        """Make every event that was tried already due; returns how many wait. What is scheduled stays scheduled.
        Attempts that were hurried on do not count: whoever waits for silence asks many times a second."""
        with self._mailbox.file.transaction() as connection:
            connection.execute(
                "update events set hurried = 1, next_at = min(next_at, max(?, tried_at + ?))"
                " where state = 'open' and tried_at is not null",
                (self._mailbox.clock.now(), PACE_S),
            )
            waiting = connection.execute("select count(*) as waiting from events where state = 'open'").fetchone()
        self.wake()
        return int(waiting["waiting"])

    def _pause_s(self) -> float:
        """Until the next event is due, but never long: the clock may be moved on meanwhile."""
        [row] = self._mailbox.file.rows("select min(next_at) as next_at from events where state = 'open'")
        ahead_s = POLL_S if row["next_at"] is None else row["next_at"] - self._mailbox.clock.now()
        return min(max(ahead_s, 0.0), POLL_S)

    def _due(self) -> list[dict[str, Any]]:
        rows = self._mailbox.file.rows(
            "select id, body, attempts, hurried, spared from events where state = 'open' and next_at <= ?"
            " order by next_at, id limit ?",
            (self._mailbox.clock.now(), BATCH),
        )
        return [dict(row) for row in rows]

    async def _report(self, session: aiohttp.ClientSession, batch: list[dict[str, Any]]) -> None:
        fault = None
        if not any(event["spared"] for event in batch):
            fault = self._faults.draw("webhooks", self._path)
        if fault == "lose":
            self._note(batch, state="lost")
        elif fault is not None and fault in ("delay", "reorder"):
            own_s = DELAY_S if fault == "delay" else REORDER_S
            self._note(batch, spared=True, wait_s=own_s if fault.delay_s is None else fault.delay_s)
        elif fault == "error":
            self._note(batch, error="fault: error")
        else:
            status, error = await self._post(session, batch)
            if fault == "repeat":
                status, error = await self._post(session, batch)
            if fault == "timeout_after_effect":
                status, error = None, "fault: timeout_after_effect"
            self._note(batch, status=status, error=error)

    async def _post(self, session: aiohttp.ClientSession, batch: list[dict[str, Any]]) -> tuple[int | None, str | None]:
        # SendGrid's own layout: events apart by a comma and CRLF, CRLF at the end. All of it is signed.
        body = ("[" + ",\r\n".join(event["body"] for event in batch) + "]\r\n").encode()
        timestamp = str(int(self._mailbox.clock.now()))
        headers = {
            "Content-Type": "application/json;charset=utf-8",
            "User-Agent": "SendGrid Event API",
            "X-Twilio-Email-Event-Webhook-Signature": sign(self._key, timestamp, body),
            "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
        }
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            return None, type(failure).__name__

    def _note(
        self,
        batch: list[dict[str, Any]],
        *,
        status: int | None = None,
        error: str | None = None,
        state: str | None = None,
        spared: bool = False,
        wait_s: float | None = None,
    ) -> None:
        """Record what became of a post, or that it was put off."""
        now = self._mailbox.clock.now()
        tried = status is not None or error is not None
        delivered = status is not None and 200 <= status < 300
        with self._mailbox.file.transaction() as connection:
            if tried:
                connection.execute(
                    "insert into posts (at, events, status, error) values (?, ?, ?, ?)",
                    (iso(now), len(batch), status, error),
                )
            for event in batch:
                attempts = event["attempts"] + (tried and not event["hurried"])
                ended = "delivered" if delivered else "exhausted" if attempts >= GIVE_UP_AFTER else "open"
                wait = wait_s if wait_s is not None else min(2.0 ** max(attempts - 1, 0), LONGEST_WAIT_S)
                connection.execute(
                    "update events set state = ?, attempts = ?, tried_at = ?, hurried = 0, spared = ?, next_at = ?"
                    " where id = ?",
                    (state or ended, attempts, now, spared, now + wait, event["id"]),
                )
