"""What buyers send and see: addresses, carts, checkouts and orders (DESIGN.md section 5)."""

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType

from shared.cart.carts import Cart, CartLine
from shared.edge.money_view import MoneyView, money
from shared.edge.parsing import Body, View
from shared.edge.texts import COUNTRY, LINE, SEEN_LINE
from shared.edge.voucher_views import CartVoucherView, cart_voucher_view
from shared.kernel.clock import iso
from shared.orders.order import Order, OrderLine
from shared.pricing.totals import Item, Place, Totals, price
from shared.pricing.vouchers import Voucher
from shared.shipping.shipments import Shipment
from shared.shop.settings import ShippingOption, ShopSettings

# Lengths are those that PayPal Orders v2 takes in a shipping address. Each is a line of a label, of a mail and of
# PayPal's page: a line break or an escape in it would be somebody else's line there.
Name = Annotated[str, Meta(min_length=1, max_length=300, pattern=SEEN_LINE)]
Line1 = Annotated[str, Meta(min_length=1, max_length=300, pattern=SEEN_LINE)]
Line2 = Annotated[str, Meta(max_length=300, pattern=LINE)]
City = Annotated[str, Meta(min_length=1, max_length=120, pattern=SEEN_LINE)]
Region = Annotated[str, Meta(max_length=300, pattern=LINE)]
PostalCode = Annotated[str, Meta(max_length=60, pattern=LINE)]
Country = Annotated[str, Meta(pattern=COUNTRY)]
Phone = Annotated[str, Meta(max_length=30, pattern=LINE)]
Email = Annotated[str, Meta(min_length=3, max_length=254)]
CartId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
Version = Annotated[int, Meta(ge=1, le=2_147_483_647)]
Quantity = Annotated[int, Meta(ge=1, le=999)]


class AddressBody(Body, frozen=True, kw_only=True):
    """A postal address; `country` is ISO 3166-1 alpha-2."""

    name: Name
    line1: Line1
    line2: Line2 = ""
    city: City
    region: Region = ""
    postal_code: PostalCode = ""
    country: Country
    phone: Phone = ""

    def as_json(self) -> dict[str, str]:
        return {field: getattr(self, field) for field in self.__struct_fields__}


class CartBody(Body, frozen=True, kw_only=True):
    """What a new cart may already know of its buyer."""

    email: Email | None = None
    shipping_address: AddressBody | None = None


class BuyerBody(Body, frozen=True, kw_only=True):
    """What changes of the buyer; what is left out stays."""

    email: Email | UnsetType = UNSET
    shipping_address: AddressBody | UnsetType = UNSET


class LineBody(Body, frozen=True, kw_only=True):
    quantity: Quantity


class ShippingOptionBody(Body, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1, max_length=64)]


class PlaceOrderBody(Body, frozen=True, kw_only=True):
    """`turnstile_token` is Cloudflare's answer to the bot check."""

    cart_id: CartId
    cart_version: Version
    email: Email
    turnstile_token: Annotated[str, Meta(max_length=2048)] | None = None


class AddressView(View, frozen=True, kw_only=True):
    name: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country: str
    phone: str


class ShippingOptionView(View, frozen=True, kw_only=True):
    id: str
    name: str
    price: MoneyView


class ShippingOptionsView(View, frozen=True, kw_only=True):
    items: list[ShippingOptionView]


class TotalsView(View, frozen=True, kw_only=True):
    subtotal: MoneyView
    discount: MoneyView
    shipping: MoneyView
    tax: MoneyView
    total: MoneyView


class CartLineView(View, frozen=True, kw_only=True):
    """`problem` says why the line cannot be ordered as it stands; `available` are units.

    Where the catalogue has another currency, price and total are what it says, in its currency, and count in no sum.
    """

    sku: str
    name: str
    options: dict[str, Any]
    product_slug: str | None
    quantity: int
    unit_price: MoneyView
    total: MoneyView
    problem: Literal["unavailable", "other_currency", "short", "price_changed"] | None
    available: int


