"""The products that are shown beside a product."""

from functions.inventory.wiring import parts
from shared.catalog.editing import ProductStale, UnknownProduct
from shared.edge.calls import Call, Reply
from shared.edge.related_views import RelatedBody, RelatedView, related_view
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.related_products import RelatedProducts

routes = Routes()


@first_use
def related_products() -> RelatedProducts:
    return RelatedProducts(parts.database(), parts.clock)


@routes.get(
    "/v1/admin/products/<uuid:product_id>/related",
    answers={200: RelatedView},
    errors=[UnknownProduct],
    permission="products:read",
)
def list_related(call: Call[None]) -> Reply:
    """What staff show beside a product, published or not."""
    related = related_products().get(call.uuid("product_id"))
    return Reply(200, related_view(related), {"ETag": f'"{related.version}"'})


@routes.put(
    "/v1/admin/products/<uuid:product_id>/related",
    body=RelatedBody,
    answers={200: RelatedView},
    errors=[UnknownProduct, ProductStale, Invalid],
    permission="products:write",
    if_match="optional",
)
def replace_related(call: Call[RelatedBody]) -> Reply:
    """Show these beside a product, in this order. Shoppers see those that are published, and what is in stock first."""
    related = related_products().replace(
        call.uuid("product_id"), call.body.product_ids, actor=call.actor, if_match=call.if_match
    )
    return Reply(200, related_view(related), {"ETag": f'"{related.version}"'})
