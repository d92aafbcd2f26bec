"""The deployed entry points over HTTP, each with the rights of its own database role."""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import Client

from local.database import Address
from shared.kernel.messages import Event
from shared.persistence.database import as_json
from tests.local.google_cloud import Receiver, Server
from tests.notices.conftest import API_KEY, Notices, Simulator, token_keys_text
from tests.served import serve
from tools.scratch_database import ScratchServer

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def serving(name: str, monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> Iterator[Client]:
    """The entry point `name` under functions-framework, as the platform starts it."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    app, main = serve(name, name, monkeypatch)
    client: Client = app.test_client()
    assert client.get(f"/v1/health/{name}").status_code == 200  # it reads its environment, before another one is set
    yield client
    main.database().close()


def environment_of(name: str, url: str, **more: str) -> dict[str, str]:
    return {
        "VITRINE_DEPLOYMENT": name,
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "p",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": url,
        "POOL_SIZE": "2",
        "FUNCTION_TIMEOUT_S": "45",
        "PUBLIC_URL": "http://127.0.0.1:8080",
        "TASKS_LOCATION": "local",
        "TASKS_INVOKER": "tasks@p.iam.gserviceaccount.com",
        **more,
    }


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


@pytest.fixture(scope="module")
def pubsub(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    subscription = {"name": "notify-orders", "topic": "orders", "push_endpoint": receiver.url("/jobs/notify/orders")}
    server = Server("local.google.pubsub", tmp_path_factory.mktemp("pubsub"), {"subscriptions": [subscription]})
    server.start()
    yield server
    server.kill()


@pytest.fixture
def notify(
    notices: Notices,
    postgres: ScratchServer,
    notices_database: Address,
    sendgrid: Simulator,
    pubsub: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Client]:
    notices.database.call("truncate outbox")
    url = postgres.login(notices_database, "notify").url
    more = {
        "SENDGRID_BASE_URL": sendgrid.url,
        "SENDGRID_API_KEY": API_KEY,
        "MAIL_FROM": "Vitrine <orders@vitrine.example>",
        "TOKEN_KEYS": token_keys_text(),
        "PUBSUB_EMULATOR_HOST": pubsub.address,
    }
    with serving("notify", monkeypatch, environment_of("notify", url, **more)) as client:
        yield client


@pytest.fixture
def webhooks(
    postgres: ScratchServer, notices_database: Address, sendgrid: Simulator, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Client]:
    url = postgres.login(notices_database, "webhooks").url
    more = {"SENDGRID_WEBHOOK_KEY": sendgrid.public_key, "PAYPAL_WEBHOOK_ID": "WH-1"}
    with serving("webhooks", monkeypatch, environment_of("webhooks", url, **more)) as client:
        yield client


def place_order(notices: Notices, *, email: str, status: str = "paid") -> dict[str, Any]:
    """A row of every kind that an order has; what an event of it carries."""
    order_id, at = uuid4(), datetime(2026, 11, 22, 11, 55, tzinfo=UTC)
    number = "".join(re.findall("[0-9A-HJKMNP-TV-Z]", order_id.hex.upper()))[:10]
    address = {
        "name": "Ada Lovelace", "line1": "12 Analytical Way", "line2": "", "city": "Springfield", "region": "IL",
        "postal_code": "62704", "country": "US", "phone": "",
    }  # fmt: skip
    option = {"id": "standard", "name": "Standard", "amount_minor": 590}
    notices.database.call(
        """
        insert into orders (id, number, cart_id, cart_version, status, email, client_network, currency, subtotal_minor,
            shipping_minor, tax_minor, total_minor, shipping_address, shipping_option, prices_include_tax, placed_at,
            hold_expires_at, updated_at)
        values (:id::uuid, :number::text, :cart_id::text, 1, :status::text, :email::text, '127.0.0.0/24', 'USD', 9900,
            590, 0, 10490, :address::jsonb, :option::jsonb, false, :at::timestamptz, :at::timestamptz, :at::timestamptz)
        """,
        id=order_id,
        number=number,
        cart_id=uuid4().hex,
        status=status,
        email=email,
        address=as_json(address),
        option=as_json(option),
        at=at,
    )
    notices.database.call(
        """
        insert into order_lines (order_id, sku, position, name, options, quantity, unit_price_minor, total_minor,
            tax_minor, tax_class, allocated)
        values (:id::uuid, 'BRASS-LAMP', 1, 'Brass desk lamp', '{"Color": "Brass", "Watts": 7}', 2, 4950, 9900, 0,
            'standard', 2)
        """,
        id=order_id,
    )
    notices.database.call(
        """
        insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, requested_at,
            requested_by, updated_at)
        values (:refund_id::uuid, :id::uuid, :capture::text, 'duplicate', 10490, 'USD', 'second payment', 'requested',
            :at::timestamptz, 'shop', :at::timestamptz)
        """,
        refund_id=uuid4(),
        id=order_id,
        capture=uuid4().hex,
        at=at,
    )
    [row] = notices.database.call("select order_json_v1(:id::uuid) as frozen", id=order_id)
    return {"order": row["frozen"]}


def push(
    client: Client, payload: object, *, name: str = "order.paid", event_id: UUID | None = None, version: str = "1"
) -> int:
    """What Pub/Sub posts for a message; the status that it gets."""
    message = {
        "data": base64.b64encode(json.dumps(payload).encode()).decode(),
        "attributes": {"event_id": str(event_id or uuid4()), "name": name, "schema_version": version},
        "messageId": "1",
        "publishTime": "2026-11-22T12:00:00Z",
    }
    body = {"subscription": "projects/p/subscriptions/notify-orders", "message": message}
    return client.post("/jobs/notify/orders", json=body).status_code


def test_a_pushed_event_of_a_real_order_becomes_a_mail_and_its_repetition_nothing(
    notify: Client, notices: Notices, sendgrid: Simulator
) -> None:
    email, event_id = f"{uuid4().hex}@buyer.example", uuid4()
    payload = place_order(notices, email=email)

    assert [push(notify, payload, event_id=event_id) for _ in range(3)] == [204, 204, 204]

    [mail] = sendgrid.inbox(email)
    assert "  2 x Brass desk lamp, Color: Brass, Watts: 7\n      $49.50 each = $99.00\n" in mail["text"]
    assert mail["custom_args"]["event_id"] == str(event_id)


def test_a_mail_names_the_shop_as_its_settings_do_and_writes_in_its_locale(
    notify: Client, notices: Notices, sendgrid: Simulator
) -> None:
    """The function keeps running while staff change the settings."""
    emails = [f"{uuid4().hex}@buyer.example" for _time in range(2)]
    set_shop = "update shop_settings set value = value || :changed::jsonb"

    push(notify, place_order(notices, email=emails[0]))
    notices.database.call(set_shop, changed=as_json({"name": "Lampen & Söhne", "locale": "de_DE"}))
    push(notify, place_order(notices, email=emails[1]))
    notices.database.call(set_shop, changed=as_json({"name": "Vitrine", "locale": "en_US"}))

    [[before], [after]] = [sendgrid.inbox(email) for email in emails]
    assert "Total: $104.90\n" in before["text"]
    assert "Vitrine, http://127.0.0.1:8080\n" in before["text"]
    assert "Total: 104,90\xa0$\n" in after["text"]
    assert "Lampen & Söhne, http://127.0.0.1:8080\n" in after["text"]
    assert ">Lampen &amp; Söhne</a>" in after["html"]
    assert '<html lang="en"' in after["html"]  # its words are


@pytest.mark.parametrize(
    "name", ["order.paid", "order.expired", "order.cancelled", "payment.refused", "payment.returned"]
)
def test_each_event_of_a_real_order_has_its_mail(
    name: str, notify: Client, notices: Notices, sendgrid: Simulator
) -> None:
    email = f"{uuid4().hex}@buyer.example"

    assert push(notify, place_order(notices, email=email), name=name) == 204

    assert len(sendgrid.inbox(email)) == 1
    assert [row["template"] for row in notices.rows()] == [name.replace(".", "_")]


def test_fields_that_a_newer_publisher_adds_are_ignored(notify: Client, notices: Notices, sendgrid: Simulator) -> None:
    email = f"{uuid4().hex}@buyer.example"
    payload = place_order(notices, email=email)
    payload["order"]["gift_wrapped"] = True

    assert push(notify, {**payload, "campaign": {}}, version="0") == 204
    assert len(sendgrid.inbox(email)) == 1


@pytest.mark.parametrize(
    ("change", "version"),
    [
        ({"order": None}, "1"),
        ({"order": {}}, "1"),
        ({"order": {"total_minor": "lots"}}, "1"),
        ({"order": {"id": "not-a-uuid"}}, "1"),
        ({"order": {"placed_at": "yesterday"}}, "1"),
        ({"order": {"lines": [{"sku": "A"}]}}, "1"),
        ({"order": {"shipping_address": "at home"}}, "1"),
        ({}, "2"),
        ({}, "one"),
    ],
)
def test_a_payload_that_does_not_fit_goes_to_the_dead_letters(
    change: dict[str, Any], version: str, notify: Client, notices: Notices
) -> None:
    """Any status but a 2xx: Pub/Sub tries again with its backoff, then puts the message aside. Nothing is written."""
    payload = place_order(notices, email="ada@buyer.example")
    for name, value in change.items():
        payload[name] = {**payload[name], **value} if value else value

    assert push(notify, payload, version=version) == 400

    assert notices.rows() == []
    assert notices.database.call("select event_id from inbox") == []


def test_a_vendor_that_is_down_does_not_bring_the_push_back(
    notify: Client, notices: Notices, sendgrid: Simulator
) -> None:
    """The row waits for the sweep: repeated pushes would only add to the load."""
    sendgrid.faults.add("sendgrid", "error")

    assert push(notify, place_order(notices, email=f"{uuid4().hex}@buyer.example")) == 204

    assert notices.states() == ["queued"]


def test_the_sweep_sends_what_is_due(notify: Client, notices: Notices, sendgrid: Simulator) -> None:
    sendgrid.faults.add("sendgrid", "error")
    push(notify, place_order(notices, email=f"{uuid4().hex}@buyer.example"))

    assert notify.post("/jobs/notify/sweep-mails", json={}).status_code == 204
    assert notices.states() == ["queued"]

    notices.database.call("update mails set next_attempt_at = created_at")
    assert notify.post("/jobs/notify/sweep-mails", json={}).status_code == 204
    assert notices.states() == ["accepted"]


def test_the_relay_publishes_what_a_request_left_behind(notify: Client, notices: Notices, receiver: Receiver) -> None:
    left = Event("orders", "order.paid", {"order": {"number": "7K3MZ9QX2B"}})
    notices.database.step(lambda tx: tx.emit(left))  # by the standing clock, long ago
    notices.database.call("update outbox set created_at = '2020-01-01Z'")

    assert notify.post("/jobs/notify/relay", json={}).status_code == 204

    [request] = [
        request
        for request in receiver.wait_for("/jobs/notify/orders", 1)
        if request.json["message"]["attributes"]["event_id"] == str(left.id)
    ]
    assert json.loads(base64.b64decode(request.json["message"]["data"])) == {"order": {"number": "7K3MZ9QX2B"}}
    assert request.json["message"]["attributes"]["name"] == "order.paid"
    assert notices.database.call("select 1 as open from outbox where published_at is null") == []


def test_health_asks_the_database(notify: Client) -> None:
    answer = notify.get("/v1/health/notify")

    assert (answer.status_code, answer.json) == (200, {"status": "ok"})


def test_events_of_the_vendor_come_in_through_the_webhooks_function(
    notify: Client, webhooks: Client, notices: Notices, sendgrid: Simulator
) -> None:
    email = f"{uuid4().hex}@buyer.example"
    push(notify, place_order(notices, email=email))

    for headers, body in sendgrid.endpoint.posts_about(email, "delivered"):
        answer = webhooks.post("/v1/webhooks/sendgrid", data=body, headers=headers)
        assert answer.status_code == 200
        forged = webhooks.post("/v1/webhooks/sendgrid", data=body + b" ", headers=headers)
        assert forged.status_code == 401

    assert notices.states() == ["delivered"]
