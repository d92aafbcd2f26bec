"""Orders that no database has seen."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from shared.orders.order import Order, OrderLine
from shared.pricing.totals import Item, PricedItem, Totals

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
_ADDRESS = {
    "name": "Ada Buyer", "line1": "1 Main St", "line2": "", "city": "Berlin", "region": "", "postal_code": "10115",
    "country": "DE", "phone": "",
}  # fmt: skip


def make_order(
    items: Sequence[Item], priced: Sequence[PricedItem], totals: Totals, *, prices_include_tax: bool
) -> Order:
    """What placing freezes of these prices."""
    return Order(
        id=UUID(int=1),
        number="0123456789",
        cart_id="0" * 32,
        cart_version=1,
        status="pending_payment",
        status_reason=None,
        resume_status=None,
        email="ada@example.com",
        customer_id=None,
        client_network="192.0.2.0/24",
        currency=totals.currency,
        subtotal_minor=totals.subtotal_minor,
        discount_minor=totals.discount_minor,
        shipping_minor=totals.shipping_minor,
        tax_minor=totals.tax_minor,
        total_minor=totals.total_minor,
        shipping_address=_ADDRESS,
        shipping_option={"id": "post", "name": "Post", "amount_minor": totals.shipping_minor},
        prices_include_tax=prices_include_tax,
        placed_at=_NOON,
        hold_expires_at=_NOON,
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
                sku=item.sku,
                location="main",
                position=position,
                name=item.sku,
                options={},
                quantity=item.quantity,
                unit_price_minor=item.unit_price_minor,
                total_minor=money.total_minor,
                tax_minor=money.tax_minor,
                tax_class=item.tax_class,
                discount_minor=money.discount_minor,
                tax_rate=money.tax_rate,
            )
            for position, (item, money) in enumerate(zip(items, priced, strict=True))
        ),
    )
