"""What staff send and see of shipments (DESIGN.md section 5)."""

from typing import Annotated

from msgspec import Meta

from shared.edge.buying_views import ShipmentLineView, shipment_line_views
from shared.edge.inventory_views import Sku
from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import SEEN_LINE
from shared.kernel.clock import iso
from shared.orders.fulfilling import Fulfilment, ListedShipment
from shared.shipping.shipments import ShipmentLine

OrderNumber = Annotated[str, Meta(min_length=1, max_length=20)]
# What fits into a line of an order.
Quantity = Annotated[int, Meta(ge=1, le=999)]
# PayPal Orders v2, order_tracker_request: carrier_name_other and tracking_number have 64 characters at most.
Carrier = Annotated[str, Meta(min_length=1, max_length=64, pattern=SEEN_LINE)]
TrackingNumber = Annotated[str, Meta(min_length=1, max_length=64, pattern=SEEN_LINE)]


class ShipmentsQuery(Query, frozen=True, kw_only=True):
    order_number: OrderNumber | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class ShipmentLineBody(Body, frozen=True, kw_only=True):
    sku: Sku
    quantity: Quantity


class ShipmentBody(Body, frozen=True, kw_only=True):
    """Which units of an order are to travel together."""

    order_number: OrderNumber
    lines: Annotated[list[ShipmentLineBody], Meta(min_length=1, max_length=200)]

    def shipment_lines(self) -> list[ShipmentLine]:
        return [ShipmentLine(line.sku, line.quantity) for line in self.lines]


class HandOverBody(Body, frozen=True, kw_only=True):
    carrier: Carrier
    tracking_number: TrackingNumber


class AdminShipmentView(View, frozen=True, kw_only=True):
    """`status` is draft, in_transit, delivered, exception, returned or cancelled."""

    id: str
    order_number: str
    order_status: str
    status: str
    carrier: str | None
    tracking_number: str | None
    lines: list[ShipmentLineView]
    created_at: str
    shipped_at: str | None
    delivered_at: str | None


class ShipmentsPage(View, frozen=True, kw_only=True):
    items: list[AdminShipmentView]
    next_cursor: str | None


def shipment_view(found: Fulfilment) -> AdminShipmentView:
    return listed_shipment_view(ListedShipment(found.order.number, found.order.status, found.shipment))


def listed_shipment_view(found: ListedShipment) -> AdminShipmentView:
    shipment = found.shipment
    return AdminShipmentView(
        id=str(shipment.id),
        order_number=found.order_number,
        order_status=found.order_status,
        status=shipment.state,
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        lines=shipment_line_views(shipment),
        created_at=iso(shipment.created_at),
        shipped_at=iso(shipment.shipped_at) if shipment.shipped_at else None,
        delivered_at=iso(shipment.delivered_at) if shipment.delivered_at else None,
    )
