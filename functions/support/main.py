"""Support: returns, for buyers (`support`), and the desk, where staff see orders, decide about returns, move money back
and look after what has not gone by itself (`desk`).
"""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Request, Response

from shared.documents.errors import DocumentNotFound
from shared.edge.api import Api
from shared.edge.callers import require_order_token
from shared.edge.calls import Call, Reply
from shared.edge.desk_views import AuditPage, AuditQuery, LockoutsPage, audit_entry_view, lockout_view
from shared.edge.document_queries import MEDIA, DocumentQuery
from shared.edge.invoice_views import (
    CSV,
    JSON,
    MOST_EXPORTED,
    DocumentsPage,
    DocumentsQuery,
    ExportQuery,
    PeriodQuery,
    TaxSumsView,
    document_row_view,
    export,
    tax_sum_view,
)
from shared.edge.leftover_views import (
    DeadLetterDetailView,
    DeadLettersPage,
    DeadLettersQuery,
    DeadLetterView,
    DiscardBody,
    OpenRowsPage,
    OpenRowsQuery,
    OpenRowView,
    dead_letter_detail_view,
    dead_letter_view,
    open_row_view,
    read_kind,
    read_open_rows_cursor,
)
from shared.edge.paging import PageQuery, cursor_after, read_moment_cursor
from shared.edge.problems import Unreadable
from shared.edge.reconciliation_views import (
    FindingsQuery,
    FindingView,
    ReconciliationView,
    ResolveBody,
    RunView,
    finding_view,
    run_view,
)
from shared.edge.return_views import (
    AdminReturnsPage,
    AdminReturnsQuery,
    AdminReturnView,
    OrderQuery,
    OwnReturnsView,
    ReceptionBody,
    RejectionBody,
    ReturnBody,
    ReturnRefundBody,
    ReturnView,
    admin_return_view,
    listed_return_view,
    own_returns_view,
    return_view,
)
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
from shared.edge.webhook_inbox_views import (
    WebhookEventDetailView,
    WebhookEventsPage,
    WebhookEventsQuery,
    WebhookRefusalsPage,
    read_refusals_cursor,
    webhook_event_detail_view,
    webhook_event_view,
    webhook_refusal_view,
)
from shared.kernel.errors import Invalid, NotFound
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.orders import cancelling, fulfilling, holding, refunding, returning
from shared.orders.findings import FindingClosed, FindingNotFound
from shared.orders.fulfilling import NotShippable, UnitsStillHere
from shared.orders.holding import NotHoldable, NotOnHold, NotReleasable
from shared.orders.lockout import LockoutNotFound
from shared.orders.order import Disputed, NotCancellable, Order, OrderNotFound, PaymentInProgress
from shared.orders.refunding import (
    NothingCaptured,
    NotRestockable,
    NotRetryable,
    RefundNotFound,
    RefundTooLarge,
    UnitsRefunded,
)
from shared.orders.returning import AskReturn, AskReturnRefund
from shared.orders.returns import (
    NotReceived,
    NotReturnable,
    Returning,
    ReturnMoved,
    ReturnNotFound,
    ReturnRefunded,
    ReturnWindowOver,
)
from shared.outbox.dead_letters import DeadLetterDiscarded, DeadLetterNotFound, DeadLetterReplayed, NotSendable
from shared.outbox.open_rows import OpenRowNotFound, RowAtWork, RowFinal
from shared.payments.inbox import NotReplayable, WebhookEventNotFound
from shared.persistence import orders as orders_in_sql
from shared.persistence import returns as returns_in_sql
from shared.persistence.audit import AuditLog
from shared.persistence.dead_letters import DeadLetters
from shared.persistence.desk import Desk
from shared.persistence.documents import Documents
from shared.persistence.fulfilment import Fulfilments
from shared.persistence.lockouts import Lockouts
from shared.persistence.open_rows import OpenRows
from shared.persistence.reconciliation import Findings, Runs
from shared.persistence.returns import Returns
from shared.persistence.webhook_inbox import WebhookInbox
from shared.wiring.parts import Parts

parts = Parts(guards={**orders_in_sql.GUARDS, **returns_in_sql.GUARDS})
api = Api("desk", services=parts.services(signed_in=True))
public = Api("support", services=parts.services(signed_in=True))


@first_use
def runs() -> Runs:
    return Runs(parts.database(), parts.clock)


