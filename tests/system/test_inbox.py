"""What staff look after over HTTP: the webhook inbox, and that the shop takes no orders while it says so."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.cloud import Answer, Cloud

pytestmark = pytest.mark.slow

CLIENTS = 16


def _replay(cloud: Cloud, event_id: str, staff: dict[str, str], key: str) -> Answer:
    return cloud.call("POST", f"/v1/admin/webhook-events/{event_id}/replay", headers=staff, key=key)


def test_staff_find_an_orders_webhooks_and_have_one_applied_again_which_repeats_nothing(cloud: Cloud) -> None:
    """S32: what is told three times is one payment and one mail, whoever tells it."""
    staff = cloud.staff()
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()

    page = cloud.call("GET", f"/v1/admin/webhook-events?order={order['number']}", headers=staff).json
    (event,) = [each for each in page["items"] if each["type"] == "PAYMENT.CAPTURE.COMPLETED"]
    detail = cloud.call("GET", f"/v1/admin/webhook-events/{event['id']}", headers=staff).json
    facts = _facts(cloud, order)
    first, again = (_replay(cloud, event["id"], staff, "replay-once") for _ in range(2))
    other = _replay(cloud, event["id"], staff, "replay-twice")
    cloud.settle()

    assert json.loads(detail["body"])["resource"]["custom_id"] == order["id"]
    assert detail.keys() == event.keys() | {"body"}
    assert not any("sig" in name or "header" in name for name in detail)
    assert (first.status, again.status, other.status) == (200, 200, 200)
    assert (first.json["state"], first.json["replays"], other.json["replays"]) == ("received", 1, 2)
    assert again.json == first.json
    assert again.headers["idempotency-replayed"] == "true"
    after = cloud.call("GET", f"/v1/admin/webhook-events/{event['id']}", headers=staff).json
    assert (after["state"], after["verdict"], after["replays"]) == ("applied", "capture COMPLETED", 2)
    assert after["order_numbers"] == [order["number"]]
    assert (cloud.look(order)["status"], _facts(cloud, order)) == ("paid", facts)
    assert sum(order["number"] in mail["subject"] for mail in cloud.inbox()) == 1
    log = cloud.call("GET", f"/v1/admin/audit-log?subject=webhook-event:{event['id']}", headers=staff).json["items"]
    assert [entry["action"] for entry in log] == ["webhook.replayed"] * 2


def _facts(cloud: Cloud, order: Any) -> int:
    ((number,),) = cloud.sql("select count(*) from payment_facts where order_id = :id", id=order["id"])
    return int(number)


def test_the_inbox_is_for_staff_with_the_right_to_it(cloud: Cloud) -> None:
    token = cloud.call("POST", "/_local/staff-session", {"permissions": ["webhooks:read"]}).json["token"]
    reader = {"Authorization": f"Bearer {token}"}
    cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()
    event_id = cloud.call("GET", "/v1/admin/webhook-events?limit=1", headers=reader).json["items"][0]["id"]

    statuses = [
        cloud.call("GET", "/v1/admin/webhook-events").status,
        cloud.call("GET", "/v1/admin/webhook-events?state=lost", headers=reader).status,
        _replay(cloud, event_id, reader, "not-allowed").status,
        cloud.call("GET", "/v1/admin/webhook-events/nothing", headers=reader).status,
        cloud.call("GET", "/v1/admin/webhook-refusals", headers=reader).status,
    ]

    assert statuses == [401, 400, 403, 404, 200]


def test_every_page_of_the_inbox_is_another_and_together_they_are_all(cloud: Cloud) -> None:
    staff = cloud.staff()
    cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()

    seen: list[str] = []
    path = "/v1/admin/webhook-events?limit=2"
    cursor: str | None = ""
    while cursor is not None:
        page = cloud.call("GET", f"{path}&cursor={cursor}" if cursor else path, headers=staff).json
        seen += [event["id"] for event in page["items"]]
        cursor = page["next_cursor"]

    ((number,),) = cloud.sql("select count(*) from webhook_events")
    assert (len(seen), len(set(seen))) == (number, number)


def test_no_order_begins_after_the_shop_was_closed_while_sixteen_clients_place(cloud: Cloud) -> None:
    """Within a second, says the issue: here from the very request that begins after staff have their answer."""
    staff = cloud.staff()
    lamp = cloud.make_stock("LAMP", 10_000)
    open_order = cloud.order({lamp: 1})
    cloud.approve(open_order)
    closed_at: list[float] = []
    enough = threading.Event()
    placed: list[tuple[float, Answer]] = []

    def buy() -> None:
        while not enough.is_set():
            cart = cloud.make_cart({lamp: 1})
            began = time.monotonic()
            placed.append((began, cloud.place(cart, patient=False)))
            if closed_at and began > closed_at[0]:
                return

    with ThreadPoolExecutor(CLIENTS) as pool:
        buyers = [pool.submit(buy) for _ in range(CLIENTS)]
        try:
            _until(lambda: sum(answer.status == 201 for _began, answer in placed) >= CLIENTS)
            closed = cloud.patiently("PATCH", "/v1/admin/settings", {"orders_open": False}, headers=staff)
            closed_at.append(time.monotonic())
            for buyer in buyers:
                buyer.result(timeout=90)
            captured = cloud.capture(open_order)
        finally:
            enough.set()
            opened = cloud.patiently("PATCH", "/v1/admin/settings", {"orders_open": True}, headers=staff)

    late = [answer for began, answer in placed if began > closed_at[0]]
    assert (closed.json["orders_open"], opened.json["orders_open"]) == (False, True)
    assert len(late) == CLIENTS
    assert {(answer.status, answer.json["type"].rpartition("/")[2]) for answer in late} <= {
        (503, "orders-closed"),
        (503, "unavailable"),
    }
    assert any(answer.json["type"].endswith("/orders-closed") for answer in late)
    assert {answer.headers["retry-after"] for answer in late if answer.json["type"].endswith("closed")} == {"60"}
    assert (captured.status, captured.json["status"]) == (200, "paid")


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
