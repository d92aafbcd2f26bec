"""Stock: levels, movements and holds, and what staff count."""

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.inventory_views import (
    AdjustmentBody,
    CountBody,
    HoldsPage,
    LevelsPage,
    LevelView,
    MovementsPage,
    OfSkuQuery,
    hold_view,
    level_view,
    movement_view,
)
from shared.edge.paging import PageQuery, cursor_after, foreign_cursor, read_cursor
from shared.edge.routing import Routes
from shared.inventory.stock import BelowHeld, NothingChanges, UnknownSku
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.stock import Stock

routes = Routes()


@first_use
def stock() -> Stock:
    return Stock(parts.database(), parts.clock)


@routes.get("/v1/inventory", query=PageQuery, answers={200: LevelsPage}, permission="stock:read")
def list_levels(call: Call[None]) -> Reply:
    """Every SKU's stock, by SKU."""
    found = read_cursor(call, 1)
    levels = stock().list_levels(after=found[0] if found else "", limit=call.query.limit)
    cursor = cursor_after(call, levels, lambda level: (level.sku,))
    return Reply(200, LevelsPage(items=[level_view(level) for level in levels], next_cursor=cursor))


@routes.get("/v1/inventory/levels/<path:sku>", answers={200: LevelView}, errors=[UnknownSku], permission="stock:read")
def get_level(call: Call[None]) -> Reply:
    """One SKU's stock."""
    return Reply(200, level_view(stock().get_level(call.path["sku"])))


@routes.get("/v1/inventory/movements", query=OfSkuQuery, answers={200: MovementsPage}, permission="stock:read")
def list_movements(call: Call[None]) -> Reply:
    """What moved, who moved it and why; the newest first."""
    found = read_cursor(call, 1)
    if found and not (found[0].isascii() and found[0].isdigit() and len(found[0]) < 19):
        raise foreign_cursor()
    before = int(found[0]) if found else None
    movements = stock().list_movements(call.query.sku, before=before, limit=call.query.limit)
    cursor = cursor_after(call, movements, lambda each: (each[0],))
    return Reply(200, MovementsPage(items=[movement_view(moved) for _place, moved in movements], next_cursor=cursor))


@routes.get("/v1/inventory/holds", query=OfSkuQuery, answers={200: HoldsPage}, permission="stock:read")
def list_holds(call: Call[None]) -> Reply:
    """Which orders keep which units."""
    found = read_cursor(call, 2)
    after = (found[0], found[1]) if found else None
    holds = stock().list_holds(call.query.sku, after=after, limit=call.query.limit)
    cursor = cursor_after(call, holds, lambda hold: (hold.sku, hold.order_number))
    return Reply(200, HoldsPage(items=[hold_view(hold) for hold in holds], next_cursor=cursor))


@routes.post(
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


@routes.post(
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
