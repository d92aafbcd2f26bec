"""Vouchers from the back office to PayPal, over HTTP."""

from typing import Any
from uuid import uuid4

import pytest

from tests.system.cloud import Answer, Cloud

PROBLEMS = "https://vitrine.example/problems/"


def make_voucher(cloud: Cloud, **terms: Any) -> Any:
    body = {"code": f"Sale-{uuid4().hex[:8]}", "kind": "percent", "percent": "25", **terms}
    made = cloud.call("POST", "/v1/admin/vouchers", body, headers=cloud.staff())
    assert made.status == 201, made.raw.decode()
    return made.json


def put_voucher(cloud: Cloud, cart: Any, code: str) -> Answer:
    return cloud.call("PUT", f"/v1/carts/{cart['id']}/voucher", {"code": code})


def amounts(totals: dict[str, Any]) -> dict[str, int]:
    return {name: money["amount_minor"] for name, money in totals.items()}


def test_a_voucher_is_seen_in_the_cart_frozen_in_the_order_and_collected_by_paypal(cloud: Cloud) -> None:
    """S50: 19.99 less a quarter is 14.99."""
    lamp = cloud.make_stock("LAMP", 5, price_minor=1999)
    voucher = make_voucher(cloud)
    cart = put_voucher(cloud, cloud.make_cart({lamp: 1}), voucher["code"].lower())

    order = cloud.place(cart.json)
    again = cloud.call("GET", f"/v1/admin/vouchers/{voucher['code']}", headers=cloud.staff())
    cloud.approve(order.json)
    paid = cloud.capture(order.json)
    seen = cloud.call("GET", f"/v1/admin/orders/{order.json['number']}", headers=cloud.staff()).json

    assert cart.json["voucher"] == {
        "code": voucher["code"], "kind": "percent", "percent": "25", "amount": None, "minimum": None, "problem": None,
    }  # fmt: skip
    expected = {"subtotal": 1999, "discount": 500, "shipping": 590, "tax": 109 + 43, "total": 1499 + 590 + 109 + 43}
    assert amounts(cart.json["totals"]) == expected
    assert (order.status, amounts(order.json["totals"]), order.json["voucher"]) == (201, expected, voucher["code"])
    assert [(line["discount"]["amount_minor"], line["tax"]["amount_minor"]) for line in order.json["lines"]] == [
        (500, 109)
    ]
    [made] = [o for o in cloud.ledger()["orders"] if o["id"] == order.json["payment"]["paypal_order_id"]]
    amount = made["purchase_units"][0]["amount"]
    assert {name: part["value"] for name, part in amount["breakdown"].items()} == {
        "item_total": "19.99", "discount": "5.00", "shipping": "5.90", "tax_total": "1.52",
    }  # fmt: skip
    assert (seen["voucher"], seen["voucher_over_limit"]) == (voucher["code"], False)
    assert {name: seen["lines"][0][name]["amount_minor"] for name in ("discount", "paid", "tax")} == {
        "discount": 500, "paid": 1499 + 109, "tax": 109,
    }  # fmt: skip
    assert (amount["value"], again.json["redeemed"], paid.json["status"]) == ("22.41", 1, "paid")


def test_a_cancel_at_paypal_leaves_the_cart_editable_and_frees_hold_and_voucher(cloud: Cloud) -> None:
    """S30, S51: the buyer comes back by the cancel URL, the page cancels the order, and the same cart goes on."""
    lamp = cloud.make_stock("LAMP", 1)
    voucher = make_voucher(cloud, total_limit=1)
    cart = put_voucher(cloud, cloud.make_cart({lamp: 1}), voucher["code"]).json
    order = cloud.place(cart).json
    assert cloud.level(lamp) == (1, 1)

    assert cloud.call("POST", f"/_local/paypal/orders/{order['payment']['paypal_order_id']}/cancel", {}).status == 200
    cancelled = cloud.call("POST", f"/v1/checkouts/{order['id']}/cancel", headers=cloud.token(order))
    level = cloud.level(lamp)
    edited = cloud.call("PUT", f"/v1/carts/{cart['id']}/lines/{lamp}", {"quantity": 1})
    placed_again = cloud.place(edited.json)

    assert (cancelled.status, cancelled.json["status"]) == (200, "cancelled")
    assert level == (1, 0)
    assert (edited.status, edited.json["lines"][0]["problem"], edited.json["voucher"]["problem"]) == (200, None, None)
    assert placed_again.status == 201
    assert placed_again.json["id"] != order["id"]
    assert cloud.level(lamp) == (1, 1)


