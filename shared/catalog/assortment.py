"""What comes into the catalogue by hand, and what goes again. Pure rules; shared.persistence.assortment writes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.catalog.editing import KeptVariant
from shared.kernel.errors import Conflict, NotFound


class SkuTaken(Conflict):
    """Data: skus."""

    sentence = "There is a variant of that SKU already."


class ProductTaken(Conflict):
    """Data: product."""

    sentence = "Another product groups its variants by that key. Name one of its own."


class HasHistory(Conflict):
    """Data: skus, those that have one."""

    sentence = "What was ever stocked or ordered stays in the books. Take it from sale instead."


class LastVariant(Conflict):
    sentence = "A product has one variant at least. Delete the product instead."


class UnknownVariant(NotFound):
    sentence = "The product has no such variant."


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProduct:
    """A product before it has an id and an address; `group_key` groups its variants in an import."""

    group_key: str
    name: str
    brand: str
    category_path: str | None
    description: str
    attributes: Mapping[str, Any]
    image_urls: Sequence[str]
    published_at: datetime | None
    variants: Sequence[KeptVariant]

    @property
    def sells(self) -> bool:
        """As KeptProduct.sells."""
        return self.published_at is None or any(variant.active for variant in self.variants)
