"""Shipments: drafted, handed over, arrived."""

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.fulfilment_views import (
    AdminShipmentView,
    HandOverBody,
    ShipmentBody,
    ShipmentsPage,
    ShipmentsQuery,
    listed_shipment_view,
    shipment_view,
)
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.orders import fulfilling
from shared.orders.fulfilling import NotAllocated, NotShippable
from shared.orders.order import OrderNotFound
from shared.persistence.fulfilment import Fulfilments
from shared.shipping.shipments import ShipmentMoved, ShipmentNotFound

routes = Routes()


@first_use
def fulfilments() -> Fulfilments:
    return Fulfilments(parts.database(), parts.clock)


@routes.get("/v1/admin/shipments", query=ShipmentsQuery, answers={200: ShipmentsPage}, permission="shipments:read")
def list_shipments(call: Call[None]) -> Reply:
    """Shipments of one order or of all, the newest first."""
    before = read_moment_cursor(call)
    number = call.query.order_number.upper() if call.query.order_number is not None else None
    found = fulfilments().list_shipments(number, before=before, limit=call.query.limit)
    cursor = cursor_after(call, found, lambda each: (each.shipment.created_at, each.shipment.id))
    return Reply(200, ShipmentsPage(items=[listed_shipment_view(each) for each in found], next_cursor=cursor))


@routes.get(
    "/v1/admin/shipments/<shipment_id>",
    answers={200: AdminShipmentView},
    errors=[ShipmentNotFound],
    permission="shipments:read",
)
def get_shipment(call: Call[None]) -> Reply:
    """One shipment as it stands."""
    return Reply(200, shipment_view(fulfilments().get(call.uuid("shipment_id"))))


@routes.post(
    "/v1/admin/shipments",
    body=ShipmentBody,
    answers={201: AdminShipmentView},
    errors=[OrderNotFound, NotShippable, NotAllocated, Invalid],
    permission="shipments:write",
)
def draft_shipment(call: Call[ShipmentBody]) -> Reply:
    """Plan to send these units of a paid order together; nothing has left yet."""
    answering = call.answering(201, shipment_view)
    number, lines = call.body.order_number.upper(), call.body.shipment_lines()
    fulfilling.draft_shipment(number, lines, store=fulfilments(), actor=call.actor, answering=answering)
    return Reply(201)


@routes.post(
    "/v1/admin/shipments/<shipment_id>/ship",
    body=HandOverBody,
    answers={200: AdminShipmentView},
    errors=[ShipmentNotFound, ShipmentMoved, NotShippable, NotAllocated],
    permission="shipments:write",
)
def ship(call: Call[HandOverBody]) -> Reply:
    """Handed over without a label of ours: the units leave the stock, the buyer and PayPal hear of the number."""
    answering = call.answering(200, shipment_view)
    shipment_id, body = call.uuid("shipment_id"), call.body
    fulfilling.ship(
        shipment_id,
        body.carrier.strip(),
        body.tracking_number.strip(),
        store=fulfilments(),
        actor=call.actor,
        answering=answering,
    )
    return Reply(200)


@routes.post(
    "/v1/admin/shipments/<shipment_id>/delivered",
    answers={200: AdminShipmentView},
    errors=[ShipmentNotFound, ShipmentMoved],
    permission="shipments:write",
)
def deliver(call: Call[None]) -> Reply:
    """The shipment has arrived; with its last one the order is completed."""
    answering = call.answering(200, shipment_view)
    fulfilling.deliver(call.uuid("shipment_id"), store=fulfilments(), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/shipments/<shipment_id>/cancel",
    answers={200: AdminShipmentView},
    errors=[ShipmentNotFound, ShipmentMoved],
    permission="shipments:write",
)
def cancel_shipment(call: Call[None]) -> Reply:
    """Forget a draft; its units stay the order's."""
    answering = call.answering(200, shipment_view)
    fulfilling.cancel_shipment(call.uuid("shipment_id"), store=fulfilments(), actor=call.actor, answering=answering)
    return Reply(200)
