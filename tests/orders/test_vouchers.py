"""Vouchers on real PostgreSQL: no race overspends one, and whoever lets an order go gives its voucher back."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from local.database import Address
from shared.inventory.stock import OutOfStock
from shared.kernel.errors import Invalid
from shared.kernel.idempotency import Claim
from shared.orders import expiring
from shared.orders.order import Order
from shared.orders.placing import PlaceOrder, Quote
from shared.orders.refunding import RefundTooLarge
from shared.payments.processor import CaptureFact
from shared.persistence.database import Transaction
from shared.persistence.orders import Orders
from shared.pricing.vouchers import (
    UnknownVoucher,
    Voucher,
    VoucherInUse,
    VoucherNotApplicable,
    VoucherStale,
    VoucherTaken,
)
from tests.auditor.auditor import audit_database
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import ADDRESS, SHIPPING_MINOR, Shop, at_once


def cart_with(shop: Shop, code: str, sku: str, quantity: int = 1) -> str:
    return shop.use_voucher(shop.make_cart({sku: quantity}), code)


def problem_of(refusal: Exception) -> object:
    assert isinstance(refusal, VoucherNotApplicable)
    return refusal.data["problem"]


class Interrupted(Orders):
    """Something happens between the quote and the order."""

    def __init__(self, shop: Shop, happen: Callable[[], object]) -> None:
        super().__init__(shop.database, shop.clock)
        self._happen = happen

    def quote(self, command: PlaceOrder, claim: Claim) -> Quote:
        made = super().quote(command, claim)
        self._happen()
        return made


# Races ---------------------------------------------------------------------------------------------


def test_a_voucher_for_one_is_redeemed_once_by_twenty_at_once(shop: Shop) -> None:
    """S22."""
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=1)
    carts = [cart_with(shop, code, lamp) for _ in range(20)]
    before = shop.deadlocks()

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert [order.discount_minor for order in orders] == [100]
    assert [problem_of(refusal) for refusal in refusals] == ["used_up"] * 19
    assert shop.redeemed(code) == 1
    assert shop.level(lamp) == (100, 1)
    assert shop.paypal.called("open") == 1
    assert shop.deadlocks() == before


def test_a_double_submit_with_a_voucher_for_one_is_one_order_and_no_refund(shop: Shop) -> None:
    """S21. The one that comes second finds the first one's order; it undoes nothing."""
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=1)
    cart = cart_with(shop, code, lamp)
    version = shop.carts.get(cart).cart.version

    orders, refusals = at_once([partial(shop.place, cart, version=version)] * 2)
    shop.paypal.approve(orders[0].paypal_order_id)
    captured, refused = at_once([partial(shop.capture, orders[0])] * 2)

    assert refusals == []
    assert refused == []
    assert orders[0].id == orders[1].id
    assert {order.status for order in captured} == {"paid"}
    assert shop.redeemed(code) == 1
    assert (shop.paypal.called("capture") >= 1, len(shop.paypal.captures)) == (True, 1)
    assert shop.database.call("select id from refunds where order_id = :id::uuid", id=orders[0].id) == []


