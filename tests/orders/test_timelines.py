"""What a buyer reads of what has happened to an order."""

from datetime import datetime

from shared.kernel.money import Money
from shared.orders.order import Order
from shared.persistence.timelines import list_happenings
from tests.orders.shop import Shop


def told(shop: Shop, order: Order) -> list[tuple[str, int | None, str]]:
    happenings = list_happenings(shop.database, order.id)
    return [(happening.event, happening.amount_minor, happening.currency) for happening in happenings]


def moment(shop: Shop, order: Order, event: str) -> datetime:
    [at] = [happening.at for happening in list_happenings(shop.database, order.id) if happening.event == event]
    return at


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
