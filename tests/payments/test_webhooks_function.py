"""POST /v1/webhooks/paypal as the deployment serves it: on PostgreSQL, with its own role, told by the simulator."""

import base64
import json
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import flask
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from werkzeug.test import TestResponse

from local.database import Address
from shared.gateways.paypal import PayPal
from shared.kernel.clock import SystemClock
from shared.payments.applying import apply_event
from shared.payments.processor import Fact
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.webhooks import WebhookEvents
from shared.settings import DatabaseSettings
from tests.payments.conftest import WEBHOOK_ID, Issue, Simulator, make_request
from tests.payments.forging import forge
from tests.served import serve
from tools.scratch_database import ScratchServer

PATH = "/v1/webhooks/paypal"
MAIL_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Function:
    """The served deployment, and its database as its owner sees it."""

    app: flask.Flask
    database: Database

    def post(self, headers: dict[str, str], body: bytes, path: str = PATH) -> TestResponse:
        return self.app.test_client().post(path, data=body, headers=headers)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.database.call(sql)

    def events(self) -> list[tuple[str, str, str, str | None]]:
        rows = self.rows("select event_id, event_type, state, verdict from webhook_events order by received_at")
        return [(row["event_id"], row["event_type"], row["state"], row["verdict"]) for row in rows]

    def tasks(self) -> list[UUID]:
        rows = self.rows("select destination, name, payload from outbox order by position")
        assert {(row["destination"], row["name"]) for row in rows} <= {
            ("queue:payments", "/jobs/payments/apply-webhook")
        }
        return [UUID(row["payload"]["webhook_event_id"]) for row in rows]

    def refusals(self) -> dict[str, int]:
        rows = self.rows("select reason, count from webhook_refusals where provider = 'paypal'")
        return {row["reason"]: row["count"] for row in rows}


@pytest.fixture
def function(
    simulator: Simulator, postgres: ScratchServer, webhooks_database: Address, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Function]:
    environment = {
        "VITRINE_DEPLOYMENT": "webhooks",
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "vitrine-test",
        "FUNCTION_TIMEOUT_S": "30",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": postgres.login(webhooks_database, "webhooks").url,
        "POOL_SIZE": "2",
        "PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
        "PAYPAL_CERT_PREFIXES": f"{simulator.url}/v1/notifications/certs/",
        "PAYPAL_CERT_ROOTS": str(simulator.roots),
        "SENDGRID_WEBHOOK_KEY": base64.b64encode(
            MAIL_KEY.public_key().public_bytes(
                serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        ).decode(),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # No queue is configured: the task stays in the outbox, where a test can count it.
    app, main = serve("webhooks", "webhooks", monkeypatch)
    connect = connector(DatabaseSettings("url", 2, webhooks_database.url), application="test")
    with closing(Database(connect, size=2, clock=SystemClock())) as database:
        yield Function(app, database)
    main.database().close()


def test_a_signed_event_is_stored_once_with_one_task(function: Function, simulator: Simulator) -> None:
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F", "status": "COMPLETED"})

    answers = [function.post(headers, body) for _ in range(2)]

    assert [(answer.status_code, answer.json) for answer in answers] == [
        (200, {"status": "received"}),
        (200, {"status": "repeated"}),
    ]
    event = json.loads(body)
    assert function.events() == [(event["id"], "PAYMENT.CAPTURE.COMPLETED", "received", None)]
    assert function.rows("select body from webhook_events") == [{"body": body.decode()}]
    assert len(function.tasks()) == 1
    assert function.refusals() == {}


def test_three_deliveries_at_once_are_three_200_one_row_one_task(function: Function, simulator: Simulator) -> None:
    """S32."""
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F", "status": "COMPLETED"})

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: function.post(headers, body), range(3)))

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert sorted(answer.json["status"] for answer in answers if answer.json) == ["received", "repeated", "repeated"]
    assert len(function.events()) == 1
    assert function.tasks() == [row["id"] for row in function.rows("select id from webhook_events")]


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_what_postgresql_wants_repeated_is_repeated_inside_and_answered_200(
    function: Function, simulator: Simulator, state: str
) -> None:
    """S37: a serialization failure or a deadlock is ours to repeat, PayPal hears nothing of it."""
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F", "status": "COMPLETED"})
    # A sequence keeps its place when a transaction is rolled back: the third insert is let through.
    function.rows("create sequence tries")
    function.rows(
        "create function fail_twice() returns trigger language plpgsql security definer as $$ begin "
        f"if nextval('tries') < 3 then raise exception using errcode = '{state}'; end if; return new; end $$"
    )
    function.rows(
        "create trigger fail_twice before insert on webhook_events for each row execute function fail_twice()"
    )
    try:
        answer = function.post(headers, body)
        ((tries,),) = [row.values() for row in function.rows("select last_value from tries")]
    finally:
        function.rows("drop trigger fail_twice on webhook_events")
        function.rows("drop function fail_twice")
        function.rows("drop sequence tries")

    assert (answer.status_code, answer.json, tries) == (200, {"status": "received"}, 3)
    assert len(function.events()) == len(function.tasks()) == 1


