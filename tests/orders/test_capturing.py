"""Capturing: an approved order's money is taken once, whoever comes first, whatever gets lost."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.kernel.errors import Unavailable
from shared.kernel.money import Money
from shared.orders import capturing, expiring, refunding
from shared.orders.capturing import NotApproved, PaymentRefused, Settled
from shared.orders.order import NotCancellable, NotPayable, Order, PaymentInProgress, PaymentsUsedUp
from shared.orders.settling import Outcome, Wish
from shared.payments.processor import DisputeFact
from tests.orders.shop import Shop, at_once


def test_an_approved_order_is_paid_and_its_hold_becomes_an_allocation(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)

    order = shop.paid_order({lamp: 2})

    assert (order.status, order.captured_minor) == ("paid", order.total_minor)
    assert [(line.held, line.allocated) for line in order.lines] == [(0, 2)]
    assert shop.level(lamp) == (5, 2)
    assert shop.movements(order) == [("hold", 0, 2), ("allocate", 0, 0)]
    assert shop.events(order) == ["order.placed", "order.paid"]
    assert shop.paypal.called("capture") == 1


def test_what_was_bought_leaves_the_cart(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)

    shop.capture(order)

    assert shop.carts.get(cart).cart.lines == ()
    assert shop.placed(cart, version=order.cart_version).order.id == order.id


def test_a_cart_that_was_changed_meanwhile_keeps_what_is_in_it(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)
    shop.carts.set_line(cart, lamp, 3)

    shop.capture(order)

    assert [line.quantity for line in shop.carts.get(cart).cart.lines] == [3]


def test_return_and_notice_at_once_capture_once(shop: Shop) -> None:
    """S20."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None

    def notice() -> Order:
        return capturing.follow_facts(order.id, [seen], source="webhook", store=shop.orders, processor=shop.paypal)

    _ended, refusals = at_once([lambda: shop.capture(order), notice, notice, lambda: shop.capture(order)])

    assert refusals == []
    paid = shop.orders.get(order.id)
    assert (paid.status, paid.captured_minor, paid.refunds) == ("paid", paid.total_minor, ())
    assert len(shop.paypal.captures) == 1
    assert shop.events(order).count("order.paid") == 1


