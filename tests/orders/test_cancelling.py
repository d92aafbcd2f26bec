"""Cancelling as one command: refund of everything, stock free, order over, once."""

from dataclasses import replace
from random import Random
from uuid import uuid4

import pytest

from shared.kernel.errors import Unavailable
from shared.kernel.money import Money
from shared.orders import cancelling, capturing, expiring
from shared.orders.order import NotCancellable, Order, PaymentInProgress
from shared.payments.processor import CaptureFact, Fact
from tests.orders.shop import Shop, at_once
from tests.orders.test_refunding import refund_tasks, refunds_of


def cancel_as_buyer(shop: Shop, order: Order) -> Order:
    command = cancelling.cancel_order(refund_id=uuid4(), reason="buyer", actor="buyer", is_staff=False)
    return shop.orders.settle(order.id, command=command).order


def told(shop: Shop, order: Order, fact: CaptureFact) -> Order:
    return shop.orders.settle(order.id, facts=[fact], source="webhook").order


def mismatched(shop: Shop, order: Order) -> Order:
    shop.paypal.amount = Money(order.total_minor - 1, "USD")
    return told(shop, order, shop.paypal.make_capture(order.paypal_order_id))


@pytest.mark.parametrize("by_staff", [True, False])
def test_a_paid_order_is_cancelled_once_with_refund_and_stock(shop: Shop, by_staff: bool) -> None:
    """S47, S48: the movement is a `cancel`, all lines are released, and doing it again changes nothing."""
    lamp, shade = shop.make_stock("LAMP", 5), shop.make_stock("SHADE", 3)
    order = shop.paid_order({lamp: 2, shade: 3})
    assert (shop.level(lamp), shop.level(shade)) == ((5, 2), (3, 3))

    cancelled = shop.cancel(order) if by_staff else cancel_as_buyer(shop, order)
    again = shop.cancel(order) if by_staff else cancel_as_buyer(shop, order)

    assert (cancelled.status, cancelled.status_reason) == ("cancelled", "staff" if by_staff else "buyer")
    assert again == cancelled
    assert refunds_of(cancelled) == [("cancelled", "requested", order.total_minor)]
    assert refund_tasks(shop, order) == [cancelled.refunds[0].id]
    assert (shop.level(lamp), shop.level(shade)) == ((5, 0), (3, 0))
    assert sorted(shop.movements(order)[-2:]) == [("cancel", 0, -3), ("cancel", 0, -2)]
    assert [(line.allocated, line.released) for line in cancelled.lines] == [(0, 2), (0, 3)]
    assert shop.events(order) == ["order.placed", "order.paid", "order.cancelled"]
    assert shop.audit(order) == ([("staff:1", "order-cancelled")] if by_staff else [])

    done = shop.finish_refunds(order)

    assert (done.status, done.refunded_minor) == ("cancelled", order.total_minor)
    assert shop.events(order)[3:] == ["order.refunded"]


def test_two_cancels_at_once_are_one(shop: Shop) -> None:
    """S14, S47: the second release is a no-op."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})

    ended, refused = at_once([lambda: shop.cancel(order), lambda: cancel_as_buyer(shop, order)] * 3)

    assert refused == []
    assert {done.status for done in ended} == {"cancelled"}
    assert refunds_of(shop.orders.get(order.id)) == [("cancelled", "requested", order.total_minor)]
    assert shop.level(lamp) == (5, 0)
    assert [kind for kind, _on_hand, _held in shop.movements(order)].count("cancel") == 1


def test_an_order_that_expires_twice_releases_once(shop: Shop) -> None:
    """S14."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    shop.clock.advance(minutes=16)

    _ended, refused = at_once([lambda: expiring.expire_order(order.id, store=shop.orders, processor=shop.paypal)] * 3)

    assert refused == []
    assert shop.level(lamp) == (5, 0)
    assert shop.movements(order) == [("hold", 0, 2), ("expire", 0, -2)]


