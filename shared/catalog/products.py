"""Products, their variants, and what a line of an import makes of them.

A line says something or nothing about each thing: what it does not say stays as it is, an empty text clears. So a feed
of prices alone changes prices alone, and a repeated import changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self
from uuid import UUID

from shared.kernel.ids import new_id
from shared.kernel.messages import Event


def products_changed(product_ids: Sequence[UUID]) -> Event:
    """They are described or sold otherwise than before, or no longer; what they are now is read when it is needed."""
    return Event("catalog", "product.changed", {"product_ids": [str(product_id) for product_id in product_ids]})


class Refused(Exception):
    """A line cannot go in; the message is the reason, for the merchant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLine:
    """What one line of an import says; None is: nothing. `line` is its number in the file.

    `group_key` is the product that the SKU is a variant of; `category` the names from the top of the tree; `attributes`
    are merged into those that are there, and None takes one away.
    """

    line: int
    sku: str
    group_key: str | None = None
    name: str | None = None
    brand: str | None = None
    category: tuple[str, ...] | None = None
    description: str | None = None
    price_minor: int | None = None
    currency: str = ""
    options: Mapping[str, str] | None = None
    weight_g: int | None = None
    tax_class: str | None = None
    image_urls: tuple[str, ...] | None = None
    on_hand: int | None = None
    popularity: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One thing that can be bought. `position` orders the variants of a product."""

    sku: str
    options: Mapping[str, str]
    price_minor: int
    currency: str
    weight_g: int | None
    tax_class: str
    position: int

    @classmethod
    def made_by(cls, line: ImportLine, *, position: int) -> Self:
        """A new variant. Raises Refused."""
        if line.price_minor is None:
            raise Refused(f"price is missing, and {line.sku} is new")
        return cls(
            sku=line.sku,
            options=line.options or {},
            price_minor=line.price_minor,
            currency=line.currency,
            weight_g=line.weight_g,
            tax_class=line.tax_class or "standard",
            position=position,
        )

    def told(self, line: ImportLine) -> "Variant":
        """The variant after what the line says."""
        priced = line.price_minor is not None
        return replace(
            self,
            options=self.options if line.options is None else line.options,
            price_minor=line.price_minor if line.price_minor is not None else self.price_minor,
            currency=line.currency if priced else self.currency,
            weight_g=self.weight_g if line.weight_g is None else line.weight_g,
            tax_class=line.tax_class or self.tax_class,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """What a shopper reads about; its variants are what they buy. `brand` and `category` are names, empty for none."""

    id: UUID
    group_key: str
    slug: str
    name: str
    brand: str
    category: tuple[str, ...]
    description: str
    attributes: Mapping[str, Any]
    image_urls: tuple[str, ...]
    popularity: int

    @classmethod
    def made_by(cls, line: ImportLine, *, group_key: str) -> Self:
        """A new product; its slug is chosen when it is written. Raises Refused."""
        if not line.name:
            raise Refused(f"name is missing, and the product {group_key} is new")
        return cls(
            id=new_id(),
            group_key=group_key,
            slug="",
            name=line.name,
            brand=line.brand or "",
            category=line.category or (),
            description=line.description or "",
            attributes=merged({}, line.attributes),
            image_urls=line.image_urls or (),
            popularity=line.popularity or 0,
        )

    def told(self, line: ImportLine) -> "Product":
        """The product after what the line says. A brand or category in other capitals is the one that is there."""
        brand, category = self.brand, self.category
        if line.brand is not None and line.brand.lower() != brand.lower():
            brand = line.brand
        if line.category is not None and _lower(line.category) != _lower(category):
            category = line.category
        return replace(
            self,
            name=line.name or self.name,
            brand=brand,
            category=category,
            description=self.description if line.description is None else line.description,
            attributes=merged(self.attributes, line.attributes),
            image_urls=self.image_urls if line.image_urls is None else line.image_urls,
            popularity=self.popularity if line.popularity is None else line.popularity,
        )


def _lower(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.lower() for name in names)


def merged(known: Mapping[str, Any], said: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes after what was said; None takes one away."""
    return {name: value for name, value in {**known, **said}.items() if value is not None}
