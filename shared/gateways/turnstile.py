"""Turnstile's siteverify: whether whoever places an order is a person, as Cloudflare saw it on our page.

https://developers.cloudflare.com/turnstile/get-started/server-side-validation/: a token is good once and for 300 s; an
idempotency_key, a UUID, lets the same question be asked again. What is no definite answer is Unavailable: nobody is let
through because Cloudflare is away. The buyer's address is left out: a phone may have been at Cloudflare by IPv6 and
come to us by IPv4.
"""

import json
from typing import Any
from uuid import UUID

from shared.gateways.https_calls import Answer, Origin
from shared.kernel.errors import Field, Invalid, Unavailable
from shared.kernel.logs import Log
from shared.settings import TurnstileSettings

log = Log(__name__)

PATH = "/turnstile/v0/siteverify"
# What the page's widget is told to call this (data-action); another action's token opens nothing here.
ACTION = "checkout"
READ_TIMEOUT_S = 5.0
LONGEST_TOKEN = 2048
_TRIES = 2
# Codes that are about us: the secret is wrong, or the request. They will not pass by themselves.
_US = frozenset({"missing-input-secret", "invalid-input-secret", "bad-request"})
_THEM = frozenset({"missing-input-response", "invalid-input-response", "timeout-or-duplicate"})
_AGAIN = "internal-error"


class Turnstile:
    """Implements shared.orders.placing.BotCheck. Opens nothing before the first call. Safe for threads."""

    def __init__(self, settings: TurnstileSettings, *, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        assert settings.secret is not None  # who has none checks nobody
        self._secret = settings.secret
        self._hostnames = None if settings.is_published else frozenset(settings.hostnames)
        self._origin = Origin(settings.base_url, read_timeout_s=read_timeout_s, answer_limit=1 << 16)

    def close(self) -> None:
        self._origin.close()

    def admit(self, token: str | None, *, request_id: UUID) -> None:
        if not token:
            raise Invalid([Field("/turnstile_token", "is required")])
        if len(token) > LONGEST_TOKEN:
            raise _refused("too-long")
        verdict = self._ask(token, request_id)
        if verdict["success"] is not True:
            codes = _codes(verdict)
            if codes & _US or not codes & _THEM:
                log.error("turnstile_refused_us", codes=sorted(codes & _US))
                raise Unavailable(retry_after_s=30)
            raise _refused(min(codes & _THEM))
        if self._hostnames is not None:
            if str(verdict.get("hostname")).lower() not in self._hostnames:
                raise _refused("hostname")
            if verdict.get("action") != ACTION:
                raise _refused("action")

    def _ask(self, token: str, request_id: UUID) -> dict[str, Any]:
        """Cloudflare's verdict. An internal error is asked about once more, under the same key."""
        asked = {"secret": self._secret, "response": token, "idempotency_key": str(request_id)}
        body = json.dumps(asked).encode()
        for _ in range(_TRIES):
            answer = self._origin.call(
                "POST", PATH, headers={"Content-Type": "application/json"}, body=body, repeatable=True
            )
            verdict = _verdict(answer)
            if _AGAIN not in _codes(verdict):
                return verdict
        raise Unavailable


def _verdict(answer: Answer) -> dict[str, Any]:
    """The JSON object of the answer, whatever its status. Raises Unavailable where there is none."""
    try:
        verdict = json.loads(answer.body)
    except (ValueError, RecursionError):
        verdict = None
    if not isinstance(verdict, dict) or not isinstance(verdict.get("success"), bool):
        raise Unavailable
    if answer.status >= 300 and verdict["success"]:
        raise Unavailable
    return verdict


def _codes(verdict: dict[str, Any]) -> set[str]:
    codes = verdict.get("error-codes")
    return {code for code in codes if isinstance(code, str)} if isinstance(codes, list) else set()


def _refused(reason: str) -> Invalid:
    """`reason` is one constant word."""
    log.info("bot_check_refused", reason=reason)
    return Invalid([Field("/turnstile_token", "The check was not passed, or it is too old. Please take it again.")])
