"""What staff send and see of the products beside a product."""

from typing import Annotated
from uuid import UUID

from msgspec import Meta

from shared.catalog.relating import MOST_RELATED, Related
from shared.edge.parsing import Body, View
from shared.kernel.clock import iso


class RelatedBody(Body, frozen=True, kw_only=True):
    """All of them, in the order in which they are shown; none leaves it to what sells in the category."""

    product_ids: Annotated[list[UUID], Meta(max_length=MOST_RELATED)]


class RelatedProductView(View, frozen=True, kw_only=True):
    id: str
    slug: str
    name: str
    published_at: str | None


class RelatedView(View, frozen=True, kw_only=True):
    """`version` is the product's."""

    version: int
    items: list[RelatedProductView]


def related_view(related: Related) -> RelatedView:
    return RelatedView(
        version=related.version,
        items=[
            RelatedProductView(
                id=str(each.id),
                slug=each.slug,
                name=each.name,
                published_at=None if each.published_at is None else iso(each.published_at),
            )
            for each in related.products
        ],
    )
