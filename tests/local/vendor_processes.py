"""Vendor simulators as real processes, a receiver for their webhooks, and the vendors' published schemas."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from local.clock import Clock
from local.faults import Faults
from local.forking import AS_IS, unforked

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 40.0

Headers = dict[str, str]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def issues(self) -> list[str]:
        return [detail["issue"] for detail in self.json.get("details", [])]

    @property
    def fields(self) -> list[str]:
        return [detail["field"] for detail in self.json["details"]]


@dataclass(frozen=True)
class Notice:
    """One webhook as it arrived; header names in lower case."""

    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A shop's webhook: remembers what comes, answers with `statuses` first and then 200."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.notices.append(Notice(headers, body))
                self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def types(self) -> list[str]:
        return [notice.json["event_type"] for notice in self.notices]

    def of(self, event_type: str) -> list[Notice]:
        return [notice for notice in self.notices if notice.json["event_type"] == event_type]

    def about(self, subject: str) -> list[Notice]:
        """The notices in whose body an id occurs: tests share a process, and each looks at its own objects."""
        return [notice for notice in self.notices if subject.encode() in notice.body]


@dataclass
class Process:
    """One simulator: killed and started again on the same port and the same state."""

    package: str
    folder: Path
    flags: list[str]
    url: str = ""
    process: "subprocess.Popen[str] | None" = None
    clock: Clock = field(init=False)
    faults: Faults = field(init=False)

    def __post_init__(self) -> None:
        self.clock = Clock(self.folder / "clock")
        self.faults = Faults(self.folder / "faults.db")

    def start(self) -> Self:
        port = self.url.rpartition(":")[2] or "0"
        argv = [sys.executable, "-m", f"local.{self.package}", "--port", port, "--state", str(self.folder / "state")]
        argv += ["--clock", str(self.folder / "clock"), "--faults", str(self.folder / "faults.db"), *self.flags]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        self.process = subprocess.Popen(
            unforked(argv, AS_IS),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on "), f"{argv} printed {line!r}"
        self.url = line.split()[-1]
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is None:
            return
        os.killpg(self.process.pid, number)
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def kill(self) -> None:
        """SIGKILL to the whole group."""
        self.stop(signal.SIGKILL)

    def call(self, method: str, path: str, content: Any = None, headers: Headers | None = None) -> Answer:
        """One call. Raises ConnectionError where the other side hangs up without an answer."""
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=PATIENCE_S)
        body = content if isinstance(content, bytes) or content is None else json.dumps(content).encode()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()


class PayPalProcess(Process):
    """The PayPal simulator and what a shop says to it."""

    token = ""

    def call_api(
        self, method: str, path: str, content: Any = None, *, request_id: str | None = None, full: bool = True
    ) -> Answer:
        more: Headers = {"Prefer": "return=representation"} if full else {}
        if request_id is not None:
            more["PayPal-Request-Id"] = request_id
        answer = self.call(method, path, content, {"Authorization": f"Bearer {self.token}", **more})
        if answer.status == 401:
            # None yet, or the clock has gone on.
            self.token = self.sign_in().json["access_token"]
            answer = self.call(method, path, content, {"Authorization": f"Bearer {self.token}", **more})
        return answer

    def sign_in(self, client: str = "client:secret", grant: bytes = b"grant_type=client_credentials") -> Answer:
        headers = {
            "Authorization": f"Basic {b64encode(client.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self.call("POST", "/v1/oauth2/token", grant, headers)

    def create(self, order: Any, **more: Any) -> Answer:
        return self.call_api("POST", "/v2/checkout/orders", order, **more)

    def capture(self, order_id: str, **more: Any) -> Answer:
        return self.call_api("POST", f"/v2/checkout/orders/{order_id}/capture", {}, **more)

    def refund(self, capture_id: str, content: Any = None, **more: Any) -> Answer:
        return self.call_api("POST", f"/v2/payments/captures/{capture_id}/refund", content or {}, **more)

    def approve(self, order_id: str, capture: str = "completed") -> Answer:
        return self.call("POST", f"/_local/paypal/orders/{order_id}/approve", {"capture": capture})

    def make_order(self, value: str = "10.00", **unit: Any) -> str:
        """The id of an order that waits for its buyer."""
        return str(self.create(order_of(value, **unit)).json["id"])

    def make_capture(self, value: str = "10.00", **unit: Any) -> tuple[str, str]:
        """The ids of an order and of its completed capture."""
        order_id = self.make_order(value, **unit)
        self.approve(order_id)
        return order_id, capture_of(self.capture(order_id).json)["id"]

    def happen(self, event_type: str, resource: Any, **more: Any) -> Answer:
        return self.call("POST", "/_local/paypal/events", {"event_type": event_type, "resource": resource, **more})

    def ledger(self) -> Any:
        return self.call("GET", "/_local/paypal/ledger").json

    def pending(self) -> Any:
        return self.call("GET", "/_local/pending").json


def order_of(value: str = "10.00", currency: str = "USD", **unit: Any) -> dict[str, Any]:
    """An order request of one purchase unit, by default without items."""
    return {
        "intent": "CAPTURE",
        "purchase_units": [{"amount": {"currency_code": currency, "value": value}, **unit}],
        "application_context": {
            "shipping_preference": "NO_SHIPPING",
            "return_url": "http://shop.example/return?order=1",
            "cancel_url": "http://shop.example/cancel",
        },
    }


def money(value: str, currency: str = "USD") -> dict[str, str]:
    return {"currency_code": currency, "value": value}


def capture_of(order: Any) -> Any:
    [made] = order["purchase_units"][0]["payments"]["captures"]
    return made


@contextmanager
def paypal_process(folder: Path, receiver: Receiver) -> Iterator[PayPalProcess]:
    flags = ["--webhook-url", f"{receiver.url}/v1/webhooks/paypal", "--public-url", "http://shop.example:1"]
    flags += ["--client-id", "client", "--client-secret", "secret", "--webhook-id", "WEBHOOK1"]
    simulator = PayPalProcess("paypal", folder, flags)
    try:
        simulator.start()
        yield simulator
    finally:
        simulator.stop()


ORDERS_V2 = "paypal_checkout_orders_v2.json"
PAYMENTS_V2 = "paypal_payments_payment_v2.json"
WEBHOOKS_V1 = "paypal_notifications_webhooks_v1.json"
DISPUTES_V1 = "paypal_customer_disputes_v1.json"
MAIL_V3 = "sendgrid_tsg_mail_v3.json"


class Contract:
    """A published OpenAPI document of ../shared/contracts, and whether an answer keeps to it.

    Where ../shared is missing nothing is compared: what a test asserts itself still holds, and test_vendor_contracts.py
    says by its skip that the comparison was left out.
    """

    def __init__(self, name: str) -> None:
        path = ROOT.parent / "shared" / "contracts" / name
        self._document = json.loads(path.read_text()) if path.exists() else None
        resource: Resource[Any] = Resource.from_contents(self._document or {}, default_specification=DRAFT4)
        self._registry: Registry[Any] = Registry().with_resource("urn:contract", resource)

    def check(self, answer: Answer, method: str, path: str) -> None:
        """The status is one that the operation names, and the body fits its schema."""
        if self._document is None:
            return
        responses = self._document["paths"][path][method.lower()]["responses"]
        assert str(answer.status) in responses, f"{answer.status} is not among {list(responses)}"
        pointer = "/".join(
            part.replace("~", "~0").replace("/", "~1") for part in ("paths", path, method.lower(), "responses")
        )
        content = "content/application~1json/schema"
        self._validate(answer.json, f"{pointer}/{answer.status}/{content}")

    def check_schema(self, value: Any, name: str) -> None:
        if self._document is not None:
            self._validate(value, f"components/schemas/{name}")

    def _validate(self, value: Any, pointer: str) -> None:
        from openapi_schema_validator import OAS30Validator  # slow to import, and this module is imported by many

        validator = OAS30Validator({"$ref": f"urn:contract#/{pointer}"}, registry=self._registry)
        errors = [f"{error.json_path}: {error.message[:300]}" for error in validator.iter_errors(value)]
        assert not errors, errors
