"""Refunds that staff ask for: never too much, to the last cent, and every refusal of PayPal seen."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.kernel.errors import Invalid, Unavailable
from shared.orders import refunding
from shared.orders.order import Disputed, NotCancellable, Order
from shared.orders.refunding import (
    NothingCaptured,
    NotRestockable,
    NotRetryable,
    RefundNotFound,
    RefundTooLarge,
    UnitsRefunded,
    worth_minor,
)
from shared.orders.refusals import advise
from shared.payments.processor import DisputeFact
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import SHIPPING_MINOR, Shop, at_once


def refunds_of(order: Order) -> list[tuple[str, str, int]]:
    return [(refund.kind, refund.state, refund.amount_minor) for refund in order.refunds]


def refund_tasks(shop: Shop, order: Order) -> list[UUID]:
    rows = shop.database.call(
        """
        select payload ->> 'refund_id' as id from outbox where name = '/jobs/payments/refund'
            and payload ->> 'refund_id' in (select id::text from refunds where order_id = :id::uuid) order by position
        """,
        id=order.id,
    )
    return [UUID(row["id"]) for row in rows]


def unchanged(shop: Shop, order: Order) -> bool:
    """Nothing was written: no refund, task, movement, event or entry more than the order came with."""
    now = shop.orders.get(order.id)
    told = shop.events(order) == ["order.placed", "order.paid"]
    return (now, refund_tasks(shop, order), shop.audit(order), told) == (order, [], [], True)


def dispute(shop: Shop, order: Order) -> Order:
    fact = DisputeFact("D1", "OPEN", None, (order.bound_capture_id or "",), None, "2026-11-22T10:00:00Z")
    return shop.orders.settle(order.id, facts=[fact], source="webhook").order


# Amounts ------------------------------------------------------------------------------------------


@settings(max_examples=PROPERTY_EXAMPLES * 4, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 999), st.data(), st.sampled_from([1, 100]))
def test_any_split_of_a_lines_units_is_worth_exactly_what_was_paid(
    paid: int, quantity: int, data: st.DataObject, step: int
) -> None:
    """S45."""
    paid *= step
    parts, left = [], quantity
    while left:
        units = data.draw(st.integers(1, left))
        parts.append(worth_minor(paid, quantity, before=quantity - left, units=units, step_minor=step))
        left -= units

    assert sum(parts) == paid
    assert all(part >= 0 and part % step == 0 for part in parts)


def test_a_currency_of_which_paypal_takes_no_decimals_is_split_in_whole_forints() -> None:
    """S45: HUF has two decimals in ISO 4217, and none at PayPal."""
    assert [worth_minor(100_000, 3, before=done, units=1, step_minor=100) for done in range(3)] == [
        33_300,
        33_400,
        33_300,
    ]
    assert [worth_minor(100, 3, before=done, units=1, step_minor=100) for done in range(3)] == [0, 100, 0]


def test_three_units_of_a_dollar_are_worth_33_34_and_33() -> None:
    assert [worth_minor(100, 3, before=done, units=1) for done in range(3)] == [33, 34, 33]


def test_refund_by_lines_by_shipping_or_by_a_free_amount(shop: Shop) -> None:
    """S46."""
    lamp, shade = shop.make_stock("LAMP", 5, price_minor=1999), shop.make_stock("SHADE", 5, price_minor=350)
    order = shop.paid_order({lamp: 3, shade: 1})
    assert order.total_minor == 3 * 1999 + 350 + SHIPPING_MINOR

    shop.ask_refund(order, {lamp: 2})
    shop.ask_refund(order, shipping_minor=190)
    shop.ask_refund(order, amount_minor=55)
    asked = shop.ask_refund(order, {shade: 1}, shipping_minor=400, amount_minor=5)

    assert refunds_of(asked) == [("staff", "requested", amount) for amount in (3998, 190, 55, 755)]
    assert refund_tasks(shop, order) == [refund.id for refund in asked.refunds]
    line = asked.refunds[0].lines[0]
    assert (line.sku, line.quantity, line.amount_minor, line.tax_minor, line.restock) == (lamp, 2, 3998, 0, False)
    assert shop.level(lamp) == (5, 3)
    assert asked.status == "paid"
    assert shop.audit(order) == [("staff:1", "refund.requested")] * 4

    done = shop.finish_refunds(order)

    assert {refund.state for refund in done.refunds} == {"completed"}
    assert (done.status, done.refunded_minor) == ("paid", 3998 + 190 + 55 + 755)
    assert shop.events(order) == ["order.placed", "order.paid", *["order.refunded"] * 4]


def test_more_than_is_left_is_refused_and_nothing_changes(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})

    with pytest.raises(RefundTooLarge) as over:
        shop.ask_refund(order, amount_minor=order.total_minor + 1)
    with pytest.raises(RefundTooLarge) as shipping:
        shop.ask_refund(order, shipping_minor=SHIPPING_MINOR + 1)
    with pytest.raises(Invalid) as unknown:
        shop.ask_refund(order, {"NO-SUCH": 1})
    with pytest.raises(Invalid):
        shop.ask_refund(order)
    with pytest.raises(UnitsRefunded) as units:
        shop.ask_refund(order, {lamp: 3})

    assert over.value.data == {"left_minor": order.total_minor}
    assert shipping.value.data == {"left_minor": SHIPPING_MINOR}
    assert [field.pointer for field in unknown.value.fields] == ["/lines/0/sku"]
    assert units.value.data == {"lines": [{"sku": lamp, "wanted": 3, "refundable": 2}]}
    assert unchanged(shop, order)
    assert shop.level(lamp) == (5, 2)


def test_what_is_pending_or_left_by_itself_is_not_given_back_again(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    capture = shop.paypal.captures[order.bound_capture_id or ""]
    outside = [
        shop.paypal.make_refund(capture, 100),
        shop.paypal.make_refund(capture, 200, status="PENDING"),
        shop.paypal.make_refund(capture, 5000, status="FAILED"),
        shop.paypal.make_refund(capture, 10, reversal=True),
    ]
    shop.orders.settle(order.id, facts=outside, source="webhook")
    shop.ask_refund(order, amount_minor=30)

    with pytest.raises(RefundTooLarge) as over:
        shop.ask_refund(order, amount_minor=order.total_minor - 339)
    asked = shop.ask_refund(order, amount_minor=order.total_minor - 340)

    assert over.value.data == {"left_minor": order.total_minor - 340}
    assert refunds_of(asked)[-1] == ("staff", "requested", order.total_minor - 340)


def test_the_guard_in_sql_refuses_what_the_code_would_have_let_through(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    row = (
        f'{{"id": "{uuid4()}", "order_id": "{order.id}", "capture_id": "{order.bound_capture_id}", "kind": "staff",'
        f' "amount_minor": {order.total_minor + 1}, "currency": "USD", "reason": "r", "requested_by": "staff:1",'
        ' "lines": [], "shipping_minor": 0}'
    )

    with pytest.raises(RefundTooLarge) as over:
        shop.database.call(
            "select request_refund_v1(:row::jsonb, true, :now::timestamptz)", row=row, now=shop.clock.now()
        )

    assert over.value.data == {"left_minor": order.total_minor}
    assert unchanged(shop, order)


def test_any_sequence_of_partial_refunds_and_then_the_rest_leaves_exactly_zero(shop: Shop) -> None:
    """S45, S46: with taxes and prices that divide badly."""
    lamp, shade = shop.make_stock("LAMP", 10_000, price_minor=333), shop.make_stock("SHADE", 10_000, price_minor=1)

    @settings(
        max_examples=PROPERTY_EXAMPLES // 5,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("lamp"), st.integers(1, 3)),
                st.tuples(st.just("shade"), st.integers(1, 4)),
                st.tuples(st.just("shipping"), st.integers(1, 400)),
                st.tuples(st.just("amount"), st.integers(1, 700)),
            ),
            max_size=6,
        ),
        st.lists(st.sampled_from(["TRANSACTION_DISPUTED", "REFUND_FAILED_INSUFFICIENT_FUNDS"]), max_size=2),
    )
    def check(wishes: list[tuple[str, int]], refusals: list[str]) -> None:
        order = shop.paid_order({lamp: 3, shade: 4})
        shop.paypal.refund_refusals = list(refusals)
        for what, number in wishes:
            try:
                if what in ("lamp", "shade"):
                    shop.ask_refund(order, {{"lamp": lamp, "shade": shade}[what]: number})
                else:
                    shop.ask_refund(order, **{f"{what}_minor": number})  # type: ignore[arg-type]
            except (RefundTooLarge, UnitsRefunded):
                continue
            shop.finish_refunds(order)
        shop.paypal.refund_refusals = []
        left = order.total_minor - shop.orders.get(order.id).refunded_minor
        if left:
            shop.ask_refund(order, amount_minor=left)
        ended = shop.finish_refunds(order)
        given = [r.amount.minor for r in shop.paypal.refunds.values() if r.capture_id == order.bound_capture_id]

        assert ended.refunded_minor == sum(given) == order.total_minor
        with pytest.raises(RefundTooLarge):
            shop.ask_refund(order, amount_minor=1)

    check()


def test_unit_by_unit_and_then_the_shipping_leaves_exactly_zero(shop: Shop) -> None:
    """S45."""
    lamp = shop.make_stock("LAMP", 10, price_minor=333)
    order = shop.paid_order({lamp: 7})

    for _ in range(7):
        shop.ask_refund(order, {lamp: 1})
    asked = shop.ask_refund(order, shipping_minor=order.shipping_paid_minor)

    assert sum(refund.amount_minor for refund in asked.refunds) == order.total_minor
    with pytest.raises(UnitsRefunded):
        shop.ask_refund(order, {lamp: 1})


def test_of_refunds_of_the_rest_at_once_one_wins(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})

    asked, refused = at_once([lambda: shop.ask_refund(order, amount_minor=order.total_minor)] * 6)

    assert len(asked) == 1
    assert [(type(error), error.data) for error in refused] == [(RefundTooLarge, {"left_minor": 0})] * 5
    assert refunds_of(shop.orders.get(order.id)) == [("staff", "requested", order.total_minor)]
    assert len(refund_tasks(shop, order)) == 1


def test_refunds_and_a_cancel_at_once_never_give_back_more_than_was_paid(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    at_once([lambda: shop.ask_refund(order, amount_minor=700)] * 2 + [lambda: shop.cancel(order)] * 2)
    ended = shop.finish_refunds(order)

    assert ended.status == "cancelled"
    assert sum(amount for _kind, _state, amount in refunds_of(ended)) == order.total_minor
    assert ended.refunded_minor == order.total_minor
    assert shop.level(lamp) == (5, 0)


# Stock --------------------------------------------------------------------------------------------


def test_restocking_is_a_choice_per_line_and_frees_what_is_still_here(shop: Shop) -> None:
    lamp, shade = shop.make_stock("LAMP", 5), shop.make_stock("SHADE", 5)
    order = shop.paid_order({lamp: 3, shade: 1})

    shop.ask_refund(order, {lamp: 2}, restock=True)
    after = shop.ask_refund(order, {shade: 1})

    counts = {line.sku: (line.allocated, line.consumed, line.released, line.returned) for line in after.lines}
    assert counts == {lamp: (1, 0, 2, 0), shade: (1, 0, 0, 0)}
    assert (shop.level(lamp), shop.level(shade)) == ((5, 1), (5, 1))
    assert shop.movements(order)[-1] == ("release", 0, -2)
    assert after.status == "paid"


def test_units_that_had_left_come_back_as_a_return(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shop.ship(shop.draft(order, {lamp: 2}))

    after = shop.ask_refund(order, {lamp: 2}, restock=True)

    line = after.lines[0]
    assert (line.allocated, line.consumed, line.released, line.returned) == (0, 2, 1, 1)
    assert shop.level(lamp) == (4, 0)
    assert shop.movements(order)[-2:] == [("release", 0, -1), ("return", 1, 0)]
    assert after.status == "fulfilling"


def test_a_refund_that_is_refused_leaves_stock_and_shipped_units_as_they_are(shop: Shop) -> None:
    """S15."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ship(shop.draft(order, {lamp: 2}))
    shop.paypal.refund_refusals = ["REFUND_FAILED_INSUFFICIENT_FUNDS"]
    shop.ask_refund(order, {lamp: 2}, restock=True)
    shop.finish_refunds(order)  # PayPal refuses it: both units are back on the shelf, and their money may be asked for
    before = (shop.level(lamp), shop.movements(order), shop.orders.get(order.id))

    with pytest.raises(NotRestockable) as refused:
        shop.ask_refund(order, {lamp: 1}, restock=True)
    with pytest.raises(RefundTooLarge):
        shop.ask_refund(order, {lamp: 1}, amount_minor=order.total_minor)

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 1, "restockable": 0}]}
    assert before[0] == (5, 0)
    assert (shop.level(lamp), shop.movements(order), shop.orders.get(order.id)) == before


