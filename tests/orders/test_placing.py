"""Placing: stock is held before money moves, and no two buyers hold the same unit."""

import threading
import traceback
from datetime import timedelta
from functools import partial

import pytest

from shared.cart.carts import CartChanged, UnknownItem
from shared.edge.buying_views import cart_view
from shared.edge.money_view import money
from shared.inventory.stock import OutOfStock, ShortLine
from shared.kernel.errors import Declined, Invalid, Unavailable
from shared.kernel.idempotency import AlreadyAnswered, InFlight
from shared.orders import placing
from shared.orders.order import OrderMoved, OtherCurrency, PaymentInProgress, PriceChanged
from shared.persistence.database import SqlError
from tests.numbers import DEADLOCK_ROUNDS
from tests.orders.shop import SHIPPING_MINOR, Shop, at_once


def test_an_order_freezes_its_lines_and_holds_their_stock(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5, price_minor=1999)

    order = shop.order({lamp: 2})

    assert (order.status, order.subtotal_minor, order.total_minor) == ("pending_payment", 3998, 3998 + SHIPPING_MINOR)
    assert order.approve_url is not None
    assert shop.level(lamp) == (5, 2)
    assert shop.movements(order) == [("hold", 0, 2)]
    assert shop.events(order) == ["order.placed"]


def test_fifty_buyers_of_the_last_unit_make_one_order_and_forty_nine_refusals(shop: Shop) -> None:
    """S1."""
    lamp = shop.make_stock("LAST", 1)
    carts = [shop.make_cart({lamp: 1}) for _ in range(50)]

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert len(orders) == 1
    assert [type(refusal) for refusal in refusals] == [OutOfStock] * 49
    assert all(refusal.data["lines"] == [{"sku": lamp, "wanted": 1, "available": 0}] for refusal in refusals)
    assert shop.level(lamp) == (1, 1)
    assert shop.paypal.called("open") == 1


def test_carts_of_opposite_line_order_never_deadlock(shop: Shop) -> None:
    """S9. A deadlock would be retried by the step and hidden, so the server's own count is asked."""
    first, second = shop.make_stock("A", 10_000), shop.make_stock("B", 10_000)
    carts = [
        shop.make_cart({first: 1, second: 1} if number % 2 else {second: 1, first: 1})
        for number in range(DEADLOCK_ROUNDS)
    ]
    before = shop.deadlocks()

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert (len(orders), refusals) == (DEADLOCK_ROUNDS, [])
    assert shop.level(first) == shop.level(second) == (10_000, DEADLOCK_ROUNDS)
    assert shop.deadlocks() == before


def test_a_refused_order_leaves_nothing_behind(shop: Shop) -> None:
    """S2, S17."""
    lamp, chair = shop.make_stock("LAMP", 5), shop.make_stock("CHAIR", 1)
    cart = shop.make_cart({lamp: 5, chair: 1})
    shop.order({chair: 1})

    with pytest.raises(OutOfStock) as refused:
        shop.place(cart)

    assert refused.value.short == (ShortLine(chair, 1, 0),)
    assert shop.level(lamp) == (5, 0)
    assert shop.paypal.called("open") == 1
    assert shop.database.call("select id from orders where cart_id = :id::text", id=cart) == []


def test_a_cart_that_is_older_than_the_stock_out_says_so_and_cannot_be_placed(shop: Shop) -> None:
    """S8."""
    lamp = shop.make_stock("LAMP", 2)
    cart = shop.make_cart({lamp: 2})
    before = [line.problem("USD") for line in shop.carts.get(cart).cart.lines]
    shop.order({lamp: 1})
    short = [(line.problem("USD"), line.available) for line in shop.carts.get(cart).cart.lines]
    shop.order({lamp: 1})
    gone = [(line.problem("USD"), line.available) for line in shop.carts.get(cart).cart.lines]

    with pytest.raises(OutOfStock) as refused:
        shop.place(cart)

    assert (before, short, gone) == ([None], [("short", 1)], [("unavailable", 0)])
    assert refused.value.short == (ShortLine(lamp, 2, 0),)
    assert shop.level(lamp) == (2, 2)


