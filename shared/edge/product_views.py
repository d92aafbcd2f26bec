"""What staff ask of the catalogue and see of it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from shared.catalog.editing import KeptProduct, KeptVariant, check_price, percent_more, with_variants
from shared.catalog.exporting import Place
from shared.catalog.products import ImportLine, Refused
from shared.catalog.rows import (
    MAX_DESCRIPTION,
    MAX_IMAGES,
    MAX_NAME,
    MAX_OPTIONS,
    MAX_PRICE_MINOR,
    MAX_SKU,
    MAX_UNITS,
    read_row,
)
from shared.edge.calls import Call
from shared.edge.moments import Moment, read_moment
from shared.edge.money_view import MoneyView, money
from shared.edge.paging import Cursor, Limit, foreign_cursor, read_cursor
from shared.edge.parsing import Body, Query, View
from shared.kernel.clock import iso
from shared.kernel.errors import Field, Invalid

Sku = Annotated[str, Meta(min_length=1, max_length=MAX_SKU)]
CategoryPath = Annotated[str, Meta(min_length=1, max_length=1000)]
ImageUrl = Annotated[str, Meta(min_length=1, max_length=2000)]
PriceMinor = Annotated[int, Meta(ge=0, le=MAX_PRICE_MINOR)]
Options = Annotated[
    dict[Annotated[str, Meta(max_length=60)], Annotated[str, Meta(max_length=200)]], Meta(max_length=MAX_OPTIONS)
]
Attributes = Annotated[dict[Annotated[str, Meta(max_length=1000)], Any], Meta(max_length=1000)]
WeightG = Annotated[int, Meta(ge=0, le=MAX_UNITS)]
TaxClass = Annotated[str, Meta(min_length=1, max_length=32)]
Position = Annotated[int, Meta(ge=0, le=1_000_000)]
# From nothing to ten times as much.
Percent = Annotated[
    str, Meta(pattern=r"^(-?(100(\.0{1,2})?|[0-9]{1,2}(\.[0-9]{1,2})?)|[1-9][0-9]{2}(\.[0-9]{1,2})?)\Z")
]
MOST_SELECTED = 200

CSV = "text/csv"
# An answer is made in memory: it ends after so many lines, or after the batch in which it has become so long.
MOST_EXPORTED = 10_000
LONGEST_EXPORT = 8 * 1024 * 1024


class ExportQuery(Query, frozen=True, kw_only=True):
    """`on_hand` adds the counts of stock, for who may read them; an import would take them for new counts."""

    on_hand: bool = False
    cursor: Annotated[str, Meta(max_length=600)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_EXPORTED)] = MOST_EXPORTED


def read_place(call: Call[None]) -> Place | None:
    """Raises Unreadable."""
    found = read_cursor(call, 3)
    if found is None:
        return None
    try:
        product_id, position = UUID(found[0]), int(found[1])
    except ValueError as error:
        raise foreign_cursor() from error
    if abs(position) >= 2**31:
        raise foreign_cursor()
    return product_id, position, found[2]


class ProductsQuery(Query, frozen=True, kw_only=True):
    """`brand` is a slug, `category` a path whose subtree is meant. What is `published` is sold now; what is `scheduled`
    has a moment of publication that is still to come."""

    sku: Sku | None = None
    brand: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    category: Annotated[str, Meta(min_length=1, max_length=1000)] | None = None
    published: bool | None = None
    scheduled: bool | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class VariantChangeBody(Body, frozen=True, kw_only=True):
    """What changes of a variant; what is left out stays. `options` are all that it has afterwards."""

    sku: Sku
    price_minor: PriceMinor | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    options: Options | UnsetType = UNSET
    weight_g: WeightG | UnsetType | None = UNSET
    tax_class: TaxClass | UnsetType = UNSET
    position: Position | UnsetType = UNSET

    def changed(self, before: KeptVariant, pointer: str) -> KeptVariant:
        """Raises Invalid."""
        names = [name for name in ("options", "tax_class") if getattr(self, name) is not UNSET]
        line = read_cells({name: getattr(self, name) for name in names}, {name: f"{pointer}/{name}" for name in names})
        after = replace(
            before,
            active=before.active if self.active is UNSET else self.active,
            options=before.options if self.options is UNSET else line.options or {},
            weight_g=before.weight_g if self.weight_g is UNSET else self.weight_g,
            tax_class=line.tax_class or before.tax_class,
            position=before.position if self.position is UNSET else self.position,
        )
        if self.price_minor is UNSET:
            return after
        price = check_price(before.sku, self.price_minor, before.currency, pointer=f"{pointer}/price_minor")
        return replace(after, price_minor=price)


class ProductChangeBody(Body, frozen=True, kw_only=True):
    """What changes of a product; what is left out stays, null takes it away.

    `brand` is a name, made where there is none like it; `category` the path of one that is there. `published_at` may be
    still to come: the product is sold from then on, and on lists within 90 s. Null takes it from sale. `attributes` are
    merged into those that are there.
    """

    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)] | UnsetType = UNSET
    brand: Annotated[str, Meta(max_length=MAX_NAME)] | UnsetType | None = UNSET
    category: CategoryPath | UnsetType | None = UNSET
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    image_urls: Annotated[list[ImageUrl], Meta(max_length=MAX_IMAGES)] | UnsetType = UNSET
    published_at: Moment | UnsetType | None = UNSET
    variants: Annotated[list[VariantChangeBody], Meta(max_length=500)] | UnsetType = UNSET

    def changed(self, before: KeptProduct, *, media_url: str = "") -> KeptProduct:
        """Pictures of our own are kept as paths below `media_url`, whichever way they are named. Raises Invalid."""
        said = {
            column: getattr(self, field) if getattr(self, field) is not None else ""
            for column, field in _COLUMNS.items()
            if getattr(self, field) is not UNSET
        }
        if self.image_urls is not UNSET and media_url:
            said["image_url"] = [each.removeprefix(f"{media_url}/") for each in self.image_urls]
        line = read_cells(said)
        if "name" in said and line.name is None:
            raise Invalid([Field("/name", "has nothing to read in it")])
        after = before.told(line)
        if self.category is not UNSET:
            after = replace(after, category_path=self.category)
        if self.published_at is not UNSET:
            after = replace(after, published_at=read_moment(self.published_at, "/published_at"))
        for n, variant in enumerate(self.variants or ()):
            after = _with_variant(after, variant, f"/variants/{n}")
        return after


class PriceChangeBody(Body, frozen=True, kw_only=True):
    """One of both, negative where prices fall. `percent` is a decimal, "-12.5", rounded half-up to what is charged."""

    percent: Percent | None = None
    amount_minor: Annotated[int, Meta(ge=-MAX_PRICE_MINOR, le=MAX_PRICE_MINOR)] | None = None


class BulkChangeBody(Body, frozen=True, kw_only=True):
    """What changes of a selection: of products with all their variants, or of SKUs, then price and active alone.

    All of it goes in, or none. `published` true publishes now what is not, and leaves those that are as they are.
    """

    product_ids: Annotated[list[UUID], Meta(min_length=1, max_length=MOST_SELECTED)] | UnsetType = UNSET
    skus: Annotated[list[Sku], Meta(min_length=1, max_length=MOST_SELECTED)] | UnsetType = UNSET
    price: PriceChangeBody | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    category: CategoryPath | UnsetType | None = UNSET
    published: bool | UnsetType = UNSET

    def check(self) -> None:
        """Raises Invalid."""
        if (self.product_ids is UNSET) == (self.skus is UNSET):
            raise Invalid([Field("", "needs either product_ids or skus")])
        named, where = (self.product_ids, "product_ids") if self.skus is UNSET else (self.skus, "skus")
        if isinstance(named, list) and len(set(named)) < len(named):
            raise Invalid([Field(f"/{where}", "names one twice")])
        if all(getattr(self, name) is UNSET for name in ("price", "active", "category", "published")):
            raise Invalid([Field("", "changes nothing")])
        if self.price is not UNSET and (self.price.percent is None) == (self.price.amount_minor is None):
            raise Invalid([Field("/price", "needs either percent or amount_minor")])
        for name in ("category", "published"):
            if self.skus is not UNSET and getattr(self, name) is not UNSET:
                raise Invalid([Field(f"/{name}", "is the whole product's; select by product_ids")])

    def changed(self, before: KeptProduct, *, now: datetime) -> KeptProduct:
        """Raises Invalid."""
        skus = frozenset(self.skus) if isinstance(self.skus, list) else None
        after = with_variants(before, self._variant_changed, skus=skus)
        if self.category is not UNSET:
            after = replace(after, category_path=self.category)
        if self.published is not UNSET:
            since = before.published_at if before.is_published(now) else now
            after = replace(after, published_at=since if self.published else None)
        return after

    def _variant_changed(self, before: KeptVariant) -> KeptVariant:
        after = before if self.active is UNSET else replace(before, active=self.active)
        if self.price is UNSET:
            return after
        if self.price.percent is not None:
            price = percent_more(before.price_minor, Decimal(self.price.percent), before.currency)
        else:
            price = before.price_minor + (self.price.amount_minor or 0)
        return replace(after, price_minor=check_price(before.sku, price, before.currency, pointer="/price"))


class CategoryOfProductView(View, frozen=True, kw_only=True):
    path: str
    name: str


class KeptVariantView(View, frozen=True, kw_only=True):
    sku: str
    options: dict[str, str]
    price: MoneyView
    weight_g: int | None
    tax_class: str
    position: int
    active: bool


class ListedKeptProductView(View, frozen=True, kw_only=True):
    """`price` is the lowest of its variants that are active; `variants` counts all of them."""

    id: str
    version: int
    slug: str
    name: str
    brand: str | None
    category: CategoryOfProductView | None
    price: MoneyView
    variants: int
    active_variants: int
    published_at: str | None
    created_at: str
    updated_at: str


class KeptProductsPage(View, frozen=True, kw_only=True):
    items: list[ListedKeptProductView]
    next_cursor: str | None


class KeptProductView(View, frozen=True, kw_only=True):
    """`product` groups its variants in an import; `image_urls` are as they are kept."""

    id: str
    version: int
    product: str
    slug: str
    name: str
    brand: str | None
    category: CategoryOfProductView | None
    description: str
    attributes: dict[str, Any]
    image_urls: list[str]
    popularity: int
    published_at: str | None
    created_at: str
    updated_at: str
    variants: list[KeptVariantView]


class ChangedProductView(View, frozen=True, kw_only=True):
    id: str
    version: int


class BulkChangeView(View, frozen=True, kw_only=True):
    """The products that the call has changed; the others were so already."""

    changed: list[ChangedProductView]


def listed_product_view(row: Mapping[str, Any]) -> ListedKeptProductView:
    return ListedKeptProductView(
        id=str(row["id"]),
        version=row["version"],
        slug=row["slug"],
        name=row["name"],
        brand=row["brand"] or None,
        category=_category(row["category_path"], row["category_name"]),
        price=money(row["price_minor"], row["currency"]),
        variants=row["variants"],
        active_variants=row["active_variants"],
        published_at=_moment(row["published_at"]),
        created_at=iso(row["created_at"]),
        updated_at=iso(row["updated_at"]),
    )


def kept_product_view(product: KeptProduct) -> KeptProductView:
    return KeptProductView(
        id=str(product.id),
        version=product.version,
        product=product.group_key,
        slug=product.slug,
        name=product.name,
        brand=product.brand or None,
        category=_category(product.category_path, product.category_name),
        description=product.description,
        attributes=dict(product.attributes),
        image_urls=list(product.image_urls),
        popularity=product.popularity,
        published_at=_moment(product.published_at),
        created_at=iso(product.created_at),
        updated_at=iso(product.updated_at),
        variants=[
            KeptVariantView(
                sku=variant.sku,
                options=dict(variant.options),
                price=money(variant.price_minor, variant.currency),
                weight_g=variant.weight_g,
                tax_class=variant.tax_class,
                position=variant.position,
                active=variant.active,
            )
            for variant in product.variants
        ],
    )


def bulk_change_view(versions: Mapping[UUID, int]) -> BulkChangeView:
    return BulkChangeView(changed=[ChangedProductView(id=str(each), version=n) for each, n in versions.items()])


# A field of the body, by the column of an import: what an import would refuse or write otherwise is not kept.
_COLUMNS = {
    "name": "name",
    "brand": "brand",
    "description": "description",
    "attributes": "attributes",
    "image_url": "image_urls",
}
_POINTERS = {column: f"/{field}" for column, field in {**_COLUMNS, "product": "product"}.items()}


def read_cells(said: Mapping[str, object], pointers: Mapping[str, str] = _POINTERS) -> ImportLine:
    """What an import would make of these columns; `pointers` say where each comes from. Raises Invalid."""
    for column, value in said.items():
        try:
            read_row(0, {"sku": "-", column: value}, currency="")
        except Refused as reason:
            raise Invalid([Field(pointers[column], str(reason))]) from reason
    return read_row(0, {"sku": "-", **said}, currency="")


def _with_variant(product: KeptProduct, said: VariantChangeBody, pointer: str) -> KeptProduct:
    if said.sku not in {variant.sku for variant in product.variants}:
        raise Invalid([Field(f"{pointer}/sku", "is no variant of this product")])
    return with_variants(product, lambda before: said.changed(before, pointer), skus=frozenset([said.sku]))


def _category(path: str | None, name: str | None) -> CategoryOfProductView | None:
    return None if path is None or name is None else CategoryOfProductView(path=path, name=name)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else iso(moment)
