"""What is read of a request beside its caller: its path, its body, the few headers that mean something."""

import re
from contextlib import suppress
from typing import cast

import flask
import msgspec
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from shared.edge.parsing import parse_body, readable_text
from shared.edge.problems import ContentTooLarge, Unreadable, UnsupportedMediaType
from shared.edge.routes import Route
from shared.kernel.errors import NotFound

_CHUNK = 64 * 1024
_MOST_DRAINED = 32 * 1024 * 1024  # Cloud Run passes no larger HTTP/1 request on
_VERSION = re.compile(r'(?P<bare>[0-9]{1,9})|(?:W/)?"(?P<quoted>[0-9]{1,9})"')


def check_path(request: flask.Request) -> None:
    """Raises Unreadable where the path is no text, NotFound where it is written in another way than ours.

    One thing has one path, and Flask never asks an error handler about its own redirects, so they are caught here.
    """
    path: str = request.environ.get("PATH_INFO", "")
    # WSGI hands bytes over as latin-1; werkzeug would replace what is not UTF-8 and let a NUL through.
    readable_text(path.encode("latin-1"))
    if isinstance(request.routing_exception, RequestRedirect) or path.startswith("//"):
        raise NotFound


def read_body(request: flask.Request, limit: int) -> bytes:
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


def read_shape(route: Route, request: flask.Request, raw: bytes) -> object:
    """The body as the route wants it. Raises Unreadable, UnsupportedMediaType, Invalid."""
    if route.kind in ("push", "dead_letter") or not route.changes_something:
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


def drain(request: flask.Request) -> None:
    """Read away what nobody has read: functions-framework would read it into memory, whatever its size."""
    if not request.content_length and not request.headers.get("Transfer-Encoding"):
        return
    left = _MOST_DRAINED
    with suppress(HTTPException, OSError, ValueError):
        while left > 0 and (part := request.stream.read(_CHUNK)):
            left -= len(part)


def read_version(if_match: str | None, *, required: bool) -> int | None:
    """The version that If-Match names: 7, "7" or W/"7"."""
    if if_match is None:
        if required:
            raise Unreadable(parameters={"If-Match": "is required"})
        return None
    found = _VERSION.fullmatch(if_match.strip())
    if found is None:
        raise Unreadable(parameters={"If-Match": "must be a version, a whole number"})
    return int(found["bare"] or found["quoted"])


def count_retries(header: str) -> int:
    """Of a task, from X-CloudTasks-TaskRetryCount."""
    return int(header) if header.isascii() and header.isdigit() and len(header) <= 9 else 0
