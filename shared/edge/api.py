"""The HTTP and job edge of one deployment: routes in, problem documents out, and never a word of HTML.

    api = Api("checkout", services=Services(platform=platform, ping=ping, tokens=token_keys, keys=idempotency_keys))

    @api.post("/v1/checkouts", body=PlaceOrderBody, answers={201: CheckoutView}, errors=[OutOfStock])
    def place(call: Call[PlaceOrderBody]) -> Reply: ...

    def checkout(request: flask.Request) -> WSGIApplication:      # the entry point of the function
        return api.app

Making an Api opens nothing and starts nothing; a view that answers with a WSGI app lets Flask route inside.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import flask
import msgspec
import werkzeug.exceptions
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from shared.edge import logs, once
from shared.edge.addresses import client_address, client_network
from shared.edge.callers import find_principal
from shared.edge.calls import Call, Rendered, Reply
from shared.edge.parsing import parse_body, parse_query, readable_text
from shared.edge.problems import (
    CONTENT_TYPE,
    ContentTooLarge,
    MethodNotAllowed,
    Problem,
    Unreadable,
    UnsupportedMediaType,
    internal,
    problem,
)
from shared.edge.pushes import read_event
from shared.edge.routes import DEFAULT_BODY_LIMIT, Completing, Handler, Route
from shared.edge.services import Services
from shared.kernel.errors import NotFound, ShopError, Unavailable
from shared.kernel.logs import Log

log = Log(__name__)

F = TypeVar("F", bound=Handler)
# A handler gives up so long before the platform does: after a 504 the instance is frozen with its locks (rule 4).
_GIVE_UP_BEFORE_S = 5
_CHUNK = 64 * 1024
_VERSION = re.compile(r'(?P<bare>[0-9]{1,9})|(?:W/)?"(?P<quoted>[0-9]{1,9})"')


class HealthView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: str


class Api:
    """The routes of the deployment `name` (functions/deployments.yaml); `app` serves them."""

    def __init__(self, name: str, *, services: Services) -> None:
        self.name = name
        self.services = services
        self.routes: list[Route] = []
        self.app = flask.Flask(__name__, static_folder=None, template_folder=None)
        self.app.url_map.merge_slashes = False
        _prepare(self.app, self)
        if flask.has_app_context():
            # functions-framework imports a function within the context of the app it will put round it. That app
            # answers /robots.txt, //v1 and crashes in HTML, and says the text of an exception; ours never does.
            outer: flask.Flask = flask.current_app._get_current_object()  # type: ignore[attr-defined]
            outer.url_map.merge_slashes = False
            outer.register_error_handler(Exception, self._refuse)
            outer.register_error_handler(500, self._refuse)
            outer.before_request(_refuse_untidy_paths)
        self._add(Route(kind="health", method="GET", path=f"/v1/health/{name}", handler=self._health,
                        answers={200: HealthView}))  # fmt: skip

    def get(
        self,
        path: str,
        *,
        answers: Mapping[int, type[msgspec.Struct] | None],
        query: type[msgspec.Struct] | None = None,
        errors: Sequence[type[ShopError]] = (),
        permission: str | None = None,
        live_session: bool = False,
        order_token: bool = False,
        cache_control: str = "no-store",
    ) -> Callable[[F], F]:
        """A read. `permission` makes it a staff route; `order_token` says that X-Order-Token is looked at."""

        def add(handler: F) -> F:
            return self._add_http(
                "GET", path, handler, answers=answers, query=query, errors=errors, permission=permission,
                live_session=live_session, order_token=order_token, cache_control=cache_control,
            )  # fmt: skip

        return add

    def post(
        self,
        path: str,
        *,
        answers: Mapping[int, type[msgspec.Struct] | None],
        body: type[msgspec.Struct] | type[bytes] | None = None,
        query: type[msgspec.Struct] | None = None,
        errors: Sequence[type[ShopError]] = (),
        idempotent: bool = True,
        claims_itself: bool = False,
        scope: Callable[[Call[Any]], object] | None = None,
        permission: str | None = None,
        live_session: bool = False,
        order_token: bool = False,
        completing: Completing | None = None,
        body_limit: int = DEFAULT_BODY_LIMIT,
    ) -> Callable[[F], F]:
        """Something that changes, once per Idempotency-Key unless `idempotent` is False.

        `body` is a parsing.Body, or bytes for the raw body whatever its type. `claims_itself`: the handler's first
        statement takes call.claim. `scope` names the cart or order that a guest's key belongs to. `completing` puts
        secrets into the answer after it was stored or found again.
        """

        def add(handler: F) -> F:
            return self._add_http(
                "POST", path, handler, answers=answers, body=body, query=query, errors=errors, idempotent=idempotent,
                claims_itself=claims_itself, scope=scope, permission=permission, live_session=live_session,
                order_token=order_token, completing=completing, body_limit=body_limit,
            )  # fmt: skip

        return add

    def put(self, path: str, **options: Any) -> Callable[[F], F]:
        """As `patch`; a PUT names the whole state, so it needs no key."""
        return self._changing("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._changing("DELETE", path, **options)

    def patch(self, path: str, **options: Any) -> Callable[[F], F]:
        return self._changing("PATCH", path, **options)

    def _changing(
        self,
        method: str,
        path: str,
        *,
        answers: Mapping[int, type[msgspec.Struct] | None],
        body: type[msgspec.Struct] | None = None,
        query: type[msgspec.Struct] | None = None,
        errors: Sequence[type[ShopError]] = (),
        idempotent: bool = False,
        claims_itself: bool = False,
        scope: Callable[[Call[Any]], object] | None = None,
        permission: str | None = None,
        live_session: bool = False,
        order_token: bool = False,
        completing: Completing | None = None,
        if_match: bool = False,
        body_limit: int = DEFAULT_BODY_LIMIT,
    ) -> Callable[[F], F]:
        def add(handler: F) -> F:
            return self._add_http(
                method, path, handler, answers=answers, body=body, query=query, errors=errors, idempotent=idempotent,
                claims_itself=claims_itself, scope=scope, permission=permission, live_session=live_session,
                order_token=order_token, completing=completing, if_match=if_match, body_limit=body_limit,
            )  # fmt: skip

        return add

    def task(self, path: str, *, body: type[msgspec.Struct] | None = None) -> Callable[[F], F]:
        """A job that a Cloud Tasks queue calls. Unavailable brings it back; another ShopError is logged, and done."""
        return self._job("task", path, body=body)

    def schedule(self, path: str) -> Callable[[F], F]:
        """A job that Cloud Scheduler calls with an empty object."""
        return self._job("schedule", path)

    def push(self, path: str, *, topic: str = "") -> Callable[[F], F]:
        """A job that a Pub/Sub subscription calls with an event; the topic is the path's last part, or named."""
        return self._job("push", path, topic=topic or path.rpartition("/")[2])

    def _job(self, kind: Any, path: str, **options: Any) -> Callable[[F], F]:
        if not path.startswith("/jobs/"):
            raise ValueError(f"{path}: jobs are under /jobs/, which the load balancer does not serve")

        def add(handler: F) -> F:
            self._add(Route(kind=kind, method="POST", path=path, handler=handler, answers={204: None}, **options))
            return handler

        return add

    def _add_http(self, method: str, path: str, handler: F, **options: Any) -> F:
        self._add(Route(kind="http", method=method, path=path, handler=handler, **options))
        return handler

    def _add(self, route: Route) -> None:
        if route.idempotent and self.services.keys is None:
            raise ValueError(f"{route.name} is idempotent, and {self.name} wires no keys")
        self.routes.append(route)

        def view(**variables: str) -> flask.Response:
            flask.g.route = route.name
            return self._serve(route, variables)

        self.app.add_url_rule(
            route.path, endpoint=route.name, view_func=view, methods=[route.method], provide_automatic_options=False
        )

    # Serving -------------------------------------------------------------------------------------------------------

    def _serve(self, route: Route, variables: Mapping[str, str]) -> flask.Response:
        flask.g.cache_control = route.cache_control
        try:
            call = self._read(route, variables)
            if call.claim is not None and self.services.keys is not None:
                status, text, headers, again = once.answer_once(route, call, call.claim, self.services.keys())
                if again:
                    headers = {**headers, "Idempotency-Replayed": "true"}
                return _response(status, _completed(route, call, status, text), headers)
            reply = route.handler(call) or Reply(204)
        except ShopError as error:
            if route.kind in ("task", "push", "schedule") and not isinstance(error, Unavailable | Unreadable):
                # Told again it would end the same way: what we foresaw is recorded, and the job is done (STYLE.md 18).
                log.warning("job_refused", route=route.name, error=type(error).__name__, **_ids(error))
                return _response(204, "", {})
            raise
        finally:
            self._flush()
        if isinstance(reply.body, bytes):
            return flask.Response(reply.body, reply.status, dict(reply.headers))
        text = "" if reply.body is None else msgspec.json.encode(reply.body).decode()
        return _response(reply.status, _completed(route, call, reply.status, text), reply.headers)

    def _read(self, route: Route, variables: Mapping[str, str]) -> Call[Any]:
        request = flask.request
        platform = self.services.platform()
        at = self.services.clock.now()
        principal = find_principal(request, route, self.services, at=at)
        # Who calls is known before anything they sent is looked at: a stranger learns no field of a staff route.
        query = parse_query(request.query_string.decode("latin-1"), route.query)
        raw = _read_body(request, route.body_limit) if route.changes_something else b""
        address = client_address(request.headers.get("X-Forwarded-For", ""), request.remote_addr or "")
        call: Call[Any] = Call(
            method=request.method,
            route=route.name,
            path=dict(variables),
            query=query,
            body=_parse(route, request, raw),
            raw=raw,
            headers=request.headers,
            principal=principal,
            client_address=address,
            client_network=client_network(address),
            at=at,
            give_up_at=at + timedelta(seconds=max(platform.function_timeout_s - _GIVE_UP_BEFORE_S, 1)),
            order_token=request.headers.get("X-Order-Token", ""),
            if_match=_version(request.headers.get("If-Match"), required=route.if_match),
            claim=None,
            rendered=Rendered(),
            attempt=_retries(request.headers.get("X-CloudTasks-TaskRetryCount", "")) + 1,
            event=read_event(raw, route.topic) if route.kind == "push" else None,
        )
        if not route.idempotent:
            return call
        key = once.read_key(request.headers.get(once.HEADER))
        named = route.scope
        claim = once.make_claim(
            key,
            route,
            scope=once.find_scope(route, principal, lambda: named(call) if named else "", address),
            asked=[sorted(call.path.items()), query, raw.hex() if route.body is bytes else call.body],
            at=at,
            timeout_s=platform.function_timeout_s,
        )
        return msgspec.structs.replace(call, claim=claim)

    def _health(self, call: Call[Any]) -> Reply:
        """Whether this deployment and its database answer."""
        self.services.ping()
        return Reply(200, HealthView(status="ok"))

    def _flush(self) -> None:
        try:
            self.services.flush()
        except Exception as error:  # noqa: BLE001 - the relay sweeps what this request could not publish
            log.warning("flush_failed", deployment=self.name, error=type(error).__name__)

    # Refusing ------------------------------------------------------------------------------------------------------

    def _refuse(self, error: Exception) -> flask.Response:
        try:
            if isinstance(error, HTTPException):
                return _problem_response(*_of_http(error))
            if isinstance(error, ShopError):
                return _problem_response(problem(error), {})
        except LookupError as unknown:
            error = unknown
        log.error("unforeseen", exc=error, deployment=self.name, route=flask.g.get("route", ""))
        return _problem_response(internal(logs.current_trace()), {})

    def _begin(self) -> None:
        flask.g.started = time.perf_counter()
        flask.g.cache_control = "no-store"
        logs.write_json_lines()
        headers = flask.request.headers
        platform = self.services.platform()
        logs.follow_trace(headers.get("traceparent", ""), headers.get("X-Cloud-Trace-Context", ""), platform.project)
        # WSGI hands bytes over as latin-1; werkzeug would replace what is not UTF-8 and let a NUL through.
        readable_text(flask.request.environ.get("PATH_INFO", "").encode("latin-1"))
        _refuse_untidy_paths()

    def _end(self, response: flask.Response) -> flask.Response:
        _drain(flask.request)
        response.headers.setdefault(
            "Cache-Control", flask.g.cache_control if response.status_code < 400 else "no-store"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        log.info(
            "request",
            deployment=self.name,
            method=flask.request.method,
            route=flask.g.get("route", ""),
            status=response.status_code,
            duration_ms=round((time.perf_counter() - flask.g.started) * 1000, 1),
        )
        return response


def _prepare(app: flask.Flask, api: Api) -> None:
    app.before_request(api._begin)
    app.after_request(api._end)
    app.register_error_handler(Exception, api._refuse)


def _refuse_untidy_paths() -> None:
    """One thing has one path. Flask never asks an error handler about its own redirects, so they are caught before."""
    request = flask.request
    if isinstance(request.routing_exception, RequestRedirect) or request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def _read_body(request: flask.Request, limit: int) -> bytes:
    """The body as it came. Raises ContentTooLarge before more than `limit` bytes are held."""
    if (request.content_length or 0) > limit:
        raise ContentTooLarge
    parts: list[bytes] = []
    size = 0
    while size <= limit and (part := request.stream.read(min(_CHUNK, limit + 1 - size))):
        parts.append(part)
        size += len(part)
    if size > limit:
        raise ContentTooLarge
    return b"".join(parts)


def _parse(route: Route, request: flask.Request, raw: bytes) -> object:
    if route.kind == "push" or not route.changes_something:
        return None
    shape = route.body
    if shape is bytes:
        return raw
    if shape is None:
        if raw.strip() not in (b"", b"{}"):
            raise Unreadable("Nothing is expected in the body.")
        return None
    if request.mimetype != "application/json":
        raise UnsupportedMediaType
    return parse_body(raw, cast("type[msgspec.Struct]", shape))


def _drain(request: flask.Request) -> None:
    """Read away what nobody has read: functions-framework would read it into memory, whatever its size."""
    with suppress(HTTPException, OSError, ValueError):
        while request.stream.read(_CHUNK):
            pass


def _version(if_match: str | None, *, required: bool) -> int | None:
    """The version that If-Match names: 7, "7" or W/"7"."""
    if if_match is None:
        if required:
            raise Unreadable(parameters={"If-Match": "is required"})
        return None
    found = _VERSION.fullmatch(if_match.strip())
    if found is None:
        raise Unreadable(parameters={"If-Match": "must be a version, a whole number"})
    return int(found["bare"] or found["quoted"])


def _retries(header: str) -> int:
    return int(header) if header.isascii() and header.isdigit() else 0


def _completed(route: Route, call: Call[Any], status: int, text: str) -> str:
    """The answer with the secrets that no table keeps."""
    if route.completing is None or not text or status >= 400:
        return text
    document = msgspec.json.decode(text)
    route.completing(call, document)
    return msgspec.json.encode(document).decode()


def _response(status: int, text: str, headers: Mapping[str, str]) -> flask.Response:
    response = flask.Response(text, status, dict(headers))
    if not text:
        del response.headers["Content-Type"]
    else:
        response.headers["Content-Type"] = CONTENT_TYPE if status >= 400 else "application/json"
    return response


def _problem_response(found: Problem, headers: Mapping[str, str]) -> flask.Response:
    text = msgspec.json.encode(found.document, enc_hook=str).decode()
    return _response(found.status, text, {**found.headers, **headers})


def _of_http(error: HTTPException) -> tuple[Problem, Mapping[str, str]]:
    """What werkzeug raises, as one of ours."""
    if isinstance(error, werkzeug.exceptions.MethodNotAllowed):
        return problem(MethodNotAllowed()), {"Allow": ", ".join(sorted(error.valid_methods or ()))}
    if isinstance(error, werkzeug.exceptions.NotFound):
        return problem(NotFound()), {}
    if isinstance(error, werkzeug.exceptions.RequestEntityTooLarge):
        return problem(ContentTooLarge()), {}
    if error.code is not None and 400 <= error.code < 500:
        return problem(Unreadable()), {}
    raise LookupError(f"{type(error).__name__} has no problem of its own") from error


def _ids(error: ShopError) -> dict[str, object]:
    """What an error carries that may stand in a log: ids and numbers."""
    return {name: value for name, value in error.data.items() if isinstance(value, int | UUID)}
