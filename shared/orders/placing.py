"""Placing: a cart becomes an order that waits for its buyer at PayPal. Validation -> payment, stock held before money
moves.

The rest of the course is capturing (payment, and with it the allocation), settling, and notices after the commit.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID, uuid5

from shared.accounts.email import parse_email
from shared.cart.carts import Cart, CartChanged, CartNotFound
from shared.inventory.stock import OutOfStock, ShortLine
from shared.kernel.clock import Clock
from shared.kernel.errors import Declined, Field, Invalid
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.ids import new_id, new_order_number
from shared.orders.lockout import refuse_while_locked
from shared.orders.order import (
    NotPayable,
    Order,
    OrderLine,
    OrdersClosed,
    OtherCurrency,
    PaymentInProgress,
    PaymentsUsedUp,
    PriceChanged,
)
from shared.payments.processor import Cashier, PaymentLine, PaymentRequest
from shared.pricing.totals import Item, Place, price
from shared.pricing.vouchers import Problem, Voucher, VoucherNotApplicable
from shared.shop.settings import ShopSettings

# PayPal Orders v2, create, 422: issues that name a part of the shipping address.
_ADDRESS_ISSUES = {
    "POSTAL_CODE_REQUIRED": "/shipping_address/postal_code",
    "INVALID_POSTAL_CODE": "/shipping_address/postal_code",
    "CITY_REQUIRED": "/shipping_address/city",
    "STATE_REQUIRED": "/shipping_address/region",
    "INVALID_COUNTRY_CODE": "/shipping_address/country",
}


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """`client_network` is the buyer's /24 or /64; `email`, as typed, overwrites the cart's; `actor` is who buys;
    `bot_check` is what the buyer's page was given for passing it.
    """

    cart_id: str
    cart_version: int
    email: str
    client_network: str
    customer_id: UUID | None = None
    actor: str = "buyer"
    bot_check: str | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A cart against today's catalogue and stock, and the order that this very cart version has already become.

    `voucher` is the cart's, as it is to this buyer. `locked_until`: the buyer had too many payments refused and waits
    (orders.lockout).
    """

    cart: Cart | None
    shop: ShopSettings
    order: Order | None
    voucher: Voucher | None = None
    locked_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    order: Order
    is_new: bool


class Store(Protocol):
    """What placing needs of the database: each method is one step and one round trip."""

    def quote(self, command: PlaceOrder, claim: Claim) -> Quote:
        """Claims the key on the way. Raises AlreadyAnswered, InFlight, KeyReused."""
        ...

    def place(self, draft: Order, claim: Claim, *, shop: ShopSettings, voucher: Voucher | None, actor: str) -> Placed:
        """Order, lines, holds, redemption, movements and event, in one transaction that replaces the cart's open order.

        Locks key, cart, open order, e-mail and network, vouchers, stock by (sku, location); `shop` has the limits on
        open orders. Raises CartChanged, PriceChanged, OutOfStock, PaymentInProgress, TooManyOpenOrders, CheckoutLocked,
        VoucherNotApplicable, LeaseLost; then nothing has changed.
        """
        ...

    def find_wait(self, order: Order) -> datetime | None:
        """Until when the buyer of an order waits, after too many refused payments; None who does not."""
        ...

    def await_approval(self, order: Order, answering: Answering[Order], *, replaces: str | None) -> None:
        """Write down PayPal's order and the answer; `replaces` is the id of the one that the order had before.

        Raises OrderMoved where the order is no longer what the answer says, LeaseLost.
        """
        ...

    def give_up(self, order_id: UUID, reason: str) -> Order:
        """Cancel an order that PayPal will not take, and free its stock, unless another request has opened it there."""
        ...


class BotCheck(Protocol):
    """Whether the one who places is a person."""

    def admit(self, token: str | None, *, request_id: UUID) -> None:
        """A token is good once; asked again under the same request id, the answer is the same.

        Raises Invalid, naming /turnstile_token, where it is missing or not good; Unavailable where nobody can say.
        """
        ...


