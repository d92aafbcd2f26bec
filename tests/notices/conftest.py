"""The SendGrid simulator as a process, an endpoint for its events, a database of mails, and a clock that stands."""

import base64
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.database import Address as DatabaseAddress
from local.faults import Faults
from local.forking import AS_IS, unforked
from local.sendgrid.signing import ensure_key
from shared.gateways.sendgrid import SendGrid
from shared.gateways.sendgrid_events import SignedEvents
from shared.kernel.tokens import KeyRing
from shared.notices import delivery, mailing
from shared.notices.mailing import Outcome
from shared.notices.mails import Mailer
from shared.notices.orders import Address, Goods, Line, Order, Refund, Shipment, ShippingOption, Units
from shared.notices.writing import Writer
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Row
from shared.persistence.mails import Mails
from shared.settings import DatabaseSettings, SendGridSettings
from tools.scratch_database import ScratchServer

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
KEYS = KeyRing("k1", {"k1": b"\x01" * 32})
API_KEY = "SG.test"


class StandingClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def advance(self, **parts: float) -> None:
        self.moment += timedelta(**parts)


class Endpoint:
    """Where SendGrid posts its events: keeps every post and answers 200."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self._came = threading.Condition()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with endpoint._came:
                    endpoint.posts.append((_headers(self.headers), body))
                    endpoint._came.notify_all()
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/webhooks/sendgrid"

    def posts_about(self, recipient: str, event: str) -> list[tuple[dict[str, str], bytes]]:
        """What came of that mail so far, once it holds such an event."""
        with self._came:
            assert self._came.wait_for(lambda: self._about(recipient, event), PATIENCE_S), f"no {event} of {recipient}"
            return [post for post in self.posts if recipient.encode() in post[1]]

    def _about(self, recipient: str, event: str) -> bool:
        told = [item for _, body in self.posts for item in json.loads(body)]
        return any(item["email"] == recipient and item["event"] == event for item in told)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Simulator:
    """local.sendgrid as its own process."""

    def __init__(self, folder: Path) -> None:
        self.endpoint = Endpoint()
        self.faults = Faults(folder / "faults.sqlite")
        self.public_key = ensure_key(folder / "signing.pem")
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        arguments = {
            "port": 0,
            "state": folder,
            "clock": folder / "clock",
            "faults": folder / "faults.sqlite",
            "event-url": self.endpoint.url,
            "signing-key": folder / "signing.pem",
            "api-key": API_KEY,
        }
        command = [sys.executable, "-m", "local.sendgrid"]
        command += [part for name, value in arguments.items() for part in (f"--{name}", str(value))]
        self._process = subprocess.Popen(
            unforked(command, AS_IS),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().split()[-1]

    def inbox(self, recipient: str) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/_local/mail", timeout=10) as answer:
            return [mail for mail in json.load(answer) if mail["to"] == recipient]

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.endpoint.close()


class Notices:
    """The notify function's flows over a real database and a mailer."""

    def __init__(self, url: str, mailer: Mailer, public_key: str, clock: StandingClock) -> None:
        self.clock = clock
        self.mailer = mailer
        self.writer = Writer(shop_name="Vitrine", public_url="http://127.0.0.1:8080")
        self.database = Database(
            connector(DatabaseSettings("url", 6, url), application="test"), size=6, clock=clock, wait_s=10
        )
        self.mails = Mails(self.database)
        self._signed = SignedEvents(public_key)

    def announce(self, order: Order, name: str = "order.paid", event_id: UUID | None = None) -> Outcome | None:
        return mailing.announce(
            event_id or uuid4(),
            name,
            order,
            writer=self.writer,
            mails=self.mails,
            mailer=self.mailer,
            tokens=KEYS,
            clock=self.clock,
        )

    def sweep(self, within_s: float = 40) -> list[Outcome]:
        return mailing.sweep(mails=self.mails, mailer=self.mailer, tokens=KEYS, clock=self.clock, within_s=within_s)

    def hear(self, posts: list[tuple[dict[str, str], bytes]]) -> int:
        """What the route of the webhooks function does with each post; how many events were new."""
        return sum(
            delivery.record(self._signed.read(headers, body), mails=self.mails, clock=self.clock)
            for headers, body in posts
        )

    def rows(self) -> list[Row]:
        return self.database.call(
            "select id, event_id, template, recipient, state, attempts, unanswered, next_attempt_at, failure,"
            " vendor_message_id, subject, text_body, html_body from mails order by created_at, template"
        )

    def states(self) -> list[str]:
        return [row["state"] for row in self.rows()]


