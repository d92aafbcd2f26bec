"""What is known of a route before anybody calls it: the edge serves by it, openapi.py describes by it."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from shared.edge.calls import Call, Reply
from shared.edge.problems import ContentTooLarge, Unreadable, UnsupportedMediaType
from shared.kernel.errors import Forbidden, Invalid, NotFound, ShopError, Unauthenticated, Unavailable
from shared.kernel.idempotency import InFlight, KeyReused, LeaseLost

Handler = Callable[[Call[Any]], Reply | None]
Completing = Callable[[Call[Any], dict[str, Any]], None]
Kind = Literal["http", "task", "push", "schedule", "health"]

DEFAULT_BODY_LIMIT = 1024 * 1024
_VARIABLE = re.compile(r"<(?:(\w+):)?(\w+)>")


class Route(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    method: str
    path: str
    handler: Handler
    body: type[msgspec.Struct] | type[bytes] | None = None
    query: type[msgspec.Struct] | None = None
    answers: Mapping[int, type[msgspec.Struct] | None]
    errors: Sequence[type[ShopError]] = ()
    idempotent: bool = False
    claims_itself: bool = False
    scope: Callable[[Call[Any]], object] | None = None
    permission: str | None = None
    live_session: bool = False
    completing: Completing | None = None
    if_match: bool = False
    order_token: bool = False
    body_limit: int = DEFAULT_BODY_LIMIT
    cache_control: str = "no-store"
    topic: str = ""

    def __post_init__(self) -> None:
        if "{" in self.path:
            raise ValueError(f"{self.path}: variables are written <name> or <path:name>")
        for shape in (self.body, self.query):
            if shape not in (None, bytes) and not shape.__struct_config__.forbid_unknown_fields:  # type: ignore[union-attr]
                raise ValueError(f"{self.path}: {shape} takes unknown fields; derive it from parsing.Body or Query")

    @property
    def name(self) -> str:
        """What logs, idempotency keys and problems call it: `POST /v1/checkouts/{order_id}/capture`."""
        return f"{self.method} {self.template}"

    @property
    def template(self) -> str:
        return _VARIABLE.sub(r"{\2}", self.path)

    @property
    def variables(self) -> list[str]:
        return [name for _converter, name in _VARIABLE.findall(self.path)]

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
