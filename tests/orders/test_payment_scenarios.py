"""What bit other shops between a buyer's approval and the money, one test a story."""

from itertools import permutations
from typing import Any

import pytest

from shared.kernel.errors import Conflict
from shared.orders import capturing
from shared.orders.order import Order
from shared.payments.processor import Fact
from tests.orders.shop import Shop, at_once
from tests.orders.test_histories import Facts


def _ways_to_the_money(shop: Shop, order: Order) -> list[Any]:
    """The buyer's return, PayPal's notice, the attempt's task and the sweep, each of them twice."""
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None

    def notice() -> object:
        return capturing.follow_facts(order.id, [seen], source="webhook", store=shop.orders, processor=shop.paypal)

    def sweep() -> None:
        capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)

    def task() -> None:
        attempt = shop.orders.get(order.id).attempt
        if attempt is not None:
            capturing.resume_attempt(attempt.id, store=shop.orders, processor=shop.paypal)

    return [lambda: shop.capture(order), notice, sweep, task] * 2


def test_however_many_ask_for_the_money_an_order_has_one_capture(shop: Shop) -> None:
    """S27: the unique index on attempts, and the attempt's id as PayPal-Request-Id."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})

    _ended, refusals = at_once(_ways_to_the_money(shop, order))

    assert [refusal for refusal in refusals if not isinstance(refusal, Conflict)] == []
    paid = shop.orders.get(order.id)
    assert (paid.status, paid.captured_minor, paid.refunds) == ("paid", paid.total_minor, ())
    assert len(shop.paypal.captures) == 1
    assert shop.events(order) == ["order.placed", "order.paid"]
    states = shop.database.call("select state from capture_attempts where order_id = :id::uuid", id=order.id)
    assert [row["state"] for row in states] == ["completed"]
    assert shop.level(lamp) == (5, 1)


@pytest.mark.parametrize("order_of_facts", list(permutations(range(4))), ids=lambda places: "".join(map(str, places)))
def test_approved_pending_completed_refunded_end_the_same_in_every_order(
    shop: Shop, order_of_facts: tuple[int, ...]
) -> None:
    """S44: captured before approved, refunded before captured, and all the others."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    facts = Facts(order)
    told: list[Fact] = [
        facts.approved(1),
        facts.capture(1, "PENDING"),
        facts.capture(1, "COMPLETED"),
        facts.refund(1, 400),
    ]

    for place in order_of_facts:
        shop.orders.settle(order.id, facts=[told[place]], source="webhook")

    ended = shop.orders.get(order.id)
    assert (ended.status, ended.status_reason) == ("on_hold", "outside")
    assert (ended.captured_minor, ended.refunded_minor, ended.pending_minor) == (order.total_minor, 400, 0)
    assert (ended.bound_capture_id, ended.refunds) == (f"C1-{order.number}", ())
    assert shop.events(order).count("order.paid") == 1
    assert shop.level(lamp) == (5, 1)
