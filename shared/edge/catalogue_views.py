"""What shoppers ask of the catalogue and see of it (DESIGN.md section 5)."""

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta

from shared.edge.money_view import MoneyView, money
from shared.edge.parsing import Query, View
from shared.search.cursors import write_cursor
from shared.search.links import picture_url
from shared.search.listing import (
    CategoryNode,
    CategoryPage,
    Crumb,
    Facet,
    Facets,
    ListedProduct,
    Page,
    ProductPage,
    Search,
    Sort,
    Suggestion,
    Total,
)

Text = Annotated[str, Meta(max_length=200)]
Prefix = Annotated[str, Meta(min_length=1, max_length=100)]
CategoryPath = Annotated[str, Meta(min_length=1, max_length=1000)]
Slug = Annotated[str, Meta(min_length=1, max_length=200)]
PriceMinor = Annotated[int, Meta(ge=0, le=1_000_000_000_000)]
Cursor = Annotated[str, Meta(min_length=1, max_length=1500)]
Limit = Annotated[int, Meta(ge=1, le=100)]


class FilterQuery(Query, frozen=True, kw_only=True):
    """What narrows a list. Prices are minor units of the shop's currency, both included. `correct=false` searches for
    the text as it was typed."""

    q: Text = ""
    category: CategoryPath | None = None
    brand: Slug | None = None
    price_min: PriceMinor | None = None
    price_max: PriceMinor | None = None
    in_stock: bool = False
    correct: bool = True


class ListQuery(FilterQuery, frozen=True, kw_only=True):
    sort: Sort = Sort.RELEVANCE
    cursor: Cursor | None = None
    limit: Limit = 24


class CategoryQuery(Query, frozen=True, kw_only=True):
    sort: Sort = Sort.POPULARITY
    limit: Limit = 24


class SuggestionQuery(Query, frozen=True, kw_only=True):
    q: Prefix
    limit: Annotated[int, Meta(ge=1, le=20)] = 8


class CrumbView(View, frozen=True, kw_only=True):
    path: str
    name: str


class ListedProductView(View, frozen=True, kw_only=True):
    slug: str
    sku: str
    name: str
    brand: str | None
    brand_slug: str | None
    category: CrumbView | None
    price: MoneyView
    in_stock: bool
    image_url: str | None


class TotalView(View, frozen=True, kw_only=True):
    """Not exact: about so many, or at least."""

    value: int
    exact: bool


class PageView(View, frozen=True, kw_only=True):
    """`corrected_query` is what was searched for instead of `q`, which found nothing."""

    items: list[ListedProductView]
    next_cursor: str | None
    total: TotalView
    corrected_query: str | None


class VariantView(View, frozen=True, kw_only=True):
    sku: str
    options: dict[str, str]
    price: MoneyView
    in_stock: bool


class ProductView(ListedProductView, frozen=True, kw_only=True):
    """`related` is what staff show beside it, else what is popular in its category; what is in stock goes first."""

    description: str
    attributes: dict[str, Any]
    images: list[str]
    variants: list[VariantView]
    breadcrumbs: list[CrumbView]
    related: list[ListedProductView]


class CategoryView(View, frozen=True, kw_only=True):
    """A category and the first page of what is in it and below it; `/v1/products?category=` goes on."""

    path: str
    name: str
    breadcrumbs: list[CrumbView]
    children: list[CrumbView]
    products: PageView


class CategoryNodeView(View, frozen=True, kw_only=True):
    path: str
    name: str
    children: "list[CategoryNodeView]"


class CategoriesView(View, frozen=True, kw_only=True):
    items: list[CategoryNodeView]


class FacetView(View, frozen=True, kw_only=True):
    name: str
    count: int


class BrandFacetView(FacetView, frozen=True, kw_only=True):
    slug: str


class CategoryFacetView(FacetView, frozen=True, kw_only=True):
    path: str