def _headers(message: Message) -> dict[str, str]:
    return {name: str(value) for name, value in message.items()}


def make_order(**changes: Any) -> Order:
    """Two lamps and a desk for Ada: 124750 + 590 + 9045 = 134385."""
    order = Order(
        id=uuid4(),
        number="7K3MZ9QX2B",
        email=f"ada-{uuid4().hex}@buyer.example",
        status="paid",
        status_reason=None,
        currency="USD",
        subtotal_minor=124750,
        discount_minor=0,
        shipping_minor=590,
        tax_minor=9045,
        total_minor=134385,
        captured_minor=134385,
        prices_include_tax=False,
        placed_at=datetime(2026, 11, 22, 11, 55, tzinfo=UTC),
        hold_expires_at=datetime(2026, 11, 22, 12, 10, tzinfo=UTC),
        shipping_address=Address(
            name="Ada Lovelace",
            line1="12 Analytical Way",
            line2="",
            city="Springfield",
            region="IL",
            postal_code="62704",
            country="US",
        ),
        shipping_option=ShippingOption("Standard"),
        lines=(
            Line("BRASS-LAMP", "Brass desk lamp", 2, 4950, 9900, {"Color": "Brass"}),
            Line("DESK", "Walnut desk", 1, 114850, 114850, {}),
        ),
        refunds=(),
    )
    return replace(order, **changes)


def make_refund(kind: str, amount_minor: int, state: str = "requested", currency: str | None = "USD") -> Refund:
    return Refund(uuid4(), kind, state, amount_minor, currency)


def make_shipment(carrier: str = "DHL", number: str = "JJD0001") -> Shipment:
    """The two lamps of `make_order`."""
    return Shipment(uuid4(), carrier, number, (Units("BRASS-LAMP", 2),))


def make_goods(rejection: str | None = None, receipts: tuple[Units, ...] = (Units("BRASS-LAMP", 1),)) -> Goods:
    """The two lamps of `make_order`, of which one came back."""
    return Goods(uuid4(), (Units("BRASS-LAMP", 2),), receipts, rejection)


def settings_for(url: str, api_key: str = API_KEY) -> SendGridSettings:
    return SendGridSettings(url, "Vitrine <orders@vitrine.example>", api_key)


def token_keys_text(ring: KeyRing = KEYS) -> str:
    keys: Mapping[str, str] = {kid: base64.b64encode(key).decode() for kid, key in ring.keys.items()}
    return json.dumps({"current": ring.current, "keys": keys})


@pytest.fixture(scope="session")
def notices_database(postgres: ScratchServer) -> DatabaseAddress:
    """The sweep takes every mail that is due, so these tests have a database of their own."""
    return postgres.copy()


@pytest.fixture(scope="session")
def running_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    simulator = Simulator(tmp_path_factory.mktemp("sendgrid"))
    yield simulator
    simulator.stop()


@pytest.fixture
def sendgrid(running_simulator: Simulator) -> Iterator[Simulator]:
    running_simulator.faults.clear()
    yield running_simulator
    running_simulator.faults.clear()


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def notices(notices_database: DatabaseAddress, sendgrid: Simulator, clock: StandingClock) -> Iterator[Notices]:
    made = Notices(notices_database.url, SendGrid(settings_for(sendgrid.url)), sendgrid.public_key, clock)
    made.database.call("truncate mails, mail_events, inbox")
    yield made
    made.database.close()
