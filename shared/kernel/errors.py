"""The errors of the shop. They carry data and a sentence that a shopper may read, and know no HTTP.

    ShopError
    |- Invalid         the request is readable and wrong: `fields` say where, by JSON pointer
    |- NotFound        there is no such thing, or it is not the caller's
    |- Conflict        the request is right and the world has moved: out of stock, price changed, payment in progress
    |- Stale           the caller names a version that is no longer the newest (If-Match)
    |- Unauthenticated nobody is signed in, or the token is no longer good
    |- Forbidden       the caller is known and may not
    |- Declined        a vendor has said no for good
    |- RateLimited     too often; `retry_after_s`
    `- Unavailable     now is not the time, the same request may succeed later; `retry_after_s`

Leaves live in their feature (`OutOfStock(Conflict)` in shared.inventory); shared.edge.problems maps categories to HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class ShopError(Exception):
    """An error that has a meaning for the caller: `sentence` is for people, `data` for programs."""

    sentence = "This did not work."

    def __init__(self, sentence: str | None = None, **data: object) -> None:
        super().__init__(sentence or self.sentence)
        self.sentence = sentence or self.sentence
        self.data = data


@dataclass(frozen=True, slots=True)
class Field:
    """A bad field: `pointer` is a JSON pointer into the request's body (RFC 6901), "" for the body itself."""

    pointer: str
    detail: str


class Invalid(ShopError):
    sentence = "Some fields are not valid."

    def __init__(self, fields: Sequence[Field] = (), sentence: str | None = None) -> None:
        super().__init__(sentence)
        self.fields = tuple(fields)


class NotFound(ShopError):
    sentence = "There is nothing here."


class Conflict(ShopError):
    sentence = "The shop has changed since you looked."


class Stale(ShopError):
    sentence = "This has changed since you looked."


class Unauthenticated(ShopError):
    sentence = "Please sign in."


class Forbidden(ShopError):
    sentence = "You may not do this."


class Declined(ShopError):
    sentence = "This was refused."


class RateLimited(ShopError):
    sentence = "That was too often. Please wait a little."

    def __init__(self, sentence: str | None = None, *, retry_after_s: int = 60, **data: object) -> None:
        super().__init__(sentence, **data)
        self.retry_after_s = retry_after_s


class Unavailable(ShopError):
    sentence = "This is not possible right now. Please try again in a moment."

    def __init__(self, sentence: str | None = None, *, retry_after_s: int = 2, **data: object) -> None:
        super().__init__(sentence, **data)
        self.retry_after_s = retry_after_s
