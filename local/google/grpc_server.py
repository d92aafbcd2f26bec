"""A gRPC service written by hand over the public message types, and the process that serves it beside its control."""

import argparse
import asyncio
import json
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import grpc
import grpc.aio
from aiohttp import web

from local.faults import Drawn

# The longest that a fault keeps a caller waiting who set no deadline.
NO_ANSWER_S = 60.0
# How long "delay" and "reorder" hold a call back that do not say it: less than a caller waits who has a second.
DELAY_S = 0.5

Handler = Callable[[Any, Any], Awaitable[Any]]
Method = tuple[Handler, Any, Any]


class Refused(Exception):
    """A call that ends with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


def not_found(text: str) -> Refused:
    return Refused(grpc.StatusCode.NOT_FOUND, text)


def already_exists(text: str) -> Refused:
    return Refused(grpc.StatusCode.ALREADY_EXISTS, text)


def invalid(text: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, text)


def failed_precondition(text: str) -> Refused:
    return Refused(grpc.StatusCode.FAILED_PRECONDITION, text)


def unavailable() -> Refused:
    return Refused(grpc.StatusCode.UNAVAILABLE, "The service is currently unavailable. (fault)")


async def hold_back(fault: Drawn) -> None:
    """For as long as the fault says, so that the next call goes first."""
    await asyncio.sleep(DELAY_S if fault.delay_s is None else fault.delay_s)


async def never_answer() -> NoReturn:
    """Keep silent until the caller gives up, which cancels this call."""
    await asyncio.sleep(NO_ANSWER_S)
    raise Refused(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer (fault)")


def seconds(duration: Any, unset: float) -> float:
    """Of a google.protobuf.Duration as proto-plus gives it; `unset` where it is missing or zero."""
    return duration.total_seconds() if isinstance(duration, timedelta) and duration else unset


def service(name: str, methods: Mapping[str, Method]) -> Any:
    """A generic handler of the service `name`: method -> (handler, request type, response type), proto-plus types.

    A response type of None is google.protobuf.Empty, whose bytes are none.
    """
    return grpc.method_handlers_generic_handler(
        name,
        {
            method: grpc.unary_unary_rpc_method_handler(
                _answering(handler),
                request_deserializer=request.deserialize,
                response_serializer=response.serialize if response is not None else lambda _: b"",
            )
            for method, (handler, request, response) in methods.items()
        },
    )


def _answering(handler: Handler) -> Handler:
    async def answer(request: Any, context: Any) -> Any:
        try:
            return await handler(request, context)
        except Refused as refused:
            await context.abort(refused.code, refused.text)

    return answer


def arguments(description: str) -> argparse.Namespace:
    """The command line that Pub/Sub and Cloud Tasks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="gRPC")
    parser.add_argument("--control-port", type=int, required=True, help="HTTP: /_local/...")
    parser.add_argument("--state", type=Path, required=True, help="folder of the state file")
    parser.add_argument("--clock", type=Path, required=True, help="the clock file")
    parser.add_argument("--faults", type=Path, required=True, help="the faults file")
    parser.add_argument("--config", type=Path, required=True, help="JSON, read once")
    return parser.parse_args()


def read_config(path: Path) -> dict[str, Any]:
    config = json.loads(path.read_text())
    if not isinstance(config, dict):
        raise SystemExit(f"{path} holds no JSON object")
    return config


async def serve(
    options: argparse.Namespace, handlers: list[Any], control: web.Application, work: Coroutine[Any, Any, None]
) -> None:
    """Serve until SIGTERM or SIGINT; `work` runs beside it, and its failure ends the process."""
    logging.basicConfig(level=logging.WARNING)
    # Without the first a second process could bind the same port and would get half of the calls; gRPC's own limit of
    # 4 MiB is below that of a Publish.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", 12_000_000)])
    for handler in handlers:
        server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"{options.host}:{options.port}")
    await server.start()
    runner = web.AppRunner(control, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, options.host, options.control_port).start()

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    working = loop.create_task(work)
    waiting = loop.create_task(stopped.wait())
    await asyncio.wait([working, waiting], return_when=asyncio.FIRST_COMPLETED)
    working_ended = working.done()
    working.cancel()
    await server.stop(None)
    await runner.cleanup()
    if working_ended:
        await working
