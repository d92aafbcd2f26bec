"""A buyer's orders by their numbers: what became of them, their documents, and calling them off."""

from typing import Any, Literal

from functions.checkout.checkouts import answering_order, require_token
from functions.checkout.wiring import clock, database, orders
from shared.documents.errors import DocumentNotFound
from shared.edge.buying_views import OrderView, order_view
from shared.edge.calls import Call, Reply
from shared.edge.document_queries import MEDIA, DocumentQuery, TimelineView, timeline_view
from shared.edge.routing import Routes
from shared.kernel.ids import new_id
from shared.orders import cancelling
from shared.orders.order import Disputed, NotCancellable, Order, OrderNotFound, PaymentInProgress

routes = Routes()


@routes.get("/v1/orders/<number>", answers={200: OrderView}, errors=[OrderNotFound], order_token=True)
def get_order(call: Call[None]) -> Reply:
    """An order by its number; for whoever holds its token."""
    return Reply(200, order_view(_numbered(call)))


def _numbered(call: Call[Any]) -> Order:
    order = orders().find_by_number(call.path["number"].upper())
    if order is None:
        raise OrderNotFound
    require_token(call, order.id)
    return order


@routes.get(
    "/v1/orders/<number>/invoice",
    query=DocumentQuery,
    answers={200: None},
    media=MEDIA,
    errors=[OrderNotFound, DocumentNotFound],
    order_token=True,
)
def get_invoice(call: Call[None]) -> Reply:
    """The invoice of an order that was paid, as HTML or PDF; it is issued within a minute or two of the payment."""
    return _document(call, "invoice")


@routes.get(
    "/v1/orders/<number>/credit-notes/<credit_note>",
    query=DocumentQuery,
    answers={200: None},
    media=MEDIA,
    errors=[OrderNotFound, DocumentNotFound],
    order_token=True,
)
def get_credit_note(call: Call[None]) -> Reply:
    """A credit note of an order, as HTML or PDF; the timeline names them."""
    return _document(call, "credit_note", call.path["credit_note"])


def _document(call: Call[None], kind: Literal["invoice", "credit_note"], number: str | None = None) -> Reply:
    # Here, like all that documents need: nobody's checkout waits for it.
    from shared.edge.document_views import document_reply
    from shared.persistence.documents import Documents

    return document_reply(call, Documents(database(), clock).get_of_order(_numbered(call).id, kind, number))


@routes.get("/v1/orders/<number>/timeline", answers={200: TimelineView}, errors=[OrderNotFound], order_token=True)
def get_timeline(call: Call[None]) -> Reply:
    """What has happened to an order, from the first to the last."""
    from shared.persistence.timelines import list_happenings

    return Reply(200, timeline_view(list_happenings(database(), _numbered(call).id)))


@routes.post(
    "/v1/orders/<number>/cancel",
    answers={200: OrderView},
    errors=[OrderNotFound, PaymentInProgress, NotCancellable, Disputed],
    scope=lambda call: call.path["number"].upper(),
    order_token=True,
    admitting=lambda call: _numbered(call),
)
def cancel_by_number(call: Call[None]) -> Reply:
    """The buyer wants the order no longer. What was paid goes back, as long as nothing has left the house."""
    command = cancelling.cancel_order(refund_id=new_id(), reason="buyer", actor=call.actor, is_staff=False)
    orders().settle(_numbered(call).id, command=command, answering=answering_order(call, 200))
    return Reply(200)