def test_a_voucher_that_does_not_apply_says_why_and_stops_the_order(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    voucher = make_voucher(cloud, minimum_minor=1500)
    cart = put_voucher(cloud, cloud.make_cart({lamp: 1}), voucher["code"]).json

    refused = cloud.place(cart)
    more = cloud.call("PUT", f"/v1/carts/{cart['id']}/lines/{lamp}", {"quantity": 2})
    without = cloud.call("DELETE", f"/v1/carts/{cart['id']}/voucher")
    unknown = put_voucher(cloud, cart, "no-such-voucher")

    assert (cart["voucher"]["problem"], cart["totals"]["discount"]["amount_minor"]) == ("minimum", 0)
    assert (refused.status, refused.json["type"]) == (409, PROBLEMS + "voucher-not-applicable")
    assert (refused.json["code"], refused.json["problem"]) == (voucher["code"], "minimum")
    assert (more.json["voucher"]["problem"], more.json["totals"]["discount"]["amount_minor"]) == (None, 500)
    assert (without.json["voucher"], without.json["totals"]["discount"]["amount_minor"]) == (None, 0)
    assert (unknown.status, unknown.json["type"]) == (404, PROBLEMS + "unknown-voucher")
    assert cloud.level(lamp) == (5, 0)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"kind": "amount"}, ["/amount_minor"]),
        ({"kind": "percent", "percent": "0"}, ["/percent"]),
        ({"kind": "percent", "percent": "10", "ends_at": "tomorrow"}, ["/ends_at"]),
        (
            {"kind": "free_shipping", "starts_at": "2026-12-02T00:00:00Z", "ends_at": "2026-12-01T00:00:00Z"},
            ["/ends_at"],
        ),
    ],
)
def test_terms_that_make_no_sense_are_a_422_that_names_them(
    cloud: Cloud, body: dict[str, Any], pointers: list[str]
) -> None:
    answer = cloud.call("POST", "/v1/admin/vouchers", {"code": "NONSENSE", **body}, headers=cloud.staff())

    assert (answer.status, [bad["pointer"] for bad in answer.json["errors"]]) == (422, pointers)
    assert cloud.call("GET", "/v1/admin/vouchers/NONSENSE", headers=cloud.staff()).status == 404


def test_staff_make_change_list_and_take_away_vouchers(cloud: Cloud) -> None:
    staff = cloud.staff()
    made = make_voucher(cloud, kind="free_shipping", percent=None, total_limit=5, starts_at="2026-01-01T00:00:00+01:00")
    path = f"/v1/admin/vouchers/{made['code']}"

    twin = cloud.call("POST", "/v1/admin/vouchers", {"code": made["code"], "kind": "free_shipping"}, headers=staff)
    changed = cloud.call("PATCH", path, {"total_limit": None, "active": False}, headers={**staff, "If-Match": '"1"'})
    stale = cloud.call("PATCH", path, {"active": True}, headers={**staff, "If-Match": '"1"'})
    listed = cloud.call("GET", "/v1/admin/vouchers?limit=100", headers=staff).json["items"]
    off = put_voucher(cloud, cloud.make_cart({cloud.make_stock("LAMP", 1): 1}), made["code"])
    deleted = [cloud.call("DELETE", path, headers=staff).status for _ in range(2)]
    guest = cloud.call("GET", "/v1/admin/vouchers")
    audit = cloud.call("GET", f"/v1/admin/audit-log?subject=voucher:{made['code']}", headers=staff).json["items"]

    assert made["starts_at"] == "2025-12-31T23:00:00.000Z"
    assert (twin.status, twin.json["type"]) == (409, PROBLEMS + "voucher-taken")
    assert (changed.status, changed.json["total_limit"], changed.json["active"], changed.json["version"]) == (
        200, None, False, 2,
    )  # fmt: skip
    assert stale.status == 412
    assert [voucher for voucher in listed if voucher["code"] == made["code"]] == [changed.json]
    assert off.status == 404
    assert deleted == [204, 404]
    assert guest.status == 401
    assert [entry["action"] for entry in audit] == ["voucher.deleted", "voucher.changed", "voucher.created"]


def test_every_deployment_that_lets_an_order_go_gives_its_voucher_back(cloud: Cloud) -> None:
    """S18, S47, S51: jobs expire, money comes late, staff cancel what is paid; each in a role of its own."""
    lamp = cloud.make_stock("LAMP", 5)
    voucher = make_voucher(cloud, total_limit=1)

    def redeemed() -> int:
        found = cloud.call("GET", f"/v1/admin/vouchers/{voucher['code']}", headers=cloud.staff()).json["redeemed"]
        return int(found)

    def order() -> Any:
        placed = cloud.place(put_voucher(cloud, cloud.make_cart({lamp: 1}), voucher["code"]).json)
        assert placed.status == 201, placed.raw.decode()
        return placed.json

    first = order()
    counts = [redeemed()]
    cloud.advance(16 * 60)
    cloud.settle()
    counts.append(redeemed())
    second = order()
    cloud.approve(second)
    assert cloud.capture(second).status == 200
    counts.append(redeemed())
    paid_late = {
        "event_type": "PAYMENT.CAPTURE.COMPLETED",
        "resource": {"order_id": first["payment"]["paypal_order_id"]},
    }
    assert cloud.call("POST", "/_local/paypal/events", paid_late).status == 200
    cloud.settle()
    counts.append(redeemed())
    seen = cloud.call("GET", f"/v1/admin/orders/{first['number']}", headers=cloud.staff()).json
    for each in (first, second):
        cancelled = cloud.call("POST", f"/v1/admin/orders/{each['number']}/cancel", {}, headers=cloud.staff())
        assert cancelled.status == 200, cancelled.raw.decode()
        counts.append(redeemed())
    cloud.settle()

    assert counts == [1, 0, 1, 2, 1, 0]
    assert (seen["status"], seen["late"], seen["voucher_over_limit"]) == ("paid", True, True)
    assert cloud.level(lamp) == (5, 0)


@pytest.mark.parametrize("currency", ["KWD", "XXX"])
def test_a_currency_that_paypal_does_not_take_is_no_shops(cloud: Cloud, currency: str) -> None:
    """S50: KWD has three decimals, and PayPal no KWD."""
    answer = cloud.call("PATCH", "/v1/admin/settings", {"currency": currency}, headers=cloud.staff())

    assert (answer.status, [bad["pointer"] for bad in answer.json["errors"]]) == (422, ["/currency"])
    assert cloud.call("GET", "/v1/admin/settings", headers=cloud.staff()).json["currency"] == "USD"
