"""Refunds, cancels and holds over HTTP and the local control surface alone; after each the auditor looks in."""

from typing import Any

import pytest

from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow


def _seen(cloud: Cloud, order: Any) -> Any:
    answer = cloud.desk(order, method="GET")
    assert answer.status == 200, answer.raw.decode()
    return answer.json


def _capture_id(cloud: Cloud, order: Any) -> str:
    return str(_seen(cloud, order)["payment"]["capture_id"])


def _next_refund(cloud: Cloud, order: Any, ends: str) -> None:
    path = f"/_local/paypal/captures/{_capture_id(cloud, order)}/refunds"
    assert cloud.call("POST", path, {"next": ends}).status == 200


def _refunds(cloud: Cloud, order: Any) -> list[tuple[str, str, int]]:
    return [(r["kind"], r["status"], r["amount"]["amount_minor"]) for r in _seen(cloud, order)["refunds"]]


def _given_back(cloud: Cloud, order: Any) -> list[str]:
    captured = {capture["id"] for capture in cloud.ledger()["captures"] if capture.get("custom_id") == order["id"]}
    made = [refund for refund in cloud.ledger()["refunds"] if refund["capture_id"] in captured]
    return [refund["amount"]["value"] for refund in made if refund["status"] == "COMPLETED"]


def _mails(cloud: Cloud, order: Any) -> list[str]:
    return [mail["subject"] for mail in cloud.inbox() if order["number"] in mail["subject"]]


def test_staff_refund_lines_shipping_and_a_free_amount_to_the_last_cent(cloud: Cloud) -> None:
    """S45, S46: PayPal has given back exactly what was paid, and the buyer was told each time."""
    lamp = cloud.make_stock("LAMP", 5, price_minor=333)
    order = cloud.paid_order({lamp: 3})
    total = order["totals"]["total"]["amount_minor"]

    for body in (
        {"lines": [{"sku": lamp, "quantity": 1, "restock": True}], "reason": "scratched"},
        {"shipping_minor": 90, "reason": "late"},
        {"amount_minor": 7, "reason": "sorry"},
    ):
        assert cloud.desk(order, "refunds", body).status == 201
    cloud.settle()
    left = _seen(cloud, order)["refundable"]["amount_minor"]
    over = cloud.desk(order, "refunds", {"amount_minor": left + 1, "reason": "rest"})
    rest = cloud.desk(order, "refunds", {"amount_minor": left, "reason": "rest"})
    cloud.settle()

    seen = _seen(cloud, order)
    assert (over.status, over.json["left_minor"], rest.status) == (409, left, 201)
    assert (seen["status"], seen["refundable"]["amount_minor"]) == ("paid", 0)
    assert seen["payment"]["refunded"]["amount_minor"] == total
    assert sum(round(float(value) * 100) for value in _given_back(cloud, order)) == total
    assert {refund["status"] for refund in seen["refunds"]} == {"completed"}
    assert cloud.level(lamp) == (5, 2)
    assert len([subject for subject in _mails(cloud, order) if subject.endswith("refunded")]) == 4


def test_a_paid_order_is_cancelled_by_its_buyer_once(cloud: Cloud) -> None:
    """S47, S48."""
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.paid_order({lamp: 2})
    path, total = f"/v1/orders/{order['number']}/cancel", order["totals"]["total"]["amount_minor"]

    stranger = cloud.call("POST", path, headers={"X-Order-Token": "k1.none"})
    answers = [cloud.patiently("POST", path, headers=cloud.token(order)) for _ in range(2)]
    cloud.settle()

    assert stranger.status == 404
    assert [(answer.status, answer.json["status"]) for answer in answers] == [(200, "cancelled")] * 2
    assert _refunds(cloud, order) == [("cancelled", "completed", total)]
    assert cloud.level(lamp) == (5, 0)
    moved = [movement["kind"] for movement in _seen(cloud, order)["movements"]]
    assert moved == ["hold", "allocate", "cancel"]
    assert len(_given_back(cloud, order)) == 1
    assert [s for s in _mails(cloud, order) if "cancelled" in s] == [f"Order {order['number']} has been cancelled"]


def test_a_paid_order_is_cancelled_by_staff_and_a_shipped_one_is_not(cloud: Cloud) -> None:
    """S15, S47."""
    lamp = cloud.make_stock("LAMP", 5)
    order, shipped = cloud.paid_order({lamp: 1}), cloud.paid_order({lamp: 1})
    draft = {"order_number": shipped["number"], "lines": [{"sku": lamp, "quantity": 1}]}
    shipment = cloud.patiently("POST", "/v1/admin/shipments", draft, headers=cloud.staff()).json
    sent = {"carrier": "DHL", "tracking_number": "JJD1"}
    assert (
        cloud.patiently("POST", f"/v1/admin/shipments/{shipment['id']}/ship", sent, headers=cloud.staff()).status == 200
    )

    cancelled = cloud.desk(order, "cancel", {"reason": "Sold out at the warehouse."})
    refused = cloud.desk(shipped, "cancel", {})
    refused_buyer = cloud.patiently("POST", f"/v1/orders/{shipped['number']}/cancel", headers=cloud.token(shipped))
    cloud.settle()

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert (refused.status, refused_buyer.status) == (409, 409)
    assert _seen(cloud, shipped)["status"] == "fulfilling"
    assert cloud.level(lamp) == (4, 0)
    assert [refund[1] for refund in _refunds(cloud, order)] == ["completed"]


