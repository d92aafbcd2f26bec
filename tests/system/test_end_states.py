"""Ends of an order's life (DESIGN.md section 4) that no other file of this folder reaches, over HTTP and the local
control surface alone. tests/orders/test_state_table.py names for every row who has seen it from outside.
"""

from typing import Any

import pytest

from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow


def _end(cloud: Cloud, order: Any) -> tuple[str, str | None]:
    seen = cloud.look(order)
    return seen["status"], seen["status_reason"]


def _refunds(cloud: Cloud, order: Any) -> list[tuple[str, str, int]]:
    seen = cloud.desk(order, method="GET").json["refunds"]
    return [(refund["kind"], refund["status"], refund["amount"]["amount_minor"]) for refund in seen]


def _kept(cloud: Cloud, order: Any) -> int:
    """What PayPal keeps of this order's payments for the shop, in minor units."""
    ledger = cloud.ledger()
    captures = {each["id"]: each for each in ledger["captures"] if each.get("custom_id") == order["id"]}
    taken = [each["amount"]["value"] for each in captures.values() if each["status"] not in ("DENIED", "PENDING")]
    given = [each["amount"]["value"] for each in ledger["refunds"] if each["capture_id"] in captures]
    return sum(round(float(value) * 100) for value in taken) - sum(round(float(value) * 100) for value in given)


def _ship(cloud: Cloud, order: Any, sku: str, quantity: int) -> None:
    body = {"order_number": order["number"], "lines": [{"sku": sku, "quantity": quantity}]}
    shipment = cloud.patiently("POST", "/v1/admin/shipments", body, headers=cloud.staff()).json
    path = f"/v1/admin/shipments/{shipment['id']}"
    sent = {"carrier": "DHL", "tracking_number": "JJD0002"}
    assert cloud.patiently("POST", f"{path}/ship", sent, headers=cloud.staff()).status == 200
    assert cloud.patiently("POST", f"{path}/delivered", headers=cloud.staff()).status == 200


def test_a_cart_that_is_placed_again_ends_its_open_order_and_holds_its_goods_once(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 3)
    cart = cloud.make_cart({lamp: 1})
    first = cloud.place(cart).json
    more = cloud.patiently("PUT", f"/v1/carts/{cart['id']}/lines/{lamp}", {"quantity": 2}).json
    second = cloud.place(more)

    assert (second.status, second.json["status"]) == (201, "pending_payment")
    assert _end(cloud, first) == ("cancelled", "replaced")
    assert cloud.level(lamp) == (3, 2)


def test_money_for_an_expired_order_goes_back_while_its_cart_has_another(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.make_cart({lamp: 1})
    first = cloud.place(cart).json
    cloud.advance(16 * 60)
    second = cloud.place(cloud.patiently("GET", f"/v1/carts/{cart['id']}").json).json

    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=first["payment"]["paypal_order_id"])
    cloud.settle()

    assert second["id"] != first["id"]
    assert (_end(cloud, first)[0], _end(cloud, second)[0]) == ("expired", "pending_payment")
    assert [refund[1] for refund in _refunds(cloud, first)] == ["completed"]
    assert (_kept(cloud, first), cloud.level(lamp)) == (0, (5, 1))


def test_staff_cancel_an_order_that_nobody_has_paid(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 2)
    order = cloud.order({lamp: 2})

    cancelled = cloud.desk(order, "cancel", {"reason": "The buyer rang."})

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert (_refunds(cloud, order), cloud.level(lamp)) == ([], (2, 0))


def test_a_late_payment_is_paid_and_shipped_like_any_other(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 1)
    order = cloud.order({lamp: 1})
    cloud.advance(16 * 60)
    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])
    _ship(cloud, order, lamp, 1)

    assert _end(cloud, order) == ("completed", None)
    assert cloud.level(lamp) == (0, 0)
    assert _kept(cloud, order) == order["totals"]["total"]["amount_minor"]


