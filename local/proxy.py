"""Calls carried on to a function as the load balancer and Cloud Run carry them: bytes in, bytes out."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from typing import Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

MAX_BODY_BYTES = 32 * 1024 * 1024
BALANCER_ADDRESS = "127.0.0.1"

# RFC 9110 s7.6.1: they belong to one connection.
HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class Backend(Protocol):
    """A function behind a port that takes calls at any time, whether its process runs or not."""

    @property
    def url(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...

    @property
    def problem(self) -> str:
        """Why the process does not start; empty while all is well."""

    def timing(self, limit: asyncio.Timeout) -> AbstractContextManager[None]:
        """Set `limit` to the end of the function's time for a call that is sent now."""


@asynccontextmanager
async def _entered(manager: AbstractContextManager[None]) -> AsyncIterator[None]:
    with manager:
        yield


class _Body:
    """The body of a call on its way, and whether it has turned out to be more than Cloud Run takes."""

    def __init__(self, request: web.BaseRequest) -> None:
        self._request = request
        self.too_large = False

    async def chunks(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._request.content.iter_any():
            size += len(chunk)
            if size > MAX_BODY_BYTES:
                self.too_large = True
                raise ValueError("the body is too large")
            yield chunk


def problem(status: int, title: str, detail: str) -> web.Response:
    """An RFC 9457 problem document of the platform itself."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    headers = {"Content-Type": "application/problem+json"}
    if status in (503, 504):
        headers["Retry-After"] = "1"
    return web.Response(body=json.dumps(body).encode(), status=status, headers=headers)


def open_session() -> aiohttp.ClientSession:
    """A client that sends what it is told and returns what it gets.

    A connection is used once: a server that closes an idle one while a call is on its way loses that call, and nobody
    could say whether it was carried out.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=65536,
        max_field_size=65536,
    )
    # It would repeat a GET or PUT whose connection broke, and there is no public switch.
    session._retry_connection = False
    return session


def open_own_session() -> aiohttp.ClientSession:
    """A client of this cloud's own servers, which keep idle connections longer than it does.

    To connect is most of a small call.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, use_dns_cache=False),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def forward(request: web.BaseRequest, backend: Backend, session: aiohttp.ClientSession) -> web.StreamResponse:
    """Carry a call to its function and the answer back.

    A function that ends in the middle gives 503, one that takes too long 504, as in the cloud: the caller cannot know
    what it has done, so nothing is ever sent twice.
    """
    if (request.content_length or 0) > MAX_BODY_BYTES:
        return _too_large()
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # or the answer's own head counts as sent
    body = _Body(request)
    try:
        return await _carry(request, body, backend, session)
    except TimeoutError:
        return problem(504, "Gateway Timeout", f"The function took longer than {backend.timeout_s:g} s.")
    except (aiohttp.ClientError, ConnectionResetError, ValueError):
        if body.too_large:
            return _too_large()
        detail = backend.problem or "The function ended before it had answered."
        return problem(503, "Service Unavailable", detail)


def _too_large() -> web.Response:
    return problem(413, "Content Too Large", "A call may carry 32 MiB.")


async def _carry(
    request: web.BaseRequest, body: _Body, backend: Backend, session: aiohttp.ClientSession
) -> web.StreamResponse:
    target = URL(backend.url + request.raw_path, encoded=True)
    response: web.StreamResponse | None = None
    try:
        async with (
            asyncio.timeout(None) as limit,
            _entered(backend.timing(limit)),
            session.request(
                request.method,
                target,
                headers=forwarded_headers(request),
                data=body.chunks() if request.body_exists else None,
                allow_redirects=False,
            ) as answer,
        ):
            response = web.StreamResponse(status=answer.status, reason=answer.reason)
            for name, value in _end_to_end(answer.raw_headers).items():
                response.headers.add(name, value)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response
    except (TimeoutError, aiohttp.ClientError, ConnectionResetError):
        if response is None or not response.prepared:
            raise
        # The head is out: all that is left is to end the connection, so that nobody takes the half for the whole.
        if request.transport is not None:
            request.transport.abort()
        return response


def forwarded_headers(request: web.BaseRequest) -> CIMultiDict[str]:
    """The caller's headers, and what the load balancer adds.

    X-Forwarded-For is "<what the client said>,<client>,<load balancer>": only the last but one entry is to be believed.
    """
    headers = _end_to_end(request.raw_headers)
    said = [*headers.popall("X-Forwarded-For", []), request.remote or "", BALANCER_ADDRESS]
    headers["X-Forwarded-For"] = ",".join(said)
    headers["X-Forwarded-Proto"] = "http"
    headers.popall("Expect", None)  # answered here
    _complete_trace(headers)
    return headers


def _end_to_end(raw_headers: tuple[tuple[bytes, bytes], ...]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for raw_name, value in raw_headers:
        headers.add(raw_name.decode("ascii", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
    listed = {name.strip().lower() for value in headers.getall("Connection", []) for name in value.split(",")}
    for name in HOP_BY_HOP | listed:
        headers.popall(name, None)
    return headers


def _complete_trace(headers: CIMultiDict[str]) -> None:
    """W3C Trace Context and Google's older form name the same trace; what the caller sent stays as it is."""
    parent, google = headers.get("traceparent"), headers.get("X-Cloud-Trace-Context")
    if parent is None:
        trace = (google or "").partition("/")[0]
        if len(trace) != 32 or not set(trace) <= set("0123456789abcdef") or trace == "0" * 32:
            trace = secrets.token_hex(16)
        parent = headers["traceparent"] = f"00-{trace}-{secrets.token_hex(8)}-01"
    if google is None:
        parts = parent.split("-")
        if len(parts) >= 3 and len(parts[1]) == 32:
            with suppress(ValueError):  # no trace context at all: the function sees what the caller sent
                headers["X-Cloud-Trace-Context"] = f"{parts[1]}/{int(parts[2], 16)};o=1"
