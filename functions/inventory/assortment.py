"""Products and variants that come into the catalogue by hand, and those that go again."""

from functions.inventory.wiring import parts
from shared.catalog.assortment import HasHistory, LastVariant, ProductTaken, SkuTaken, UnknownVariant
from shared.catalog.editing import NothingForSale, ProductStale, UnknownProduct
from shared.edge.assortment_views import NewProductBody, NewVariantBody
from shared.edge.calls import Call, Reply
from shared.edge.product_views import KeptProductView, kept_product_view
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.assortment import Assortment

routes = Routes()


@first_use
def assortment() -> Assortment:
    return Assortment(parts.database(), parts.clock)


@routes.post(
    "/v1/admin/products",
    body=NewProductBody,
    answers={201: KeptProductView},
    errors=[SkuTaken, ProductTaken, NothingForSale, Invalid],
    permission="products:write",
    made_at="/v1/admin/products/{id}",
)
def create_product(call: Call[NewProductBody]) -> Reply:
    """A new product: a draft, or sold from its moment of publication on. Its address follows its name."""
    assortment().create(call.body.product_in, actor=call.actor, answering=call.answering(201, kept_product_view))
    return Reply(201)


@routes.delete(
    "/v1/admin/products/<uuid:product_id>",
    answers={204: None},
    errors=[UnknownProduct, ProductStale, HasHistory],
    permission="products:write",
    if_match="optional",
)
def delete_product(call: Call[None]) -> Reply:
    """Only what was never stocked or ordered; anything else is taken from sale by `published_at` null."""
    assortment().delete(call.uuid("product_id"), actor=call.actor, if_match=call.if_match)
    return Reply(204)


@routes.post(
    "/v1/admin/products/<uuid:product_id>/variants",
    body=NewVariantBody,
    answers={201: KeptProductView},
    errors=[UnknownProduct, SkuTaken, Invalid],
    permission="products:write",
    made_at="/v1/admin/products/{id}",
)
def add_variant(call: Call[NewVariantBody]) -> Reply:
    """One more variant; the answer is the product, where it is found."""
    assortment().add_variant(
        call.uuid("product_id"),
        call.body.variant_of,
        actor=call.actor,
        answering=call.answering(201, kept_product_view),
    )
    return Reply(201)


@routes.delete(
    "/v1/admin/products/<uuid:product_id>/variants/<path:sku>",
    answers={204: None},
    errors=[UnknownProduct, UnknownVariant, ProductStale, HasHistory, LastVariant, NothingForSale],
    permission="products:write",
    if_match="optional",
)
def delete_variant(call: Call[None]) -> Reply:
    """Only what was never stocked or ordered, and not the last one; anything else is taken from sale by `active`."""
    assortment().delete_variant(call.uuid("product_id"), call.path["sku"], actor=call.actor, if_match=call.if_match)
    return Reply(204)
