"""Returning: no unit comes back twice, none that never left, and what is restocked is on the shelf."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from local.database import Address
from shared.kernel.errors import Invalid
from shared.orders import refunding, returning
from shared.orders.order import Order, OrderNotFound
from shared.orders.refunding import NotRetryable, UnitsRefunded
from shared.orders.returning import AskReturn, AskReturnRefund
from shared.orders.returns import (
    NotReceived,
    NotReturnable,
    Receipt,
    Return,
    Returning,
    ReturnLine,
    ReturnMoved,
    ReturnNotFound,
    ReturnRefunded,
    ReturnWindowOver,
)
from shared.persistence.shop_settings import SettingsOfShop
from tests.auditor.auditor import audit_database
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import Shop, at_once

STAFF = "staff:1"


def ask(shop: Shop, order: Order, quantities: dict[str, int], *, reason: str = "damaged") -> Return:
    lines = tuple(ReturnLine(sku, quantity, reason) for sku, quantity in quantities.items())
    return returning.ask_return(AskReturn(order.number, lines, "", "buyer"), store=shop.returns).goods


def approve(shop: Shop, goods: Return) -> Returning:
    return returning.approve(goods.id, store=shop.returns, actor=STAFF)


def reject(shop: Shop, goods: Return, reason: str = "worn") -> Returning:
    return returning.reject(goods.id, reason, store=shop.returns, actor=STAFF)


def receive(shop: Shop, goods: Return, *receipts: Receipt) -> Returning:
    return returning.receive(goods.id, receipts, store=shop.returns, actor=STAFF)


def close(shop: Shop, goods: Return) -> Returning:
    return returning.close(goods.id, store=shop.returns, actor=STAFF)


def good(sku: str, quantity: int) -> Receipt:
    return Receipt(sku, quantity, "as new", restock=True)


def broken(sku: str, quantity: int) -> Receipt:
    return Receipt(sku, quantity, "broken", restock=False)


def returned(shop: Shop, order: Order) -> list[int]:
    return [line.returned for line in shop.orders.get(order.id).lines]


def return_events(shop: Shop, order: Order) -> list[str]:
    return [name for name in shop.events(order) if name.startswith("return.")]


# The whole way ----------------------------------------------------------------------------------------


def test_what_comes_back_whole_is_on_the_shelf_and_what_is_broken_is_not(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 3})

    goods = ask(shop, order, {lamp: 3})
    approve(shop, goods)
    received = receive(shop, goods, good(lamp, 1), broken(lamp, 1))
    closed = close(shop, goods)

    assert (received.goods.state, closed.goods.state) == ("received", "closed")
    assert shop.level(lamp) == (3, 0)
    assert returned(shop, order) == [2]
    assert shop.movements(order)[-1] == ("return", 1, 0)
    assert return_events(shop, order) == ["return.requested", "return.approved", "return.received", "return.closed"]
    audit = shop.database.call(
        "select actor, action from audit_log where subject = :s::text and action like 'return.%' order by at, id",
        s=f"order:{order.number}",
    )
    assert [(row["actor"], row["action"]) for row in audit] == [
        ("buyer", "return.requested"),
        (STAFF, "return.approved"),
        (STAFF, "return.received"),
        (STAFF, "return.closed"),
    ]


def test_the_event_of_a_return_says_what_is_to_come_and_what_came(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 2})
    goods = ask(shop, order, {lamp: 2})
    approve(shop, goods)
    receive(shop, goods, broken(lamp, 1))

    [row] = shop.database.call(
        "select payload from outbox where name = 'return.received' and payload -> 'order' ->> 'id' = :id::text",
        id=str(order.id),
    )

    assert row["payload"]["goods"] == {
        "id": str(goods.id),
        "lines": [{"sku": lamp, "quantity": 2, "reason": "damaged"}],
        "receipts": [{"sku": lamp, "quantity": 1, "condition": "broken", "restock": False}],
        "rejection": None,
    }
    assert row["payload"]["order"]["lines"][0]["returned"] == 1


def test_saying_the_same_again_is_the_same_once(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 2})
    goods = ask(shop, order, {lamp: 2})
    other = ask(shop, shop.delivered_order({lamp: 1}), {lamp: 1})

    for _ in range(2):
        approve(shop, goods)
    for _ in range(2):
        receive(shop, goods, good(lamp, 2))
    for _ in range(2):
        close(shop, goods)
    for _ in range(2):
        reject(shop, other, "worn")

    assert shop.level(lamp) == (4, 0)
    assert returned(shop, order) == [2]
    assert return_events(shop, order) == ["return.requested", "return.approved", "return.received", "return.closed"]
    assert shop.returns.get(other.id).goods.rejection == "worn"


def test_a_return_goes_only_the_listed_ways(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 20)
    ways: list[tuple[str, list[Callable[[Return], object]]]] = [
        ("requested", []),
        ("approved", [lambda goods: approve(shop, goods)]),
        ("rejected", [lambda goods: reject(shop, goods)]),
        ("received", [lambda goods: approve(shop, goods), lambda goods: receive(shop, goods, good(lamp, 1))]),
    ]
    ways.append(("closed", [*ways[3][1], lambda goods: close(shop, goods)]))
    tries: dict[str, Callable[[Return], object]] = {
        "approved": lambda goods: approve(shop, goods),
        "rejected": lambda goods: reject(shop, goods, "another reason"),
        "received": lambda goods: receive(shop, goods),
        "closed": lambda goods: close(shop, goods),
    }
    allowed = {("requested", "approved"), ("requested", "rejected"), ("approved", "received"), ("received", "closed")}

    for state, steps in ways:
        for to, attempt in tries.items():
            if (state, to) in allowed or (state == to and state in ("approved", "closed")):
                continue
            goods = ask(shop, shop.delivered_order({lamp: 1}), {lamp: 1})
            for step in steps:
                step(goods)
            with pytest.raises(ReturnMoved) as refused:
                attempt(goods)
            assert refused.value.data == {"status": state}
            assert shop.returns.get(goods.id).goods.state == state


# What may come back -----------------------------------------------------------------------------------


def test_what_has_not_left_cannot_come_back(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shop.ship(shop.draft(order, {lamp: 1}))

    with pytest.raises(NotReturnable) as refused:
        ask(shop, order, {lamp: 2})
    goods = ask(shop, order, {lamp: 1})

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "returnable": 1}]}
    assert goods.state == "requested"


def test_a_unit_is_in_one_open_return_only_and_free_again_when_that_is_rejected_or_it_never_came(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 2})
    first = ask(shop, order, {lamp: 2})

    with pytest.raises(NotReturnable) as refused:
        ask(shop, order, {lamp: 1})
    reject(shop, first)
    second = ask(shop, order, {lamp: 2})
    approve(shop, second)
    receive(shop, second, good(lamp, 1))
    third = ask(shop, order, {lamp: 1})
    with pytest.raises(NotReturnable):
        ask(shop, order, {lamp: 1})

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 1, "returnable": 0}]}
    assert third.state == "requested"
    assert (returned(shop, order), shop.level(lamp)) == ([1], (4, 0))


def test_a_request_names_each_sku_of_the_order_once_and_a_reason_of_the_shop(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    order = shop.delivered_order({lamp: 2})
    lines = (ReturnLine(lamp, 1, "damaged"), ReturnLine(desk, 1, "damaged"), ReturnLine(lamp, 1, "bored"))

    with pytest.raises(Invalid) as refused:
        returning.ask_return(AskReturn(order.number, lines, "", "buyer"), store=shop.returns)

    assert [(field.pointer, field.detail) for field in refused.value.fields] == [
        ("/lines/1/sku", "Is not in this order."),
        ("/lines/2/sku", "Is named twice."),
        ("/lines/2/reason", "Is none of the shop's reasons."),
    ]
    assert return_events(shop, order) == []


def test_no_more_is_received_than_was_approved(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    goods = ask(shop, shop.delivered_order({lamp: 3}), {lamp: 2})
    approve(shop, goods)

    with pytest.raises(Invalid) as refused:
        receive(shop, goods, good(lamp, 1), broken(lamp, 2))

    assert [field.pointer for field in refused.value.fields] == ["/lines/1"]
    assert shop.returns.get(goods.id).goods.state == "approved"
    assert shop.level(lamp) == (2, 0)


def test_the_stock_itself_refuses_units_that_did_not_leave(shop: Shop) -> None:
    """The guard in SQL, under whatever Python has decided."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.shipped_order({lamp: 1})

    with pytest.raises(NotReturnable) as refused:
        shop.database.call(
            "select receive_stock_v1(:id::uuid, :lines::jsonb, 'test', '', :now::timestamptz)",
            id=order.id,
            lines=f'[{{"sku": "{lamp}", "quantity": 1, "restock": true}}, '
            f'{{"sku": "{lamp}", "quantity": 1, "restock": false}}]',
            now=shop.clock.now(),
        )

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "returnable": 1}]}
    assert shop.level(lamp) == (4, 0)


