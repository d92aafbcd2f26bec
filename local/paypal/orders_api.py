"""Orders v2: create, show, patch, capture, track."""

import re
from typing import Any

from aiohttp import web

from local.paypal import happenings, patching, request_ids, resources
from local.paypal.books import Document, Entries
from local.paypal.order_rules import check_order
from local.paypal.problems import Problem, detail, invalid, not_found, unprocessable
from local.paypal.simulator import SIMULATOR, read_json, reply, wants_representation

CREATE, CAPTURE, TRACK = "orders.create", "orders.capture", "orders.track.create"


async def create(request: web.Request) -> web.Response:
    """POST /v2/checkout/orders"""
    simulator = request.app[SIMULATOR]
    request_id = request.headers.get("PayPal-Request-Id")
    request_ids.check(request_id)
    body = await read_json(request)
    check_order(body)
    if body.get("payment_source") and request_id is None:
        raise invalid([detail("PAYPAL_REQUEST_ID_REQUIRED", "PayPal-Request-Id", location="header")])
    with simulator.books.open() as entries:
        known = request_ids.recall(entries, CREATE, request_id)
        order = _get(entries, known) if known else happenings.open_order(entries, body)
        if known is None:
            request_ids.keep(entries, CREATE, request_id, order["id"])
        shown = _shown(request, entries, order)
    return reply(shown, 201 if known is None else 200)


async def show(request: web.Request) -> web.Response:
    """GET /v2/checkout/orders/{id}"""
    simulator = request.app[SIMULATOR]
    with simulator.books.open() as entries:
        order = _get(entries, request.match_info["id"])
        return reply(resources.order(entries, order, simulator.links))


async def patch(request: web.Request) -> web.Response:
    """PATCH /v2/checkout/orders/{id}"""
    simulator = request.app[SIMULATOR]
    operations = await read_json(request)
    with simulator.books.open() as entries:
        order = _get(entries, request.match_info["id"])
        patching.patch_order(order, operations)
        entries.change("order", order)
    return web.Response(status=204)


async def capture(request: web.Request) -> web.Response:
    """POST /v2/checkout/orders/{id}/capture"""
    simulator = request.app[SIMULATOR]
    request_id = request.headers.get("PayPal-Request-Id")
    request_ids.check(request_id)
    body = await read_json(request, empty={})
    if not isinstance(body, dict):
        raise invalid([detail("INVALID_PARAMETER_SYNTAX", "/")])
    declined: Problem | None = None
    with simulator.books.open() as entries:
        known = request_ids.recall(entries, CAPTURE, request_id)
        order = _get(entries, known or request.match_info["id"])
        if known is None:
            try:
                happenings.capture_order(entries, order, simulator.links)
            except Problem as problem:
                if problem.details[0]["issue"] != "INSTRUMENT_DECLINED":
                    raise
                declined = problem
            request_ids.keep(entries, CAPTURE, request_id, order["id"], failure=declined)
        shown = _shown(request, entries, order)
    if declined is not None:
        raise declined
    simulator.courier.wake()
    return reply(shown, 201 if known is None else 200)


async def track(request: web.Request) -> web.Response:
    """POST /v2/checkout/orders/{id}/track"""
    simulator = request.app[SIMULATOR]
    request_id = request.headers.get("PayPal-Request-Id")
    body = await read_json(request)
    details = [
        detail("MISSING_REQUIRED_PARAMETER", f"/{name}")
        for name in ("capture_id", "tracking_number", "carrier")
        if not isinstance(body, dict) or not body.get(name)
    ]
    if details:
        raise invalid(details)
    _check_tracker(body)
    with simulator.books.open() as entries:
        known = request_ids.recall(entries, TRACK, request_id)
        order = _get(entries, known or request.match_info["id"])
        if known is None:
            _add_tracker(entries, order, body, simulator.links)
            request_ids.keep(entries, TRACK, request_id, order["id"])
        shown = resources.order(entries, order, simulator.links)
    return reply(shown, 201 if known is None else 200)


def _check_tracker(body: dict[str, Any]) -> None:
    """The schema order_tracker_request. Raises Problem (400)."""
    details = [
        detail("INVALID_STRING_LENGTH", f"/{name}", value=body.get(name))
        for name, longest in (("capture_id", 50), ("tracking_number", 64), ("carrier", 64), ("carrier_name_other", 64))
        if name in body and not (isinstance(body[name], str) and 1 <= len(body[name]) <= longest)
    ]
    if not details and not re.fullmatch(r"[0-9A-Z_]+", body["carrier"]):
        details.append(detail("INVALID_PARAMETER_SYNTAX", "/carrier", value=body["carrier"]))
    if not details and body["carrier"] == "OTHER" and "carrier_name_other" not in body:
        details.append(detail("MISSING_REQUIRED_PARAMETER", "/carrier_name_other"))
    for index, item in enumerate(body.get("items", [])):
        if not isinstance(item, dict) or not re.fullmatch(r"[1-9][0-9]{0,9}", str(item.get("quantity", "1"))):
            details.append(detail("INVALID_PARAMETER_SYNTAX", f"/items/{index}/quantity"))
    if details:
        raise invalid(details)


def _add_tracker(entries: Entries, order: Document, body: dict[str, Any], links: resources.Links) -> None:
    captures = {made["id"]: made for made in entries.children("capture", order["id"])}
    made = captures.get(body["capture_id"])
    if made is None:
        raise unprocessable("CAPTURE_ID_NOT_FOUND", "/capture_id", value=body["capture_id"])
    if made["status"] not in ("COMPLETED", "PARTIALLY_REFUNDED"):
        raise unprocessable("CAPTURE_STATUS_NOT_VALID", "/capture_id", value=body["capture_id"])
    bought = {item.get("sku") for item in order["purchase_units"][0].get("items", [])}
    for index, item in enumerate(body.get("items", [])):
        if "sku" in item and item["sku"] not in bought:
            raise unprocessable("ITEM_SKU_MISMATCH", f"/items/{index}/sku", value=item["sku"])
    tracker_id = f"{made['id']}-{body['tracking_number']}"
    shipping = order["purchase_units"][0].setdefault("shipping", {})
    trackers = [known for known in shipping.get("trackers", []) if known["id"] != tracker_id]
    path = f"/v2/checkout/orders/{order['id']}"
    tracker = {
        "id": tracker_id,
        "status": "SHIPPED",
        "items": body.get("items", []),
        "links": [links.to(path, "up"), links.to(f"{path}/trackers/{tracker_id}", "update", "PATCH")],
    }
    shipping["trackers"] = [*trackers, tracker]
    entries.change("order", order)


def _get(entries: Entries, order_id: str) -> Document:
    order = entries.find("order", order_id)
    if order is None:
        raise not_found("order_id", order_id)
    return order


def _shown(request: web.Request, entries: Entries, order: Document) -> dict[str, Any]:
    links = request.app[SIMULATOR].links
    if wants_representation(request):
        return resources.order(entries, order, links)
    return resources.minimal_order(order, links)
