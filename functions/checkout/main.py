"""Checkout: carts, checkouts and a buyer's orders (`checkout`), and the jobs that finish payments (`payment_jobs`)."""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

import msgspec
from flask import Request, Response
from msgspec import UNSET

from shared.accounts.email import parse_email
from shared.accounts.principals import Customer
from shared.cart.carts import CartChanged, CartFull, CartNotFound, CartVersionStale, UnknownItem
from shared.documents.errors import DocumentNotFound
from shared.edge.api import Api
from shared.edge.buying_views import (
    BuyerBody,
    CartBody,
    CartView,
    LineBody,
    OrderView,
    PlaceOrderBody,
    ShippingOptionBody,
    ShippingOptionsView,
    cart_view,
    order_view,
    shipping_option_view,
)
from shared.edge.callers import require_order_token
from shared.edge.calls import Call, Reply
from shared.edge.document_queries import MEDIA, DocumentQuery, TimelineView, timeline_view
from shared.edge.payment_tasks import (
    AttemptBody,
    ReconcileBody,
    RefundBody,
    ShipmentBody,
    WebhookEventBody,
)
from shared.edge.voucher_views import VoucherCodeBody
from shared.gateways.paypal import PayPal
from shared.gateways.turnstile import Turnstile
from shared.inventory.stock import OutOfStock
from shared.kernel.errors import Declined, Invalid, NotFound, Unavailable
from shared.kernel.first_use import first_use
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.orders import cancelling, capturing, expiring, placing, refunding
from shared.orders.capturing import NotApproved, PaymentRefused, ShopCannotBePaid
from shared.orders.findings import RunKind
from shared.orders.lockout import CheckoutLocked
from shared.orders.order import (
    Disputed,
    NotCancellable,
    NotPayable,
    Order,
    OrderMoved,
    OrderNotFound,
    OrdersClosed,
    PaymentInProgress,
    PaymentsUsedUp,
    PriceChanged,
    TooManyOpenOrders,
)
from shared.payments.processor import Fact
from shared.persistence import orders as orders_in_sql
from shared.persistence.carts import CartOfShop, Carts
from shared.persistence.idempotency import IdempotencyKeys
from shared.persistence.orders import Orders
from shared.pricing.vouchers import UnknownVoucher, VoucherNotApplicable
from shared.settings import PayPalSettings, TurnstileSettings, environment
from shared.wiring.parts import Parts

log = Log(__name__)
# What a sweep leaves to the requests and tasks that are at work on it right now.
_AT_WORK = timedelta(minutes=1)
_PENDING_LOOK = timedelta(minutes=5)
_BATCH = 100
# Two calls to PayPal that both run into their time-out.
_LONGEST_CALL = timedelta(seconds=30)


# Wiring: everything is made on first use -------------------------------------------------------------


parts = Parts(guards=orders_in_sql.GUARDS)
clock, platform, token_keys, database = parts.clock, parts.platform, parts.token_keys, parts.database


@first_use
def paypal_settings() -> PayPalSettings:
    return PayPalSettings.from_env(environment())


@first_use
def paypal() -> PayPal:
    return PayPal(paypal_settings())


@first_use
def bots() -> Turnstile | None:
    settings = TurnstileSettings.from_env(environment())
    return None if settings.secret is None else Turnstile(settings)


@first_use
def carts() -> Carts:
    return Carts(database(), clock)


@first_use
def orders() -> Orders:
    return Orders(database(), clock, take_published=_publish_early)


def _publish_early() -> Sequence[UUID]:
    parts.dispatcher().publish()
    return parts.dispatcher().take_published()


api = Api("checkout", services=parts.services(signed_in=True))
jobs = Api("payment-jobs", services=parts.services())


def checkout(request: Request) -> Response:
    """The entry point of the deployment `checkout`."""
    return api.serve(request)


def payment_jobs(request: Request) -> Response:
    """The entry point of the deployment `payment-jobs`."""
    return jobs.serve(request)


# Carts: who has the id has the cart --------------------------------------------------------------------


@api.post("/v1/carts", body=CartBody, answers={201: CartView}, completing=lambda call, cart: _name_cart(call, cart))
def create_cart(call: Call[CartBody]) -> Reply:
    """A new, empty cart. Its id is its key: who has it has the cart."""
    cart_id = _cart_id(call, token_keys().current)
    email = parse_email(call.body.email) if call.body.email is not None else None
    address = call.body.shipping_address.as_json() if call.body.shipping_address is not None else None
    carts().create(cart_id, email=email, address=address, answering=call.answering(201, _nameless_cart))
    return Reply(201)