def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    with pytest.raises(ReturnNotFound):
        returning.approve(uuid4(), store=shop.returns, actor=STAFF)
    with pytest.raises(OrderNotFound):
        returning.ask_return(
            AskReturn("0000000000", (ReturnLine("LAMP", 1, "damaged"),), "", "buyer"), store=shop.returns
        )


# The window -------------------------------------------------------------------------------------------


def test_the_window_begins_with_the_arrival_and_ends_after_the_days_that_the_shop_has_set(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 9)
    on_its_way, arrived = shop.shipped_order({lamp: 1}), shop.delivered_order({lamp: 2})
    until = arrived.shipments[0].delivered_at
    assert until is not None
    until += timedelta(days=30)

    shop.clock.advance(days=29, hours=23)
    last_moment = ask(shop, arrived, {lamp: 1})
    shop.clock.advance(hours=2)
    with pytest.raises(ReturnWindowOver) as refused:
        ask(shop, arrived, {lamp: 1})
    never_seen_to_arrive = ask(shop, on_its_way, {lamp: 1})

    assert (last_moment.state, never_seen_to_arrive.state) == ("requested", "requested")
    assert refused.value.data == {
        "lines": [{"sku": lamp, "until": until.isoformat(timespec="milliseconds").replace("+00:00", "Z")}]
    }