@first_use
def findings() -> Findings:
    return Findings(parts.database(), parts.clock)


@first_use
def orders() -> Desk:
    return Desk(parts.database(), parts.clock)


@first_use
def fulfilments() -> Fulfilments:
    return Fulfilments(parts.database(), parts.clock)


@first_use
def returns() -> Returns:
    return Returns(parts.database(), parts.clock)


@first_use
def dead_letters() -> DeadLetters:
    return DeadLetters(parts.database(), parts.clock)


@first_use
def open_rows() -> OpenRows:
    return OpenRows(parts.database(), parts.clock)


@first_use
def inbox() -> WebhookInbox:
    return WebhookInbox(parts.database(), parts.clock)


def desk(request: Request) -> Response:
    """The entry point of the deployment `desk`."""
    return api.serve(request)


def support(request: Request) -> Response:
    """The entry point of the deployment `support`."""
    return public.serve(request)


# A buyer's returns ---------------------------------------------------------------------------------------


def _require_own(call: Call[Any], order_id: UUID | None) -> None:
    """What is not the caller's is not there: the answer is the one of an order that does not exist."""
    try:
        if order_id is None:
            raise OrderNotFound
        require_order_token(call, order_id, parts.token_keys())
    except NotFound as error:
        raise OrderNotFound from error


@public.get("/v1/returns", query=OrderQuery, answers={200: OwnReturnsView}, errors=[OrderNotFound], order_token=True)
def list_own_returns(call: Call[None]) -> Reply:
    """The returns of an order, and what of it may still be sent back; for whoever holds its token."""
    order, made, settings = returns().show(call.query.order_number.upper())
    _require_own(call, order.id)
    returnable = returning.list_returnable(order, made, settings, parts.clock.now())
    return Reply(200, own_returns_view([Returning(order, goods) for goods in made], returnable, settings))


@public.get("/v1/returns/<return_id>", answers={200: ReturnView}, errors=[ReturnNotFound], order_token=True)
def get_own_return(call: Call[None]) -> Reply:
    """A return as it stands; for whoever holds the token of its order."""
    found = returns().get(call.uuid("return_id"))
    try:
        _require_own(call, found.order.id)
    except OrderNotFound as error:
        raise ReturnNotFound from error
    return Reply(200, return_view(found))