@pytest.mark.parametrize("by_staff", [True, False])
def test_what_was_shipped_cannot_be_cancelled_and_its_stock_stays(shop: Shop, by_staff: bool) -> None:
    """S15."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ship(shop.draft(order, {lamp: 1}))
    before = shop.orders.get(order.id)

    with pytest.raises(NotCancellable) as refused:
        shop.cancel(order) if by_staff else cancel_as_buyer(shop, order)

    assert refused.value.data == {"status": "fulfilling"}
    assert shop.orders.get(order.id) == before
    assert shop.level(lamp) == (4, 1)
    assert shop.events(order) == ["order.placed", "order.paid", "order.shipped"]


@pytest.mark.parametrize("by_staff", [True, False])
def test_while_paypal_owes_an_answer_nothing_is_cancelled(shop: Shop, by_staff: bool) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    before = shop.orders.get(order.id)

    with pytest.raises(PaymentInProgress):
        shop.cancel(order) if by_staff else cancel_as_buyer(shop, order)

    assert shop.orders.get(order.id) == before
    assert shop.level(lamp) == (5, 1)


def test_a_pending_capture_is_a_payment_in_progress(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.next_capture = "PENDING"
    shop.capture(order)

    with pytest.raises(PaymentInProgress):
        shop.cancel(order)
    with pytest.raises(PaymentInProgress):
        cancel_as_buyer(shop, order)

    assert shop.orders.get(order.id).status_reason == "capture_pending"


def test_what_waits_for_its_money_is_cancelled_without_a_refund(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})

    cancelled = shop.cancel(order)

    assert (cancelled.status, cancelled.refunds) == ("cancelled", ())
    assert shop.level(lamp) == (5, 0)
    assert shop.events(order) == ["order.placed", "order.cancelled"]


def test_another_amount_goes_back_as_it_came_when_staff_cancel(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = mismatched(shop, shop.order({lamp: 1}))
    assert (order.status, order.status_reason) == ("on_hold", "amount_mismatch")

    with pytest.raises(NotCancellable):
        cancel_as_buyer(shop, order)
    cancelled = shop.cancel(order)

    assert refunds_of(cancelled) == [("cancelled", "requested", order.total_minor - 1)]
    assert shop.level(lamp) == (5, 0)
    assert shop.finish_refunds(order).refunded_minor == order.total_minor - 1


def test_what_was_refunded_before_is_not_given_back_twice(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 2})
    shop.ask_refund(order, amount_minor=300)
    shop.finish_refunds(order)
    shop.ask_refund(order, amount_minor=200)
    capture = shop.paypal.captures[order.bound_capture_id or ""]
    shop.orders.settle(order.id, facts=[shop.paypal.make_refund(capture, 100)], source="webhook")
    assert shop.orders.get(order.id).status == "on_hold"

    cancelled = shop.cancel(order)
    ended = shop.finish_refunds(order)

    assert refunds_of(cancelled)[-1] == ("cancelled", "requested", order.total_minor - 600)
    assert ended.refunded_minor == order.total_minor


def test_a_refund_that_paypal_refuses_leaves_the_order_cancelled_and_is_seen(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    shop.paypal.refund_refusals = ["REFUND_FAILED_INSUFFICIENT_FUNDS"]
    shop.cancel(order)

    ended = shop.finish_refunds(order)
    listed = shop.desk.list_orders(number=order.number, failed_refunds=True, limit=5)

    assert (ended.status, refunds_of(ended)) == ("cancelled", [("cancelled", "failed", order.total_minor)])
    assert shop.level(lamp) == (5, 0)
    assert [(row["number"], row["failed_refunds"]) for row in listed] == [(order.number, 1)]


def test_facts_that_come_after_a_cancel_never_revive_it(shop: Shop) -> None:
    """The bound capture's refund is seen, and another payment of the order goes back."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    shop.cancel(order)
    shop.finish_refunds(order)
    capture = shop.paypal.become(order.bound_capture_id or "", "REFUNDED")

    told(shop, order, capture)
    ended = told(shop, order, shop.paypal.make_capture(order.paypal_order_id))

    assert ended.status == "cancelled"
    assert refunds_of(ended) == [
        ("cancelled", "completed", order.total_minor),
        ("duplicate", "requested", order.total_minor),
    ]
    assert shop.level(lamp) == (5, 0)


def test_cancel_and_capture_at_once_leave_no_money_without_an_order(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})

    at_once([lambda: shop.capture(order), lambda: shop.cancel(order)])
    capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)
    ended = shop.finish_refunds(order)

    kept = ended.captured_minor - ended.refunded_minor
    assert (ended.status, kept, shop.level(lamp)) in [
        ("paid", order.total_minor, (5, 1)),
        ("cancelled", 0, (5, 0)),
    ]


def test_an_expired_order_is_not_cancelled(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    shop.clock.advance(minutes=16)
    shop.expire()

    with pytest.raises(NotCancellable):
        shop.cancel(order)

    assert shop.orders.get(order.id).status == "expired"


def test_of_a_cancel_and_a_hand_over_at_once_one_happens(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 50)
    for _ in range(5):
        order = shop.paid_order({lamp: 1})
        shipment = shop.draft(order, {lamp: 1})

        done, refused = at_once([lambda o=order: shop.cancel(o), lambda s=shipment: shop.ship(s)])  # type: ignore[misc]

        ended = shop.orders.get(order.id)
        assert (len(done), len(refused)) == (1, 1)
        assert (ended.status, ended.lines[0].consumed, ended.lines[0].released, len(ended.refunds)) in [
            ("cancelled", 0, 1, 1),
            ("fulfilling", 1, 0, 0),
        ]


@pytest.mark.parametrize("seed", range(6))
def test_facts_after_a_cancel_end_the_same_in_any_order(shop: Shop, seed: int) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    cancelled = shop.cancel(order)
    bound = shop.paypal.captures[order.bound_capture_id or ""]
    ours = shop.paypal.make_refund(bound, custom_id=str(cancelled.refunds[0].id))
    facts: list[Fact] = [
        replace(ours, status="PENDING"),
        ours,
        shop.paypal.become(bound.id, "REFUNDED"),
        shop.paypal.make_capture(order.paypal_order_id),
    ]
    Random(seed).shuffle(facts)

    for fact in [*facts, facts[seed % 4]]:
        shop.orders.settle(order.id, facts=[fact], source="webhook")

    ended = shop.orders.get(order.id)
    assert (ended.status, refunds_of(ended)) == (
        "cancelled",
        [("cancelled", "completed", order.total_minor), ("duplicate", "requested", order.total_minor)],
    )
    assert shop.level(lamp) == (5, 0)
    assert shop.events(order)[2:].count("order.refunded") == 1