def test_window_and_reasons_are_settings_and_the_buyer_is_told_what_is_left(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 9), shop.make_stock("DESK", 9)
    order = shop.delivered_order({lamp: 2, desk: 1})
    ask(shop, order, {lamp: 1})
    rules = SettingsOfShop(shop.database, shop.clock)
    before = rules.get()
    arrived = order.shipments[0].delivered_at
    assert arrived is not None

    try:
        rules.change(
            lambda known: replace(known, return_window_days=7, return_reasons=("too bright",)),
            actor=STAFF,
            if_match=None,
        )
        shown, made, shop_rules = shop.returns.show(order.number)
        left = returning.list_returnable(shown, made, shop_rules, shop.clock.now())
        with pytest.raises(Invalid):
            ask(shop, order, {lamp: 1}, reason="damaged")
        asked = ask(shop, order, {lamp: 1}, reason="too bright")
        shop.clock.advance(days=8)
        over = returning.list_returnable(shown, made, shop_rules, shop.clock.now())
    finally:
        rules.change(lambda _: before, actor=STAFF, if_match=None)

    assert [(line.sku, line.quantity, line.until) for line in left] == [
        (lamp, 1, arrived + timedelta(days=7)),
        (desk, 1, arrived + timedelta(days=7)),
    ]
    assert asked.lines == (ReturnLine(lamp, 1, "too bright"),)
    assert over == []


