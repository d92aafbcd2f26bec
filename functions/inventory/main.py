"""Inventory: stock, shipments, vouchers and the shop's settings, for staff."""

from flask import Request, Response

from shared.edge.api import Api
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
from shared.edge.inventory_views import (
    AdjustmentBody,
    CountBody,
    HoldsPage,
    LevelsPage,
    LevelView,
    MovementsPage,
    OfSkuQuery,
    SettingsBody,
    SettingsView,
    hold_view,
    level_view,
    movement_view,
    settings_view,
)
from shared.edge.paging import PageQuery, cursor_after, foreign_cursor, read_cursor, read_moment_cursor
from shared.edge.voucher_views import (
    VoucherBody,
    VoucherChangeBody,
    VouchersPage,
    VoucherView,
    voucher_view,
)
from shared.gateways.paypal_money import supports
from shared.inventory.stock import BelowHeld, NothingChanges, UnknownSku
from shared.kernel.errors import Field, Invalid
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.orders import fulfilling
from shared.orders.fulfilling import NotAllocated, NotShippable
from shared.orders.order import OrderNotFound
from shared.persistence import fulfilment as fulfilment_in_sql
from shared.persistence.fulfilment import Fulfilments
from shared.persistence.shop_settings import SettingsOfShop
from shared.persistence.stock import Stock
from shared.persistence.vouchers import Vouchers
from shared.pricing.vouchers import UnknownVoucher, VoucherInUse, VoucherStale, VoucherTaken
from shared.shipping.shipments import ShipmentMoved, ShipmentNotFound
from shared.shop.settings import SettingsStale
from shared.wiring.parts import Parts

parts = Parts(guards=fulfilment_in_sql.GUARDS)


@first_use
def stock() -> Stock:
    return Stock(parts.database(), parts.clock)


@first_use
def settings_of_shop() -> SettingsOfShop:
    return SettingsOfShop(parts.database(), parts.clock)


@first_use
def vouchers() -> Vouchers:
    return Vouchers(parts.database(), parts.clock)


@first_use
def fulfilments() -> Fulfilments:
    return Fulfilments(parts.database(), parts.clock)


api = Api("inventory", services=parts.services(signed_in=True))


def inventory(request: Request) -> Response:
    """The entry point of the deployment `inventory`."""
    return api.serve(request)


# Stock ---------------------------------------------------------------------------------------------------


@api.get("/v1/inventory", query=PageQuery, answers={200: LevelsPage}, permission="stock:read")
def list_levels(call: Call[None]) -> Reply:
    """Every SKU's stock, by SKU."""
    found = read_cursor(call, 1)
    levels = stock().list_levels(after=found[0] if found else "", limit=call.query.limit)
    cursor = cursor_after(call, levels, lambda level: (level.sku,))
    return Reply(200, LevelsPage(items=[level_view(level) for level in levels], next_cursor=cursor))


@api.get("/v1/inventory/levels/<path:sku>", answers={200: LevelView}, errors=[UnknownSku], permission="stock:read")
def get_level(call: Call[None]) -> Reply:
    """One SKU's stock."""
    return Reply(200, level_view(stock().get_level(call.path["sku"])))


@api.get("/v1/inventory/movements", query=OfSkuQuery, answers={200: MovementsPage}, permission="stock:read")
def list_movements(call: Call[None]) -> Reply:
    """What moved, who moved it and why; the newest first."""
    found = read_cursor(call, 1)
    if found and not (found[0].isascii() and found[0].isdigit() and len(found[0]) < 19):
        raise foreign_cursor()
    before = int(found[0]) if found else None
    movements = stock().list_movements(call.query.sku, before=before, limit=call.query.limit)
    cursor = cursor_after(call, movements, lambda each: (each[0],))
    return Reply(200, MovementsPage(items=[movement_view(moved) for _place, moved in movements], next_cursor=cursor))


@api.get("/v1/inventory/holds", query=OfSkuQuery, answers={200: HoldsPage}, permission="stock:read")
def list_holds(call: Call[None]) -> Reply:
    """Which orders keep which units."""
    found = read_cursor(call, 2)
    after = (found[0], found[1]) if found else None
    holds = stock().list_holds(call.query.sku, after=after, limit=call.query.limit)
    cursor = cursor_after(call, holds, lambda hold: (hold.sku, hold.order_number))
    return Reply(200, HoldsPage(items=[hold_view(hold) for hold in holds], next_cursor=cursor))


@api.post(
    "/v1/inventory/adjustments",
    body=AdjustmentBody,
    answers={201: LevelView},
    errors=[UnknownSku, BelowHeld, NothingChanges, Invalid],
    permission="stock:write",
)
def adjust(call: Call[AdjustmentBody]) -> Reply:
    """So many units more or fewer, for a reason."""
    body = call.body
    answering = call.answering(201, level_view)
    stock().adjust(body.sku, body.delta, reason=body.reason, actor=call.actor, answering=answering)
    return Reply(201)


