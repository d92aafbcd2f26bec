"""Delivery of webhooks: stored transmissions, sent until a 2xx, at most 25 times over three days.

PayPal publishes the 25 times and the three days, not the schedule: waits double from a second here. A transmission that
was being sent when the process died is sent again.
"""

import asyncio
import contextlib
import secrets
from functools import partial
from typing import Any

import aiohttp

from local.faults import Faults
from local.paypal import ids
from local.paypal.books import Books, Document
from local.paypal.signing import Chain

MAX_ATTEMPTS = 25
LONGEST_WAIT_S = 22_000
TIMEOUT_S = 30
AT_ONCE = 4
POLL_S = 0.2
# Between two attempts of one transmission, however often somebody asks for a retry now.
PACE_S = 0.25
DELAY_S = 2.0
REORDER_S = 1.0


class Courier:
    """Carries what lies in the books to the webhook's URL."""

    def __init__(
        self, books: Books, faults: Faults, chain: Chain, *, webhook_url: str, webhook_id: str, base_url: str
    ) -> None:
        self._books = books
        self._faults = faults
        self._chain = chain
        self._url = webhook_url
        self._path = "/" + webhook_url.partition("://")[2].partition("/")[2]
        self._webhook_id = webhook_id
        self._base_url = base_url
        self._woken = asyncio.Event()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
            try:
                while True:
                    for transmission in self._due():
                        task = asyncio.create_task(self._carry(session, transmission))
                        self._under_way[transmission["id"]] = task
                        task.add_done_callback(partial(self._finished, transmission["id"]))
                    self._woken.clear()
                    # Not wait_for: 3.11's swallows a cancellation that comes together with the wake-up.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(POLL_S):
                            await self._woken.wait()
            finally:
                for task in list(self._under_way.values()):
                    task.cancel()

    def wake(self) -> None:
        self._woken.set()

    def pending(self) -> Document:
        """What is not delivered yet, and what was given up. Nothing is ever `later`: a wait here is only a pause
        between attempts, which retry_now ends."""
        rows = self._books.file.rows(
            "select t.id, t.event_id, e.event_type, t.state, t.next_at, t.attempts from transmissions t"
            " join events e on e.id = t.event_id where t.state in ('open', 'exhausted') order by t.position"
        )
        shown = [{**dict(row), "next_at": ids.iso_ms(row["next_at"])} for row in rows]
        waiting = [item for item in shown if item["state"] == "open"]
        return {
            "pending": len(waiting),
            "later": 0,
            "items": waiting,
            "dead_letters": [item for item in shown if item["state"] == "exhausted"],
        }

    def retry_now(self) -> int:
        """Make every open transmission due; returns how many there are. Attempts that were hurried on do not count
        towards the 25: whoever waits for silence asks many times a second."""
        with self._books.open() as entries:
            changed = entries.connection.execute(
                "update transmissions set hurried = 1, next_at = min(next_at, max(?, coalesce(tried_at, 0) + ?))"
                " where state = 'open'",
                (entries.now, PACE_S),
            ).rowcount
        self.wake()
        return changed

    async def first_attempt(self, event_id: str, timeout_s: float = TIMEOUT_S + 5) -> list[Document]:
        """Wait until an event was sent once, or lost on purpose; returns its attempts."""
        waited = 0.0
        while True:
            rows = self._books.file.rows(
                "select status, at, error from attempts where event_id = ? order by id", (event_id,)
            )
            states = self._books.file.rows("select state from transmissions where event_id = ?", (event_id,))
            if rows or waited >= timeout_s or all(row["state"] != "open" for row in states):
                return [{name: value for name, value in dict(row).items() if value or name != "error"} for row in rows]
            await asyncio.sleep(0.01)
            waited += 0.01

    def transmission(self, event_id: str) -> Document:
        """Headers and exact body of an event's first transmission."""
        row = self._books.file.rows(
            "select t.id, t.time, e.body from transmissions t join events e on e.id = t.event_id"
            " where e.id = ? order by t.position limit 1",
            (event_id,),
        )[0]
        return {"headers": self._headers(row["id"], row["time"], row["body"].encode()), "body": row["body"]}

    def _finished(self, key: str, _: asyncio.Task[None]) -> None:
        self._under_way.pop(key, None)
        self.wake()

    def _due(self) -> list[dict[str, Any]]:
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return []
        rows = self._books.file.rows(
            "select t.id, t.event_id, t.time, t.attempts, t.hurried, t.spared, e.event_type, e.body"
            " from transmissions t join events e on e.id = t.event_id where t.state = 'open' and t.next_at <= ?"
            " order by t.next_at, t.position limit ?",
            (self._books.clock.now(), AT_ONCE * 2),
        )
        return [dict(row) for row in rows if row["id"] not in self._under_way][:room]

    async def _carry(self, session: aiohttp.ClientSession, transmission: dict[str, Any]) -> None:
        fault = None
        if not transmission["spared"]:
            # The event's type follows the path, so that a fault can be asked for one type of event.
            fault = self._faults.draw("webhooks", f"{self._path}/{transmission['event_type']}")
        if fault == "lose":
            self._note(transmission, state="lost")
        elif fault is not None and fault in ("delay", "reorder"):
            own_s = DELAY_S if fault == "delay" else REORDER_S
            self._note(transmission, spared=True, wait_s=own_s if fault.delay_s is None else fault.delay_s)
        elif fault == "error":
            self._note(transmission, error="fault: error")
        else:
            if fault == "repeat":
                with self._books.open() as entries:
                    entries.add_transmission(transmission["event_id"], spared=True)
                    entries.add_transmission(transmission["event_id"], spared=True)
                self.wake()
            status, error = await self._send(session, transmission)
            if fault == "timeout_after_effect":
                status, error = None, "fault: timeout_after_effect"
            self._note(transmission, status=status, error=error)

    async def _send(
        self, session: aiohttp.ClientSession, transmission: dict[str, Any]
    ) -> tuple[int | None, str | None]:
        body = transmission["body"].encode()
        headers = self._headers(transmission["id"], transmission["time"], body)
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as response:
                await response.read()
                return response.status, None
        except (aiohttp.ClientError, TimeoutError, OSError) as failure:
            return None, type(failure).__name__

    def _note(
        self,
        transmission: dict[str, Any],
        *,
        status: int | None = None,
        error: str | None = None,
        state: str | None = None,
        spared: bool = False,
        wait_s: float | None = None,
    ) -> None:
        """Record what became of an attempt, or that it was put off."""
        tried = status is not None or error is not None
        attempts = transmission["attempts"] + (tried and not transmission["hurried"])
        if state is None:
            delivered = status is not None and 200 <= status < 300
            state = "delivered" if delivered else "exhausted" if attempts >= MAX_ATTEMPTS else "open"
        if wait_s is None:
            wait_s = min(2.0 ** max(attempts - 1, 0), LONGEST_WAIT_S)
        with self._books.open() as entries:
            if tried:
                entries.connection.execute(
                    "insert into attempts (event_id, transmission_id, at, status, error) values (?, ?, ?, ?, ?)",
                    (transmission["event_id"], transmission["id"], ids.iso_ms(entries.now), status, error),
                )
            entries.connection.execute(
                "update transmissions set state = ?, attempts = ?, tried_at = ?, hurried = 0, spared = ?, next_at = ?"
                " where id = ?",
                (state, attempts, entries.now, spared, entries.now + wait_s, transmission["id"]),
            )

    def _headers(self, transmission_id: str, at: str, body: bytes) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "User-Agent": "PayPal/AUHD-214.0-local",
            "PayPal-Transmission-Id": transmission_id,
            "PayPal-Transmission-Time": at,
            "PayPal-Transmission-Sig": self._chain.sign(transmission_id, at, self._webhook_id, body),
            "PayPal-Cert-Url": f"{self._base_url}{self._chain.cert_path()}",
            "PayPal-Auth-Algo": "SHA256withRSA",
            "PayPal-Auth-Version": "v2",
            "Correlation-Id": secrets.token_hex(7)[:13],
        }
