"""The desk as its deployment serves it: under functions-framework, on PostgreSQL, with the rights of its own role."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import Client, TestResponse

from local.database import Address
from shared.edge.tokens import make_session_token
from shared.kernel.tokens import KeyRing
from shared.persistence.database import Database
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop
from tests.served import serve
from tools.scratch_database import ScratchServer

KEYS = KeyRing("k1", {"k1": b"d" * 32})


@dataclass
class Desk:
    """The served deployment, the shop whose desk it is, and a staff member who sits at it."""

    client: Client
    shop: Shop
    staff_id: UUID

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        permissions: tuple[str, ...] = ("*",),
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> TestResponse:
        """One request of a staff member who may do that much; a POST has a key of its own, or the one that is given."""
        sent = {"Authorization": f"Bearer {self.token(*permissions)}", **(headers or {})}
        if method == "POST":
            sent["Idempotency-Key"] = key or str(uuid4())
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body)
        return self.client.open(path, method=method, data=data, headers=sent)

    def get(self, path: str, **options: Any) -> Any:
        answer = self.call("GET", path, **options)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()

    def token(self, *permissions: str, revoked: bool = False) -> str:
        now, session = self.shop.clock.now(), uuid4()
        until = now + timedelta(minutes=10)
        self.shop.database.call(
            "insert into sessions (id, kind, subject, created_at, expires_at, revoked_at) values"
            " (:id::uuid, 'staff', :subject::uuid, :now::timestamptz, :until::timestamptz, :revoked::timestamptz)",
            id=session,
            subject=self.staff_id,
            now=now,
            until=until,
            revoked=now if revoked else None,
        )
        return make_session_token(
            KEYS, kind="staff", subject=self.staff_id, session=session, expires_at=until, permissions=permissions
        )

    @property
    def actor(self) -> str:
        return f"staff:{self.staff_id}"


def problem_of(answer: TestResponse) -> tuple[int, str]:
    """Status and the last part of the type; and it is a problem document."""
    assert answer.content_type == "application/problem+json", answer.get_data(as_text=True)
    return answer.status_code, answer.get_json()["type"].removeprefix("https://vitrine.example/problems/")


@pytest.fixture
def desk(postgres: ScratchServer, module_database: Address, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    yield from serve_staff("desk", "support", postgres, module_database, monkeypatch)


def serve_staff(
    name: str, folder: str, postgres: ScratchServer, address: Address, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Desk]:
    """The deployment `name` of functions/<folder> until the test ends; the auditor looks after it."""
    environment = {
        "VITRINE_DEPLOYMENT": name,
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "vitrine-test",
        "FUNCTION_TIMEOUT_S": "60",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": postgres.login(address, name).url,
        "POOL_SIZE": "2",
        "PUBLIC_URL": "https://shop.example",
        "TOKEN_KEYS": json.dumps({"current": "k1", "keys": {"k1": base64.b64encode(KEYS.keys["k1"]).decode()}}),
        # Nobody listens there: what is committed stays in the outbox, for the relay.
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:9",
        "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:9",
        "QUEUE_URL_PAYMENTS": "http://127.0.0.1:9",
        "QUEUE_URL_MEDIA": "http://127.0.0.1:9",
        "QUEUE_URL_IMPORTS": "http://127.0.0.1:9",
        "TASKS_LOCATION": "local",
        "TASKS_INVOKER": "tasks@vitrine-test.iam.gserviceaccount.com",
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    app, main = serve(name, folder, monkeypatch)
    client = app.test_client(use_cookies=False)
    assert client.get(f"/v1/health/{name}").status_code == 200  # it reads its environment before another one is set
    shop = Shop(address.url)
    yield Desk(client, shop, uuid4())
    database: Database = main.parts.database()
    database.close()
    shop.database.close()
    assert audit_database(address.url) == []
