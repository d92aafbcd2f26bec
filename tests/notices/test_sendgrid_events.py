import json
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from local.database import Address
from local.sendgrid.signing import sign
from shared.gateways.sendgrid_events import SIGNATURE_HEADER, TIMESTAMP_HEADER, SignedEvents
from shared.notices.delivery import state_after
from shared.notices.mails import Draft
from shared.payments.webhooks import SignatureRefused
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.mails import Mails
from shared.settings import DatabaseSettings
from tests.notices.conftest import Notices, StandingClock, make_order
from tools.scratch_database import ScratchServer

VECTORS = ["event_webhook_signed_1", "event_webhook_signed_2", "event_webhook_signed_3_multi"]
KEY = ec.generate_private_key(ec.SECP256R1())


def public_text(key: ec.EllipticCurvePrivateKey) -> str:
    import base64

    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


def signed(body: bytes, key: ec.EllipticCurvePrivateKey = KEY, timestamp: str = "1600112502") -> dict[str, str]:
    return {SIGNATURE_HEADER: sign(key, timestamp, body), TIMESTAMP_HEADER: timestamp}


def tell(mail_id: UUID, event: str, *, id: str = "", message: str = "m1", at: int = 1600112500) -> Mapping[str, Any]:  # noqa: A002
    told = {"mail_id": str(mail_id), "event": event, "sg_message_id": message, "timestamp": at, "email": "a@b.example"}
    return {**told, "sg_event_id": id or f"{event}-{message}-{at}"}


def read(*items: object) -> list[Any]:
    body = json.dumps(items).encode()
    return SignedEvents(public_text(KEY)).read(signed(body), body)


@pytest.mark.parametrize("name", VECTORS)
def test_what_sendgrid_signed_verifies(name: str, shared_data: Path) -> None:
    vector = json.loads((shared_data / "vectors" / "sendgrid" / f"{name}.json").read_text())
    events = SignedEvents(vector["public_key_base64_der"])

    # They name no mail of ours.
    assert events.read(vector["headers"], vector["body"].encode()) == []


@pytest.mark.parametrize("name", VECTORS)
def test_one_byte_more_or_another_time_does_not_verify(name: str, shared_data: Path) -> None:
    vector = json.loads((shared_data / "vectors" / "sendgrid" / f"{name}.json").read_text())
    events = SignedEvents(vector["public_key_base64_der"])
    body, headers = vector["body"].encode(), vector["headers"]

    for changed in (body + b"\n", body.rstrip() if body.endswith(b"\r\n") else body[:-1], b" " + body):
        with pytest.raises(SignatureRefused) as refused:
            events.read(headers, changed)
        assert refused.value.reason == "signature"
    with pytest.raises(SignatureRefused):
        events.read({**headers, TIMESTAMP_HEADER: "1"}, body)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "unsigned"),
        ({SIGNATURE_HEADER: "MEUC"}, "unsigned"),
        ({SIGNATURE_HEADER: "not base64!", TIMESTAMP_HEADER: "1"}, "unreadable"),
        ({SIGNATURE_HEADER: "é", TIMESTAMP_HEADER: "1"}, "unreadable"),
        ({SIGNATURE_HEADER: "MEUC", TIMESTAMP_HEADER: "1"}, "signature"),
        (signed(b"[]", ec.generate_private_key(ec.SECP256R1())), "signature"),
    ],
)
def test_what_is_not_signed_by_the_key_is_refused_with_a_reason(headers: dict[str, str], reason: str) -> None:
    with pytest.raises(SignatureRefused) as refused:
        SignedEvents(public_text(KEY)).read(headers, b"[]")

    assert refused.value.reason == reason


def test_header_names_are_taken_in_any_case() -> None:
    headers = {name.lower(): value for name, value in signed(b"[]").items()}

    assert SignedEvents(public_text(KEY)).read(headers, b"[]") == []


