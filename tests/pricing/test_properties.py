"""Any cart, any voucher, any place: parts make wholes, nothing is negative, and PayPal's own sums agree."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.paypal.order_rules import check_order
from shared.gateways.paypal import order_request
from shared.kernel.errors import Invalid
from shared.kernel.money import Money, charge_step_minor
from shared.orders.placing import payment_request
from shared.pricing.totals import Item, Place, PricedItem, Totals, price
from shared.pricing.vouchers import Kind, Voucher, check_terms
from shared.shop.settings import ShippingOption, ShopSettings, TaxRate
from tests.local.vendor_processes import ORDERS_V2, Contract
from tests.numbers import PROPERTY_EXAMPLES
from tests.pricing.orders import make_order
from tests.pricing.shops import make_shop

CURRENCIES = ["USD", "EUR", "JPY", "HUF", "TWD"]
TAX_CLASSES = ["standard", "reduced", "exempt"]
PLACES = [Place("US", "CA"), Place("DE", ""), Place("JP", ""), Place("AQ", "")]
orders_v2 = Contract(ORDERS_V2)


@st.composite
def vouchers(draw: st.DrawFn, currency: str) -> Voucher | None:
    kind: Kind | None = draw(st.sampled_from([None, "percent", "amount", "free_shipping"]))
    if kind is None:
        return None
    made = Voucher(
        UUID(int=1),
        "ANY",
        kind,
        currency,
        percent=draw(st.decimals("0.01", 100, places=2)) if kind == "percent" else None,
        amount_minor=draw(st.integers(1, 100_000)) * charge_step_minor(currency) if kind == "amount" else None,
    )
    check_terms(made)
    return made


@st.composite
def carts(draw: st.DrawFn) -> tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None]:
    currency = draw(st.sampled_from(CURRENCIES))
    step = charge_step_minor(currency)
    rate = st.decimals(0, 1, places=4)
    shop = make_shop(
        currency,
        prices_include_tax=draw(st.booleans()),
        tax_rates=[
            TaxRate("US", "CA", None, draw(rate)),
            TaxRate("DE", None, None, draw(rate)),
            TaxRate("DE", None, "reduced", draw(rate)),
            TaxRate("JP", None, "exempt", Decimal(0)),
        ],
    )
    lines = draw(
        st.lists(
            st.tuples(st.integers(1, 99), st.integers(0, 90_000), st.sampled_from(TAX_CLASSES)), min_size=1, max_size=8
        )
    )
    items = [Item(f"SKU-{n}", quantity, minor * step, of) for n, (quantity, minor, of) in enumerate(lines)]
    shipping = ShippingOption("post", "Post", draw(st.integers(0, 5000)) * step)
    return items, shop, draw(st.sampled_from(PLACES)), shipping, draw(vouchers(currency))


def priced_of(
    cart: tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None],
) -> tuple[tuple[PricedItem, ...], Totals]:
    items, shop, place, shipping, voucher = cart
    return price(items, shop=shop, to=place, shipping=shipping, voucher=voucher)


@settings(max_examples=PROPERTY_EXAMPLES * 4)
@given(cart=carts())
def test_parts_make_wholes_and_no_line_gives_more_than_it_costs(
    cart: tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None],
) -> None:
    items, shop, _place, shipping, voucher = cart

    priced, totals = priced_of(cart)

    tax = 0 if shop.prices_include_tax else totals.tax_minor
    assert totals.total_minor == totals.subtotal_minor - totals.discount_minor + totals.shipping_minor + tax
    assert totals.subtotal_minor == sum(item.unit_price_minor * item.quantity for item in items)
    assert totals.discount_minor == sum(item.discount_minor for item in priced)
    assert all(0 <= item.discount_minor <= item.total_minor for item in priced)
    assert all(item.tax_minor >= 0 for item in priced)
    assert totals.shipping_minor == (0 if voucher is not None and voucher.frees_shipping else shipping.amount_minor)
    step = charge_step_minor(totals.currency)
    amounts = [totals.discount_minor, totals.tax_minor, totals.total_minor, *(i.discount_minor for i in priced)]
    assert all(amount % step == 0 for amount in amounts)


@settings(max_examples=PROPERTY_EXAMPLES * 4)
@given(cart=carts())
def test_a_lines_share_is_its_part_of_the_discount_but_for_one_smallest_amount(
    cart: tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None],
) -> None:
    priced, totals = priced_of(cart)
    step = charge_step_minor(totals.currency)

    for item in priced:
        exact = Decimal(totals.discount_minor) * item.total_minor / max(totals.subtotal_minor, 1)
        assert abs(item.discount_minor - exact) < step


@settings(max_examples=PROPERTY_EXAMPLES * 4)
@given(cart=carts())
def test_a_lines_tax_is_the_rate_of_what_is_left_of_it_rounded_half_up(
    cart: tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None],
) -> None:
    _items, shop, _place, _shipping, _voucher = cart
    priced, totals = priced_of(cart)
    step = charge_step_minor(totals.currency)

    for item in priced:
        assert item.tax_rate is not None
        left, rate = Decimal(item.total_minor - item.discount_minor), Decimal(item.tax_rate)
        exact = left - left / (1 + rate) if shop.prices_include_tax else left * rate
        assert abs(item.tax_minor - exact) <= Decimal(step) / 2
        assert item.tax_minor == int((exact / step).quantize(Decimal(1), ROUND_HALF_UP)) * step or (
            shop.prices_include_tax and abs(abs(item.tax_minor - exact) - Decimal(step) / 2) < Decimal("1e-9")
        )


@settings(max_examples=PROPERTY_EXAMPLES * 4, deadline=None)
@given(cart=carts())
def test_paypal_takes_every_order_that_can_be_paid(
    cart: tuple[list[Item], ShopSettings, Place, ShippingOption, Voucher | None],
) -> None:
    """PayPal's rules of sums, decimals and currencies (422), and its published schema."""
    items, shop, _place, _shipping, _voucher = cart
    priced, totals = priced_of(cart)
    if totals.total_minor == 0:
        return  # placing refuses it in words
    order = make_order(items, priced, totals, prices_include_tax=shop.prices_include_tax)
    asked = order_request(payment_request(order, order.id, "https://s.example/r", "https://s.example/c"), "VIT-")

    check_order(asked)
    orders_v2.check_schema(asked, "order_request")
    assert sum(order.paid_minor(line) for line in order.lines) + order.shipping_paid_minor == order.total_minor