def place_order(
    command: PlaceOrder,
    *,
    claim: Claim,
    answering: Callable[[int], Answering[Order]],
    return_url: Callable[[Order], str],
    cancel_url: Callable[[Order], str],
    store: Store,
    cashier: Cashier,
    clock: Clock,
    bots: BotCheck | None = None,
) -> Placed:
    """Freeze a cart into an order that waits for its buyer at PayPal.

    Three round trips and one call, with `bots` two, no lock held across them. A repeat finds the order by its cart
    version and goes on where it stopped: bots were kept out when it was made, and its token is spent. `answering`
    says how the answer is stored, by its status. Raises CartNotFound, CartChanged, Invalid, OutOfStock, OtherCurrency,
    PriceChanged, PaymentInProgress, TooManyOpenOrders, CheckoutLocked, VoucherNotApplicable, OrdersClosed, Declined,
    Unavailable.
    """
    quote = store.quote(command, claim)
    refuse_while_locked(quote.locked_until, at=clock.now())
    if quote.order is None:
        draft = _freeze(command, quote, clock)  # whatever is refused here does not cost the buyer another check
        if bots is not None:
            bots.admit(command.bot_check, request_id=claim.request_id)
        # Validation: limits, guarded holds, order, event, all at once.
        placed = store.place(draft, claim, shop=quote.shop, voucher=quote.voucher, actor=command.actor)
    else:
        placed = Placed(quote.order, is_new=False)
    order = placed.order
    if order.status == "pending_payment" and order.paypal_order_id is None:
        order = _open(order, order.id, return_url(order), cancel_url(order), store, cashier)
    store.await_approval(order, answering(201 if placed.is_new else 200), replaces=placed.order.paypal_order_id)
    return Placed(order, placed.is_new)


def reopen_payment(
    order: Order,
    *,
    answering: Answering[Order],
    return_url: str,
    cancel_url: str,
    store: Store,
    cashier: Cashier,
    clock: Clock,
) -> Order:
    """Where the buyer of an order that still waits for its money approves it.

    PayPal's order is the same one as long as it can be approved. One whose capture was denied is used up: then a new
    one is opened, under a request id that this denial alone gives. Raises PaymentInProgress, PaymentsUsedUp,
    NotPayable, CheckoutLocked, OrderMoved, Declined, Unavailable.
    """
    if order.status != "pending_payment":
        raise NotPayable(status=order.status)
    if order.attempt is not None and order.attempt.is_open:
        raise PaymentInProgress
    if order.takes_no_payment:
        raise PaymentsUsedUp
    refuse_while_locked(store.find_wait(order), at=clock.now())
    before = order.paypal_order_id
    if order.attempt is not None and order.attempt.was_denied:
        order = _open(order, uuid5(order.id, str(order.attempt.id)), return_url, cancel_url, store, cashier)
    elif before is None:
        order = _open(order, order.id, return_url, cancel_url, store, cashier)
    store.await_approval(order, answering, replaces=before)
    return order


def _open(order: Order, request_id: UUID, return_url: str, cancel_url: str, store: Store, cashier: Cashier) -> Order:
    try:
        approval = cashier.open(payment_request(order, request_id, return_url, cancel_url))
    except Declined as refused:
        store.give_up(order.id, "refused_by_paypal")
        pointer = _ADDRESS_ISSUES.get(str(refused.data.get("reason")))
        if pointer is not None:
            raise Invalid([Field(pointer, "PayPal does not take this in an address of that country.")]) from refused
        raise
    return replace(order, paypal_order_id=approval.paypal_order_id, approve_url=approval.approve_url)


def payment_request(order: Order, request_id: UUID, return_url: str, cancel_url: str) -> PaymentRequest:
    """The frozen order as PayPal is asked to collect it."""
    return PaymentRequest(
        request_id=request_id,
        order_id=order.id,
        number=order.number,
        currency=order.currency,
        lines=tuple(PaymentLine(line.name, line.sku, line.quantity, line.unit_price_minor) for line in order.lines),
        subtotal_minor=order.subtotal_minor,
        discount_minor=order.discount_minor,
        shipping_minor=order.shipping_minor,
        tax_minor=0 if order.prices_include_tax else order.tax_minor,
        total_minor=order.total_minor,
        email=order.email,
        address=order.shipping_address,
        return_url=return_url,
        cancel_url=cancel_url,
    )


