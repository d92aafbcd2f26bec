"""The SendGrid simulator: what it accepts, what it keeps, and the signed events that it reports."""

import http.client
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.local.vendor_processes import MAIL_V3, Answer, Contract, Notice, Process, Receiver, wait_until

SEND = "/v3/mail/send"
LOST = (ConnectionError, http.client.HTTPException)


class SendGridProcess(Process):
    """The SendGrid simulator and what a shop says to it."""

    def send(self, mail: Any, key: str = "SG.key") -> Answer:
        return self.call("POST", SEND, mail, {"Authorization": f"Bearer {key}"})

    def mails(self, to: str) -> list[dict[str, Any]]:
        """What lies in one reader's inbox: tests share a process, and each writes to its own reader."""
        return [mail for mail in self.call("GET", "/_local/mail").json if mail["to"] == to]

    def pending(self) -> Any:
        return self.call("GET", "/_local/pending").json


@pytest.fixture(scope="module")
def shop() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def process(shop: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SendGridProcess]:
    simulator = simulator_of(tmp_path_factory.mktemp("sendgrid"), shop)
    try:
        yield simulator
    finally:
        simulator.stop()


@pytest.fixture
def sendgrid(process: SendGridProcess, shop: Receiver) -> Iterator[SendGridProcess]:
    yield process
    asked = process.faults.list()
    process.faults.clear()
    settle(process)
    assert shop.statuses == []
    assert all(fault["fired"] for fault in asked), "a fault was asked for and never fired"


def simulator_of(folder: Path, shop: Receiver) -> SendGridProcess:
    flags = ["--event-url", f"{shop.url}/v1/webhooks/sendgrid", "--signing-key", str(folder / "key.pem")]
    made = SendGridProcess("sendgrid", folder, [*flags, "--api-key", "SG.key"])
    made.start()
    return made


def settle(sendgrid: SendGridProcess) -> None:
    while sendgrid.pending()["pending"]:
        sendgrid.call("POST", "/_local/retry-now")


def mail_to(address: str, **more: Any) -> dict[str, Any]:
    return {
        "personalizations": [{"to": [{"email": address}]}],
        "from": {"email": "orders@vitrine.example", "name": "Vitrine"},
        "subject": "Your order",
        "content": [
            {"type": "text/plain", "value": "Thank you."},
            {"type": "text/html", "value": "<p>Thank you.</p>"},
        ],
        **more,
    }


def events_of(shop: Receiver, address: str) -> list[dict[str, Any]]:
    return [event for notice in shop.notices for event in notice.json if event["email"] == address]


def verify(sendgrid: SendGridProcess, notice: Notice) -> None:
    """A receiver's verification. Raises InvalidSignature."""
    public = (sendgrid.folder / "key.pem.pub").read_text()
    key = serialization.load_der_public_key(b64decode(public))
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    timestamp = notice.headers["x-twilio-email-event-webhook-timestamp"]
    signature = notice.headers["x-twilio-email-event-webhook-signature"]
    key.verify(b64decode(signature), timestamp.encode() + notice.body, ec.ECDSA(hashes.SHA256()))


def test_an_accepted_mail_lies_in_the_inbox(sendgrid: SendGridProcess) -> None:
    answer = sendgrid.send(mail_to("ada@a.example", custom_args={"mail_id": "m-1"}))

    [mail] = sendgrid.mails("ada@a.example")
    assert (answer.status, answer.body) == (202, b"")
    assert answer.headers["x-message-id"] == mail["message_id"]
    assert (mail["subject"], mail["text"], mail["html"]) == ("Your order", "Thank you.", "<p>Thank you.</p>")
    assert (mail["from"], mail["custom_args"]) == ("orders@vitrine.example", {"mail_id": "m-1"})
    assert mail["at"].endswith("Z")


def test_it_never_removes_duplicates(sendgrid: SendGridProcess) -> None:
    for _ in range(2):
        sendgrid.send(mail_to("twice@a.example", custom_args={"mail_id": "m-2"}))

    assert len(sendgrid.mails("twice@a.example")) == 2


