"""Search: lists, suggestions, facets, products and categories, pages of HTML; and the jobs that keep what it reads."""

from typing import Any
from urllib.parse import urlencode

from flask import Request, Response
from msgspec.structs import asdict

from functions.search import pages
from functions.search.wiring import catalogue, parts, platform
from shared.edge.api import Api
from shared.edge.caching import cacheable
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
    categories_view,
    category_view,
    facets_view,
    page_view,
    product_view,
    suggestions_view,
)
from shared.edge.payloads import read_payload
from shared.edge.problems import Unreadable
from shared.kernel.first_use import first_use
from shared.kernel.logs import Log
from shared.persistence.search_projection import SearchProjection
from shared.persistence.search_sales import SearchSales
from shared.search import projecting, selling
from shared.search.cursors import ForeignCursor, read_cursor
from shared.search.listing import (
    CategoryNotFound,
    Continuation,
    Moved,
    MovedCategory,
    ProductNotFound,
    Search,
    Sort,
    as_tree,
)
from shared.search.projecting import OrderChanged, ProductsChanged, StockChanged
from shared.search.texts import clean
from shared.wiring.read_only import ReadOnlyParts

log = Log(__name__)

# Stock is part of a page, so caches keep it briefly; the tree of categories changes with imports only.
PAGE_FOR_S = 10
TREE_FOR_S = 60

# The other deployment of this folder: jobs have the time of any request.
job_parts = ReadOnlyParts(statement_timeout_ms=5000)


@first_use
def projection() -> SearchProjection:
    return SearchProjection(job_parts.database())


@first_use
def sales() -> SearchSales:
    return SearchSales(job_parts.database())


api = Api("search", services=parts.services(), routes=[pages.routes])
jobs = Api("search-jobs", services=job_parts.services())


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
    found = catalogue().get_product(call.path["slug"], now=call.at)
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
    "/v1/categories/<path:path>",
    query=CategoryQuery,
    answers={200: CategoryView, 301: None, 304: None},
    errors=[CategoryNotFound],
)
def show_category(call: Call[Any]) -> Reply:
    """A category: where it is, what is below it, and its first products; an old path leads to the new one."""
    query: CategoryQuery = call.query
    category = catalogue().get_category(call.path["path"])
    if isinstance(category, MovedCategory):
        location = f"/v1/categories/{category.path}{_asked_again(query)}"
        return Reply(301, None, {"Location": location, "Cache-Control": "public, max-age=60"})
    search = Search(category=category.path, sort=query.sort)
    page = catalogue().list_products(search, limit=query.limit)
    view = category_view(category, page, search, media_url=platform().media_url)
    return cacheable(call, view, max_age_s=PAGE_FOR_S)


def _asked_again(query: CategoryQuery) -> str:
    """What the query says beyond what it says by itself, for another address."""
    by_itself = asdict(CategoryQuery())
    said = {name: str(value) for name, value in asdict(query).items() if value != by_itself[name]}
    return f"?{urlencode(said)}" if said else ""


def _search(query: FilterQuery, sort: Sort) -> Search:
    return Search(
        text=clean(query.q),
        category=query.category,
        brand=query.brand,
        price_min=query.price_min,
        price_max=query.price_max,
        in_stock=query.in_stock,
        correct=query.correct,
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


# Jobs: what search reads follows the catalogue -------------------------------------------------------------------


@jobs.push("/jobs/search/catalog")
def follow_catalogue(call: Call[None]) -> None:
    """Copies products that were changed, or that sold out or came back."""
    event = call.event
    assert event is not None
    if event.name == "product.changed":
        projecting.follow_products(read_payload(event, ProductsChanged), projection=projection())
    elif event.name == "stock.changed":
        projecting.follow_stock(read_payload(event, StockChanged).skus, projection=projection())


@jobs.push("/jobs/search/orders")
def follow_orders(call: Call[None]) -> None:
    """Copies products whose last unit an order took, or gave back."""
    event = call.event
    assert event is not None
    lines = read_payload(event, OrderChanged).order.lines
    projecting.follow_stock([line.sku for line in lines], projection=projection())


@jobs.schedule("/jobs/search/sweep")
def sweep_projection(call: Call[None]) -> None:
    """Copies what events missed, and goes on with a rebuild."""
    changed = projecting.sweep(projection=projection(), clock=job_parts.clock, within_s=_time_left_s(call))
    if changed:
        log.info("search_swept", products=changed)


@jobs.schedule("/jobs/search/rebuild")
def begin_rebuild(call: Call[None]) -> None:
    """Has the sweeps copy everything anew: popularity's tiers and the vocabulary's counts are of today again."""
    projection().begin_rebuild(now=job_parts.clock.now())


@jobs.schedule("/jobs/search/sales")
def count_sales(call: Call[None]) -> None:
    """Counts what was sold lately, and copies what has become more or less popular."""
    moved = selling.count_sales(
        sales=sales(), projection=projection(), clock=job_parts.clock, within_s=_time_left_s(call)
    )
    if moved:
        log.info("search_sales_counted", products=moved)


def _time_left_s(call: Call[None]) -> float:
    return (call.give_up_at - call.at).total_seconds()


def search_jobs(request: Request) -> Response:
    """The entry point of the deployment `search-jobs`."""
    return jobs.serve(request)
