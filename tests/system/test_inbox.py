"""What staff look after over HTTP: webhooks, dead letters, open rows; and a shop that takes no orders for a while."""

import json
import threading
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

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
            told = cloud.place(cloud.make_cart({lamp: 1}), patient=False)
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
    assert (told.status, told.json["type"].rpartition("/")[2]) == (503, "orders-closed")
    assert told.headers["retry-after"] == "60"
    assert (captured.status, captured.json["status"]) == (200, "paid")


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)


# Dead letters and open rows ------------------------------------------------------------------------------


def _publish(cloud: Cloud, data: bytes, attributes: dict[str, str]) -> None:
    """Past every check of ours, straight into the topic."""
    channel = grpc.insecure_channel(cloud.about["pubsub_host"])
    publisher = PublisherClient(transport=PublisherGrpcTransport(channel=channel))
    message = types.PubsubMessage(data=data, attributes=attributes)
    publisher.publish(topic="projects/vitrine-local/topics/orders", messages=[message])
    channel.close()


def _open_letters(cloud: Cloud, staff: dict[str, str], *, besides: Collection[str] = ()) -> list[Any]:
    """What other tests have left is not looked at."""
    path = "/v1/admin/dead-letters?state=open&subscription=notify-orders&limit=100"
    return [each for each in cloud.call("GET", path, headers=staff).json["items"] if each["id"] not in besides]


def _let_open_orders_expire(cloud: Cloud) -> None:
    """What other tests have left would tell of its end in the middle of this one."""
    cloud.advance(16 * 60)
    cloud.settle()


def _confirmations(cloud: Cloud, order: Any) -> int:
    return sum(order["number"] in mail["subject"] for mail in cloud.inbox())


def test_an_event_that_no_consumer_took_waits_for_staff_and_is_mailed_once_when_it_is_replayed(cloud: Cloud) -> None:
    staff = cloud.staff()
    old = {letter["id"] for letter in _open_letters(cloud, staff)}
    _let_open_orders_expire(cloud)
    cloud.fault("pubsub-push", "error", path="/jobs/notify/orders", count=20)
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()
    fired = [fault["fired"] for fault in cloud.clear_faults()]
    letters = {letter["name"]: letter for letter in _open_letters(cloud, staff, besides=old)}
    paid = letters["order.paid"]
    before = _confirmations(cloud, order)

    path = f"/v1/admin/dead-letters/{paid['id']}"
    first, again = (cloud.call("POST", f"{path}/replay", headers=staff, key="bury") for _ in range(2))
    cloud.settle()
    once = _confirmations(cloud, order)
    third = cloud.call("POST", f"{path}/replay", headers=staff)
    cloud.settle()

    assert (fired, before) == ([20], 0)
    assert (paid["subscription"], paid["topic"], paid["attempts"], paid["state"]) == (
        "notify-orders",
        "orders",
        10,
        "open",
    )
    assert json.loads(cloud.call("GET", path, headers=staff).json["payload"])["order"]["number"] == order["number"]
    assert [answer.json["replays"] for answer in (first, again, third)] == [1, 1, 2]
    assert (once, _confirmations(cloud, order)) == (1, 1)
    assert _open_letters(cloud, staff, besides=old) == [letters["order.placed"]]
    assert (
        cloud.call("POST", f"/v1/admin/dead-letters/{letters['order.placed']['id']}/replay", headers=staff).status
        == 200
    )


def test_a_message_that_is_none_of_ours_ends_as_a_dead_letter_and_stops_nobody(cloud: Cloud) -> None:
    """S67: what does not fit is neither worked on nor asked for for ever."""
    staff = cloud.staff()
    old = {letter["id"] for letter in _open_letters(cloud, staff)}
    _publish(cloud, b"no JSON", {"event_id": "no id", "name": "order.paid", "schema_version": "1"})
    _publish(cloud, b'{"order": {"number": 7}}', {
        "event_id": "3f6c1f6e-6d0e-4a53-9b57-2f1a6f0a3c11", "name": "order.paid", "schema_version": "1"})  # fmt: skip
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.settle()

    letters = sorted(_open_letters(cloud, staff, besides=old), key=lambda letter: letter["event_id"] or "")
    replayed = cloud.call("POST", f"/v1/admin/dead-letters/{letters[0]['id']}/replay", headers=staff)
    discarded = [
        cloud.call("POST", f"/v1/admin/dead-letters/{each['id']}/discard", {"reason": "not ours"}, headers=staff)
        for each in letters
    ]

    assert [(letter["event_id"], letter["attempts"]) for letter in letters] == [
        (None, 10),
        ("3f6c1f6e-6d0e-4a53-9b57-2f1a6f0a3c11", 10),
    ]
    assert (replayed.status, replayed.json["type"].rpartition("/")[2]) == (409, "not-sendable")
    assert [(answer.status, answer.json["state"]) for answer in discarded] == [(200, "discarded")] * 2
    assert _open_letters(cloud, staff, besides=old) == []
    assert _confirmations(cloud, order) == 1


def test_staff_see_what_waits_and_wake_one_row_of_it(cloud: Cloud) -> None:
    """PayPal did the capture and nobody heard: the attempt stays open until somebody asks again."""
    staff = cloud.staff()
    order = cloud.order({cloud.make_stock("LAMP", 5): 1})
    # Without the notice of the approval, which would capture too, nor soon that of the capture or the attempt's task.
    for notice in ("CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"):
        cloud.fault("webhooks", "lose", path=f"/v1/webhooks/paypal/{notice}")
    cloud.fault("tasks-push", "delay", path="/jobs/payments/capture", delay_s=3)
    cloud.approve(order)
    capture = f"/v2/checkout/orders/{order['payment']['paypal_order_id']}/capture"
    # A kept connection that breaks is taken for an idle one that has died, and asked over a new one at once.
    cloud.fault("paypal", "timeout_after_effect", path=capture, count=2)
    lost = cloud.call("POST", f"/v1/checkouts/{order['id']}/capture", headers=cloud.token(order))
    assert lost.status == 503
    page = cloud.call("GET", "/v1/admin/open-rows?kind=capture-attempts", headers=staff).json
    (row,) = [each for each in page["items"] if each["order_number"] == order["number"]]

    path = f"/v1/admin/open-rows/capture-attempts/{row['id']}/replay"
    woken = cloud.call("POST", path, headers=staff)
    cloud.settle()

    assert (row["state"], row["what"], 0 <= row["age_s"] < 60) == ("requested", "capture", True)
    assert woken.status in (200, 404)  # its own task may have been faster: then it is open no longer
    assert cloud.look(order)["status"] == "paid"
    assert cloud.call("POST", path, headers=staff).status == 404
    assert cloud.call("POST", f"/v1/admin/open-rows/carts/{row['id']}/replay", headers=staff).status == 404
    left = cloud.call("GET", "/v1/admin/open-rows?limit=100", headers=staff).json["items"]
    assert [each for each in left if each["order_number"] == order["number"]] == []
