"""Whose signature is believed: PayPal's recorded transmissions, and everything that is only like them."""

import json
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from shared.gateways.paypal_webhooks import CertificateUnreachable, TransmissionVerifier
from shared.payments.webhooks import SignatureRefused, Transmission
from tests.payments.conftest import NAME, WEBHOOK_ID, Issue, Issued, Script, StandingClock
from tests.payments.forging import forge

PRODUCTION = (
    "https://api.paypal.com/v1/notifications/certs/",
    "https://api.sandbox.paypal.com/v1/notifications/certs/",
)
VECTORS = [
    "sdk_2015-05-12_payment_sale_completed",
    "sdk_2017-03-30_billing_plan_created",
    "sim_payment_capture_completed_v2",
    "sim_payment_capture_declined_v2",
    "sim_payment_capture_refunded_v2",
    "sim_payment_sale_completed",
]
AT = "2026-11-22T11:59:00Z"
Headers = dict[str, str]


class Recorded:
    """One of PayPal's own transmissions, and the certificate that its URL served."""

    def __init__(self, folder: Path, name: str) -> None:
        vector: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.headers = {name.lower(): value for name, value in vector["headers"].items()}
        self.body: bytes = vector["body"].encode()
        self.webhook_id: str = vector["webhook_id"]
        self.leaf = (folder / vector["leaf_certificate"]).read_bytes()
        self.sent_at = datetime.fromisoformat(self.headers["paypal-transmission-time"])
        # The SDK's own test names a stand-in where a certificate's URL would be.
        if not self.headers["paypal-cert-url"].startswith(PRODUCTION):
            self.headers["paypal-cert-url"] = f"{PRODUCTION[1]}CERT-360caa42-fca2a594-sdk"
        self.fetched: list[str] = []

    def verifier(
        self, *, webhook_id: str = "", leaf: bytes | None = None, cert_roots: str | None = None
    ) -> TransmissionVerifier:
        def fetch(url: str, within_s: float) -> bytes:
            self.fetched.append(url)
            return self.leaf if leaf is None else leaf

        return TransmissionVerifier(
            webhook_id=webhook_id or self.webhook_id,
            cert_prefixes=PRODUCTION,
            cert_roots=cert_roots,
            clock=StandingClock(self.sent_at + timedelta(seconds=3)),
            fetch=fetch,
        )


@pytest.fixture(params=VECTORS)
def recorded(request: pytest.FixtureRequest, shared_data: Path) -> Recorded:
    return Recorded(shared_data / "vectors" / "paypal", request.param)


@pytest.fixture
def one_recorded(shared_data: Path) -> Recorded:
    return Recorded(shared_data / "vectors" / "paypal", "sim_payment_capture_completed_v2")


def reason_of(verify: Callable[[], object]) -> str:
    with pytest.raises(SignatureRefused) as refused:
        verify()
    return refused.value.reason


# PayPal's own ---------------------------------------------------------------------------------------------------------


def test_a_recorded_transmission_verifies(recorded: Recorded) -> None:
    found = recorded.verifier().verify(recorded.headers, recorded.body)

    assert found == Transmission(recorded.headers["paypal-transmission-id"], recorded.sent_at)
    assert recorded.fetched == [recorded.headers["paypal-cert-url"]]


