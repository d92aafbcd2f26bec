"""Staff and an order over HTTP, with the rights of the desk's own database role."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from shared.kernel.money import Money
from shared.orders import capturing, expiring, returning
from shared.orders.returning import AskReturn
from shared.orders.returns import ReturnLine
from shared.payments.processor import DisputeFact
from tests.orders.shop import SHIPPING_MINOR
from tests.support.conftest import Desk, problem_of

NOWHERE = "/v1/admin/orders/0000000000"


def test_all_that_is_known_of_an_order_stands_on_one_page(desk: Desk) -> None:
    lamp = desk.shop.make_stock("LAMP", 5)
    order = desk.shop.paid_order({lamp: 2})
    path = f"/v1/admin/orders/{order.number}"

    noted = desk.call("POST", f"{path}/notes", {"text": "Wants it by Friday."})
    asked = desk.call(
        "POST",
        f"{path}/refunds",
        {"lines": [{"sku": lamp, "quantity": 1, "restock": True}], "shipping_minor": 90, "reason": "scratched"},
    )
    shown = desk.get(path.lower())

    assert (noted.status_code, noted.get_json()["text"]) == (201, "Wants it by Friday.")
    refund = asked.get_json()
    assert (asked.status_code, refund["status"], refund["amount"]["amount_minor"]) == (201, "requested", 1090)
    assert refund["lines"] == [
        {
            "sku": lamp,
            "quantity": 1,
            "amount": {"amount_minor": 1000, "currency": "USD", "display": "10.00 USD"},
            "tax": {"amount_minor": 0, "currency": "USD", "display": "0.00 USD"},
            "restock": True,
        }
    ]
    line = shown["lines"][0]
    assert (line["quantity"], line["allocated"], line["released"], line["refunded"]) == (2, 1, 1, 1)
    assert (shown["status"], shown["payment"]["captured"]["amount_minor"]) == ("paid", order.total_minor)
    assert shown["refundable"]["amount_minor"] == order.total_minor - 1090
    assert [attempt["state"] for attempt in shown["attempts"]] == ["completed"]
    assert [(fact["kind"], fact["status"]) for fact in shown["facts"]] == [
        ("order", "APPROVED"),
        ("capture", "COMPLETED"),
    ]
    assert [moved["kind"] for moved in shown["movements"]] == ["hold", "allocate", "release"]
    assert [(note["author"], note["text"]) for note in shown["notes"]] == [(desk.actor, "Wants it by Friday.")]
    assert [(entry["actor"], entry["action"]) for entry in shown["audit"]] == [
        (desk.actor, "note.written"),
        (desk.actor, "refund.requested"),
    ]
    assert [known["id"] for known in shown["refunds"]] == [refund["id"]]


def test_what_came_in_another_currency_is_shown_and_given_back_in_it(desk: Desk) -> None:
    order = desk.shop.approved_order({desk.shop.make_stock("LAMP", 5): 1})
    desk.shop.paypal.amount = Money(1662, "EUR")
    desk.shop.capture(order)
    path = f"/v1/admin/orders/{order.number}"

    held, [listed] = desk.get(path), desk.get(f"/v1/admin/orders?number={order.number}")["items"]
    cancelled = desk.call("POST", f"{path}/cancel", {})
    desk.shop.finish_refunds(order)
    shown, [relisted] = desk.get(path), desk.get(f"/v1/admin/orders?number={order.number}")["items"]

    assert (held["status"], held["status_reason"]) == ("on_hold", "amount_mismatch")
    for before, after in ((held["payment"], shown["payment"]), (listed, relisted)):
        assert (before["captured"]["display"], before["refunded"]["display"]) == ("16.62 EUR", "0.00 EUR")
        assert (after["captured"]["display"], after["refunded"]["display"]) == ("16.62 EUR", "16.62 EUR")
        assert after["reversed"]["display"] == "0.00 EUR"
    assert shown["payment"]["pending"]["display"] == "0.00 EUR"
    told = cancelled.get_json()["payment"]
    assert (told["captured"]["display"], told["refunded"]["display"]) == ("16.62 EUR", "0.00 EUR")
    assert held["totals"]["total"]["currency"] == "USD"
    assert held["refundable"] == {"amount_minor": 1662, "currency": "EUR", "display": "16.62 EUR"}
    assert cancelled.status_code == 200
    assert shown["refundable"] == {"amount_minor": 0, "currency": "EUR", "display": "0.00 EUR"}
    assert [refund["amount"]["display"] for refund in shown["refunds"]] == ["16.62 EUR"]


def test_what_came_too_late_in_another_currency_is_shown_in_it(desk: Desk) -> None:
    """Nothing is bound to the order: the money goes back."""
    order = desk.shop.approved_order({desk.shop.make_stock("LAMP", 5): 1})
    expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=desk.shop.orders)
    desk.shop.paypal.amount = Money(1662, "EUR")
    capture = desk.shop.paypal.make_capture(order.paypal_order_id)
    shop = desk.shop
    capturing.follow_facts(order.id, [capture], source="webhook", store=shop.orders, processor=shop.paypal)
    shop.finish_refunds(order)

    shown = desk.get(f"/v1/admin/orders/{order.number}")["payment"]
    [listed] = desk.get(f"/v1/admin/orders?number={order.number}")["items"]

    for paid in (shown, listed):
        assert (paid["captured"]["display"], paid["refunded"]["display"]) == ("16.62 EUR", "16.62 EUR")
    assert shown["capture_id"] is None


def test_a_second_payment_in_another_currency_is_no_part_of_what_an_order_gave_back(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})
    desk.shop.paypal.amount = Money(300, "EUR")
    shop, second = desk.shop, desk.shop.paypal.make_capture(order.paypal_order_id)
    capturing.follow_facts(order.id, [second], source="webhook", store=shop.orders, processor=shop.paypal)
    shop.finish_refunds(order)

    shown = desk.get(f"/v1/admin/orders/{order.number}")["payment"]
    [listed] = desk.get(f"/v1/admin/orders?number={order.number}")["items"]

    for paid in (shown, listed):
        assert (paid["captured"]["display"], paid["refunded"]["display"]) == ("15.90 USD", "0.00 USD")


def test_units_that_a_voucher_made_free_are_given_up_without_a_refund(desk: Desk) -> None:
    lamp = desk.shop.make_stock("LAMP", 5)
    code = desk.shop.make_voucher("FREE", percent=Decimal(100))
    order = desk.shop.place(desk.shop.use_voucher(desk.shop.make_cart({lamp: 2}), code))
    desk.shop.paypal.approve(order.paypal_order_id)
    desk.shop.capture(order)
    path, body = f"/v1/admin/orders/{order.number}", {"lines": [{"sku": lamp, "quantity": 1}], "reason": "unwanted"}

    kept = desk.call("POST", f"{path}/refunds", body)
    body["lines"][0]["restock"] = True  # type: ignore[index]
    session = {"Authorization": f"Bearer {desk.token('*')}"}
    given_up = desk.call("POST", f"{path}/refunds", body, key=order.number, headers=session)
    again = desk.call("POST", f"{path}/refunds", body, key=order.number, headers=session)
    shown = desk.get(path)

    assert (kept.status_code, kept.get_json()["errors"][0]["pointer"]) == (422, "/lines")
    assert "was free" in kept.get_json()["errors"][0]["detail"]
    assert (given_up.status_code, again.status_code, given_up.get_json()) == (200, 200, again.get_json())
    assert (given_up.get_json()["number"], given_up.get_json()["refunds"]) == (order.number, [])
    assert [(line["allocated"], line["released"]) for line in shown["lines"]] == [(1, 1)]
    assert (shown["status"], shown["refunds"]) == ("paid", [])
    assert [entry["action"] for entry in shown["audit"]] == ["units.given-up"]
    assert desk.shop.level(lamp) == (5, 1)


def test_a_return_of_units_that_a_voucher_made_free_is_settled_without_a_refund(desk: Desk) -> None:
    lamp = desk.shop.make_stock("LAMP", 5)
    code = desk.shop.make_voucher("FREE", percent=Decimal(100))
    order = desk.shop.place(desk.shop.use_voucher(desk.shop.make_cart({lamp: 1}), code))
    desk.shop.paypal.approve(order.paypal_order_id)
    desk.shop.capture(order)
    desk.shop.deliver(desk.shop.ship(desk.shop.draft(order, {lamp: 1})).shipment)
    lines = (ReturnLine(lamp, 1, "damaged"),)
    goods = returning.ask_return(AskReturn(order.number, lines, "", "buyer"), store=desk.shop.returns).goods
    path = f"/v1/admin/returns/{goods.id}"
    desk.call("POST", f"{path}/approve")
    received = {"lines": [{"sku": lamp, "quantity": 1, "condition": "as new", "restock": True}]}
    assert desk.call("POST", f"{path}/receive", received).status_code == 200

    nothing = desk.call("POST", f"{path}/refunds", {})
    shipping = desk.call("POST", f"{path}/refunds", {"shipping_minor": 590})

    assert (nothing.status_code, nothing.get_json()["refund_id"]) == (200, None)
    shown = desk.get(f"/v1/admin/orders/{order.number}")
    (refund,) = shown["refunds"]
    assert (shipping.status_code, shipping.get_json()["refund_id"]) == (201, refund["id"])
    assert refund["amount"]["amount_minor"] == 590
    assert "units.given-up" not in [entry["action"] for entry in shown["audit"]]


def test_a_refund_that_failed_tells_staff_what_to_do_and_is_tried_again(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})
    path = f"/v1/admin/orders/{order.number}"
    refund = desk.call("POST", f"{path}/refunds", {"amount_minor": 500, "reason": "late"}).get_json()
    desk.shop.paypal.refund_refusals = ["REFUND_FAILED_INSUFFICIENT_FUNDS"]
    desk.shop.finish_refunds(order)

    failed = desk.get(path)["refunds"][0]
    listed = desk.get(f"/v1/admin/orders?number={order.number}&failed_refunds=true")["items"]
    again = desk.call("POST", f"{path}/refunds/{refund['id']}/retry")
    twice = desk.call("POST", f"{path}/refunds/{refund['id']}/retry")
    unknown = desk.call("POST", f"{path}/refunds/{uuid4()}/retry")
    desk.shop.finish_refunds(order)

    assert (failed["status"], failed["failure"], failed["retryable"]) == (
        "failed",
        "REFUND_FAILED_INSUFFICIENT_FUNDS",
        True,
    )
    assert failed["advice"].startswith("Your PayPal balance is too low.")
    assert [(row["number"], row["failed_refunds"]) for row in listed] == [(order.number, 1)]
    assert (again.status_code, again.get_json()["retries"]) == (201, refund["id"])
    assert problem_of(twice) == (409, "not-retryable")
    assert problem_of(unknown) == (404, "refund-not-found")
    assert [known["status"] for known in desk.get(path)["refunds"]] == ["failed", "completed"]
    assert desk.get(f"/v1/admin/orders?number={order.number}&failed_refunds=true")["items"] == []


def test_a_refund_with_the_same_key_is_one(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})
    path = f"/v1/admin/orders/{order.number}/refunds"
    session: Any = {"headers": {"Authorization": f"Bearer {desk.token('refunds:write')}"}, "key": str(uuid4())}

    first = desk.call("POST", path, {"amount_minor": 500, "reason": "late"}, **session)
    again = desk.call("POST", path, {"amount_minor": 500, "reason": "late"}, **session)
    other = desk.call("POST", path, {"amount_minor": 501, "reason": "late"}, **session)

    assert (first.status_code, again.status_code, again.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert first.get_json() == again.get_json()
    assert problem_of(other) == (422, "key-reused")
    assert [refund.amount_minor for refund in desk.shop.orders.get(order.id).refunds] == [500]


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"reason": "late"}, (422, "invalid")),
        ({"amount_minor": 1}, (422, "invalid")),
        ({"amount_minor": -1, "reason": "late"}, (422, "invalid")),
        ({"amount_minor": 1.5, "reason": "late"}, (422, "invalid")),
        ({"amount_minor": 10**9, "reason": "late"}, (409, "refund-too-large")),
        ({"shipping_minor": SHIPPING_MINOR + 1, "reason": "late"}, (409, "refund-too-large")),
        ({"lines": [{"sku": "NO-SUCH", "quantity": 1}], "reason": "late"}, (422, "invalid")),
        ({"amount": {"amount_minor": 1}, "reason": "late"}, (422, "invalid")),
    ],
)
def test_a_refund_that_cannot_be_is_refused_by_its_field(
    desk: Desk, body: dict[str, object], answer: tuple[int, str]
) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})

    refused = desk.call("POST", f"/v1/admin/orders/{order.number}/refunds", body)

    assert problem_of(refused) == answer
    assert desk.shop.orders.get(order.id) == order
    assert desk.shop.audit(order) == []


def test_a_disputed_payment_is_neither_refunded_nor_cancelled(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})
    dispute = DisputeFact("D1", "OPEN", None, (order.bound_capture_id or "",), None, "2026-11-22T10:00:00Z")
    desk.shop.orders.settle(order.id, facts=[dispute], source="webhook")
    path = f"/v1/admin/orders/{order.number}"

    assert problem_of(desk.call("POST", f"{path}/refunds", {"amount_minor": 1, "reason": "r"})) == (409, "disputed")
    assert problem_of(desk.call("POST", f"{path}/cancel", {"reason": "r"})) == (409, "disputed")
    assert problem_of(desk.call("POST", f"{path}/release")) == (409, "not-releasable")
    listed = desk.get(f"/v1/admin/orders?disputed=true&number={order.number}")["items"]
    assert [(row["number"], row["status"], row["disputed"]) for row in listed] == [(order.number, "on_hold", True)]


def test_a_refund_made_at_paypal_is_let_stand_over_http(desk: Desk) -> None:
    order = desk.shop.paid_order({desk.shop.make_stock("LAMP", 5): 1})
    made = desk.shop.paypal.make_refund(desk.shop.paypal.captures[order.bound_capture_id or ""], 400)
    desk.shop.orders.settle(order.id, facts=[made], source="webhook")
    path = f"/v1/admin/orders/{order.number}"

    held = desk.get(path)
    released = desk.call("POST", f"{path}/release")
    shown = desk.get(path)

    assert (held["status"], held["status_reason"], held["refunds"]) == ("on_hold", "outside", [])
    assert (released.status_code, shown["status"]) == (200, "paid")
    (refund,) = shown["refunds"]
    assert (refund["status"], refund["amount"]["amount_minor"], refund["reason"]) == (
        "completed",
        400,
        "Refunded at PayPal",
    )
    assert shown["refundable"]["amount_minor"] == order.total_minor - 400
    assert shown["audit"][-1]["detail"] == {"was": "outside", "accepted": {made.id: 400}}


def test_staff_hold_release_and_cancel_over_http(desk: Desk) -> None:
    lamp = desk.shop.make_stock("LAMP", 5)
    order = desk.shop.paid_order({lamp: 2})
    path = f"/v1/admin/orders/{order.number}"

    held = desk.call("POST", f"{path}/hold", {"reason": "looks odd"})
    released = desk.call("POST", f"{path}/release")
    cancelled = desk.call("POST", f"{path}/cancel", {"reason": "The buyer has changed his mind."})
    again = desk.call("POST", f"{path}/cancel", {})

    assert [answer.status_code for answer in (held, released, cancelled, again)] == [200] * 4
    assert (held.get_json()["status"], held.get_json()["status_reason"]) == ("on_hold", "staff")
    assert released.get_json()["status"] == "paid"
    assert (cancelled.get_json()["status"], cancelled.get_json()["status_reason"]) == ("cancelled", "staff")
    assert again.get_json() == cancelled.get_json()
    (refund,) = cancelled.get_json()["refunds"]
    assert (refund["kind"], refund["amount"]["amount_minor"]) == ("cancelled", order.total_minor)
    assert refund["reason"] == "The buyer has changed his mind."
    assert desk.shop.level(lamp) == (5, 0)
    assert problem_of(desk.call("POST", f"{path}/hold", {"reason": "r"})) == (409, "not-holdable")
    assert problem_of(desk.call("POST", f"{path}/release")) == (409, "not-on-hold")


def test_no_stock_is_released_with_the_desks_own_rights_and_the_cart_is_emptied(desk: Desk) -> None:
    shop = desk.shop
    lamp = shop.make_stock("LAMP", 1)
    cart = shop.make_cart({lamp: 1})
    order = shop.place(cart)
    shop.database.call(
        "select release_stock_v1(:id::uuid, :number::text, 'expire', 'test', '', :now::timestamptz)",
        id=order.id,
        number=order.number,
        now=shop.clock.now(),
    )
    rival = shop.paid_order({lamp: 1})
    shop.orders.settle(order.id, facts=[shop.paypal.make_capture(order.paypal_order_id)], source="webhook")
    path = f"/v1/admin/orders/{order.number}"

    early = desk.call("POST", f"{path}/release")
    desk.call("POST", f"/v1/admin/orders/{rival.number}/cancel", {})
    released = desk.call("POST", f"{path}/release")

    assert (problem_of(early), early.get_json()["why"]) == ((409, "not-releasable"), "stock")
    assert (released.status_code, released.get_json()["status"]) == (200, "paid")
    assert shop.level(lamp) == (1, 1)
    assert shop.carts.get(cart).cart.lines == ()


def test_units_that_had_left_are_restocked_with_the_desks_own_rights(desk: Desk) -> None:
    lamp = desk.shop.make_stock("LAMP", 5)
    order = desk.shop.shipped_order({lamp: 2})

    body = {"lines": [{"sku": lamp, "quantity": 1, "restock": True}], "reason": "came back"}
    asked = desk.call("POST", f"/v1/admin/orders/{order.number}/refunds", body)
    cancel = desk.call("POST", f"/v1/admin/orders/{order.number}/cancel", {})

    assert asked.status_code == 201
    assert problem_of(cancel) == (409, "not-cancellable")
    assert desk.shop.level(lamp) == (4, 0)
    assert desk.shop.movements(order)[-1] == ("return", 1, 0)


def test_orders_are_listed_newest_first_page_by_page_and_narrowed(desk: Desk) -> None:
    shop = desk.shop
    shop.email = f"{uuid4().hex}@example.com"
    lamp = shop.make_stock("LAMP", 50)
    paid = [shop.paid_order({lamp: 1}) for _ in range(3)]
    waiting = [shop.order({lamp: 1}) for _ in range(2)]
    narrowed = f"/v1/admin/orders?email={shop.email}"

    pages, following = [], f"{narrowed}&limit=2"
    while following:
        page = desk.get(following)
        pages.append([row["number"] for row in page["items"]])
        following = f"{narrowed}&limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""

    assert pages == [
        [waiting[1].number, waiting[0].number],
        [paid[2].number, paid[1].number],
        [paid[0].number],
    ]
    assert [row["number"] for row in desk.get(f"{narrowed}&status=paid")["items"]] == [
        order.number for order in reversed(paid)
    ]
    assert [row["status"] for row in desk.get(f"/v1/admin/orders?number={paid[0].number.lower()}")["items"]] == ["paid"]
    assert desk.get(f"{narrowed}&disputed=true")["items"] == []
    assert desk.get(f"{narrowed}&failed_refunds=true")["items"] == []


def test_each_route_asks_for_its_permission_and_a_session_that_lives(desk: Desk) -> None:
    bodies = {
        "notes": {"text": "t"},
        "hold": {"reason": "r"},
        "release": None,
        "cancel": {},
        "refunds": {"amount_minor": 1, "reason": "r"},
        f"refunds/{uuid4()}/retry": None,
    }
    money = {"cancel", "refunds", *(name for name in bodies if name.endswith("retry"))}
    for name, body in bodies.items():
        needed = "refunds:write" if name in money else "orders:write"
        others = ("orders:read", "orders:write" if name in money else "refunds:write")
        assert problem_of(desk.call("POST", f"{NOWHERE}/{name}", body, permissions=others)) == (403, "forbidden")
        assert problem_of(desk.call("POST", f"{NOWHERE}/{name}", body, permissions=(needed,))) == (
            404,
            "order-not-found",
        )
        revoked = {"Authorization": f"Bearer {desk.token('*', revoked=True)}"}
        assert problem_of(desk.call("POST", f"{NOWHERE}/{name}", body, headers=revoked)) == (401, "unauthenticated")
    assert problem_of(desk.call("GET", NOWHERE, permissions=("orders:write",))) == (403, "forbidden")
    assert problem_of(desk.call("GET", NOWHERE)) == (404, "order-not-found")


def test_what_a_page_says_of_time_is_the_clocks(desk: Desk) -> None:
    desk.shop.clock.advance(days=1)
    order = desk.shop.order({desk.shop.make_stock("LAMP", 5): 1})

    shown = desk.get(f"/v1/admin/orders/{order.number}")

    assert shown["placed_at"][:10] == (order.placed_at).strftime("%Y-%m-%d")
    assert order.hold_expires_at - order.placed_at == timedelta(minutes=15)
