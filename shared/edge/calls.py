"""What a handler is given and what it gives back.

The edge's own records are Structs: a dataclass costs a millisecond of every cold start, a Struct a thirtieth of it.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from werkzeug.datastructures import Headers

from shared.accounts.principals import Principal
from shared.edge.addresses import client_network
from shared.kernel.errors import NotFound
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.messages import Event

B_co = TypeVar("B_co", covariant=True)
T = TypeVar("T")


class Reply(msgspec.Struct, frozen=True):
    """`body` is a View, or None for no content; bytes are sent as they are, with the Content-Type of `headers`."""

    status: int
    body: object = None
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)


class Rendered:
    """What `answering` has rendered: the answer that the step stored is the answer that is sent."""

    __slots__ = ("answer",)

    def __init__(self) -> None:
        self.answer: tuple[int, str] | None = None


class Call(msgspec.Struct, Generic[B_co], frozen=True, kw_only=True):
    """One request, parsed and checked.

    `path` has what stands for <name> in the route; `raw` are the bytes of the body as they came; `attempt` counts the
    deliveries of a task from 1; `event` is what a push delivers; `claim` is there where the route is idempotent.
    """

    method: str
    route: str
    path: Mapping[str, str]
    query: Any
    body: B_co
    raw: bytes
    headers: Headers
    principal: Principal
    client_address: str
    at: datetime
    give_up_at: datetime
    order_token: str
    if_match: int | None
    claim: Claim | None
    rendered: Rendered
    attempt: int = 1
    event: Event | None = None

    @property
    def actor(self) -> str:
        """Who did it, for movements and the audit log: buyer, customer:<id>, staff:<id> or shop."""
        return self.principal.actor

    @property
    def client_network(self) -> str:
        """The /24 or /64 of the client's address: what limits count."""
        return client_network(self.client_address)

    def uuid(self, name: str) -> UUID:
        """That part of the path. Raises NotFound where it is no UUID: there can be no such thing."""
        try:
            return UUID(self.path[name])
        except ValueError as error:
            raise NotFound from error

    def answering(self, status: int, render: Callable[[T], object]) -> Answering[T] | None:
        """For tx.answer or a store's step: how the answer of this request is stored with its effect.

        `render` makes the View from the step's result; no secret may be in it (see `completing`). None where the route
        is not idempotent.
        """
        if self.claim is None:
            return None

        def as_text(result: T) -> str:
            text = msgspec.json.encode(render(result)).decode()
            self.rendered.answer = (status, text)
            return text

        return Answering(self.claim, status, as_text)
