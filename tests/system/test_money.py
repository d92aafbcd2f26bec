"""Every way a payment can go, over HTTP and the local control surface alone: told by PayPal's own signed events."""

from typing import Any

import pytest

from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow


def _captures(cloud: Cloud, order: Any) -> list[dict[str, Any]]:
    return [capture for capture in cloud.ledger()["captures"] if capture.get("custom_id") == order["id"]]


def _state(cloud: Cloud, order: Any) -> tuple[str, str | None]:
    seen = cloud.look(order)
    return seen["status"], seen["status_reason"]


def test_a_pending_capture_is_paid_when_paypal_says_so(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.approve(order, "pending")
    cloud.capture(order)
    assert _state(cloud, order) == ("on_hold", "capture_pending")
    cloud.advance(3600)
    assert cloud.level(lamp) == (5, 1)

    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])

    assert _state(cloud, order) == ("paid", None)
    assert len(_captures(cloud, order)) == 1


def test_a_pending_capture_that_is_denied_lets_the_buyer_try_again(cloud: Cloud) -> None:
    """S39."""
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.approve(order, "pending")
    cloud.capture(order)

    cloud.tell("PAYMENT.CAPTURE.DENIED", id=_captures(cloud, order)[0]["id"])

    assert _state(cloud, order) == ("pending_payment", None)
    assert cloud.level(lamp) == (5, 1)
    retry = cloud.call("POST", f"/v1/checkouts/{order['id']}/retry-payment", headers=cloud.token(order))
    assert retry.status == 200
    assert retry.json["payment"]["paypal_order_id"] != order["payment"]["paypal_order_id"]
    cloud.approve(retry.json)
    assert cloud.capture(order).status == 200
    assert _state(cloud, order) == ("paid", None)


def test_an_approval_that_was_taken_back_is_asked_for_once(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.fault("webhooks", "lose", path="/v1/webhooks/paypal", count=1)
    cloud.approve(order)
    cloud.tell("CHECKOUT.PAYMENT-APPROVAL.REVERSED", order_id=order["payment"]["paypal_order_id"])
    cloud.advance(20 * 60)
    cloud.settle()

    assert _state(cloud, order)[0] == "expired"
    assert cloud.level(lamp) == (5, 0)
    assert _captures(cloud, order) == []


def test_a_declined_payment_can_be_approved_again_and_is_paid(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.approve(order, "declined")
    refused = cloud.capture(order)
    cloud.settle()
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (409, "payment-refused")
    assert cloud.level(lamp) == (5, 1)

    cloud.approve(order)
    assert cloud.capture(order).status == 200

    assert _state(cloud, order) == ("paid", None)


def test_after_three_declined_payments_nothing_invites_to_a_fourth(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.fault("webhooks", "lose", probability=1)  # whoever captures first is refused, and PayPal's notice may be
    for _ in range(3):
        cloud.approve(order, "declined")
        refused = cloud.capture(order)
    cloud.clear_faults()
    assert (refused.status, refused.json["type"].rpartition("/")[2]) == (409, "payment-refused")
    assert "approve_url" not in refused.json

    cloud.approve(order)
    retried = cloud.call("POST", f"/v1/checkouts/{order['id']}/retry-payment", headers=cloud.token(order))
    captured = cloud.capture(order)
    seen = cloud.look(order)
    cloud.settle()

    for answer in (retried, captured):
        assert (answer.status, answer.json["type"].rpartition("/")[2]) == (409, "payments-used-up")
    assert (seen["status"], seen["status_reason"]) == ("pending_payment", "payments_used_up")
    assert seen["payment"]["status"] == "refused"
    assert "approve_url" not in seen
    mails = [mail["text"] for mail in cloud.inbox() if order["number"] in mail["subject"]]
    assert sorted(("You can try again" in text, "takes no more" in text) for text in mails) == [
        (False, True), (True, False), (True, False),
    ]  # fmt: skip
    cloud.advance(20 * 60)
    cloud.settle()
    assert _state(cloud, order)[0] == "expired"
    assert cloud.level(lamp) == (5, 0)
    assert _captures(cloud, order) == []


def test_a_second_capture_goes_back_and_the_order_stays_paid(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 1})

    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])
    cloud.settle()

    seen = cloud.look(order)
    assert seen["status"] == "paid"
    assert [(refund["status"], refund["amount"]) for refund in seen["refunds"]] == [
        ("completed", order["totals"]["total"])
    ]
    assert len(_captures(cloud, order)) == 2
    assert cloud.level(lamp) == (5, 1)


@pytest.mark.parametrize("event_type", ["PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"])
def test_money_that_left_without_our_asking_stops_the_order(cloud: Cloud, event_type: str) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 1})

    cloud.tell(event_type, capture_id=_captures(cloud, order)[0]["id"])

    assert _state(cloud, order) == ("on_hold", "outside")
    assert cloud.level(lamp) == (5, 1)