def test_an_order_of_which_the_rest_came_back_is_completed(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    order = shop.paid_order({lamp: 1, desk: 1})
    shop.deliver(shop.ship(shop.draft(order, {lamp: 1})).shipment)
    shop.ship(shop.draft(order, {desk: 1}), number="LOST")
    goods = ask(shop, order, {desk: 1})
    approve(shop, goods)

    received = receive(shop, goods, good(desk, 1))

    assert (received.order.status, shop.orders.get(order.id).status) == ("completed", "completed")


# The money --------------------------------------------------------------------------------------------


def received(shop: Shop, quantities: dict[str, int], back: dict[str, int]) -> tuple[Order, Return]:
    """An order that arrived, and a return of which so much came, all of it whole."""
    order = shop.delivered_order(quantities)
    goods = ask(shop, order, back)
    approve(shop, goods)
    return order, receive(shop, goods, *(good(sku, quantity) for sku, quantity in back.items())).goods


def refund(shop: Shop, goods: Return, *, shipping_minor: int = 0, amount_minor: int = 0) -> Returning:
    asked = AskReturnRefund(uuid4(), shipping_minor, amount_minor, "Your return", STAFF)
    return shop.returns.refund(goods.id, asked)


def finish(shop: Shop, order: Order) -> Order:
    """PayPal is asked for every refund of it."""
    for asked in shop.orders.get(order.id).refunds:
        refunding.finish_refund(asked.id, store=shop.orders, processor=shop.paypal)
    return shop.orders.get(order.id)


def test_what_was_received_is_refunded_by_its_units(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5, price_minor=1999), shop.make_stock("DESK", 5, price_minor=10000)
    order, goods = received(shop, {lamp: 3, desk: 1}, {lamp: 2})

    refunded = refund(shop, goods, shipping_minor=590)
    after = finish(shop, order)

    [asked] = after.refunds
    assert refunded.goods.refund_id == asked.id
    assert [(line.sku, line.quantity, line.amount_minor, line.restock) for line in asked.lines] == [
        (lamp, 2, 3998, False)
    ]
    assert (asked.state, asked.amount_minor, asked.shipping_minor) == ("completed", 4588, 590)
    assert (after.refunded_minor, after.status) == (4588, "completed")
    assert shop.level(lamp) == (4, 0)  # on the shelf since the reception, and not once more
    assert shop.paypal.called("refund") == 1


def test_the_units_of_a_return_are_refunded_once(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order, goods = received(shop, {lamp: 3}, {lamp: 1})
    first = refund(shop, goods)

    with pytest.raises(ReturnRefunded) as again:
        refund(shop, goods)
    finish(shop, order)
    with pytest.raises(ReturnRefunded):
        refund(shop, goods)

    assert again.value.data == {"refund_id": first.goods.refund_id}
    assert [(asked.amount_minor, asked.state) for asked in shop.orders.get(order.id).refunds] == [(1000, "completed")]


def test_units_that_staff_have_refunded_before_are_not_refunded_for_a_return(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order, goods = received(shop, {lamp: 2}, {lamp: 2})
    lines = (refunding.AskedLine(lamp, 1, restock=False),)
    before = refunding.ask_refund(refunding.AskRefund(uuid4(), lines, 0, 0, "goodwill", STAFF))
    shop.orders.settle(order.id, command=before)

    with pytest.raises(UnitsRefunded) as refused:
        refund(shop, goods)

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "refundable": 1}]}
    assert shop.returns.get(goods.id).goods.refund_id is None
    assert len(shop.orders.get(order.id).refunds) == 1


def test_a_refund_that_paypal_refused_can_be_asked_for_again_and_one_taken_up_again_cannot(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order, goods = received(shop, {lamp: 1}, {lamp: 1})
    first = refund(shop, goods).goods.refund_id
    assert first is not None
    shop.orders.fail_refund(first, "REFUND_FAILED_INSUFFICIENT_FUNDS")

    second = refund(shop, goods).goods.refund_id
    assert second is not None
    shop.orders.fail_refund(second, "REFUND_FAILED_INSUFFICIENT_FUNDS")
    taken_up = refunding.retry_refund(second, new_id=uuid4(), actor=STAFF)
    shop.orders.settle(order.id, command=taken_up)
    with pytest.raises(ReturnRefunded):
        refund(shop, goods)

    assert [asked.state for asked in finish(shop, order).refunds] == ["failed", "failed", "completed"]
    assert shop.orders.get(order.id).refunded_minor == 1000


def test_a_return_that_was_refunded_after_a_refusal_is_not_paid_again_by_a_retry_of_that(shop: Shop) -> None:
    """The second lamp is still the buyer's, so its units would not stop it."""
    lamp = shop.make_stock("LAMP", 5)
    order, goods = received(shop, {lamp: 2}, {lamp: 1})
    first = refund(shop, goods).goods.refund_id
    assert first is not None
    shop.orders.fail_refund(first, "REFUND_FAILED_INSUFFICIENT_FUNDS")
    refund(shop, goods)
    before = finish(shop, order)

    with pytest.raises(NotRetryable):
        shop.desk.change(order.number, refunding.retry_refund(first, new_id=uuid4(), actor=STAFF))

    assert shop.orders.get(order.id) == before
    assert [(asked.state, asked.retries) for asked in before.refunds] == [("failed", None), ("completed", first)]
    assert before.refunded_minor == 1000


def test_nothing_is_refunded_for_what_never_came(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 1})
    waiting = ask(shop, order, {lamp: 1})

    with pytest.raises(NotReceived):
        refund(shop, waiting)
    approve(shop, waiting)
    receive(shop, waiting)
    with pytest.raises(NotReceived):
        refund(shop, waiting, amount_minor=100)

    assert shop.orders.get(order.id).refunds == ()


