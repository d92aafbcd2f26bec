"""A POST that changes something runs once per Idempotency-Key (DESIGN.md rule 10).

The edge makes a Claim from the request. The claim is taken before the work, and the transaction that has the effect
stores the answer under the claim's lease token; a transaction whose lease was taken over meanwhile raises LeaseLost
and rolls back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID, uuid5

from shared.kernel.errors import Conflict, Invalid, Unavailable

T = TypeVar("T")
_REQUESTS = UUID("6d5b7f0a-3f0e-4a52-9b1d-0c8f5f6a7e21")  # any; another one would make every request a new one


@dataclass(frozen=True, slots=True)
class Claim:
    """`key` of `scope` (session, cart, order or client) for `route`; `request_hash` is SHA-256 of what was asked.

    The lease of `token` runs from `at` until `until`, which lies after the function's timeout.
    """

    scope: str
    route: str
    key: str
    request_hash: bytes
    token: UUID
    at: datetime
    until: datetime

    @property
    def request_id(self) -> UUID:
        """The same for the same request, however often it comes: under it a vendor knows what it was asked already."""
        return uuid5(_REQUESTS, "\n".join((self.scope, self.route, self.key, self.request_hash.hex())))


@dataclass(frozen=True, slots=True)
class Answering(Generic[T]):
    """How a step that commits a T stores its answer: `render` gives the body (JSON text without any secret)."""

    claim: Claim
    status: int
    render: Callable[[T], str]


class AlreadyAnswered(Exception):
    """The key has its answer: say it again. Control flow for the edge, no error of a caller."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class InFlight(Conflict):
    """Another request with this key is at work."""

    sentence = "This request is already being worked on."
    retry_after_s = 2


class KeyReused(Invalid):
    """The key was used for another body."""

    sentence = "This Idempotency-Key was used for another request."


class LeaseLost(Unavailable):
    """Another request has taken this one's place; what it wrote stands, what we meant to write does not."""

    sentence = "Another request with this key has taken over. Please ask again."