def test_one_customer_with_five_carts_at_once_redeems_no_more_than_allowed(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("TWICE", per_customer_limit=2)
    carts = [cart_with(shop, code, lamp) for _ in range(5)]
    mine = f"{carts[0]}@example.com"

    orders, refusals = at_once(
        [partial(shop.place, cart, email=mine.upper() if n % 2 else mine) for n, cart in enumerate(carts)]
    )

    assert len(orders) == 2
    assert [problem_of(refusal) for refusal in refusals] == ["used_by_customer"] * 3
    assert shop.redeemed(code) == 2
    assert shop.place(cart_with(shop, code, lamp)).discount_minor == 100  # somebody else


def test_whoever_is_signed_in_is_the_same_customer_under_another_email(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONCE", per_customer_limit=1)
    customer = uuid4()
    first, second, other = (cart_with(shop, code, lamp) for _ in range(3))

    shop.place(first, customer_id=customer)

    with pytest.raises(VoucherNotApplicable) as refused:
        shop.place(second, customer_id=customer)
    assert problem_of(refused.value) == "used_by_customer"
    assert shop.place(other, customer_id=uuid4()).discount_minor == 100


def test_vouchers_and_stock_taken_crosswise_never_deadlock(shop: Shop) -> None:
    """Carts are placed again with the other voucher and the other lines, all at once."""
    first, second = shop.make_stock("A", 1000), shop.make_stock("B", 1000)
    codes = [shop.make_voucher("A"), shop.make_voucher("B")]
    carts = [cart_with(shop, codes[n % 2], (first, second)[n % 2]) for n in range(24)]
    for cart in carts:
        shop.place(cart)
    for n, cart in enumerate(carts):
        shop.carts.set_voucher(cart, codes[(n + 1) % 2])
        shop.carts.set_line(cart, (second, first)[n % 2], 1)
    before = shop.deadlocks()

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert (len(orders), refusals) == (24, [])
    assert [shop.redeemed(code) for code in codes] == [12, 12]
    assert shop.level(first) == shop.level(second) == (1000, 24)
    assert shop.deadlocks() == before


# What gives it back ----------------------------------------------------------------------------------


def expire(shop: Shop, order: Order) -> None:
    shop.clock.advance(minutes=16)
    shop.expire()


def cancel(shop: Shop, order: Order) -> None:
    expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders)


def refused_by_paypal(shop: Shop, order: Order) -> None:
    shop.database.call("update orders set paypal_order_id = null where id = :id::uuid", id=order.id)
    shop.orders.give_up(order.id, "refused_by_paypal")


@pytest.mark.parametrize("let_go", [expire, cancel, refused_by_paypal])
def test_the_voucher_of_an_order_that_is_let_go_can_be_used_again(shop: Shop, let_go: Any) -> None:
    """S51, S18."""
    lamp = shop.make_stock("LAMP", 100)
    code = shop.make_voucher("ONE", total_limit=1, per_customer_limit=1)
    cart = cart_with(shop, code, lamp)
    order = shop.place(cart)
    assert shop.redeemed(code) == 1

    let_go(shop, order)

    assert shop.redeemed(code) == 0
    again = shop.place(cart)
    assert (again.id != order.id, again.discount_minor, shop.redeemed(code)) == (True, 100, 1)


def test_a_paid_order_that_is_cancelled_gives_its_voucher_back_once(shop: Shop) -> None:
    """S47, S51. Who only has money back keeps it: the order stands."""
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=1)
    order = shop.place(cart_with(shop, code, lamp))
    shop.paypal.approve(order.paypal_order_id)
    shop.capture(order)
    shop.ask_refund(order, amount_minor=100)
    shop.finish_refunds(order)
    assert shop.redeemed(code) == 1

    cancelled, refusals = at_once([partial(shop.cancel, order), partial(shop.cancel, order, is_staff=False)] * 2)

    assert ([one.status for one in cancelled], refusals) == (["cancelled"] * 4, [])
    assert shop.redeemed(code) == 0
    assert shop.place(cart_with(shop, code, lamp)).discount_minor == 100


def test_a_cart_placed_again_takes_its_voucher_along(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 100)
    code = shop.make_voucher("ONE", total_limit=1, per_customer_limit=1)
    cart = cart_with(shop, code, lamp)
    first = shop.place(cart)
    shop.carts.set_line(cart, lamp, 2)
    seen = shop.carts.get(cart).voucher

    second = shop.place(cart)

    assert seen is not None
    assert (seen.redeemed, seen.used_by_customer) == (0, 0)
    assert (second.discount_minor, shop.redeemed(code)) == (200, 1)
    assert shop.orders.get(first.id).status_reason == "replaced"


def test_a_cart_placed_again_without_its_voucher_gives_it_back(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=1)
    cart = cart_with(shop, code, lamp)
    shop.place(cart)
    shop.carts.remove_voucher(cart)

    order = shop.place(cart)

    assert (order.discount_minor, order.voucher_code, shop.redeemed(code)) == (0, None, 0)


def test_whoever_gets_no_stock_has_redeemed_nothing(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 1), shop.make_voucher("MANY", total_limit=20)
    carts = [cart_with(shop, code, lamp) for _ in range(20)]

    orders, refusals = at_once([partial(shop.place, cart) for cart in carts])

    assert len(orders) == 1
    assert [type(refusal) for refusal in refusals] == [OutOfStock] * 19
    assert shop.redeemed(code) == 1


