"""Orders, for staff: what is known of them, what may be done to them, and the money that they give back."""

from typing import Any
from uuid import UUID

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.edge.staff_order_views import (
    CancelBody,
    HoldBody,
    NoteBody,
    NoteView,
    OrdersPage,
    OrdersQuery,
    RefundBody,
    StaffOrderDetailView,
    StaffOrderView,
    StaffRefundView,
    note_view,
    order_row_view,
    staff_order_detail_view,
    staff_order_view,
    staff_refund_view,
)
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.orders import cancelling, fulfilling, holding, refunding
from shared.orders.fulfilling import NotShippable, UnitsStillHere
from shared.orders.holding import NotHoldable, NotOnHold, NotReleasable
from shared.orders.order import Disputed, NotCancellable, Order, OrderNotFound, PaymentInProgress
from shared.orders.refunding import (
    NothingCaptured,
    NotRestockable,
    NotRetryable,
    RefundNotFound,
    RefundTooLarge,
    UnitsRefunded,
)
from shared.payments.ledger import Ledger
from shared.persistence.desk import Desk
from shared.persistence.fulfilment import Fulfilments

routes = Routes()


@first_use
def orders() -> Desk:
    return Desk(parts.database(), parts.clock)


@routes.get("/v1/admin/orders", query=OrdersQuery, answers={200: OrdersPage}, permission="orders:read")
def list_orders(call: Call[None]) -> Reply:
    """Orders, the newest first."""
    asked = call.query
    rows = orders().list_orders(
        status=asked.status,
        number=asked.number.upper() if asked.number is not None else None,
        email=asked.email,
        disputed=asked.disputed,
        failed_refunds=asked.failed_refunds,
        before=read_moment_cursor(call),
        limit=asked.limit,
    )
    cursor = cursor_after(call, rows, lambda row: (row["placed_at"], row["id"]))
    return Reply(200, OrdersPage(items=[order_row_view(row) for row in rows], next_cursor=cursor))


@routes.get(
    "/v1/admin/orders/<number>",
    answers={200: StaffOrderDetailView},
    errors=[OrderNotFound],
    permission="orders:read",
)
def get_order(call: Call[None]) -> Reply:
    """All that is known of an order: its lines, money, stock, and what was done to it."""
    return Reply(200, staff_order_detail_view(orders().show(_number(call))))


@routes.post(
    "/v1/admin/orders/<number>/notes",
    body=NoteBody,
    answers={201: NoteView},
    errors=[OrderNotFound],
    permission="orders:write",
)
def write_note(call: Call[NoteBody]) -> Reply:
    """A word to colleagues; no buyer sees it."""
    orders().add_note(_number(call), call.body.text, actor=call.actor, answering=call.answering(201, note_view))
    return Reply(201)


@routes.post(
    "/v1/admin/orders/<number>/hold",
    body=HoldBody,
    answers={200: StaffOrderView},
    errors=[OrderNotFound, NotHoldable],
    permission="orders:write",
)
def hold_order(call: Call[HoldBody]) -> Reply:
    """Stop a paid order of which nothing has left."""
    command = holding.hold_order(reason=call.body.reason, actor=call.actor)
    orders().change(_number(call), command, answering=call.answering(200, staff_order_view))
    return Reply(200)


@routes.post(
    "/v1/admin/orders/<number>/release",
    answers={200: StaffOrderView},
    errors=[OrderNotFound, NotOnHold, NotReleasable, PaymentInProgress],
    permission="orders:write",
)
def release_order(call: Call[None]) -> Reply:
    """Let an order that is on hold go on, where its money and its stock are there."""
    command = holding.release_order(actor=call.actor)
    orders().change(_number(call), command, answering=call.answering(200, staff_order_view))
    return Reply(200)


@routes.post(
    "/v1/admin/orders/<number>/cancel",
    body=CancelBody,
    answers={200: StaffOrderView},
    errors=[OrderNotFound, PaymentInProgress, NotCancellable, Disputed],
    permission="refunds:write",
)
def cancel_order(call: Call[CancelBody]) -> Reply:
    """Cancel an order of which nothing has left: all of its money goes back, its stock is free."""
    command = cancelling.cancel_order(
        refund_id=new_id(), reason="staff", actor=call.actor, is_staff=True, note=call.body.reason or ""
    )

    def answering(_order: Order, book: Ledger) -> Answering[Order] | None:
        return call.answering(200, lambda order: staff_order_view(order, book))

    orders().change(_number(call), command, answering=answering)
    return Reply(200)


@routes.post(
    "/v1/admin/orders/<number>/close",
    answers={200: StaffOrderView},
    errors=[OrderNotFound, NotShippable, UnitsStillHere],
    permission="orders:write",
)
def close_order(call: Call[None]) -> Reply:
    """Call an order completed of which everything has left, though not every parcel was seen to arrive."""
    answering, store = call.answering(200, staff_order_view), Fulfilments(parts.database(), parts.clock)
    fulfilling.close_order(_number(call), store=store, actor=call.actor, answering=answering)
    return Reply(200)


# Refunds -------------------------------------------------------------------------------------------------


@routes.post(
    "/v1/admin/orders/<number>/refunds",
    body=RefundBody,
    answers={200: StaffOrderView, 201: StaffRefundView},
    errors=[OrderNotFound, NothingCaptured, Disputed, RefundTooLarge, UnitsRefunded, NotRestockable, Invalid],
    permission="refunds:write",
)
def ask_refund(call: Call[RefundBody]) -> Reply:
    """Give money back: for units of lines, for shipping, or a free amount. PayPal is asked at once, by a task.

    Units to restock that a voucher has made free are given up without a refund: then the answer is the order, 200.
    """
    body = call.body
    asked = refunding.AskRefund(
        id=new_id(),
        lines=tuple(refunding.AskedLine(line.sku, line.quantity, line.restock) for line in body.lines),
        shipping_minor=body.shipping_minor,
        amount_minor=body.amount_minor,
        reason=body.reason,
        actor=call.actor,
    )

    def answering(order: Order, _book: Ledger) -> Answering[Order] | None:
        if any(refund.id == asked.id for refund in order.refunds):
            return call.answering(201, lambda order: _refund_view(order, asked.id))
        return call.answering(200, staff_order_view)

    orders().change(_number(call), refunding.ask_refund(asked), answering=answering)
    return Reply(201)


@routes.post(
    "/v1/admin/orders/<number>/refunds/<refund_id>/retry",
    answers={201: StaffRefundView},
    errors=[OrderNotFound, RefundNotFound, NotRetryable, NothingCaptured, Disputed, UnitsRefunded, RefundTooLarge],
    permission="refunds:write",
)
def retry_refund(call: Call[None]) -> Reply:
    """Ask PayPal again for a refund that failed, as a new one."""
    again = new_id()
    command = refunding.retry_refund(call.uuid("refund_id"), new_id=again, actor=call.actor)
    orders().change(_number(call), command, answering=call.answering(201, lambda order: _refund_view(order, again)))
    return Reply(201)


def _number(call: Call[Any]) -> str:
    return call.path["number"].upper()


def _refund_view(order: Order, refund_id: UUID) -> StaffRefundView:
    return staff_refund_view(next(refund for refund in order.refunds if refund.id == refund_id), order)
