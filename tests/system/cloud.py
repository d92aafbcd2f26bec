"""The whole shop as a process, and what a buyer, PayPal and an operator do with it over HTTP."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pg8000.native

from local.forking import AS_IS, unforked
from shared.catalog.importing import Refusal
from shared.catalog.imports import go_on
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.imports import Imports
from shared.settings import DatabaseSettings

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = {
    "name": "Ada Buyer",
    "line1": "1 Main St",
    "city": "Los Angeles",
    "region": "CA",
    "postal_code": "90001",
    "country": "US",
}
# Posts that leave nothing to be done.
_LEAVE_NOTHING = ("/_local/staff-session",)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


@dataclass
class Cloud:
    """`python -m local` with a state folder of its own; every test of a process shares one."""

    folder: Path
    catalog: str = "none"
    root: Path = ROOT
    process: "subprocess.Popen[bytes] | None" = None
    about: dict[str, Any] = field(default_factory=dict)
    # Nothing was asked for since it had settled, but to be shown something.
    is_at_rest: bool = False
    _merchant: Database | None = None

    # Life ------------------------------------------------------------------------------------------

    def start(self) -> "Cloud":
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        argv = [sys.executable, "-m", "local", "--state", str(self.folder / "state"), "--port", "0"]
        argv += ["--catalog", self.catalog, "--ready-file", str(ready), "--root", str(self.root)]
        kept = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "PORT", "PYTHONDONTWRITEBYTECODE")}
        with open(self.folder / "out.txt", "ab") as out:
            # A test run that is killed leaves no shop behind.
            self.process = subprocess.Popen(unforked(argv, AS_IS), stdout=out, stderr=out, cwd=ROOT, env=kept)
        deadline = time.monotonic() + 150
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError((self.folder / "out.txt").read_text())
            time.sleep(0.05)
        self.about = json.loads(ready.read_text())
        return self

    def with_room(self) -> "Cloud":
        """All buyers come from one address, and most of them are Ada: the limits of a client would stop them soon."""
        wide = {
            f"{limit}_per_{of}": 100_000
            for limit, of in (
                ("open_orders", "email"),
                ("open_orders", "network"),
                ("refused_payments", "buyer"),
                ("refused_payments", "network"),
            )
        }
        answer = self.call("PATCH", "/v1/admin/settings", wide, headers=self.staff())
        assert answer.status == 200, answer.raw.decode()
        return self

    def stop(self) -> None:
        self.is_at_rest = False
        if self._merchant is not None:
            self._merchant.close()
            self._merchant = None
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def url(self) -> str:
        return str(self.about["url"])

    @property
    def database_url(self) -> str:
        return str(self.about["database_url"])

    # HTTP ------------------------------------------------------------------------------------------

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 90,
    ) -> Answer:
        """One call; a POST carries a fresh Idempotency-Key unless one is given."""
        parts = urlsplit(self.url)
        if method != "GET" and path not in _LEAVE_NOTHING:
            self.is_at_rest = False
        sent = dict(headers or {})
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        if method == "POST" and not path.startswith("/_local"):
            sent["Idempotency-Key"] = key or uuid4().hex
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
        try:
            connection.request(method, path, data, sent)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def patiently(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        """As a client should: where the shop is busy or has just lost a process, ask again after Retry-After."""
        options.setdefault("key", uuid4().hex)
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = self.call(method, path, body, **options)
            except (OSError, http.client.HTTPException):
                answer = Answer(503, {"retry-after": "1"}, b"")
            if answer.status not in (502, 503, 504) or time.monotonic() > deadline:
                return answer
            time.sleep(min(float(answer.headers.get("retry-after", "1")), 2))

    def send_raw(self, path: str, body: str, headers: dict[str, str]) -> Answer:
        """These very bytes, as a vendor sends them."""
        self.is_at_rest = False
        parts = urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            kept = {k: v for k, v in headers.items() if k.lower() not in ("host", "content-length")}
            connection.request("POST", path, body.encode(), kept)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def settle(self, timeout_s: int = 60) -> None:
        answer = self.call("POST", f"/_local/settle?timeout_s={timeout_s}", {}, timeout_s=timeout_s + 60)
        assert answer.status == 200, answer.raw.decode()
        self.is_at_rest = True

    def advance(self, seconds: float) -> None:
        assert self.call("POST", "/_local/clock", {"advance_s": seconds}, timeout_s=180).status == 200

    def fault(self, target: str, fault: str, **options: Any) -> Any:
        answer = self.call("POST", "/_local/faults", {"target": target, "fault": fault, **options})
        assert answer.status == 201, answer.raw.decode()
        return answer.json["id"]

    def clear_faults(self) -> list[dict[str, Any]]:
        """What there was, so that a test can see that each fired."""
        listed: list[dict[str, Any]] = self.call("GET", "/_local/faults").json
        if listed:
            self.call("DELETE", "/_local/faults")
        return listed

    def processes(self) -> dict[str, dict[str, Any]]:
        return {row["deployment"]: row for row in self.call("GET", "/_local/processes").json}

    def kill(self, deployment: str, how: int = signal.SIGKILL) -> bool:
        """The whole process group; False where it does not run."""
        self.is_at_rest = False
        pgid = self.processes()[deployment]["pgid"]
        if pgid is None:
            return False
        try:
            os.killpg(pgid, how)
        except ProcessLookupError:
            return False
        return True

    def ledger(self) -> Any:
        return self.call("GET", "/_local/paypal/ledger").json

    def inbox(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("GET", "/_local/mail").json
        return found

    def tell(self, event_type: str, **resource: Any) -> Any:
        """Make it true at PayPal, let PayPal tell us, and let it settle; the event, its resource and its deliveries."""
        answer = self.call("POST", "/_local/paypal/events", {"event_type": event_type, "resource": resource})
        assert answer.status in (200, 201), answer.raw.decode()
        self.settle()
        return answer.json

    def desk(self, order: Any, what: str = "", body: Any = None, *, method: str = "POST") -> Answer:
        """What staff do with an order, or see of it."""
        path = f"/v1/admin/orders/{order['number']}{what and '/' + what}"
        return self.patiently(method, path, body, headers=self.staff())

    def staff(self) -> dict[str, str]:
        token = self.call("POST", "/_local/staff-session", {}).json["token"]
        return {"Authorization": f"Bearer {token}"}

    # A buyer's life --------------------------------------------------------------------------------

    def make_stock(self, sku: str, on_hand: int, *, price_minor: int = 1000) -> str:
        """A product with one variant, put there as a merchant's import would; the SKU is this test's own."""
        own = f"{sku}-{uuid4().hex[:8]}"
        row = {"sku": own, "name": own, "price": f"{price_minor / 100:.2f}", "currency": "USD", "on_hand": on_hand}
        refused: list[Refusal] = []
        self.is_at_rest = False
        if self._merchant is None:
            connect = connector(DatabaseSettings("url", 1, self.database_url), application="merchant")
            self._merchant = Database(connect, size=1, clock=SystemClock(), wait_s=30)
        # In this process and over one connection: an interpreter started for every product would be half of a test's
        # time.
        content = json.dumps(row).encode()
        imports = Imports(self._merchant, SystemClock())
        turn = imports.begin("stock.jsonl", version="1", size_bytes=len(content), default_on_hand=None, actor="a test")
        go_on(
            turn,
            io.BufferedReader(io.BytesIO(content)),
            ledger=imports,
            default_currency="USD",
            written=lambda batch: refused.extend(batch.refusals),
        )
        imports.finish(turn)
        assert refused == []
        return own

    def make_cart(self, quantities: dict[str, int]) -> Any:
        cart = self.patiently("POST", "/v1/carts", {"email": "ada@example.com", "shipping_address": ADDRESS}).json
        for sku, quantity in quantities.items():
            answer = self.patiently("PUT", f"/v1/carts/{cart['id']}/lines/{sku}", {"quantity": quantity})
            assert answer.status == 200, answer.raw.decode()
            cart = answer.json
        return cart

    def place(
        self, cart: Any, *, key: str | None = None, patient: bool = True, email: str = "ada@example.com"
    ) -> Answer:
        body = {"cart_id": cart["id"], "cart_version": cart["version"], "email": email}
        ask = self.patiently if patient else self.call
        return ask("POST", "/v1/checkouts", body, key=key or uuid4().hex)

    def order(self, quantities: dict[str, int]) -> Any:
        answer = self.place(self.make_cart(quantities))
        assert answer.status == 201, answer.raw.decode()
        return answer.json

    def approve(self, order: Any, capture: str = "completed") -> None:
        path = f"/_local/paypal/orders/{order['payment']['paypal_order_id']}/approve"
        assert self.call("POST", path, {"capture": capture}).status == 200

    def capture(self, order: Any, *, key: str | None = None) -> Answer:
        path = f"/v1/checkouts/{order['id']}/capture"
        return self.patiently("POST", path, headers=self.token(order), key=key or uuid4().hex)

    def paid_order(self, quantities: dict[str, int]) -> Any:
        order = self.order(quantities)
        self.approve(order)
        answer = self.capture(order)
        assert answer.status == 200, answer.raw.decode()
        return answer.json | {"access_token": order["access_token"]}

    def look(self, order: Any) -> Any:
        return self.patiently("GET", f"/v1/checkouts/{order['id']}", headers=self.token(order)).json

    def token(self, order: Any) -> dict[str, str]:
        return {"X-Order-Token": order["access_token"]}

    def level(self, sku: str) -> tuple[int, int]:
        found = self.call("GET", f"/v1/inventory/levels/{sku}", headers=self.staff()).json
        return found["on_hand"], found["held"]

    def sql(self, statement: str, **parameters: Any) -> Any:
        """As the database's owner: to look, to lock, and to plant what an auditor must find."""
        self.is_at_rest = self.is_at_rest and statement.startswith("select")
        parts = urlsplit(self.database_url)
        connection = pg8000.native.Connection(
            parts.username or "",
            password=parts.password,
            host=parts.hostname or "",
            port=parts.port or 5432,
            database=parts.path.lstrip("/"),
            ssl_context=False,
        )
        try:
            return connection.run(statement, **parameters)
        finally:
            connection.close()
