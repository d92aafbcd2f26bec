"""What staff change of products: one by one, or many at once. Pure rules; shared.persistence.products writes.

Prices are minor units of the variant's own currency and multiples of what can be charged in it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID

from shared.catalog.products import ImportLine, merged
from shared.catalog.rows import MAX_PRICE_MINOR
from shared.kernel.errors import Conflict, Field, Invalid, NotFound, Stale
from shared.kernel.money import charge_step_minor


class UnknownProduct(NotFound):
    sentence = "There is no such product."


class ProductStale(Stale):
    """Data: version."""

    sentence = "Somebody else has changed this product since you looked."


class NothingForSale(Conflict):
    """Data: product_ids."""

    sentence = "A published product needs a variant that is active. Take it from sale instead."


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptVariant:
    """`active`: it can be bought, as long as its product is published."""

    sku: str
    options: Mapping[str, str]
    price_minor: int
    currency: str
    weight_g: int | None
    tax_class: str
    position: int
    active: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptProduct:
    """A product as staff see it: `category_path` names the one it is in, `published_at` may be still to come, and is
    None where nobody means to sell it.

    `version` counts changes of it and its variants, an import's too.
    """

    id: UUID
    version: int
    group_key: str
    slug: str
    name: str
    brand: str
    category_path: str | None
    category_name: str | None
    description: str
    attributes: Mapping[str, Any]
    image_urls: tuple[str, ...]
    popularity: int
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime
    variants: tuple[KeptVariant, ...]

    def told(self, line: ImportLine) -> "KeptProduct":
        """What an import's line would make of name, brand, description, attributes and pictures."""
        brand = self.brand
        if line.brand is not None and line.brand.lower() != brand.lower():
            brand = line.brand
        return replace(
            self,
            name=line.name or self.name,
            brand=brand,
            description=self.description if line.description is None else line.description,
            attributes=merged(self.attributes, line.attributes),
            image_urls=self.image_urls if line.image_urls is None else line.image_urls,
        )

    def is_published(self, now: datetime) -> bool:
        return self.published_at is not None and self.published_at <= now

    @property
    def sells(self) -> bool:
        """Whether it keeps its word: what is published, or will be, can be bought."""
        return self.published_at is None or any(variant.active for variant in self.variants)


Changing = Callable[[KeptProduct], KeptProduct]


def edit(before: Sequence[KeptProduct], changing: Changing) -> list[tuple[KeptProduct, KeptProduct]]:
    """What becomes of each that changes: (before, after). Raises what `changing` raises, NothingForSale."""
    pairs = [(product, changing(product)) for product in before]
    empty = [after.id for product, after in pairs if product.sells and not after.sells]
    if empty:
        raise NothingForSale(product_ids=empty)
    return [(product, after) for product, after in pairs if after != product]


def check_price(sku: str, price_minor: int, currency: str, *, pointer: str) -> int:
    """Raises Invalid."""
    if price_minor < 0:
        raise Invalid([Field(pointer, f"{sku} would cost less than nothing")])
    if price_minor > MAX_PRICE_MINOR:
        raise Invalid([Field(pointer, f"{sku} would cost too much")])
    if price_minor % charge_step_minor(currency):
        raise Invalid([Field(pointer, f"{currency} is paid in whole units only, and {sku} would have decimals")])
    return price_minor


def percent_more(price_minor: int, percent: Decimal, currency: str) -> int:
    """`percent` may be negative; rounded half-up to what can be charged in the currency."""
    step = charge_step_minor(currency)
    return int((Decimal(price_minor) * (100 + percent) / 100 / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


def with_variants(
    product: KeptProduct, changing: Callable[[KeptVariant], KeptVariant], *, skus: frozenset[str] | None = None
) -> KeptProduct:
    """The product with those variants changed, or all of them."""
    variants = [changing(each) if skus is None or each.sku in skus else each for each in product.variants]
    return replace(product, variants=tuple(variants))


def differences(before: KeptProduct, after: KeptProduct) -> dict[str, object]:
    """What an edit has changed, as the audit log keeps it; long texts are cut."""
    told: dict[str, object] = {}
    for name in ("slug", "name", "brand", "category_path", "description", "image_urls", "published_at"):
        was, now = getattr(before, name), getattr(after, name)
        if was != now:
            told[name] = {"was": _told(was), "now": _told(now)}
    attributes = {
        name: {"was": _told(before.attributes.get(name)), "now": _told(after.attributes.get(name))}
        for name in sorted(before.attributes.keys() | after.attributes.keys())
        if before.attributes.get(name) != after.attributes.get(name)
    }
    if attributes:
        told["attributes"] = attributes
    variants: dict[str, dict[str, object]] = {}
    for old, new in zip(before.variants, after.variants, strict=True):
        for name in ("price_minor", "active", "options", "weight_g", "tax_class", "position"):
            was, now = getattr(old, name), getattr(new, name)
            if was != now:
                variants.setdefault(old.sku, {})[name] = {"was": was, "now": now}
    return told | ({"variants": variants} if variants else {})


def _told(value: object) -> object:
    if isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False)
        return value if len(text) <= 300 else _told(text)
    if isinstance(value, str):
        return value if len(value) <= 300 else value[:300] + "…"
    return str(value) if isinstance(value, datetime) else value