def test_each_personalization_is_a_mail_with_its_own_words(sendgrid: SendGridProcess) -> None:
    mail = mail_to("one@a.example", custom_args={"kind": "order", "mail_id": "all"})
    mail["personalizations"] = [
        {"to": [{"email": "one@a.example"}], "custom_args": {"mail_id": "first"}},
        {"to": [{"email": "two@a.example"}], "subject": "Another subject"},
    ]

    sendgrid.send(mail)

    [one], [two] = sendgrid.mails("one@a.example"), sendgrid.mails("two@a.example")
    assert (one["subject"], one["custom_args"]) == ("Your order", {"kind": "order", "mail_id": "first"})
    assert (two["subject"], two["custom_args"]) == ("Another subject", {"kind": "order", "mail_id": "all"})


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"personalizations": None}, "personalizations"),
        ({"personalizations": []}, "personalizations"),
        ({"personalizations": [{}]}, "personalizations.0.to"),
        ({"personalizations": [{"to": [{"email": "nobody"}]}]}, "personalizations.0.to.0.email"),
        (
            {"personalizations": [{"to": [{"email": "a@b.example"}], "cc": [{"email": "A@b.example"}]}]},
            "personalizations",
        ),
        (
            {"personalizations": [{"to": [{"email": "a@b.example"}], "custom_args": {"n": 1}}]},
            "personalizations.0.custom_args.n",
        ),
        ({"from": None}, "from.email"),
        ({"from": []}, "from"),
        ({"from": {"email": "nobody"}}, "from.email"),
        ({"reply_to": {"email": "nobody"}}, "reply_to.email"),
        ({"subject": None}, "subject"),
        ({"subject": ""}, "subject"),
        ({"content": None}, "content"),
        ({"content": []}, "content"),
        ({"content": [{"type": "text/plain", "value": ""}]}, "content.0.value"),
        ({"content": [{"type": "text/html", "value": "x"}, {"type": "text/plain", "value": "x"}]}, "content"),
        ({"custom_args": {"mail_id": 7}}, "custom_args.mail_id"),
        ({"custom_args": {"mail_id": "x" * 10_001}}, "custom_args"),
        ({"headers": {"Subject": "x"}}, "headers.Subject"),
        ({"categories": ["a", "a"]}, "categories"),
        ({"send_at": 99_999_999_999}, "send_at"),
    ],
)
def test_a_mail_against_the_rules_is_a_400_that_names_the_field(
    sendgrid: SendGridProcess, change: dict[str, Any], field: str
) -> None:
    before = len(sendgrid.call("GET", "/_local/mail").json)

    answer = sendgrid.send({**mail_to("refused@a.example"), **change})

    assert answer.status == 400
    assert [error["field"] for error in answer.json["errors"]] == [field]
    assert all(error["message"] for error in answer.json["errors"])
    assert len(sendgrid.call("GET", "/_local/mail").json) == before


def test_refusals_are_in_the_published_form(sendgrid: SendGridProcess) -> None:
    contract = Contract(MAIL_V3)

    answers = [sendgrid.send({}), sendgrid.send(b"{"), sendgrid.send(mail_to("a@b.example"), key="SG.wrong")]

    assert [answer.status for answer in answers] == [400, 400, 401]
    for answer in answers:
        errors = answer.json["errors"]
        assert all(set(error) == {"message", "field", "help"} for error in errors)
        # SendGrid's schema calls help an object; what it really sends there is a URL.
        told = [{name: error[name] for name in ("message", "field")} for error in errors]
        contract.check_schema({"errors": told}, "ErrorResponse")


def test_sandbox_mode_checks_and_sends_nothing(sendgrid: SendGridProcess) -> None:
    answer = sendgrid.send(mail_to("sand@a.example", mail_settings={"sandbox_mode": {"enable": True}}))

    assert answer.status == 200
    assert sendgrid.mails("sand@a.example") == []


def test_a_mail_is_processed_then_delivered_and_its_arguments_come_back(
    sendgrid: SendGridProcess, shop: Receiver
) -> None:
    answer = sendgrid.send(mail_to("told@a.example", custom_args={"mail_id": "m-9"}, categories=["orders"]))
    settle(sendgrid)

    events = events_of(shop, "told@a.example")
    assert [event["event"] for event in events] == ["processed", "delivered"]
    assert len({event["sg_event_id"] for event in events}) == 2
    for event in events:
        assert (event["mail_id"], event["category"]) == ("m-9", ["orders"])
        assert event["sg_message_id"].startswith(answer.headers["x-message-id"] + ".")
        assert isinstance(event["timestamp"], int)


@pytest.mark.parametrize(
    ("address", "told"), [("bounce@a.example", ["processed", "bounce"]), ("drop@a.example", ["dropped"])]
)
def test_some_addresses_end_as_their_names_say(
    sendgrid: SendGridProcess, shop: Receiver, address: str, told: list[str]
) -> None:
    sendgrid.send(mail_to(address))
    settle(sendgrid)

    assert [event["event"] for event in events_of(shop, address)] == told


def test_every_post_is_signed_in_sendgrids_layout_and_a_changed_byte_is_seen(
    sendgrid: SendGridProcess, shop: Receiver
) -> None:
    sendgrid.send(mail_to("signed@a.example"))
    settle(sendgrid)

    notices = shop.about("signed@a.example")
    assert notices
    for notice in notices:
        verify(sendgrid, notice)
        assert notice.body.endswith(b"]\r\n")
        for body in (notice.body[:-2], notice.body.replace(b"signed@", b"signee@")):
            with pytest.raises(InvalidSignature):
                verify(sendgrid, Notice(notice.headers, body))


