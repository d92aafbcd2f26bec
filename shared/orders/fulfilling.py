"""Fulfilling: units of a paid order are handed over, travel, and arrive (DESIGN.md section 4).

Staff draft a shipment, ship it by carrier and number, and say that it arrived; whoever hears from a carrier says the
same through the same steps. The first hand-over makes the order `fulfilling`, the last arrival `completed`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from shared.kernel.errors import Conflict, Field, Invalid
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.orders.order import Order
from shared.payments.processor import TrackedItem, Tracker, Tracking
from shared.shipping.shipments import Shipment, ShipmentLine

log = Log(__name__)

SHIPPABLE = ("paid", "fulfilling")


class NotShippable(Conflict):
    """The order waits for its money, is on hold, or is over; `status` says which."""

    sentence = "Nothing of this order can be handed over as it is now."


class NotAllocated(Conflict):
    """`lines` names SKU, the units wanted, and those of the order that are still here and in no other shipment."""

    sentence = "The order has fewer units left to ship than that."

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        super().__init__(lines=list(lines))


class UnitsStillHere(Conflict):
    """An order is not closed while paid units were neither handed over nor cancelled; `lines` names them."""

    sentence = "Some units of this order are still here. Ship them, or cancel and refund them first."

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        super().__init__(lines=list(lines))


@dataclass(frozen=True, slots=True)
class Fulfilment:
    """A shipment, and the order that it is of."""

    order: Order
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class ListedShipment:
    """A shipment in a list, with what a list says of its order."""

    order_number: str
    order_status: str
    shipment: Shipment


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of an order and one of its shipments, and what is done on the way; `action` is for the audit log."""

    order: Order
    shipment: Shipment
    action: Literal["shipment.drafted", "shipment.shipped", "shipment.delivered", "shipment.cancelled"]


class Store(Protocol):
    """What fulfilling needs of the database; each method is one step."""

    def draft(
        self,
        order_number: str,
        decide: Callable[[Order, datetime], Outcome],
        *,
        actor: str,
        answering: Answering[Fulfilment] | None = None,
    ) -> Fulfilment:
        """Write a new shipment as decided under the order's lock. Raises OrderNotFound, NotAllocated, and what `decide`
        does.
        """
        ...

    def move(
        self,
        shipment_id: UUID,
        decide: Callable[[Order, Shipment, datetime], Outcome],
        *,
        actor: str,
        answering: Answering[Fulfilment] | None = None,
    ) -> Fulfilment:
        """Move a shipment as decided under the locks of order and shipment; a hand-over takes its units from stock, and
        a shipment that stays as it was writes nothing. Raises ShipmentNotFound, NotShippable, NotAllocated, and what
        `decide` does.
        """
        ...

    def close(
        self,
        order_number: str,
        decide: Callable[[Order], Order],
        *,
        actor: str,
        answering: Answering[Order] | None = None,
    ) -> Order:
        """Raises OrderNotFound, and what `decide` does."""
        ...


def draft_shipment(
    order_number: str,
    lines: Sequence[ShipmentLine],
    *,
    store: Store,
    actor: str,
    answering: Answering[Fulfilment] | None = None,
) -> Fulfilment:
    """Plan to send these units; they stay allocated until they are handed over.

    Raises OrderNotFound, NotShippable, NotAllocated, and Invalid for a SKU that is named twice or not the order's.
    """

    def decide(order: Order, now: datetime) -> Outcome:
        _require_shippable(order)
        _require_lines_of(order, lines)
        planned = [shipment for shipment in order.shipments if shipment.is_planned]
        left = {
            line.sku: line.allocated - sum(shipment.units_of(line.sku) for shipment in planned) for line in order.lines
        }
        short = [
            {"sku": line.sku, "wanted": line.quantity, "available": max(left[line.sku], 0)}
            for line in lines
            if left[line.sku] < line.quantity
        ]
        if short:
            raise NotAllocated(short)
        shipment = Shipment(new_id(), order.id, "draft", tuple(sorted(lines, key=lambda line: line.sku)), now)
        return Outcome(replace(order, shipments=(*order.shipments, shipment)), shipment, "shipment.drafted")

    return store.draft(order_number, decide, actor=actor, answering=answering)


def ship(
    shipment_id: UUID,
    carrier: str,
    tracking_number: str,
    *,
    store: Store,
    actor: str,
    answering: Answering[Fulfilment] | None = None,
) -> Fulfilment:
    """Hand a shipment over: its units leave the stock, the buyer hears of it, and PayPal is told the number.

    The same again is the same once. Raises ShipmentNotFound, ShipmentMoved, NotShippable, NotAllocated.
    """

    def decide(order: Order, shipment: Shipment, now: datetime) -> Outcome:
        moved = shipment.hand_over(carrier, tracking_number, at=now)
        if moved != shipment:
            _require_shippable(order)
            order = replace(order, status="fulfilling", status_reason=None)
        return _outcome(order, moved, "shipment.shipped")

    return store.move(shipment_id, decide, actor=actor, answering=answering)


