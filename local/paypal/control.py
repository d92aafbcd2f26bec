"""The control surface: what the approval page's buttons do, what PayPal does by itself, and what its books say."""

from typing import Any

from aiohttp import web

from local.paypal import happenings, resources, telling
from local.paypal.approval import way_back
from local.paypal.books import Document, Entries
from local.paypal.deeds import Unclear, make_true
from local.paypal.issues import REFUND_REFUSALS
from local.paypal.resources import APPROVABLE
from local.paypal.simulator import SIMULATOR, Simulator, read_json


async def approve(request: web.Request) -> web.Response:
    """POST /_local/paypal/orders/{id}/approve {capture?: completed|declined|pending|denied}"""
    simulator = request.app[SIMULATOR]
    body = await read_json(request, empty={})
    outcome = body.get("capture", "completed") if isinstance(body, dict) else None
    if outcome not in happenings.OUTCOMES:
        return _refuse(422, f"capture must be one of {', '.join(happenings.OUTCOMES)}")
    with simulator.books.open() as entries:
        order = entries.find("order", request.match_info["id"])
        if order is None:
            return _refuse(404, "no such order")
        if order["status"] not in APPROVABLE:
            return _refuse(409, f"the order is {order['status']}")
        happenings.approve(entries, order, simulator.links, outcome=outcome)
    simulator.courier.wake()
    return web.json_response(
        {"id": order["id"], "status": order["status"], "redirect_url": way_back(order, approved=True)}
    )


async def cancel(request: web.Request) -> web.Response:
    """POST /_local/paypal/orders/{id}/cancel: the buyer leaves. Nothing changes at PayPal, and nobody is told."""
    simulator = request.app[SIMULATOR]
    with simulator.books.open() as entries:
        order = entries.find("order", request.match_info["id"])
    if order is None:
        return _refuse(404, "no such order")
    return web.json_response(
        {"id": order["id"], "status": order["status"], "redirect_url": way_back(order, approved=False)}
    )


async def ordain_refunds(request: web.Request) -> web.Response:
    """POST /_local/paypal/captures/{id}/refunds {next: <an issue>|pending|completed, count?}: how the next ones end."""
    simulator = request.app[SIMULATOR]
    body = await read_json(request)
    asked = body.get("next") if isinstance(body, dict) else None
    count = body.get("count", 1) if isinstance(body, dict) else None
    if asked not in (*REFUND_REFUSALS, "pending", "completed"):
        return _refuse(422, f"next must be pending, completed or one of {', '.join(sorted(REFUND_REFUSALS))}")
    if not isinstance(count, int) or not 1 <= count <= 1000:
        return _refuse(422, "count must be between 1 and 1000")
    with simulator.books.open() as entries:
        made = entries.find("capture", request.match_info["id"])
        if made is None:
            return _refuse(404, "no such capture")
        end = "PENDING" if asked == "pending" else asked
        happenings.ordain_refunds(entries, made, end, 0 if asked == "completed" else count)
    return web.json_response({"id": made["id"], "next": asked, "count": count})


async def happen(request: web.Request) -> web.Response:
    """POST /_local/paypal/events {event_type, resource, forge?}"""
    simulator = request.app[SIMULATOR]
    body = await read_json(request)
    event_type = body.get("event_type") if isinstance(body, dict) else None
    resource = (body.get("resource") or {}) if isinstance(body, dict) else None
    if not isinstance(event_type, str) or not event_type or not isinstance(resource, dict):
        return _refuse(422, "event_type (a text) and resource (an object) are needed")
    try:
        event = (_forge if body.get("forge") else _make_true)(simulator, event_type, resource)
    except Unclear as unclear:
        return _refuse(422, str(unclear))
    simulator.courier.wake()
    deliveries = await simulator.courier.first_attempt(event["id"])
    return web.json_response(
        {
            "id": event["id"],
            "transmission": simulator.courier.transmission(event["id"]),
            "deliveries": deliveries,
            "resource": event["resource"],
        }
    )


async def ledger(request: web.Request) -> web.Response:
    """GET /_local/paypal/ledger"""
    simulator = request.app[SIMULATOR]
    links = simulator.links
    with simulator.books.open() as entries:
        shown = {
            "orders": [resources.order(entries, order, links) for order in entries.all("order")],
            "captures": [resources.capture(made, links) for made in entries.all("capture")],
            "refunds": [
                {**resources.refund_of(made, links), "capture_id": made["_capture_id"], "reversal": made["_reversal"]}
                for made in entries.all("refund")
            ],
            "disputes": [
                {**resources.dispute(made, links), "capture_id": made["_capture_id"]} for made in entries.all("dispute")
            ],
        }
    return web.json_response({**shown, "requests": simulator.books.requests()})


async def health(request: web.Request) -> web.Response:
    """GET /_local/health"""
    request.app[SIMULATOR].books.file.rows("select 1")
    return web.json_response({"status": "ok"})


async def pending(request: web.Request) -> web.Response:
    """GET /_local/pending"""
    courier = request.app[SIMULATOR].courier
    # Who asks waits for silence; what became due by a jump of the clock should not wait for the next poll.
    courier.wake()
    return web.json_response(courier.pending())


async def retry_now(request: web.Request) -> web.Response:
    """POST /_local/retry-now"""
    return web.json_response({"due": request.app[SIMULATOR].courier.retry_now()})


def _make_true(simulator: Simulator, event_type: str, resource: Document) -> Document:
    with simulator.books.open() as entries:
        return _told(entries, simulator, event_type, resource)


class _Undo(Exception):
    """Leaves a transaction without keeping anything."""


def _forge(simulator: Simulator, event_type: str, resource: Document) -> Document:
    # What PayPal would say if it were true, said without its being so: the deed is done and undone again.
    told: list[Document] = []
    try:
        with simulator.books.open() as entries:
            told.append(_told(entries, simulator, event_type, resource))
            raise _Undo
    except _Undo:
        event = told[0]
    # The forger's words win over what PayPal would have written.
    event["resource"] = {**event["resource"], **resource}
    with simulator.books.open() as entries:
        entries.add_event(event, telling.subjects_of(event["resource"]), forged=True)
    return event


def _told(entries: Entries, simulator: Simulator, event_type: str, resource: Document) -> Document:
    """Do the deed; returns the event of the type that was asked for (one deed may tell more than one)."""
    before = entries.last_event()
    make_true(entries, event_type, resource, simulator.links)
    events = entries.events_after(before)
    named = [event for event in events if event["event_type"] == event_type]
    return named[0] if named else events[0]


def _refuse(status: int, why: str) -> web.Response:
    body: dict[str, Any] = {"type": "about:blank", "title": why, "status": status}
    return web.json_response(body, status=status, content_type="application/problem+json")
