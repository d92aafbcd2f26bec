"""The control surface under /_local/: what an operator of the local cloud, or a test, may ask of it."""

import asyncio
import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import aiohttp
from aiohttp import web
from yarl import URL

from local.clock import Clock
from local.database import Address
from local.faults import Faults
from local.proxy import problem
from local.scheduler import Scheduler
from local.settling import Settling

PAGE = Path(__file__).parent / "page.html"
TOKEN_LIFE_S = 12 * 3600
SESSION_LIFE_S = 30 * 86400


class Cloud(Protocol):
    """What the control surface needs to know of the supervisor."""

    def processes(self) -> Sequence[Mapping[str, Any]]: ...

    def about(self) -> Mapping[str, Any]: ...


class Unreadable(Exception):
    """A body or a parameter that makes no sense."""


class Control:
    def __init__(
        self,
        cloud: Cloud,
        *,
        clock: Clock,
        faults: Faults,
        scheduler: Scheduler,
        settling: Settling,
        token_keys: Mapping[str, Any],
        database: Address,
        paypal_url: str,
        sendgrid_url: str,
        turnstile_url: str,
        session: aiohttp.ClientSession,
    ) -> None:
        self._cloud = cloud
        self._clock = clock
        self._faults = faults
        self._scheduler = scheduler
        self._settling = settling
        self._token_keys = token_keys
        self._database = database
        self._paypal_url = paypal_url
        self._sendgrid_url = sendgrid_url
        self._turnstile_url = turnstile_url
        self._session = session
        self._one_settle = asyncio.Lock()
        routes: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]] = {
            ("GET", "/_local/"): self._page,
            ("GET", "/_local/status"): self._status,
            ("GET", "/_local/processes"): self._processes,
            ("GET", "/_local/schedules"): self._schedules,
            ("GET", "/_local/faults"): self._list_faults,
            ("POST", "/_local/faults"): self._add_fault,
            ("DELETE", "/_local/faults"): self._clear_faults,
            ("GET", "/_local/clock"): self._read_clock,
            ("POST", "/_local/clock"): self._advance_clock,
            ("POST", "/_local/settle"): self._settle,
            ("POST", "/_local/staff-session"): self._staff_session,
        }
        self._routes = routes

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        # A page from elsewhere must not move the clock or kill the inbox of whoever looks at it.
        if request.method != "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            return problem(403, "Forbidden", "The control surface is for this machine's own pages.")
        if path == "/_local":
            return web.Response(status=302, headers={"Location": "/_local/"})
        if path == "/_local/mail" or path.startswith("/_local/mail/"):
            return await self._pass_on(request, self._sendgrid_url)
        if path.startswith("/_local/paypal/"):
            return await self._pass_on(request, self._paypal_url)
        if path.startswith("/_local/turnstile/"):
            return await self._pass_on(request, self._turnstile_url)
        handler = self._routes.get((request.method, path))
        try:
            if handler is not None:
                return await handler(request)
        except Unreadable as refusal:
            return problem(400, "Bad Request", str(refusal))
        allowed = [method for method, known in self._routes if known == path]
        if not allowed:
            return problem(404, "Not Found", "The control surface has no such path.")
        refusal_405 = problem(405, "Method Not Allowed", f"Use {' or '.join(allowed)}.")
        refusal_405.headers["Allow"] = ", ".join(allowed)
        return refusal_405

    async def _page(self, request: web.BaseRequest) -> web.Response:
        return web.Response(
            text=await asyncio.to_thread(PAGE.read_text),
            content_type="text/html",
            headers={"Cache-Control": "no-store"},
        )

    async def _status(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(
            {
                **self._cloud.about(),
                "processes": list(self._cloud.processes()),
                "schedules": self._scheduler.report(),
                "faults": self._faults.list(),
                "clock": self._clock_reading(),
            }
        )

    async def _processes(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(list(self._cloud.processes()))

    async def _schedules(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(self._scheduler.report())

    async def _list_faults(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(self._faults.list())

    async def _add_fault(self, request: web.BaseRequest) -> web.Response:
        wanted = await _read_object(request)
        known = {"target", "fault", "count", "probability", "path", "after", "seed", "delay_s"}
        if not wanted.keys() <= known:
            raise Unreadable(f"unknown: {', '.join(sorted(wanted.keys() - known))}")
        wanted = {name: value for name, value in wanted.items() if value is not None}
        try:
            fault_id = self._faults.add(wanted.pop("target", ""), wanted.pop("fault", ""), **wanted)
        except (TypeError, ValueError) as refusal:
            raise Unreadable(str(refusal)) from None
        fault = next(fault for fault in self._faults.list() if fault["id"] == fault_id)
        return web.json_response(fault, status=201)

    async def _clear_faults(self, request: web.BaseRequest) -> web.Response:
        self._faults.clear()
        return web.Response(status=204)

    async def _read_clock(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(self._clock_reading())

    async def _advance_clock(self, request: web.BaseRequest) -> web.Response:
        seconds = (await _read_object(request)).get("advance_s")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise Unreadable("advance_s must be a number of seconds")
        try:
            ran = await self._scheduler.advance(seconds)
        except ValueError as refusal:
            raise Unreadable(str(refusal)) from None
        return web.json_response({**self._clock_reading(), "schedules": ran})

    def _clock_reading(self) -> dict[str, Any]:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        return {
            "now": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "offset_s": self._clock.offset_s(),
        }

    async def _settle(self, request: web.BaseRequest) -> web.Response:
        try:
            timeout_s = float(request.query.get("timeout_s", "60"))
        except ValueError:
            raise Unreadable("timeout_s must be a number of seconds") from None
        async with self._one_settle:
            settled, report = await self._settling.settle(timeout_s)
        return web.json_response({"settled": settled, **report}, status=200 if settled else 504)

    async def _staff_session(self, request: web.BaseRequest) -> web.Response:
        wanted = await _read_object(request)
        permissions = wanted.get("permissions", ["*"])
        if not isinstance(permissions, list) or not all(isinstance(each, str) for each in permissions):
            raise Unreadable("permissions must be a list of names")
        session, subject = uuid.uuid4(), uuid.uuid4()
        now = self._clock.now()
        await asyncio.to_thread(self._record_session, session, subject, permissions, now)
        payload = {
            "v": 1,
            "kid": self._token_keys["current"],
            "kind": "staff",
            "subject": str(subject),
            "session": str(session),
            "permissions": permissions,
            "exp": int(now) + TOKEN_LIFE_S,
        }
        return web.json_response({"token": sign_token(payload, self._token_keys), **payload}, status=201)

    def _record_session(self, session: uuid.UUID, subject: uuid.UUID, permissions: list[str], now: float) -> None:
        connection = self._database.connect()
        try:
            connection.run(
                "insert into sessions (id, kind, subject, permissions, created_at, expires_at)"
                " values (:id, 'staff', :subject, :permissions, :now, :expires)",
                id=session,
                subject=subject,
                permissions=permissions,
                now=datetime.fromtimestamp(now, UTC),
                expires=datetime.fromtimestamp(now + SESSION_LIFE_S, UTC),
            )
        finally:
            connection.close()

    async def _pass_on(self, request: web.BaseRequest, base_url: str) -> web.StreamResponse:
        """A route that a simulator answers itself, under the same path."""
        body = await request.read()
        headers = {name: request.headers[name] for name in ("Content-Type", "Accept") if name in request.headers}
        target = URL(base_url + request.raw_path, encoded=True)
        try:
            async with self._session.request(
                request.method, target, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                kept = {name: answer.headers[name] for name in ("Content-Type", "Location") if name in answer.headers}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)
        except aiohttp.ClientError as failure:
            return problem(503, "Service Unavailable", f"The simulator does not answer: {failure!r}")


def sign_token(payload: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    """payload "." HMAC-SHA256 of it, both base64url: what the accounts function hands out."""
    key = base64.b64decode(keys["keys"][payload["kid"]])
    body = _encode(json.dumps(payload, separators=(",", ":")).encode())
    return f"{body}.{_encode(hmac.new(key, body.encode(), hashlib.sha256).digest())}"


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


async def _read_object(request: web.BaseRequest) -> dict[str, Any]:
    body = await request.read()
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        raise Unreadable("the body is not JSON") from None
    if not isinstance(content, dict):
        raise Unreadable("the body must be a JSON object")
    return content
