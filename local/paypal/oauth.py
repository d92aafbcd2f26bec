"""OAuth 2: client credentials for a bearer token. Tokens are kept, so they outlive a restart as PayPal's do."""

import base64
import binascii
import secrets

from aiohttp import web

from local.paypal import ids
from local.paypal.problems import debug_id
from local.paypal.simulator import SIMULATOR, Simulator, reply

EXPIRES_IN_S = 32_400


async def issue(request: web.Request) -> web.Response:
    """POST /v1/oauth2/token"""
    simulator = request.app[SIMULATOR]
    if _basic(request.headers.get("Authorization", "")) != (simulator.client_id, simulator.client_secret):
        body = {"error": "invalid_client", "error_description": "Client Authentication failed"}
        return reply(body, 401)
    form = await request.post()
    if form.get("grant_type") != "client_credentials":
        unsupported = {"error": "unsupported_grant_type", "error_description": "Grant Type is NULL or unsupported"}
        return reply(unsupported, 400)
    token = f"A21AA{secrets.token_urlsafe(64)}"
    with simulator.books.open() as entries:
        entries.connection.execute("delete from tokens where expires_at < ?", (entries.now,))
        entries.connection.execute("insert into tokens values (?, ?)", (token, entries.now + EXPIRES_IN_S))
        nonce = f"{ids.iso_ms(entries.now)}{secrets.token_urlsafe(32)}"
    return reply(
        {
            "scope": "https://uri.paypal.com/services/payments/payment https://uri.paypal.com/services/disputes/read-seller",
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-80W284485P519543T",
            "expires_in": EXPIRES_IN_S,
            "nonce": nonce,
        }
    )


def is_signed_in(simulator: Simulator, request: web.Request) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return False
    rows = simulator.books.file.rows("select expires_at from tokens where token = ?", (token.strip(),))
    return bool(rows) and rows[0]["expires_at"] > simulator.clock.now()


def not_signed_in() -> web.Response:
    """As the API gateway answers it, before any API sees the call."""
    body = {
        "name": "AUTHENTICATION_FAILURE",
        "message": "Authentication failed due to missing authorization header, or invalid authentication credentials.",
        "debug_id": debug_id(),
        "links": [
            {
                "href": "https://developer.paypal.com/docs/api/overview/#error",
                "rel": "information_link",
                "method": "GET",
            }
        ],
    }
    return reply(body, 401)


def _basic(header: str) -> tuple[str, str] | None:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return name, secret