def test_one_changed_byte_is_refused(recorded: Recorded) -> None:
    verifier = recorded.verifier()

    for place in (0, len(recorded.body) // 2, len(recorded.body) - 1):
        changed = recorded.body[:place] + bytes([recorded.body[place] ^ 1]) + recorded.body[place + 1 :]
        assert reason_of(partial(verifier.verify, recorded.headers, changed)) == "signature"


def test_the_same_json_written_otherwise_is_refused(recorded: Recorded) -> None:
    rewritten = json.dumps(json.loads(recorded.body), indent=1).encode()

    assert reason_of(lambda: recorded.verifier().verify(recorded.headers, rewritten)) == "signature"


def test_another_webhook_id_is_refused(recorded: Recorded) -> None:
    verifier = recorded.verifier(webhook_id=WEBHOOK_ID)

    assert reason_of(lambda: verifier.verify(recorded.headers, recorded.body)) == "signature"


def test_another_certificate_of_paypals_is_refused(recorded: Recorded, shared_data: Path) -> None:
    certificates = shared_data / "vectors" / "paypal" / "certs"
    other = (certificates / "sandbox_2019-2021_1d93a270.pem").read_bytes()

    refusal = reason_of(lambda: recorded.verifier(leaf=other).verify(recorded.headers, recorded.body))

    assert refusal in ("certificate-untrusted", "certificate-not-valid-then")


def test_a_certificate_of_the_right_name_that_nobody_issued_is_refused(recorded: Recorded, issue: Issue) -> None:
    root = issue("Somebody", begins=datetime(2014, 1, 1, tzinfo=UTC), days=9999)
    forged = issue("messageverificationcerts.paypal.com", by=root, begins=datetime(2014, 1, 1, tzinfo=UTC), days=9999)
    at = recorded.headers["paypal-transmission-time"]
    transmission_id = recorded.headers["paypal-transmission-id"]
    signature = forged.sign(recorded.body, at=at, webhook_id=recorded.webhook_id, transmission_id=transmission_id)
    headers = {**recorded.headers, "paypal-transmission-sig": signature}

    verifier = recorded.verifier(leaf=forged.pem + root.pem)

    assert reason_of(lambda: verifier.verify(headers, recorded.body)) == "certificate-untrusted"


@pytest.mark.parametrize(
    "url",
    [
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:443@evil.example/v1/notifications/certs/CERT-1",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../../evil",
        "https://api.paypal.com/v1/notifications/certs/..%2f..%2fevil",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?next=https://evil.example",
        "https://api.paypal.com/v1/notifications/certs/CERT-1#x",
        "https://api.paypal.com/v1/notifications/certs/CERT-1/",
        "https://api.paypal.com/v1/notifications/certs/CERT-1\n",
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.paypal.com/v1/notifications/",
        "HTTPS://API.PAYPAL.COM/v1/notifications/certs/CERT-1",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_certificate_is_taken_from_nowhere_else(one_recorded: Recorded, url: str) -> None:
    headers = {**one_recorded.headers, "paypal-cert-url": url}

    assert reason_of(lambda: one_recorded.verifier().verify(headers, one_recorded.body)) == "certificate-url"
    assert one_recorded.fetched == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"paypal-auth-algo": None}, "unsigned"),
        ({"paypal-auth-algo": "SHA1withRSA"}, "algorithm"),
        ({"paypal-auth-algo": "sha256withrsa"}, "algorithm"),
        ({"paypal-auth-algo": "none"}, "algorithm"),
        ({"paypal-transmission-id": None}, "transmission-id"),
        ({"paypal-transmission-id": "a|b"}, "transmission-id"),
        ({"paypal-transmission-id": "x" * 101}, "transmission-id"),
        ({"paypal-transmission-time": None}, "transmission-time"),
        ({"paypal-transmission-time": "yesterday"}, "transmission-time"),
        ({"paypal-transmission-time": "2024-08-02T19:33:35"}, "transmission-time"),
        ({"paypal-transmission-time": "2024-07-25T19:33:35Z"}, "transmission-time"),
        ({"paypal-transmission-time": "2024-08-02T20:34:35Z"}, "transmission-time"),
        ({"paypal-transmission-time": "2024-08-02T19:33:36Z"}, "signature"),
        ({"paypal-transmission-sig": None}, "signature"),
        ({"paypal-transmission-sig": ""}, "signature"),
        ({"paypal-transmission-sig": "not base64"}, "signature"),
        ({"paypal-transmission-sig": "ä"}, "signature"),
        ({"paypal-transmission-sig": "AAAA"}, "signature"),
        ({"paypal-cert-url": None}, "certificate-url"),
    ],
)
def test_a_header_that_is_missing_or_changed_is_refused(
    one_recorded: Recorded, changes: dict[str, str | None], reason: str
) -> None:
    headers = {name: value for name, value in {**one_recorded.headers, **changes}.items() if value is not None}

    assert reason_of(lambda: one_recorded.verifier().verify(headers, one_recorded.body)) == reason


def test_no_header_at_all_is_unsigned(one_recorded: Recorded) -> None:
    assert reason_of(lambda: one_recorded.verifier().verify({}, one_recorded.body)) == "unsigned"