def test_an_event_that_is_sent_again_under_another_transmission_is_a_repeat(
    function: Function, simulator: Simulator
) -> None:
    first_headers, first = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    headers, second = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    same_event = forge(second, first.decode())

    answers = [function.post(first_headers, first), function.post(headers, same_event)]

    assert [answer.json for answer in answers] == [{"status": "received"}, {"status": "repeated"}]
    assert len(function.events()) == len(function.tasks()) == 1


def test_what_is_not_signed_is_refused_and_counted(function: Function, simulator: Simulator) -> None:
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    bad_signature = {**headers, "PayPal-Transmission-Sig": headers["PayPal-Transmission-Sig"][::-1]}

    answers = [
        function.post({}, b"{}"),
        function.post({}, b"no json"),
        function.post({"Content-Type": "text/plain"}, b""),
        function.post(headers, body[:-1] + b" "),
        function.post(bad_signature, body),
        function.post({**headers, "PayPal-Cert-Url": "https://evil.example/v1/notifications/certs/CERT-1"}, body),
        function.post({**headers, "PayPal-Auth-Algo": "none"}, body),
    ]

    assert [answer.status_code for answer in answers] == [401] * 7
    assert {answer.headers["Content-Type"] for answer in answers} == {"application/problem+json"}
    assert {(answer.json or {})["type"].rpartition("/")[2] for answer in answers} == {"signature-refused"}
    assert function.refusals() == {"unsigned": 3, "signature": 2, "certificate-url": 1, "algorithm": 1}
    assert (function.events(), function.tasks()) == ([], [])


def test_the_day_of_a_refusal_is_the_clocks(function: Function) -> None:
    function.post({}, b"{}")

    assert function.rows("select day from webhook_refusals") == [{"day": datetime.now(UTC).date()}]


def test_another_webhook_id_is_refused(function: Function, simulator: Simulator, issue: Issue) -> None:
    """What PayPal signs for another shop of the same app is not for us, and the literal WEBHOOK_ID for nobody."""
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    stranger = issue("messageverificationcerts.paypal.com")
    at, transmission_id = headers["PayPal-Transmission-Time"], headers["PayPal-Transmission-Id"]
    signature = stranger.sign(body, at=at, webhook_id="WEBHOOK_ID", transmission_id=transmission_id)

    answer = function.post({**headers, "PayPal-Transmission-Sig": signature}, body)

    assert answer.status_code == 401
    assert function.refusals() == {"signature": 1}


def test_a_certificate_that_cannot_be_had_is_asked_for_later(function: Function, simulator: Simulator) -> None:
    headers, body = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    elsewhere = {**headers, "PayPal-Cert-Url": f"{simulator.url}/v1/notifications/certs/CERT-0-0-0"}

    answer = function.post(elsewhere, body)

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert (function.refusals(), function.events()) == ({}, [])


@pytest.mark.parametrize(
    "wanted",
    [
        {"event_type": "PAYMENT.CAPTURE.COMPLETED"},
        {"id": "WH-1"},
        {"id": 7, "event_type": "X"},
        {"id": "x" * 200, "event_type": "X"},
        {"id": "Ä", "event_type": "X"},
        {"id": "a\0", "event_type": "X"},
        b"no json at all",
        b"[1, 2]",
        b"\xff\x00\xfe",
        b"",
    ],
)
def test_what_is_signed_and_cannot_be_read_is_kept_for_people(
    function: Function, simulator: Simulator, wanted: dict[str, object] | bytes
) -> None:
    headers, genuine = simulator.transmit("PAYMENT.CAPTURE.COMPLETED", {"id": "3C679366HH908993F"})
    body = _with_checksum_of(genuine, wanted) if isinstance(wanted, bytes) else forge(genuine, json.dumps(wanted))

    answer = function.post(headers, body)

    assert (answer.status_code, answer.json) == (200, {"status": "received"})
    ((event_id, _, state, verdict),) = function.events()
    assert event_id == f"unreadable:{headers['PayPal-Transmission-Id']}"
    assert (state, verdict) == ("ignored", "unreadable")
    assert function.tasks() == []


