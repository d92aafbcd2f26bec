"""Who calls. A guest is whoever is not signed in; what a guest may open is decided by tokens, not by who they are."""

from dataclasses import dataclass
from uuid import UUID

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Guest:
    @property
    def actor(self) -> str:
        return "buyer"


@dataclass(frozen=True, slots=True)
class Customer:
    id: UUID
    session: UUID

    @property
    def actor(self) -> str:
        return f"customer:{self.id}"


@dataclass(frozen=True, slots=True)
class Staff:
    """`permissions` are things and what may be done with them, `stock:write`; `*` is every one."""

    id: UUID
    session: UUID
    permissions: frozenset[str]

    @property
    def actor(self) -> str:
        return f"staff:{self.id}"

    def may(self, permission: str) -> bool:
        return permission in self.permissions or EVERYTHING in self.permissions


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop itself: a schedule, a queue or a subscription calls."""

    @property
    def actor(self) -> str:
        return "shop"


Principal = Guest | Customer | Staff | Shop
