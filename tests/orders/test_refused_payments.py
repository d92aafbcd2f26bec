"""Which refused payments are the buyer's, how many an order may have, and what is said when there are no more."""

from datetime import datetime

import pytest

from shared.edge.buying_views import order_view
from shared.kernel.errors import Conflict
from shared.orders import capturing, expiring
from shared.orders.capturing import NotApproved, PaymentRefused, ShopCannotBePaid
from shared.orders.lockout import CheckoutLocked
from shared.orders.order import NotPayable, Order, PaymentsUsedUp
from shared.payments.declines import BY_BUYER, BY_SHOP, NOT_APPROVED
from shared.payments.processor import Refused
from shared.persistence.timelines import list_happenings
from tests.orders.shop import Shop

# PayPal Orders v2, capture, 422; the last two are PayPal's error without details, and a capability the account lacks.
REFUSED_TO_SHOP = [
    "PAYEE_ACCOUNT_RESTRICTED",
    "PERMISSION_DENIED",
    "CURRENCY_NOT_SUPPORTED_FOR_BANK",
    "TRANSACTION_RECEIVING_LIMIT_EXCEEDED",
    "DUPLICATE_INVOICE_ID",
    "UNPROCESSABLE_ENTITY",
    "PAYEE_NOT_ENABLED_FOR_CARD_PROCESSING",
]


def refuse(shop: Shop, order: Order, issue: str = "INSTRUMENT_DECLINED") -> Conflict:
    """PayPal's page again, and then no; what the buyer is told who comes back from there."""
    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.capture_refusal = Refused(issue)
    with pytest.raises(Conflict) as told:
        shop.capture(order)
    shop.paypal.capture_refusal = None
    return told.value


def tell_approval(shop: Shop, order: Order) -> Order:
    """PayPal's notice of another approval."""
    shop.paypal.approve(order.paypal_order_id)
    seen = shop.paypal.find_order(order.paypal_order_id or "")
    assert seen is not None
    return capturing.follow_facts(order.id, [seen], source="webhook", store=shop.orders, processor=shop.paypal)


def deadline(shop: Shop, order: Order) -> datetime:
    return shop.orders.get(order.id).hold_expires_at


