"""The life of an order over HTTP: bought, shipped, delivered, completed, returned, received, restocked, refunded."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.system.cloud import Answer, Cloud

pytestmark = pytest.mark.slow


def delivered(cloud: Cloud, quantities: dict[str, int]) -> Any:
    order = cloud.paid_order(quantities)
    lines = [{"sku": sku, "quantity": quantity} for sku, quantity in quantities.items()]
    body = {"order_number": order["number"], "lines": lines}
    shipment = cloud.patiently("POST", "/v1/admin/shipments", body, headers=cloud.staff()).json
    path = f"/v1/admin/shipments/{shipment['id']}"
    number = {"carrier": "DHL", "tracking_number": "JJD0001"}
    assert cloud.patiently("POST", f"{path}/ship", number, headers=cloud.staff()).status == 200
    assert cloud.patiently("POST", f"{path}/delivered", headers=cloud.staff()).status == 200
    return order


def ask(cloud: Cloud, order: Any, quantities: dict[str, int], **options: Any) -> Answer:
    lines = [{"sku": sku, "quantity": quantity, "reason": "damaged"} for sku, quantity in quantities.items()]
    body = {"order_number": order["number"], "lines": lines, "note": "It came in two pieces."}
    return cloud.patiently("POST", "/v1/returns", body, **{"headers": cloud.token(order), **options})


def decide(cloud: Cloud, goods: Any, how: str, body: Any = None) -> Answer:
    return cloud.patiently("POST", f"/v1/admin/returns/{goods['id']}/{how}", body, headers=cloud.staff())


def own(cloud: Cloud, order: Any) -> Any:
    return cloud.call("GET", f"/v1/returns?order_number={order['number']}", headers=cloud.token(order)).json


def mails(cloud: Cloud, order: Any) -> list[str]:
    """Subjects without the order's number."""
    return [mail["subject"].partition(": ")[2] for mail in cloud.inbox() if order["number"] in mail["subject"]]


def test_what_was_bought_is_sent_back_and_on_the_shelf_again(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = delivered(cloud, {lamp: 3})
    completed = cloud.look(order)["status"]
    before = own(cloud, order)

    asked = ask(cloud, order, {lamp: 2})
    approved = decide(cloud, asked.json, "approve")
    lines = [
        {"sku": lamp, "quantity": 1, "condition": "as new", "restock": True},
        {"sku": lamp, "quantity": 1, "condition": "in two pieces", "restock": False},
    ]
    received = decide(cloud, asked.json, "receive", {"lines": lines})
    refunded = decide(cloud, asked.json, "refunds", {"shipping_minor": 590})
    again = decide(cloud, asked.json, "refunds", {"shipping_minor": 590})
    closed = decide(cloud, asked.json, "close")
    cloud.settle()
    after = own(cloud, order)

    assert completed == "completed"
    assert [(line["sku"], line["quantity"]) for line in before["returnable"]] == [(lamp, 3)]
    assert "damaged" in before["reasons"]
    assert [answer.status for answer in (asked, approved, received, closed)] == [201, 200, 200, 200]
    assert [answer.json["status"] for answer in (asked, approved, received, closed)] == [
        "requested", "approved", "received", "closed",
    ]  # fmt: skip
    assert received.json["receipts"] == lines
    assert asked.json["lines"] == [{"sku": lamp, "quantity": 2, "reason": "damaged", "received": 0}]
    assert [line["quantity"] for line in after["returnable"]] == [1]
    assert after["items"][0]["lines"] == [{"sku": lamp, "quantity": 2, "reason": "damaged", "received": 2}]
    assert cloud.level(lamp) == (3, 0)
    assert (refunded.status, again.status) == (201, 409)
    assert (again.json["type"].rpartition("/")[2], again.json["refund_id"]) == (
        "return-refunded",
        refunded.json["refund_id"],
    )
    # Two of three lamps with their share of the tax of 7.25 %, and the shipping without its own.
    [seen] = cloud.look(order)["refunds"]
    assert (seen["id"], seen["status"], seen["amount"]["amount_minor"]) == (
        refunded.json["refund_id"],
        "completed",
        2735,
    )
    [at_paypal] = [each for each in cloud.ledger()["refunds"] if each.get("custom_id") == seen["id"]]
    assert (at_paypal["amount"]["value"], at_paypal["status"]) == ("27.35", "COMPLETED")
    assert cloud.look(order)["status"] == "completed"
    assert sorted(mails(cloud, order)) == [
        "$27.35 refunded",
        "on its way to you",
        "please send it back",
        "thank you, your payment has arrived",
        "your return has arrived",
    ]


def test_an_order_is_closed_by_staff_when_all_of_it_has_left(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 2})
    path = f"/v1/admin/orders/{order['number']}/close"
    too_early = cloud.patiently("POST", path, headers=cloud.staff())
    for number in ("N1", "N2"):
        body = {"order_number": order["number"], "lines": [{"sku": lamp, "quantity": 1}]}
        shipment = cloud.patiently("POST", "/v1/admin/shipments", body, headers=cloud.staff()).json
        handed_over = {"carrier": "DHL", "tracking_number": number}
        cloud.patiently("POST", f"/v1/admin/shipments/{shipment['id']}/ship", handed_over, headers=cloud.staff())
        answer = cloud.patiently("POST", path, headers=cloud.staff())
        if number == "N1":
            half = answer

    assert (too_early.status, too_early.json["type"].rpartition("/")[2]) == (409, "not-shippable")
    assert (half.status, half.json["type"].rpartition("/")[2]) == (409, "units-still-here")
    assert half.json["lines"] == [{"sku": lamp, "quantity": 1}]
    assert (answer.status, answer.json["status"], cloud.look(order)["status"]) == (200, "completed", "completed")
    seen = cloud.call("GET", f"/v1/admin/orders/{order['number']}", headers=cloud.staff()).json["shipments"]
    assert [(shipment["status"], shipment["tracking_number"]) for shipment in seen] == [
        ("in_transit", "N1"),
        ("in_transit", "N2"),
    ]