def test_one_return_refunded_by_six_at_once_is_refunded_once(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order, goods = received(shop, {lamp: 3}, {lamp: 1})

    done, refused = at_once([lambda: refund(shop, goods)] * 6)

    assert (len(done), [type(error) for error in refused]) == (1, [ReturnRefunded] * 5)
    assert finish(shop, order).refunded_minor == 1000
    assert shop.paypal.called("refund") == 1


# Lists ------------------------------------------------------------------------------------------------


def test_returns_are_listed_by_state_and_order_page_by_page(shop: Shop) -> None:
    shop.clock.advance(days=1000)  # the tests beside this one share its lists, and move their clocks by days
    lamp = shop.make_stock("LAMP", 9)
    order = shop.delivered_order({lamp: 3})
    made = [ask(shop, order, {lamp: 1}) for _ in range(3)]
    approve(shop, made[1])
    receive(shop, made[1], broken(lamp, 1))
    newest = ask(shop, shop.delivered_order({lamp: 1}), {lamp: 1})
    listed = shop.returns.list_returns

    first = listed(state=None, order_number=order.number, before=None, limit=2)
    last = first[-1].goods
    rest = listed(state=None, order_number=order.number, before=(last.requested_at, last.id), limit=2)
    waiting = listed(state="requested", order_number=order.number, before=None, limit=9)
    of_all = listed(state="requested", order_number=None, before=None, limit=2)
    older = listed(state="received", order_number=None, before=(newest.requested_at, newest.id), limit=1)

    assert [each.goods.id for each in [*first, *rest]] == [made[2].id, made[1].id, made[0].id]
    assert [each.goods.id for each in waiting] == [made[2].id, made[0].id]
    assert [each.goods.id for each in of_all] == [newest.id, made[2].id]
    assert [each.goods.id for each in older] == [made[1].id]
    assert first[1].goods == shop.returns.get(made[1].id).goods
    assert (first[1].order_number, first[1].order_status) == (order.number, "completed")


# At once ----------------------------------------------------------------------------------------------


def test_two_requests_for_the_same_unit_at_once_make_one_return(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 1})

    done, refused = at_once([lambda: ask(shop, order, {lamp: 1})] * 6)

    assert (len(done), [type(error) for error in refused]) == (1, [NotReturnable] * 5)
    assert return_events(shop, order) == ["return.requested"]