@api.post(
    "/v1/inventory/counts",
    body=CountBody,
    answers={201: LevelView},
    errors=[UnknownSku, BelowHeld],
    permission="stock:write",
)
def count(call: Call[CountBody]) -> Reply:
    """So many units were counted; the difference becomes a movement."""
    body = call.body
    answering = call.answering(201, level_view)
    stock().count(body.sku, body.counted, reason=body.reason, actor=call.actor, answering=answering)
    return Reply(201)


# Shipments ------------------------------------------------------------------------------------------------


@api.get("/v1/admin/shipments", query=ShipmentsQuery, answers={200: ShipmentsPage}, permission="shipments:read")
def list_shipments(call: Call[None]) -> Reply:
    """Shipments of one order or of all, the newest first."""
    before = read_moment_cursor(call)
    number = call.query.order_number.upper() if call.query.order_number is not None else None
    found = fulfilments().list_shipments(number, before=before, limit=call.query.limit)
    cursor = cursor_after(call, found, lambda each: (each.shipment.created_at, each.shipment.id))
    return Reply(200, ShipmentsPage(items=[listed_shipment_view(each) for each in found], next_cursor=cursor))


@api.get(
    "/v1/admin/shipments/<shipment_id>",
    answers={200: AdminShipmentView},
    errors=[ShipmentNotFound],
    permission="shipments:read",
)
def get_shipment(call: Call[None]) -> Reply:
    """One shipment as it stands."""
    return Reply(200, shipment_view(fulfilments().get(call.uuid("shipment_id"))))


@api.post(
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


@api.post(
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


@api.post(
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


@api.post(
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


# Settings --------------------------------------------------------------------------------------------------


@api.get("/v1/admin/settings", answers={200: SettingsView}, permission="settings:read")
def get_settings(call: Call[None]) -> Reply:
    """What the merchant has set."""
    settings = settings_of_shop().get()
    return Reply(200, settings_view(settings), {"ETag": f'"{settings.version}"'})


@api.patch(
    "/v1/admin/settings",
    body=SettingsBody,
    answers={200: SettingsView},
    errors=[SettingsStale, Invalid],
    permission="settings:write",
    if_match="optional",
)
def change_settings(call: Call[SettingsBody]) -> Reply:
    """Change what the merchant has set; If-Match names the version that is meant. It counts from the next quote on."""
    body = call.body
    if isinstance(body.currency, str) and not supports(body.currency):
        raise Invalid([Field("/currency", "PayPal takes no payments in this currency.")])
    settings = settings_of_shop().change(body.changed, actor=call.actor, if_match=call.if_match)
    return Reply(200, settings_view(settings), {"ETag": f'"{settings.version}"'})


# Vouchers --------------------------------------------------------------------------------------------------


@api.get("/v1/admin/vouchers", query=PageQuery, answers={200: VouchersPage}, permission="vouchers:read")
def list_vouchers(call: Call[None]) -> Reply:
    """Every voucher, by code."""
    found = read_cursor(call, 1)
    listed = vouchers().list_vouchers(after=found[0] if found else "", limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda voucher: (voucher.code,))
    return Reply(200, VouchersPage(items=[voucher_view(voucher) for voucher in listed], next_cursor=cursor))


@api.post(
    "/v1/admin/vouchers",
    body=VoucherBody,
    answers={201: VoucherView},
    errors=[VoucherTaken, Invalid],
    permission="vouchers:write",
)
def create_voucher(call: Call[VoucherBody]) -> Reply:
    """A voucher in the shop's currency."""
    voucher_id, answering = new_id(), call.answering(201, voucher_view)
    vouchers().create(lambda currency: call.body.voucher(voucher_id, currency), actor=call.actor, answering=answering)
    return Reply(201)


@api.get("/v1/admin/vouchers/<code>", answers={200: VoucherView}, errors=[UnknownVoucher], permission="vouchers:read")
def get_voucher(call: Call[None]) -> Reply:
    """One voucher, with how often it was redeemed."""
    voucher = vouchers().get(call.path["code"])
    return Reply(200, voucher_view(voucher), {"ETag": f'"{voucher.version}"'})


@api.patch(
    "/v1/admin/vouchers/<code>",
    body=VoucherChangeBody,
    answers={200: VoucherView},
    errors=[UnknownVoucher, VoucherStale, Invalid],
    permission="vouchers:write",
    if_match="optional",
)
def change_voucher(call: Call[VoucherChangeBody]) -> Reply:
    """Change its terms; If-Match names the version that is meant. Orders that were placed keep theirs."""
    voucher = vouchers().change(call.path["code"], call.body.changed, actor=call.actor, if_match=call.if_match)
    return Reply(200, voucher_view(voucher), {"ETag": f'"{voucher.version}"'})


@api.delete(
    "/v1/admin/vouchers/<code>", answers={204: None}, errors=[UnknownVoucher, VoucherInUse], permission="vouchers:write"
)
def delete_voucher(call: Call[None]) -> Reply:
    """Only while no order has redeemed it; afterwards it can be switched off."""
    vouchers().delete(call.path["code"], actor=call.actor)
    return Reply(204)
