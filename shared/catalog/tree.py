"""The tree of categories as staff change it. Pure rules; shared.persistence.categories writes."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from shared.catalog.rows import MAX_LEVELS
from shared.kernel.errors import Conflict, Field, Invalid, NotFound


class UnknownCategory(NotFound):
    sentence = "There is no such category."


class CategoryTaken(Conflict):
    """Data: path."""

    sentence = "There is a category of this name beside it already."


class CategoryTooLarge(Conflict):
    """Data: most."""

    sentence = "Too many products are in this category and below it. Move its parts first."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCategory:
    """`path` is made of the slugs from the top, `position` orders it among its siblings; `products` are its own."""

    id: UUID
    path: str
    name: str
    position: int
    products: int

    @property
    def parent_path(self) -> str | None:
        return self.path.rpartition("/")[0] or None


@dataclass(frozen=True, slots=True)
class Place:
    """What staff say of a category: its name, the path of the one that it is in (None: at the top), its position."""

    name: str
    parent_path: str | None
    position: int


Placing = Callable[[Place], Place]


def check_parent(category_path: str, parent_path: str | None, *, levels: int) -> None:
    """Whether a category whose subtree has so many levels may be there. Raises Invalid."""
    if parent_path is None:
        return
    if f"{parent_path}/".startswith(f"{category_path}/"):
        raise Invalid([Field("/parent", "is the category itself, or below it")])
    if parent_path.count("/") + 1 + levels > MAX_LEVELS:
        raise Invalid([Field("/parent", f"would make the tree more than {MAX_LEVELS} levels deep")])
