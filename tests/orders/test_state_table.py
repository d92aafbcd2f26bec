"""Every row of the order's state table (DESIGN.md section 4) with the tests that hold it, and rarer halves of rows."""

import ast
from pathlib import Path

import pytest

from shared.kernel.money import Money
from shared.orders import capturing
from shared.orders.order import Order
from tests.orders.shop import Shop

TESTS = Path(__file__).resolve().parents[1]

# from -> to, when: the tests that hold it. Their files are named where a file of that name is enough to find them.
ROWS: dict[str, list[str]] = {
    "(cart) -> pending_payment: POST checkout": [
        "orders/test_placing.py::test_an_order_freezes_its_lines_and_holds_their_stock",
        "orders/test_placing.py::test_fifty_buyers_of_the_last_unit_make_one_order_and_forty_nine_refusals",
        "orders/test_placing.py::test_a_price_that_changed_since_the_buyer_saw_it_is_said_before_anything_is_held",
        "orders/test_placing.py::test_an_older_cart_version_is_refused",
        "orders/test_placing.py::test_an_address_that_paypal_will_not_take_names_its_field",
        "orders/test_limits.py::test_fifty_checkouts_of_one_email_at_once_leave_five_orders_open",
        "orders/test_lockout.py::test_five_refused_payments_of_an_email_lock_placing_capturing_and_retrying",
        "system/test_purchase.py::test_fifty_buyers_of_the_last_unit_over_http",
    ],
    "pending_payment -> same: approved": [
        "orders/test_capturing.py::test_approval_moves_the_deadline_to_ten_minutes_from_now",
        "orders/test_capturing.py::test_return_and_notice_at_once_capture_once",
        "system/test_purchase.py::test_an_approval_is_captured_even_if_the_buyer_never_comes_back",
    ],
    "pending_payment -> same: attempt refused": [
        "orders/test_capturing.py::test_a_refused_payment_can_be_approved_again",
        "orders/test_capturing.py::test_three_refused_payments_are_the_last",
        "orders/test_refused_payments.py::test_after_the_last_refused_payment_nothing_invites_to_another",
        "orders/test_refused_payments.py::test_the_last_refusal_gives_no_more_time",
        "orders/test_refused_payments.py::test_what_paypal_refuses_to_the_shop_is_not_the_buyers",
        "system/test_money.py::test_a_declined_payment_can_be_approved_again_and_is_paid",
        "system/test_money.py::test_after_three_declined_payments_nothing_invites_to_a_fourth",
    ],
    "pending_payment, on_hold (capture_pending) -> paid: first completed capture": [
        "orders/test_capturing.py::test_an_approved_order_is_paid_and_its_hold_becomes_an_allocation",
        "orders/test_state_table.py::test_a_capture_of_an_order_that_lost_its_hold_takes_the_stock_again",
        "system/test_money.py::test_a_pending_capture_is_paid_when_paypal_says_so",
        "system/test_purchase.py::test_a_purchase_ends_paid_with_moved_stock_and_one_mail",
    ],
    "pending_payment -> on_hold: capture PENDING, sums differ, stock gone": [
        "orders/test_capturing.py::test_a_pending_capture_keeps_order_and_stock_until_paypal_has_decided",
        "orders/test_capturing.py::test_a_capture_of_another_amount_or_currency_never_pays",
        "orders/test_holding.py::test_no_stock_is_released_once_it_is_there_and_the_order_is_paid_then",
        "system/test_desk.py::test_while_paypal_owes_an_answer_nobody_cancels",
        "system/test_desk.py::test_another_amount_waits_for_staff_who_give_it_back",
    ],
    "on_hold (capture_pending) -> pending_payment: DENIED, DECLINED": [
        "orders/test_capturing.py::test_a_pending_capture_that_is_denied_gives_the_buyer_another_half_hour",
        "system/test_money.py::test_a_pending_capture_that_is_denied_lets_the_buyer_try_again",
    ],
    "on_hold -> paid, cancelled: staff": [
        "orders/test_holding.py::test_staff_hold_a_paid_order_and_let_it_go_on",
        "orders/test_holding.py::test_no_stock_is_released_once_it_is_there_and_the_order_is_paid_then",
        "orders/test_holding.py::test_another_amount_is_never_released_to_paid",
        "orders/test_holding.py::test_what_was_paid_too_much_is_released_once_the_excess_has_gone_back",
        "orders/test_holding.py::test_what_was_paid_too_little_is_not_released_whatever_goes_back",
        "orders/test_holding.py::test_staff_let_a_refund_stand_that_was_made_in_the_dashboard",
        "orders/test_holding.py::test_another_refund_in_the_dashboard_stops_the_order_again",
        "orders/test_holding.py::test_what_left_from_outside_stops_the_goods_and_staff_cannot_wave_it_through",
        "orders/test_cancelling.py::test_another_amount_goes_back_as_it_came_when_staff_cancel",
        "orders/test_cancelling.py::test_what_was_refunded_before_is_not_given_back_twice",
        "system/test_desk.py::test_another_amount_waits_for_staff_who_give_it_back",
        "system/test_desk.py::test_staff_hold_an_order_note_why_and_let_it_go_on",
        "system/test_end_states.py::test_a_partial_refund_in_the_dashboard_stops_the_order_until_staff_have_looked",
        "system/test_end_states.py::test_a_lost_dispute_takes_the_money_once_and_its_order_is_cancelled_by_staff",
    ],
    "pending_payment -> expired, cancelled: deadline, buyer, staff, cart placed again": [
        "orders/test_capturing.py::test_an_unpaid_order_expires_after_its_deadline_and_frees_its_stock",
        "orders/test_capturing.py::test_while_an_attempt_is_open_nothing_else_happens_to_the_order",
        "orders/test_cancelling.py::test_what_waits_for_its_money_is_cancelled_without_a_refund",
        "orders/test_cancelling.py::test_while_paypal_owes_an_answer_nothing_is_cancelled",
        "orders/test_cancelling.py::test_an_order_that_expires_twice_releases_once",
        "orders/test_placing.py::test_placing_a_changed_cart_again_replaces_its_open_order",
        "orders/test_placing.py::test_a_cart_whose_payment_is_in_progress_cannot_be_placed_again",
        "system/test_money.py::test_a_cancelled_order_frees_its_stock_and_a_late_payment_goes_back",
        "system/test_end_states.py::test_a_cart_that_is_placed_again_ends_its_open_order_and_holds_its_goods_once",
        "system/test_end_states.py::test_staff_cancel_an_order_that_nobody_has_paid",
    ],
    "expired -> paid: first completed capture ever": [
        "orders/test_capturing.py::test_money_that_comes_after_expiry_pays_while_the_goods_are_there",
        "orders/test_state_table.py::test_money_after_expiry_goes_back_while_another_order_of_the_cart_is_open",
        "orders/test_state_table.py::test_another_amount_after_expiry_goes_back",
        "system/test_money.py::test_money_after_expiry_counts_while_the_goods_are_there",
        "system/test_end_states.py::test_a_late_payment_is_paid_and_shipped_like_any_other",
    ],
    "expired, cancelled -> stays: any other completed capture": [
        "orders/test_capturing.py::test_money_that_comes_after_expiry_goes_back_when_the_goods_are_gone",
        "orders/test_capturing.py::test_a_cancelled_order_is_never_revived",
        "orders/test_refunding.py::test_a_payment_that_came_too_late_and_could_not_go_back_is_sent_again_by_staff",
        "system/test_money.py::test_money_after_expiry_goes_back_when_the_goods_are_gone",
        "system/test_end_states.py::test_money_for_an_expired_order_goes_back_while_its_cart_has_another",
    ],
    "any -> stays: second completed capture": [
        "orders/test_capturing.py::test_a_second_capture_is_given_back_in_full_and_changes_nothing_else",
        "orders/test_capturing.py::test_two_second_captures_go_back_both_and_the_buyer_hears_of_both",
        "system/test_money.py::test_a_second_capture_goes_back_and_the_order_stays_paid",
    ],
    "paid, fulfilling -> on_hold (outside): refund, reversal, dispute": [
        "orders/test_holding.py::test_what_left_from_outside_stops_the_goods_and_staff_cannot_wave_it_through",
        "orders/test_holding.py::test_what_has_left_the_house_is_not_stopped_by_a_dispute",
        "orders/test_histories.py::test_every_order_of_the_facts_ends_the_same",
        "orders/test_fulfilling.py::test_nothing_leaves_while_the_order_is_on_hold",
        "system/test_money.py::test_money_that_left_without_our_asking_stops_the_order",
    ],
    "on_hold (outside) -> where it was: dispute won": [
        "orders/test_holding.py::test_a_dispute_that_is_won_lets_the_order_go_on_where_it_was",
        "system/test_money.py::test_a_dispute_holds_the_order_until_it_is_won",
    ],
    "paid <-> fulfilling: first hand-over": [
        "orders/test_fulfilling.py::test_a_shipped_order_has_left_the_stock_in_one_movement_and_is_fulfilling",
        "system/test_shipping.py::test_a_paid_order_is_shipped_without_a_label_and_delivered",
    ],
    "paid, fulfilling -> cancelled: buyer or staff": [
        "orders/test_cancelling.py::test_a_paid_order_is_cancelled_once_with_refund_and_stock",
        "orders/test_cancelling.py::test_two_cancels_at_once_are_one",
        "orders/test_cancelling.py::test_what_was_shipped_cannot_be_cancelled_and_its_stock_stays",
        "orders/test_cancelling.py::test_of_a_cancel_and_a_hand_over_at_once_one_happens",
        "orders/test_cancelling.py::test_a_refund_that_paypal_refuses_leaves_the_order_cancelled_and_is_seen",
        "orders/test_refunding.py::test_refunding_and_restocking_the_last_unit_ends_an_order_that_has_sent_nothing",
        "orders/test_refunding.py::test_the_refund_that_leaves_an_order_nothing_to_send_gives_its_shipping_back_too",
        "orders/test_refunding.py::test_what_else_is_left_goes_back_with_the_last_unit",
        "orders/test_refunding.py::test_what_was_sent_in_part_keeps_its_shipping",
        "system/test_desk.py::test_a_paid_order_is_cancelled_by_its_buyer_once",
        "system/test_desk.py::test_a_paid_order_is_cancelled_by_staff_and_a_shipped_one_is_not",
        "system/test_end_states.py::test_an_order_of_which_nothing_is_left_to_send_is_cancelled_and_keeps_no_money",
    ],
    "cancelled -> stays: any later fact": [
        "orders/test_cancelling.py::test_facts_after_a_cancel_end_the_same_in_any_order",
        "orders/test_capturing.py::test_a_cancelled_order_is_never_revived",
        "system/test_end_states.py::test_what_comes_after_a_cancel_revives_nothing",
    ],
    "fulfilling -> completed: every unit delivered, returned or cancelled; staff": [
        "orders/test_fulfilling.py::test_the_order_is_completed_when_its_last_parcel_arrives",
        "orders/test_fulfilling.py::test_staff_close_an_order_whose_parcel_nobody_saw_arrive",
        "orders/test_refunding.py::test_refunding_what_was_not_sent_completes_an_order_whose_rest_has_arrived",
        "orders/test_fulfilling.py::test_an_order_of_which_the_rest_is_cancelled_is_completed",
        "orders/test_fulfilling.py::test_of_a_refund_and_a_hand_over_at_once_no_unit_is_both_given_up_and_sent",
        "system/test_shipping.py::test_a_paid_order_is_shipped_without_a_label_and_delivered",
        "system/test_returns.py::test_an_order_is_closed_by_staff_when_all_of_it_has_left",
        "system/test_end_states.py::test_an_order_whose_rest_is_given_up_is_completed_by_what_has_arrived",
    ],
    "refund: requested -> pending -> completed, failed, cancelled": [
        "orders/test_refunding.py::test_a_pending_refund_is_followed_to_its_end",
        "orders/test_refunding.py::test_every_refusal_of_paypal_is_a_failed_refund_with_a_way_out",
        "orders/test_refunding.py::test_any_sequence_of_partial_refunds_and_then_the_rest_leaves_exactly_zero",
        "orders/test_refunding.py::test_what_a_lost_dispute_takes_back_is_not_sent_a_second_time",
        "orders/test_histories.py::test_every_order_of_the_facts_about_our_own_refunds_ends_the_same",
        "system/test_desk.py::test_staff_refund_lines_shipping_and_a_free_amount_to_the_last_cent",
        "system/test_desk.py::test_a_pending_refund_that_fails_in_the_end_is_seen_and_the_order_goes_on",
    ],
    "nobody's: a capture of an order that we do not know": [
        "payments/test_applying.py::test_a_payment_that_this_shop_did_not_open_is_reported_and_not_touched",
        "payments/test_applying.py::test_an_event_that_comes_before_its_order_is_applied_later",
        "payments/test_applying.py::test_an_order_that_never_becomes_known_is_waited_for_three_days",
        "payments/test_applying.py::test_an_object_that_paypal_shows_a_little_later_is_followed",
        "system/test_money.py::test_a_capture_of_somebody_elses_is_left_alone",
    ],
}