def test_an_answer_that_got_lost_is_asked_for_and_not_taken_twice(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.lost_answers = 1

    with pytest.raises(Unavailable):
        shop.capture(order)
    waiting = shop.orders.get(order.id)
    assert waiting.attempt is not None
    capturing.resume_attempt(waiting.attempt.id, store=shop.orders, processor=shop.paypal)

    assert shop.orders.get(order.id).status == "paid"
    assert len(shop.paypal.captures) == 1


def test_while_an_attempt_is_open_nothing_else_happens_to_the_order(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    shop.clock.advance(hours=3)

    shop.expire()
    with pytest.raises(PaymentInProgress):
        expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)

    assert shop.orders.get(order.id).status == "pending_payment"
    assert shop.level(lamp) == (5, 1)


def test_an_open_attempt_is_the_only_one_however_often_the_buyer_approves(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    shop.paypal.approve(order.paypal_order_id)
    again = shop.paypal.find_order(order.paypal_order_id or "")
    assert again is not None

    settled = shop.orders.settle(order.id, facts=[replace(again, captures=())], source="webhook")

    attempts = "select state from capture_attempts where order_id = :id::uuid"
    assert settled.attempt is None
    assert shop.database.call(attempts, id=order.id) == [{"state": "requested"}]


def test_facts_wait_for_whoever_is_settling_the_order(shop: Shop) -> None:
    """The notice of an approval comes while a cancel has decided and not yet written: it must see what is written."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None
    told: list[Future[Settled]] = []
    with ThreadPoolExecutor(1) as pool:

        def let_the_notice_come(_outcome: Outcome) -> None:
            told.append(pool.submit(shop.orders.settle, order.id, facts=[seen], source="webhook"))
            while not told[0].done() and not _somebody_waits_for_a_lock(shop):
                continue

        shop.orders.settle(order.id, wish=Wish("cancelled", "buyer"), require=let_the_notice_come)
        settled = told[0].result(timeout=30)

    assert (settled.order.status, settled.attempt) == ("cancelled", None)
    assert shop.level(lamp) == (5, 0)


def _somebody_waits_for_a_lock(shop: Shop) -> bool:
    waiting = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    return bool(shop.database.call(waiting))


def test_the_attempts_task_waits_in_the_outbox_until_the_attempt_is_answered(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    attempt = shop.orders.get(order.id).attempt
    assert attempt is not None
    waiting = "select name from outbox where id = :id::uuid and published_at is null"

    assert shop.database.call(waiting, id=attempt.id) == [{"name": "/jobs/payments/capture"}]
    capturing.resume_attempt(attempt.id, store=shop.orders, processor=shop.paypal)

    assert shop.database.call(waiting, id=attempt.id) == []


def test_an_order_that_nobody_approved_is_not_captured(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})

    with pytest.raises(NotApproved):
        shop.capture(order)

    assert shop.paypal.called("capture") == 0
    assert shop.orders.get(order.id).attempt is None


def test_approval_moves_the_deadline_to_ten_minutes_from_now(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.clock.advance(minutes=14)
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)

    moved = shop.orders.get(order.id).hold_expires_at
    assert timedelta(minutes=23, seconds=50) < moved - order.placed_at < timedelta(minutes=24, seconds=30)


def test_a_refused_payment_can_be_approved_again(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.next_capture = "INSTRUMENT_DECLINED"
    with pytest.raises(PaymentRefused):
        shop.capture(order)
    assert shop.level(lamp) == (5, 1)

    shop.paypal.next_capture = "COMPLETED"
    shop.paypal.approve(order.paypal_order_id)
    paid = shop.capture(order)

    assert paid.status == "paid"
    assert shop.events(order) == ["order.placed", "payment.refused", "order.paid"]


def test_three_refused_payments_are_the_last(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.next_capture = "INSTRUMENT_DECLINED"
    for refusal in (PaymentRefused, PaymentRefused, PaymentRefused, PaymentsUsedUp):
        shop.paypal.approve(order.paypal_order_id)
        with pytest.raises(refusal):
            shop.capture(order)

    assert shop.paypal.called("capture") == 3


def test_a_pending_capture_keeps_order_and_stock_until_paypal_has_decided(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.next_capture = "PENDING"

    held = shop.capture(order)
    shop.clock.advance(hours=2)
    shop.expire()
    assert (held.status, held.status_reason) == ("on_hold", "capture_pending")
    assert shop.level(lamp) == (5, 1)
    (capture_id,) = shop.paypal.captures
    shop.paypal.become(capture_id, "COMPLETED")
    capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)

    assert shop.orders.get(order.id).status == "paid"


def test_a_pending_capture_that_is_denied_gives_the_buyer_another_half_hour(shop: Shop) -> None:
    """S39."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.next_capture = "PENDING"
    shop.capture(order)
    (capture_id,) = shop.paypal.captures
    shop.paypal.become(capture_id, "DECLINED")

    capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)

    waiting = shop.orders.get(order.id)
    assert waiting.status == "pending_payment"
    assert timedelta(minutes=29) < waiting.hold_expires_at - shop.clock.now() <= timedelta(minutes=30)
    assert shop.level(lamp) == (5, 1)


@pytest.mark.parametrize("amount", [Money(1, "USD"), Money(999_999, "USD"), Money(1590, "EUR")])
def test_a_capture_of_another_amount_or_currency_never_pays(shop: Shop, amount: Money) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.amount = amount

    held = shop.capture(order)

    assert (held.status, held.status_reason) == ("on_hold", "amount_mismatch")
    assert shop.level(lamp) == (5, 1)
    assert "order.paid" not in shop.events(order)


def test_a_second_capture_is_given_back_in_full_and_changes_nothing_else(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    second = shop.paypal.make_capture(order.paypal_order_id)

    told = [
        capturing.follow_facts(order.id, [second], source="webhook", store=shop.orders, processor=shop.paypal)
        for _ in range(3)
    ]
    (refund,) = told[-1].refunds
    refunding.finish_refund(refund.id, store=shop.orders, processor=shop.paypal)

    settled = shop.orders.get(order.id)
    assert (refund.capture_id, refund.kind, refund.amount_minor) == (second.id, "duplicate", order.total_minor)
    assert settled.status == "paid"
    assert [r.state for r in settled.refunds] == ["completed"]
    assert (settled.captured_minor, settled.refunded_minor) == (2 * order.total_minor, order.total_minor)
    assert shop.level(lamp) == (5, 1)


def test_an_unpaid_order_expires_after_its_deadline_and_frees_its_stock(shop: Shop) -> None:
    """S18."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 2})
    shop.expire()
    assert shop.orders.get(order.id).status == "pending_payment"

    shop.clock.advance(minutes=16)
    shop.expire()
    shop.expire()

    assert shop.orders.get(order.id).status == "expired"
    assert shop.level(lamp) == (5, 0)
    assert shop.movements(order) == [("hold", 0, 2), ("expire", 0, -2)]
    assert shop.events(order) == ["order.placed", "order.expired"]


def test_an_approval_that_nobody_told_us_of_is_captured_instead_of_expired(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.clock.advance(minutes=16)

    shop.expire()

    assert shop.orders.get(order.id).status == "paid"


def test_an_order_expires_even_if_paypal_is_away(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.paypal.away = True

    shop.expire()

    assert shop.orders.get(order.id).status == "expired"
    assert shop.level(lamp) == (5, 0)


def test_an_approval_after_expiry_captures_nothing(shop: Shop) -> None:
    """S19."""
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()
    shop.order({lamp: 1})
    shop.paypal.approve(order.paypal_order_id)
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None

    after = capturing.follow_facts(order.id, [seen], source="webhook", store=shop.orders, processor=shop.paypal)

    assert after.status == "expired"
    assert shop.paypal.called("capture") == 0
    assert shop.level(lamp) == (1, 1)


def test_money_that_comes_after_expiry_pays_while_the_goods_are_there(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()

    capture = shop.paypal.make_capture(order.paypal_order_id)
    late = capturing.follow_facts(order.id, [capture], source="webhook", store=shop.orders, processor=shop.paypal)

    assert (late.status, late.late, late.refunds) == ("paid", True, ())
    assert shop.level(lamp) == (1, 1)
    assert shop.movements(order) == [("hold", 0, 1), ("expire", 0, -1), ("hold", 0, 1), ("allocate", 0, 0)]


def test_money_that_comes_after_expiry_goes_back_when_the_goods_are_gone(shop: Shop) -> None:
    """S31."""
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()
    shop.order({lamp: 1})

    capture = shop.paypal.make_capture(order.paypal_order_id)
    late = capturing.follow_facts(order.id, [capture], source="webhook", store=shop.orders, processor=shop.paypal)

    assert late.status == "expired"
    assert [(r.kind, r.amount_minor, r.state) for r in late.refunds] == [("late", order.total_minor, "requested")]
    assert shop.level(lamp) == (1, 1)


def test_a_cancelled_order_is_never_revived(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)
    again = expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)

    capture = shop.paypal.make_capture(order.paypal_order_id)
    after = capturing.follow_facts(order.id, [capture], source="webhook", store=shop.orders, processor=shop.paypal)

    assert (again.status, after.status) == ("cancelled", "cancelled")
    assert [r.amount_minor for r in after.refunds] == [order.total_minor]
    assert shop.level(lamp) == (5, 0)
    assert shop.events(order) == ["order.placed", "order.cancelled", "payment.returned"]


def test_a_paid_order_is_not_cancelled_by_this_way(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})

    with pytest.raises(NotCancellable):
        expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)

    assert shop.orders.get(order.id).status == "paid"


def test_cancel_and_capture_at_once_end_in_one_of_both(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})

    at_once(
        [
            lambda: shop.capture(order),
            lambda: expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders),
        ]
    )

    ended = shop.orders.get(order.id)
    captured = len(shop.paypal.captures)
    assert (ended.status, captured, shop.level(lamp)) in [("paid", 1, (5, 1)), ("cancelled", 0, (5, 0))]


def test_settling_again_changes_nothing(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})

    again = shop.orders.settle(order.id, wish=Wish("expired")).order

    assert again == order
    assert shop.events(order) == ["order.placed", "order.paid"]


def test_an_approval_that_was_taken_back_is_asked_for_once_and_the_order_expires(shop: Shop) -> None:
    """PayPal no longer knows of it at the capture: the approval is used up all the same."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None
    shop.paypal.statuses[seen.id] = ("CREATED", "later")

    capturing.follow_facts(order.id, [seen], source="webhook", store=shop.orders, processor=shop.paypal)
    shop.clock.advance(minutes=16)
    shop.expire()

    assert shop.paypal.called("capture") == 1
    assert shop.orders.get(order.id).status == "expired"
    assert shop.level(lamp) == (5, 0)
    assert shop.events(order) == ["order.placed", "order.expired"]


def test_a_denied_payment_can_be_made_again_through_a_new_order_at_paypal(shop: Shop) -> None:
    """S39: what PayPal has denied is over there, so retrying opens another one, once."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.approved_order({lamp: 1})
    shop.paypal.next_capture = "DECLINED"
    with pytest.raises(PaymentRefused):
        shop.capture(order)

    first, again = shop.retry(order), shop.retry(order)
    shop.paypal.next_capture = "COMPLETED"
    shop.paypal.approve(first.paypal_order_id)
    paid = shop.capture(order)

    assert first.paypal_order_id == again.paypal_order_id != order.paypal_order_id
    assert (paid.status, paid.paypal_order_id) == ("paid", first.paypal_order_id)
    assert shop.level(lamp) == (5, 1)


def test_an_order_that_is_over_is_not_captured(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)

    with pytest.raises(NotPayable):
        shop.capture(order)

    assert shop.paypal.called("capture") == 0


def test_two_second_captures_go_back_both_and_the_buyer_hears_of_both(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    strays = [shop.paypal.make_capture(order.paypal_order_id) for _ in range(2)]

    settled = shop.orders.settle(order.id, facts=strays, source="webhook").order

    assert sorted(refund.capture_id for refund in settled.refunds) == sorted(stray.id for stray in strays)
    assert shop.events(order) == ["order.placed", "order.paid", "payment.returned", "payment.returned"]


def test_one_dispute_about_two_orders_holds_both(shop: Shop) -> None:
    orders = [shop.paid_order({shop.make_stock("LAMP", 5): 1}) for _ in range(2)]
    ended = []
    for order in orders:
        dispute = DisputeFact("D-BOTH", "OPEN", None, (order.bound_capture_id or "",), None, "2026-11-22T10:00:00Z")
        ended.append(shop.orders.settle(order.id, facts=[dispute], source="webhook").order)

    assert [(order.status, order.status_reason) for order in ended] == [("on_hold", "outside")] * 2


def test_rows_that_a_sweep_was_given_are_not_given_again_at_once(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    attempt = shop.orders.get(order.id).attempt
    assert attempt is not None
    shop.clock.advance(minutes=2)
    before = shop.clock.now() - timedelta(minutes=1)

    first, second = (shop.orders.take_unanswered_attempts(before, 1000) for _ in range(2))

    assert (attempt.id in first, attempt.id in second) == (True, False)


def test_who_cancels_stands_in_the_movement(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    expiring.cancel_order(order.id, reason="buyer", actor="customer:7", store=shop.orders)

    moved = shop.database.call(
        "select kind, actor from stock_movements where order_id = :id::uuid order by id", id=order.id
    )
    assert moved == [{"kind": "hold", "actor": "buyer"}, {"kind": "cancel", "actor": "customer:7"}]