def test_what_is_signed_and_no_event_of_ours_is_passed_over() -> None:
    good = tell(uuid4(), "delivered")

    [event] = read(
        None, 7, "text", [], {}, {**good, "mail_id": "x"}, {**good, "mail_id": None}, {**good, "timestamp": "soon"},
        {**good, "timestamp": 10**30}, {**good, "sg_event_id": ""}, {**good, "sg_event_id": "a\x00b"},
        {**good, "event": 3}, {**good, "sg_message_id": "m" * 513}, good,
    )  # fmt: skip

    assert event.event == "delivered"
    for body in (b"", b"{", b"\xff", b"[" * 100_000, b"{}"):
        assert SignedEvents(public_text(KEY)).read(signed(body), body) == []


def test_the_events_that_were_captured_from_sendgrid_are_read(shared_data: Path) -> None:
    """They come from another shop, which called its own id anymail_id."""
    captured = json.loads((shared_data / "vectors" / "sendgrid" / "events_anymail.json").read_text())["events"]

    events = read(*({**event, "mail_id": str(uuid4())} for event in captured))

    assert sorted(event.event for event in events) == sorted(event["event"] for event in captured)


def make_mail(notices: Notices) -> UUID:
    """One that was accepted."""
    order, now = make_order(), notices.clock.now()
    draft = Draft(uuid4(), uuid4(), "order_paid", order.email, order.id, "subject", "text", "<p>html</p>")
    notices.mails.write(draft, consumer="notify", at=now)
    notices.mails.accept(draft.id, message_id="m1", at=now)
    return draft.id


def record(notices: Notices, *items: object) -> int:
    return notices.mails.record(read(*items), at=notices.clock.now())


def test_an_event_counts_once_by_its_id_and_by_message_event_and_time(notices: Notices) -> None:
    mail_id = make_mail(notices)
    delivered = tell(mail_id, "delivered", id="e1")

    assert record(notices, delivered, delivered) == 1
    assert record(notices, delivered) == 0
    assert record(notices, {**delivered, "sg_event_id": "e2"}) == 0
    assert record(notices, {**delivered, "sg_event_id": "e3", "timestamp": 1600112501}) == 1
    assert notices.database.call("select count(*)::int as n from mail_events") == [{"n": 2}]


def test_an_event_of_an_unknown_mail_is_passed_over(notices: Notices) -> None:
    mail_id = make_mail(notices)

    assert record(notices, tell(uuid4(), "delivered", message="m0"), tell(mail_id, "processed")) == 1
    assert notices.database.call("select mail_id from mail_events") == [{"mail_id": mail_id}]


def test_events_in_any_order_end_in_the_same_state(notices: Notices) -> None:
    for number, events in enumerate(permutations(["processed", "deferred", "delivered", "open"])):
        mail_id = make_mail(notices)
        for event in events:
            record(notices, tell(mail_id, event, message=f"m{number}"))

    assert notices.states() == ["delivered"] * 24


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ({"processed"}, "accepted"),
        ({"deferred"}, "accepted"),
        ({"processed", "delivered"}, "delivered"),
        ({"click"}, "delivered"),
        ({"dropped"}, "failed"),
        ({"delivered", "bounce"}, "failed"),
        ({"account_status_change"}, None),
        (set(), None),
    ],
)
def test_the_state_of_a_mail_follows_from_all_that_was_told(events: set[str], state: str | None) -> None:
    assert state_after(events) == state


def test_an_event_of_a_mail_that_waits_to_be_repeated_ends_its_waiting(notices: Notices) -> None:
    """The vendor said 500 and had done it all the same."""
    mail_id = make_mail(notices)
    notices.database.call(
        "update mails set state = 'queued', next_attempt_at = :at::timestamptz where id = :id::uuid",
        id=mail_id,
        at=notices.clock.now(),
    )

    record(notices, tell(mail_id, "processed"))

    assert notices.sweep() == []
    assert notices.states() == ["accepted"]


def test_the_webhooks_role_can_record_events_and_read_no_mail(
    notices: Notices, postgres: ScratchServer, notices_database: Address, clock: StandingClock
) -> None:
    mail_id = make_mail(notices)
    url = postgres.login(notices_database, "webhooks").url
    database = Database(connector(DatabaseSettings("url", 1, url), application="webhooks"), size=1, clock=clock)

    assert Mails(database).record(read(tell(mail_id, "delivered")), at=clock.now()) == 1
    with pytest.raises(Exception, match="permission denied for table mails"):
        database.call("select recipient, html_body from mails")
    database.close()

    assert notices.states() == ["delivered"]
