"""An HTTP server whose own refusals are problem documents, like every other answer."""

import socket

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from local.gateway import Handler
from local.proxy import problem

MAX_TARGET_BYTES = 32768
MAX_HEADER_BYTES = 65536


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What could not be read as HTTP, or a mistake of ours; it ends the connection."""
        super().handle_error(request, status, exc, message)  # logs, and refuses where an answer is under way
        if status == 400:
            response = problem(400, "Bad Request", "This is not a request that HTTP/1.1 allows.")
        else:
            response = problem(status, "Internal Server Error", "The local cloud failed; logs/gateway.log says how.")
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


async def serve(handler: Handler, listener: socket.socket) -> web.ServerRunner:
    """Serve what comes to this socket until the runner that is returned is cleaned up."""
    server = _Server(
        handler,
        access_log=None,
        keepalive_timeout=75,
        lingering_time=2.0,  # for the rest of a body that was refused
        max_line_size=MAX_TARGET_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )
    runner = web.ServerRunner(server, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=1024).start()
    return runner
