"""Problem documents (RFC 9457). Here, and only here, an error becomes a status.

A category has its status; a leaf's name is its type: OutOfStock is https://vitrine.example/problems/out-of-stock. What
an error carries as data are members of its problem.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from shared.kernel.errors import (
    Conflict,
    Declined,
    Field,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    ShopError,
    Stale,
    Unauthenticated,
    Unavailable,
)

TYPES = "https://vitrine.example/problems/"
CONTENT_TYPE = "application/problem+json"


class Unreadable(Invalid):
    """The request cannot be read: no JSON, a NUL, an unknown or bad parameter; `parameters` or `fields` name those."""

    sentence = "This request cannot be read."

    def __init__(
        self,
        sentence: str | None = None,
        *,
        parameters: Mapping[str, str] | None = None,
        fields: Sequence[Field] = (),
    ) -> None:
        super().__init__(fields, sentence)
        self.parameters = dict(parameters or {})


class MethodNotAllowed(ShopError):
    sentence = "That cannot be done here."


class ContentTooLarge(ShopError):
    sentence = "This is too much at once."


class UnsupportedMediaType(ShopError):
    sentence = "Please send application/json."


# Subclasses before their bases: the first that fits decides.
STATUSES: Mapping[type[ShopError], int] = {
    Unreadable: 400,
    Invalid: 422,
    Unauthenticated: 401,
    Declined: 402,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    Conflict: 409,
    Stale: 412,
    ContentTooLarge: 413,
    UnsupportedMediaType: 415,
    RateLimited: 429,
    Unavailable: 503,
}

_RESERVED = frozenset({"type", "title", "status", "detail", "instance", "errors", "trace"})


class Problem(msgspec.Struct, frozen=True):
    status: int
    document: Mapping[str, object]
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)

    def text(self) -> str:
        return msgspec.json.encode(self.document, enc_hook=str).decode()


def status_of(error: type[ShopError]) -> int:
    """Raises LookupError for a category that the table does not know."""
    for category, status in STATUSES.items():
        if issubclass(error, category):
            return status
    raise LookupError(f"{error.__name__} belongs to no category of {__name__}")


def type_of(error: type[ShopError]) -> str:
    return TYPES + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", error.__name__).lower()


def title_of(error: type[ShopError]) -> str:
    """The class name in words: OutOfStock is "Out of stock"."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", error.__name__).lower()
    return words[0].upper() + words[1:]


def problem(error: ShopError) -> Problem:
    status = status_of(type(error))
    document: dict[str, object] = {
        "type": type_of(type(error)),
        "title": title_of(type(error)),
        "status": status,
        "detail": error.sentence,
    }
    document.update({name: value for name, value in error.data.items() if name not in _RESERVED})
    if isinstance(error, Unreadable) and error.parameters:
        document["errors"] = [{"parameter": name, "detail": text} for name, text in error.parameters.items()]
    elif isinstance(error, Invalid) and error.fields:
        document["errors"] = [{"pointer": bad.pointer, "detail": bad.detail} for bad in error.fields]
    headers: dict[str, str] = {}
    retry_after_s = getattr(error, "retry_after_s", None)
    if retry_after_s is not None:
        headers["Retry-After"] = str(int(retry_after_s))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Problem(status, document, headers)


def internal(trace: str) -> Problem:
    """What we did not foresee: no text of it leaves the house, the log has it under the same trace."""
    return Problem(
        500,
        {
            "type": TYPES + "internal",
            "title": "Internal",
            "status": 500,
            "detail": "Something went wrong on our side.",
            "trace": trace,
        },
    )
