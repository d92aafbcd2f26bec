"""The bot check's gateway against a server that says what the test wants: nobody is let through by a failure."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.gateways.turnstile import Turnstile
from shared.kernel.errors import Invalid, Unavailable
from shared.settings import TurnstileSettings

PASSED = {"success": True, "error-codes": [], "hostname": "shop.example", "action": "checkout"}
REQUEST_ID = UUID("6f1c7a52-3b9e-4a86-9a33-0d8f3a4f4a11")


class Cloudflare:
    """Answers in turn: (status, document or bytes); None never answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, object] | None] = []
        self.asked: list[tuple[str, Any]] = []
        self.over = threading.Event()
        cloudflare = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                cloudflare.asked.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                answer = cloudflare.answers.pop(0)
                if answer is None:
                    cloudflare.over.wait(20)
                    self.close_connection = True
                    return
                status, document = answer
                content = document if isinstance(document, bytes) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.fixture
def cloudflare() -> Iterator[Cloudflare]:
    made = Cloudflare()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield made
    made.over.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()
    assert made.answers == []


@pytest.fixture
def turnstile(cloudflare: Cloudflare) -> Iterator[Turnstile]:
    settings = TurnstileSettings(cloudflare.url, ("shop.example", "www.shop.example"), "0x4AAAAAAAsecret")
    with closing(Turnstile(settings, read_timeout_s=0.3)) as made:
        yield made


def test_a_passed_check_is_asked_for_once_under_our_own_id(turnstile: Turnstile, cloudflare: Cloudflare) -> None:
    cloudflare.answers = [(200, PASSED)]

    turnstile.admit("token", request_id=REQUEST_ID)

    assert cloudflare.asked == [
        (
            "/turnstile/v0/siteverify",
            {"secret": "0x4AAAAAAAsecret", "response": "token", "idempotency_key": str(REQUEST_ID)},
        )
    ]


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_told_by_its_field_and_nobody_is_asked(
    turnstile: Turnstile, cloudflare: Cloudflare, token: str | None
) -> None:
    with pytest.raises(Invalid) as refused:
        turnstile.admit(token, request_id=uuid4())

    assert [(bad.pointer, bad.detail) for bad in refused.value.fields] == [("/turnstile_token", "is required")]
    assert cloudflare.asked == []


@pytest.mark.parametrize(
    "verdict",
    [
        {"success": False, "error-codes": ["invalid-input-response"]},
        {"success": False, "error-codes": ["timeout-or-duplicate"]},
        {**PASSED, "hostname": "evil.example"},
        {**PASSED, "hostname": None},
        {**PASSED, "action": "newsletter"},
        {name: value for name, value in PASSED.items() if name != "action"},
    ],
)
def test_a_token_that_is_not_good_here_is_told_by_its_field(
    turnstile: Turnstile, cloudflare: Cloudflare, verdict: dict[str, object]
) -> None:
    cloudflare.answers = [(200, verdict)]

    with pytest.raises(Invalid) as refused:
        turnstile.admit("token", request_id=uuid4())

    assert [bad.pointer for bad in refused.value.fields] == ["/turnstile_token"]


def test_an_internal_error_is_asked_about_once_more_under_the_same_key(
    turnstile: Turnstile, cloudflare: Cloudflare
) -> None:
    internal = {"success": False, "error-codes": ["internal-error"]}
    cloudflare.answers = [(200, internal), (200, PASSED)]

    turnstile.admit("token", request_id=REQUEST_ID)

    assert [asked["idempotency_key"] for _path, asked in cloudflare.asked] == [str(REQUEST_ID)] * 2
    cloudflare.answers = [(200, internal), (500, internal)]
    with pytest.raises(Unavailable):
        turnstile.admit("token", request_id=REQUEST_ID)


@pytest.mark.parametrize(
    "answer",
    [
        (502, b"error code: 502"),
        (429, b"slow down"),
        (503, PASSED),
        (200, b"<html>"),
        (200, []),
        (200, {"success": "yes"}),
        (200, {"success": 1, "hostname": "shop.example", "action": "checkout"}),
        (200, {"success": False, "error-codes": ["something-new"]}),
        (200, {"success": False}),
        (200, b"[" * 100_000),
        None,
    ],
)
def test_what_is_no_definite_answer_lets_nobody_through(
    turnstile: Turnstile, cloudflare: Cloudflare, answer: tuple[int, object] | None
) -> None:
    cloudflare.answers = [answer]

    with pytest.raises(Unavailable) as away:
        turnstile.admit("token", request_id=uuid4())

    assert away.value.retry_after_s > 0
    assert len(cloudflare.asked) == 1


@pytest.mark.parametrize("code", ["missing-input-secret", "invalid-input-secret", "bad-request"])
def test_a_secret_that_cloudflare_does_not_know_is_our_fault_and_not_the_buyers(
    turnstile: Turnstile, cloudflare: Cloudflare, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    cloudflare.answers = [(400, {"success": False, "error-codes": [code]})]

    with pytest.raises(Unavailable):
        turnstile.admit("token", request_id=uuid4())

    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "0x4AAA" not in caplog.text


def test_a_published_secret_answers_for_no_page_of_ours(cloudflare: Cloudflare) -> None:
    settings = TurnstileSettings(cloudflare.url, ("127.0.0.1",), "1x0000000000000000000000000000000AA")
    cloudflare.answers = [(200, {"success": True, "error-codes": [], "hostname": "example.com"})]

    with closing(Turnstile(settings)) as turnstile:
        turnstile.admit("XXXX.DUMMY.TOKEN.XXXX", request_id=REQUEST_ID)

    assert len(cloudflare.asked) == 1
