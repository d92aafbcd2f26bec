"""PayPal's error bodies. Names and messages are those of its published schemas."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from local.paypal.issues import DESCRIPTIONS

MESSAGES = {
    400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
    401: (
        "AUTHENTICATION_FAILURE",
        "Authentication failed due to missing authorization header, or invalid authentication credentials.",
    ),
    404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
    409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "The server does not support the request payload's media type."),
    422: (
        "UNPROCESSABLE_ENTITY",
        "The requested action could not be performed, semantically incorrect, or failed business validation.",
    ),
    500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
    503: ("SERVICE_UNAVAILABLE", "Service Unavailable."),
}


@dataclass
class Problem(Exception):
    """An answer of PayPal's that is no success."""

    status: int
    details: list[dict[str, Any]] = field(default_factory=list)
    links: list[dict[str, Any]] = field(default_factory=list)

    def body(self) -> dict[str, Any]:
        name, message = MESSAGES[self.status]
        issue = self.details[0]["issue"] if self.details else name
        links = [*self.links, _help(issue)]
        body = {"name": name, "message": message, "debug_id": debug_id(), "links": links}
        return {**body, "details": self.details} if self.details else body


def debug_id() -> str:
    return secrets.token_hex(7)[:13]


def detail(
    issue: str, at: str | None = None, *, value: Any = None, location: str = "body", kind: str = ""
) -> dict[str, Any]:
    """One entry of `details`; `at` is the field's JSON pointer, `kind` tells apart what PayPal words differently."""
    entry: dict[str, Any] = {"issue": issue, "description": DESCRIPTIONS[f"{kind} {issue}".strip()]}
    if at is not None:
        entry = {"field": at, "location": location, **entry}
        if isinstance(value, str | int | float | bool):
            entry["value"] = str(value)
    return entry


def invalid(details: Sequence[dict[str, Any]]) -> Problem:
    """400: the request does not fit the schema."""
    return Problem(400, list(details))


def unprocessable(issue: str, at: str | None = None, *, value: Any = None) -> Problem:
    """422: the request fits the schema and breaks a rule."""
    return Problem(422, [detail(issue, at, value=value)])


def not_found(at: str, value: str) -> Problem:
    return Problem(404, [detail("INVALID_RESOURCE_ID", at, value=value, location="path")])


def _help(issue: str) -> dict[str, Any]:
    return {
        "href": f"https://developer.paypal.com/api/rest/reference/orders/v2/errors/#{issue}",
        "rel": "information_link",
        "method": "GET",
    }