def test_a_body_that_was_forged_to_the_signed_checksum_verifies(recorded: Recorded) -> None:
    """Why nothing in a body is ever believed: the signature covers its CRC32 and no more (DESIGN.md rule 6)."""
    forged = forge(recorded.body, '{"id":"WH-FORGED","event_type":"PAYMENT.CAPTURE.COMPLETED","resource":{"id":"X"}}')

    found = recorded.verifier().verify(recorded.headers, forged)

    assert found.id == recorded.headers["paypal-transmission-id"]
    assert zlib.crc32(forged) == zlib.crc32(recorded.body)
    assert json.loads(forged)["id"] == "WH-FORGED"


def test_a_certificate_is_fetched_once_and_checked_at_every_transmission(one_recorded: Recorded) -> None:
    clock = StandingClock(one_recorded.sent_at)
    verifier = one_recorded.verifier()
    verifier._clock = clock

    verifier.verify(one_recorded.headers, one_recorded.body)
    verifier.verify(one_recorded.headers, one_recorded.body)
    clock.moment = datetime(2025, 3, 8, tzinfo=UTC)
    expired = {**one_recorded.headers, "paypal-transmission-time": "2025-03-08T00:00:00Z"}

    assert reason_of(lambda: verifier.verify(expired, one_recorded.body)) == "certificate-not-valid-then"
    assert len(one_recorded.fetched) == 1


# A chain of our own, served slowly ----------------------------------------------------------------------------------


def test_all_that_a_check_fetches_has_one_deadline(issue: Issue) -> None:
    """However many issuers stand above each other: PayPal is told to come again before the platform gives up."""
    prefix = PRODUCTION[0]
    issuers = [issue("Root")]
    for number in range(5):
        issuers.append(issue(f"CA {number}", by=issuers[-1], issuer_at=f"{prefix}{number}.crt"))
    leaf = issue(NAME, by=issuers[-1], issuer_at=f"{prefix}5.crt")
    served = {f"{prefix}CERT-1": leaf.pem, **{f"{prefix}{n}.crt": issuers[n].der for n in range(6)}}
    now, asked = [100.0], []

    def fetch(url: str, within_s: float) -> bytes:
        asked.append((url.removeprefix(prefix), within_s))
        now[0] += 6
        return served[url]

    verifier = TransmissionVerifier(
        webhook_id=WEBHOOK_ID, cert_prefixes=PRODUCTION, clock=StandingClock(), fetch=fetch, ticks=lambda: now[0]
    )
    headers = {
        "paypal-transmission-id": "t-1",
        "paypal-transmission-time": AT,
        "paypal-transmission-sig": leaf.sign(b"{}", at=AT),
        "paypal-cert-url": f"{prefix}CERT-1",
        "paypal-auth-algo": "SHA256withRSA",
    }

    with pytest.raises(CertificateUnreachable):
        verifier.verify(headers, b"{}")

    assert asked == [("CERT-1", 15.0), ("5.crt", 9.0), ("4.crt", 3.0)]
    assert now == [118.0]


# A chain of our own, served over HTTP -------------------------------------------------------------------------------


class OwnChain:
    """A root, an intermediate and a leaf, at the addresses that a scripted server has."""

    def __init__(self, script: Script, issue: Issue, folder: Path, *, name: str = NAME, issuer_at: str = "") -> None:
        self.prefix = f"{script.url}/v1/notifications/certs/"
        self.root = issue("Root")
        self.intermediate = issue("Intermediate", by=self.root)
        self.leaf = issue(name, by=self.intermediate, issuer_at=issuer_at or f"{self.prefix}intermediate.crt")
        roots = folder / "roots.pem"
        roots.write_bytes(self.root.pem)
        self.verifier = TransmissionVerifier(
            webhook_id=WEBHOOK_ID,
            cert_prefixes=[self.prefix],
            cert_roots=str(roots),
            clock=StandingClock(),
        )

    def headers(self, body: bytes, by: Issued | None = None) -> Headers:
        return {
            "paypal-transmission-id": "t-1",
            "paypal-transmission-time": AT,
            "paypal-transmission-sig": (by or self.leaf).sign(body, at=AT),
            "paypal-cert-url": f"{self.prefix}CERT-1",
            "paypal-auth-algo": "SHA256withRSA",
        }


