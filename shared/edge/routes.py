"""What is known of a route before anybody calls it: the edge serves by it, openapi.py describes by it."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

import msgspec

from shared.edge.calls import Call, Reply
from shared.edge.problems import ContentTooLarge, Unreadable, UnsupportedMediaType
from shared.kernel.errors import Forbidden, Invalid, NotFound, ShopError, Unauthenticated, Unavailable
from shared.kernel.idempotency import InFlight, KeyReused, LeaseLost

Handler = Callable[[Call[Any]], Reply | None]
Completing = Callable[[Call[Any], dict[str, Any]], None]
Answers = Mapping[int, type[msgspec.Struct] | None]
IfMatch = Literal["required", "optional"]
Kind = Literal["http", "task", "push", "dead_letter", "schedule", "health"]

DEFAULT_BODY_LIMIT = 1024 * 1024
_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")


class Reading(TypedDict, total=False):
    """What a GET may say of itself.

    `answers`: every status that the handler gives, with its View, or None for no content. `errors`: every error that
    it raises on purpose. `permission` makes it a staff route; `live_session` asks whether the session of whoever is
    signed in was revoked; `order_token` says that X-Order-Token is looked at; `admitting` raises where the caller may
    not. `media` are the content types of a 200 or 404 whose body are bytes. `any_query`: people pass the address on and
    others append to it; nothing of that is read, or refused.
    """

    answers: Required[Answers]
    query: type[msgspec.Struct]
    any_query: bool
    errors: Sequence[type[ShopError]]
    permission: str
    live_session: bool
    order_token: bool
    admitting: Callable[[Call[Any]], object]
    cache_control: str
    media: Sequence[str]


class Changing(Reading, total=False):
    """What POST, PUT, PATCH and DELETE may say of themselves as well.

    `body` is a parsing.Body, or bytes for the raw body whatever its type. `claims_itself`: the handler's first
    statement takes call.claim. `scope` names the cart or order that a guest's key belongs to. `admitting` is asked
    before a key is claimed or an old answer said again; `completing` puts secrets into the answer after it was stored
    or found again. `made_at` is the address of what a 201 tells of, with members of the answer in braces: Location, and
    ETag by its `version`, also where the answer is said again.
    """

    body: type[msgspec.Struct] | type[bytes]
    body_limit: int
    if_match: IfMatch
    idempotent: bool
    claims_itself: bool
    scope: Callable[[Call[Any]], object]
    completing: Completing
    made_at: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`template` is the path as OpenAPI writes it; logs and idempotency keys know the route by method and template, its
    `name`.
    """

    kind: Kind
    method: str
    path: str
    handler: Handler
    answers: Answers
    query: type[msgspec.Struct] | None = None
    any_query: bool = False
    errors: Sequence[type[ShopError]] = ()
    permission: str | None = None
    live_session: bool = False
    order_token: bool = False
    admitting: Callable[[Call[Any]], object] | None = None
    cache_control: str = "no-store"
    media: Sequence[str] = ()
    body: type[msgspec.Struct] | type[bytes] | None = None
    body_limit: int = DEFAULT_BODY_LIMIT
    if_match: IfMatch | None = None
    idempotent: bool = False
    claims_itself: bool = False
    scope: Callable[[Call[Any]], object] | None = None
    completing: Completing | None = None
    made_at: str = ""
    topic: str = ""
    name: str = ""
    template: str = ""

    def __post_init__(self) -> None:
        if "{" in self.path:
            raise ValueError(f"{self.path}: variables are written <name> or <path:name>")
        for shape in (self.body, self.query):
            if shape not in (None, bytes) and not shape.__struct_config__.forbid_unknown_fields:  # type: ignore[union-attr]
                raise ValueError(f"{self.path}: {shape} takes unknown fields; derive it from parsing.Body or Query")
        msgspec.structs.force_setattr(self, "template", _VARIABLE.sub(r"{\2}", self.path))
        msgspec.structs.force_setattr(self, "name", f"{self.method} {self.template}")

    @property
    def variables(self) -> list[str]:
        return [name for _converter, name in _VARIABLE.findall(self.path)]

    @property
    def is_job(self) -> bool:
        """Called by Google's services, which the platform has let in; nobody else gets there."""
        return self.kind not in ("http", "health")

    @property
    def has_json_body(self) -> bool:
        return self.body is not None and self.body is not bytes

    @property
    def changes_something(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def summary(self) -> str:
        text = inspect.getdoc(self.handler) or self.handler.__name__.replace("_", " ").capitalize() + "."
        return text.partition("\n")[0]

    def every_error(self, *, signed_in: bool) -> list[type[ShopError]]:
        """What a caller may meet: what the route names, and what the edge adds for it."""
        found: list[type[ShopError]] = [*self.errors, Unreadable, Unavailable]
        if self.variables:
            found.append(NotFound)
        if self.changes_something:
            found.append(ContentTooLarge)
        if self.has_json_body:
            found += [UnsupportedMediaType, Invalid]
        if self.permission is not None:
            found += [Unauthenticated, Forbidden]
        elif signed_in:
            found += [Unauthenticated]
            if self.changes_something:
                found += [Forbidden]
        if self.idempotent:
            found += [InFlight, KeyReused, LeaseLost]
        return list(dict.fromkeys(found))