def _cart_id(call: Call[Any], kid: str) -> str:
    """128 bits that only this key of this caller gives: a repeat finds its cart, and no table keeps the secret."""
    claim = _claim(call)
    text = f"cart:{claim.scope}:{claim.key}:{claim.request_hash.hex()}"
    return hmac.digest(token_keys().keys[kid], text.encode(), hashlib.sha256)[:16].hex()


def _nameless_cart(found: CartOfShop) -> CartView:
    """The answer that is stored: in place of the cart's id stands that of the key that made it."""
    return msgspec.structs.replace(cart_view(found.cart, found.shop, found.voucher, found.at), id=token_keys().current)


def _name_cart(call: Call[Any], cart: dict[str, Any]) -> None:
    cart["id"] = _cart_id(call, cart["id"])


@api.get("/v1/carts/<cart_id>", answers={200: CartView}, errors=[CartNotFound])
def get_cart(call: Call[None]) -> Reply:
    """A cart against today's prices and stock."""
    return _cart_reply(carts().get(call.path["cart_id"]))


@api.patch(
    "/v1/carts/<cart_id>",
    body=BuyerBody,
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale, Invalid],
    if_match="optional",
)
def change_buyer(call: Call[BuyerBody]) -> Reply:
    """Who buys, and where it goes. If-Match names the version that is meant."""
    body = call.body
    found = carts().set_buyer(
        call.path["cart_id"],
        email=None if body.email is UNSET else parse_email(body.email),
        address=None if body.shipping_address is UNSET else body.shipping_address.as_json(),
        if_match=call.if_match,
    )
    return _cart_reply(found)


@api.put(
    "/v1/carts/<cart_id>/lines/<path:sku>",
    body=LineBody,
    answers={200: CartView},
    errors=[CartNotFound, UnknownItem, CartVersionStale, CartFull],
    if_match="optional",
)
def set_line(call: Call[LineBody]) -> Reply:
    """So many units of a SKU, at today's price."""
    found = carts().set_line(call.path["cart_id"], call.path["sku"], call.body.quantity, if_match=call.if_match)
    return _cart_reply(found)


@api.delete(
    "/v1/carts/<cart_id>/lines/<path:sku>",
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale],
    if_match="optional",
)
def remove_line(call: Call[None]) -> Reply:
    """The SKU is in the cart no longer."""
    return _cart_reply(carts().remove_line(call.path["cart_id"], call.path["sku"], if_match=call.if_match))


@api.get("/v1/carts/<cart_id>/shipping-options", answers={200: ShippingOptionsView}, errors=[CartNotFound])
def list_shipping_options(call: Call[None]) -> Reply:
    """How the goods can travel, and for how much."""
    shop = carts().get(call.path["cart_id"]).shop
    options = [shipping_option_view(option, shop.currency) for option in shop.shipping_options]
    return Reply(200, ShippingOptionsView(items=options))


@api.put(
    "/v1/carts/<cart_id>/shipping-option",
    body=ShippingOptionBody,
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale, Invalid],
    if_match="optional",
)
def set_shipping_option(call: Call[ShippingOptionBody]) -> Reply:
    """How the goods are to travel."""
    return _cart_reply(carts().set_shipping_option(call.path["cart_id"], call.body.id, if_match=call.if_match))


@api.put(
    "/v1/carts/<cart_id>/voucher",
    body=VoucherCodeBody,
    answers={200: CartView},
    errors=[CartNotFound, UnknownVoucher, CartVersionStale],
    if_match="optional",
)
def set_voucher(call: Call[VoucherCodeBody]) -> Reply:
    """A voucher for this cart; where it does not apply now, the cart says why."""
    return _cart_reply(carts().set_voucher(call.path["cart_id"], call.body.code, if_match=call.if_match))


@api.delete(
    "/v1/carts/<cart_id>/voucher",
    answers={200: CartView},
    errors=[CartNotFound, CartVersionStale],
    if_match="optional",
)
def remove_voucher(call: Call[None]) -> Reply:
    """The cart has no voucher any longer."""
    return _cart_reply(carts().remove_voucher(call.path["cart_id"], if_match=call.if_match))