def deliver(
    shipment_id: UUID, *, store: Store, actor: str, answering: Answering[Fulfilment] | None = None
) -> Fulfilment:
    """A shipment has arrived; an order of which everything has is completed. Raises ShipmentNotFound, ShipmentMoved."""

    def decide(order: Order, shipment: Shipment, now: datetime) -> Outcome:
        return _outcome(order, shipment.deliver(at=now), "shipment.delivered")

    return store.move(shipment_id, decide, actor=actor, answering=answering)


def cancel_shipment(
    shipment_id: UUID, *, store: Store, actor: str, answering: Answering[Fulfilment] | None = None
) -> Fulfilment:
    """Send a draft nowhere; its units are the order's as before. Raises ShipmentNotFound, ShipmentMoved."""

    def decide(order: Order, shipment: Shipment, now: datetime) -> Outcome:
        return _outcome(order, shipment.cancel(), "shipment.cancelled")

    return store.move(shipment_id, decide, actor=actor, answering=answering)


def close_order(order_number: str, *, store: Store, actor: str, answering: Answering[Order] | None = None) -> Order:
    """Staff call an order completed though not every parcel was seen to arrive; closing twice is once.

    Raises OrderNotFound, NotShippable, UnitsStillHere.
    """

    def decide(order: Order) -> Order:
        if order.status == "completed":
            return order
        if order.status != "fulfilling":
            raise NotShippable(status=order.status)
        here = [{"sku": line.sku, "quantity": line.allocated} for line in order.lines if line.allocated]
        if here:
            raise UnitsStillHere(here)
        return replace(order, status="completed", status_reason=None)

    return store.close(order_number, decide, actor=actor, answering=answering)


def completed_if_done(order: Order) -> Order:
    """`completed` where every unit was delivered, came back or is no longer wanted."""
    if order.status == "fulfilling" and order.is_done:
        return replace(order, status="completed", status_reason=None)
    return order


def _outcome(
    order: Order, shipment: Shipment, action: Literal["shipment.shipped", "shipment.delivered", "shipment.cancelled"]
) -> Outcome:
    shipments = tuple(shipment if known.id == shipment.id else known for known in order.shipments)
    order = replace(order, shipments=shipments)
    return Outcome(completed_if_done(order) if action == "shipment.delivered" else order, shipment, action)


def _require_shippable(order: Order) -> None:
    if order.status not in SHIPPABLE:
        raise NotShippable(status=order.status)


def _require_lines_of(order: Order, lines: Sequence[ShipmentLine]) -> None:
    known = {line.sku for line in order.lines}
    bad = [
        Field(f"/lines/{index}/sku", "Is not in this order." if line.sku not in known else "Is named twice.")
        for index, line in enumerate(lines)
        if line.sku not in known or line.sku in {earlier.sku for earlier in lines[:index]}
    ]
    if bad:
        raise Invalid(bad)


# Telling PayPal -----------------------------------------------------------------------------------


class TrackingStore(Protocol):
    def find_untold(self, shipment_id: UUID) -> Fulfilment | None:
        """A shipment whose number PayPal does not have yet."""
        ...

    def record_told(self, shipment_id: UUID, refusal: str | None) -> None:
        """PayPal knows the number now, or has refused it for good."""
        ...


def tell_paypal(shipment_id: UUID, *, store: TrackingStore, processor: Tracker) -> None:
    """PayPal shows its buyer where the parcel is, and takes it as a proof of shipment in a dispute.

    Idempotent: PayPal knows a number by capture and number. Raises Unavailable while there is no definite answer.
    """
    found = store.find_untold(shipment_id)
    if found is None:
        return
    order, shipment = found.order, found.shipment
    if order.paypal_order_id is None or order.bound_capture_id is None:
        store.record_told(shipment_id, "NO_CAPTURE")
        return
    names = {line.sku: line.name for line in order.lines}
    tracking = Tracking(
        shipment_id=shipment.id,
        paypal_order_id=order.paypal_order_id,
        capture_id=order.bound_capture_id,
        carrier=shipment.carrier or "",
        tracking_number=shipment.tracking_number or "",
        items=tuple(TrackedItem(names[line.sku], line.sku, line.quantity) for line in shipment.lines),
    )
    answer = processor.track(tracking)
    if answer is not None:
        log.warning("paypal_refused_tracking", shipment_id=shipment.id, issue=answer.reason)
    store.record_told(shipment_id, answer.reason if answer is not None else None)
