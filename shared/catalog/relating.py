"""What staff show beside a product: others, in their order. shared.persistence.related_products keeps it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.kernel.errors import Field, Invalid

MOST_RELATED = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RelatedProduct:
    id: UUID
    slug: str
    name: str
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Related:
    """`version` is that of the product beside which they are shown; without any, shoppers see what sells in its
    category."""

    version: int
    products: Sequence[RelatedProduct]


def check_related(product_id: UUID, related: Sequence[UUID]) -> None:
    """Raises Invalid."""
    fields = []
    for n, each in enumerate(related):
        if each == product_id:
            fields.append(Field(f"/product_ids/{n}", "is the product itself"))
        elif each in related[:n]:
            fields.append(Field(f"/product_ids/{n}", "is named twice"))
    if fields:
        raise Invalid(fields)
