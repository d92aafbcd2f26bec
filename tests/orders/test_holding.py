"""On hold and back: by staff, and by what PayPal says from outside."""

from collections.abc import Callable

import pytest

from shared.kernel.money import Money
from shared.orders import holding
from shared.orders.holding import NotHoldable, NotOnHold, NotReleasable
from shared.orders.order import Order, PaymentInProgress
from shared.orders.refunding import RefundTooLarge
from shared.payments.processor import DisputeFact, Fact, RefundFact
from tests.orders.shop import Shop, at_once


def hold(shop: Shop, order: Order) -> Order:
    return shop.desk.change(order.number, holding.hold_order(reason="looks odd", actor="staff:1"))


def release(shop: Shop, order: Order) -> Order:
    return shop.desk.change(order.number, holding.release_order(actor="staff:2"))


def tell(shop: Shop, order: Order, *facts: Fact) -> Order:
    return shop.orders.settle(order.id, facts=facts, source="webhook").order


def dispute(order: Order, status: str, outcome: str | None, second: int) -> DisputeFact:
    moment = f"2026-11-22T10:00:0{second}Z"
    return DisputeFact(f"D-{order.number}", status, outcome, (order.bound_capture_id or "",), None, moment)


def test_staff_hold_a_paid_order_and_let_it_go_on(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    held, again = hold(shop, order), hold(shop, order)
    released = release(shop, order)

    assert (held.status, held.status_reason, held.resume_status) == ("on_hold", "staff", "paid")
    assert again == held
    assert (released.status, released.status_reason, released.resume_status) == ("paid", None, None)
    assert (released.paid_at, shop.level(lamp)) == (order.paid_at, (5, 1))
    assert shop.audit(order) == [("staff:1", "hold.placed"), ("staff:2", "hold.released")]
    assert shop.events(order) == ["order.placed", "order.paid", "order.on_hold"]


def test_only_what_is_paid_and_here_is_held_and_only_what_is_held_is_released(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    waiting, shipped = shop.order({lamp: 1}), shop.paid_order({lamp: 2})
    shop.ship(shop.draft(shipped, {lamp: 1}))

    for order, status in ((waiting, "pending_payment"), (shipped, "fulfilling")):
        with pytest.raises(NotHoldable) as refused:
            hold(shop, order)
        with pytest.raises(NotOnHold):
            release(shop, order)
        assert refused.value.data == {"status": status}
        assert not {"hold.placed", "hold.released"} & {action for _actor, action in shop.audit(order)}


def test_no_stock_is_released_once_it_is_there_and_the_order_is_paid_then(shop: Shop) -> None:
    """S31: the order is never lost."""
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.database.call(
        "select release_stock_v1(:id::uuid, :n::text, 'expire', 'test', '', now())", id=order.id, n=order.number
    )
    rival = shop.paid_order({lamp: 1})
    held = tell(shop, order, shop.paypal.make_capture(order.paypal_order_id))
    assert (held.status, held.status_reason) == ("on_hold", "no_stock")

    with pytest.raises(NotReleasable) as refused:
        release(shop, order)
    before = shop.orders.get(order.id)
    shop.cancel(rival)
    released = release(shop, order)

    assert refused.value.data == {"why": "stock"}
    assert before == held
    assert (released.status, released.lines[0].allocated) == ("paid", 1)
    assert released.paid_at is not None
    assert shop.level(lamp) == (1, 1)
    assert shop.events(order) == ["order.placed", "order.on_hold", "order.paid"]


def test_another_amount_is_never_released_to_paid(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.amount = Money(order.total_minor + 1, "USD")
    held = tell(shop, order, shop.paypal.make_capture(order.paypal_order_id))

    with pytest.raises(NotReleasable) as refused:
        release(shop, order)

    assert refused.value.data == {"why": "money"}
    assert shop.orders.get(order.id) == held


def overpaid(shop: Shop, excess_minor: int, *, lamp: str | None = None, units: int = 1) -> Order:
    """An order of lamps, paid with so much more than its total."""
    order = shop.order({lamp or shop.make_stock("LAMP", 5): units})
    shop.paypal.amount = Money(order.total_minor + excess_minor, "USD")
    held = tell(shop, order, shop.paypal.make_capture(order.paypal_order_id))
    shop.paypal.amount = None
    assert (held.status, held.status_reason) == ("on_hold", "amount_mismatch")
    return held


def test_what_was_paid_too_much_is_released_once_the_excess_has_gone_back(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    held = overpaid(shop, 410, lamp=lamp)
    shop.ask_refund(held, amount_minor=410)

    with pytest.raises(NotReleasable) as too_early:
        release(shop, held)
    done = shop.finish_refunds(held)
    released = release(shop, held)

    assert too_early.value.data == {"why": "money"}
    assert (done.status, done.status_reason) == ("on_hold", "amount_mismatch")
    assert (released.status, released.captured_minor - released.refunded_minor) == ("paid", held.total_minor)
    assert (released.lines[0].allocated, shop.level(lamp)) == (1, (5, 1))
    assert shop.events(held).count("order.paid") == 1
    told = tell(shop, held, shop.paypal.become(held.bound_capture_id or "", "PARTIALLY_REFUNDED"))
    assert (told.status, told.paid_at) == ("paid", released.paid_at)


def test_what_was_paid_too_much_is_released_with_the_units_that_it_keeps(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 2)
    held = overpaid(shop, 410, lamp=lamp, units=2)
    shop.ask_refund(held, {lamp: 1}, restock=True, amount_minor=410)
    shop.finish_refunds(held)

    released = release(shop, held)

    (line,) = released.lines
    assert (released.status, line.held, line.allocated, line.released) == ("paid", 0, 1, 1)
    assert shop.movements(held) == [("hold", 0, 2), ("release", 0, -1), ("allocate", 0, 0)]
    assert (shop.level(lamp), shop.events(held).count("order.paid")) == ((2, 1), 1)
    shop.ship(shop.draft(held, {lamp: 1}))
    assert shop.level(lamp) == (1, 0)


def test_units_put_back_are_not_taken_again_where_the_rest_is_not_held(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    held = overpaid(shop, 410, lamp=lamp, units=2)
    shop.ask_refund(held, {lamp: 1}, restock=True, amount_minor=410)
    shop.finish_refunds(held)
    shop.database.call(
        "select release_stock_v1(:id::uuid, :n::text, 'expire', 'test', '', now())", id=held.id, n=held.number
    )

    with pytest.raises(NotReleasable) as refused:
        release(shop, held)

    assert refused.value.data == {"why": "stock"}
    assert (shop.orders.get(held.id).status, shop.level(lamp)) == ("on_hold", (5, 0))


def test_units_put_back_are_not_taken_again_for_a_second_payment(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    held = overpaid(shop, 410, lamp=lamp, units=2)
    before = shop.ask_refund(held, {lamp: 1}, restock=True)
    second = shop.paypal.make_capture(held.paypal_order_id)

    told = tell(shop, held, second)

    assert (told.status, told.status_reason) == ("on_hold", "amount_mismatch")
    assert (told.bound_capture_id, told.lines) == (held.bound_capture_id, before.lines)
    assert [(refund.kind, refund.capture_id, refund.amount_minor) for refund in told.refunds] == [
        ("staff", held.bound_capture_id, 1000),
        ("duplicate", second.id, held.total_minor),
    ]
    assert (shop.level(lamp), shop.events(held).count("order.paid")) == ((5, 1), 0)


def test_an_excess_on_its_way_back_keeps_no_payment_of_the_total_out(shop: Shop) -> None:
    held = overpaid(shop, 410)
    shop.ask_refund(held, amount_minor=410)
    second = shop.paypal.make_capture(held.paypal_order_id)

    told = tell(shop, held, second)

    assert (told.status, told.bound_capture_id, told.lines[0].allocated) == ("paid", second.id, 1)
    assert [(refund.kind, refund.capture_id, refund.amount_minor) for refund in told.refunds] == [
        ("staff", held.bound_capture_id, 410),
        ("duplicate", held.bound_capture_id, held.total_minor),
    ]


@pytest.mark.parametrize("asked", [{"amount_minor": 409}, {"shipping_minor": 410}, {"units": 1}])
def test_what_gives_back_units_or_shipping_gives_back_no_excess(shop: Shop, asked: dict[str, int]) -> None:
    lamp = shop.make_stock("LAMP", 5)
    held = overpaid(shop, 410, lamp=lamp)
    units = {lamp: asked["units"]} if "units" in asked else None
    money = {"amount_minor": 0, "shipping_minor": 0, **asked}
    shop.ask_refund(held, units, amount_minor=money["amount_minor"], shipping_minor=money["shipping_minor"])
    before = shop.finish_refunds(held)

    with pytest.raises(NotReleasable) as refused:
        release(shop, held)

    assert refused.value.data == {"why": "money"}
    assert shop.orders.get(held.id) == before


def test_what_was_paid_too_little_is_not_released_whatever_goes_back(shop: Shop) -> None:
    held = overpaid(shop, -10)
    shop.ask_refund(held, amount_minor=10)
    before = shop.finish_refunds(held)

    with pytest.raises(NotReleasable):
        release(shop, held)

    assert shop.orders.get(held.id) == before


def test_a_release_beside_the_refund_of_the_excess_waits_for_it(shop: Shop) -> None:
    held = overpaid(shop, 410)
    shop.ask_refund(held, amount_minor=410)

    _done, refusals = at_once([lambda: release(shop, held), lambda: shop.finish_refunds(held)])
    ended = shop.orders.get(held.id)

    assert ended.refunds[0].state == "completed"
    assert [error.data for error in refusals] in ([], [{"why": "money"}])
    assert ended.status == ("on_hold" if refusals else "paid")


def test_a_dispute_beside_a_release_stops_what_was_paid_too_much(shop: Shop) -> None:
    held = overpaid(shop, 410)
    shop.ask_refund(held, amount_minor=410)
    shop.finish_refunds(held)

    _done, refusals = at_once([lambda: release(shop, held), lambda: tell(shop, held, dispute(held, "OPEN", None, 1))])
    ended = shop.orders.get(held.id)

    assert [error.data for error in refusals] in ([], [{"why": "disputed"}])
    assert (ended.status, ended.status_reason) == ("on_hold", "amount_mismatch" if refusals else "outside")


def test_a_pending_capture_is_not_released(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.next_capture = "PENDING"
    shop.capture(order)

    with pytest.raises(PaymentInProgress):
        release(shop, order)

    assert shop.orders.get(order.id).status_reason == "capture_pending"


def outside(shop: Shop, order: Order, minor: int) -> RefundFact:
    """A refund that the merchant makes in PayPal's dashboard."""
    return shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""], minor)


def test_staff_let_a_refund_stand_that_was_made_in_the_dashboard(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    made = outside(shop, order, 400)
    held = tell(shop, order, made)

    released = release(shop, order)
    seen = tell(shop, order, made, shop.paypal.become(order.bound_capture_id or "", "PARTIALLY_REFUNDED"))

    assert (held.status, held.status_reason, held.refunds) == ("on_hold", "outside", ())
    (booked,) = released.refunds
    assert (booked.kind, booked.state, booked.amount_minor) == ("staff", "completed", 400)
    assert (booked.paypal_refund_id, booked.requested_by, booked.reason) == (made.id, "staff:2", "Refunded at PayPal")
    assert (released.status, seen.status, seen.refunds, seen.refunded_minor) == ("paid", "paid", released.refunds, 400)
    assert shop.paypal.called("refund") == 0
    assert shop.audit(order) == [("staff:2", "hold.released")]
    with pytest.raises(RefundTooLarge) as over:
        shop.ask_refund(order, amount_minor=order.total_minor - 399)
    assert over.value.data == {"left_minor": order.total_minor - 400}
    shop.cancel(order)
    assert shop.finish_refunds(order).refunded_minor == order.total_minor
    assert shop.level(lamp) == (5, 0)


def test_another_refund_in_the_dashboard_stops_the_order_again(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    tell(shop, order, outside(shop, order, 400))
    release(shop, order)

    again = tell(shop, order, outside(shop, order, 100))
    released = release(shop, order)
    last = tell(shop, order, outside(shop, order, order.total_minor - 500))
    with pytest.raises(NotReleasable):
        release(shop, order)

    assert (again.status, again.status_reason) == ("on_hold", "outside")
    assert (released.status, sorted(refund.amount_minor for refund in released.refunds)) == ("paid", [100, 400])
    assert (last.status, last.status_reason, last.refunds) == ("on_hold", "outside", released.refunds)


def test_a_hold_by_staff_lets_a_refund_stand_as_well(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    hold(shop, order)
    tell(shop, order, outside(shop, order, 400))

    released = release(shop, order)

    assert (released.status, [refund.amount_minor for refund in released.refunds]) == ("paid", [400])
    assert tell(shop, order).status == "paid"


def test_an_excess_that_went_back_in_the_dashboard_is_released(shop: Shop) -> None:
    held = overpaid(shop, 410)
    tell(shop, held, outside(shop, held, 400))
    with pytest.raises(NotReleasable):
        release(shop, held)
    tell(shop, held, outside(shop, held, 10))

    released = release(shop, held)

    assert (released.status, released.refunded_minor) == ("paid", 410)
    assert tell(shop, held).status == "paid"


def test_two_releases_at_once_book_a_refund_once(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    tell(shop, order, outside(shop, order, 400))

    _done, refusals = at_once([lambda: release(shop, order)] * 4)

    assert [type(error) for error in refusals] == [NotOnHold] * 3
    assert [refund.amount_minor for refund in shop.orders.get(order.id).refunds] == [400]


def test_a_release_beside_another_refund_from_outside_never_hides_it(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    tell(shop, order, outside(shop, order, 400))
    second = outside(shop, order, 100)

    at_once([lambda: release(shop, order), lambda: tell(shop, order, second)])
    ended = shop.orders.get(order.id)

    assert (ended.status, sorted(refund.amount_minor for refund in ended.refunds)) in (
        ("on_hold", [400]),
        ("paid", [100, 400]),
    )
    assert ended.refunded_minor == 500


Troubles = Callable[[Shop, Order], list[Fact]]
OUTSIDE: dict[str, tuple[Troubles, str]] = {
    "refunded in the dashboard, all of it": (
        lambda shop, order: [shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""])],
        "money",
    ),
    "refunded in the dashboard, and nobody knows how much": (
        lambda shop, order: [shop.paypal.become(order.bound_capture_id or "", "PARTIALLY_REFUNDED")],
        "money",
    ),
    "refunded in the dashboard and disputed": (
        lambda shop, order: [outside(shop, order, 1), dispute(order, "OPEN", None, 1)],
        "disputed",
    ),
    "reversed in part": (
        lambda shop, order: [
            shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""], 1, reversal=True)
        ],
        "money",
    ),
    "reversed": (
        lambda shop, order: [
            shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""], reversal=True)
        ],
        "money",
    ),
    "disputed": (lambda shop, order: [dispute(order, "OPEN", None, 1)], "disputed"),
    "disputed and lost": (
        lambda shop, order: [dispute(order, "RESOLVED", "RESOLVED_BUYER_FAVOUR", 1)],
        "lost",
    ),
    "disputed, lost and reversed": (
        lambda shop, order: [
            dispute(order, "RESOLVED", "RESOLVED_BUYER_FAVOUR", 1),
            shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""], reversal=True),
        ],
        "lost",
    ),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_left_from_outside_stops_the_goods_and_staff_cannot_wave_it_through(shop: Shop, name: str) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    facts, why = OUTSIDE[name]

    held = tell(shop, order, *facts(shop, order))
    with pytest.raises(NotReleasable) as refused:
        release(shop, order)

    assert (held.status, held.status_reason, held.resume_status) == ("on_hold", "outside", "paid")
    assert refused.value.data == {"why": why}
    assert shop.orders.get(order.id) == held
    assert shop.level(lamp) == (5, 1)


def test_a_dispute_that_is_won_lets_the_order_go_on_where_it_was(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    held = tell(shop, order, dispute(order, "OPEN", None, 1))

    won = tell(shop, order, dispute(order, "RESOLVED", "RESOLVED_SELLER_FAVOUR", 2))

    assert (held.status, held.disputed, won.status, won.disputed) == ("on_hold", True, "paid", False)
    assert won.resume_status is None


def test_what_has_left_the_house_is_not_stopped_by_a_dispute(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ship(shop.draft(order, {lamp: 2}))

    told = tell(shop, order, dispute(order, "OPEN", None, 1))

    assert (told.status, told.disputed) == ("fulfilling", True)


def test_a_hold_by_staff_stays_when_a_dispute_comes_and_goes(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    hold(shop, order)
    tell(shop, order, dispute(order, "OPEN", None, 1))

    with pytest.raises(NotReleasable) as refused:
        release(shop, order)
    tell(shop, order, dispute(order, "RESOLVED", "RESOLVED_SELLER_FAVOUR", 2))
    held = shop.orders.get(order.id)

    assert refused.value.data == {"why": "disputed"}
    assert (held.status, held.status_reason) == ("on_hold", "staff")
    assert release(shop, order).status == "paid"


def test_a_refund_of_ours_puts_nothing_on_hold_and_stops_no_release(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.ask_refund(order, amount_minor=100)
    told = shop.finish_refunds(order)
    seen = tell(shop, order, shop.paypal.become(order.bound_capture_id or "", "PARTIALLY_REFUNDED"))
    hold(shop, order)

    assert (told.status, seen.status) == ("paid", "paid")
    assert release(shop, order).status == "paid"
