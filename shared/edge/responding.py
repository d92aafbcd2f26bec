"""From replies and errors to responses: JSON or a problem document, and never a word of HTML."""

from collections.abc import Mapping
from typing import Any

import flask
import msgspec
import werkzeug.exceptions
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from shared.edge.calls import Call
from shared.edge.problems import CONTENT_TYPE, ContentTooLarge, MethodNotAllowed, Problem, Unreadable, problem
from shared.edge.routes import Route
from shared.kernel.errors import NotFound


def respond(
    status: int, content: str | bytes, headers: Mapping[str, str], *, cache_control: str = "no-store"
) -> flask.Response:
    """Text is JSON, bytes are what their headers say; no content has no type. Refusals are never cached."""
    complete_headers = {
        "Content-Type": _content_type(status, content),
        "Cache-Control": cache_control if status < 400 else "no-store",
        "X-Content-Type-Options": "nosniff",
        **headers,
    }
    response = flask.Response(content, status, list(complete_headers.items()))
    if not content:
        del response.headers["Content-Type"]
    return response


def _content_type(status: int, content: str | bytes) -> str:
    if isinstance(content, bytes):
        return "application/octet-stream"
    return CONTENT_TYPE if status >= 400 else "application/json"


def respond_with_problem(found: Problem, headers: Mapping[str, str]) -> flask.Response:
    return respond(found.status, found.text(), {**found.headers, **headers})


def problem_of_http(error: HTTPException) -> tuple[Problem, Mapping[str, str]]:
    """What werkzeug raises, as one of ours."""
    if isinstance(error, werkzeug.exceptions.MethodNotAllowed):
        return problem(MethodNotAllowed()), {"Allow": ", ".join(sorted(error.valid_methods or ()))}
    # Nothing here has two addresses: what would be led on is not there.
    if isinstance(error, werkzeug.exceptions.NotFound | RequestRedirect):
        return problem(NotFound()), {}
    if isinstance(error, werkzeug.exceptions.RequestEntityTooLarge):
        return problem(ContentTooLarge()), {}
    if error.code is not None and 400 <= error.code < 500:
        return problem(Unreadable()), {}
    raise LookupError(f"{type(error).__name__} has no problem of its own") from error


def headers_of_made(route: Route, status: int, text: str) -> dict[str, str]:
    """Where what was made is, and its version."""
    if not route.made_at or status != 201:
        return {}
    document = msgspec.json.decode(text)
    return {"Location": route.made_at.format(**document), "ETag": f'"{document["version"]}"'}


def complete(route: Route, call: Call[Any], status: int, text: str) -> str:
    """The answer with the secrets that no table keeps."""
    if route.completing is None or not text or status >= 400:
        return text
    document = msgspec.json.decode(text)
    route.completing(call, document)
    return msgspec.json.encode(document).decode()
