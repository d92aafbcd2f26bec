"""The catalogue as staff keep it."""

import io
from urllib.parse import urlencode

from functions.inventory.wiring import parts
from shared.catalog.editing import NothingForSale, ProductStale, UnknownProduct
from shared.catalog.exporting import export_catalogue
from shared.edge.callers import require_permission
from shared.edge.calls import Call, Reply
from shared.edge.paging import cursor_after, read_moment_cursor, write_cursor
from shared.edge.product_views import (
    CSV,
    LONGEST_EXPORT,
    BulkChangeBody,
    BulkChangeView,
    ExportQuery,
    KeptProductsPage,
    KeptProductView,
    ProductChangeBody,
    ProductsQuery,
    bulk_change_view,
    kept_product_view,
    listed_product_view,
    read_place,
)
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.persistence.catalog_export import CatalogueExport
from shared.persistence.products import Products

routes = Routes()


@first_use
def products() -> Products:
    return Products(parts.database(), parts.clock)


@routes.get("/v1/admin/products", query=ProductsQuery, answers={200: KeptProductsPage}, permission="products:read")
def list_products(call: Call[None]) -> Reply:
    """Every product, published or not, the newest first."""
    asked = call.query
    found = products().list_products(
        sku=asked.sku,
        brand=asked.brand,
        category=asked.category,
        published=asked.published,
        scheduled=asked.scheduled,
        before=read_moment_cursor(call),
        limit=asked.limit,
    )
    cursor = cursor_after(call, found, lambda row: (row["created_at"], row["id"]))
    return Reply(200, KeptProductsPage(items=[listed_product_view(row) for row in found], next_cursor=cursor))


@routes.get(
    "/v1/admin/products/<uuid:product_id>",
    answers={200: KeptProductView},
    errors=[UnknownProduct],
    permission="products:read",
)
def get_product(call: Call[None]) -> Reply:
    """One product with all its variants."""
    product = products().get(call.uuid("product_id"))
    return Reply(200, kept_product_view(product), {"ETag": f'"{product.version}"'})


@routes.patch(
    "/v1/admin/products/<uuid:product_id>",
    body=ProductChangeBody,
    answers={200: KeptProductView},
    errors=[UnknownProduct, ProductStale, NothingForSale, Invalid],
    permission="products:write",
    if_match="optional",
)
def change_product(call: Call[ProductChangeBody]) -> Reply:
    """Change a product; If-Match names the version that is meant. The address of its old name leads to the new one."""
    product = products().change(
        call.uuid("product_id"),
        lambda before: call.body.changed(before, media_url=parts.platform().media_url),
        actor=call.actor,
        if_match=call.if_match,
    )
    return Reply(200, kept_product_view(product), {"ETag": f'"{product.version}"'})


@routes.post(
    "/v1/admin/products/changes",
    body=BulkChangeBody,
    answers={200: BulkChangeView},
    errors=[NothingForSale, Invalid],
    permission="products:write",
)
def change_products(call: Call[BulkChangeBody]) -> Reply:
    """Change many products at once: prices, category, what is sold. All of them change, or none."""
    body = call.body
    body.check()
    products().change_many(
        lambda before: body.changed(before, now=call.at),
        product_ids=body.product_ids or (),
        skus=body.skus or (),
        actor=call.actor,
        answering=call.answering(200, bulk_change_view),
    )
    return Reply(200)


@routes.get(
    "/v1/admin/products/export", query=ExportQuery, answers={200: None}, media=[CSV], permission="products:read"
)
def export(call: Call[None]) -> Reply:
    """The catalogue as CSV that an import reads; `Link` (RFC 8288) leads to the next part, a file of its own."""
    asked, file = call.query, io.StringIO()
    if asked.on_hand:
        require_permission(call, "stock:read")
    _written, place = export_catalogue(
        file,
        catalogue=CatalogueExport(parts.database()),
        on_hand=asked.on_hand,
        after=read_place(call),
        most=asked.limit,
        full=lambda: file.tell() >= LONGEST_EXPORT,
    )
    headers = {"Content-Type": f"{CSV}; charset=utf-8", "Content-Disposition": 'attachment; filename="catalogue.csv"'}
    if place is not None:
        going_on = {"on_hand": "true"} if asked.on_hand else {}
        going_on |= {"limit": str(asked.limit), "cursor": write_cursor(call, place)}
        headers["Link"] = f'</v1/admin/products/export?{urlencode(going_on)}>; rel="next"'
    return Reply(200, file.getvalue().encode(), headers)
