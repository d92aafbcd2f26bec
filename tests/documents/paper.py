"""Orders and settings as documents are composed of them, with defaults that a test overrides where it matters."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.documents.documents import Content
from shared.documents.owing import Owed
from shared.orders.order import Order, OrderLine
from shared.shop.settings import Invoicing, ShippingOption, ShopSettings, TaxRate

PLACED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
PAID = datetime(2026, 11, 22, 9, 45, tzinfo=UTC)
ADDRESS = {
    "name": "Ada Buyer",
    "line1": "1 Main St",
    "line2": "",
    "city": "Los Angeles",
    "region": "CA",
    "postal_code": "90001",
    "country": "US",
    "phone": "",
}
SELLER = Invoicing("Vitrine Goods Inc.", ("5 Market Sq", "Portland OR 97201"), "US-93-1234567")


def make_shop(**changes: Any) -> ShopSettings:
    return replace(
        ShopSettings(
            name="Vitrine",
            currency="USD",
            locale="en_US",
            orders_open=True,
            hold_minutes=15,
            shipping_options=(ShippingOption("standard", "Standard", 590),),
            shipping_tax_class="standard",
            prices_include_tax=False,
            tax_rates=(TaxRate("US", "CA", None, Decimal("0.0725")), TaxRate("US", "CA", "exempt", Decimal(0))),
            invoicing=SELLER,
        ),
        **changes,
    )


def make_line(sku: str, quantity: int, unit_price_minor: int, tax_minor: int, **changes: Any) -> OrderLine:
    line = OrderLine(
        sku=sku,
        location="main",
        position=0,
        name=sku.title(),
        options={},
        quantity=quantity,
        unit_price_minor=unit_price_minor,
        total_minor=unit_price_minor * quantity,
        tax_minor=tax_minor,
        tax_class="standard",
        allocated=quantity,
    )
    return replace(line, **changes)


def make_order(
    lines: Sequence[OrderLine],
    *,
    shipping_minor: int = 590,
    shipping_tax_minor: int = 0,
    shipping_discount_minor: int = 0,
    prices_include_tax: bool = False,
    currency: str = "USD",
    address: Mapping[str, str] = ADDRESS,
    **changes: Any,
) -> Order:
    subtotal = sum(line.total_minor for line in lines)
    discount = sum(line.discount_minor for line in lines) + shipping_discount_minor
    tax = sum(line.tax_minor for line in lines) + shipping_tax_minor
    total = subtotal - discount + shipping_minor + (0 if prices_include_tax else tax)
    order = Order(
        id=UUID(int=1),
        number="0123456789",
        cart_id="0" * 32,
        cart_version=1,
        status="paid",
        status_reason=None,
        resume_status=None,
        email="ada@example.com",
        customer_id=None,
        client_network="127.0.0.0/24",
        currency=currency,
        subtotal_minor=subtotal,
        discount_minor=discount,
        shipping_minor=shipping_minor,
        tax_minor=tax,
        total_minor=total,
        shipping_address=address,
        shipping_option={"id": "standard", "name": "Standard", "amount_minor": shipping_minor},
        prices_include_tax=prices_include_tax,
        placed_at=PLACED,
        hold_expires_at=PLACED,
        paid_at=PAID,
        paypal_order_id="PPORDER1",
        approve_url=None,
        bound_capture_id="C1",
        late=False,
        disputed=False,
        captured_minor=total,
        refunded_minor=0,
        reversed_minor=0,
        pending_minor=0,
        lines=tuple(lines),
    )
    return replace(order, **changes)


def owes(amount_minor: int, currency: str = "USD", refund_id: str = "R1") -> Owed:
    return Owed("credit_note", amount_minor, currency, refund_id)


def parts(content: Content) -> list[tuple[str, int, int, int]]:
    """(SKU, or "" for shipping; net, tax, gross) of each line."""
    return [(line.sku or "", line.net_minor, line.tax_minor, line.gross_minor) for line in content.lines]