@settings(max_examples=PROPERTY_EXAMPLES * 2)
@given(
    minor=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=30), step=st.booleans()
)
def test_a_spread_sums_to_its_whole_and_no_part_is_more_than_its_weight(
    minor: int, weights: list[int], step: bool
) -> None:
    unit = 100 if step else 1
    whole = min(minor, sum(weights)) * unit

    parts = [
        part.minor for part in Money(whole, "HUF" if step else "USD").spread([weight * unit for weight in weights])
    ]

    assert sum(parts) == whole
    assert all(0 <= part <= weight * unit for part, weight in zip(parts, weights, strict=True))
    assert all(part % unit == 0 for part in parts)


# Terms ---------------------------------------------------------------------------------------------

_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def make_voucher(**terms: object) -> Voucher:
    usual = {"id": UUID(int=1), "code": "SALE", "kind": "percent", "currency": "USD", "percent": Decimal(10)}
    return Voucher(**{**usual, **terms})  # type: ignore[arg-type]  # names are those of Voucher


@pytest.mark.parametrize(
    ("terms", "problem"),
    [
        ({}, None),
        ({"active": False}, "unknown"),
        ({"currency": "EUR"}, "currency"),
        ({"starts_at": _NOON + timedelta(seconds=1)}, "not_yet"),
        ({"starts_at": _NOON}, None),
        ({"ends_at": _NOON}, "ended"),
        ({"ends_at": _NOON + timedelta(seconds=1)}, None),
        ({"minimum_minor": 1001}, "minimum"),
        ({"minimum_minor": 1000}, None),
        ({"total_limit": 3, "redeemed": 3}, "used_up"),
        ({"total_limit": 3, "redeemed": 2}, None),
        ({"per_customer_limit": 1, "used_by_customer": 1}, "used_by_customer"),
        ({"per_customer_limit": 2, "used_by_customer": 1}, None),
    ],
)
def test_why_a_voucher_takes_nothing_off(terms: dict[str, object], problem: str | None) -> None:
    voucher = make_voucher(**terms)

    assert voucher.problem(subtotal_minor=1000, currency="USD", at=_NOON) == problem


@pytest.mark.parametrize(
    ("terms", "pointers"),
    [
        ({"percent": None}, ["/percent"]),
        ({"percent": Decimal(0)}, ["/percent"]),
        ({"percent": Decimal("100.01")}, ["/percent"]),
        ({"amount_minor": 5}, ["/amount_minor"]),
        ({"kind": "amount"}, ["/percent", "/amount_minor"]),
        ({"kind": "free_shipping", "percent": None}, []),
        ({"kind": "amount", "percent": None, "amount_minor": 150, "currency": "HUF"}, ["/amount_minor"]),
        ({"starts_at": _NOON, "ends_at": _NOON}, ["/ends_at"]),
    ],
)
def test_terms_that_contradict_each_other_are_refused(terms: dict[str, object], pointers: list[str]) -> None:
    voucher = make_voucher(**terms)
    found: list[str] = []

    try:
        check_terms(voucher)
    except Invalid as refused:
        found = [field.pointer for field in refused.fields]

    assert found == pointers
