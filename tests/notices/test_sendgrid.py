import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema
import pytest

from shared.gateways.sendgrid import SendGrid
from shared.kernel.errors import Declined, ShopError, Unavailable
from shared.notices.mails import Mail, NoAnswer
from tests.notices.conftest import settings_for

MAIL = Mail(
    id=uuid4(),
    event_id=uuid4(),
    template="order_paid",
    recipient="ada@buyer.example",
    order_id=uuid4(),
    subject="Order 1",
    text="Thank you",
    html="<p>Thank you</p>",
    attempt=1,
    unanswered=0,
)


class Scripted:
    """An HTTP server that answers one status, or None: reads the request and never answers."""

    def __init__(self, status: int | None, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.requests: list[tuple[str, dict[str, str], Any]] = []
        self.over = threading.Event()
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                scripted.requests.append((self.path, dict(self.headers.items()), json.loads(sent)))
                if status is None:
                    scripted.over.wait(20)
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def answering(
    status: int | None, headers: dict[str, str] | None = None, body: bytes = b""
) -> Iterator[tuple[SendGrid, Scripted]]:
    server = Scripted(status, headers, body)
    try:
        yield SendGrid(settings_for(server.url), timeout_s=0.5), server
    finally:
        server.close()


def test_a_mail_is_asked_for_with_its_ids_and_without_tracking() -> None:
    with answering(202, {"X-Message-Id": "m-1"}) as (sendgrid, server):
        assert sendgrid.send(MAIL) == "m-1"

    [(path, headers, body)] = server.requests
    assert path == "/v3/mail/send"
    assert headers["Authorization"] == "Bearer SG.test"
    assert body == {
        "from": {"email": "orders@vitrine.example", "name": "Vitrine"},
        "personalizations": [
            {
                "to": [{"email": "ada@buyer.example"}],
                "custom_args": {"mail_id": str(MAIL.id), "event_id": str(MAIL.event_id)},
            }
        ],
        "subject": "Order 1",
        "content": [
            {"type": "text/plain", "value": "Thank you"},
            {"type": "text/html", "value": "<p>Thank you</p>"},
        ],
        "categories": ["order_paid"],
        "tracking_settings": {
            "click_tracking": {"enable": False, "enable_text": False},
            "open_tracking": {"enable": False},
        },
    }


def test_what_is_asked_for_fits_the_schema_that_sendgrid_publishes(shared_data: Path) -> None:
    document = json.loads((shared_data / "contracts" / "sendgrid_tsg_mail_v3.json").read_text())
    schema = document["components"]["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]

    with answering(202) as (sendgrid, server):
        sendgrid.send(MAIL)

    [(_, _, body)] = server.requests
    validator = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
    assert [error.message for error in validator.iter_errors(body)] == []
    assert not validator.is_valid({**body, "from": {}})  # the schema is one that can refuse


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, Declined), (401, Unavailable), (403, Unavailable), (404, Declined), (405, Declined), (408, NoAnswer),
        (413, Declined), (415, Declined), (429, Unavailable), (500, Unavailable), (502, NoAnswer), (503, Unavailable),
        (504, NoAnswer), (520, NoAnswer),
    ],
)  # fmt: skip
def test_every_refusal_says_whether_the_mail_was_accepted(status: int, expected: type[ShopError]) -> None:
    with answering(status) as (sendgrid, _), pytest.raises(ShopError) as refusal:
        sendgrid.send(MAIL)

    assert type(refusal.value) is expected
    assert refusal.value.data == {"reason": str(status)}


@pytest.mark.parametrize(("status", "lines"), [(401, [401]), (403, [403]), (429, []), (503, []), (400, [])])
def test_a_refusal_of_our_key_is_an_error_line_for_a_person(
    status: int, lines: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    with answering(status) as (sendgrid, _), pytest.raises(ShopError):
        sendgrid.send(MAIL)

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == ["sendgrid_refused_us"] * len(lines)
    assert [record.__dict__["fields"] for record in errors] == [{"status": line} for line in lines]


def test_the_reason_names_the_field_and_no_address() -> None:
    error = {"message": "ada@buyer.example is no address", "field": "personalizations.0.to.0.email", "help": None}
    body = json.dumps({"errors": [error]}).encode()

    with answering(400, body=body) as (sendgrid, _), pytest.raises(Declined) as refusal:
        sendgrid.send(MAIL)

    assert refusal.value.data == {"reason": "400 personalizations.0.to.0.email"}


def test_too_many_mails_are_told_to_wait_as_long_as_sendgrid_says() -> None:
    with answering(429, {"Retry-After": "90"}) as (sendgrid, _), pytest.raises(Unavailable) as refusal:
        sendgrid.send(MAIL)

    assert refusal.value.retry_after_s == 90


def test_a_server_that_takes_the_mail_and_says_nothing_has_not_answered() -> None:
    with answering(None) as (sendgrid, server), pytest.raises(NoAnswer):
        sendgrid.send(MAIL)

    assert len(server.requests) == 1


def test_a_server_that_hangs_up_has_not_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(100)
            connection.close()

        rude = threading.Thread(target=hang_up)
        rude.start()
        with pytest.raises(NoAnswer):
            SendGrid(settings_for(f"http://127.0.0.1:{listener.getsockname()[1]}")).send(MAIL)
        rude.join()


def test_a_server_that_is_not_there_was_certainly_not_asked() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]

    with pytest.raises(Unavailable) as refusal:
        SendGrid(settings_for(f"http://127.0.0.1:{port}")).send(MAIL)

    assert type(refusal.value) is Unavailable
    assert refusal.value.data == {"reason": "not reached"}