def _cart_reply(found: CartOfShop) -> Reply:
    return Reply(200, cart_view(found.cart, found.shop, found.voucher, found.at), {"ETag": f'"{found.cart.version}"'})


# Checkouts ---------------------------------------------------------------------------------------------


def _admit(call: Call[Any], document: dict[str, Any]) -> None:
    """The token that opens the order, made anew for every answer and kept nowhere."""
    document["access_token"] = token_keys().token("order", document["id"])


@api.post(
    "/v1/checkouts",
    body=PlaceOrderBody,
    answers={200: OrderView, 201: OrderView},
    errors=[
        CartNotFound,
        CartChanged,
        OutOfStock,
        PriceChanged,
        PaymentInProgress,
        TooManyOpenOrders,
        CheckoutLocked,
        VoucherNotApplicable,
        OrderMoved,
        OrdersClosed,
        Invalid,
        Declined,
    ],
    claims_itself=True,
    scope=lambda call: call.body.cart_id,
    completing=_admit,
)
def place(call: Call[PlaceOrderBody]) -> Reply:
    """Freeze a cart into an order, hold its stock, and say where the buyer approves the payment."""
    body = call.body
    customer = call.principal.id if isinstance(call.principal, Customer) else None
    command = placing.PlaceOrder(
        body.cart_id,
        body.cart_version,
        body.email,
        call.client_network,
        customer,
        call.actor,
        bot_check=body.turnstile_token,
    )
    placed = placing.place_order(
        command,
        claim=_claim(call),
        answering=lambda status: _answering(call, status),
        return_url=lambda order: f"{platform().public_url}/checkout/return?order={order.id}",
        cancel_url=lambda order: f"{platform().public_url}/checkout/cancel?order={order.id}",
        store=orders(),
        cashier=paypal(),
        clock=clock,
        bots=bots(),
    )
    return Reply(201 if placed.is_new else 200)


def _claim(call: Call[Any]) -> Claim:
    assert call.claim is not None  # the route is idempotent
    return call.claim


def _answering(call: Call[Any], status: int) -> Answering[Order]:
    answering: Answering[Order] | None = call.answering(status, order_view)
    assert answering is not None
    return answering


def _order_of(call: Call[Any]) -> UUID:
    order_id = call.uuid("order_id")
    _require_token(call, order_id)
    return order_id


def _require_token(call: Call[Any], order_id: UUID) -> None:
    """What is not the caller's is not there: the answer is the one of an order that does not exist."""
    try:
        require_order_token(call, order_id, token_keys())
    except NotFound as error:
        raise OrderNotFound from error


@api.get("/v1/checkouts/<order_id>", answers={200: OrderView}, errors=[OrderNotFound], order_token=True)
def get_checkout(call: Call[None]) -> Reply:
    """The order as it stands; for whoever holds its token."""
    return Reply(200, order_view(orders().get(_order_of(call))))


@api.post(
    "/v1/checkouts/<order_id>/capture",
    answers={200: OrderView},
    errors=[
        OrderNotFound,
        NotApproved,
        PaymentRefused,
        PaymentsUsedUp,
        ShopCannotBePaid,
        PaymentInProgress,
        NotPayable,
        CheckoutLocked,
    ],
    scope=lambda call: call.path["order_id"],
    order_token=True,
    admitting=lambda call: _order_of(call),
)
def capture(call: Call[None]) -> Reply:
    """The buyer is back from PayPal: look whether the payment is approved, and take it."""
    order_id, answering = _order_of(call), _answering(call, 200)
    capturing.capture_order(order_id, store=orders(), processor=paypal(), clock=clock, answering=answering)
    return Reply(200)


@api.post(
    "/v1/checkouts/<order_id>/retry-payment",
    answers={200: OrderView},
    errors=[OrderNotFound, PaymentInProgress, PaymentsUsedUp, NotPayable, CheckoutLocked, OrderMoved, Declined],
    scope=lambda call: call.path["order_id"],
    order_token=True,
    admitting=lambda call: _order_of(call),
)
def retry_payment(call: Call[None]) -> Reply:
    """Where the buyer approves the payment of an order that still waits for it."""
    order = orders().get(_order_of(call))
    placing.reopen_payment(
        order,
        answering=_answering(call, 200),
        return_url=f"{platform().public_url}/checkout/return?order={order.id}",
        cancel_url=f"{platform().public_url}/checkout/cancel?order={order.id}",
        store=orders(),
        cashier=paypal(),
        clock=clock,
    )
    return Reply(200)