def _freeze(command: PlaceOrder, quote: Quote, clock: Clock) -> Order:
    """The order that the cart would become now. Raises what is wrong with the cart, all short or changed lines at
    once.
    """
    cart, shop = _checked(command, quote)
    address = _address(cart)
    shipping = shop.find_shipping_option(cart.shipping_option)
    if shipping is None:
        raise Invalid([Field("/shipping_option", "There is no such shipping option.")])
    items = [Item(line.sku, line.quantity, line.unit_price_minor, line.tax_class) for line in cart.lines]
    now = clock.now()
    _check_voucher(quote, cart, items, now)
    priced, totals = price(
        items,
        shop=shop,
        to=Place(address["country"], address.get("region") or ""),
        shipping=shipping,
        voucher=quote.voucher,
    )
    if totals.total_minor <= 0:
        raise Invalid([Field("/cart_id", "An order of nothing cannot be paid.")])
    return Order(
        id=new_id(),
        number=new_order_number(),
        cart_id=cart.id,
        cart_version=cart.version,
        status="pending_payment",
        status_reason=None,
        resume_status=None,
        email=parse_email(command.email),
        customer_id=command.customer_id,
        client_network=command.client_network,
        currency=totals.currency,
        subtotal_minor=totals.subtotal_minor,
        discount_minor=totals.discount_minor,
        shipping_minor=totals.shipping_minor,
        tax_minor=totals.tax_minor,
        total_minor=totals.total_minor,
        shipping_address=address,
        shipping_tax_rate=totals.shipping_tax_rate,
        voucher_code=cart.voucher_code,
        shipping_option={"id": shipping.id, "name": shipping.name, "amount_minor": shipping.amount_minor},
        prices_include_tax=shop.prices_include_tax,
        placed_at=now,
        hold_expires_at=now + shop.hold,
        paid_at=None,
        paypal_order_id=None,
        approve_url=None,
        bound_capture_id=None,
        late=False,
        disputed=False,
        captured_minor=0,
        refunded_minor=0,
        reversed_minor=0,
        pending_minor=0,
        lines=tuple(
            OrderLine(
                sku=line.sku,
                location="main",
                position=position,
                name=line.name,
                options=line.options,
                quantity=line.quantity,
                unit_price_minor=line.unit_price_minor,
                total_minor=money.total_minor,
                tax_minor=money.tax_minor,
                tax_class=line.tax_class,
                discount_minor=money.discount_minor,
                tax_rate=money.tax_rate,
                held=line.quantity,
            )
            for position, (line, money) in enumerate(zip(cart.lines, priced, strict=True))
        ),
    )


def _checked(command: PlaceOrder, quote: Quote) -> tuple[Cart, ShopSettings]:
    cart, shop = quote.cart, quote.shop
    if cart is None:
        raise CartNotFound
    if not shop.orders_open:
        raise OrdersClosed
    if cart.version != command.cart_version:
        raise CartChanged(version=cart.version)
    if not cart.lines:
        raise Invalid([Field("/cart_id", "The cart is empty.")])
    problems = {line.sku: line.problem(shop.currency) for line in cart.lines}
    short = [line for line in cart.lines if problems[line.sku] in ("unavailable", "short")]
    if short:
        raise OutOfStock([ShortLine(line.sku, line.quantity, line.available if line.sellable else 0) for line in short])
    other = [line for line in cart.lines if problems[line.sku] == "other_currency"]
    if other:
        raise OtherCurrency(
            [{"sku": line.sku, "currency": line.currency, "shop_currency": shop.currency} for line in other]
        )
    changed = [line for line in cart.lines if problems[line.sku] == "price_changed"]
    if changed:
        raise PriceChanged(
            [{"sku": line.sku, "was": line.seen_price_minor, "now": line.price_minor} for line in changed]
        )
    return cart, shop


def _check_voucher(quote: Quote, cart: Cart, items: Sequence[Item], now: datetime) -> None:
    """A buyer who has seen a discount pays no more without being asked."""
    if cart.voucher_code is None:
        return
    subtotal = sum(item.unit_price_minor * item.quantity for item in items)
    problem: Problem | None = "unknown"
    if quote.voucher is not None:
        problem = quote.voucher.problem(subtotal_minor=subtotal, currency=quote.shop.currency, at=now)
    if problem is not None:
        raise VoucherNotApplicable(code=cart.voucher_code, problem=problem)


def _address(cart: Cart) -> Mapping[str, Any]:
    if cart.shipping_address is None:
        raise Invalid([Field("/shipping_address", "The cart has no shipping address yet.")])
    return cart.shipping_address
