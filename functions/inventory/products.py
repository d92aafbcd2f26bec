"""The catalogue as staff keep it."""

import io
from urllib.parse import urlencode

from functions.inventory.wiring import parts
from shared.catalog.exporting import export_catalogue
from shared.edge.calls import Call, Reply
from shared.edge.paging import write_cursor
from shared.edge.product_views import CSV, LONGEST_EXPORT, ExportQuery, read_place
from shared.edge.routing import Routes
from shared.persistence.catalog_export import CatalogueExport

routes = Routes()


@routes.get(
    "/v1/admin/products/export", query=ExportQuery, answers={200: None}, media=[CSV], permission="products:read"
)
def export(call: Call[None]) -> Reply:
    """The catalogue as CSV that an import reads; `Link` (RFC 8288) leads to the next part, a file of its own."""
    asked, file = call.query, io.StringIO()
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
