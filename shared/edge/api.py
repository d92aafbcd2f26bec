"""The HTTP and job edge of one deployment: routes in, problem documents out, and never a word of HTML.

    api = Api("checkout", services=Services(platform=platform, ping=ping, tokens=token_keys, keys=idempotency_keys))

    @api.post("/v1/checkouts", body=PlaceOrderBody, answers={201: CheckoutView}, errors=[OutOfStock])
    def place(call: Call[PlaceOrderBody]) -> Reply: ...

    def checkout(request: flask.Request) -> flask.Response:      # the entry point of the function
        return api.serve(request)

Making an Api opens nothing and starts nothing. functions-framework has a Flask app already, with a request under way:
routes are werkzeug's, and a second Flask app inside it would only do everything twice.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import flask
import msgspec
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, Rule

from shared.edge import logs, once
from shared.edge.addresses import client_address
from shared.edge.callers import find_principal
from shared.edge.calls import Call, Rendered, Reply
from shared.edge.parsing import parse_query
from shared.edge.problems import Unreadable, internal, problem
from shared.edge.pushes import read_event
from shared.edge.reading import check_path, count_retries, drain, read_body, read_shape, read_version
from shared.edge.responding import complete, headers_of_made, problem_of_http, respond, respond_with_problem
from shared.edge.routes import Route
from shared.edge.routing import Routes
from shared.edge.services import Services
from shared.kernel.errors import ShopError, Unavailable
from shared.kernel.logs import Log

log = Log(__name__)

# A handler gives up so long before the platform does: after a 504 the instance is frozen with its locks (rule 4).
_GIVE_UP_BEFORE_S = 5


class HealthView(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    status: str


class Api(Routes):
    """The routes of the deployment `name` (functions/deployments.yaml); `serve` answers them.

    `routes` are those of the modules beside its main.py.
    """

    def __init__(self, name: str, *, services: Services, routes: Iterable[Routes] = ()) -> None:
        super().__init__()
        self.name = name
        self.services = services
        self._map = Map(merge_slashes=False)
        self._by_name: dict[str, Route] = {}
        if flask.has_app_context():
            # functions-framework imports a function within the context of the app it will put round it.
            self.move_into(flask.current_app._get_current_object())  # type: ignore[attr-defined]
        self._add(Route(kind="health", method="GET", path=f"/v1/health/{name}", handler=self._health,
                        answers={200: HealthView}))  # fmt: skip
        for named in routes:
            for route in named.routes:
                self._add(route)

    def move_into(self, app: flask.Flask) -> None:
        """Left alone, functions-framework's app answers /robots.txt, //v1 and crashes in HTML, and tells exceptions."""
        app.url_map.merge_slashes = False
        app.register_error_handler(Exception, self._refuse)
        app.register_error_handler(500, self._refuse)
        app.before_request(lambda: check_path(flask.request))

    def _add(self, route: Route) -> None:
        if route.idempotent and self.services.keys is None:
            raise ValueError(f"{route.name} is idempotent, and {self.name} wires no keys")
        if route.name in self._by_name:
            raise ValueError(f"{route.name} is there twice in {self.name}")
        super()._add(route)
        self._by_name[route.name] = route
        self._map.add(Rule(route.path, endpoint=route.name, methods=[route.method]))

    # Serving -------------------------------------------------------------------------------------------------------

    def serve(self, request: flask.Request) -> flask.Response:
        """The answer to the request under way, whatever it is: never an exception."""
        flask.g.started, flask.g.route = time.perf_counter(), ""
        try:
            self._follow_trace(request)
            flask.g.route, variables = self._map.bind_to_environ(request.environ).match()
            response = self._answer(self._by_name[flask.g.route], variables)
        except Exception as error:  # noqa: BLE001 - every refusal and every crash is a problem document
            response = self._refuse(error)
        drain(request)
        log.info(
            "request",
            deployment=self.name,
            method=request.method,
            route=flask.g.route,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - flask.g.started) * 1000, 1),
        )
        return response

    def _follow_trace(self, request: flask.Request) -> None:
        logs.write_json_lines()
        platform = self.services.platform()
        traceparent, cloud_trace = (request.headers.get(name, "") for name in ("traceparent", "X-Cloud-Trace-Context"))
        logs.follow_trace(traceparent, cloud_trace, platform.project)

    def _answer(self, route: Route, variables: Mapping[str, str]) -> flask.Response:
        try:
            call = self._read(route, variables)
            if route.admitting is not None:
                route.admitting(call)
            if call.claim is not None and self.services.keys is not None:
                status, text, headers, again = once.answer_once(route, call, call.claim, self.services.keys())
                if again:
                    headers = {**headers, "Idempotency-Replayed": "true"}
                headers = {**headers, **headers_of_made(route, status, text)}
                return respond(status, complete(route, call, status, text), headers)
            reply = route.handler(call) or Reply(204)
        except ShopError as error:
            if route.is_job and not isinstance(error, Unavailable | Unreadable):
                # Told again it would end the same way: what we foresaw is recorded, and the job is done (STYLE.md 18).
                log.warning("job_refused", route=route.name, error=type(error).__name__, **_ids(error))
                return respond(204, "", {})
            raise
        finally:
            self._flush()
        if isinstance(reply.body, bytes):
            return respond(reply.status, reply.body, reply.headers, cache_control=route.cache_control)
        text = "" if reply.body is None else msgspec.json.encode(reply.body).decode()
        text = complete(route, call, reply.status, text)
        return respond(reply.status, text, reply.headers, cache_control=route.cache_control)

    def _read(self, route: Route, variables: Mapping[str, str]) -> Call[Any]:
        request = flask.request
        platform = self.services.platform()
        at = self.services.clock.now()
        principal = find_principal(request, route, self.services, at=at)
        # Who calls is known before anything they sent is looked at: a stranger learns no field of a staff route.
        query = None if route.any_query else parse_query(request.query_string.decode("latin-1"), route.query)
        raw = read_body(request, route.body_limit) if route.changes_something else b""
        address = client_address(request.headers.get("X-Forwarded-For", ""), request.remote_addr or "")
        call: Call[Any] = Call(
            method=request.method,
            route=route.name,
            path={name: str(value) for name, value in variables.items()},
            query=query,
            body=read_shape(route, request, raw),
            raw=raw,
            headers=request.headers,
            principal=principal,
            client_address=address,
            at=at,
            give_up_at=at + timedelta(seconds=max(platform.function_timeout_s - _GIVE_UP_BEFORE_S, 1)),
            order_token=request.headers.get("X-Order-Token", ""),
            if_match=read_version(request.headers.get("If-Match"), required=route.if_match == "required"),
            claim=None,
            rendered=Rendered(),
            attempt=count_retries(request.headers.get("X-CloudTasks-TaskRetryCount", "")) + 1,
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
                return respond_with_problem(*problem_of_http(error))
            if isinstance(error, ShopError):
                return respond_with_problem(problem(error), {})
        except LookupError as unknown:
            error = unknown
        log.error("unforeseen", exc=error, deployment=self.name, route=flask.g.get("route", ""))
        return respond_with_problem(internal(logs.current_trace()), {})


def _ids(error: ShopError) -> dict[str, object]:
    """What an error carries that may stand in a log: ids and numbers."""
    return {name: value for name, value in error.data.items() if isinstance(value, int | UUID)}
