"""The load balancer of the local cloud: a path prefix of deployments.yaml leads to its function."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import aiohttp
from aiohttp import web

from local.proxy import Backend, forward, problem

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Opening:
    """What may be called already: reading needs the database only, everything else needs every server."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self._all = asyncio.Event()

    def open(self) -> None:
        self.reads.set()
        self._all.set()

    async def wait(self, method: str) -> None:
        await (self.reads if method in ("GET", "HEAD") else self._all).wait()

    async def wait_for_all(self) -> None:
        await self._all.wait()


class Gateway:
    """Routes calls. `local` answers what lies under /_local/; jobs deployments have no route, so nobody gets there."""

    def __init__(
        self, routes: Mapping[str, Backend], *, local: Handler, session: aiohttp.ClientSession, opening: Opening
    ) -> None:
        self._routes = routes
        self._local = local
        self._session = session
        self._opening = opening

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if path == "/":
            return web.Response(status=302, headers={"Location": "/_local/"})
        if path == "/_local" or path.startswith("/_local/"):
            await self._opening.wait_for_all()
            return await self._local(request)
        backend = self.find_backend(path)
        if backend is None:
            return problem(404, "Not Found", "Nothing is served under this path.")
        await self._opening.wait(request.method)
        return await forward(request, backend, self._session)

    def find_backend(self, path: str) -> Backend | None:
        """The function of the longest prefix that ends at a slash of the path: what a URL map does."""
        prefix = path
        while prefix:
            backend = self._routes.get(prefix)
            if backend is not None:
                return backend
            prefix = prefix.rpartition("/")[0]
        return None
