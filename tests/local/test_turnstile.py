"""The Turnstile simulator: a token is good once, for 300 seconds, and again under the same idempotency key."""

import http.client
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest

from tests.local.vendor_processes import Answer, Process

VERIFY = "/turnstile/v0/siteverify"
SECRET = "0x4AAAAAAAsecretOfTheSite"
PASSES, FAILS, SPENT = (f"{first}x0000000000000000000000000000000AA" for first in "123")
DUMMY = "XXXX.DUMMY.TOKEN.XXXX"


class TurnstileProcess(Process):
    """The simulator, and what a page and a shop say to it."""

    def token(self, **wanted: str) -> str:
        answer = self.call("POST", "/_local/turnstile/tokens", wanted)
        assert answer.status == 201
        return str(answer.json["token"])

    def verify(self, **asked: Any) -> Answer:
        return self.call("POST", VERIFY, {"secret": SECRET, **asked})

    def codes(self, **asked: Any) -> list[str]:
        answer = self.verify(**asked)
        assert answer.status == 200
        assert answer.json["success"] is (answer.json["error-codes"] == [])
        codes: list[str] = answer.json["error-codes"]
        return codes


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TurnstileProcess]:
    made = TurnstileProcess("turnstile", tmp_path_factory.mktemp("turnstile"), ["--secret", SECRET])
    try:
        yield made.start()
    finally:
        made.stop()


@pytest.fixture
def turnstile(process: TurnstileProcess) -> Iterator[TurnstileProcess]:
    yield process
    asked = process.faults.list()
    process.faults.clear()
    assert all(fault["fired"] for fault in asked), "a fault was asked for and never fired"


def test_a_token_says_where_and_for_what_it_was_given(turnstile: TurnstileProcess) -> None:
    answer = turnstile.verify(response=turnstile.token(action="sign-in", hostname="shop.example"))

    verdict = answer.json
    assert (verdict["success"], verdict["action"], verdict["hostname"]) == (True, "sign-in", "shop.example")
    assert verdict["error-codes"] == []


def test_a_token_is_good_once_and_again_under_the_same_key(turnstile: TurnstileProcess) -> None:
    token, key = turnstile.token(), str(uuid4())

    first = turnstile.verify(response=token, idempotency_key=key)

    assert first.json["success"] is True
    assert turnstile.verify(response=token, idempotency_key=key).json == first.json
    assert turnstile.codes(response=token, idempotency_key=str(uuid4())) == ["timeout-or-duplicate"]
    assert turnstile.codes(response=token) == ["timeout-or-duplicate"]


def test_what_was_spent_stays_spent_when_the_simulator_is_killed(turnstile: TurnstileProcess) -> None:
    token = turnstile.token()
    assert turnstile.codes(response=token) == []

    turnstile.kill()
    turnstile.start()

    assert turnstile.codes(response=token) == ["timeout-or-duplicate"]


def test_a_token_is_too_old_after_300_seconds(turnstile: TurnstileProcess) -> None:
    young, old = turnstile.token(), turnstile.token()

    turnstile.clock.advance(299)
    assert turnstile.codes(response=young) == []
    turnstile.clock.advance(2)

    assert turnstile.codes(response=old) == ["timeout-or-duplicate"]


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        ({"secret": ""}, ["missing-input-secret"]),
        ({"secret": "0x4AAAAAAAanother", "response": DUMMY}, ["invalid-input-secret"]),
        ({}, ["missing-input-response"]),
        ({"response": DUMMY}, ["invalid-input-response"]),
        ({"response": "x" * 2049}, ["invalid-input-response"]),
        ({"response": DUMMY, "idempotency_key": "not a uuid"}, ["bad-request"]),
        ({"secret": PASSES, "response": DUMMY}, []),
        ({"secret": PASSES}, ["missing-input-response"]),
        ({"secret": FAILS, "response": DUMMY}, ["invalid-input-response"]),
        ({"secret": SPENT, "response": DUMMY}, ["timeout-or-duplicate"]),
    ],
)
def test_secrets_and_responses_are_told_apart(
    turnstile: TurnstileProcess, asked: dict[str, str], codes: list[str]
) -> None:
    assert turnstile.codes(**asked) == codes


def test_a_form_is_read_as_well_and_anything_else_is_a_bad_request(turnstile: TurnstileProcess) -> None:
    form = urlencode({"secret": SECRET, "response": turnstile.token()}).encode()

    read = turnstile.call("POST", VERIFY, form, {"Content-Type": "application/x-www-form-urlencoded"})
    unread = turnstile.call("POST", VERIFY, b"<xml/>", {"Content-Type": "text/xml"})

    assert read.json["success"] is True
    assert (unread.status, unread.json["error-codes"]) == (400, ["bad-request"])


def test_faults_befall_siteverify(turnstile: TurnstileProcess) -> None:
    token, key = turnstile.token(), str(uuid4())
    turnstile.faults.add("turnstile", "error")
    assert turnstile.verify(response=token, idempotency_key=key).status == 502

    turnstile.faults.add("turnstile", "timeout_after_effect")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        turnstile.verify(response=token, idempotency_key=key)

    assert turnstile.codes(response=token) == ["timeout-or-duplicate"]
    assert turnstile.codes(response=token, idempotency_key=key) == []
    of_token = [
        asked for asked in turnstile.call("GET", "/_local/turnstile/requests").json if asked["response"] == token
    ]
    assert [asked["success"] for asked in of_token] == [True, False, True]
