"""Calls to the shop as impatient clients make them, every answer held against docs/openapi.json."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from tests.system.cloud import ROOT, Answer

# What a client can wait for; a function gives up 5 s before its platform does, and a start may take its time.
PATIENCE_S = 150.0
# How long a client that wants an answer goes on asking. Then it gives up, and asks again when all is calm.
STUBBORN_S = 12.0
AT_ONCE = 12


@dataclass(slots=True)
class Asked:
    """One POST under one key, however often it was made, and every definite answer to it."""

    key: str
    method: str
    operation: str
    path: str
    body: Any
    headers: Mapping[str, str]
    actor: str
    answers: list[Answer] = field(default_factory=list)


class Traffic:
    """What is in flight towards the cloud, over all histories of a batch."""

    def __init__(self) -> None:
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._lock = threading.Lock()
        self._busy: Counter[str] = Counter()
        self._moved_at = 0.0

    @contextmanager
    def call(self, path: str) -> Iterator[None]:
        area = _area(path)
        with self._room:
            with self._lock:
                self._busy[area] += 1
                self._note(area)
            try:
                yield
            finally:
                with self._lock:
                    self._busy[area] -= 1
                    self._note(area)

    def _note(self, area: str) -> None:
        if area in ("checkouts", "paypal"):
            self._moved_at = time.monotonic()

    def is_at_work(self, process: str) -> bool:
        """Whether killing `process` now hits work: a call that it takes part in, or what a payment just set going."""
        with self._lock:
            if any(self._busy[area] for area in _TAKES_PART.get(process, ())):
                return True
            return process in _AFTERWARDS and time.monotonic() - self._moved_at < 0.5


_TAKES_PART = {
    "checkout": ("carts", "checkouts"),
    "postgres": ("carts", "checkouts", "staff", "desk", "support", "webhooks", "search"),
    "inventory": ("staff",),
    "search": ("search",),
    "paypal": ("checkouts", "paypal"),
    "webhooks": ("webhooks", "paypal"),
    "pubsub": ("checkouts",),
    "tasks": ("checkouts",),
    "desk": ("desk",),
    "support": ("support",),
}
_AFTERWARDS = {"webhooks", "payment-jobs", "notify", "sendgrid", "pubsub", "tasks", "paypal", "postgres"}


def _area(path: str) -> str:
    areas = {
        "/v1/carts": "carts",
        "/v1/checkouts": "checkouts",
        "/v1/orders": "checkouts",
        "/v1/webhooks": "webhooks",
        "/v1/products": "search",
        "/v1/inventory": "staff",
        "/v1/admin/settings": "staff",
        "/v1/admin/shipments": "staff",
        "/v1/admin": "desk",
        "/v1/returns": "support",
        "/_local/paypal": "paypal",
    }
    return next((area for prefix, area in areas.items() if path.startswith(prefix)), "local")


class Calls:
    """One history's calls, from networks of its own."""

    def __init__(self, url: str, traffic: Traffic, *, network: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._traffic = traffic
        self._network = network
        self._lock = threading.Lock()
        self.asked: list[Asked] = []
        self.statuses: Counter[int] = Counter()
        self.breaches: list[str] = []

    def say(self, breach: str) -> None:
        with self._lock:
            if breach not in self.breaches:
                self.breaches.append(breach)

    def ask(
        self,
        method: str,
        operation: str,
        body: Any = None,
        *,
        actor: str,
        path: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        manner: str = "patiently",
    ) -> Answer | None:
        """The answer that the actor goes on with; None where it got none. Every POST has a key of its own."""
        asked = Asked(uuid4().hex, method, operation, operation.format(**path or {}), body, dict(headers or {}), actor)
        if method == "POST":
            with self._lock:
                self.asked.append(asked)
        if manner in ("twin", "rivals"):
            return self._ask_twice(asked, same_key=manner == "twin")
        if manner in ("abandoned", "reloads"):
            self._abandon(asked)
            return self.repeat(asked) if manner == "reloads" else None
        return self.repeat(asked) if manner == "patiently" else self.once(asked)

    def _ask_twice(self, asked: Asked, *, same_key: bool) -> Answer | None:
        other = asked
        if not same_key:
            other = Asked(
                uuid4().hex, asked.method, asked.operation, asked.path, asked.body, asked.headers, asked.actor
            )
            with self._lock:
                self.asked.append(other)
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(self.once, asked), pool.submit(self.once, other)
            answers = [answer for answer in (first.result(), second.result()) if answer is not None]
        return min(answers, key=lambda answer: answer.status, default=None)

    def repeat(self, asked: Asked, within_s: float = STUBBORN_S) -> Answer | None:
        """Ask until there is a definite answer, or patience is at its end."""
        deadline = time.monotonic() + within_s
        while True:
            answer = self.once(asked)
            if answer is not None and is_definite(answer):
                return answer
            if time.monotonic() > deadline:
                return answer
            time.sleep(0.2)

    def once(self, asked: Asked) -> Answer | None:
        started = time.monotonic()
        try:
            with self._traffic.call(asked.path):
                connection = self._send(asked)
                try:
                    answered = connection.getresponse()
                    headers = {name.lower(): value for name, value in answered.getheaders()}
                    answer = Answer(answered.status, headers, answered.read())
                finally:
                    connection.close()
        except TimeoutError:
            self.say(f"{asked.method} {asked.operation} gave no answer within {PATIENCE_S:g} s")
            return None
        except (OSError, http.client.HTTPException):
            return None
        with self._lock:
            self.statuses[answer.status] += 1
        self._check(asked, answer, time.monotonic() - started)
        return answer

    def _send(self, asked: Asked) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(
            self._host, self._port, timeout=PATIENCE_S, source_address=(f"{self._network}.{_last_byte(asked.actor)}", 0)
        )
        headers = dict(asked.headers)
        data = None
        if asked.body is not None:
            data = json.dumps(asked.body).encode()
            headers["Content-Type"] = "application/json"
        if asked.method == "POST":
            headers["Idempotency-Key"] = asked.key
        connection.request(asked.method, asked.path, data, headers)
        return connection

    def _abandon(self, asked: Asked) -> None:
        """Send it, and hang up a moment later."""
        try:
            with self._traffic.call(asked.path):
                connection = self._send(asked)
                # As long as the key says, so that a story hangs up as often early as late.
                time.sleep(int(asked.key[:2], 16) / 256 * 0.08)
                connection.close()
        except OSError:
            return

    def _check(self, asked: Asked, answer: Answer, took_s: float) -> None:
        name = f"{asked.method} {asked.operation}"
        documented = _documented().get((asked.method, asked.operation))
        if documented is not None and answer.status not in documented and not _is_platforms(answer):
            self.say(f"{name} answered {answer.status}, which it does not document: {answer.raw[:200].decode()}")
        if asked.method != "POST" or not is_definite(answer):
            return
        with self._lock:
            asked.answers.append(answer)
            kept = [known for known in asked.answers if known.status < 300]
        if kept and any(known.raw != kept[0].raw or known.status != kept[0].status for known in kept):
            self.say(f"{name} answered one key in two ways: {kept[0].raw[:150]!r} and {kept[-1].raw[:150]!r}")


def is_definite(answer: Answer) -> bool:
    """Whether asking again would be of no use: neither busy nor in flight."""
    if answer.status in (429, 500, 502, 503, 504):
        return False
    return not (answer.status == 409 and problem_type(answer) == "in-flight")


def problem_type(answer: Answer) -> str:
    """The last word of a problem's type; empty where it is none."""
    try:
        return str(answer.json.get("type", "")).rpartition("/")[2]
    except (ValueError, AttributeError):
        return ""


def _is_platforms(answer: Answer) -> bool:
    return answer.status in (503, 504) and b"about:blank" in answer.raw


def _last_byte(actor: str) -> int:
    word = actor.rpartition(" ")[2]
    return int(word) + 1 if word.isdigit() else 1


@cache
def _documented() -> Mapping[tuple[str, str], frozenset[int]]:
    document = json.loads(Path(ROOT, "docs", "openapi.json").read_text())
    return {
        (method.upper(), path): frozenset(int(status) for status in operation["responses"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if isinstance(operation, dict) and "responses" in operation
    }
