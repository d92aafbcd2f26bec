"""Fulfilling: units leave the house once, never more than were paid, and the order follows them to their buyer."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from local.database import Address
from shared.kernel.errors import Invalid, ShopError, Unavailable
from shared.orders import cancelling, expiring, fulfilling, refunding
from shared.orders.fulfilling import NotAllocated, NotShippable, Outcome, UnitsStillHere
from shared.orders.order import NotCancellable, Order, OrderNotFound
from shared.orders.settling import Wish
from shared.payments.processor import Fact, Refused, Tracking
from shared.shipping.shipments import Shipment, ShipmentLine, ShipmentMoved, ShipmentNotFound
from tests.auditor.auditor import audit_database
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import Shop, at_once


class TrackingPayPal:
    """Keeps what it was told; may be away, or refuse."""

    def __init__(self, *, away: bool = False, refuses: str | None = None, loses: bool = False) -> None:
        self.told: list[Tracking] = []
        self._away = away
        self._refuses = refuses
        self._loses = loses

    def track(self, tracking: Tracking) -> Refused | None:
        if self._away:
            raise Unavailable
        if self._refuses is not None:
            return Refused(self._refuses)
        self.told.append(tracking)
        if self._loses:
            self._loses = False
            raise Unavailable
        return None


def counts(shop: Shop, order: Order) -> list[tuple[str, int, int]]:
    """(SKU, allocated, consumed)."""
    lines = shop.orders.get(order.id).lines
    return [(line.sku.rpartition("-")[0], line.allocated, line.consumed) for line in lines]


def audit_of(shop: Shop, order: Order) -> list[str]:
    rows = shop.database.call(
        "select action from audit_log where subject = :subject::text order by at, id", subject=f"order:{order.number}"
    )
    return [row["action"] for row in rows]


# Handing over ---------------------------------------------------------------------------------------


def test_a_shipped_order_has_left_the_stock_in_one_movement_and_is_fulfilling(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})

    draft = shop.draft(order, {lamp: 2})
    before = shop.level(lamp)
    shipped = shop.ship(draft, carrier="DHL", number="JJD0001")

    assert before == (5, 2)
    assert (shipped.shipment.state, shipped.order.status) == ("in_transit", "fulfilling")
    assert shop.level(lamp) == (3, 0)
    assert counts(shop, order) == [("LAMP", 0, 2)]
    assert shop.movements(order) == [("hold", 0, 2), ("allocate", 0, 0), ("ship", -2, -2)]
    assert shop.events(order) == ["order.placed", "order.paid", "order.shipped"]
    assert audit_of(shop, order) == ["shipment.drafted", "shipment.shipped"]


def test_the_event_of_a_shipment_says_what_travels_with_whom(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})

    shipment = shop.ship(shop.draft(order, {lamp: 1}), carrier="UPS", number="1Z999").shipment

    [row] = shop.database.call(
        "select payload from outbox where name = 'order.shipped' and payload -> 'order' ->> 'id' = :id::text",
        id=str(order.id),
    )
    told = row["payload"]["shipment"]
    assert (told["id"], told["carrier"], told["tracking_number"]) == (str(shipment.id), "UPS", "1Z999")
    assert told["lines"] == [{"sku": lamp, "quantity": 1}]
    assert row["payload"]["order"]["status"] == "fulfilling"


def test_the_order_is_completed_when_its_last_parcel_arrives(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    order = shop.paid_order({lamp: 2, desk: 1})
    first = shop.ship(shop.draft(order, {lamp: 2})).shipment
    second = shop.ship(shop.draft(order, {desk: 1}), number="JJD0002").shipment

    after_one = shop.deliver(first).order.status
    after_all = shop.deliver(second).order.status

    assert (after_one, after_all) == ("fulfilling", "completed")
    assert [shipment.state for shipment in shop.orders.get(order.id).shipments] == ["delivered", "delivered"]


def test_an_order_of_which_a_part_is_still_here_is_not_completed(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})

    shop.deliver(shop.ship(shop.draft(order, {lamp: 2})).shipment)

    assert shop.orders.get(order.id).status == "fulfilling"
    assert shop.level(lamp) == (3, 1)


def test_saying_the_same_again_is_the_same_once(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shipment = shop.draft(order, {lamp: 2})

    first, again = shop.ship(shipment), shop.ship(shipment)
    arrived, again_arrived = shop.deliver(shipment), shop.deliver(shipment)

    assert (again.shipment, again_arrived.shipment) == (first.shipment, arrived.shipment)
    assert shop.level(lamp) == (3, 0)
    assert shop.events(order).count("order.shipped") == 1
    assert audit_of(shop, order) == ["shipment.drafted", "shipment.shipped", "shipment.delivered"]


def test_a_shipped_parcel_takes_no_other_number(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    shipment = shop.draft(shop.paid_order({lamp: 1}), {lamp: 1})
    shop.ship(shipment, number="JJD0001")

    with pytest.raises(ShipmentMoved) as refused:
        shop.ship(shipment, number="JJD0002")

    assert refused.value.data == {"status": "in_transit"}
    assert shop.fulfilments.get(shipment.id).shipment.tracking_number == "JJD0001"


def test_a_failed_edit_of_a_shipped_order_changes_no_stock(shop: Shop) -> None:
    """S15: whatever is refused after the hand-over resurrects no hold and gives nothing back."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.shipped_order({lamp: 2})
    moved, events = shop.movements(order), shop.events(order)
    shipment = order.shipments[0]
    edits: list[tuple[Callable[[], object], type[ShopError]]] = [
        (lambda: shop.draft(order, {lamp: 1}), NotAllocated),
        (lambda: shop.ship(shipment, number="OTHER"), ShipmentMoved),
        (lambda: fulfilling.cancel_shipment(shipment.id, store=shop.fulfilments, actor="staff:1"), ShipmentMoved),
        (
            lambda: expiring.cancel_order(order.id, reason="buyer", actor="buyer", store=shop.orders),
            NotCancellable,
        ),
    ]

    for edit, refusal in edits:
        with pytest.raises(refusal):
            edit()
    shop.orders.settle(order.id, wish=Wish("expired"))

    assert shop.level(lamp) == (3, 0)
    assert counts(shop, order) == [("LAMP", 0, 2)]
    assert (shop.movements(order), shop.events(order)) == (moved, events)
    assert shop.orders.get(order.id).status == "fulfilling"


