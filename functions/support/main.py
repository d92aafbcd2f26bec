"""Support: returns, for buyers (`support`), and the desk, where staff see orders, decide about returns, move money back
and look after what has not gone by itself (`desk`).
"""

from flask import Request, Response

from functions.support.buyers_returns import routes as buyers_returns
from functions.support.desk_audit import routes as audit
from functions.support.desk_dead_letters import routes as dead_letters
from functions.support.desk_invoices import routes as invoices
from functions.support.desk_lockouts import routes as lockouts
from functions.support.desk_open_rows import routes as open_rows
from functions.support.desk_orders import routes as orders
from functions.support.desk_reconciliation import routes as reconciliation
from functions.support.desk_returns import routes as returns
from functions.support.desk_webhooks import routes as webhooks
from functions.support.wiring import parts
from shared.edge.api import Api

public = Api("support", services=parts.services(signed_in=True), routes=[buyers_returns])
api = Api(
    "desk",
    services=parts.services(signed_in=True),
    routes=[returns, orders, invoices, audit, webhooks, lockouts, dead_letters, open_rows, reconciliation],
)


def support(request: Request) -> Response:
    """The entry point of the deployment `support`."""
    return public.serve(request)


def desk(request: Request) -> Response:
    """The entry point of the deployment `desk`."""
    return api.serve(request)
