"""Inventory: the catalogue, its pictures, what searches find, stock, shipments, vouchers and settings, for staff."""

from flask import Request, Response

from functions.inventory.assortment import routes as assortment_routes
from functions.inventory.categories import routes as category_routes
from functions.inventory.media import routes as media_routes
from functions.inventory.merchandising import routes as merchandising_routes
from functions.inventory.products import routes as product_routes
from functions.inventory.related_products import routes as related_routes
from functions.inventory.shipments import routes as shipment_routes
from functions.inventory.shop_settings import routes as settings_routes
from functions.inventory.stock import routes as stock_routes
from functions.inventory.vouchers import routes as voucher_routes
from functions.inventory.wiring import parts
from shared.edge.api import Api

api = Api(
    "inventory",
    services=parts.services(signed_in=True),
    routes=[
        product_routes,
        assortment_routes,
        related_routes,
        category_routes,
        media_routes,
        stock_routes,
        shipment_routes,
        settings_routes,
        voucher_routes,
        merchandising_routes,
    ],
)


def inventory(request: Request) -> Response:
    """The entry point of the deployment `inventory`."""
    return api.serve(request)