def test_a_price_that_changed_since_the_buyer_saw_it_is_said_before_anything_is_held(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5, price_minor=1000)
    cart = shop.make_cart({lamp: 1})
    shop.set_price(lamp, 1200)

    with pytest.raises(PriceChanged) as refused:
        shop.place(cart)

    assert refused.value.data["lines"] == [{"sku": lamp, "was": 1000, "now": 1200}]
    assert shop.level(lamp) == (5, 0)
    shop.carts.set_line(cart, lamp, 1)
    assert shop.place(cart).subtotal_minor == 1200


def test_an_item_priced_in_another_currency_is_no_question_of_stock(shop: Shop) -> None:
    """As after a change of the shop's currency, or an import of a neighbour's price list."""
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    cart_id = shop.make_cart({lamp: 2, desk: 1})
    shop.database.call("update variants set currency = 'EUR', price_minor = 900 where sku = :sku::text", sku=lamp)
    cart, settings = shop.carts.get(cart_id).cart, shop.carts.get(cart_id).shop

    with pytest.raises(OtherCurrency) as refused:
        shop.place(cart_id)
    shown = cart_view(cart, settings, None, shop.clock.now())

    assert refused.value.data == {"lines": [{"sku": lamp, "currency": "EUR", "shop_currency": "USD"}]}
    assert [shop.level(sku) for sku in (lamp, desk)] == [(5, 0), (5, 0)]
    lines = {line.sku: (line.problem, line.available, line.unit_price.currency, line.total) for line in shown.lines}
    assert lines[lamp] == ("other_currency", 5, "EUR", money(1800, "EUR"))
    assert lines[desk] == (None, 5, "USD", money(1000, "USD"))
    assert shown.totals.subtotal == money(1000, "USD")


