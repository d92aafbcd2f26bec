"""The routes of the Turnstile simulator."""

import json
from typing import Any

from aiohttp import web

from local.faults import Faults
from local.turnstile.tokens import Tokens
from local.vendor_server import through_faults

VERIFY_PATH = "/turnstile/v0/siteverify"
# The name that the shop's page gives to its widget, and the page's host.
ACTION = "checkout"

TOKENS = web.AppKey("TOKENS", Tokens)
FAULTS = web.AppKey("FAULTS", Faults)
HOSTNAME = web.AppKey("HOSTNAME", str)


async def verify(request: web.Request) -> web.StreamResponse:
    """POST /turnstile/v0/siteverify"""

    async def act() -> web.StreamResponse:
        asked = await _read(request)
        if asked is None:
            return web.json_response({"success": False, "error-codes": ["bad-request"], "messages": []}, status=400)
        return web.json_response(request.app[TOKENS].verify(asked))

    def refuse() -> web.Response:
        return web.Response(status=502, text="error code: 502")

    return await through_faults(request, faults=request.app[FAULTS], target="turnstile", act=act, refuse=refuse)


async def _read(request: web.Request) -> dict[str, Any] | None:
    """What was asked, as JSON or as a form; None where it is neither."""
    if request.content_type == "application/json":
        try:
            asked = json.loads(await request.read())
        except ValueError:
            return None
        return asked if isinstance(asked, dict) else None
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        return dict(await request.post())
    return None


async def give(request: web.Request) -> web.Response:
    """POST /_local/turnstile/tokens {action?, hostname?}: what the widget hands to a page that has passed."""
    try:
        wanted = json.loads(await request.read() or b"{}")
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict) or not wanted.keys() <= {"action", "hostname"}:
        return web.json_response({"detail": "Send {action?, hostname?}."}, status=400)
    action, hostname = wanted.get("action", ACTION), wanted.get("hostname", request.app[HOSTNAME])
    return web.json_response({"token": request.app[TOKENS].give(str(action), str(hostname))}, status=201)


async def asked(request: web.Request) -> web.Response:
    """GET /_local/turnstile/requests"""
    return web.json_response(request.app[TOKENS].requests())


async def health(request: web.Request) -> web.Response:
    """GET /_local/health"""
    request.app[TOKENS].file.rows("select 1")
    return web.json_response({"status": "ok"})


def make_app(tokens: Tokens, faults: Faults, hostname: str) -> web.Application:
    app = web.Application()
    app[TOKENS] = tokens
    app[FAULTS] = faults
    app[HOSTNAME] = hostname
    app.add_routes(
        [
            web.post(VERIFY_PATH, verify),
            web.post("/_local/turnstile/tokens", give),
            web.get("/_local/turnstile/requests", asked),
            web.get("/_local/health", health),
        ]
    )
    return app
