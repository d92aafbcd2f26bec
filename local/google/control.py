"""The HTTP routes that the control surface, tests and operators ask of Pub/Sub and Cloud Tasks alike."""

from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web

from local.clock import Clock


class Controlled(Protocol):
    def pending(self, *, now: float, under_way: frozenset[int]) -> dict[str, Any]:
        """{pending, due, in_flight, retrying, later, items, dead_letters}.

        pending = due + in_flight + retrying: what is not over. later: what waits for its time by the clock, on top.
        """

    def retry_now(self, *, now: float) -> int:
        """Everything that waits for another attempt is due, a rest after its last one. How many it brought forward."""

    def replay(self, dead_letter: int, *, now: float) -> bool:
        """A dead letter becomes work again, as if never tried; False where there is none of this id."""


def control_routes(
    state: Controlled, *, clock: Clock, wake: Callable[[], None], under_way: Callable[[], frozenset[int]]
) -> web.Application:
    routes = web.RouteTableDef()

    @routes.get("/_local/health")
    async def health(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    @routes.get("/_local/pending")
    async def pending(request: web.Request) -> web.Response:
        return web.json_response(state.pending(now=clock.now(), under_way=under_way()))

    @routes.post("/_local/retry-now")
    async def retry_now(request: web.Request) -> web.Response:
        retried = state.retry_now(now=clock.now())
        wake()
        return web.json_response({"retried": retried})

    @routes.post(r"/_local/dead-letters/{id:\d+}/replay")
    async def replay(request: web.Request) -> web.Response:
        if not state.replay(int(request.match_info["id"]), now=clock.now()):
            return web.json_response({"detail": "There is no such dead letter."}, status=404)
        wake()
        return web.json_response({"replayed": int(request.match_info["id"])})

    app = web.Application()
    app.add_routes(routes)
    return app
