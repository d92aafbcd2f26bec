"""How many orders one client may have open: on real PostgreSQL, all placing at once (DESIGN.md section 9)."""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest

from local.database import Address
from shared.orders.order import Order, TooManyOpenOrders
from shared.persistence.shop_settings import SettingsOfShop
from shared.shop.settings import ShopSettings
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop, at_once


def open_orders(shop: Shop, **of: str) -> int:
    ((column, value),) = of.items()
    return int(
        shop.database.call(
            f"select count(*)::int as n from orders where {column} = :value::text and status = 'pending_payment'",
            value=value,
        )[0]["n"]
    )


def test_fifty_checkouts_of_one_email_at_once_leave_five_orders_open(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    carts = [shop.make_cart({lamp: 1}) for _ in range(50)]
    shop.email = f"{carts[0]}@example.com"
    before = shop.deadlocks()

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert len(orders) == 5
    assert Counter(type(refusal) for refusal in refusals) == {TooManyOpenOrders: 45}
    assert {(refusal.data["per"], refusal.data["limit"]) for refusal in refusals} == {("email", 5)}
    assert open_orders(shop, email=shop.email) == 5
    assert shop.level(lamp) == (100, 5)
    assert shop.paypal.called("open") == 5
    assert shop.deadlocks() == before


def test_fifty_checkouts_of_one_network_at_once_leave_twenty_orders_open(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    carts = [shop.make_cart({lamp: 1}) for _ in range(50)]
    shop.network = f"2001:db8:{carts[0][:4]}:1::/64"

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert len(orders) == 20
    assert Counter(type(refusal) for refusal in refusals) == {TooManyOpenOrders: 30}
    assert {(refusal.data["per"], refusal.data["limit"]) for refusal in refusals} == {("network", 20)}
    assert open_orders(shop, client_network=shop.network) == 20
    assert shop.level(lamp) == (100, 20)


def test_clients_that_share_emails_and_networks_crosswise_never_deadlock(shop: Shop) -> None:
    """Every e-mail meets every network, and the lines come in opposite orders. A deadlock would be retried."""
    first, second = shop.make_stock("A", 1000), shop.make_stock("B", 1000)
    carts = [shop.make_cart({first: 1, second: 1} if number % 2 else {second: 1, first: 1}) for number in range(64)]
    mark = carts[0][:8]
    before = shop.deadlocks()

    def place(number: int) -> Order:
        email, network = f"{mark}-{number % 8}@example.com", f"2001:db8:{mark[:4]}:{number // 8}::/64"
        return shop.place(carts[number], email=email, network=network)

    orders, refusals = at_once([partial(place, number) for number in range(64)])

    assert {type(refusal) for refusal in refusals} == {TooManyOpenOrders}
    assert Counter(order.email for order in orders) == {f"{mark}-{number}@example.com": 5 for number in range(8)}
    assert shop.level(first) == shop.level(second) == (1000, 40)
    assert shop.deadlocks() == before


def test_the_limit_says_how_long_to_wait_and_changes_nothing(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    shop.order({lamp: 1})
    shop.clock.advance(minutes=5)
    for _ in range(4):
        shop.order({lamp: 1})
    one_more = shop.make_cart({lamp: 1})

    with pytest.raises(TooManyOpenOrders) as refused:
        shop.place(one_more)

    assert 590 <= refused.value.retry_after_s <= 600  # when the first of the five runs out
    assert shop.level(lamp) == (100, 5)
    assert shop.database.call("select id from orders where cart_id = :id::text", id=one_more) == []


def test_letters_of_another_case_are_the_same_email(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    for number in range(5):
        shop.place(shop.make_cart({lamp: 1}), email=f"{'AdA' if number % 2 else 'ada'}.{lamp}@Example.com")

    with pytest.raises(TooManyOpenOrders):
        shop.place(shop.make_cart({lamp: 1}), email=f"ADA.{lamp.upper()}@example.com")


def test_a_repeat_of_a_cart_version_answers_its_open_order_at_the_limit(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    carts = [shop.make_cart({lamp: 1}) for _ in range(5)]
    orders = [shop.place(cart) for cart in carts]

    again = [shop.placed(cart) for cart in carts]

    assert [(placed.order.id, placed.is_new) for placed in again] == [(order.id, False) for order in orders]


def test_placing_a_changed_cart_again_does_not_count_twice(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    carts = [shop.make_cart({lamp: 1}) for _ in range(5)]
    first = [shop.place(cart) for cart in carts]
    for cart in carts:
        shop.carts.set_line(cart, lamp, 2)

    second = [shop.place(cart) for cart in carts]

    assert [shop.orders.get(order.id).status_reason for order in first] == ["replaced"] * 5
    assert [order.status for order in second] == ["pending_payment"] * 5
    assert shop.level(lamp) == (100, 10)


def test_what_is_paid_or_has_expired_makes_room(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    paid = shop.approved_order({lamp: 1})
    for _ in range(4):
        shop.order({lamp: 1})

    shop.capture(paid)
    shop.order({lamp: 1})
    with pytest.raises(TooManyOpenOrders):
        shop.order({lamp: 1})
    shop.clock.advance(minutes=16)
    shop.expire()

    for _ in range(5):
        shop.order({lamp: 1})
    with pytest.raises(TooManyOpenOrders):
        shop.order({lamp: 1})


def test_staff_may_set_another_limit(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email = f"{lamp}@example.com"
    settings = SettingsOfShop(shop.database, shop.clock)
    before = settings.get()

    def of_two(shop_settings: ShopSettings) -> ShopSettings:
        return replace(shop_settings, open_orders_per_email=2)

    settings.change(of_two, actor="staff:1", if_match=None)
    try:
        shop.order({lamp: 1})
        shop.order({lamp: 1})
        with pytest.raises(TooManyOpenOrders) as refused:
            shop.order({lamp: 1})
    finally:
        settings.change(lambda _now: before, actor="staff:1", if_match=None)

    assert refused.value.data == {"per": "email", "limit": 2}


def test_the_auditor_sees_a_client_with_too_many_open_orders(shop: Shop, module_database: Address) -> None:
    lamp = shop.make_stock("LAMP", 100)
    shop.email, shop.network = f"{lamp}@example.com", "2001:db8:0:9::/64"
    for _ in range(3):
        shop.order({lamp: 1})
    limits = (
        """update shop_settings set value = value || '{"open_orders_per_email": %s, "open_orders_per_network": %s}'"""
    )

    shop.database.call(limits % (2, 2))
    found = audit_database(module_database.url)
    shop.database.call(limits % (5, 20))

    assert [finding for finding in found if lamp.lower() in finding or shop.network in finding] == [
        f"{shop.email.lower()}: 3 orders open at once, the setting open_orders_per_email is 2",
        f"{shop.network}: 3 orders open at once, the setting open_orders_per_network is 2",
    ]