def test_an_order_whose_rest_is_given_up_is_completed_by_what_has_arrived(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 3)
    order = cloud.paid_order({lamp: 3})
    _ship(cloud, order, lamp, 2)
    before = _end(cloud, order)

    body = {"lines": [{"sku": lamp, "quantity": 1, "restock": True}], "reason": "broken in the warehouse"}
    refunded = cloud.desk(order, "refunds", body)
    cloud.settle()

    assert (before, refunded.status) == (("fulfilling", None), 201)
    assert _end(cloud, order) == ("completed", None)
    assert cloud.level(lamp) == (1, 0)


def test_an_order_of_which_nothing_is_left_to_send_is_cancelled_and_keeps_no_money(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 2)
    order = cloud.paid_order({lamp: 2})

    body = {"lines": [{"sku": lamp, "quantity": 2, "restock": True}], "reason": "all of it"}
    assert cloud.desk(order, "refunds", body).status == 201
    cloud.settle()

    assert _end(cloud, order) == ("cancelled", "refunded")
    assert (_kept(cloud, order), cloud.level(lamp)) == (0, (2, 0))


def test_a_partial_refund_in_the_dashboard_stops_the_order_until_staff_have_looked(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 2): 1})
    capture = cloud.desk(order, method="GET").json["payment"]["capture_id"]
    cloud.tell("PAYMENT.CAPTURE.REFUNDED", capture_id=capture, amount={"currency_code": "USD", "value": "0.70"})
    stopped = _end(cloud, order)

    released = cloud.desk(order, "release")
    again = cloud.desk(order, "release")

    assert (stopped, released.status, again.status) == (("on_hold", "outside"), 200, 409)
    assert _end(cloud, order) == ("paid", None)
    assert _kept(cloud, order) == order["totals"]["total"]["amount_minor"] - 70


@pytest.mark.parametrize("event_type", ["CUSTOMER.DISPUTE.CREATED", "PAYMENT.CAPTURE.COMPLETED"])
def test_what_comes_after_a_cancel_revives_nothing(cloud: Cloud, event_type: str) -> None:
    lamp = cloud.make_stock("LAMP", 2)
    order = cloud.paid_order({lamp: 1})
    capture = cloud.desk(order, method="GET").json["payment"]["capture_id"]
    assert cloud.desk(order, "cancel", {}).status == 200
    cloud.settle()
    end = _end(cloud, order)

    about = {"capture_id": capture} if "DISPUTE" in event_type else {"order_id": order["payment"]["paypal_order_id"]}
    cloud.tell(event_type, **about)
    cloud.settle()

    assert end[0] == "cancelled"
    assert _end(cloud, order) == end
    assert (_kept(cloud, order), cloud.level(lamp)) == (0, (2, 0))


def test_a_lost_dispute_takes_the_money_once_and_its_order_is_cancelled_by_staff(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 2)
    order = cloud.paid_order({lamp: 1})
    capture = cloud.desk(order, method="GET").json["payment"]["capture_id"]
    dispute = cloud.tell("CUSTOMER.DISPUTE.CREATED", capture_id=capture)["resource"]["dispute_id"]
    cloud.tell("CUSTOMER.DISPUTE.RESOLVED", dispute_id=dispute, capture_id=capture, outcome="lost")
    refused = cloud.desk(order, "cancel", {})
    waiting = _end(cloud, order)
    cloud.tell("PAYMENT.CAPTURE.REVERSED", capture_id=capture)
    cancelled = cloud.desk(order, "cancel", {})
    cloud.settle()

    assert (waiting, refused.status, refused.json["type"].rpartition("/")[2]) == (
        ("on_hold", "outside"),
        409,
        "disputed",
    )
    assert (cancelled.status, _end(cloud, order)[0]) == (200, "cancelled")
    assert (_refunds(cloud, order), _kept(cloud, order), cloud.level(lamp)) == ([], 0, (2, 0))
