"""Staff stop taking orders: no order begins after that, whatever was under way; what is open goes on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from uuid import UUID

import pytest

from shared.orders.order import OrdersClosed
from shared.persistence.shop_settings import SettingsOfShop
from tests.orders.shop import Shop, at_once
from tests.orders.test_bot_check import Doorkeeper, place

CLIENTS = 16


class ClosingTime(Doorkeeper):
    """The shop is closed while somebody's bot check is under way, between the quote and the holds."""

    def admit(self, token: str | None, *, request_id: UUID) -> None:
        super().admit(token, request_id=request_id)
        set_open(self.shop, False)


def set_open(shop: Shop, is_open: bool) -> None:
    settings = SettingsOfShop(shop.database, shop.clock)
    settings.change(lambda before: replace(before, orders_open=is_open), actor="staff:test", if_match=None)


@pytest.fixture
def closing_shop(shop: Shop) -> Iterator[Shop]:
    yield shop
    set_open(shop, True)


def test_a_closed_shop_takes_no_order_and_holds_nothing(closing_shop: Shop) -> None:
    lamp = closing_shop.make_stock("LAMP", 5)
    cart = closing_shop.make_cart({lamp: 1})
    set_open(closing_shop, False)

    with pytest.raises(OrdersClosed) as refused:
        closing_shop.place(cart)

    assert refused.value.retry_after_s == 60
    assert closing_shop.level(lamp) == (5, 0)
    assert closing_shop.paypal.calls == []
    set_open(closing_shop, True)
    assert closing_shop.place(cart).status == "pending_payment"


def test_a_shop_that_closes_between_quote_and_holds_takes_no_order(closing_shop: Shop) -> None:
    lamp = closing_shop.make_stock("LAMP", 5)
    cart = closing_shop.make_cart({lamp: 1})

    with pytest.raises(OrdersClosed):
        place(closing_shop, cart, ClosingTime(closing_shop, None))

    assert closing_shop.level(lamp) == (5, 0)
    assert closing_shop.paypal.calls == []
    assert closing_shop.database.call("select id from orders where cart_id = :id::text", id=cart) == []


def test_what_was_open_when_the_shop_closed_is_paid_all_the_same(closing_shop: Shop) -> None:
    lamp = closing_shop.make_stock("LAMP", 5)
    cart = closing_shop.make_cart({lamp: 1})
    order = closing_shop.place(cart)
    set_open(closing_shop, False)

    again = closing_shop.placed(cart)
    closing_shop.paypal.approve(order.paypal_order_id)
    paid = closing_shop.capture(order)

    assert (again.order.id, again.is_new) == (order.id, False)
    assert (paid.status, closing_shop.level(lamp)) == ("paid", (5, 1))


def test_sixteen_buyers_and_a_closing_shop_agree_on_what_was_placed(closing_shop: Shop) -> None:
    lamp = closing_shop.make_stock("LAMP", 100)
    carts = [closing_shop.make_cart({lamp: 1}) for _ in range(CLIENTS)]
    late = closing_shop.make_cart({lamp: 1})

    works: list[Callable[[], object]] = [partial(closing_shop.place, cart) for cart in carts]

    placed, refused = at_once([lambda: set_open(closing_shop, False), *works])

    assert {type(error) for error in refused} <= {OrdersClosed}
    assert closing_shop.level(lamp) == (100, len(placed) - 1)
    assert len(placed) - 1 + len(refused) == CLIENTS
    with pytest.raises(OrdersClosed):
        closing_shop.place(late)