def pay_late(shop: Shop, order: Order) -> Order:
    """PayPal has captured what nobody here asked for any more."""
    capture = shop.paypal.make_capture(order.paypal_order_id)
    assert isinstance(capture, CaptureFact)
    return shop.orders.settle(order.id, facts=[capture], source="webhook").order


def test_money_that_comes_late_counts_its_voucher_again(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=1)
    order = shop.place(cart_with(shop, code, lamp))
    expire(shop, order)
    assert shop.redeemed(code) == 0

    paid = pay_late(shop, order)

    assert (paid.status, paid.late, paid.voucher_over_limit) == ("paid", True, False)
    assert shop.redeemed(code) == 1


@pytest.mark.parametrize("limit", ["total_limit", "per_customer_limit"])
def test_money_that_comes_after_the_voucher_went_to_another_order_is_flagged_and_taken(shop: Shop, limit: str) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", **{limit: 1})
    shop.email = f"{lamp}@example.com"
    order = shop.place(cart_with(shop, code, lamp))
    expire(shop, order)
    other = shop.place(cart_with(shop, code, lamp))

    paid = pay_late(shop, order)
    told_again = shop.orders.settle(order.id, facts=list(shop.paypal.captures.values()), source="poll").order

    assert (paid.status, paid.voucher_over_limit) == ("paid", True)
    assert told_again == paid
    assert shop.orders.get(other.id).voucher_over_limit is False
    assert shop.redeemed(code) == 2


# When it applies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({"minimum_minor": 1001}, "minimum"),
        ({"starts_at": timedelta(hours=1)}, "not_yet"),
        ({"ends_at": timedelta(hours=-1)}, "ended"),
        ({"currency": "EUR"}, "currency"),
    ],
)
def test_a_voucher_that_does_not_apply_stays_in_the_cart_and_is_refused_when_placing(
    shop: Shop, terms: dict[str, Any], problem: str
) -> None:
    lamp = shop.make_stock("LAMP", 5)
    now = shop.clock.now()
    code = shop.make_voucher("X", **{n: now + v if isinstance(v, timedelta) else v for n, v in terms.items()})
    cart = cart_with(shop, code, lamp)

    with pytest.raises(VoucherNotApplicable) as refused:
        shop.place(cart)

    assert refused.value.data == {"code": code, "problem": problem}
    assert shop.level(lamp) == (5, 0)
    assert shop.redeemed(code) == 0
    shop.carts.remove_voucher(cart)
    assert shop.place(cart).total_minor == 1000 + SHIPPING_MINOR