def test_events_are_posted_until_a_2xx(sendgrid: SendGridProcess, shop: Receiver) -> None:
    shop.statuses[:] = [500, 404]
    sendgrid.send(mail_to("again@a.example"))
    settle(sendgrid)

    told = [event["event"] for event in events_of(shop, "again@a.example")]
    assert (told.count("processed"), told.count("delivered")) in {(3, 1), (2, 2), (3, 3), (3, 2)}


def test_an_event_may_come_twice(sendgrid: SendGridProcess, shop: Receiver) -> None:
    sendgrid.faults.add("webhooks", "repeat", path="/v1/webhooks/sendgrid")
    sendgrid.send(mail_to("repeat@a.example"))
    settle(sendgrid)

    ids = [event["sg_event_id"] for event in events_of(shop, "repeat@a.example")]
    assert len(ids) > len(set(ids)) == 2


def test_lost_events_never_come(sendgrid: SendGridProcess, shop: Receiver) -> None:
    sendgrid.faults.add("webhooks", "lose", count=9, path="/v1/webhooks/sendgrid")
    sendgrid.send(mail_to("lost@a.example"))
    settle(sendgrid)

    assert events_of(shop, "lost@a.example") == []
    assert len(sendgrid.mails("lost@a.example")) == 1


def test_an_error_or_a_lost_call_sends_nothing(sendgrid: SendGridProcess) -> None:
    sendgrid.faults.add("sendgrid", "error", path=SEND)
    sendgrid.faults.add("sendgrid", "lose", path=SEND)

    refused = sendgrid.send(mail_to("never@a.example"))
    with pytest.raises(LOST):
        sendgrid.send(mail_to("never@a.example"))

    assert refused.status == 500
    assert refused.json["errors"]
    assert sendgrid.mails("never@a.example") == []


def test_a_time_out_after_the_effect_has_sent_and_tells_so_by_its_events(
    sendgrid: SendGridProcess, shop: Receiver
) -> None:
    sendgrid.faults.add("sendgrid", "timeout_after_effect", path=SEND)

    with pytest.raises(LOST):
        sendgrid.send(mail_to("effect@a.example", custom_args={"mail_id": "m-effect"}))
    settle(sendgrid)

    assert len(sendgrid.mails("effect@a.example")) == 1
    assert {event["mail_id"] for event in events_of(shop, "effect@a.example")} == {"m-effect"}


def test_a_mail_for_later_waits_for_its_time(tmp_path: Path, shop: Receiver) -> None:
    sendgrid = simulator_of(tmp_path, shop)
    try:
        at = int(sendgrid.clock.now()) + 3600
        sendgrid.send(mail_to("later@a.example", send_at=at))
        waiting = sendgrid.pending()
        sendgrid.call("POST", "/_local/retry-now")
        before = events_of(shop, "later@a.example")
        sendgrid.clock.advance(3601)
        settle(sendgrid)

        assert (waiting["pending"], waiting["later"]) == (0, 2)
        assert before == []
        assert len(events_of(shop, "later@a.example")) == 2
    finally:
        sendgrid.stop()


def test_nothing_that_was_accepted_is_forgotten_by_a_kill(tmp_path: Path, shop: Receiver) -> None:
    sendgrid = simulator_of(tmp_path, shop)
    try:
        shop.statuses[:] = [503]
        sendgrid.send(mail_to("killed@a.example"))
        wait_until(lambda: not shop.statuses)
        sendgrid.kill()
        sendgrid.start()
        settle(sendgrid)

        assert len(sendgrid.mails("killed@a.example")) == 1
        assert {event["event"] for event in events_of(shop, "killed@a.example")} == {"processed", "delivered"}
        verify(sendgrid, shop.about("killed@a.example")[-1])
    finally:
        sendgrid.stop()


@pytest.mark.parametrize("inbox", ["/_local/inbox", "/_local/mail/inbox"])
def test_people_can_read_the_inbox(sendgrid: SendGridProcess, inbox: str) -> None:
    html = "<p>Hello</p><script>alert(1)</script>"
    mail = mail_to("reader@a.example", subject="Tea & <cake>")
    mail["content"][1]["value"] = html
    sendgrid.send(mail)
    mail_id = sendgrid.mails("reader@a.example")[-1]["id"]

    listing = sendgrid.call("GET", inbox).body.decode()
    page = sendgrid.call("GET", f"{inbox}/{mail_id}").body.decode()

    assert f"<a href='{inbox}/{mail_id}'>Tea &amp; &lt;cake&gt;</a>" in listing
    assert '<iframe sandbox="allow-popups"' in page
    assert "<script>" not in page
    assert "Thank you." in page
    assert sendgrid.call("GET", f"{inbox}/999999").status == 404


def test_the_process_says_that_it_lives(sendgrid: SendGridProcess) -> None:
    assert sendgrid.call("GET", "/_local/health").json == {"status": "ok"}