def test_a_chain_is_completed_from_where_the_leaf_says(script: Script, issue: Issue, tmp_path: Path) -> None:
    chain = OwnChain(script, issue, tmp_path)
    script.say(200, chain.leaf.pem)
    script.say(200, chain.intermediate.der)

    for _ in range(2):
        assert chain.verifier.verify(chain.headers(b"{}"), b"{}").id == "t-1"

    assert script.paths() == [
        "GET /v1/notifications/certs/CERT-1",
        "GET /v1/notifications/certs/intermediate.crt",
    ]


def test_a_chain_that_is_served_with_the_leaf_is_taken(script: Script, issue: Issue, tmp_path: Path) -> None:
    chain = OwnChain(script, issue, tmp_path)
    script.say(200, chain.leaf.pem + chain.intermediate.pem)

    assert chain.verifier.verify(chain.headers(b"{}"), b"{}").id == "t-1"


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:1/i.crt", "http://evil.example/i.crt", "http://x@cacerts.digicert.com/i.crt", "ldap://i"],
)
def test_an_issuer_is_fetched_from_no_other_host(script: Script, issue: Issue, tmp_path: Path, place: str) -> None:
    chain = OwnChain(script, issue, tmp_path, issuer_at=place)
    script.say(200, chain.leaf.pem)

    assert reason_of(lambda: chain.verifier.verify(chain.headers(b"{}"), b"{}")) == "certificate-untrusted"
    assert len(script.heard) == 1


@pytest.mark.parametrize(
    "name",
    ["www.paypal.com", "messageverificationcerts.paypal.com.evil.example", "xmessageverificationcerts.paypal.com"],
)
def test_a_certificate_of_another_name_is_refused(script: Script, issue: Issue, tmp_path: Path, name: str) -> None:
    chain = OwnChain(script, issue, tmp_path, name=name)
    script.say(200, chain.leaf.pem + chain.intermediate.pem)

    assert reason_of(lambda: chain.verifier.verify(chain.headers(b"{}"), b"{}")) == "certificate-name"


def test_a_leaf_that_signs_for_another_is_no_issuer(script: Script, issue: Issue, tmp_path: Path) -> None:
    chain = OwnChain(script, issue, tmp_path)
    child = issue("messageverificationcerts.paypal.com", by=chain.leaf)
    script.say(200, child.pem + chain.leaf.pem + chain.intermediate.pem)

    headers = chain.headers(b"{}", by=child)

    assert reason_of(lambda: chain.verifier.verify(headers, b"{}")) == "certificate-untrusted"


def test_a_certificate_that_was_not_valid_then_is_refused(script: Script, issue: Issue, tmp_path: Path) -> None:
    chain = OwnChain(script, issue, tmp_path)
    old = issue(NAME, by=chain.intermediate, begins=datetime(2025, 1, 1, tzinfo=UTC), days=30)
    script.say(200, old.pem + chain.intermediate.pem)

    headers = chain.headers(b"{}", by=old)

    assert reason_of(lambda: chain.verifier.verify(headers, b"{}")) == "certificate-untrusted"


def test_something_else_than_a_certificate_is_refused(script: Script, issue: Issue, tmp_path: Path) -> None:
    chain = OwnChain(script, issue, tmp_path)
    script.say(200, b"<html>")

    assert reason_of(lambda: chain.verifier.verify(chain.headers(b"{}"), b"{}")) == "certificate-unreadable"


@pytest.mark.parametrize("status", [301, 302, 404, 500, 503])
def test_a_certificate_that_is_not_there_now_is_asked_for_again(
    script: Script, issue: Issue, tmp_path: Path, status: int
) -> None:
    chain = OwnChain(script, issue, tmp_path)
    script.say(status, b"", Location="http://127.0.0.1:1/")
    script.say(200, chain.leaf.pem + chain.intermediate.pem)

    with pytest.raises(CertificateUnreachable):
        chain.verifier.verify(chain.headers(b"{}"), b"{}")

    assert chain.verifier.verify(chain.headers(b"{}"), b"{}").id == "t-1"
    assert len(script.heard) == 2