@pytest.mark.parametrize("row", ROWS)
def test_the_tests_of_a_row_are_there(row: str) -> None:
    missing = []
    for name in ROWS[row]:
        file, _, function = name.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        if function not in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}:
            missing.append(name)

    assert missing == []
    assert [name for name in ROWS[row] if name.startswith("system/")], "nobody has seen it from outside, over HTTP"


def _tell_capture(shop: Shop, order: Order) -> Order:
    capture = shop.paypal.make_capture(order.paypal_order_id)
    return capturing.follow_facts(order.id, [capture], source="webhook", store=shop.orders, processor=shop.paypal)


def _expired(shop: Shop, cart: str) -> Order:
    order = shop.place(cart)
    shop.clock.advance(minutes=16)
    shop.expire()
    return order


def _refunds(order: Order) -> list[tuple[str, int]]:
    return [(refund.kind, refund.amount_minor) for refund in order.refunds]


def test_a_capture_of_an_order_that_lost_its_hold_takes_the_stock_again(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.database.call(
        "select release_stock_v1(:id::uuid, :number::text, 'expire', 'test', '', :now::timestamptz)",
        id=order.id,
        number=order.number,
        now=shop.clock.now(),
    )

    paid = _tell_capture(shop, order)

    assert (paid.status, paid.lines[0].allocated, shop.level(lamp)) == ("paid", 1, (1, 1))


def test_money_after_expiry_goes_back_while_another_order_of_the_cart_is_open(shop: Shop) -> None:
    """The cart was placed again meanwhile: its buyer gets one order, and the money of the other back."""
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    order = _expired(shop, cart)
    again = shop.place(cart)
    assert again.id != order.id

    late = _tell_capture(shop, order)

    assert (late.status, _refunds(late)) == ("expired", [("late", order.total_minor)])
    assert shop.level(lamp) == (5, 1)
    assert shop.orders.get(again.id).status == "pending_payment"


def test_another_amount_after_expiry_goes_back(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = _expired(shop, shop.make_cart({lamp: 1}))
    shop.paypal.amount = Money(order.total_minor - 1, "USD")

    late = _tell_capture(shop, order)

    assert (late.status, late.late, _refunds(late)) == ("expired", False, [("late", order.total_minor - 1)])
    assert shop.level(lamp) == (5, 0)