@api.post(
    "/v1/checkouts/<order_id>/cancel",
    answers={200: OrderView},
    errors=[OrderNotFound, PaymentInProgress, NotCancellable],
    scope=lambda call: call.path["order_id"],
    order_token=True,
    admitting=lambda call: _order_of(call),
)
def cancel(call: Call[None]) -> Reply:
    """The buyer wants the order no longer: what it holds is free again, and its cart can be changed."""
    order_id, answering = _order_of(call), _answering(call, 200)
    expiring.cancel_order(order_id, reason="buyer", actor=call.actor, store=orders(), answering=answering)
    return Reply(200)


@api.get("/v1/orders/<number>", answers={200: OrderView}, errors=[OrderNotFound], order_token=True)
def get_order(call: Call[None]) -> Reply:
    """An order by its number; for whoever holds its token."""
    return Reply(200, order_view(_numbered(call)))


def _numbered(call: Call[Any]) -> Order:
    order = orders().find_by_number(call.path["number"].upper())
    if order is None:
        raise OrderNotFound
    _require_token(call, order.id)
    return order


@api.get(
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


@api.get(
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


@api.get("/v1/orders/<number>/timeline", answers={200: TimelineView}, errors=[OrderNotFound], order_token=True)
def get_timeline(call: Call[None]) -> Reply:
    """What has happened to an order, from the first to the last."""
    from shared.persistence.timelines import list_happenings

    order = _numbered(call)
    return Reply(200, timeline_view(list_happenings(database(), order.id), order.currency))


@api.post(
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
    orders().settle(_numbered(call).id, command=command, answering=_answering(call, 200))
    return Reply(200)


# Jobs: what a payment still needs once its request is gone ------------------------------------------------


@jobs.task("/jobs/payments/capture", body=AttemptBody)
def finish_capture(call: Call[AttemptBody]) -> Reply:
    """Bring a capture that was asked for to its answer."""
    capturing.resume_attempt(call.body.attempt_id, store=orders(), processor=paypal())
    return Reply(204)


@jobs.task("/jobs/payments/refund", body=RefundBody)
def finish_refund(call: Call[RefundBody]) -> Reply:
    """Ask PayPal for a refund that settling wants, or how one that is pending has ended."""
    refunding.finish_refund(call.body.refund_id, store=orders(), processor=paypal())
    return Reply(204)


@jobs.task("/jobs/payments/track", body=ShipmentBody)
def tell_tracking(call: Call[ShipmentBody]) -> Reply:
    """Tell PayPal the tracking number of a shipment that was handed over."""
    from shared.orders import fulfilling
    from shared.persistence.fulfilment import Fulfilments

    fulfilling.tell_paypal(call.body.shipment_id, store=Fulfilments(database(), clock), processor=paypal())
    return Reply(204)


@jobs.task("/jobs/payments/apply-webhook", body=WebhookEventBody)
def apply_webhook(call: Call[WebhookEventBody]) -> Reply:
    """Read back what a stored webhook is about, and settle its order by what is there."""
    # The deployment `checkout` does none of this, and its cold start should not pay for it; likewise above and below.
    from shared.payments import applying
    from shared.persistence.webhooks import WebhookEvents

    applying.apply_event(
        call.body.webhook_event_id,
        events=WebhookEvents(database()),
        processor=paypal(),
        follow=_follow,
        invoice_prefix=paypal_settings().invoice_prefix,
        clock=clock,
    )
    return Reply(204)


def _follow(order_id: UUID, facts: Sequence[Fact]) -> None:
    capturing.follow_facts(order_id, facts, source="webhook", store=orders(), processor=paypal())


@jobs.schedule("/jobs/payments/expire-orders")
def expire_orders(call: Call[None]) -> Reply:
    """Let go of what was not paid in time."""
    _finish_each(call, expiring.expire_order, orders().list_due(clock.now(), _BATCH))
    return Reply(204)


@jobs.schedule("/jobs/payments/sweep")
def sweep(call: Call[None]) -> Reply:
    """Wake every row of a payment that stays open: attempts, refunds, captures that are pending, stored webhooks, and
    tracking numbers that PayPal does not have.
    """
    from shared.orders import fulfilling
    from shared.payments import applying
    from shared.persistence.fulfilment import Fulfilments
    from shared.persistence.lockouts import Lockouts
    from shared.persistence.webhooks import WebhookEvents

    IdempotencyKeys(database()).sweep(now=clock.now())
    Lockouts(database(), clock).sweep(now=clock.now())
    applying.sweep_events(events=WebhookEvents(database()), clock=clock)
    now = clock.now()
    _finish_each(call, capturing.resume_attempt, orders().take_unanswered_attempts(now - _AT_WORK, _BATCH))
    _finish_each(call, refunding.finish_refund, orders().take_open_refunds(now - _AT_WORK, _BATCH))
    _finish_each(call, capturing.look_again, orders().take_pending_captures(now - _PENDING_LOOK, _BATCH))
    shipped = Fulfilments(database(), clock)

    def tell(shipment_id: UUID, /, *, store: Orders, processor: PayPal) -> None:
        fulfilling.tell_paypal(shipment_id, store=shipped, processor=processor)

    _finish_each(call, tell, shipped.take_untold(now - _AT_WORK, _BATCH))

    def give_back(order_id: UUID, /, *, store: Orders, processor: PayPal) -> None:
        store.release_voucher(order_id)

    _finish_each(call, give_back, orders().list_keeping_vouchers(_BATCH))
    return Reply(204)


@jobs.schedule("/jobs/payments/issue-documents")
def issue_documents(call: Call[None]) -> Reply:
    """Give invoices and credit notes that are owed their numbers, in the order in which they were owed."""
    from shared.documents import sweeping
    from shared.persistence.documents import Documents

    def each(work: Callable[[UUID], object], order_ids: Sequence[UUID]) -> None:
        _finish_each(call, lambda order_id, /, *, store, processor: work(order_id), order_ids)

    sweeping.sweep(
        store=Documents(database(), clock),
        settle=orders().settle,
        each=each,
        has_time=lambda: clock.now() < call.give_up_at - _LONGEST_CALL,
        batch=_BATCH,
    )
    return Reply(204)


@jobs.schedule("/jobs/payments/reconcile-fresh")
def reconcile_fresh(call: Call[None]) -> Reply:
    """What is young or open is compared with PayPal, and a full run that is not through goes on."""
    return _reconcile(call, "fresh", "full", beginning="fresh")


@jobs.schedule("/jobs/payments/reconcile-full")
def reconcile_full(call: Call[None]) -> Reply:
    """Everything is compared, once a night however often this is called."""
    return _reconcile(call, "full", beginning="full")


@jobs.task("/jobs/payments/reconcile", body=ReconcileBody)
def go_on_reconciling(call: Call[ReconcileBody]) -> Reply:
    """A run that staff have asked for, or whose turn was over before it was."""
    return _reconcile(call, call.body.kind)


def _reconcile(call: Call[Any], *kinds: RunKind, beginning: RunKind | None = None) -> Reply:
    # Imported here: nothing else of this function needs them.
    from shared.orders import reconciling
    from shared.orders.reconciliation import Tools
    from shared.persistence.reconciliation import Findings, Runs
    from shared.persistence.registry import Registry
    from shared.persistence.stock_drift import StockDrift
    from shared.persistence.webhooks import WebhookEvents

    events = WebhookEvents(database())
    tools = Tools(
        runs=Runs(database(), clock),
        findings=Findings(database(), clock),
        shelves=StockDrift(database(), clock),
        registry=Registry(database()),
        events=events,
        keep=events.keep,
        orders=orders(),
        paypal=paypal(),
        invoice_prefix=paypal_settings().invoice_prefix,
        clock=clock,
    )
    if beginning is not None:
        reconciling.begin(beginning, tools)
    for kind in kinds:
        reconciling.reconcile(kind, tools, give_up_at=call.give_up_at - _LONGEST_CALL)
    return Reply(204)


class _Work(Protocol):
    def __call__(self, row_id: UUID, /, *, store: Orders, processor: PayPal) -> object: ...


def _finish_each(call: Call[None], work: _Work, row_ids: Sequence[UUID]) -> None:
    """Until the time is up: the rest is the next sweep's. One row that cannot be finished now stops no other."""
    for row_id in row_ids:
        if clock.now() >= call.give_up_at - _LONGEST_CALL:
            return
        try:
            work(row_id, store=orders(), processor=paypal())
        except (Unavailable, NotFound) as error:
            log.warning("row_left_open", error=type(error).__name__, row=row_id)
        except Exception as error:  # noqa: BLE001 - a row that always fails must not stop all the others for good
            log.error("row_failed", exc=error, row=row_id)