def test_after_the_last_refused_payment_nothing_invites_to_another(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    first, second = refuse(shop, order), refuse(shop, order)
    third = refuse(shop, order)

    used_up = shop.orders.get(order.id)
    assert [first.data, second.data] == [{"approve_url": order.approve_url}] * 2
    assert (type(third), third.sentence, third.data) == (PaymentRefused, PaymentRefused.last, {})
    assert (used_up.status, used_up.status_reason) == ("pending_payment", "payments_used_up")
    seen = order_view(used_up)
    assert (seen.payment.status, seen.status_reason) == ("refused", "payments_used_up")
    assert not seen.approve_url
    with pytest.raises(PaymentsUsedUp) as told:
        shop.retry(order)
    assert (told.value.sentence, told.value.data) == (PaymentsUsedUp.sentence, {})
    assert "cancel it and order again" in told.value.sentence
    # Each refusal is mailed; what the event carries says that the third was the last.
    assert shop.events(order) == ["order.placed", *["payment.refused"] * 3]
    told_of = shop.database.call(
        """
        select payload #>> '{order,status_reason}' as reason from outbox
        where name = 'payment.refused' and payload #>> '{order,id}' = :id::text order by position
        """,
        id=str(order.id),
    )
    assert [row["reason"] for row in told_of] == [None, None, "payments_used_up"]


def test_whoever_approves_after_the_last_refusal_is_never_captured_and_is_told(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    for _ in range(3):
        refuse(shop, order)
    shop.paypal.next_capture = "COMPLETED"

    after = tell_approval(shop, order)
    with pytest.raises(PaymentsUsedUp):
        shop.capture(order)
    capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)
    shop.clock.advance(minutes=16)
    shop.expire()

    ended = shop.orders.get(order.id)
    assert (after.status_reason, ended.status, ended.status_reason) == ("payments_used_up", "expired", None)
    assert shop.paypal.called("capture") == 3
    assert shop.paypal.captures == {}
    assert shop.level(lamp) == (5, 0)
    with pytest.raises(NotPayable):
        shop.capture(order)


def test_the_last_refusal_gives_no_more_time(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    refuse(shop, order)
    refuse(shop, order)
    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.lost_answers = 1
    shop.paypal.capture_refusal = Refused("INSTRUMENT_DECLINED")
    asked = capturing.look_at_paypal(shop.orders.get(order.id), store=shop.orders, processor=shop.paypal)
    before = deadline(shop, order)
    shop.clock.advance(minutes=5)

    assert asked.attempt is not None
    shop.paypal.lost_answers = 0
    capturing.resume_attempt(asked.attempt.id, store=shop.orders, processor=shop.paypal)

    assert shop.orders.get(order.id).status_reason == "payments_used_up"
    assert deadline(shop, order) == before


def test_a_denial_that_is_the_third_gives_no_half_hour(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    refuse(shop, order)
    refuse(shop, order)
    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.next_capture = "PENDING"
    held = shop.capture(order)
    (capture_id,) = shop.paypal.captures
    shop.paypal.become(capture_id, "DECLINED")

    capturing.look_again(order.id, store=shop.orders, processor=shop.paypal)

    denied = shop.orders.get(order.id)
    assert (held.status_reason, denied.status, denied.status_reason) == (
        "capture_pending", "pending_payment", "payments_used_up",
    )  # fmt: skip
    assert denied.hold_expires_at == held.hold_expires_at
    assert shop.events(order)[-2:] == ["order.on_hold", "payment.refused"]


def test_a_cart_whose_payments_are_used_up_can_be_ordered_again_once_that_order_is_cancelled(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)
    cart = shop.make_cart({lamp: 1})
    order = shop.place(cart)
    for _ in range(3):
        refuse(shop, order)

    expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)
    again = shop.place(cart)
    shop.paypal.approve(again.paypal_order_id)

    assert again.id != order.id
    assert shop.capture(again).status == "paid"
    assert shop.orders.get(order.id).status_reason == "buyer"


@pytest.mark.parametrize("issue", REFUSED_TO_SHOP)
def test_what_paypal_refuses_to_the_shop_is_not_the_buyers(
    shop: Shop, caplog: pytest.LogCaptureFixture, issue: str
) -> None:
    """Five of them use nothing up, nobody is mailed, and a person of the shop is asked to look."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    told = [refuse(shop, order, issue) for _ in range(5)]

    seen = shop.orders.get(order.id)
    assert [type(problem) for problem in told] == [ShopCannotBePaid] * 5
    assert told[0].data == {"approve_url": order.approve_url}
    assert (seen.status, seen.status_reason, order_view(seen).payment.status) == (
        "pending_payment", None, "awaiting_approval",
    )  # fmt: skip
    assert shop.events(order) == ["order.placed"]
    assert [happening.event for happening in list_happenings(shop.database, order.id)] == ["placed"]
    lines = [(record.levelname, record.message) for record in caplog.records]
    assert lines == [("ERROR", "payment_refused_to_shop")] * 5
    assert shop.retry(order).approve_url == order.approve_url
    shop.paypal.approve(order.paypal_order_id)
    assert shop.capture(order).status == "paid"
    assert shop.level(lamp) == (5, 1)


def test_a_refusal_by_a_name_that_nobody_knows_counts_for_the_lockout_and_not_against_the_order(shop: Shop) -> None:
    """Else whoever meets it could try cards without an end; but no buyer is told that his card was refused."""
    order = shop.order({shop.make_stock("LAMP", 5): 1})

    told = [refuse(shop, order, "CARD_OF_NO_KNOWN_KIND") for _ in range(5)]
    seen = shop.orders.get(order.id)
    calls = shop.paypal.called("capture")

    assert [type(problem) for problem in told] == [ShopCannotBePaid] * 5
    assert (seen.status, seen.status_reason, shop.events(order)) == ("pending_payment", None, ["order.placed"])
    shop.paypal.approve(order.paypal_order_id)
    for try_again in (shop.capture, shop.retry):
        with pytest.raises(CheckoutLocked):
            try_again(order)
    assert shop.paypal.called("capture") == calls
    shop.clock.advance(seconds=61)
    assert shop.capture(order).status == "paid"


def test_no_refusal_is_the_buyers_and_the_shops() -> None:
    assert BY_BUYER.isdisjoint(BY_SHOP)
    assert NOT_APPROVED not in BY_BUYER | BY_SHOP
    assert set(REFUSED_TO_SHOP) <= BY_SHOP


def test_refusals_to_the_shop_move_the_deadline_three_times_and_no_more(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    deadlines = []
    for _ in range(5):
        shop.clock.advance(minutes=6)
        refuse(shop, order, "PAYEE_ACCOUNT_RESTRICTED")
        deadlines.append(deadline(shop, order))

    assert deadlines[0] < deadlines[1] < deadlines[2] == deadlines[3] == deadlines[4]
    shop.expire()
    assert shop.orders.get(order.id).status == "expired"


def test_refusals_of_both_kinds_are_told_apart(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})
    issues = ["INSTRUMENT_DECLINED", "PAYEE_ACCOUNT_RESTRICTED", "PAYER_ACCOUNT_RESTRICTED", "HTTP_404"]

    told = [refuse(shop, order, issue) for issue in [*issues, "TRANSACTION_REFUSED"]]

    assert [type(problem) for problem in told] == [
        PaymentRefused, ShopCannotBePaid, PaymentRefused, ShopCannotBePaid, PaymentRefused,
    ]  # fmt: skip
    assert shop.orders.get(order.id).status_reason == "payments_used_up"
    assert [happening.event for happening in list_happenings(shop.database, order.id)] == [
        "placed", "payment_refused", "payment_refused", "payment_refused",
    ]  # fmt: skip


def test_an_approval_that_paypal_no_longer_knows_is_no_refusal(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1})

    told = refuse(shop, order, "ORDER_NOT_APPROVED")

    assert type(told) is NotApproved
    assert order_view(shop.orders.get(order.id)).payment.status == "awaiting_approval"
    assert shop.events(order) == ["order.placed"]
