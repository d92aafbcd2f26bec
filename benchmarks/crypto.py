"""A PayPal transmission's check, beside the one RSA verify that it cannot do without."""

import base64
import json
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks.figures import Figure, Goal, compare
from benchmarks.stage import Stage
from local.paypal.signing import Chain, signed_message
from shared.gateways.paypal_webhooks import TransmissionVerifier
from shared.kernel.clock import SystemClock

_BASE_URL = "http://127.0.0.1:9"
_TIMES = 400


def webhook_check(stage: Stage) -> Iterator[Figure]:
    folder = stage.folder / "paypal"
    folder.mkdir()
    chain = Chain(folder, _BASE_URL, time.time())
    body = json.dumps(
        {"id": "WH-1", "event_type": "PAYMENT.CAPTURE.COMPLETED", "resource": {"note": "x" * 1900}}
    ).encode()
    transmission_id, at = str(uuid4()), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    signature = chain.sign(transmission_id, at, "WEBHOOK", body)
    headers = {
        "paypal-transmission-id": transmission_id,
        "paypal-transmission-time": at,
        "paypal-transmission-sig": signature,
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-cert-url": _BASE_URL + chain.cert_path(),
    }
    verifier = TransmissionVerifier(
        webhook_id="WEBHOOK",
        cert_prefixes=[f"{_BASE_URL}/v1/notifications/certs/"],
        cert_roots=str(folder / "roots.pem"),
        clock=SystemClock(),
        fetch=lambda url, _within_s: _certificate(chain, url),
    )
    key = x509.load_pem_x509_certificate(_certificate(chain, chain.cert_path())).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    raw, message = base64.b64decode(signature), signed_message(transmission_id, at, "WEBHOOK", body)
    pkcs1, sha256 = padding.PKCS1v15(), hashes.SHA256()

    def one_verify() -> None:
        key.verify(raw, message, pkcs1, sha256)

    def whole_check() -> None:
        verifier.verify(headers, body)

    whole_check()
    floors, ours = [], []
    for _ in range(stage.effort.rounds):
        one, whole = _microseconds(one_verify, whole_check)
        floors.append(one)
        ours.append(whole)
    yield compare(
        "webhook check, certificate known, body of 2 kB",
        floors,
        ours,
        unit="us",
        floor_name="RSA verify",
        goal=Goal(at_most=1.3),
    )


def _certificate(chain: Chain, url: str) -> bytes:
    found = chain.read(url.rpartition("/")[2])
    assert found is not None
    return found[0]


def _microseconds(first: Callable[[], None], second: Callable[[], None]) -> tuple[float, float]:
    """The medians of both, done in turns: what befalls one befalls the other."""
    took: tuple[list[int], list[int]] = ([], [])
    for _ in range(_TIMES):
        for work, times in zip((first, second), took, strict=True):
            began = time.perf_counter_ns()
            work()
            times.append(time.perf_counter_ns() - began)
    return statistics.median(took[0]) / 1000, statistics.median(took[1]) / 1000