class CartView(View, frozen=True, kw_only=True):
    id: str
    version: int
    currency: str
    email: str | None
    shipping_address: AddressView | None
    shipping_option: ShippingOptionView | None
    voucher: CartVoucherView | None
    lines: list[CartLineView]
    totals: TotalsView


class PaymentView(View, frozen=True, kw_only=True):
    """`status`: waiting for the buyer, being captured, pending at PayPal, refused, captured, or none any more.

    An order that says payments_used_up as its status_reason takes no further one: it has no approve_url.
    """

    status: Literal["awaiting_approval", "capturing", "pending", "refused", "captured", "none"]
    paypal_order_id: str | None


class OrderLineView(View, frozen=True, kw_only=True):
    """`discount` is its share of the order's, `tax` that of what is left."""

    sku: str
    name: str
    options: dict[str, Any]
    quantity: int
    unit_price: MoneyView
    total: MoneyView
    discount: MoneyView
    tax: MoneyView


class RefundView(View, frozen=True, kw_only=True):
    id: str
    status: str
    amount: MoneyView
    reason: str


class ShipmentLineView(View, frozen=True, kw_only=True):
    sku: str
    quantity: int


class ShipmentView(View, frozen=True, kw_only=True):
    """Units that travel together. `status` is in_transit, delivered, exception or returned; staff also see draft and
    cancelled.
    """

    id: str
    status: str
    carrier: str | None
    tracking_number: str | None
    lines: list[ShipmentLineView]
    shipped_at: str | None
    delivered_at: str | None


class OrderView(View, frozen=True, kw_only=True):
    """An order; until its money is there also where its buyer approves it, and until when its stock is held."""

    id: str
    number: str
    status: str
    status_reason: str | None
    payment: PaymentView
    email: str
    shipping_address: AddressView
    shipping_option: ShippingOptionView
    voucher: str | None
    lines: list[OrderLineView]
    totals: TotalsView
    shipments: list[ShipmentView]
    refunds: list[RefundView]
    placed_at: str
    paid_at: str | None
    approve_url: str | UnsetType = UNSET
    hold_expires_at: str | UnsetType = UNSET
    access_token: str | UnsetType = UNSET


def cart_view(cart: Cart, shop: ShopSettings, voucher: Voucher | None, at: datetime) -> CartView:
    """A cart with what it costs now; tax is 0 until the address is known. A voucher with a problem is worth nothing."""
    address = cart.shipping_address
    option = shop.find_shipping_option(cart.shipping_option) if cart.lines else None
    orderable = [line for line in cart.lines if line.problem(shop.currency) not in ("unavailable", "other_currency")]
    subtotal = sum(line.unit_price_minor * line.quantity for line in orderable)
    problem = voucher.problem(subtotal_minor=subtotal, currency=shop.currency, at=at) if voucher else None
    _priced, totals = price(
        [Item(line.sku, line.quantity, line.unit_price_minor, line.tax_class) for line in orderable],
        shop=shop,
        to=Place(address["country"], address["region"]) if address else None,
        shipping=option,
        voucher=voucher if problem is None else None,
    )
    return CartView(
        id=cart.id,
        version=cart.version,
        currency=shop.currency,
        email=cart.email,
        shipping_address=AddressView(**address) if address else None,
        shipping_option=shipping_option_view(option, shop.currency) if option else None,
        voucher=cart_voucher_view(cart.voucher_code, voucher, problem) if cart.voucher_code else None,
        lines=[_cart_line_view(line, shop.currency) for line in cart.lines],
        totals=totals_view(totals),
    )


def _cart_line_view(line: CartLine, currency: str) -> CartLineView:
    problem, price_minor = line.problem(currency), line.unit_price_minor
    # Also of what is not sold now: today's price is in today's currency.
    if line.price_minor is not None and line.currency not in (None, currency):
        currency, price_minor = line.currency, line.price_minor
    return CartLineView(
        sku=line.sku,
        name=line.name,
        options=dict(line.options),
        product_slug=line.slug,
        quantity=line.quantity,
        unit_price=money(price_minor, currency),
        total=money(price_minor * line.quantity, currency),
        problem=problem,
        available=line.available if line.sellable else 0,
    )


