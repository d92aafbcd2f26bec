"""What a buyer reads of what has happened to an order."""

from datetime import datetime

from shared.kernel.money import Money
from shared.orders.holding import release_order
from shared.orders.order import Order
from shared.orders.refunding import finish_refund
from shared.persistence.timelines import list_happenings
from tests.orders.shop import Shop


def told(shop: Shop, order: Order) -> list[tuple[str, int | None, str]]:
    happenings = list_happenings(shop.database, order.id)
    return [(happening.event, happening.amount_minor, happening.currency) for happening in happenings]


def moment(shop: Shop, order: Order, event: str) -> datetime:
    [at] = [happening.at for happening in list_happenings(shop.database, order.id) if happening.event == event]
    return at


def without_stock(shop: Shop) -> Order:
    """An order whose hold had ended when its money came, and whose lamp somebody else has bought."""
    lamp = shop.make_stock("LAMP", 1)
    order = shop.order({lamp: 1})
    shop.database.call(
        "select release_stock_v1(:id::uuid, :n::text, 'expire', 'test', '', now())", id=order.id, n=order.number
    )
    shop.paid_order({lamp: 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    held = shop.orders.settle(order.id, facts=[capture], source="webhook").order
    assert (held.status, held.status_reason) == ("on_hold", "no_stock")
    return held


def test_money_that_goes_back_is_named_in_the_currency_that_it_came_in(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.amount = Money(1662, "EUR")
    shop.capture(order)
    shop.cancel(order)

    shop.finish_refunds(order)

    assert told(shop, order) == [
        ("placed", 1590, "USD"),
        ("refund_requested", 1662, "EUR"),
        ("cancelled", None, "USD"),
        ("refunded", 1662, "EUR"),
    ]


def test_a_refund_that_says_no_currency_has_that_of_its_payment(shop: Shop) -> None:
    order = shop.approved_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.amount = Money(1662, "EUR")
    shop.capture(order)
    [capture] = shop.paypal.captures.values()
    shop.orders.settle(order.id, facts=[shop.paypal.make_refund(capture)], source="webhook")
    shop.database.call(
        "update payment_facts set currency = null where order_id = :id::uuid and kind = 'refund'", id=order.id
    )

    assert told(shop, order)[-1] == ("refunded", 1662, "EUR")
    assert shop.orders.settle(order.id).order.refunded_minor == 0


def test_what_an_order_has_given_back_is_of_its_own_currency(shop: Shop) -> None:
    """A second payment came in another one, and goes back by itself."""
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    shop.paypal.amount = Money(300, "EUR")
    second = shop.paypal.make_capture(order.paypal_order_id)
    shop.orders.settle(order.id, facts=[second], source="webhook")

    ended = shop.finish_refunds(order)

    assert [(refund.kind, refund.state, refund.amount_minor) for refund in ended.refunds] == [
        ("duplicate", "completed", 300)
    ]
    assert (ended.status, ended.captured_minor, ended.refunded_minor) == ("paid", 1590, 0)
    assert told(shop, order)[-1] == ("refunded", 300, "EUR")


def test_a_refund_that_was_made_in_paypals_dashboard_was_never_requested(shop: Shop) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    [capture] = shop.paypal.captures.values()
    shop.orders.settle(order.id, facts=[shop.paypal.make_refund(capture, 400)], source="webhook")
    shop.desk.change(order.number, release_order(actor="staff:1"))
    shop.ask_refund(order, amount_minor=100)
    shop.ask_refund(order, amount_minor=50)
    [_booked, ours, _open] = shop.orders.get(order.id).refunds
    finish_refund(ours.id, store=shop.orders, processor=shop.paypal)

    assert told(shop, order) == [
        ("placed", 1590, "USD"),
        ("paid", 1590, "USD"),
        ("refunded", 400, "USD"),
        ("refund_requested", 100, "USD"),
        ("refund_requested", 50, "USD"),
        ("refunded", 100, "USD"),
    ]


def test_an_order_that_its_last_refund_has_cancelled_says_so(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.ask_refund(order, {lamp: 1}, restock=True)
    shop.clock.advance(minutes=5)
    ended = shop.ask_refund(order, {lamp: 1}, restock=True)
    shop.clock.advance(minutes=5)
    shop.finish_refunds(order)

    assert (ended.status, ended.status_reason) == ("cancelled", "refunded")
    assert [event for event, _minor, _currency in told(shop, order)] == [
        "placed", "paid", "refund_requested", "refund_requested", "cancelled", "refunded", "refunded",
    ]  # fmt: skip
    assert moment(shop, order, "cancelled") == ended.refunds[-1].requested_at


def test_an_order_that_never_got_its_stock_says_when_it_was_cancelled(shop: Shop) -> None:
    held = without_stock(shop)
    shop.clock.advance(minutes=5)
    cancelled = shop.cancel(held)
    shop.clock.advance(minutes=5)
    shop.finish_refunds(held)

    assert [event for event, _minor, _currency in told(shop, held)] == [
        "placed", "refund_requested", "cancelled", "refunded",
    ]  # fmt: skip
    assert moment(shop, held, "cancelled") == cancelled.refunds[-1].requested_at


def test_an_order_that_kept_neither_stock_nor_money_says_that_it_was_cancelled(shop: Shop) -> None:
    held = without_stock(shop)
    [capture] = [known for known in shop.paypal.captures.values() if known.id == held.bound_capture_id]
    shop.orders.settle(held.id, facts=[shop.paypal.make_refund(capture)], source="webhook")

    cancelled = shop.cancel(held)

    assert cancelled.refunds == ()
    assert [event for event, _minor, _currency in told(shop, held)] == ["placed", "refunded", "cancelled"]


def test_an_order_whose_deadline_has_passed_says_so_once(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 5): 1, shop.make_stock("BOOK", 5): 1})
    shop.clock.advance(minutes=31)

    shop.expire()

    assert [event for event, _minor, _currency in told(shop, order)] == ["placed", "expired"]
