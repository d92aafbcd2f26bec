"""What a cart costs: lines, discount, shipping, tax, total. Integer minor units; parts always sum to the whole.

Tax is computed per line and rounded half-up there (DESIGN.md rule 9). Where prices include tax, the tax is the share
of the line that it is, and adds nothing to the total.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from shared.kernel.money import Money
from shared.pricing.vouchers import Voucher
from shared.shop.settings import ShippingOption, ShopSettings


@dataclass(frozen=True, slots=True)
class Item:
    """So many units of a SKU at a unit price of the shop."""

    sku: str
    quantity: int
    unit_price_minor: int
    tax_class: str


@dataclass(frozen=True, slots=True)
class PricedItem:
    """`tax_rate` is a decimal, "0.0725" for 7.25 %; None where no place is known yet."""

    sku: str
    total_minor: int
    discount_minor: int
    tax_minor: int
    tax_rate: str | None


@dataclass(frozen=True, slots=True)
class Totals:
    """subtotal - discount + shipping (+ tax where prices exclude it) = total."""

    currency: str
    subtotal_minor: int
    discount_minor: int
    shipping_minor: int
    tax_minor: int
    total_minor: int
    shipping_tax_rate: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where goods go, as far as tax cares: country (ISO 3166-1 alpha-2) and region."""

    country: str
    region: str


def price(
    items: Sequence[Item],
    *,
    shop: ShopSettings,
    to: Place | None,
    shipping: ShippingOption | None,
    voucher: Voucher | None = None,
) -> tuple[tuple[PricedItem, ...], Totals]:
    """Price every item and the whole. Without a place no tax is known yet, without an option no shipping.

    `voucher` is one that applies. Its discount is spread over the lines by what they cost, largest remainder first, and
    a line's tax is that of what is left of it.
    """
    costs = [item.unit_price_minor * item.quantity for item in items]
    subtotal = sum(costs)
    discount = voucher.discount_minor(subtotal) if voucher is not None else 0
    shares = [share.minor for share in Money(discount, shop.currency).spread(costs)]
    priced = tuple(_priced(item, share, shop, to) for item, share in zip(items, shares, strict=True))
    is_free = voucher is not None and voucher.frees_shipping
    shipping_minor = 0 if shipping is None or is_free else shipping.amount_minor
    shipping_rate = _rate(shop.shipping_tax_class, shop, to)
    tax = sum(item.tax_minor for item in priced) + _tax(shipping_minor, shipping_rate, shop)
    total = subtotal - discount + shipping_minor + (0 if shop.prices_include_tax else tax)
    return priced, Totals(shop.currency, subtotal, discount, shipping_minor, tax, total, _as_text(shipping_rate))


def _priced(item: Item, discount_minor: int, shop: ShopSettings, to: Place | None) -> PricedItem:
    total, rate = item.unit_price_minor * item.quantity, _rate(item.tax_class, shop, to)
    return PricedItem(item.sku, total, discount_minor, _tax(total - discount_minor, rate, shop), _as_text(rate))


def _rate(tax_class: str, shop: ShopSettings, to: Place | None) -> Decimal | None:
    return None if to is None else shop.tax_rate(to.country, to.region, tax_class)


def _as_text(rate: Decimal | None) -> str | None:
    return None if rate is None else f"{rate:f}"


def _tax(amount_minor: int, rate: Decimal | None, shop: ShopSettings) -> int:
    """Rounded ROUND_HALF_UP to what can be charged in the shop's currency."""
    if rate is None:
        return 0
    exact = Decimal(amount_minor) * rate / (1 + rate if shop.prices_include_tax else 1)
    step = shop.charge_step_minor
    return int((exact / step).quantize(Decimal(1), ROUND_HALF_UP)) * step
