"""An Api with services that a test can look into, and a clock that stands."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from shared.edge.api import Api
from shared.edge.services import Services
from shared.edge.tokens import make_session_token
from shared.kernel.idempotency import AlreadyAnswered, Claim, InFlight, KeyReused, LeaseLost
from shared.kernel.tokens import KeyRing
from shared.settings import PlatformSettings

RING = KeyRing("new", {"new": b"n" * 32, "old": b"o" * 32})
OUR_ORIGIN = "https://shop.example"


class StandingClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> None:
        self.moment += timedelta(**parts)


class KeysInMemory:
    """Idempotency keys for one thread; what PostgreSQL makes of them is tested with PostgreSQL."""

    def __init__(self) -> None:
        self.claims: list[Claim] = []
        self.answers: dict[tuple[str, str, str], tuple[bytes, int, str]] = {}
        self.held: dict[tuple[str, str, str], Claim] = {}

    def claim(self, claim: Claim) -> None:
        self.claims.append(claim)
        name = (claim.scope, claim.route, claim.key)
        if name in self.answers:
            request_hash, status, body = self.answers[name]
            if request_hash != claim.request_hash:
                raise KeyReused
            raise AlreadyAnswered(status, body)
        if name in self.held:
            raise InFlight
        self.held[name] = claim

    def store(self, claim: Claim, status: int, body: str) -> None:
        name = (claim.scope, claim.route, claim.key)
        if self.held.get(name) != claim:
            raise LeaseLost
        del self.held[name]
        self.answers[name] = (claim.request_hash, status, body)

    def release(self, claim: Claim) -> None:
        name = (claim.scope, claim.route, claim.key)
        if self.held.get(name) == claim:
            del self.held[name]


class SessionsInMemory:
    def __init__(self) -> None:
        self.live: set[UUID] = set()

    def is_live(self, session: UUID, *, at: datetime) -> bool:
        return session in self.live


@dataclass
class House:
    """Whatever an Api is wired to."""

    clock: StandingClock = field(default_factory=StandingClock)
    keys: KeysInMemory = field(default_factory=KeysInMemory)
    sessions: SessionsInMemory = field(default_factory=SessionsInMemory)
    pings: list[str] = field(default_factory=list)
    flushes: list[str] = field(default_factory=list)
    ping: Callable[[], object] | None = None

    def make_api(self, name: str = "checkout", **changes: Any) -> Api:
        platform = PlatformSettings(name, "production", "vitrine-project", 60, OUR_ORIGIN, "")
        wired: dict[str, Any] = {
            "platform": lambda: platform,
            "ping": lambda: self.ping() if self.ping else self.pings.append("ping"),
            "clock": self.clock,
            "tokens": lambda: RING,
            "keys": lambda: self.keys,
            "sessions": lambda: self.sessions,
            "flush": lambda: self.flushes.append("flush"),
        }
        return Api(name, services=Services(**{**wired, **changes}))

    def token(self, kind: str = "staff", *permissions: str, session: UUID | None = None, live: bool = True) -> str:
        session = session or uuid4()
        if live:
            self.sessions.live.add(session)
        return make_session_token(
            RING,
            kind=kind,
            subject=uuid4(),
            session=session,
            expires_at=self.clock.now() + timedelta(minutes=10),
            permissions=permissions,
        )


@pytest.fixture
def house() -> House:
    return House()


def call(
    api: Api,
    method: str,
    path: str,
    *,
    json_body: object = None,
    raw: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> TestResponse:
    """One request; a JSON body says that it is one, and a POST has a key unless the headers say otherwise."""
    given = dict(headers or {})
    if json_body is not None:
        raw = json.dumps(json_body).encode()
    if raw is not None:
        given.setdefault("Content-Type", "application/json")
    if method == "POST":
        given.setdefault("Idempotency-Key", "a-key")
    return client_of(api).open(path, method=method, data=raw, headers=given)


def client_of(api: Api) -> FlaskClient:
    """A client of the Api inside a Flask app, as functions-framework has one around it. One thread at a time may ask
    for an Api's first client."""
    return _app_of(api).test_client(use_cookies=False)


@lru_cache(maxsize=4)
def _app_of(api: Api) -> flask.Flask:
    app = flask.Flask(__name__, static_folder=None)
    api.move_into(app)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
    for rule in ("/", "/<path:path>"):
        app.add_url_rule(
            rule, rule, lambda path="": api.serve(flask.request), methods=methods, provide_automatic_options=False
        )
    return app


def problem_of(response: TestResponse) -> tuple[int, str, Any]:
    """Status, last part of the type, errors; and it is a problem document, never HTML."""
    assert response.content_type == "application/problem+json", response.get_data(as_text=True)
    document = json.loads(response.get_data())
    assert document["status"] == response.status_code
    return (
        response.status_code,
        document["type"].removeprefix("https://vitrine.example/problems/"),
        document.get("errors"),
    )
