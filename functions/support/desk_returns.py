"""Returns, for staff: from a buyer's request to the money that goes back."""

from functions.support.wiring import returns
from shared.edge.calls import Call, Reply
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.return_views import (
    AdminReturnsPage,
    AdminReturnsQuery,
    AdminReturnView,
    ReceptionBody,
    RejectionBody,
    ReturnRefundBody,
    admin_return_view,
    listed_return_view,
)
from shared.edge.routing import Routes
from shared.kernel.errors import Invalid
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.orders import returning
from shared.orders.order import Disputed
from shared.orders.refunding import NothingCaptured, RefundTooLarge, UnitsRefunded
from shared.orders.returning import AskReturnRefund
from shared.orders.returns import NotReceived, NotReturnable, Returning, ReturnMoved, ReturnNotFound, ReturnRefunded

routes = Routes()


@routes.get("/v1/admin/returns", query=AdminReturnsQuery, answers={200: AdminReturnsPage}, permission="returns:read")
def list_returns(call: Call[None]) -> Reply:
    """Returns, the newest first."""
    asked = call.query
    found = returns().list_returns(
        state=asked.status,
        order_number=asked.order_number.upper() if asked.order_number is not None else None,
        before=read_moment_cursor(call),
        limit=asked.limit,
    )
    cursor = cursor_after(call, found, lambda each: (each.goods.requested_at, each.goods.id))
    return Reply(200, AdminReturnsPage(items=[listed_return_view(each) for each in found], next_cursor=cursor))


@routes.get(
    "/v1/admin/returns/<return_id>",
    answers={200: AdminReturnView},
    errors=[ReturnNotFound],
    permission="returns:read",
)
def get_return(call: Call[None]) -> Reply:
    """A return as it stands."""
    return Reply(200, admin_return_view(returns().get(call.uuid("return_id"))))


@routes.post(
    "/v1/admin/returns/<return_id>/approve",
    answers={200: AdminReturnView},
    errors=[ReturnNotFound, ReturnMoved],
    permission="returns:write",
)
def approve_return(call: Call[None]) -> Reply:
    """The buyer may send it."""
    answering = call.answering(200, admin_return_view)
    returning.approve(call.uuid("return_id"), store=returns(), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/returns/<return_id>/reject",
    body=RejectionBody,
    answers={200: AdminReturnView},
    errors=[ReturnNotFound, ReturnMoved],
    permission="returns:write",
)
def reject_return(call: Call[RejectionBody]) -> Reply:
    """Not to be sent back; the buyer reads why."""
    return_id, answering = call.uuid("return_id"), call.answering(200, admin_return_view)
    returning.reject(return_id, call.body.reason, store=returns(), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/returns/<return_id>/receive",
    body=ReceptionBody,
    answers={200: AdminReturnView},
    errors=[ReturnNotFound, ReturnMoved, NotReturnable, Invalid],
    permission="returns:write",
)
def receive_return(call: Call[ReceptionBody]) -> Reply:
    """What really came, by line and condition; what is to be sold again is on the shelf."""
    return_id, answering = call.uuid("return_id"), call.answering(200, admin_return_view)
    returning.receive(return_id, call.body.receipts(), store=returns(), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/returns/<return_id>/close",
    answers={200: AdminReturnView},
    errors=[ReturnNotFound, ReturnMoved],
    permission="returns:write",
)
def close_return(call: Call[None]) -> Reply:
    """Nothing more is to be done for it."""
    answering = call.answering(200, admin_return_view)
    returning.close(call.uuid("return_id"), store=returns(), actor=call.actor, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/returns/<return_id>/refunds",
    body=ReturnRefundBody,
    answers={200: AdminReturnView, 201: AdminReturnView},
    errors=[
        ReturnNotFound,
        NotReceived,
        ReturnRefunded,
        NothingCaptured,
        Disputed,
        RefundTooLarge,
        UnitsRefunded,
        Invalid,
    ],
    permission="refunds:write",
)
def refund_return(call: Call[ReturnRefundBody]) -> Reply:
    """Give back the money of what was received; PayPal is asked at once, by a task.

    What came back was free where a voucher paid for it: then there is no refund, and the answer is 200.
    """
    body = call.body
    asked = AskReturnRefund(new_id(), body.shipping_minor, body.amount_minor, body.reason, call.actor)

    def answering(settled: Returning) -> Answering[Returning] | None:
        return call.answering(201 if settled.goods.refund_id == asked.refund_id else 200, admin_return_view)

    returns().refund(call.uuid("return_id"), asked, answering=answering)
    return Reply(201)
