"""Inventory: the catalogue, its pictures, imports, what searches find, stock, shipments, vouchers and settings, for
staff; and the jobs that import files.
"""

from flask import Request, Response

from functions.inventory.assortment import routes as assortment_routes
from functions.inventory.categories import routes as category_routes
from functions.inventory.import_jobs import parts as job_parts
from functions.inventory.import_jobs import routes as job_routes
from functions.inventory.imports import routes as import_routes
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
        import_routes,
        stock_routes,
        shipment_routes,
        settings_routes,
        voucher_routes,
        merchandising_routes,
    ],
)
jobs = Api("import-jobs", services=job_parts.services(), routes=[job_routes])


def inventory(request: Request) -> Response:
    """The entry point of the deployment `inventory`."""
    return api.serve(request)


def import_jobs(request: Request) -> Response:
    """The entry point of the deployment `import-jobs`."""
    return jobs.serve(request)
