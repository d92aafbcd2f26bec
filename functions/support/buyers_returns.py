"""A buyer's returns, for whoever holds the token of the order."""

from typing import Any
from uuid import UUID

from functions.support.wiring import parts, returns
from shared.edge.callers import require_order_token
from shared.edge.calls import Call, Reply
from shared.edge.return_views import OrderQuery, OwnReturnsView, ReturnBody, ReturnView, own_returns_view, return_view
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid, NotFound
from shared.orders import returning
from shared.orders.order import OrderNotFound
from shared.orders.returning import AskReturn
from shared.orders.returns import NotReturnable, Returning, ReturnNotFound, ReturnWindowOver

routes = Routes()


def _require_own(call: Call[Any], order_id: UUID | None) -> None:
    """What is not the caller's is not there: the answer is the one of an order that does not exist."""
    try:
        if order_id is None:
            raise OrderNotFound
        require_order_token(call, order_id, parts.token_keys())
    except NotFound as error:
        raise OrderNotFound from error


@routes.get("/v1/returns", query=OrderQuery, answers={200: OwnReturnsView}, errors=[OrderNotFound], order_token=True)
def list_own_returns(call: Call[None]) -> Reply:
    """The returns of an order, and what of it may still be sent back; for whoever holds its token."""
    order, made, settings = returns().show(call.query.order_number.upper())
    _require_own(call, order.id)
    returnable = returning.list_returnable(order, made, settings, parts.clock.now())
    return Reply(200, own_returns_view([Returning(order, goods) for goods in made], returnable, settings))


@routes.get("/v1/returns/<return_id>", answers={200: ReturnView}, errors=[ReturnNotFound], order_token=True)
def get_own_return(call: Call[None]) -> Reply:
    """A return as it stands; for whoever holds the token of its order."""
    found = returns().get(call.uuid("return_id"))
    try:
        _require_own(call, found.order.id)
    except OrderNotFound as error:
        raise ReturnNotFound from error
    return Reply(200, return_view(found))


@routes.post(
    "/v1/returns",
    body=ReturnBody,
    answers={201: ReturnView},
    errors=[OrderNotFound, NotReturnable, ReturnWindowOver, Invalid],
    scope=lambda call: call.body.order_number.upper(),
    order_token=True,
    admitting=lambda call: _require_own(call, returns().find_order(call.body.order_number.upper())),
)
def ask_return(call: Call[ReturnBody]) -> Reply:
    """Ask to send back units that have left; the shop approves it or says why not."""
    body = call.body
    command = AskReturn(body.order_number.upper(), body.return_lines(), body.note, call.actor)
    returning.ask_return(command, store=returns(), answering=call.answering(201, return_view))
    return Reply(201)
