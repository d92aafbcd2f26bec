"""Lines that a voucher has made free: their units are given up and come back like all others, without a refund of 0."""

from decimal import Decimal
from uuid import uuid4

import pytest

from shared.kernel.errors import Invalid
from shared.orders import returning
from shared.orders.order import Order
from shared.orders.refunding import NotRestockable
from shared.orders.returning import AskReturn, AskReturnRefund
from shared.orders.returns import Receipt, Return, Returning, ReturnLine
from tests.orders.shop import SHIPPING_MINOR, Shop

STAFF = "staff:1"


def free_order(shop: Shop, quantities: dict[str, int]) -> Order:
    """Paid, with a voucher of 100 %: what was paid is the shipping."""
    code = shop.make_voucher("FREE", percent=Decimal(100))
    order = shop.place(shop.use_voucher(shop.make_cart(quantities), code))
    shop.paypal.approve(order.paypal_order_id)
    paid = shop.capture(order)
    assert (paid.status, paid.total_minor) == ("paid", SHIPPING_MINOR)
    return paid


def come_back(shop: Shop, order: Order, sku: str, quantity: int) -> Return:
    lines = (ReturnLine(sku, quantity, "damaged"),)
    goods = returning.ask_return(AskReturn(order.number, lines, "", "buyer"), store=shop.returns).goods
    returning.approve(goods.id, store=shop.returns, actor=STAFF)
    receipts = [Receipt(sku, quantity, "as new", restock=True)]
    return returning.receive(goods.id, receipts, store=shop.returns, actor=STAFF).goods


def refund(shop: Shop, goods: Return, *, shipping_minor: int = 0) -> Returning:
    return shop.returns.refund(goods.id, AskReturnRefund(uuid4(), shipping_minor, 0, "Your return", STAFF))


def test_units_that_were_free_are_given_up_and_in_stock_again(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    order = free_order(shop, {lamp: 2, desk: 1})

    after = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (after.status, after.refunds) == ("paid", ())
    assert shop.level(lamp) == (5, 1)
    assert shop.audit(order) == [(STAFF, "units.given-up")]
    assert shop.movements(order)[-1] == ("release", 0, -1)
    with pytest.raises(NotRestockable):
        shop.ask_refund(order, {lamp: 2}, restock=True)
    assert shop.level(lamp) == (5, 1)


def test_the_last_units_that_were_free_end_the_order_and_the_shipping_goes_back(shop: Shop) -> None:
    """As every cancel does; of what has gone back already nothing goes a second time."""
    lamp = shop.make_stock("LAMP", 5)
    first, second = free_order(shop, {lamp: 1}), free_order(shop, {lamp: 1})
    shop.ask_refund(second, shipping_minor=SHIPPING_MINOR)
    shop.finish_refunds(second)

    ended = [shop.ask_refund(order, {lamp: 1}, restock=True) for order in (first, second)]

    assert [order.status for order in ended] == ["cancelled", "cancelled"]
    assert [[known.amount_minor for known in order.refunds] for order in ended] == [[SHIPPING_MINOR]] * 2
    assert shop.level(lamp) == (5, 0)


def test_units_that_were_free_and_shipping_are_one_refund_of_the_shipping(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = free_order(shop, {lamp: 2})

    shop.ask_refund(order, {lamp: 1}, restock=True, shipping_minor=SHIPPING_MINOR)
    [done] = shop.finish_refunds(order).refunds

    assert (done.state, done.amount_minor, [line.amount_minor for line in done.lines]) == ("completed", 590, [0])
    assert shop.level(lamp) == (5, 1)


def test_without_anything_to_restock_or_to_pay_the_refusal_says_that_the_units_were_free(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = free_order(shop, {lamp: 2})

    with pytest.raises(Invalid) as refused:
        shop.ask_refund(order, {lamp: 1})

    assert [field.pointer for field in refused.value.fields] == ["/lines"]
    assert "was free" in refused.value.fields[0].detail
    assert (shop.orders.get(order.id), shop.audit(order)) == (order, [])


def nearly_free_order(shop: Shop, sku: str, units: int) -> Order:
    """Paid, with a voucher that leaves 1 minor unit of all its lines, and the shipping."""
    code = shop.make_voucher("NEARLY", kind="amount", amount_minor=units * 1000 - 1)
    order = shop.place(shop.use_voucher(shop.make_cart({sku: units}), code))
    shop.paypal.approve(order.paypal_order_id)
    paid = shop.capture(order)
    assert paid.paid_minor(paid.lines[0]) == 1
    return paid


def test_a_unit_whose_worth_rounds_to_nothing_is_not_given_up_as_if_it_were_free(shop: Shop) -> None:
    """One by one they would all be worth 0, and what was paid for them would never go back."""
    lamp = shop.make_stock("LAMP", 5)
    order = nearly_free_order(shop, lamp, 3)

    for restock in (True, False):
        with pytest.raises(Invalid) as refused:
            shop.ask_refund(order, {lamp: 1}, restock=restock)
        assert [field.pointer for field in refused.value.fields] == ["/amount_minor"]
        assert "more of its units at once" in refused.value.fields[0].detail
    assert (shop.orders.get(order.id), shop.audit(order)) == (order, [])
    assert shop.level(lamp) == (5, 3)
    shop.ask_refund(order, {lamp: 2}, restock=True)
    last = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert [refund.amount_minor for refund in last.refunds] == [1, SHIPPING_MINOR]
    assert (last.status, shop.level(lamp)) == ("cancelled", (5, 0))


def test_the_rest_of_a_line_whose_money_has_gone_back_is_given_up(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = nearly_free_order(shop, lamp, 3)
    shop.ask_refund(order, {lamp: 2})

    after = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert (after.status, [refund.amount_minor for refund in after.refunds]) == ("paid", [1])
    assert (after.lines[0].released, shop.level(lamp)) == (1, (5, 2))


def test_a_return_whose_worth_rounds_to_nothing_goes_back_with_an_amount_that_staff_name(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = nearly_free_order(shop, lamp, 3)
    shop.deliver(shop.ship(shop.draft(order, {lamp: 3})).shipment)
    goods = come_back(shop, order, lamp, 1)

    with pytest.raises(Invalid) as refused:
        refund(shop, goods)
    settled = shop.returns.refund(goods.id, AskReturnRefund(uuid4(), 0, 1, "Your return", STAFF))

    assert [field.pointer for field in refused.value.fields] == ["/amount_minor"]
    [asked] = settled.order.refunds
    assert (asked.amount_minor, [(line.quantity, line.amount_minor) for line in asked.lines]) == (1, [(1, 0)])


def test_a_return_of_units_that_were_free_is_settled_without_a_refund(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = free_order(shop, {lamp: 2})
    shop.deliver(shop.ship(shop.draft(order, {lamp: 2})).shipment)
    goods = come_back(shop, order, lamp, 1)

    settled = [refund(shop, goods) for _ in range(2)]

    assert [(each.order.refunds, each.goods.refund_id) for each in settled] == [((), None)] * 2
    assert "units.given-up" not in [action for _actor, action in shop.audit(order)]
    assert shop.level(lamp) == (4, 0)
    assert shop.orders.get(order.id).lines[0].returned == 1
    # Its shipping may still go back, once.
    with_shipping = refund(shop, goods, shipping_minor=SHIPPING_MINOR)
    assert [known.amount_minor for known in with_shipping.order.refunds] == [SHIPPING_MINOR]
    assert with_shipping.goods.refund_id == with_shipping.order.refunds[0].id
