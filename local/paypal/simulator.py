"""The simulator's parts in one place, and what every route needs of them."""

import asyncio
import json
from pathlib import Path
from typing import Any

from aiohttp import web

from local.clock import Clock
from local.faults import Faults
from local.paypal.books import Books
from local.paypal.courier import Courier
from local.paypal.problems import Problem, debug_id, detail, invalid
from local.paypal.resources import Links
from local.paypal.signing import Chain


class Simulator:
    """One PayPal account with one app and one webhook."""

    links: Links
    chain: Chain
    courier: Courier

    def __init__(
        self,
        *,
        state: Path,
        clock: Clock,
        faults: Faults,
        webhook_url: str,
        public_url: str,
        client_id: str,
        client_secret: str,
        webhook_id: str,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self._state = state
        self.clock = clock
        self.faults = faults
        self.webhook_url = webhook_url
        self.public_url = public_url.rstrip("/")
        self.client_id = client_id
        self.client_secret = client_secret
        self.webhook_id = webhook_id
        self.books = Books(state, clock)
        self._turns: dict[str, asyncio.Lock] = {}

    def listen(self, base_url: str) -> None:
        """What depends on the port: links, certificates, deliveries."""
        self.links = Links(base_url, self.public_url or base_url)
        self.chain = Chain(self._state, base_url, self.clock.now())
        self.courier = Courier(
            self.books,
            self.faults,
            self.chain,
            webhook_url=self.webhook_url,
            webhook_id=self.webhook_id,
            base_url=base_url,
        )

    def turn(self, request: web.Request) -> asyncio.Lock:
        """Two calls with one PayPal-Request-Id at once: the second waits until the first is answered."""
        request_id = request.headers.get("PayPal-Request-Id")
        if request_id is None or request.method != "POST":
            return asyncio.Lock()
        if len(self._turns) > 10_000:
            self._turns = {key: lock for key, lock in self._turns.items() if lock.locked()}
        return self._turns.setdefault(f"{request.path} {request_id}", asyncio.Lock())


SIMULATOR = web.AppKey("SIMULATOR", Simulator)


async def read_json(request: web.Request, *, empty: Any = None) -> Any:
    """The body; `empty` stands for none at all. Raises Problem: MALFORMED_REQUEST_JSON."""
    raw = await request.read()
    if not raw.strip() and empty is not None:
        return empty
    try:
        body = json.loads(raw)
        # A lone surrogate parses, and is no text that could be stored or sent on.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise invalid([detail("MALFORMED_REQUEST_JSON", "/")]) from None
    return body


def reply(body: Any, status: int = 200) -> web.Response:
    return web.json_response(body, status=status, headers={"Paypal-Debug-Id": debug_id()})


def refusal(problem: Problem) -> web.Response:
    return reply(problem.body(), problem.status)


def wants_representation(request: web.Request) -> bool:
    return "return=representation" in request.headers.get("Prefer", "").replace(" ", "")