def test_a_dispute_holds_the_order_until_it_is_won(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    capture = _captures(cloud, order)[0]["id"]

    cloud.tell("CUSTOMER.DISPUTE.CREATED", capture_id=capture)
    during = _state(cloud, order)
    dispute = next(d for d in cloud.ledger()["disputes"] if capture in str(d))
    cloud.tell("CUSTOMER.DISPUTE.RESOLVED", dispute_id=dispute["dispute_id"], capture_id=capture, outcome="won")

    assert (during, _state(cloud, order)) == (("on_hold", "outside"), ("paid", None))


def test_money_after_expiry_counts_while_the_goods_are_there(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 1)
    order = cloud.order({lamp: 1})
    cloud.advance(16 * 60)
    assert _state(cloud, order) == ("expired", None)

    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])

    assert _state(cloud, order) == ("paid", None)
    assert cloud.level(lamp) == (1, 1)


def test_money_after_expiry_goes_back_when_the_goods_are_gone(cloud: Cloud) -> None:
    """S19, S31."""
    lamp = cloud.make_stock("LAMP", 1)
    order = cloud.order({lamp: 1})
    cloud.advance(16 * 60)
    cloud.paid_order({lamp: 1})

    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])
    cloud.settle()

    seen = cloud.look(order)
    assert seen["status"] == "expired"
    assert [refund["status"] for refund in seen["refunds"]] == ["completed"]
    assert cloud.level(lamp) == (1, 1)


def test_a_cancelled_order_frees_its_stock_and_a_late_payment_goes_back(cloud: Cloud) -> None:
    """S30."""
    lamp = cloud.make_stock("LAMP", 1)
    order = cloud.order({lamp: 1})

    cancelled = cloud.call("POST", f"/v1/checkouts/{order['id']}/cancel", headers=cloud.token(order))
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert cloud.level(lamp) == (1, 0)
    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])
    cloud.settle()

    seen = cloud.look(order)
    assert seen["status"] == "cancelled"
    assert [refund["status"] for refund in seen["refunds"]] == ["completed"]


def test_a_capture_of_somebody_elses_is_left_alone(cloud: Cloud) -> None:
    """S40: signed, true, and none of ours."""
    told = cloud.tell("PAYMENT.CAPTURE.COMPLETED", id="FOREIGN0000000001", invoice_id="EBAY-1", custom_id="x")

    ((state, verdict),) = cloud.sql("select state, verdict from webhook_events where event_id = :id", id=told["id"])
    assert (state, verdict) in (("ignored", "foreign"), ("ignored", "foreign, and looked at again"))
    assert [d["status"] for d in told["deliveries"]] == [200]


def test_orders_stop_while_the_shop_says_so(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.make_cart({lamp: 1})
    staff = cloud.staff()
    closed = cloud.call("PATCH", "/v1/admin/settings", {"orders_open": False}, headers=staff)
    refused = cloud.place(cart, patient=False)
    opened = cloud.call("PATCH", "/v1/admin/settings", {"orders_open": True}, headers=staff)

    assert (closed.json["orders_open"], opened.json["orders_open"]) == (False, True)
    assert (refused.status, refused.headers["retry-after"]) == (503, "60")
    assert cloud.level(lamp) == (5, 0)
    assert cloud.place(cart).status == 201


def test_staff_adjust_and_count_stock_and_never_below_what_is_held(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 3})
    staff = cloud.staff()

    def change(what: str, **body: Any) -> Any:
        return cloud.call("POST", f"/v1/inventory/{what}", {"sku": lamp, "reason": "test", **body}, headers=staff)

    assert change("adjustments", delta=2).json["on_hand"] == 7
    assert change("counts", counted=6).json["available"] == 3
    below = change("counts", counted=2)
    assert (below.status, below.json["held"], below.json["orders"]) == (409, 3, [order["number"]])
    assert change("adjustments", delta=-4).status == 409
    assert change("adjustments", delta=0).status == 422
    assert cloud.level(lamp) == (6, 3)
    moved = cloud.call("GET", f"/v1/inventory/movements?sku={lamp}", headers=staff).json["items"]
    assert [(m["kind"], m["delta_on_hand"], m["delta_held"]) for m in moved] == [
        ("count", -1, 0),
        ("adjust", 2, 0),
        ("hold", 0, 3),
        ("receive", 5, 0),
    ]
    held = cloud.call("GET", f"/v1/inventory/holds?sku={lamp}", headers=staff).json["items"]
    assert [(h["held"], h["order_number"]) for h in held] == [(3, order["number"])]
    assert cloud.call("GET", "/v1/inventory").status == 401