def test_codes_are_the_same_however_they_are_typed_and_unknown_ones_are_refused(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE")
    cart = shop.make_cart({lamp: 1})

    found = shop.carts.set_voucher(cart, f"  {code.lower()} ")
    again = shop.carts.set_voucher(cart, code)
    with pytest.raises(UnknownVoucher):
        shop.carts.set_voucher(cart, "NO-SUCH-THING")

    assert (found.cart.voucher_code, again.cart.version) == (code, found.cart.version)


def test_terms_that_change_between_quote_and_order_are_no_longer_those_of_the_buyer(shop: Shop) -> None:
    """The discount was computed by the terms of a moment ago; a guard in the statement looks at their version."""
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE", percent=Decimal(50))
    cart = cart_with(shop, code, lamp)
    change = partial(
        shop.vouchers.change, code, lambda v: replace(v, percent=Decimal(5)), actor="staff:1", if_match=None
    )
    shop.orders = Interrupted(shop, change)

    with pytest.raises(VoucherNotApplicable) as refused:
        shop.place(cart)

    assert problem_of(refused.value) == "changed"
    assert (shop.level(lamp), shop.redeemed(code)) == ((5, 0), 0)


def test_a_cart_that_was_paid_is_empty_of_its_voucher_too(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE")
    cart = cart_with(shop, code, lamp)
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)
    shop.capture(order)

    assert shop.carts.get(cart).cart.voucher_code is None
    assert shop.redeemed(code) == 1


def test_a_voucher_that_leaves_nothing_to_pay_is_refused_in_words(shop: Shop) -> None:
    """Goods for nothing, shipped for nothing, are no payment that PayPal could take."""
    lamp = shop.make_stock("LAMP", 5, price_minor=0)
    cart = cart_with(shop, shop.make_voucher("FREE", kind="free_shipping"), lamp)

    with pytest.raises(Invalid) as refused:
        shop.place(cart)

    assert [field.detail for field in refused.value.fields] == ["An order of nothing cannot be paid."]


def test_an_order_freezes_each_lines_share_of_the_discount(shop: Shop) -> None:
    """A third of ten is 3.33 and 6.67: the parts make the whole."""
    lamp, chair = shop.make_stock("LAMP", 5, price_minor=333), shop.make_stock("CHAIR", 5, price_minor=667)
    cart = shop.use_voucher(shop.make_cart({lamp: 1, chair: 1}), shop.make_voucher("TEN", amount_minor=101))

    order = shop.orders.get(shop.place(cart).id)

    assert [(line.total_minor, line.discount_minor) for line in order.lines] == [(333, 34), (667, 67)]
    assert (order.discount_minor, order.total_minor) == (101, 1000 - 101 + SHIPPING_MINOR)
    assert sum(order.paid_minor(line) for line in order.lines) + order.shipping_paid_minor == order.total_minor
    request = next(iter(shop.paypal.requests.values()))
    assert (request.subtotal_minor, request.discount_minor, request.total_minor) == (1000, 101, 1489)


@settings(
    max_examples=max(PROPERTY_EXAMPLES // 10, 3),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    lines=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9999)), min_size=1, max_size=4),
    percent=st.decimals("0.01", "99.99", places=2),
    random=st.randoms(use_true_random=False),
)
def test_an_order_with_a_voucher_goes_back_unit_by_unit_to_exactly_nothing(
    shop: Shop, lines: list[tuple[int, int]], percent: Decimal, random: Random
) -> None:
    """S45: discount and tax are in each line's share, whatever the order in which its units come back."""
    skus = {shop.make_stock(f"S{n}", 10, price_minor=minor): quantity for n, (quantity, minor) in enumerate(lines)}
    cart = shop.use_voucher(shop.make_cart(skus), shop.make_voucher("SOME", percent=percent))
    shop.carts.set_buyer(cart, email=None, address={**ADDRESS, "region": "CA"})
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)
    paid = shop.capture(order)
    units = [sku for sku, quantity in skus.items() for _ in range(quantity)]
    random.shuffle(units)

    waiting = dict.fromkeys(skus, 0)
    for sku in units:
        line = next(line for line in paid.lines if line.sku == sku)
        waiting[sku] += 1
        if paid.paid_minor(line):
            with suppress(Invalid):  # a unit that is worth nothing by itself goes back with the next one
                shop.ask_refund(order, {sku: waiting[sku]})
                waiting[sku] = 0
    if paid.shipping_paid_minor:
        shop.ask_refund(order, shipping_minor=paid.shipping_paid_minor)
    done = shop.finish_refunds(order)

    assert (paid.tax_minor > 0, paid.captured_minor) == (True, paid.total_minor)
    assert (done.captured_minor - done.refunded_minor, done.status) == (0, done.status)
    with pytest.raises(RefundTooLarge):
        shop.ask_refund(order, amount_minor=1)


# Staff -----------------------------------------------------------------------------------------------


def test_staff_change_terms_by_version_and_every_change_is_in_the_audit_log(shop: Shop) -> None:
    code = shop.make_voucher("SALE", percent=Decimal(10), total_limit=5)

    changed = shop.vouchers.change(code, lambda v: replace(v, total_limit=9), actor="staff:1", if_match=1)
    with pytest.raises(VoucherStale):
        shop.vouchers.change(code, lambda v: replace(v, active=False), actor="staff:1", if_match=1)

    assert (changed.total_limit, changed.version) == (9, 2)
    logged = shop.database.call(
        "select action, detail from audit_log where subject = :s::text order by at, id", s=f"voucher:{code}"
    )
    assert [entry["action"] for entry in logged] == ["voucher.created", "voucher.changed"]
    assert logged[1]["detail"] == {"total_limit": {"was": 5, "now": 9}}


def test_a_code_is_given_once_and_a_used_voucher_stays(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE")
    spare = shop.make_voucher("SPARE")
    shop.place(cart_with(shop, code, lamp))
    twin = Voucher(UUID(int=7), code, "free_shipping", "USD")

    with pytest.raises(VoucherTaken):
        shop.vouchers.create(lambda _currency: twin, actor="staff:1")
    with pytest.raises(VoucherInUse):
        shop.vouchers.delete(code, actor="staff:1")
    shop.vouchers.delete(spare, actor="staff:1")

    with pytest.raises(UnknownVoucher):
        shop.vouchers.get(spare)


def test_what_older_code_let_go_of_gives_its_voucher_back_once(shop: Shop) -> None:
    """Functions deploy one by one: one from before there were vouchers expires an order and keeps its voucher."""
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE")
    order, waiting = shop.place(cart_with(shop, code, lamp)), shop.place(cart_with(shop, code, lamp))
    cancel(shop, order)
    shop.database.call("update voucher_redemptions set state = 'redeemed' where order_id = :id::uuid", id=order.id)
    shop.database.call("update vouchers set redeemed = redeemed + 1 where code = :code::text", code=code)
    assert shop.redeemed(code) == 2

    found = [id_ for id_ in shop.orders.list_keeping_vouchers(100) if id_ in (order.id, waiting.id)]
    for order_id in (order.id, order.id, waiting.id):
        shop.orders.release_voucher(order_id)

    assert found == [order.id]
    assert shop.redeemed(code) == 1
    assert order.id not in shop.orders.list_keeping_vouchers(100)


def test_who_has_redeemed_a_voucher_is_looked_up_by_an_index_whatever_became_of_the_order(shop: Shop) -> None:
    def plan(tx: Transaction) -> str:
        tx.rows("set local enable_seqscan = off")
        looked_up = "explain select 1 from voucher_redemptions where voucher_id = :id::uuid"
        return str(tx.rows(looked_up, id=UUID(int=7)))

    assert "voucher_redemptions_voucher" in shop.database.step(plan)


def test_a_voucher_that_is_gone_is_a_problem_of_the_carts_that_have_it(shop: Shop) -> None:
    lamp, code = shop.make_stock("LAMP", 5), shop.make_voucher("SALE")
    cart = cart_with(shop, code, lamp)
    shop.vouchers.delete(code, actor="staff:1")

    with pytest.raises(VoucherNotApplicable) as refused:
        shop.place(cart)

    assert problem_of(refused.value) == "unknown"


# The auditor -----------------------------------------------------------------------------------------


def test_the_auditor_sees_a_voucher_that_was_overspent_or_kept(shop: Shop, module_database: Address) -> None:
    lamp, code = shop.make_stock("LAMP", 100), shop.make_voucher("ONE", total_limit=2, per_customer_limit=2)
    shop.email = f"{lamp}@example.com"
    orders = [shop.place(cart_with(shop, code, lamp)) for _ in range(2)]

    def findings(planted: str, mended: str) -> list[str]:
        shop.database.call(planted)
        found = audit_database(module_database.url)
        shop.database.call(mended)
        return found

    set_limits = f"update vouchers set total_limit = %d, per_customer_limit = %d where code = '{code}'"
    state = f"update voucher_redemptions set state = '%s' where order_id = '{orders[0].id}'"
    share = f"update order_lines set discount_minor = %d where order_id = '{orders[0].id}'"

    assert findings(set_limits % (1, 2), set_limits % (2, 2)) == [f"voucher {code}: redeemed 2 times of 1"]
    assert findings(set_limits % (2, 1), set_limits % (2, 2)) == [
        f"voucher {code}: {shop.email.lower()} has redeemed it 2 times of 1"
    ]
    assert findings(state % "released", state % "redeemed") == [
        f"order {orders[0].number} (pending_payment): its voucher is released",
        f"voucher {code}: 2 redeemed, 1 orders have redeemed it",
    ]
    assert findings(share % 99, share % 100) == [f"order {orders[0].number}: its lines give 99 of a discount of 100"]
