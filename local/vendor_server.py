"""What the simulators of vendors have in common: how they listen, and how a fault that was asked for befalls a call."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from aiohttp import web

from local.faults import Faults

DELAY_S = 2.0

Act = Callable[[], Awaitable[web.StreamResponse]]


async def through_faults(
    request: web.Request, *, faults: Faults, target: str, act: Act, refuse: Callable[[], web.Response]
) -> web.StreamResponse:
    """Answer with `act`, unless a fault of `target` is due for this path; `refuse` renders the vendor's own 5xx."""
    # Read before anything else: a call that is acted on twice, or after its client left, still has its body.
    await request.read()
    fault = faults.draw(target, request.path)
    if fault == "lose":
        return hang_up(request)
    if fault == "error":
        return refuse()
    if fault is not None and fault in ("delay", "reorder"):
        await asyncio.sleep(DELAY_S if fault.delay_s is None else fault.delay_s)
    response = await act()
    if fault == "repeat":
        response = await act()
    if fault is not None and fault == "timeout_after_effect":
        await asyncio.sleep(fault.delay_s or 0)
        return hang_up(request)
    return response


def hang_up(request: web.Request) -> web.Response:
    """Close the connection without an answer. What is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


async def serve(app: web.Application, host: str, port: int, listening: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; `listening` is told the base URL as soon as the port is bound (0 picks one)."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, stopped.set)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    # The port first, then the state: handlers need the base URL, and no call is answered before `listening` returns.
    site = web.TCPSite(runner, host, port)
    await site.start()
    bound = runner.addresses[0][1]
    url = f"http://{host}:{bound}"
    listening(url)
    print(f"listening on {url}", flush=True)
    try:
        await stopped.wait()
    finally:
        await runner.cleanup()
