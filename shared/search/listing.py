"""What a shopper asks of the catalogue and what they get: lists, facets, pages of products and of categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from shared.kernel.errors import NotFound


class Sort(StrEnum):
    RELEVANCE = "relevance"
    PRICE_ASC = "price_asc"
    PRICE_DESC = "price_desc"
    NEWEST = "newest"
    POPULARITY = "popularity"


class Matching(StrEnum):
    """How a text finds products: the first that finds any is taken, and a list stays with it to its end.

    named: all words, stemmed, in name, brand and categories, or a SKU; taken where a large catalogue has enough of
    them. words: the same, in the description as well. prefix: words, and the last one may go on. Then what was typed is
    spelt as the catalogue spells it, and tried as words. substring: every part somewhere in name, brand or SKU. most:
    the words that say most (shared.search.rarity), what has all of them first; it also completes a list of few. some:
    any word.
    """

    EVERYTHING = "everything"
    NAMED = "named"
    WORDS = "words"
    PREFIX = "prefix"
    SUBSTRING = "substring"
    MOST = "most"
    SOME = "some"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """`category` is a path and includes what lies below it, `brand` a slug; prices are minor units, both included.

    `correct`: a text that finds nothing may be spelt otherwise, and one that finds little completed.
    """

    text: str = ""
    category: str | None = None
    brand: str | None = None
    price_min: int | None = None
    price_max: int | None = None
    in_stock: bool = False
    sort: Sort = Sort.RELEVANCE
    correct: bool = True

    @property
    def sorted_by(self) -> Sort:
        """Without a text nothing is more relevant than anything else: what is popular comes first."""
        return Sort.POPULARITY if self.sort is Sort.RELEVANCE and not self.text else self.sort

    @property
    def is_filtered(self) -> bool:
        narrowed = (self.category, self.brand, self.price_min, self.price_max)
        return self.in_stock or any(each is not None for each in narrowed)


@dataclass(frozen=True, slots=True)
class Total:
    """How many products there are; not exact: about so many, or at least."""

    value: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ends: the sort key and the id of its last product. Keys are whole numbers, so equal is equal."""

    key: int
    id: UUID


@dataclass(frozen=True, slots=True)
class Steering:
    """What staff have said of a text (shared.search.merchandising), as ids. `widened`: its words have synonyms."""

    pinned: Sequence[UUID] = ()
    buried: Sequence[UUID] = ()
    widened: bool = False

    @property
    def apart(self) -> list[UUID]:
        """Products that are not found by the text itself."""
        return [*self.pinned, *self.buried]


UNSTEERED = Steering()


@dataclass(frozen=True, slots=True)
class Continuation:
    """What the next page needs to know of this one. `reach`: the tiers of popularity in which matches are ranked, the
    others follow; `corrected`: the text that was searched for instead; `steered`: staff have said something of it."""

    matching: Matching
    reach: int
    corrected: str | None
    total: Total
    after: Position
    steered: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedProduct:
    """A product in a list. `sku` and `price_minor` are those of the cheapest variant in stock, else of the cheapest.

    Lists are sorted and narrowed by the lowest price of all variants: stock changes that order for nobody.
    """

    slug: str
    sku: str
    name: str
    brand: str | None
    brand_slug: str | None
    category_path: str | None
    category_name: str | None
    price_minor: int
    currency: str
    in_stock: bool
    image_url: str | None


@dataclass(frozen=True, slots=True)
class Page:
    items: Sequence[ListedProduct]
    total: Total
    next: Continuation | None
    corrected: str | None


@dataclass(frozen=True, slots=True)
class Crumb:
    path: str
    name: str


@dataclass(frozen=True, slots=True)
class OfferedVariant:
    sku: str
    options: Mapping[str, str]
    price_minor: int
    currency: str
    in_stock: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductPage:
    """`related` is what staff show beside it, else what is popular in its category; what is in stock goes first."""

    listed: ListedProduct
    description: str
    attributes: Mapping[str, Any]
    images: Sequence[str]
    variants: Sequence[OfferedVariant]
    breadcrumbs: Sequence[Crumb]
    related: Sequence[ListedProduct]


@dataclass(frozen=True, slots=True)
class Moved:
    """The product has another slug now."""

    slug: str


@dataclass(frozen=True, slots=True)
class MovedCategory:
    """The category has another path now."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryPage:
    path: str
    name: str
    breadcrumbs: Sequence[Crumb]
    children: Sequence[Crumb]


@dataclass(frozen=True, slots=True)
class CategoryNode:
    path: str
    name: str
    children: "Sequence[CategoryNode]"


@dataclass(frozen=True, slots=True)
class Facet:
    """`key` is what the filter of that name takes: a brand's slug, a category's path."""

    key: str
    name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """Counted over the products found, the first so many where there are very many: `total` says whether all were."""

    total: Total
    brands: Sequence[Facet]
    categories: Sequence[Facet]
    price_min_minor: int | None
    price_max_minor: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Suggestion:
    """`kind` is product, category or brand; `key` the slug or path that leads there."""

    kind: str
    text: str
    key: str


class ProductNotFound(NotFound):
    sentence = "There is no such product."


class CategoryNotFound(NotFound):
    sentence = "There is no such category."


class SitemapNotFound(NotFound):
    sentence = "There is no such sitemap."


def as_tree(rows: Sequence[Crumb]) -> Sequence[CategoryNode]:
    """The categories as a tree; `rows` come with every parent before its children and siblings in their order."""
    children: dict[str, list[Crumb]] = {}
    for row in rows:
        children.setdefault(row.path.rpartition("/")[0], []).append(row)

    def below(path: str) -> list[CategoryNode]:
        return [CategoryNode(row.path, row.name, below(row.path)) for row in children.get(path, ())]

    return below("")