def test_a_body_that_is_too_long_is_refused_unread(function: Function) -> None:
    answer = function.post({}, b"x" * (256 * 1024 + 1))

    assert answer.status_code == 413
    assert function.refusals() == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_a_post_is_taken(function: Function, method: str) -> None:
    assert function.app.test_client().open(PATH, method=method).status_code == 405


def test_a_forged_body_verifies_and_still_moves_nothing(
    function: Function, simulator: Simulator, paypal: PayPal
) -> None:
    """The signature covers the CRC32; what moves money is what PayPal says of the object when it is asked (rule 6)."""
    request = make_request()
    opened = paypal.open(request)
    headers, genuine = simulator.transmit("CHECKOUT.ORDER.APPROVED", {"id": opened.paypal_order_id})
    forged = forge(
        genuine,
        json.dumps(
            {
                "id": "WH-FORGED",
                "event_type": "CHECKOUT.ORDER.APPROVED",
                "resource": {
                    "id": opened.paypal_order_id,
                    "status": "APPROVED",
                    "purchase_units": [{"custom_id": str(request.order_id), "invoice_id": f"VIT-{request.number}"}],
                },
            }
        ),
    )
    no_capture = forge(
        genuine,
        json.dumps(
            {
                "id": "WH-FORGED-TOO",
                "event_type": "PAYMENT.CAPTURE.COMPLETED",
                "resource": {
                    "id": "3C679366HH908993F",
                    "status": "COMPLETED",
                    "custom_id": str(request.order_id),
                    "invoice_id": f"VIT-{request.number}",
                    "amount": {"currency_code": "USD", "value": "34.99"},
                },
            }
        ),
    )
    followed: list[tuple[UUID, list[Fact]]] = []

    assert zlib.crc32(forged) == zlib.crc32(no_capture) == zlib.crc32(genuine)
    assert function.post(headers, forged).json == {"status": "received"}
    # The same signature again, under another event id: a transmission counts once, whatever it carries.
    assert function.post(headers, no_capture).json == {"status": "repeated"}
    (event_id,) = function.tasks()
    _apply(function, event_id, paypal, followed)

    # What reaches the ledger is the order as it is: nobody has approved it.
    ((order_id, facts),) = followed
    assert order_id == request.order_id
    assert [fact.status for fact in facts] == ["PAYER_ACTION_REQUIRED"]
    assert function.events() == [("WH-FORGED", "CHECKOUT.ORDER.APPROVED", "applied", "order PAYER_ACTION_REQUIRED")]


def test_a_forged_capture_is_ignored(function: Function, simulator: Simulator, paypal: PayPal) -> None:
    request = make_request()
    headers, body = simulator.transmit(
        "PAYMENT.CAPTURE.COMPLETED",
        {
            "id": "3C679366HH908993F",
            "status": "COMPLETED",
            "custom_id": str(request.order_id),
            "invoice_id": f"VIT-{request.number}",
            "amount": {"currency_code": "USD", "value": "34.99"},
        },
    )
    followed: list[tuple[UUID, list[Fact]]] = []

    function.post(headers, body)
    (event_id,) = function.tasks()
    _apply(function, event_id, paypal, followed)

    assert followed == []
    assert [event[2:] for event in function.events()] == [("waiting", "no such object yet")]
    function.rows("update webhook_events set received_at = received_at - interval '1 hour'")
    _apply(function, event_id, paypal, followed)
    assert followed == []
    assert [event[2:] for event in function.events()] == [("ignored", "no such object")]


def test_a_true_capture_of_another_shop_is_foreign(function: Function, simulator: Simulator, paypal: PayPal) -> None:
    """S40: the same account, and not our prefix."""
    told = simulator.happen(
        "PAYMENT.CAPTURE.COMPLETED",
        {"amount": {"currency_code": "USD", "value": "5.00"}, "invoice_id": f"OTHER-{uuid4()}"},
    )
    followed: list[tuple[UUID, list[Fact]]] = []

    answer = function.post(told["transmission"]["headers"], told["transmission"]["body"].encode())
    (event_id,) = function.tasks()
    _apply(function, event_id, paypal, followed)

    assert answer.status_code == 200
    assert followed == []
    assert [event[2:] for event in function.events()] == [("ignored", "foreign")]


def test_the_health_of_the_function_asks_its_database(function: Function) -> None:
    answer = function.app.test_client().get("/v1/health/webhooks")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