def test_a_parcel_that_came_back_is_received_once_by_eight_hands(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.delivered_order({lamp: 2})
    goods = ask(shop, order, {lamp: 2})
    approve(shop, goods)

    done, refused = at_once([lambda: receive(shop, goods, good(lamp, 2))] * 8)

    assert (len(done), refused) == (8, [])
    assert shop.level(lamp) == (5, 0)
    assert returned(shop, order) == [2]
    assert return_events(shop, order).count("return.received") == 1


def test_a_return_is_approved_or_rejected_never_both(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    goods = ask(shop, shop.delivered_order({lamp: 1}), {lamp: 1})

    done, refused = at_once([lambda: approve(shop, goods), lambda: reject(shop, goods)] * 4)

    winner = shop.returns.get(goods.id).goods.state
    assert {found.goods.state for found in done} == {winner}
    assert (len(done), [type(error) for error in refused]) == (4, [ReturnMoved] * 4)


# Whatever buyers and staff do -----------------------------------------------------------------------------


class ReturnsDesk(RuleBasedStateMachine):
    """A buyer asks, staff decide, receive and close, parcels leave meanwhile; a model counts along."""

    url: str

    @initialize(quantity=st.integers(2, 5))
    def buy(self, quantity: int) -> None:
        self.shop = Shop(self.url, pool_size=2)
        self.lamp = self.shop.make_stock("LAMP", 10)
        self.order = self.shop.paid_order({self.lamp: quantity})
        self.here, self.left, self.back, self.restocked = quantity, 0, 0, 0
        self.states: dict[Return, str] = {}

    def _open(self) -> int:
        return sum(
            goods.units_of(self.lamp) for goods, state in self.states.items() if state in ("requested", "approved")
        )

    def _try(self, goods: Return, work: Callable[[], object], *, to: str, allowed: tuple[str, ...]) -> bool:
        """Whether it was done now, and not before."""
        state = self.states[goods]
        try:
            work()
        except ReturnMoved:
            assert state not in allowed
            return False
        assert state in (*allowed, to)
        self.states[goods] = to
        return state != to

    @precondition(lambda self: self.here)
    @rule(data=st.data())
    def hand_over(self, data: st.DataObject) -> None:
        units = data.draw(st.integers(1, self.here))
        self.shop.ship(self.shop.draft(self.order, {self.lamp: units}), number=uuid4().hex)
        self.here, self.left = self.here - units, self.left + units

    @rule(quantity=st.integers(1, 4))
    def ask(self, quantity: int) -> None:
        fits = quantity <= self.left - self.back - self._open()
        try:
            self.states[ask(self.shop, self.order, {self.lamp: quantity})] = "requested"
        except NotReturnable:
            assert not fits
        else:
            assert fits

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def approve(self, data: st.DataObject) -> None:
        goods = data.draw(st.sampled_from(list(self.states)))
        self._try(goods, lambda: approve(self.shop, goods), to="approved", allowed=("requested",))

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def reject(self, data: st.DataObject) -> None:
        goods = data.draw(st.sampled_from(list(self.states)))
        self._try(goods, lambda: reject(self.shop, goods), to="rejected", allowed=("requested",))

    @precondition(lambda self: self.states)
    @rule(data=st.data(), restock=st.booleans())
    def receive(self, data: st.DataObject, restock: bool) -> None:
        goods = data.draw(st.sampled_from(list(self.states)))
        units = data.draw(st.integers(0, goods.units_of(self.lamp)))
        receipts = [Receipt(self.lamp, units, "seen", restock)] if units else []
        again = self.states[goods] == "received" and self.shop.returns.get(goods.id).goods.receipts == tuple(receipts)
        if self.states[goods] == "received" and not again:
            with pytest.raises(ReturnMoved):
                receive(self.shop, goods, *receipts)
            return
        if self._try(goods, lambda: receive(self.shop, goods, *receipts), to="received", allowed=("approved",)):
            self.back += units
            self.restocked += units if restock else 0

    @precondition(lambda self: self.states)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        goods = data.draw(st.sampled_from(list(self.states)))
        self._try(goods, lambda: close(self.shop, goods), to="closed", allowed=("received",))

    def teardown(self) -> None:
        if not hasattr(self, "shop"):
            return
        [line] = self.shop.orders.get(self.order.id).lines
        assert (line.allocated, line.consumed, line.returned) == (self.here, self.left, self.back)
        assert self.shop.level(self.lamp) == (10 - self.left + self.restocked, self.here)
        self.shop.database.close()
        assert audit_database(self.url) == []


def test_whatever_buyers_and_staff_do_no_unit_comes_back_twice(module_database: Address) -> None:
    machine = type("ReturnsDeskHere", (ReturnsDesk,), {"url": module_database.url})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=PROPERTY_EXAMPLES // 5,
            stateful_step_count=14,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