def test_refunding_and_restocking_the_last_unit_ends_an_order_that_has_sent_nothing(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ask_refund(order, {lamp: 1}, restock=True)

    ended = shop.ask_refund(order, {lamp: 1}, restock=True, shipping_minor=SHIPPING_MINOR)

    assert (ended.status, ended.status_reason) == ("cancelled", "refunded")
    assert shop.level(lamp) == (5, 0)
    assert shop.events(order)[-1] == "order.cancelled"
    assert shop.finish_refunds(order).refunded_minor == order.total_minor


def test_the_refund_that_leaves_an_order_nothing_to_send_gives_its_shipping_back_too(shop: Shop) -> None:
    lamp, shade = shop.make_stock("LAMP", 5), shop.make_stock("SHADE", 5, price_minor=300)
    order = shop.paid_order({lamp: 2, shade: 1})

    shop.ask_refund(order, {lamp: 1}, restock=True)
    ended = shop.ask_refund(order, {lamp: 1, shade: 1}, restock=True)

    assert (ended.status, ended.status_reason) == ("cancelled", "refunded")
    assert [(refund.amount_minor, refund.shipping_minor) for refund in ended.refunds] == [
        (1000, 0),
        (1300 + SHIPPING_MINOR, SHIPPING_MINOR),
    ]
    assert shop.finish_refunds(order).refunded_minor == order.total_minor
    assert (shop.level(lamp), shop.level(shade)) == ((5, 0), (5, 0))
    assert shop.events(order).count("order.cancelled") == 1
    with pytest.raises(RefundTooLarge):
        shop.ask_refund(order, shipping_minor=1)


def test_what_else_is_left_goes_back_with_the_last_unit(shop: Shop) -> None:
    """200 were given freely and 90 of the shipping; a unit that PayPal refused is among what is left."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ask_refund(order, amount_minor=200, shipping_minor=90)
    shop.finish_refunds(order)
    shop.ask_refund(order, {lamp: 1}, restock=True)
    failed = refused(shop, order)

    ended = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (ended.status, ended.refunds[-1].shipping_minor) == ("cancelled", SHIPPING_MINOR - 90)
    assert ended.refunds[-1].amount_minor == order.total_minor - 290
    assert shop.finish_refunds(order).refunded_minor == order.total_minor
    with pytest.raises(RefundTooLarge):
        shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2"))


def test_more_given_freely_than_the_shipping_leaves_less_of_it(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    shop.ask_refund(order, amount_minor=SHIPPING_MINOR - 40)

    ended = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (ended.refunds[-1].amount_minor, ended.refunds[-1].shipping_minor) == (1040, 40)
    assert (ended.status, shop.finish_refunds(order).refunded_minor) == ("cancelled", order.total_minor)


def test_units_that_stay_the_orders_keep_it_and_its_shipping_until_it_is_cancelled(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})

    after = shop.ask_refund(order, {lamp: 2})
    cancelled = shop.cancel(order)

    assert (after.status, refunds_of(after), after.lines[0].allocated) == ("paid", [("staff", "requested", 2000)], 2)
    assert refunds_of(cancelled)[1:] == [("cancelled", "requested", SHIPPING_MINOR)]
    assert (cancelled.status, shop.level(lamp)) == ("cancelled", (5, 0))


def test_a_last_refund_that_paypal_refuses_is_tried_again_with_its_shipping(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    shop.ask_refund(order, {lamp: 1}, restock=True)
    failed = refused(shop, order)

    shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2"))
    done = shop.finish_refunds(order)

    assert refunds_of(done) == [
        ("staff", "failed", order.total_minor),
        ("staff", "completed", order.total_minor),
    ]
    assert (done.refunds[1].shipping_minor, done.status, shop.level(lamp)) == (SHIPPING_MINOR, "cancelled", (5, 0))


def test_of_refunds_of_the_last_units_at_once_the_second_brings_the_shipping(shop: Shop) -> None:
    lamp, shade = shop.make_stock("LAMP", 5), shop.make_stock("SHADE", 5)
    order = shop.paid_order({lamp: 1, shade: 1})

    _asked, refusals = at_once(
        [
            lambda: shop.ask_refund(order, {lamp: 1}, restock=True),
            lambda: shop.ask_refund(order, {shade: 1}, restock=True),
        ]
    )
    ended = shop.orders.get(order.id)

    assert refusals == []
    assert sorted(refund.amount_minor for refund in ended.refunds) == [1000, 1000 + SHIPPING_MINOR]
    assert (ended.status, shop.events(order).count("order.cancelled")) == ("cancelled", 1)
    assert (shop.level(lamp), shop.level(shade)) == ((5, 0), (5, 0))


def test_the_last_unit_and_a_cancel_at_once_give_everything_back_once(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    at_once([lambda: shop.ask_refund(order, {lamp: 1}, restock=True), lambda: shop.cancel(order)])
    ended = shop.orders.get(order.id)

    assert [refund.amount_minor for refund in ended.refunds] == [order.total_minor]
    assert (ended.status, shop.level(lamp)) == ("cancelled", (5, 0))


def test_what_was_sent_in_part_keeps_its_shipping(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.deliver(shop.ship(shop.draft(order, {lamp: 1})).shipment)

    ended = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (ended.status, refunds_of(ended)) == ("completed", [("staff", "requested", 1000)])


def test_units_under_a_label_stay_until_it_is_voided(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shipment = shop.draft(order, {lamp: 2})
    shop.database.call("update shipments set state = 'label_purchased' where id = :id::uuid", id=shipment.id)

    with pytest.raises(NotRestockable) as refused:
        shop.ask_refund(order, {lamp: 2}, restock=True)
    after = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "restockable": 1}]}
    assert (after.lines[0].allocated, shop.level(lamp)) == (2, (5, 2))


def test_refunding_what_was_not_sent_completes_an_order_whose_rest_has_arrived(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shipment = shop.draft(order, {lamp: 2})
    shop.ship(shipment)
    shop.deliver(shipment)
    assert shop.orders.get(order.id).status == "fulfilling"

    after = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (after.status, after.lines[0].released, shop.level(lamp)) == ("completed", 1, (3, 0))


def test_a_payment_that_came_too_late_and_could_not_go_back_is_sent_again_by_staff(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()
    shop.order({lamp: 1})
    shop.orders.settle(order.id, facts=[shop.paypal.make_capture(order.paypal_order_id)], source="webhook")
    shop.paypal.refund_refusals = ["REFUND_FAILED_INSUFFICIENT_FUNDS"]
    (failed,) = shop.finish_refunds(order).refunds

    shop.desk.change(order.number, refunding.retry_refund(failed.id, new_id=uuid4(), actor="staff:1"))
    ended = shop.finish_refunds(order)

    assert (ended.status, refunds_of(ended)) == (
        "expired",
        [("late", "failed", order.total_minor), ("staff", "completed", order.total_minor)],
    )
    assert ended.refunded_minor == order.total_minor


# Refusals -----------------------------------------------------------------------------------------

REFUSALS = {
    "TRANSACTION_DISPUTED": True,
    "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": True,
    "REFUND_FAILED_INSUFFICIENT_FUNDS": True,
    "PENDING_CAPTURE": True,
    "PAYEE_ACCOUNT_RESTRICTED": True,
    "PAYEE_ACCOUNT_LOCKED_OR_CLOSED": True,
    "PAYER_ACCOUNT_LOCKED_OR_CLOSED": False,
    "MAX_NUMBER_OF_REFUNDS_EXCEEDED": False,
    "REFUND_TIME_LIMIT_EXCEEDED": False,
    "REFUND_NOT_ALLOWED": False,
    "REFUND_IS_RESTRICTED": False,
    "REFUND_AMOUNT_TOO_LOW": False,
    "PARTIAL_REFUND_NOT_ALLOWED": False,
    "CAPTURE_FULLY_REFUNDED": False,
    "REFUND_AMOUNT_EXCEEDED": False,
    "A_WORD_THAT_IS_NEW": True,
}


@pytest.mark.parametrize(("refusal", "retryable"), REFUSALS.items())
def test_every_refusal_of_paypal_is_a_failed_refund_with_a_way_out(shop: Shop, refusal: str, retryable: bool) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.paypal.refund_refusals = [refusal]
    shop.ask_refund(order, {lamp: 1}, restock=True)

    failed = shop.finish_refunds(order)
    (refund,) = failed.refunds

    assert (refund.state, refund.failure, failed.refunded_minor) == ("failed", refusal, 0)
    assert advise(refusal).retryable is retryable
    assert len(advise(refusal).sentence) > 40
    again = refunding.retry_refund(refund.id, new_id=uuid4(), actor="staff:2")
    if not retryable:
        with pytest.raises(NotRetryable):
            shop.desk.change(order.number, again)
        return
    shop.desk.change(order.number, again)
    done = shop.finish_refunds(order)
    assert refunds_of(done) == [("staff", "failed", 1000), ("staff", "completed", 1000)]
    assert done.refunds[1].retries == refund.id
    assert done.refunds[1].lines == refund.lines
    assert shop.level(lamp) == (5, 1)  # put back once
    with pytest.raises(NotRetryable):
        shop.desk.change(order.number, refunding.retry_refund(refund.id, new_id=uuid4(), actor="staff:2"))


def refused(shop: Shop, order: Order) -> UUID:
    """The refund that was asked for last, which PayPal now refuses."""
    shop.paypal.refund_refusals = ["REFUND_FAILED_INSUFFICIENT_FUNDS"]
    return shop.finish_refunds(order).refunds[-1].id


def test_units_that_went_back_by_another_refund_are_not_paid_again_by_a_retry(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5, price_minor=5000)
    order = shop.paid_order({lamp: 1, desk: 1})
    shop.ask_refund(order, {lamp: 1})
    failed = refused(shop, order)
    shop.ask_refund(order, {lamp: 1})
    before = shop.finish_refunds(order)

    with pytest.raises(UnitsRefunded) as over:
        shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2"))

    assert over.value.data == {"lines": [{"sku": lamp, "wanted": 1, "refundable": 0}]}
    assert shop.orders.get(order.id) == before
    assert refunds_of(before) == [("staff", "failed", 1000), ("staff", "completed", 1000)]
    assert shop.audit(order) == [("staff:1", "refund.requested")] * 2


def test_shipping_that_went_back_by_another_refund_is_not_paid_again_by_a_retry(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.ask_refund(order, shipping_minor=SHIPPING_MINOR)
    failed = refused(shop, order)
    shop.ask_refund(order, shipping_minor=400)
    before = shop.finish_refunds(order)

    with pytest.raises(RefundTooLarge) as over:
        shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2"))

    assert over.value.data == {"left_minor": 190}
    assert shop.orders.get(order.id) == before


def test_a_retried_unit_is_worth_what_is_left_to_it_by_the_others(shop: Shop) -> None:
    """33, 34 and 33: the second unit failed, and another has had its cent meanwhile."""
    lamp = shop.make_stock("LAMP", 5, price_minor=100)
    voucher = shop.make_voucher("TWO", amount_minor=200)
    order = shop.place(shop.use_voucher(shop.make_cart({lamp: 3}), voucher))
    shop.paypal.approve(order.paypal_order_id)
    order = shop.capture(order)
    shop.ask_refund(order, {lamp: 1})
    shop.finish_refunds(order)
    shop.ask_refund(order, {lamp: 1}, amount_minor=7)
    failed = refused(shop, order)
    shop.ask_refund(order, {lamp: 1})
    shop.finish_refunds(order)

    shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2"))
    done = shop.finish_refunds(order)

    assert [(refund.state, refund.amount_minor) for refund in done.refunds] == [
        ("completed", 33),
        ("failed", 41),
        ("completed", 34),
        ("completed", 40),
    ]
    assert [line.amount_minor for line in done.refunds[3].lines] == [33]


def test_what_was_given_back_in_the_dashboard_is_learnt_from_paypals_refusal(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.make_refund(shop.paypal.captures[order.bound_capture_id or ""])  # and nobody tells us
    shop.ask_refund(order, amount_minor=100)

    ended = shop.finish_refunds(order)

    assert (ended.refunds[0].state, ended.refunds[0].failure) == ("failed", "CAPTURE_FULLY_REFUNDED")
    assert (ended.status, ended.status_reason, ended.refunded_minor) == ("on_hold", "outside", order.total_minor)


def test_a_disputed_capture_is_not_refunded(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = dispute(shop, shop.paid_order({lamp: 1}))

    with pytest.raises(Disputed):
        shop.ask_refund(order, {lamp: 1}, restock=True)
    with pytest.raises(Disputed):
        shop.cancel(order)

    assert shop.orders.get(order.id) == order
    assert shop.level(lamp) == (5, 1)
    assert refund_tasks(shop, order) == []


def lose(shop: Shop, order: Order) -> Order:
    lost = DisputeFact(
        "D1", "RESOLVED", "RESOLVED_BUYER_FAVOUR", (order.bound_capture_id or "",), None, "2026-11-22T11:00:00Z"
    )
    return shop.orders.settle(order.id, facts=[lost], source="webhook").order


def test_what_a_lost_dispute_takes_back_is_not_sent_a_second_time(shop: Shop) -> None:
    """PayPal has decided, and its reversal has not been told yet."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    shop.ask_refund(order, amount_minor=100)
    failed = refused(shop, order)
    order = lose(shop, order)

    asks: list[Callable[[], Order]] = [
        lambda: shop.ask_refund(order, {lamp: 1}, restock=True),
        lambda: shop.cancel(order),
        lambda: shop.cancel(order, is_staff=False),
        lambda: shop.desk.change(order.number, refunding.retry_refund(failed, new_id=uuid4(), actor="staff:2")),
    ]
    for ask in asks:
        with pytest.raises((Disputed, NotCancellable)):
            ask()
    with pytest.raises(Disputed, match="decided this dispute against the shop"):
        shop.cancel(order)

    assert shop.orders.get(order.id) == order
    assert shop.level(lamp) == (5, 1)
    assert len(refund_tasks(shop, order)) == 1


def test_what_a_lost_dispute_has_left_goes_back_once_its_reversal_is_known(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    capture = shop.paypal.captures[order.bound_capture_id or ""]
    order = lose(shop, order)
    back = shop.paypal.make_refund(capture, 400, reversal=True)
    order = shop.orders.settle(order.id, facts=[back], source="webhook").order

    with pytest.raises(RefundTooLarge) as over:
        shop.ask_refund(order, amount_minor=order.total_minor - 399)
    cancelled = shop.cancel(order)

    assert over.value.data == {"left_minor": order.total_minor - 400}
    assert (cancelled.status, refunds_of(cancelled)) == (
        "cancelled",
        [("cancelled", "requested", order.total_minor - 400)],
    )


def test_each_lost_dispute_waits_for_a_reversal_of_its_own(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    capture = shop.paypal.captures[order.bound_capture_id or ""]
    order = lose(shop, order)
    another = DisputeFact("D2", "RESOLVED", "ACCEPTED", (capture.id,), None, "2026-11-22T12:00:00Z")
    back = shop.paypal.make_refund(capture, 400, reversal=True)
    order = shop.orders.settle(order.id, facts=[back, another], source="webhook").order

    with pytest.raises(Disputed):
        shop.ask_refund(order, amount_minor=1)

    assert shop.orders.get(order.id) == order


def test_a_cancel_beside_the_notice_of_a_lost_dispute_sends_nothing_or_all_of_it_before(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    _told, refusals = at_once([lambda: shop.cancel(order), lambda: lose(shop, order)])
    ended = shop.orders.get(order.id)

    if refusals:
        assert [type(refusal) for refusal in refusals] == [Disputed]
        assert (ended.status, ended.status_reason, refunds_of(ended)) == ("on_hold", "outside", [])
        assert shop.level(lamp) == (5, 1)
    else:
        assert (ended.status, refunds_of(ended)) == ("cancelled", [("cancelled", "requested", order.total_minor)])
        assert shop.level(lamp) == (5, 0)


@pytest.mark.parametrize("outcome", [None, "RESOLVED_BUYER_FAVOUR"])
def test_a_dispute_about_a_second_payment_stops_neither_refund_nor_goods(shop: Shop, outcome: str | None) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    second = shop.paypal.make_capture(order.paypal_order_id)
    status = "RESOLVED" if outcome else "OPEN"
    about = DisputeFact("D2", status, outcome, (second.id,), None, "2026-11-22T10:00:00Z")

    told = shop.orders.settle(order.id, facts=[second, about], source="webhook").order
    asked = shop.ask_refund(order, {lamp: 1})
    cancelled = shop.cancel(order)

    assert (told.status, told.disputed, told.bound_capture_id) == ("paid", outcome is None, order.bound_capture_id)
    assert refunds_of(asked) == [("duplicate", "requested", order.total_minor), ("staff", "requested", 1000)]
    assert (cancelled.status, cancelled.refunds[-1].amount_minor) == ("cancelled", order.total_minor - 1000)


def test_without_a_payment_there_is_nothing_to_give_back(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})

    with pytest.raises(NothingCaptured):
        shop.ask_refund(order, amount_minor=1)
    with pytest.raises(RefundNotFound):
        shop.desk.change(order.number, refunding.retry_refund(uuid4(), new_id=uuid4(), actor="staff:1"))

    assert shop.orders.get(order.id) == order


@pytest.mark.parametrize(("end", "state", "failure"), [
    ("COMPLETED", "completed", None),
    ("FAILED", "failed", "REFUND_FAILED"),
    ("CANCELLED", "cancelled", "REFUND_CANCELLED"),
])  # fmt: skip
def test_a_pending_refund_is_followed_to_its_end(shop: Shop, end: str, state: str, failure: str | None) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.next_refund = "PENDING"
    shop.ask_refund(order, amount_minor=order.total_minor)
    pending = shop.finish_refunds(order)
    assert (pending.refunds[0].state, pending.refunded_minor, pending.status) == ("pending", 0, "paid")
    with pytest.raises(RefundTooLarge):
        shop.ask_refund(order, amount_minor=1)

    shop.paypal.end_refund(pending.refunds[0].paypal_refund_id or "", end)
    ended = shop.finish_refunds(order)

    assert (ended.refunds[0].state, ended.refunds[0].failure) == (state, failure)
    assert shop.events(order).count("order.refunded") == (end == "COMPLETED")
    assert ended.refunded_minor == (order.total_minor if end == "COMPLETED" else 0)


def test_an_answer_that_was_lost_gives_the_money_back_once(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.ask_refund(order, amount_minor=500)
    shop.paypal.lost_answers = 1

    with pytest.raises(Unavailable):
        shop.finish_refunds(order)
    done = shop.finish_refunds(order)

    assert refunds_of(done) == [("staff", "completed", 500)]
    assert [refund.amount.minor for refund in shop.paypal.refunds.values()] == [500]
    assert shop.events(order).count("order.refunded") == 1


@pytest.mark.parametrize(("units", "asked"), [
    (1, {}), (1, {"restock": True}), (0, {"shipping_minor": 100}), (0, {"amount_minor": 100}),
])  # fmt: skip
def test_a_first_payment_that_is_told_late_undoes_no_refund_of_the_second(
    shop: Shop, units: int, asked: dict[str, Any]
) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    first, second = (shop.paypal.make_capture(order.paypal_order_id) for _ in range(2))
    shop.orders.settle(order.id, facts=[second], source="webhook")
    before = shop.ask_refund(order, {lamp: units} if units else None, **asked)

    told = shop.orders.settle(order.id, facts=[first], source="webhook").order

    assert (told.status, told.bound_capture_id, told.lines) == ("paid", second.id, before.lines)
    assert [(refund.kind, refund.capture_id, refund.amount_minor) for refund in told.refunds] == [
        ("staff", second.id, 1000 if units else 100),
        ("duplicate", first.id, order.total_minor),
    ]
