"""The routes of the SendGrid simulator."""

import gzip
import json
from typing import Any

from aiohttp import web

from local.faults import Faults
from local.sendgrid import inbox
from local.sendgrid.inbox import MAILBOX
from local.sendgrid.mail_rules import check_mail, error
from local.sendgrid.mailbox import Mailbox
from local.sendgrid.reporter import Reporter
from local.vendor_server import through_faults

SEND_PATH = "/v3/mail/send"
# "The total message size should not exceed 30MB."
LARGEST_MAIL = 30 * 1024 * 1024

REPORTER = web.AppKey("REPORTER", Reporter)
FAULTS = web.AppKey("FAULTS", Faults)
API_KEY = web.AppKey("API_KEY", str)


async def send(request: web.Request) -> web.StreamResponse:
    """POST /v3/mail/send"""

    async def act() -> web.StreamResponse:
        return await _send(request)

    def refuse() -> web.Response:
        return _errors(500, [error("Internal Server Error", None)])

    return await through_faults(request, faults=request.app[FAULTS], target="sendgrid", act=act, refuse=refuse)


async def _send(request: web.Request) -> web.Response:
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    wanted = request.app[API_KEY]
    if kind.lower() != "bearer" or not key.strip() or (wanted and key.strip() != wanted):
        return _errors(401, [error("The provided authorization grant is invalid, expired, or revoked", None)])
    if not request.content_type.startswith("application/json"):
        return _errors(415, [error("Content-Type should be application/json.", None)])
    raw = await request.read()
    try:
        if request.headers.get("Content-Encoding") == "gzip" and raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        mail = json.loads(raw)
    except (ValueError, OSError, EOFError):
        return _errors(400, [error("Bad Request", None)])
    mailbox = request.app[MAILBOX]
    errors = check_mail(mail, mailbox.clock.now())
    if errors:
        return _errors(400, errors)
    if ((mail.get("mail_settings") or {}).get("sandbox_mode") or {}).get("enable"):
        # Sandbox mode: checked, answered 200, not sent.
        return web.Response(status=200)
    message_id = mailbox.accept(mail)
    request.app[REPORTER].wake()
    return web.Response(status=202, headers={"X-Message-Id": message_id})


async def health(request: web.Request) -> web.Response:
    """GET /_local/health"""
    request.app[MAILBOX].file.rows("select 1")
    return web.json_response({"status": "ok"})


async def pending(request: web.Request) -> web.Response:
    """GET /_local/pending"""
    reporter = request.app[REPORTER]
    # Who asks waits for silence; what became due by a jump of the clock should not wait for the next poll.
    reporter.wake()
    return web.json_response(reporter.pending())


async def retry_now(request: web.Request) -> web.Response:
    """POST /_local/retry-now"""
    return web.json_response({"due": request.app[REPORTER].retry_now()})


@web.middleware
async def too_large(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return _errors(413, [error("The JSON payload you have included in your request is too large.", None)])
    except web.HTTPMethodNotAllowed:
        return _errors(405, [error("POST method allowed only", None)])
    return response


def make_app(mailbox: Mailbox, reporter: Reporter, faults: Faults, api_key: str) -> web.Application:
    app = web.Application(client_max_size=LARGEST_MAIL, middlewares=[too_large])
    app[MAILBOX] = mailbox
    app[REPORTER] = reporter
    app[FAULTS] = faults
    app[API_KEY] = api_key
    app.add_routes(
        [
            web.post(SEND_PATH, send),
            web.get("/_local/mail", inbox.mails),
            # Directly, and through the gateway, which hands on everything under /_local/mail/.
            web.get("/_local/inbox", inbox.listing),
            web.get("/_local/inbox/{id}", inbox.one),
            web.get("/_local/mail/inbox", inbox.listing),
            web.get("/_local/mail/inbox/{id}", inbox.one),
            web.get("/_local/health", health),
            web.get("/_local/pending", pending),
            web.post("/_local/retry-now", retry_now),
        ]
    )
    return app


def _errors(status: int, errors: list[dict[str, Any]]) -> web.Response:
    return web.json_response({"errors": errors}, status=status)