def test_an_item_that_is_not_sold_now_is_shown_in_the_currency_of_its_price(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart_id = shop.make_cart({lamp: 2})
    shop.database.call(
        "update variants set currency = 'EUR', price_minor = 900, active = false where sku = :sku::text", sku=lamp
    )
    found = shop.carts.get(cart_id)

    shown = cart_view(found.cart, found.shop, None, shop.clock.now())

    (line,) = shown.lines
    assert (line.problem, line.unit_price, line.total) == ("unavailable", money(900, "EUR"), money(1800, "EUR"))
    assert (shown.currency, shown.totals.subtotal) == ("USD", money(0, "USD"))


def test_an_older_cart_version_is_refused(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    version = shop.carts.get(cart).cart.version
    shop.carts.set_line(cart, lamp, 2)

    with pytest.raises(CartChanged) as refused:
        shop.place(cart, version=version)

    assert refused.value.data == {"version": version + 1}
    assert shop.level(lamp) == (5, 0)


def test_the_same_cart_version_under_another_key_is_the_same_order(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})

    first, again = shop.placed(cart, key="one"), shop.placed(cart, key="two")

    assert (first.is_new, again.is_new) == (True, False)
    assert first.order.id == again.order.id
    assert shop.level(lamp) == (5, 1)
    assert shop.paypal.called("open") == 1


def test_placing_a_changed_cart_again_replaces_its_open_order(shop: Shop) -> None:
    """The only unit moves from the old order to the new one, in one transaction."""
    lamp, chair = shop.make_stock("LAMP", 1), shop.make_stock("CHAIR", 1)
    cart = shop.make_cart({lamp: 1})
    first = shop.place(cart)
    shop.carts.set_line(cart, chair, 1)

    second = shop.place(cart)

    replaced = shop.orders.get(first.id)
    assert (replaced.status, replaced.status_reason) == ("cancelled", "replaced")
    assert (second.status, len(second.lines)) == ("pending_payment", 2)
    assert shop.level(lamp) == shop.level(chair) == (1, 1)
    assert shop.events(first) == ["order.placed", "order.cancelled"]


def test_a_cart_whose_payment_is_in_progress_cannot_be_placed_again(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.capture(order)
    shop.carts.set_line(cart, lamp, 2)

    with pytest.raises(PaymentInProgress):
        shop.place(cart)

    assert shop.orders.get(order.id).status == "pending_payment"
    assert shop.level(lamp) == (5, 1)


def test_one_key_twenty_times_at_once_is_one_order(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 50)
    cart = shop.make_cart({lamp: 1})

    def place() -> str:
        try:
            return shop.place(cart, version=2, key="same").number
        except AlreadyAnswered as answered:
            return answered.body

    numbers, refusals = at_once([place] * 20)

    assert len(set(numbers)) == 1
    assert {type(refusal) for refusal in refusals} <= {InFlight}
    assert shop.level(lamp) == (50, 1)
    assert len(shop.paypal.requests) == 1


def test_a_key_whose_holder_died_goes_on_where_it_stopped_once_the_lease_is_over(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    shop.paypal.lost_answers = 1
    with pytest.raises(Unavailable):
        shop.place(cart, version=2, key="same")  # died after PayPal had its order, before anybody wrote that down
    with pytest.raises(InFlight):
        shop.place(cart, version=2, key="same")

    shop.clock.advance(seconds=71)
    order = shop.place(cart, version=2, key="same")

    assert order.status == "pending_payment"
    assert list(shop.paypal.requests) == [order.paypal_order_id]
    assert shop.level(lamp) == (5, 1)


def test_a_paypal_that_sleeps_holds_no_lock(shop: Shop) -> None:
    """S11: while PayPal thinks about one order, another buyer of the same SKU is served."""
    lamp = shop.make_stock("LAMP", 5)
    sleeping, other = shop.make_cart({lamp: 1}), shop.make_cart({lamp: 1})
    asleep, awake = threading.Event(), threading.Event()
    first_call = threading.Semaphore(1)

    def sleep() -> None:
        if first_call.acquire(blocking=False):
            asleep.set()
            assert awake.wait(timeout=30)

    shop.paypal.while_away = sleep
    waiting = threading.Thread(target=lambda: shop.place(sleeping))
    waiting.start()
    assert asleep.wait(timeout=30)

    locks = shop.database.call(
        """
        select count(*)::int as n from pg_locks l join pg_stat_activity a using (pid)
        where a.datname = current_database() and a.application_name = 'tests' and a.pid <> pg_backend_pid()
            and l.mode in ('RowExclusiveLock', 'RowShareLock')
        """
    )
    order = shop.place(other)
    awake.set()
    waiting.join(timeout=30)

    assert locks == [{"n": 0}]
    assert order.status == "pending_payment"
    assert shop.level(lamp) == (5, 2)


def test_hold_ends_fifteen_minutes_after_placing(shop: Shop) -> None:
    order = shop.order({shop.make_stock("LAMP", 1): 1})

    assert order.hold_expires_at - order.placed_at == timedelta(minutes=15)


def test_a_losing_duplicate_does_not_cancel_what_the_winner_has_opened(shop: Shop) -> None:
    """Rule 8."""
    order = shop.order({shop.make_stock("LAMP", 5): 1})

    shop.orders.give_up(order.id, "refused_by_paypal")

    assert shop.orders.get(order.id).status == "pending_payment"


def test_an_order_that_paypal_will_not_take_frees_its_stock(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    shop.paypal.refuses = True

    with pytest.raises(Declined):
        shop.place(cart)

    assert shop.level(lamp) == (5, 0)
    shop.paypal.refuses = False
    assert shop.place(cart).status == "pending_payment"


def test_an_answer_about_an_order_that_was_replaced_meanwhile_is_not_given(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    first_call = threading.Semaphore(1)

    def place_again_meanwhile() -> None:
        if first_call.acquire(blocking=False):
            shop.carts.set_line(cart, lamp, 2)
            shop.place(cart)

    shop.paypal.while_away = place_again_meanwhile

    with pytest.raises(OrderMoved):
        shop.place(cart, version=2, key="slow")

    assert shop.level(lamp) == (5, 2)


def test_what_is_no_longer_sold_is_out_of_stock(shop: Shop) -> None:
    lamp, chair = shop.make_stock("LAMP", 5), shop.make_stock("CHAIR", 5)
    cart = shop.make_cart({lamp: 1, chair: 1})
    command = placing.PlaceOrder(cart, 3, "ada@example.com", "127.0.0.0/24")
    quote = shop.orders.quote(command, shop.claim(cart, "looks"))
    shop.database.call("update variants set active = false where sku = :sku::text", sku=lamp)
    shop.database.call(
        "update products set published_at = null where id = (select product_id from variants where sku = :s::text)",
        s=chair,
    )
    claim = shop.claim(cart, "places")
    shop.orders.quote(command, claim)
    draft = placing._freeze(command, quote, shop.clock)

    with pytest.raises(OutOfStock) as refused:
        shop.orders.place(draft, claim, shop=quote.shop, voucher=None, actor="buyer")

    assert sorted(refused.value.short, key=lambda line: line.sku) == sorted(
        [ShortLine(chair, 1, 0), ShortLine(lamp, 1, 0)], key=lambda line: line.sku
    )


def test_what_is_published_later_is_bought_from_then_on_and_not_before(shop: Shop) -> None:
    lamp, chair = shop.make_stock("LAMP", 5), shop.make_stock("CHAIR", 5)
    cart = shop.make_cart({lamp: 1, chair: 1})
    command = placing.PlaceOrder(cart, 3, "ada@example.com", "127.0.0.0/24")
    quote = shop.orders.quote(command, shop.claim(cart, "looks"))
    due = shop.clock.now() + timedelta(hours=1)
    shop.publish(lamp, due)
    claim = shop.claim(cart, "places")

    with pytest.raises(OutOfStock) as quoted:
        shop.place(cart, version=3)
    shop.orders.quote(command, claim)
    with pytest.raises(OutOfStock) as refused:
        shop.orders.place(
            placing._freeze(command, quote, shop.clock), claim, shop=quote.shop, voucher=None, actor="buyer"
        )
    with pytest.raises(UnknownItem):
        shop.carts.set_line(cart, lamp, 2)
    before = [line.sellable for line in shop.carts.get(cart).cart.lines]
    shop.clock.advance(hours=1)
    order = shop.place(cart, version=3)

    assert list(quoted.value.short) == list(refused.value.short) == [ShortLine(lamp, 1, 0)]
    assert before == [False, True]
    assert (order.status, shop.level(lamp), shop.level(chair)) == ("pending_payment", (5, 1), (5, 1))


def test_an_order_goes_on_where_its_product_is_published_anew_later(shop: Shop) -> None:
    """As where a product is taken from sale: what was ordered is held, and its price is frozen."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.order({lamp: 1})
    shop.publish(lamp, shop.clock.now() + timedelta(days=1))

    retried = shop.retry(order)
    shop.paypal.approve(retried.paypal_order_id)

    assert shop.capture(retried).status == "paid"
    with pytest.raises(UnknownItem):
        shop.make_cart({lamp: 1})


def test_a_bad_email_is_refused_after_the_key_was_claimed(shop: Shop) -> None:
    """So that the refusal can be stored for the key, and another body under it is another request (rule 10)."""
    cart = shop.make_cart({shop.make_stock("LAMP", 5): 1})
    shop.email = "not an address"

    with pytest.raises(Invalid) as refused:
        shop.place(cart, key="once")

    assert [field.pointer for field in refused.value.fields] == ["/email"]
    with pytest.raises(InFlight):
        shop.place(cart, key="once")


def test_a_row_that_a_constraint_refuses_is_not_told_to_the_log(shop: Shop) -> None:
    """PostgreSQL's own words hold the whole row: names, addresses, mails."""
    with pytest.raises(SqlError) as refused:
        shop.database.call(
            "insert into carts (id, currency, email, created_at, updated_at) "
            "values ('no id', 'USD', 'ada@example.com', now(), now())"
        )

    told = "".join(traceback.format_exception(refused.value))
    assert "carts_id_has_128_bits" in told
    assert "ada@example.com" not in told


def test_an_address_that_paypal_will_not_take_names_its_field(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    cart = shop.make_cart({lamp: 1})
    shop.paypal.refuses, shop.paypal.refusal = True, "POSTAL_CODE_REQUIRED"

    with pytest.raises(Invalid) as refused:
        shop.place(cart)

    assert [field.pointer for field in refused.value.fields] == ["/shipping_address/postal_code"]
    assert shop.level(lamp) == (5, 0)
