"""Checkout: carts, checkouts and a buyer's orders (`checkout`), and the jobs that finish payments (`payment_jobs`)."""

from flask import Request, Response

from functions.checkout.buyers_orders import routes as order_routes
from functions.checkout.carts import routes as cart_routes
from functions.checkout.checkouts import routes as checkout_routes
from functions.checkout.payment_jobs import routes as job_routes
from functions.checkout.wiring import parts
from shared.edge.api import Api

api = Api("checkout", services=parts.services(signed_in=True), routes=[cart_routes, checkout_routes, order_routes])
jobs = Api("payment-jobs", services=parts.services(), routes=[job_routes])


def checkout(request: Request) -> Response:
    """The entry point of the deployment `checkout`."""
    return api.serve(request)


def payment_jobs(request: Request) -> Response:
    """The entry point of the deployment `payment-jobs`."""
    return jobs.serve(request)
