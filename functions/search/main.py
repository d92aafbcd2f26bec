"""Search: product lists, suggestions, facets, product and category pages. It only reads."""

from typing import Any

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.catalogue_views import (
    CategoriesView,
    CategoryQuery,
    CategoryView,
    FacetsView,
    FilterQuery,
    ListQuery,
    PageView,
    ProductView,
    SuggestionQuery,
    SuggestionsView,
    cacheable,
    categories_view,
    category_view,
    facets_view,
    page_view,
    product_view,
    suggestions_view,
)
from shared.edge.problems import Unreadable
from shared.kernel.first_use import first_use
from shared.persistence.search import CatalogueReader
from shared.search.cursors import ForeignCursor, read_cursor
from shared.search.listing import CategoryNotFound, Continuation, Moved, ProductNotFound, Search, Sort, as_tree
from shared.search.texts import clean
from shared.wiring.read_only import ReadOnlyParts

# No answer of search is worth waiting longer for: it is a 503, and the shopper asks again (DESIGN.md rule 4).
STATEMENT_TIMEOUT_MS = 300

# Stock is part of a page, so caches keep it briefly; the tree of categories changes with imports only.
PAGE_FOR_S = 10
TREE_FOR_S = 60

parts = ReadOnlyParts(statement_timeout_ms=STATEMENT_TIMEOUT_MS)
platform = parts.platform


@first_use
def catalogue() -> CatalogueReader:
    return CatalogueReader(parts.database())


api = Api("search", services=parts.services())


@api.get("/v1/products", query=ListQuery, answers={200: PageView, 304: None})
def list_products(call: Call[Any]) -> Reply:
    """Products that match, a page at a time; an unknown brand or category has none."""
    query: ListQuery = call.query
    search = _search(query, query.sort)
    following = _following(search, query.cursor)
    page = catalogue().list_products(search, limit=query.limit, following=following)
    return cacheable(call, page_view(page, search, media_url=platform().media_url), max_age_s=PAGE_FOR_S)


@api.get("/v1/products/<slug>", answers={200: ProductView, 301: None, 304: None}, errors=[ProductNotFound])
def show_product(call: Call[Any]) -> Reply:
    """A product with its variants; an old address leads to the new one."""
    found = catalogue().get_product(call.path["slug"])
    if isinstance(found, Moved):
        return Reply(301, None, {"Location": f"/v1/products/{found.slug}", "Cache-Control": "public, max-age=60"})
    return cacheable(call, product_view(found, media_url=platform().media_url), max_age_s=PAGE_FOR_S)


@api.get("/v1/suggestions", query=SuggestionQuery, answers={200: SuggestionsView, 304: None})
def suggest(call: Call[Any]) -> Reply:
    """Categories, brands and products whose name goes on from what was typed."""
    query: SuggestionQuery = call.query
    return cacheable(
        call, suggestions_view(catalogue().suggest(clean(query.q), limit=query.limit)), max_age_s=PAGE_FOR_S
    )


@api.get("/v1/facets", query=FilterQuery, answers={200: FacetsView, 304: None})
def count_facets(call: Call[Any]) -> Reply:
    """How the products that match spread over brands, categories and prices."""
    facets = catalogue().facets(_search(call.query, Sort.RELEVANCE))
    return cacheable(call, facets_view(facets), max_age_s=PAGE_FOR_S)


@api.get("/v1/categories", answers={200: CategoriesView, 304: None})
def list_categories(call: Call[Any]) -> Reply:
    """The whole tree of categories."""
    return cacheable(call, categories_view(as_tree(catalogue().list_categories())), max_age_s=TREE_FOR_S)


@api.get(
    "/v1/categories/<path:path>", query=CategoryQuery, answers={200: CategoryView, 304: None}, errors=[CategoryNotFound]
)
def show_category(call: Call[Any]) -> Reply:
    """A category: where it is, what is below it, and its first products."""
    query: CategoryQuery = call.query
    category = catalogue().get_category(call.path["path"])
    search = Search(category=category.path, sort=query.sort)
    page = catalogue().list_products(search, limit=query.limit)
    view = category_view(category, page, search, media_url=platform().media_url)
    return cacheable(call, view, max_age_s=PAGE_FOR_S)


def _search(query: FilterQuery, sort: Sort) -> Search:
    return Search(
        text=clean(query.q),
        category=query.category,
        brand=query.brand,
        price_min=query.price_min,
        price_max=query.price_max,
        in_stock=query.in_stock,
        sort=sort,
    )


def _following(search: Search, cursor: str | None) -> Continuation | None:
    """Raises Unreadable for a cursor that is not one of this list."""
    if cursor is None:
        return None
    try:
        return read_cursor(search, cursor)
    except ForeignCursor:
        raise Unreadable(parameters={"cursor": "is not one of this list"}) from None


def search(request: Request) -> Response:
    """The entry point of the deployment `search`."""
    return api.serve(request)