def shipping_option_view(option: ShippingOption, currency: str) -> ShippingOptionView:
    return ShippingOptionView(id=option.id, name=option.name, price=money(option.amount_minor, currency))


def totals_view(totals: Totals) -> TotalsView:
    def of(minor: int) -> MoneyView:
        return money(minor, totals.currency)

    return TotalsView(
        subtotal=of(totals.subtotal_minor),
        discount=of(totals.discount_minor),
        shipping=of(totals.shipping_minor),
        tax=of(totals.tax_minor),
        total=of(totals.total_minor),
    )


def order_view(order: Order) -> OrderView:
    """An order for its buyer; the access token, a secret, is put in when the answer leaves."""
    waits = order.status == "pending_payment"
    option = ShippingOption(**order.shipping_option)
    return OrderView(
        id=str(order.id),
        number=order.number,
        status=order.status,
        status_reason=order.status_reason,
        payment=PaymentView(status=_payment_status(order), paypal_order_id=order.paypal_order_id),
        email=order.email,
        shipping_address=AddressView(**order.shipping_address),
        shipping_option=shipping_option_view(option, order.currency),
        voucher=order.voucher_code,
        lines=[_order_line_view(line, order.currency) for line in order.lines],
        totals=totals_view(
            Totals(
                order.currency,
                order.subtotal_minor,
                order.discount_minor,
                order.shipping_minor,
                order.tax_minor,
                order.total_minor,
            )
        ),
        shipments=[shipment_view(shipment) for shipment in order.shipments if shipment.is_handed_over],
        refunds=[
            RefundView(
                id=str(refund.id),
                status=refund.state,
                amount=money(refund.amount_minor, refund.currency),
                reason=refund.reason,
            )
            for refund in order.refunds
        ],
        placed_at=iso(order.placed_at),
        paid_at=_iso_or_none(order.paid_at),
        approve_url=order.approve_url if waits and order.approve_url and not order.takes_no_payment else UNSET,
        hold_expires_at=iso(order.hold_expires_at) if waits else UNSET,
    )


def _payment_status(
    order: Order,
) -> Literal["awaiting_approval", "capturing", "pending", "refused", "captured", "none"]:
    if order.bound_capture_id is not None:
        return "captured"
    if order.status_reason == "capture_pending":
        return "pending"
    if order.status != "pending_payment":
        return "none"
    if order.attempt is not None and order.attempt.is_open:
        return "capturing"
    if order.takes_no_payment or (order.attempt is not None and order.attempt.was_refused_to_buyer):
        return "refused"
    return "awaiting_approval"


def _order_line_view(line: OrderLine, currency: str) -> OrderLineView:
    return OrderLineView(
        sku=line.sku,
        name=line.name,
        options=dict(line.options),
        quantity=line.quantity,
        unit_price=money(line.unit_price_minor, currency),
        total=money(line.total_minor, currency),
        discount=money(line.discount_minor, currency),
        tax=money(line.tax_minor, currency),
    )


def shipment_view(shipment: Shipment) -> ShipmentView:
    return ShipmentView(
        id=str(shipment.id),
        status=shipment.state,
        carrier=shipment.carrier,
        tracking_number=shipment.tracking_number,
        lines=shipment_line_views(shipment),
        shipped_at=_iso_or_none(shipment.shipped_at),
        delivered_at=_iso_or_none(shipment.delivered_at),
    )


def shipment_line_views(shipment: Shipment) -> list[ShipmentLineView]:
    return [ShipmentLineView(sku=line.sku, quantity=line.quantity) for line in shipment.lines]


def _iso_or_none(moment: datetime | None) -> str | None:
    return iso(moment) if moment is not None else None