@public.post(
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


# Returns, for staff --------------------------------------------------------------------------------------


@api.get("/v1/admin/returns", query=AdminReturnsQuery, answers={200: AdminReturnsPage}, permission="returns:read")
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


@api.get(
    "/v1/admin/returns/<return_id>",
    answers={200: AdminReturnView},
    errors=[ReturnNotFound],
    permission="returns:read",
)
def get_return(call: Call[None]) -> Reply:
    """A return as it stands."""
    return Reply(200, admin_return_view(returns().get(call.uuid("return_id"))))


@api.post(
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


@api.post(
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


@api.post(
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


@api.post(
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


@api.post(
    "/v1/admin/returns/<return_id>/refunds",
    body=ReturnRefundBody,
    answers={201: AdminReturnView},
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
    """Give back the money of what was received; PayPal is asked at once, by a task."""
    body = call.body
    asked = AskReturnRefund(new_id(), body.shipping_minor, body.amount_minor, body.reason, call.actor)
    returns().refund(call.uuid("return_id"), asked, answering=call.answering(201, admin_return_view))
    return Reply(201)


# Orders --------------------------------------------------------------------------------------------------


@api.get("/v1/admin/orders", query=OrdersQuery, answers={200: OrdersPage}, permission="orders:read")
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


@api.get(
    "/v1/admin/orders/<number>",
    answers={200: StaffOrderDetailView},
    errors=[OrderNotFound],
    permission="orders:read",
)
def get_order(call: Call[None]) -> Reply:
    """All that is known of an order: its lines, money, stock, and what was done to it."""
    return Reply(200, staff_order_detail_view(orders().show(_number(call))))


@api.post(
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


@api.post(
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


@api.post(
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


@api.post(
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
    orders().change(_number(call), command, answering=call.answering(200, staff_order_view))
    return Reply(200)


@api.post(
    "/v1/admin/orders/<number>/close",
    answers={200: StaffOrderView},
    errors=[OrderNotFound, NotShippable, UnitsStillHere],
    permission="orders:write",
)
def close_order(call: Call[None]) -> Reply:
    """Call an order completed of which everything has left, though not every parcel was seen to arrive."""
    answering = call.answering(200, staff_order_view)
    fulfilling.close_order(_number(call), store=fulfilments(), actor=call.actor, answering=answering)
    return Reply(200)


# Refunds -------------------------------------------------------------------------------------------------


@api.post(
    "/v1/admin/orders/<number>/refunds",
    body=RefundBody,
    answers={201: StaffRefundView},
    errors=[OrderNotFound, NothingCaptured, Disputed, RefundTooLarge, UnitsRefunded, NotRestockable, Invalid],
    permission="refunds:write",
)
def ask_refund(call: Call[RefundBody]) -> Reply:
    """Give money back: for units of lines, for shipping, or a free amount. PayPal is asked at once, by a task."""
    body = call.body
    asked = refunding.AskRefund(
        id=new_id(),
        lines=tuple(refunding.AskedLine(line.sku, line.quantity, line.restock) for line in body.lines),
        shipping_minor=body.shipping_minor,
        amount_minor=body.amount_minor,
        reason=body.reason,
        actor=call.actor,
    )
    command = refunding.ask_refund(asked)
    orders().change(_number(call), command, answering=call.answering(201, lambda order: _refund_view(order, asked.id)))
    return Reply(201)


@api.post(
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


# Invoices and credit notes -------------------------------------------------------------------------------


@first_use
def documents() -> Documents:
    return Documents(parts.database(), parts.clock)


@api.get("/v1/admin/invoices", query=DocumentsQuery, answers={200: DocumentsPage}, permission="invoices:read")
def list_documents(call: Call[None]) -> Reply:
    """Invoices and credit notes, the newest first."""
    asked = call.query
    found = documents().list_issued(
        kind=asked.kind,
        order_number=asked.order_number.upper() if asked.order_number is not None else None,
        before=read_moment_cursor(call),
        limit=asked.limit,
    )
    cursor = cursor_after(call, found, lambda each: (each.issued_at, each.id))
    return Reply(200, DocumentsPage(items=[document_row_view(each) for each in found], next_cursor=cursor))


@api.get("/v1/admin/invoices/taxes", query=PeriodQuery, answers={200: TaxSumsView}, permission="invoices:read")
def sum_taxes(call: Call[None]) -> Reply:
    """What the documents of a period amount to, by kind and tax rate."""
    first, until = call.query.period()
    rows = documents().sum_taxes(first.date(), until.date())
    return Reply(200, TaxSumsView(items=[tax_sum_view(row) for row in rows]))


@api.get(
    "/v1/admin/invoices/export", query=ExportQuery, answers={200: None}, media=[CSV, JSON], permission="invoices:read"
)
def export_documents(call: Call[None]) -> Reply:
    """A row for each document of a period and each of its tax rates, oldest first; credit notes count negative."""
    first, until = call.query.period()
    found = documents().list_period(first, until, limit=MOST_EXPORTED + 1)
    if len(found) > MOST_EXPORTED:
        raise Unreadable(parameters={"last": f"makes more than {MOST_EXPORTED} documents; take a shorter period"})
    name = f"documents-{call.query.first}-{call.query.last}.{call.query.format}"
    content_type = f"{CSV}; charset=utf-8" if call.query.format == "csv" else JSON
    headers = {"Content-Type": content_type, "Content-Disposition": f'attachment; filename="{name}"'}
    return Reply(200, export(found, call.query.format), headers)


@api.get(
    "/v1/admin/invoices/<number>",
    query=DocumentQuery,
    answers={200: None},
    media=MEDIA,
    errors=[DocumentNotFound],
    permission="invoices:read",
)
def get_document(call: Call[None]) -> Reply:
    """An invoice or a credit note by its number, as HTML or PDF."""
    from shared.edge.document_views import document_reply  # what it renders with is heavy

    return document_reply(call, documents().get_by_number(call.path["number"]))


# What staff did ------------------------------------------------------------------------------------------


@api.get("/v1/admin/audit-log", query=AuditQuery, answers={200: AuditPage}, permission="audit:read")
def list_audit_log(call: Call[None]) -> Reply:
    """Who did what, the newest first; all of it, or what was done to one thing."""
    before = read_moment_cursor(call)
    entries = AuditLog(parts.database()).list_entries(call.query.subject, limit=call.query.limit, before=before)
    cursor = cursor_after(call, entries, lambda entry: (entry.at, entry.id))
    return Reply(200, AuditPage(items=[audit_entry_view(entry) for entry in entries], next_cursor=cursor))


# What vendors have told us, and what came of it -----------------------------------------------------------


@api.get(
    "/v1/admin/webhook-events", query=WebhookEventsQuery, answers={200: WebhookEventsPage}, permission="webhooks:read"
)
def list_webhook_events(call: Call[None]) -> Reply:
    """What vendors have told us and what came of it, the newest first."""
    before = read_moment_cursor(call)
    events = inbox().list_events(call.query.wanted, limit=call.query.limit, before=before)
    cursor = cursor_after(call, events, lambda event: (event.received_at, event.id))
    return Reply(200, WebhookEventsPage(items=[webhook_event_view(event) for event in events], next_cursor=cursor))


@api.get(
    "/v1/admin/webhook-events/<event_id>",
    answers={200: WebhookEventDetailView},
    errors=[WebhookEventNotFound],
    permission="webhooks:read",
)
def get_webhook_event(call: Call[None]) -> Reply:
    """One event with its body and the verdict on it."""
    return Reply(200, webhook_event_detail_view(inbox().get(call.uuid("event_id"))))


@api.post(
    "/v1/admin/webhook-events/<event_id>/replay",
    answers={200: WebhookEventDetailView},
    errors=[WebhookEventNotFound, NotReplayable],
    permission="webhooks:write",
)
def replay_webhook_event(call: Call[None]) -> Reply:
    """Have it applied again: its object is read back at the vendor, and what is known already stays as it is."""
    answering = call.answering(200, webhook_event_detail_view)
    inbox().replay(call.uuid("event_id"), actor=call.actor, answering=answering)
    return Reply(200)


@api.get("/v1/admin/webhook-refusals", query=PageQuery, answers={200: WebhookRefusalsPage}, permission="webhooks:read")
def list_webhook_refusals(call: Call[None]) -> Reply:
    """How many webhooks were refused, by day and reason, the latest day first."""
    before = read_refusals_cursor(call)
    counts = inbox().list_refusals(limit=call.query.limit, before=before)
    cursor = cursor_after(call, counts, lambda each: (each.day, each.provider, each.reason))
    return Reply(200, WebhookRefusalsPage(items=[webhook_refusal_view(each) for each in counts], next_cursor=cursor))


# Who waits after too many refused payments ---------------------------------------------------------------


@api.get("/v1/admin/lockouts", query=PageQuery, answers={200: LockoutsPage}, permission="lockouts:read")
def list_lockouts(call: Call[None]) -> Reply:
    """Carts, e-mail addresses and networks that wait after too many refused payments, the longest wait first."""
    after = read_moment_cursor(call)
    found = Lockouts(parts.database(), parts.clock).list_locked(limit=call.query.limit, after=after)
    cursor = cursor_after(call, found, lambda each: (each.locked_until, each.id))
    return Reply(200, LockoutsPage(items=[lockout_view(lockout) for lockout in found], next_cursor=cursor))


@api.delete(
    "/v1/admin/lockouts/<lockout_id>", answers={204: None}, errors=[LockoutNotFound], permission="lockouts:write"
)
def lift_lockout(call: Call[None]) -> Reply:
    """Let it go on at once: its refusals are forgotten."""
    Lockouts(parts.database(), parts.clock).lift(call.uuid("lockout_id"), actor=call.actor)
    return Reply(204)


# What no consumer took ------------------------------------------------------------------------------------


@api.get(
    "/v1/admin/dead-letters", query=DeadLettersQuery, answers={200: DeadLettersPage}, permission="dead-letters:read"
)
def list_dead_letters(call: Call[None]) -> Reply:
    """Messages that no consumer took, the newest first."""
    query = call.query
    letters = dead_letters().list_letters(
        state=query.state,
        subscription=query.subscription,
        limit=query.limit,
        before=read_moment_cursor(call),
    )
    cursor = cursor_after(call, letters, lambda letter: (letter.received_at, letter.id))
    return Reply(200, DeadLettersPage(items=[dead_letter_view(letter) for letter in letters], next_cursor=cursor))


@api.get(
    "/v1/admin/dead-letters/<letter_id>",
    answers={200: DeadLetterDetailView},
    errors=[DeadLetterNotFound],
    permission="dead-letters:read",
)
def get_dead_letter(call: Call[None]) -> Reply:
    """One of them with its payload."""
    return Reply(200, dead_letter_detail_view(dead_letters().get(call.uuid("letter_id"))))


@api.post(
    "/v1/admin/dead-letters/<letter_id>/replay",
    answers={200: DeadLetterView},
    errors=[DeadLetterNotFound, DeadLetterDiscarded, NotSendable],
    permission="dead-letters:write",
)
def replay_dead_letter(call: Call[None]) -> Reply:
    """Send the same event again, under its id: whoever took it before knows it. The answer is kept, so it is short."""
    answering = call.answering(200, dead_letter_view)
    dead_letters().replay(call.uuid("letter_id"), actor=call.actor, answering=answering)
    return Reply(200)


@api.post(
    "/v1/admin/dead-letters/<letter_id>/discard",
    body=DiscardBody,
    answers={200: DeadLetterView},
    errors=[DeadLetterNotFound, DeadLetterDiscarded, DeadLetterReplayed],
    permission="dead-letters:write",
)
def discard_dead_letter(call: Call[DiscardBody]) -> Reply:
    """Put it away for good, for a reason."""
    answering = call.answering(200, dead_letter_view)
    dead_letters().discard(call.uuid("letter_id"), reason=call.body.reason, actor=call.actor, answering=answering)
    return Reply(200)


# What was begun and nobody has finished -------------------------------------------------------------------


@api.get("/v1/admin/open-rows", query=OpenRowsQuery, answers={200: OpenRowsPage}, permission="open-rows:read")
def list_open_rows(call: Call[None]) -> Reply:
    """What was begun and is open: messages, captures, refunds, tracking numbers, webhooks, mails; the oldest."""
    query = call.query
    rows = open_rows().list_rows(kind=query.kind, limit=query.limit, after=read_open_rows_cursor(call))
    cursor = cursor_after(call, rows, lambda row: (row.since, row.kind, row.id))
    return Reply(200, OpenRowsPage(items=[open_row_view(row, at=call.at) for row in rows], next_cursor=cursor))


@api.post(
    "/v1/admin/open-rows/<kind>/<row_id>/replay",
    answers={200: OpenRowView},
    errors=[OpenRowNotFound, RowAtWork, RowFinal],
    permission="open-rows:write",
)
def wake_open_row(call: Call[None]) -> Reply:
    """Have that one row worked on now, as the sweeps would do it later."""
    kind, row_id = read_kind(call.path["kind"]), call.uuid("row_id")
    answering = call.answering(200, partial(open_row_view, at=call.at))
    open_rows().wake(kind, row_id, actor=call.actor, answering=answering)
    return Reply(200)


# Reconciliation ------------------------------------------------------------------------------------------


@api.get(
    "/v1/admin/reconciliation",
    query=FindingsQuery,
    answers={200: ReconciliationView},
    permission="reconciliation:read",
)
def show_reconciliation(call: Call[None]) -> Reply:
    """What does not add up between PayPal, orders and stock, the newest first: empty when all is well."""
    before = read_moment_cursor(call)
    found = findings().list_findings(call.query.state, before=before, limit=call.query.limit)
    view = ReconciliationView(
        runs=[run_view(run) for run in runs().list_latest()],
        items=[finding_view(finding) for finding in found],
        next_cursor=cursor_after(call, found, lambda each: (each.found_at, each.id)),
    )
    return Reply(200, view)


@api.post("/v1/admin/reconciliation", answers={202: RunView}, permission="reconciliation:write")
def ask_for_reconciliation(call: Call[None]) -> Reply:
    """Compare everything now; where that is under way already, the run that is."""
    runs().ask(actor=call.actor, answering=call.answering(202, run_view))
    return Reply(202)


@api.post(
    "/v1/admin/reconciliation/findings/<finding_id>/resolve",
    body=ResolveBody,
    answers={200: FindingView},
    errors=[FindingNotFound, FindingClosed],
    permission="reconciliation:write",
)
def resolve_finding(call: Call[ResolveBody]) -> Reply:
    """Say why something is as it is; nothing else changes by it."""
    finding_id, answering = call.uuid("finding_id"), call.answering(200, finding_view)
    findings().resolve(finding_id, actor=call.actor, reason=call.body.reason, answering=answering)
    return Reply(200)