def test_a_rejected_return_says_why_and_its_units_stay_with_the_buyer(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = delivered(cloud, {lamp: 1})
    goods = ask(cloud, order, {lamp: 1}).json

    rejected = decide(cloud, goods, "reject", {"reason": "It was used for a year."})
    late = decide(cloud, goods, "approve")
    cloud.settle()

    assert (rejected.status, rejected.json["rejection"]) == (200, "It was used for a year.")
    assert (late.status, late.json["type"].rpartition("/")[2]) == (409, "return-moved")
    assert own(cloud, order)["items"][0]["rejection"] == "It was used for a year."
    assert "about your return" in mails(cloud, order)
    assert cloud.level(lamp) == (4, 0)


def test_twenty_requests_for_one_unit_make_one_return(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = delivered(cloud, {lamp: 1})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(cloud, order, {lamp: 1}), range(20)))
    same_key = [ask(cloud, delivered(cloud, {lamp: 1}), {lamp: 1}, key="own-key") for _ in range(2)]

    assert sorted(answer.status for answer in answers) == [201] + [409] * 19
    refused = {answer.json["type"].rpartition("/")[2] for answer in answers if answer.status == 409}
    assert refused == {"not-returnable"}
    assert len(own(cloud, order)["items"]) == 1
    assert [answer.status for answer in same_key] == [201, 201]  # one key of two orders is two keys


def test_a_return_is_the_buyers_own_and_decided_by_staff_alone(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    mine, other = delivered(cloud, {lamp: 1}), delivered(cloud, {lamp: 1})
    goods = ask(cloud, mine, {lamp: 1}).json

    strangers: list[dict[str, str]] = [{}, cloud.token(other)]
    for headers in strangers:
        assert ask(cloud, mine, {lamp: 1}, headers=headers).status == 404
        assert cloud.call("GET", f"/v1/returns/{goods['id']}", headers=headers).status == 404
        assert cloud.call("GET", f"/v1/returns?order_number={mine['number']}", headers=headers).status == 404
    seen = cloud.call("GET", f"/v1/returns/{goods['id']}", headers=cloud.token(mine))
    for how, body in (("approve", None), ("reject", {"reason": "no"}), ("receive", {"lines": []}), ("close", None)):
        path = f"/v1/admin/returns/{goods['id']}/{how}"
        assert cloud.call("POST", path, body, headers=cloud.token(mine)).status == 401

    assert (seen.status, seen.json["note"]) == (200, "It came in two pieces.")
    assert own(cloud, mine)["items"][0]["status"] == "requested"


def test_staff_list_what_waits_for_them(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 9)
    order = delivered(cloud, {lamp: 3})
    made = [ask(cloud, order, {lamp: 1}).json for _ in range(3)]
    decide(cloud, made[0], "reject", {"reason": "no"})
    path = f"/v1/admin/returns?order_number={order['number']}"

    first = cloud.call("GET", f"{path}&limit=2", headers=cloud.staff()).json
    rest = cloud.call("GET", f"{path}&limit=2&cursor={first['next_cursor']}", headers=cloud.staff()).json
    waiting = cloud.call("GET", f"{path}&status=requested", headers=cloud.staff()).json
    one = cloud.call("GET", f"/v1/admin/returns/{made[0]['id']}", headers=cloud.staff())

    assert [item["id"] for item in first["items"] + rest["items"]] == [goods["id"] for goods in made[::-1]]
    assert rest["next_cursor"] is None
    assert [item["id"] for item in waiting["items"]] == [made[2]["id"], made[1]["id"]]
    assert (one.status, one.json["rejection"], one.json["requested_by"]) == (200, "no", "buyer")


def test_the_window_is_a_setting_and_closes(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = delivered(cloud, {lamp: 1})
    before = cloud.call("GET", "/v1/admin/settings", headers=cloud.staff()).json["return_window_days"]

    cloud.call("PATCH", "/v1/admin/settings", {"return_window_days": 0}, headers=cloud.staff())
    try:
        late = ask(cloud, order, {lamp: 1})
        shown = own(cloud, order)
    finally:
        cloud.call("PATCH", "/v1/admin/settings", {"return_window_days": before}, headers=cloud.staff())
    in_time = ask(cloud, order, {lamp: 1})

    assert before == 30
    assert (late.status, late.json["type"].rpartition("/")[2]) == (409, "return-window-over")
    assert (shown["returnable"], shown["window_days"]) == ([], 0)
    assert in_time.status == 201
