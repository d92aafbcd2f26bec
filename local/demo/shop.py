"""A running shop as its callers see it: over HTTP, with a little patience."""

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

CALL_TIMEOUT_S = 90
# A function that is being started, or brought back, says 503 and when to ask again.
PATIENCE_S = 60


class StepFailed(Exception):
    """A step did not end as a purchase does; the sentence says what came instead."""


class NoShopRuns(Exception):
    """There is nothing to buy from; the sentence says how to get it."""


@dataclass(frozen=True, slots=True)
class Called:
    """One call and its answer; `took_s` includes every time it was asked again."""

    method: str
    target: str
    status: int
    took_s: float
    location: str
    body: bytes

    @property
    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            raise StepFailed(f"{self.method} {self.target} was answered with {self.status} and no JSON.") from None

    @property
    def complaint(self) -> str:
        """What a problem document (RFC 9457) says for a person to read."""
        try:
            said = json.loads(self.body)
            words = said.get("detail") or said.get("title") or ""
            fields = [f"{each['pointer']}: {each['detail']}" for each in said.get("errors", ())]
            return "; ".join([str(words), *fields]).strip("; ") or "no reason was given"
        except (ValueError, AttributeError, KeyError, TypeError):
            return self.body[:200].decode(errors="replace").strip() or "the answer was empty"


def find_shop(instances: Path) -> str:
    """The URL of the shop that runs in this checkout. Raises NoShopRuns."""
    for instance in sorted(instances.glob("*/instance.json")):
        try:
            url = str(json.loads(instance.read_text())["url"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        # A shop that was killed leaves the file behind.
        if listens(url):
            return url
    raise NoShopRuns("No shop runs in this checkout. Start one with `make run`, then `make demo` in a second terminal.")


def listens(url: str) -> bool:
    """Whether somebody takes calls there."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5):
            return True
    except OSError:
        return False


@dataclass(slots=True)
class Shop:
    """Calls to one shop; each is handed to `called`, so that whoever watches sees it."""

    url: str
    called: Callable[[Called], None]

    def get(self, path: str, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        """What a GET answers with 200. Raises StepFailed."""
        return self._expect(self.ask("GET", _with(path, query), headers=headers)).json

    def send(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None, status: int = 200
    ) -> Any:
        """What a call that changes something answers with `status`. Raises StepFailed."""
        return self._expect(self.ask(method, path, body, headers=headers), status).json

    def ask(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Called:
        """One call, asked again while the shop says 503; a POST keeps its Idempotency-Key. `target` is a path of the
        shop or a URL elsewhere."""
        sent = {"Accept": "application/json", **(headers or {})}
        data = None
        if form is not None:
            sent["Content-Type"], data = "application/x-www-form-urlencoded", urlencode(form).encode()
        elif body is not None:
            sent["Content-Type"], data = "application/json", json.dumps(body).encode()
        if method == "POST":
            sent["Idempotency-Key"] = uuid4().hex
        began = time.monotonic()
        while True:
            status, answered, content = self._exchange(method, target, data, sent)
            took_s = time.monotonic() - began
            if status not in (502, 503, 504) or took_s > PATIENCE_S:
                break
            time.sleep(_wait_s(answered.get("retry-after", "")))
        call = Called(method, target, status, took_s, answered.get("location", ""), content)
        self.called(call)
        return call

    def _exchange(
        self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(target if "://" in target else self.url + target)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(parts.hostname or "", parts.port, timeout=CALL_TIMEOUT_S)
        try:
            connection.request(method, path or "/", data, dict(headers))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException) as failure:
            address = f"{parts.scheme}://{parts.netloc}"
            raise StepFailed(f"{method} {path} found nobody at {address}: {failure!r}") from None
        finally:
            connection.close()

    def _expect(self, call: Called, status: int = 200) -> Called:
        if call.status != status:
            raise StepFailed(f"{call.method} {call.target} was answered with {call.status}: {call.complaint}")
        return call


def _with(path: str, query: Mapping[str, Any]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _wait_s(retry_after: str) -> float:
    return min(float(retry_after), 5.0) if retry_after.isdecimal() else 1.0
