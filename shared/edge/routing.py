"""The routes of one subject, as their handlers name them; an Api serves its own, and those of the modules beside it.

routes = Routes()

@routes.get("/v1/carts/<cart_id>", answers={200: CartView}, errors=[CartNotFound])
def get_cart(call: Call[None]) -> Reply: ...

api = Api("checkout", services=parts.services(), routes=[cart_routes, checkout_routes])      # in main.py
"""

from collections.abc import Callable
from typing import Any, TypeVar, Unpack

import msgspec

from shared.edge.routes import Changing, Handler, Kind, Reading, Route

F = TypeVar("F", bound=Handler)


class Routes:
    """What was named so far, in order."""

    def __init__(self) -> None:
        self.routes: list[Route] = []

    def get(self, path: str, **options: Unpack[Reading]) -> Callable[[F], F]:
        return self._http("GET", path, **options)

    def post(self, path: str, **options: Unpack[Changing]) -> Callable[[F], F]:
        """Something that changes, once per Idempotency-Key unless `idempotent` is False."""
        return self._http("POST", path, **{"idempotent": True, **options})

    def put(self, path: str, **options: Unpack[Changing]) -> Callable[[F], F]:
        """It names the whole state, so it needs no key unless `idempotent` is True; likewise `patch` and `delete`."""
        return self._http("PUT", path, **options)

    def patch(self, path: str, **options: Unpack[Changing]) -> Callable[[F], F]:
        return self._http("PATCH", path, **options)

    def delete(self, path: str, **options: Unpack[Changing]) -> Callable[[F], F]:
        return self._http("DELETE", path, **options)

    def task(self, path: str, *, body: type[msgspec.Struct] | None = None) -> Callable[[F], F]:
        """A job that a Cloud Tasks queue calls. Unavailable brings it back; another ShopError is logged, and done."""
        return self._job("task", path, body=body)

    def schedule(self, path: str) -> Callable[[F], F]:
        """A job that Cloud Scheduler calls with an empty object."""
        return self._job("schedule", path)

    def push(self, path: str, *, topic: str = "") -> Callable[[F], F]:
        """A job that a Pub/Sub subscription calls with an event; the topic is the path's last part, or named."""
        return self._job("push", path, topic=topic or path.rpartition("/")[2])

    def dead_letters(self, path: str, *, query: type[msgspec.Struct]) -> Callable[[F], F]:
        """A job that every dead-letter subscription calls, with any message at all (pushes.read_dead_letter)."""
        return self._job("dead_letter", path, query=query)

    def _http(self, method: str, path: str, **options: Any) -> Callable[[F], F]:
        def add(handler: F) -> F:
            self._add(Route(kind="http", method=method, path=path, handler=handler, **options))
            return handler

        return add

    def _job(self, kind: Kind, path: str, **options: Any) -> Callable[[F], F]:
        if not path.startswith("/jobs/"):
            raise ValueError(f"{path}: jobs are under /jobs/, which the load balancer does not serve")

        def add(handler: F) -> F:
            self._add(Route(kind=kind, method="POST", path=path, handler=handler, answers={204: None}, **options))
            return handler

        return add

    def _add(self, route: Route) -> None:
        self.routes.append(route)
