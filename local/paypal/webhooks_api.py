"""Webhooks v1: the list of events (what a shop reconciles with), certificates, and the verification by postback."""

import base64
import json
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from local.paypal import ids
from local.paypal.books import Document
from local.paypal.problems import detail, invalid, not_found
from local.paypal.signing import CERTS_PATH, signed_message
from local.paypal.simulator import SIMULATOR, read_json, reply

LARGEST_PAGE = 300
_NEEDED = ("auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id")


async def list_events(request: web.Request) -> web.Response:
    """GET /v1/notifications/webhooks-events: newest first. A forged event was never PayPal's and is not in it."""
    simulator = request.app[SIMULATOR]
    query = request.query
    conditions, values = ["forged = 0"], list[Any]()
    try:
        size = min(max(int(query.get("page_size", "10")), 1), LARGEST_PAGE)
        if "start_time" in query:
            conditions.append("created_at >= ?")
            values.append(ids.epoch(query["start_time"]))
        if "end_time" in query:
            conditions.append("created_at < ?")
            values.append(ids.epoch(query["end_time"]) + 1)
        if "next_page_token" in query:
            conditions.append("position < ?")
            values.append(int(query["next_page_token"]))
    except ValueError:
        raise invalid([detail("INVALID_PARAMETER_SYNTAX", "query", location="query")]) from None
    if "event_type" in query:
        conditions.append("event_type = ?")
        values.append(query["event_type"])
    if "transaction_id" in query:
        conditions.append("exists (select 1 from json_each(subjects) where value = ?)")
        values.append(query["transaction_id"])
    rows = simulator.books.file.rows(
        f"select position, body from events where {' and '.join(conditions)} order by position desc limit ?",
        (*values, size + 1),
    )
    page = rows[:size]
    path = "/v1/notifications/webhooks-events"
    links = [simulator.links.to(f"{path}?{urlencode(dict(query))}" if query else path, "self")]
    if len(rows) > size:
        more = urlencode({**query, "page_size": size, "next_page_token": page[-1]["position"]})
        links.append(simulator.links.to(f"{path}?{more}", "next"))
    return reply({"events": [json.loads(row["body"]) for row in page], "count": len(page), "links": links})


async def show_event(request: web.Request) -> web.Response:
    """GET /v1/notifications/webhooks-events/{id}"""
    return reply(_event(request))


async def resend(request: web.Request) -> web.Response:
    """POST /v1/notifications/webhooks-events/{id}/resend: another transmission of the same event."""
    simulator = request.app[SIMULATOR]
    event = _event(request)
    with simulator.books.open() as entries:
        entries.add_transmission(event["id"])
    simulator.courier.wake()
    return reply(event, 202)


async def certificate(request: web.Request) -> web.Response:
    """GET /v1/notifications/certs/{name}: public, as PayPal's is."""
    found = request.app[SIMULATOR].chain.read(request.match_info["name"])
    if found is None:
        raise not_found("cert_id", request.match_info["name"])
    content, kind = found
    return web.Response(body=content, content_type=kind, headers={"Cache-Control": "public,max-age=86400"})


async def verify(request: web.Request) -> web.Response:
    """POST /v1/notifications/verify-webhook-signature. The event is verified as it was written, not as it parses."""
    simulator = request.app[SIMULATOR]
    body = await read_json(request)
    details = [
        detail("MISSING_REQUIRED_PARAMETER", f"/{name}")
        for name in (*_NEEDED, "webhook_event")
        if not isinstance(body, dict) or not body.get(name)
    ]
    if details:
        raise invalid(details)
    raw_event = member_text((await request.read()).decode(), "webhook_event").encode()
    message = signed_message(
        str(body["transmission_id"]), str(body["transmission_time"]), str(body["webhook_id"]), raw_event
    )
    url = str(body["cert_url"])
    verified = (
        body["webhook_id"] == simulator.webhook_id
        and CERTS_PATH in url
        and body["auth_algo"] == "SHA256withRSA"
        and _is_base64(str(body["transmission_sig"]))
        and simulator.chain.verify(url.rpartition("/")[2], str(body["transmission_sig"]), message)
    )
    return reply({"verification_status": "SUCCESS" if verified else "FAILURE"})


def member_text(document: str, name: str) -> str:
    """The exact text of one member of a JSON object."""
    decoder = json.JSONDecoder()
    at = document.index("{") + 1
    while True:
        at = _skip(document, at, " \t\r\n,")
        key, at = decoder.raw_decode(document, at)
        begin = _skip(document, at, " \t\r\n:")
        _, at = decoder.raw_decode(document, begin)
        if key == name:
            return document[begin:at]


def _skip(document: str, at: int, letters: str) -> int:
    while document[at] in letters:
        at += 1
    return at


def _event(request: web.Request) -> Document:
    event_id = request.match_info["id"]
    rows = request.app[SIMULATOR].books.file.rows("select body from events where id = ? and forged = 0", (event_id,))
    if not rows:
        raise not_found("event_id", event_id)
    event: Document = json.loads(rows[0]["body"])
    return event


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except ValueError:
        return False
    return True
