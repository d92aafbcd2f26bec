"""From the paid order to the parcel at the door, over HTTP: staff hand over, the buyer and PayPal hear of it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.cloud import Answer, Cloud

pytestmark = pytest.mark.slow


def draft(cloud: Cloud, order: Any, quantities: dict[str, int]) -> Answer:
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
    body = {"order_number": order["number"], "lines": lines}
    return cloud.patiently("POST", "/v1/admin/shipments", body, headers=cloud.staff())


def move(cloud: Cloud, shipment: Any, how: str, body: Any = None, **options: Any) -> Answer:
    return cloud.patiently(
        "POST", f"/v1/admin/shipments/{shipment['id']}/{how}", body, headers=cloud.staff(), **options
    )


def ship(cloud: Cloud, shipment: Any, number: str = "JJD0001", **options: Any) -> Answer:
    return move(cloud, shipment, "ship", {"carrier": "DHL", "tracking_number": number}, **options)


def test_a_paid_order_is_shipped_without_a_label_and_delivered(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 2})

    drafted = draft(cloud, order, {lamp: 2})
    before = cloud.look(order)
    shipped = ship(cloud, drafted.json)
    cloud.settle()
    seen = cloud.look(order)
    delivered = move(cloud, drafted.json, "delivered")

    assert (drafted.status, shipped.status, delivered.status) == (201, 200, 200)
    assert (before["status"], before["shipments"]) == ("paid", [])
    assert (seen["status"], delivered.json["order_status"]) == ("fulfilling", "completed")
    assert seen["shipments"] == [
        {
            "id": drafted.json["id"],
            "status": "in_transit",
            "carrier": "DHL",
            "tracking_number": "JJD0001",
            "lines": [{"sku": lamp, "quantity": 2}],
            "shipped_at": shipped.json["shipped_at"],
            "delivered_at": None,
        }
    ]
    assert cloud.level(lamp) == (3, 0)
    assert cloud.look(order)["status"] == "completed"
    [mail] = [mail for mail in cloud.inbox() if mail["subject"] == f"Order {order['number']}: on its way to you"]
    assert "JJD0001" in mail["text"]
    [made] = [made for made in cloud.ledger()["orders"] if made["id"] == order["payment"]["paypal_order_id"]]
    [tracker] = made["purchase_units"][0]["shipping"]["trackers"]
    assert tracker["id"].endswith("-JJD0001")


def test_a_hand_over_is_asked_for_by_many_and_done_once(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 2})
    shipment = draft(cloud, order, {lamp: 2}).json

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ship(cloud, shipment), range(8)))
    one_key = [ship(cloud, shipment, key="the-same") for _ in range(2)]
    cloud.settle()

    assert [answer.status for answer in [*answers, *one_key]] == [200] * 10
    assert len({answer.raw for answer in [*answers, *one_key]}) == 1
    assert cloud.level(lamp) == (3, 0)
    assert (
        len([mail for mail in cloud.inbox() if mail["subject"] == f"Order {order['number']}: on its way to you"]) == 1
    )


def test_staff_are_told_why_something_does_not_leave(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    waiting, order = cloud.order({lamp: 1}), cloud.paid_order({lamp: 1})

    unpaid = draft(cloud, waiting, {lamp: 1})
    too_many = draft(cloud, order, {lamp: 2})
    unknown = draft(cloud, {"number": "0000000000"}, {lamp: 1})
    shipment = draft(cloud, order, {lamp: 1}).json
    cancelled = move(cloud, shipment, "cancel")
    too_late = ship(cloud, shipment)

    assert [answer.status for answer in (unpaid, too_many, unknown, cancelled, too_late)] == [409, 409, 404, 200, 409]
    assert unpaid.json["type"].endswith("/not-shippable")
    assert too_many.json["type"].endswith("/not-allocated")
    assert too_many.json["lines"] == [{"sku": lamp, "wanted": 2, "available": 1}]
    assert (too_late.json["type"].rpartition("/")[2], too_late.json["status"]) == ("shipment-moved", 409)
    assert cloud.level(lamp) == (5, 2)


def test_shipments_are_listed_by_order_and_need_a_permission(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 3})
    made = [draft(cloud, order, {lamp: 1}).json["id"] for _ in range(3)]
    path = f"/v1/admin/shipments?order_number={order['number']}"

    first = cloud.call("GET", f"{path}&limit=2", headers=cloud.staff()).json
    rest = cloud.call("GET", f"{path}&limit=2&cursor={first['next_cursor']}", headers=cloud.staff()).json
    one = cloud.call("GET", f"/v1/admin/shipments/{made[0]}", headers=cloud.staff())

    assert [item["id"] for item in first["items"] + rest["items"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert (one.status, one.json["id"]) == (200, made[0])
    assert cloud.call("GET", path).status == 401
    assert cloud.call("POST", f"/v1/admin/shipments/{made[0]}/cancel", headers=cloud.token(order)).status == 401


def test_paypal_is_told_even_if_it_was_away_when_the_parcel_left(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 1})
    shipment = draft(cloud, order, {lamp: 1}).json
    path = f"/v2/checkout/orders/{order['payment']['paypal_order_id']}/track"
    cloud.fault("paypal", "error", path=path, count=2)

    ship(cloud, shipment)
    cloud.settle()

    assert [fault["fired"] for fault in cloud.clear_faults()] == [2]
    assert cloud.sql("select paypal_state from shipments where id = :id", id=shipment["id"]) == [["told"]]