@pytest.mark.parametrize(
    "refusal",
    [
        "TRANSACTION_DISPUTED",
        "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK",
        "REFUND_FAILED_INSUFFICIENT_FUNDS",
        "MAX_NUMBER_OF_REFUNDS_EXCEEDED",
        "REFUND_TIME_LIMIT_EXCEEDED",
        "CAPTURE_FULLY_REFUNDED",
        "REFUND_AMOUNT_EXCEEDED",
    ],
)
def test_a_refusal_of_paypal_is_seen_by_staff_and_taken_up_again_where_that_helps(cloud: Cloud, refusal: str) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    _next_refund(cloud, order, refusal)

    asked = cloud.desk(order, "refunds", {"amount_minor": 250, "reason": "late"})
    cloud.settle()
    (failed,) = _seen(cloud, order)["refunds"]
    listed = cloud.call("GET", f"/v1/admin/orders?failed_refunds=true&number={order['number']}", headers=cloud.staff())
    again = cloud.desk(order, f"refunds/{asked.json['id']}/retry")
    cloud.settle()

    assert (failed["status"], failed["failure"], _given_back(cloud, order)) == (
        "failed",
        refusal,
        ["2.50"] if failed["retryable"] else [],
    )
    assert len(failed["advice"]) > 40
    assert [row["failed_refunds"] for row in listed.json["items"]] == [1]
    assert again.status == (201 if failed["retryable"] else 409)
    assert [state for _kind, state, _amount in _refunds(cloud, order)] == [
        "failed",
        *(["completed"] if failed["retryable"] else []),
    ]


def test_a_pending_refund_that_fails_in_the_end_is_seen_and_the_order_goes_on(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    _next_refund(cloud, order, "pending")
    cloud.desk(order, "refunds", {"amount_minor": 250, "reason": "late"})
    cloud.settle()
    (pending,) = _seen(cloud, order)["refunds"]

    cloud.tell("PAYMENT.REFUND.FAILED", id=pending["paypal_refund_id"])

    seen = _seen(cloud, order)
    assert (pending["status"], seen["refunds"][0]["status"], seen["refunds"][0]["failure"]) == (
        "pending",
        "failed",
        "REFUND_FAILED",
    )
    assert (seen["status"], seen["payment"]["refunded"]["amount_minor"]) == ("paid", 0)


def test_a_refund_whose_answer_was_lost_is_given_back_once(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    cloud.fault("paypal", "timeout_after_effect", path="/v2/payments/captures/")

    cloud.desk(order, "refunds", {"amount_minor": 250, "reason": "late"})
    cloud.settle(timeout_s=90)

    assert [fault["fired"] for fault in cloud.clear_faults()] == [1]
    assert _refunds(cloud, order) == [("staff", "completed", 250)]
    assert _given_back(cloud, order) == ["2.50"]


def test_a_disputed_order_is_neither_refunded_nor_cancelled_until_it_is_over(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})
    capture = _capture_id(cloud, order)
    dispute = cloud.tell("CUSTOMER.DISPUTE.CREATED", capture_id=capture)["resource"]

    refused = [
        cloud.desk(order, "refunds", {"amount_minor": 1, "reason": "r"}),
        cloud.desk(order, "cancel", {}),
        cloud.desk(order, "release"),
    ]
    cloud.tell("CUSTOMER.DISPUTE.RESOLVED", dispute_id=dispute["dispute_id"], capture_id=capture, outcome="won")
    cancelled = cloud.desk(order, "cancel", {})

    assert [(answer.status, answer.json["type"].rpartition("/")[2]) for answer in refused] == [
        (409, "disputed"),
        (409, "disputed"),
        (409, "not-releasable"),
    ]
    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")


def test_another_amount_waits_for_staff_who_give_it_back(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    paid = {"currency_code": "USD", "value": "1.00"}
    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"], amount=paid)
    held = _seen(cloud, order)

    released = cloud.desk(order, "release")
    cancelled = cloud.desk(order, "cancel", {})
    cloud.settle()

    assert (held["status"], held["status_reason"]) == ("on_hold", "amount_mismatch")
    assert (released.status, released.json["why"], cancelled.status) == (409, "money", 200)
    assert _refunds(cloud, order) == [("cancelled", "completed", 100)]
    assert cloud.level(lamp) == (5, 0)


def test_staff_hold_an_order_note_why_and_let_it_go_on(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 5): 1})

    answers = [
        cloud.desk(order, "hold", {"reason": "Two names."}),
        cloud.desk(order, "notes", {"text": "Called: all is well."}),
        cloud.desk(order, "release"),
    ]
    seen = _seen(cloud, order)
    log = cloud.call("GET", f"/v1/admin/audit-log?subject=order:{order['number']}", headers=cloud.staff()).json

    assert [answer.status for answer in answers] == [200, 201, 200]
    assert (seen["status"], [note["text"] for note in seen["notes"]]) == ("paid", ["Called: all is well."])
    assert [entry["action"] for entry in log["items"]] == ["hold.released", "note.written", "hold.placed"]
    assert log["items"][2]["detail"] == {"reason": "Two names."}


def test_while_paypal_owes_an_answer_nobody_cancels(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    order = cloud.order({lamp: 1})
    cloud.approve(order, "pending")
    cloud.capture(order)

    by_staff = cloud.desk(order, "cancel", {})
    by_buyer = cloud.patiently("POST", f"/v1/orders/{order['number']}/cancel", headers=cloud.token(order))

    assert [(answer.status, answer.json["type"].rpartition("/")[2]) for answer in (by_staff, by_buyer)] == [
        (409, "payment-in-progress")
    ] * 2
    assert cloud.level(lamp) == (5, 1)
    cloud.tell("PAYMENT.CAPTURE.COMPLETED", order_id=order["payment"]["paypal_order_id"])
    assert _seen(cloud, order)["status"] == "paid"