class PriceFacetView(View, frozen=True, kw_only=True):
    min: MoneyView
    max: MoneyView


class FacetsView(View, frozen=True, kw_only=True):
    total: TotalView
    brands: list[BrandFacetView]
    categories: list[CategoryFacetView]
    price: PriceFacetView | None


class SuggestionView(View, frozen=True, kw_only=True):
    """`kind` is product, category or brand; `key` its slug or path."""

    kind: str
    text: str
    key: str


class SuggestionsView(View, frozen=True, kw_only=True):
    items: list[SuggestionView]


def page_view(page: Page, search: Search, *, media_url: str) -> PageView:
    return PageView(
        items=[ListedProductView(**_listed(item, media_url)) for item in page.items],
        next_cursor=write_cursor(search, page.next) if page.next is not None else None,
        total=_total(page.total),
        corrected_query=page.corrected,
    )


def product_view(page: ProductPage, *, media_url: str) -> ProductView:
    return ProductView(
        **_listed(page.listed, media_url),
        description=page.description,
        attributes=dict(page.attributes),
        images=[picture_url(image, media_url) for image in page.images],
        variants=[
            VariantView(
                sku=variant.sku,
                options=dict(variant.options),
                price=money(variant.price_minor, variant.currency),
                in_stock=variant.in_stock,
            )
            for variant in page.variants
        ],
        breadcrumbs=[_crumb(crumb) for crumb in page.breadcrumbs],
        related=[ListedProductView(**_listed(item, media_url)) for item in page.related],
    )


def category_view(category: CategoryPage, products: Page, search: Search, *, media_url: str) -> CategoryView:
    return CategoryView(
        path=category.path,
        name=category.name,
        breadcrumbs=[_crumb(crumb) for crumb in category.breadcrumbs],
        children=[_crumb(crumb) for crumb in category.children],
        products=page_view(products, search, media_url=media_url),
    )


def categories_view(nodes: Sequence[CategoryNode]) -> CategoriesView:
    def node_view(node: CategoryNode) -> CategoryNodeView:
        return CategoryNodeView(path=node.path, name=node.name, children=[node_view(child) for child in node.children])

    return CategoriesView(items=[node_view(node) for node in nodes])


def facets_view(facets: Facets) -> FacetsView:
    price = None
    if facets.price_min_minor is not None and facets.price_max_minor is not None and facets.currency is not None:
        price = PriceFacetView(
            min=money(facets.price_min_minor, facets.currency), max=money(facets.price_max_minor, facets.currency)
        )

    def counted(facet: Facet) -> dict[str, Any]:
        return {"name": facet.name, "count": facet.count}

    return FacetsView(
        total=_total(facets.total),
        brands=[BrandFacetView(slug=facet.key, **counted(facet)) for facet in facets.brands],
        categories=[CategoryFacetView(path=facet.key, **counted(facet)) for facet in facets.categories],
        price=price,
    )


def suggestions_view(suggestions: Sequence[Suggestion]) -> SuggestionsView:
    return SuggestionsView(
        items=[SuggestionView(kind=found.kind, text=found.text, key=found.key) for found in suggestions]
    )


def _listed(product: ListedProduct, media_url: str) -> dict[str, Any]:
    category = None
    if product.category_path is not None and product.category_name is not None:
        category = CrumbView(path=product.category_path, name=product.category_name)
    return {
        "slug": product.slug,
        "sku": product.sku,
        "name": product.name,
        "brand": product.brand,
        "brand_slug": product.brand_slug,
        "category": category,
        "price": money(product.price_minor, product.currency),
        "in_stock": product.in_stock,
        "image_url": picture_url(product.image_url, media_url) if product.image_url else None,
    }


def _total(total: Total) -> TotalView:
    return TotalView(value=total.value, exact=total.exact)


def _crumb(crumb: Crumb) -> CrumbView:
    return CrumbView(path=crumb.path, name=crumb.name)
