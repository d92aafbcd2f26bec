"""PayPal three ways: the simulator as a process, a server that a test scripts, and certificates of our own."""

import base64
import json
import subprocess
import sys
import threading
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID

from local.database import Address
from local.faults import Faults
from local.forking import AS_IS, unforked
from shared.gateways.paypal import PayPal
from shared.payments.processor import PaymentLine, PaymentRequest
from shared.settings import PayPalSettings
from tools.scratch_database import ScratchServer

ROOT = Path(__file__).resolve().parent.parent.parent
WEBHOOK_ID = "8PT597110X687430LKGECATA"
ADDRESS = {
    "name": "Ada Buyer", "line1": "1 Main St", "line2": None, "city": "Berlin", "region": None, "postal_code": "10115",
    "country": "DE", "phone": None,
}  # fmt: skip


class StandingClock:
    """Stands until it is moved."""

    def __init__(self, moment: datetime | None = None) -> None:
        self.moment = moment or datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


@dataclass
class Simulator:
    """local.paypal, and what its control surface can do. `roots` is the PEM file of the root of its certificates."""

    url: str
    roots: Path
    faults: Faults

    def control(self, path: str, body: object = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data=content)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def approve(self, paypal_order_id: str, capture: str = "completed") -> None:
        self.control(f"/_local/paypal/orders/{paypal_order_id}/approve", {"capture": capture})

    def happen(self, event_type: str, resource: dict[str, Any]) -> Any:
        return self.control("/_local/paypal/events", {"event_type": event_type, "resource": resource})

    def transmit(self, event_type: str, resource: dict[str, Any]) -> tuple[dict[str, str], bytes]:
        """Headers and body of an event that was signed and is not true."""
        told = self.control("/_local/paypal/events", {"event_type": event_type, "resource": resource, "forge": True})[
            "transmission"
        ]
        return told["headers"], told["body"].encode()

    def requests(self, path: str) -> list[Any]:
        return [call for call in self.control("/_local/paypal/ledger")["requests"] if call["path"] == path]


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    folder = tmp_path_factory.mktemp("paypal")
    process = subprocess.Popen(
        unforked([
            sys.executable, "-m", "local.paypal", "--port", "0", "--state", str(folder / "state"), "--clock",
            str(folder / "clock"), "--faults", str(folder / "faults.db"), "--webhook-url", "http://127.0.0.1:9/nobody",
            "--client-id", "shop", "--client-secret", "secret", "--webhook-id", WEBHOOK_ID,
        ], AS_IS),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    yield Simulator(line.split()[-1], folder / "state" / "roots.pem", Faults(folder / "faults.db"))
    process.terminate()
    process.wait(10)
    process.stdout.close()


def settings_for(url: str) -> PayPalSettings:
    return PayPalSettings(base_url=url, client_id="shop", client_secret="secret")


@pytest.fixture(scope="session")
def database_of_webhooks(postgres: ScratchServer) -> Address:
    """The sweep looks at whole tables, so these tests have a database of their own."""
    return postgres.copy()


@pytest.fixture
def webhooks_database(database_of_webhooks: Address) -> Address:
    """The same database, empty again."""
    connection = database_of_webhooks.connect()
    connection.run("truncate webhook_events, webhook_refusals, payment_facts, outbox, mails, mail_events")
    connection.close()
    return database_of_webhooks


@pytest.fixture
def paypal(simulator: Simulator) -> Iterator[PayPal]:
    with closing(PayPal(settings_for(simulator.url))) as made:
        yield made


def make_request(
    *,
    currency: str = "USD",
    lines: tuple[tuple[int, int], ...] = ((1250, 2), (999, 1)),
    discount_minor: int = 0,
    shipping_minor: int = 0,
    tax_minor: int = 0,
    name: str = "Brass lamp",
    email: str = "ada@example.com",
    order_id: UUID | None = None,
) -> PaymentRequest:
    """`lines` are (unit price, quantity)."""
    subtotal_minor = sum(price * quantity for price, quantity in lines)
    order_id = order_id or uuid4()
    return PaymentRequest(
        request_id=order_id,
        order_id=order_id,
        # Accounts refuse an invoice number that was used before.
        number=uuid4().hex[:10].upper(),
        currency=currency,
        lines=tuple(
            PaymentLine(name, f"SKU-{position}", quantity, price) for position, (price, quantity) in enumerate(lines)
        ),
        subtotal_minor=subtotal_minor,
        discount_minor=discount_minor,
        shipping_minor=shipping_minor,
        tax_minor=tax_minor,
        total_minor=subtotal_minor - discount_minor + shipping_minor + tax_minor,
        email=email,
        address=ADDRESS,
        return_url="http://127.0.0.1:8080/checkout/return?order=1",
        cancel_url="http://127.0.0.1:8080/checkout/cancel?order=1",
    )


# A server that says what the test wants ---------------------------------------------------------------------------


@dataclass
class Heard:
    """One request as it came, and by which of the connections."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


@dataclass
class Script:
    """Answers in turn: (status, body, headers), or a function that does something to the connection instead."""

    url: str = ""
    answers: list[Any] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    def say(self, status: int, body: object = None, **headers: str) -> None:
        self.answers.append((status, body, headers))

    def token(self, token: str = "T1", expires_in: int = 32400) -> None:
        self.say(200, {"access_token": token, "token_type": "Bearer", "expires_in": expires_in})

    def paths(self) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.heard]


@pytest.fixture
def script() -> Iterator[Script]:
    """A scripted HTTP/1.1 server with kept connections."""
    made = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            made.heard.append(Heard(self.command, self.path, headers, body, self.client_address[1]))
            answer = made.answers.pop(0)
            if callable(answer):
                answer(self)
                return
            status, document, extra = answer
            content = document if isinstance(document, bytes) else json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            for name, value in extra.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - the name is http.server's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is http.server's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        made.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield made
        server.shutdown()
        thread.join()


@pytest.fixture
def scripted(script: Script) -> Iterator[PayPal]:
    """The gateway that talks to the scripted server."""
    with closing(PayPal(settings_for(script.url))) as made:
        yield made


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Close without an answer, whatever was done."""
    handler.close_connection = True


# Certificates -----------------------------------------------------------------------------------------------------

NAME = "messageverificationcerts.sandbox.paypal.com"


@dataclass
class Issued:
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def sign(self, body: bytes, *, at: str, webhook_id: str = WEBHOOK_ID, transmission_id: str = "t-1") -> str:
        message = f"{transmission_id}|{at}|{webhook_id}|{zlib.crc32(body)}".encode()
        return base64.b64encode(self.key.sign(message, padding.PKCS1v15(), hashes.SHA256())).decode()


Issue = Callable[..., Issued]


@pytest.fixture(scope="session")
def issue() -> Issue:
    """Makes a certificate: issue("Root"), issue(NAME, by=root, issuer_at="http://...")."""
    keys = [rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2)]
    spare = iter(keys * 100)

    def make(
        name: str,
        *,
        by: Issued | None = None,
        begins: datetime = datetime(2026, 1, 1, tzinfo=UTC),
        days: int = 365,
        issuer_at: str = "",
    ) -> Issued:
        key = next(spare)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        is_leaf = "." in name
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.certificate.subject if by else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.BasicConstraints(ca=not is_leaf, path_length=None), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key((by.key if by else key).public_key()), critical=False
            )
        )
        if is_leaf:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        else:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
                 "encipher_only", "decipher_only"), False,
            )  # fmt: skip
            builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        if issuer_at:
            place = x509.AccessDescription(
                AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(issuer_at)
            )
            builder = builder.add_extension(x509.AuthorityInformationAccess([place]), critical=False)
        return Issued(builder.sign(by.key if by else key, hashes.SHA256()), key)

    return make
