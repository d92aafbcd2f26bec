"""Checkouts: from a cart that is placed to a payment that is taken, for whoever holds the order's token."""

from typing import Any
from uuid import UUID

from functions.checkout.wiring import bots, clock, orders, paypal, platform, token_keys
from shared.accounts.principals import Customer
from shared.cart.carts import CartChanged, CartNotFound
from shared.edge.buying_views import OrderView, PlaceOrderBody, order_view
from shared.edge.callers import require_order_token
from shared.edge.calls import Call, Reply
from shared.edge.routing import Routes
from shared.inventory.stock import OutOfStock
from shared.kernel.errors import Declined, Invalid, NotFound
from shared.kernel.idempotency import Answering
from shared.orders import capturing, expiring, placing
from shared.orders.capturing import NotApproved, PaymentRefused, ShopCannotBePaid
from shared.orders.lockout import CheckoutLocked
from shared.orders.order import (
    NotCancellable,
    NotPayable,
    Order,
    OrderMoved,
    OrderNotFound,
    OrdersClosed,
    OtherCurrency,
    PaymentInProgress,
    PaymentsUsedUp,
    PriceChanged,
    TooManyOpenOrders,
)
from shared.pricing.vouchers import VoucherNotApplicable

routes = Routes()


def _admit(call: Call[Any], document: dict[str, Any]) -> None:
    """The token that opens the order, made anew for every answer and kept nowhere."""
    document["access_token"] = token_keys().token("order", document["id"])


@routes.post(
    "/v1/checkouts",
    body=PlaceOrderBody,
    answers={200: OrderView, 201: OrderView},
    errors=[
        CartNotFound,
        CartChanged,
        OutOfStock,
        OtherCurrency,
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
    body, claim = call.body, call.claim
    assert claim is not None  # the route is idempotent
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
        claim=claim,
        answering=lambda status: answering_order(call, status),
        return_url=lambda order: f"{platform().public_url}/checkout/return?order={order.id}",
        cancel_url=lambda order: f"{platform().public_url}/checkout/cancel?order={order.id}",
        store=orders(),
        cashier=paypal(),
        clock=clock,
        bots=bots(),
    )
    return Reply(201 if placed.is_new else 200)


def answering_order(call: Call[Any], status: int) -> Answering[Order]:
    """How the order is stored as this request's answer."""
    answering: Answering[Order] | None = call.answering(status, order_view)
    assert answering is not None  # the route is idempotent
    return answering


def _order_of(call: Call[Any]) -> UUID:
    order_id = call.uuid("order_id")
    require_token(call, order_id)
    return order_id


def require_token(call: Call[Any], order_id: UUID) -> None:
    """What is not the caller's is not there: the answer is the one of an order that does not exist."""
    try:
        require_order_token(call, order_id, token_keys())
    except NotFound as error:
        raise OrderNotFound from error


@routes.get("/v1/checkouts/<order_id>", answers={200: OrderView}, errors=[OrderNotFound], order_token=True)
def get_checkout(call: Call[None]) -> Reply:
    """The order as it stands; for whoever holds its token."""
    return Reply(200, order_view(orders().get(_order_of(call))))


@routes.post(
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
    order_id, answering = _order_of(call), answering_order(call, 200)
    capturing.capture_order(order_id, store=orders(), processor=paypal(), clock=clock, answering=answering)
    return Reply(200)


@routes.post(
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
        answering=answering_order(call, 200),
        return_url=f"{platform().public_url}/checkout/return?order={order.id}",
        cancel_url=f"{platform().public_url}/checkout/cancel?order={order.id}",
        store=orders(),
        cashier=paypal(),
        clock=clock,
    )
    return Reply(200)


@routes.post(
    "/v1/checkouts/<order_id>/cancel",
    answers={200: OrderView},
    errors=[OrderNotFound, PaymentInProgress, NotCancellable],
    scope=lambda call: call.path["order_id"],
    order_token=True,
    admitting=lambda call: _order_of(call),
)
def cancel(call: Call[None]) -> Reply:
    """The buyer wants the order no longer: what it holds is free again, and its cart can be changed."""
    order_id, answering = _order_of(call), answering_order(call, 200)
    expiring.cancel_order(order_id, reason="buyer", actor=call.actor, store=orders(), answering=answering)
    return Reply(200)