# Events of mails -----------------------------------------------------------------------------------------------------


def test_a_signed_event_of_a_mail_is_recorded_once(function: Function) -> None:
    mail_id = _make_mail(function)
    headers, body = _events_of_mails({"mail_id": str(mail_id), "event": "delivered", "sg_event_id": "e1"})

    answers = [function.post(headers, body, "/v1/webhooks/sendgrid") for _ in range(2)]

    assert [answer.json for answer in answers] == [{"status": "received"}, {"status": "repeated"}]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert function.rows("select id, mail_id, event from mail_events") == [
        {"id": "e1", "mail_id": mail_id, "event": "delivered"}
    ]
    assert function.rows("select state, next_attempt_at from mails") == [
        {"state": "delivered", "next_attempt_at": None}
    ]


def test_an_event_of_somebody_elses_mail_is_taken_and_passed_over(function: Function) -> None:
    headers, body = _events_of_mails(
        {"mail_id": str(uuid4()), "event": "delivered", "sg_event_id": "e1"}, {"event": "open", "sg_event_id": "e2"}
    )

    answer = function.post(headers, body, "/v1/webhooks/sendgrid")

    assert (answer.status_code, answer.json) == (200, {"status": "repeated"})
    assert function.rows("select id from mail_events") == []


def test_events_of_mails_that_are_not_signed_are_refused_and_counted(function: Function) -> None:
    mail_id = _make_mail(function)
    headers, body = _events_of_mails({"mail_id": str(mail_id), "event": "bounce", "sg_event_id": "e1"})

    answers = [
        function.post(headers, body.replace(b"bounce", b"delive"), "/v1/webhooks/sendgrid"),
        function.post({}, body, "/v1/webhooks/sendgrid"),
    ]

    assert [answer.status_code for answer in answers] == [401, 401]
    assert function.rows("select provider, reason, count from webhook_refusals order by reason") == [
        {"provider": "sendgrid", "reason": "signature", "count": 1},
        {"provider": "sendgrid", "reason": "unsigned", "count": 1},
    ]
    assert function.rows("select state from mails") == [{"state": "sending"}]


def _make_mail(function: Function) -> UUID:
    mail_id = uuid4()
    function.database.call(
        """
        insert into mails (id, event_id, template, recipient, subject, text_body, html_body, state, created_at,
            updated_at, next_attempt_at)
        values (:id::uuid, :event_id::uuid, 'order_paid', 'ada@example.com', 's', 't', 'h', 'sending', :at::timestamptz,
            :at::timestamptz, :at::timestamptz)
        """,
        id=mail_id,
        event_id=uuid4(),
        at=datetime.now(UTC),
    )
    return mail_id


def _events_of_mails(*events: dict[str, str]) -> tuple[dict[str, str], bytes]:
    """As SendGrid writes them: the lines end in CRLF, and all of it is signed."""
    at = str(int(datetime.now(UTC).timestamp()))
    lines = [json.dumps({"sg_message_id": "m1", "timestamp": int(at), **event}) for event in events]
    body = ("[" + ",\r\n".join(lines) + "]\r\n").encode()
    signature = MAIL_KEY.sign(at.encode() + body, ec.ECDSA(hashes.SHA256()))
    return {
        "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
        "X-Twilio-Email-Event-Webhook-Timestamp": at,
    }, body


def _apply(function: Function, event_id: UUID, paypal: PayPal, followed: list[tuple[UUID, list[Fact]]]) -> None:
    def follow(order_id: UUID, facts: Any) -> None:
        followed.append((order_id, list(facts)))

    apply_event(
        event_id,
        events=WebhookEvents(function.database),
        processor=paypal,
        follow=follow,
        invoice_prefix="VIT-",
        clock=SystemClock(),
    )


def _with_checksum_of(genuine: bytes, wanted: bytes) -> bytes:
    """`wanted` and four bytes that give it the checksum; they are no text, and JSON does not survive them."""
    table = [zlib.crc32(bytes([i]), 0xFFFFFFFF) ^ 0xFFFFFFFF for i in range(256)]
    state = zlib.crc32(genuine) ^ 0xFFFFFFFF
    for _ in range(4):
        index = next(i for i in range(256) if table[i] >> 24 == state >> 24)
        state = ((state ^ table[index]) << 8 | index) & 0xFFFFFFFF
    register = zlib.crc32(wanted) ^ 0xFFFFFFFF
    return wanted + (state ^ register).to_bytes(4, "little")
