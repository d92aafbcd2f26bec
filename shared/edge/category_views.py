"""The tree of categories as staff see and change it."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from shared.catalog.products import Refused
from shared.catalog.rows import read_row
from shared.catalog.tree import KeptCategory, Place
from shared.edge.paging import PageQuery
from shared.edge.parsing import Body, View
from shared.kernel.errors import Field, Invalid


class CategoriesQuery(PageQuery, frozen=True, kw_only=True):
    """A cursor has the path in it where a page ended: eight slugs, each as long as it may be."""

    cursor: Annotated[str, Meta(max_length=1500)] | None = None


class CategoryChangeBody(Body, frozen=True, kw_only=True):
    """What changes of a category; what is left out stays. `parent` is the path of another one, null the top."""

    name: Annotated[str, Meta(min_length=1, max_length=200)] | UnsetType = UNSET
    parent: Annotated[str, Meta(min_length=1, max_length=1000)] | UnsetType | None = UNSET
    position: Annotated[int, Meta(ge=0, le=1_000_000)] | UnsetType = UNSET

    def placed(self, before: Place) -> Place:
        """Raises Invalid."""
        return Place(
            name=before.name if self.name is UNSET else _read_name(self.name),
            parent_path=before.parent_path if self.parent is UNSET else self.parent,
            position=before.position if self.position is UNSET else self.position,
        )


class KeptCategoryView(View, frozen=True, kw_only=True):
    """`products` counts those in the category itself, published or not; `parent` is a path."""

    id: str
    path: str
    name: str
    parent: str | None
    position: int
    products: int


class KeptCategoriesPage(View, frozen=True, kw_only=True):
    items: list[KeptCategoryView]
    next_cursor: str | None


def kept_category_view(category: KeptCategory) -> KeptCategoryView:
    return KeptCategoryView(
        id=str(category.id),
        path=category.path,
        name=category.name,
        parent=category.parent_path,
        position=category.position,
        products=category.products,
    )


def _read_name(name: str) -> str:
    """As an import's category_path would name it."""
    try:
        levels = read_row(0, {"sku": "-", "category_path": name}, currency="").category
    except Refused as reason:
        raise Invalid([Field("/name", str(reason))]) from reason
    if levels is None or len(levels) != 1:
        raise Invalid([Field("/name", "must be a name, without >")])
    return levels[0]
