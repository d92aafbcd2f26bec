"""What staff say of a product that is new."""

from typing import Annotated

from msgspec import Meta, field

from shared.catalog.assortment import NewProduct
from shared.catalog.editing import KeptProduct, KeptVariant, check_price
from shared.catalog.rows import MAX_DESCRIPTION, MAX_IMAGES, MAX_NAME
from shared.edge.moments import Moment, read_moment
from shared.edge.parsing import Body
from shared.edge.product_views import (
    Attributes,
    CategoryPath,
    ImageUrl,
    Options,
    Position,
    PriceMinor,
    Sku,
    TaxClass,
    WeightG,
    read_cells,
)
from shared.kernel.errors import Field, Invalid


class NewVariantBody(Body, frozen=True, kw_only=True):
    """A variant in the shop's currency; without a position it comes last. It is in stock once it was counted."""

    sku: Sku
    price_minor: PriceMinor
    options: Options = field(default_factory=dict)
    weight_g: WeightG | None = None
    tax_class: TaxClass = "standard"
    position: Position | None = None
    active: bool = True

    def variant(self, currency: str, *, position: int, pointer: str = "") -> KeptVariant:
        """`position` is its place where it names none. Raises Invalid."""
        said = {"sku": self.sku, "options": self.options, "tax_class": self.tax_class}
        line = read_cells(said, {column: f"{pointer}/{column}" for column in said})
        return KeptVariant(
            sku=line.sku,
            options=line.options or {},
            price_minor=check_price(line.sku, self.price_minor, currency, pointer=f"{pointer}/price_minor"),
            currency=currency,
            weight_g=self.weight_g,
            tax_class=line.tax_class or "standard",
            position=position if self.position is None else self.position,
            active=self.active,
        )

    def variant_of(self, product: KeptProduct) -> KeptVariant:
        """Raises Invalid."""
        following = max(variant.position for variant in product.variants) + 1 if product.variants else 0
        return self.variant(product.variants[0].currency, position=following)


class NewProductBody(Body, frozen=True, kw_only=True):
    """A product with its variants. `product` groups them in an import, by default the first one's SKU; `brand` is a
    name, made where there is none like it; `category` the path of one that is there. Without `published_at` it is a
    draft, with a moment that is still to come it is sold from then on."""

    product: Sku | None = None
    name: Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]
    brand: Annotated[str, Meta(max_length=MAX_NAME)] | None = None
    category: CategoryPath | None = None
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] = ""
    attributes: Attributes = field(default_factory=dict)
    image_urls: Annotated[list[ImageUrl], Meta(max_length=MAX_IMAGES)] = field(default_factory=list)
    published_at: Moment | None = None
    variants: Annotated[list[NewVariantBody], Meta(min_length=1, max_length=500)]

    def product_in(self, currency: str) -> NewProduct:
        """Raises Invalid."""
        said = {
            "name": self.name,
            "brand": self.brand or "",
            "description": self.description,
            "attributes": self.attributes,
            "image_url": self.image_urls,
        } | ({} if self.product is None else {"product": self.product})
        line = read_cells(said)
        if line.name is None:
            raise Invalid([Field("/name", "has nothing to read in it")])
        variants = [
            variant.variant(currency, position=n, pointer=f"/variants/{n}") for n, variant in enumerate(self.variants)
        ]
        skus = [variant.sku for variant in variants]
        twice = [n for n, sku in enumerate(skus) if sku in skus[:n]]
        if twice:
            raise Invalid([Field(f"/variants/{n}/sku", "is another variant's") for n in twice])
        return NewProduct(
            group_key=line.group_key or skus[0],
            name=line.name,
            brand=line.brand or "",
            category_path=self.category,
            description=line.description or "",
            attributes={name: value for name, value in line.attributes.items() if value is not None},
            image_urls=line.image_urls or (),
            published_at=read_moment(self.published_at, "/published_at"),
            variants=variants,
        )