# What may not leave -----------------------------------------------------------------------------------


def test_a_plan_has_never_more_units_than_the_order_has_left(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shop.draft(order, {lamp: 2})

    with pytest.raises(NotAllocated) as refused:
        shop.draft(order, {lamp: 2})

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "available": 1}]}
    assert len(shop.orders.get(order.id).shipments) == 1


def test_a_plan_names_each_sku_of_the_order_once(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 5), shop.make_stock("DESK", 5)
    order = shop.paid_order({lamp: 2})
    lines = [ShipmentLine(lamp, 1), ShipmentLine(desk, 1), ShipmentLine(lamp, 1)]

    with pytest.raises(Invalid) as refused:
        fulfilling.draft_shipment(order.number, lines, store=shop.fulfilments, actor="staff:1")

    assert [(field.pointer, field.detail) for field in refused.value.fields] == [
        ("/lines/1/sku", "Is not in this order."),
        ("/lines/2/sku", "Is named twice."),
    ]


def test_what_was_not_paid_is_not_shipped(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    waiting = shop.order({lamp: 1})

    with pytest.raises(NotShippable) as refused:
        shop.draft(waiting, {lamp: 1})

    assert refused.value.data == {"status": "pending_payment"}
    assert shop.level(lamp) == (5, 1)


def test_nothing_leaves_while_the_order_is_on_hold(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    draft = shop.draft(order, {lamp: 1})
    [capture] = shop.paypal.captures.values()
    shop.orders.settle(order.id, facts=[shop.paypal.make_refund(capture, 100)], source="webhook")

    with pytest.raises(NotShippable) as refused:
        shop.ship(draft)

    assert refused.value.data == {"status": "on_hold"}
    assert shop.level(lamp) == (5, 1)
    assert shop.fulfilments.get(draft.id).shipment.state == "draft"


def test_a_draft_is_cancelled_and_its_units_can_travel_otherwise(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    draft = shop.draft(order, {lamp: 2})

    for _ in range(2):
        cancelled = fulfilling.cancel_shipment(draft.id, store=shop.fulfilments, actor="staff:1")
    with pytest.raises(ShipmentMoved):
        shop.ship(draft)
    shop.ship(shop.draft(order, {lamp: 2}))

    assert cancelled.shipment.state == "cancelled"
    assert shop.level(lamp) == (3, 0)
    assert audit_of(shop, order) == [
        "shipment.drafted",
        "shipment.cancelled",
        "shipment.drafted",
        "shipment.shipped",
    ]


def test_what_is_not_there_is_not_found(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 1)

    with pytest.raises(ShipmentNotFound):
        fulfilling.deliver(uuid4(), store=shop.fulfilments, actor="staff:1")
    with pytest.raises(OrderNotFound):
        fulfilling.draft_shipment("0000000000", [ShipmentLine(lamp, 1)], store=shop.fulfilments, actor="staff:1")


def test_the_stock_itself_refuses_units_that_are_not_allocated(shop: Shop) -> None:
    """The guard in SQL, under whatever Python has decided."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    with pytest.raises(NotAllocated) as refused:
        shop.database.call(
            "select ship_stock_v1(:id::uuid, :lines::jsonb, 'test', '', :now::timestamptz)",
            id=order.id,
            lines=f'[{{"sku": "{lamp}", "quantity": 2}}]',
            now=shop.clock.now(),
        )

    assert refused.value.data == {"lines": [{"sku": lamp, "wanted": 2, "available": 1}]}
    assert shop.level(lamp) == (5, 1)


def test_the_stock_itself_refuses_an_order_on_hold_whatever_was_decided(shop: Shop) -> None:
    """The same step, with a decision that forgot to look at the order: the guard in SQL sees the order as it was."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})
    draft = shop.draft(order, {lamp: 1})
    [capture] = shop.paypal.captures.values()
    shop.orders.settle(order.id, facts=[shop.paypal.make_refund(capture, 100)], source="webhook")

    def decide(order: Order, shipment: Shipment, now: datetime) -> Outcome:
        moved = shipment.hand_over("DHL", "JJD0001", at=now)
        return Outcome(replace(order, status="fulfilling", status_reason=None), moved, "shipment.shipped")

    with pytest.raises(NotShippable) as refused:
        shop.fulfilments.move(draft.id, decide, actor="staff:1")

    assert refused.value.data == {"status": "on_hold"}
    assert shop.level(lamp) == (5, 1)
    assert shop.orders.get(order.id).status == "on_hold"
    assert shop.fulfilments.get(draft.id).shipment.state == "draft"


# At once ----------------------------------------------------------------------------------------------


def test_one_parcel_is_handed_over_once_by_eight_hands(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shipment = shop.draft(order, {lamp: 2})

    done, refused = at_once([lambda: shop.ship(shipment)] * 8)

    assert (len(done), refused) == (8, [])
    assert shop.level(lamp) == (3, 0)
    assert shop.movements(order)[2:] == [("ship", -2, -2)]
    assert shop.events(order).count("order.shipped") == 1


def test_two_plans_for_the_last_unit_make_one_plan(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 1})

    done, refused = at_once([lambda: shop.draft(order, {lamp: 1})] * 6)

    assert (len(done), [type(error) for error in refused]) == (1, [NotAllocated] * 5)


def test_parcels_of_one_order_leave_at_once_without_a_deadlock(shop: Shop) -> None:
    lamp, desk = shop.make_stock("LAMP", 9), shop.make_stock("DESK", 9)
    order = shop.paid_order({lamp: 4, desk: 4})
    drafts = [shop.draft(order, {lamp: 1, desk: 1}) for _ in range(4)]

    def leave(number: int) -> Callable[[], object]:
        return lambda: shop.ship(drafts[number], number=f"N{number}")

    done, refused = at_once([leave(number) for number in range(4)])

    assert (len(done), refused) == (4, [])
    assert (shop.level(lamp), shop.level(desk)) == ((5, 0), (5, 0))
    assert counts(shop, order) == [("LAMP", 0, 4), ("DESK", 0, 4)]


def _shipping(shop: Shop, shipment: Shipment) -> Callable[[], object]:
    return lambda: shop.ship(shipment)


def _hearing(shop: Shop, order: Order, fact: Fact) -> Callable[[], object]:
    return lambda: shop.orders.settle(order.id, facts=[fact], source="webhook")


def test_a_parcel_leaves_or_its_order_is_held_back_never_both(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 40)
    for _ in range(8):
        order = shop.paid_order({lamp: 1})
        draft = shop.draft(order, {lamp: 1})
        [capture] = [made for made in shop.paypal.captures.values() if made.custom_id == str(order.id)]
        refund = shop.paypal.make_refund(capture, 100)

        done, refused = at_once([_shipping(shop, draft), _hearing(shop, order, refund)])

        after = shop.orders.get(order.id)
        has_left = after.shipments[0].is_handed_over
        assert (len(done), [type(error) for error in refused]) == ((2, []) if has_left else (1, [NotShippable]))
        assert after.status == ("fulfilling" if has_left else "on_hold")


# Cancelled meanwhile ------------------------------------------------------------------------------------


def test_a_cancelled_order_is_restocked_and_its_shipment_goes_nowhere(shop: Shop) -> None:
    """S48."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    draft = shop.draft(order, {lamp: 2})

    command = cancelling.cancel_order(refund_id=uuid4(), reason="staff", actor="staff:1", is_staff=True)
    shop.orders.settle(order.id, command=command)
    with pytest.raises(ShipmentMoved) as refused:
        shop.ship(draft)
    with pytest.raises(NotShippable):
        shop.draft(order, {lamp: 1})

    after = shop.orders.get(order.id)
    assert refused.value.data == {"status": "cancelled"}
    assert (after.status, [shipment.state for shipment in after.shipments]) == ("cancelled", ["cancelled"])
    assert shop.movements(order) == [("hold", 0, 2), ("allocate", 0, 0), ("cancel", 0, -2)]
    assert shop.level(lamp) == (5, 0)
    assert "order.shipped" not in shop.events(order)


def test_an_order_is_cancelled_or_its_parcel_leaves_never_both(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 40)
    for _ in range(8):
        order = shop.paid_order({lamp: 1})
        draft = shop.draft(order, {lamp: 1})

        done, refused = at_once([_shipping(shop, draft), _cancelling(shop, order)])

        after = shop.orders.get(order.id)
        has_left = after.shipments[0].is_handed_over
        assert (len(done), len(refused)) == (1, 1)
        assert (after.status, after.has_handed_over) == (("fulfilling", True) if has_left else ("cancelled", False))
        assert isinstance(refused[0], NotCancellable if has_left else (ShipmentMoved, NotShippable))


def _cancelling(shop: Shop, order: Order) -> Callable[[], object]:
    command = cancelling.cancel_order(refund_id=uuid4(), reason="staff", actor="staff:1", is_staff=True)
    return lambda: shop.orders.settle(order.id, command=command)


def test_an_order_of_which_the_rest_is_cancelled_is_completed(shop: Shop) -> None:
    """Units that are given up are no longer waited for; a plan that still counts on them does not leave."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    shop.deliver(shop.ship(shop.draft(order, {lamp: 1})).shipment)
    planned = shop.draft(order, {lamp: 2})
    lines = (refunding.AskedLine(lamp, 2, restock=True),)

    given_up = refunding.ask_refund(refunding.AskRefund(uuid4(), lines, 0, 0, "broken here", "staff:1"))
    shop.orders.settle(order.id, command=given_up)
    with pytest.raises(ShipmentMoved) as refused:
        shop.ship(planned)

    assert refused.value.data == {"status": "cancelled"}
    assert [shipment.state for shipment in shop.orders.get(order.id).shipments] == ["delivered", "cancelled"]
    assert shop.orders.get(order.id).status == "completed"
    assert counts(shop, order) == [("LAMP", 0, 1)]
    assert shop.level(lamp) == (4, 0)


def test_a_plan_for_units_that_were_given_up_does_not_leave(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})
    planned = shop.draft(order, {lamp: 3})
    lines = (refunding.AskedLine(lamp, 1, restock=True),)

    given_up = refunding.ask_refund(refunding.AskRefund(uuid4(), lines, 0, 0, "broken here", "staff:1"))
    shop.orders.settle(order.id, command=given_up)
    with pytest.raises(ShipmentMoved) as refused:
        shop.ship(planned)

    assert refused.value.data == {"status": "cancelled"}
    assert shop.level(lamp) == (5, 2)
    assert shop.ship(shop.draft(order, {lamp: 2})).order.status == "fulfilling"
    assert shop.level(lamp) == (3, 0)


def test_only_the_newest_plans_give_way_to_units_that_are_given_up(shop: Shop) -> None:
    lamp, shade = shop.make_stock("LAMP", 5), shop.make_stock("SHADE", 5)
    order = shop.paid_order({lamp: 4, shade: 1})
    first, second = shop.draft(order, {lamp: 1}), shop.draft(order, {lamp: 1, shade: 1})

    spare = shop.ask_refund(order, {lamp: 2}, restock=True)
    one_less = shop.ask_refund(order, {lamp: 1}, restock=True)

    assert {shipment.id: shipment.state for shipment in spare.shipments} == {first.id: "draft", second.id: "draft"}
    assert {shipment.id: shipment.state for shipment in one_less.shipments} == {
        first.id: "draft",
        second.id: "cancelled",
    }
    written = shop.database.call(
        "select detail from audit_log where subject = :s::text and action = 'refund.requested' order by at, id",
        s=f"order:{order.number}",
    )
    assert [row["detail"].get("dropped_drafts") for row in written] == [None, [str(second.id)]]
    assert shop.ship(first).shipment.state == "in_transit"
    assert shop.draft(order, {shade: 1}).state == "draft"


def test_the_refund_that_cancels_an_order_takes_its_plans_along(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    planned = shop.draft(order, {lamp: 2})

    ended = shop.ask_refund(order, {lamp: 2}, restock=True)
    with pytest.raises(ShipmentMoved):
        shop.ship(planned)

    assert (ended.status, [shipment.state for shipment in ended.shipments]) == ("cancelled", ["cancelled"])
    assert shop.level(lamp) == (5, 0)


def test_what_is_refunded_and_not_put_back_stays_planned(shop: Shop) -> None:
    """Its money is a gift, its units are the order's."""
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    planned = shop.draft(order, {lamp: 2})

    shop.ask_refund(order, {lamp: 1})

    assert shop.ship(planned).shipment.state == "in_transit"
    assert shop.level(lamp) == (3, 0)


def _giving_up(shop: Shop, order: Order, sku: str) -> Callable[[], object]:
    return lambda: shop.ask_refund(order, {sku: 1}, restock=True)


def test_of_a_refund_and_a_hand_over_at_once_no_unit_is_both_given_up_and_sent(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 20)
    for _ in range(6):
        order = shop.paid_order({lamp: 2})
        planned = shop.draft(order, {lamp: 2})

        at_once([_shipping(shop, planned), _giving_up(shop, order, lamp)])

        after = shop.orders.get(order.id)
        line = after.lines[0]
        has_left = after.shipments[0].is_handed_over
        # Handed over first, the refund is of a unit that has left and is back on the shelf.
        assert (line.consumed, line.released, line.returned) == ((2, 0, 1) if has_left else (0, 1, 0))
        assert (after.status, after.shipments[0].state) == (
            ("fulfilling", "in_transit") if has_left else ("paid", "cancelled")
        )


# Closing ----------------------------------------------------------------------------------------------


def test_staff_close_an_order_whose_parcel_nobody_saw_arrive(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.shipped_order({lamp: 2})

    for _ in range(2):
        closed = fulfilling.close_order(order.number, store=shop.fulfilments, actor="staff:1")

    assert (closed.status, shop.orders.get(order.id).status) == ("completed", "completed")
    assert audit_of(shop, order)[-1] == "fulfilment.closed"
    assert audit_of(shop, order).count("fulfilment.closed") == 1
    assert shop.deliver(order.shipments[0]).order.status == "completed"


def test_an_order_is_not_closed_while_paid_units_are_still_here(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 3})

    with pytest.raises(NotShippable) as too_early:
        fulfilling.close_order(order.number, store=shop.fulfilments, actor="staff:1")
    shop.ship(shop.draft(order, {lamp: 1}))
    with pytest.raises(UnitsStillHere) as refused:
        fulfilling.close_order(order.number, store=shop.fulfilments, actor="staff:1")

    assert too_early.value.data == {"status": "paid"}
    assert refused.value.data == {"lines": [{"sku": lamp, "quantity": 2}]}
    assert shop.orders.get(order.id).status == "fulfilling"


# Lists ------------------------------------------------------------------------------------------------


def test_shipments_are_listed_the_newest_first_page_by_page(shop: Shop) -> None:
    shop.clock.advance(days=2000)  # the tests beside this one share its lists, and move their clocks by days
    lamp = shop.make_stock("LAMP", 9)
    order, other = shop.paid_order({lamp: 3}), shop.paid_order({lamp: 1})
    made = [shop.draft(order, {lamp: 1}) for _ in range(3)]
    newest = shop.draft(other, {lamp: 1})
    shop.ship(made[1])

    first = shop.fulfilments.list_shipments(order.number, before=None, limit=2)
    last = first[-1].shipment
    rest = shop.fulfilments.list_shipments(order.number, before=(last.created_at, last.id), limit=2)
    of_all = shop.fulfilments.list_shipments(None, before=None, limit=2)
    older = shop.fulfilments.list_shipments(None, before=(newest.created_at, newest.id), limit=1)

    assert [listed.shipment.id for listed in [*first, *rest]] == [made[2].id, made[1].id, made[0].id]
    assert [listed.shipment.id for listed in [*of_all, *older]] == [newest.id, made[2].id, made[2].id]
    assert first[1].shipment == shop.fulfilments.get(made[1].id).shipment
    assert (first[1].order_number, first[1].order_status) == (order.number, "fulfilling")


# Telling PayPal ---------------------------------------------------------------------------------------


def untold(shop: Shop) -> int:
    return int(shop.database.call("select count(*) as n from shipments where paypal_state = 'due'")[0]["n"])


def test_paypal_is_told_the_number_with_the_capture_it_belongs_to(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.shipped_order({lamp: 2})
    shipment = order.shipments[0]
    paypal = TrackingPayPal()

    for _ in range(2):
        fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=paypal)

    [told] = paypal.told
    assert (told.carrier, told.tracking_number) == ("DHL", "JJD0001")
    assert (told.paypal_order_id, told.capture_id) == (order.paypal_order_id, order.bound_capture_id)
    assert [(item.sku, item.quantity) for item in told.items] == [(lamp, 2)]


def test_a_paypal_that_is_away_or_whose_answer_is_lost_is_told_again(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    shipment = shop.shipped_order({lamp: 1}).shipments[0]
    before = untold(shop)
    loses = TrackingPayPal(loses=True)

    for paypal in (TrackingPayPal(away=True), loses):
        with pytest.raises(Unavailable):
            fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=paypal)
    still_due = untold(shop)
    shop.clock.advance(minutes=2)
    woken = shop.fulfilments.take_untold(shop.clock.now(), 1000)
    fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=loses)

    assert (still_due, untold(shop)) == (before, before - 1)
    assert shipment.id in woken
    assert len({(told.capture_id, told.tracking_number) for told in loses.told}) == 1


def test_a_number_that_paypal_refuses_is_refused_for_good(shop: Shop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    shipment = shop.shipped_order({lamp: 1}).shipments[0]

    refusing, later = TrackingPayPal(refuses="CAPTURE_STATUS_NOT_VALID"), TrackingPayPal()
    fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=refusing)
    fulfilling.tell_paypal(shipment.id, store=shop.fulfilments, processor=later)

    row = shop.database.call("select paypal_state, paypal_refusal from shipments where id = :id::uuid", id=shipment.id)[
        0
    ]
    assert row == {"paypal_state": "refused", "paypal_refusal": "CAPTURE_STATUS_NOT_VALID"}
    assert later.told == []


# Whatever staff do --------------------------------------------------------------------------------------


class Warehouse(RuleBasedStateMachine):
    """Staff draft, ship, deliver, cancel and close in any order; a model counts along, the auditor looks in."""

    url: str

    @initialize(quantity=st.integers(1, 4))
    def buy(self, quantity: int) -> None:
        self.shop = Shop(self.url, pool_size=2)
        self.lamp = self.shop.make_stock("LAMP", 10)
        self.order = self.shop.paid_order({self.lamp: quantity})
        self.here = quantity
        self.shipments: dict[Shipment, str] = {}
        self.closed = False

    def _in(self, state: str) -> list[Shipment]:
        return [shipment for shipment, known in self.shipments.items() if known == state]

    def _units_in(self, state: str) -> int:
        return sum(shipment.units_of(self.lamp) for shipment in self._in(state))

    @rule(quantity=st.integers(1, 4))
    def draft(self, quantity: int) -> None:
        fits = quantity <= self.here - self._units_in("draft") and not self.closed
        try:
            self.shipments[self.shop.draft(self.order, {self.lamp: quantity})] = "draft"
        except (NotAllocated, NotShippable):
            assert not fits
        else:
            assert fits

    @precondition(lambda self: self.shipments)
    @rule(data=st.data())
    def ship(self, data: st.DataObject) -> None:
        shipment = data.draw(st.sampled_from(list(self.shipments)))
        try:
            self.shop.ship(shipment)
        except ShipmentMoved:
            assert self.shipments[shipment] == "cancelled"
            return
        if self.shipments[shipment] == "draft":
            self.shipments[shipment] = "in_transit"
            self.here -= shipment.units_of(self.lamp)

    @precondition(lambda self: self.shipments)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        shipment = data.draw(st.sampled_from(list(self.shipments)))
        try:
            self.shop.deliver(shipment)
        except ShipmentMoved:
            assert self.shipments[shipment] in ("draft", "cancelled")
        else:
            self.shipments[shipment] = "delivered"

    @precondition(lambda self: self.shipments)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        shipment = data.draw(st.sampled_from(list(self.shipments)))
        try:
            fulfilling.cancel_shipment(shipment.id, store=self.shop.fulfilments, actor="staff:1")
        except ShipmentMoved:
            assert self.shipments[shipment] in ("in_transit", "delivered")
        else:
            self.shipments[shipment] = "cancelled"

    @rule()
    def close(self) -> None:
        try:
            fulfilling.close_order(self.order.number, store=self.shop.fulfilments, actor="staff:1")
        except (UnitsStillHere, NotShippable):
            assert self.here
        else:
            assert self.here == 0
            self.closed = True

    def teardown(self) -> None:
        if not hasattr(self, "shop"):
            return
        gone = self._units_in("in_transit") + self._units_in("delivered")
        order = self.shop.orders.get(self.order.id)
        [line] = order.lines
        done = self.here == 0 and (self.closed or not self._in("in_transit"))
        assert (line.allocated, line.consumed) == (self.here, gone)
        assert self.shop.level(self.lamp) == (10 - gone, self.here)
        assert order.status == ("completed" if done else "fulfilling" if gone else "paid")
        self.shop.database.close()
        assert audit_database(self.url) == []


def test_whatever_staff_do_every_unit_is_somewhere(module_database: Address) -> None:
    machine = type("WarehouseHere", (Warehouse,), {"url": module_database.url})

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=PROPERTY_EXAMPLES // 5,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
