"""Amounts at PayPal's border: exact, or refused."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.gateways.paypal_money import NotPayableByPayPal, from_paypal, supports, to_paypal
from shared.kernel.money import Money
from tests.numbers import PROPERTY_EXAMPLES

CURRENCIES = [
    "AUD", "BRL", "CAD", "CHF", "CNY", "CZK", "DKK", "EUR", "GBP", "HKD", "HUF", "ILS", "JPY", "MXN", "MYR", "NOK",
    "NZD", "PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD",
]  # fmt: skip


@pytest.mark.parametrize(
    ("minor", "currency", "value"),
    [
        (123456, "USD", "1234.56"),
        (5, "EUR", "0.05"),
        (0, "EUR", "0.00"),
        (1500, "JPY", "1500"),
        (125000, "HUF", "1250"),
        (99900, "TWD", "999"),
        (99999999999999999, "USD", "999999999999999.99"),
    ],
)
def test_an_amount_is_written_with_paypals_decimals(minor: int, currency: str, value: str) -> None:
    assert to_paypal(Money(minor, currency)) == {"currency_code": currency, "value": value}


@pytest.mark.parametrize(
    ("minor", "currency"), [(125050, "HUF"), (1, "TWD"), (1000, "KWD"), (100, "XXX"), (10**17, "USD")]
)
def test_what_paypal_cannot_be_told_exactly_is_refused(minor: int, currency: str) -> None:
    with pytest.raises(NotPayableByPayPal):
        to_paypal(Money(minor, currency))


def test_paypal_takes_its_own_currencies_and_no_other() -> None:
    assert [currency for currency in CURRENCIES if supports(currency)] == CURRENCIES
    assert not any(supports(currency) for currency in ("KWD", "BHD", "TND", "KRW", "usd", ""))


@given(currency=st.sampled_from(CURRENCIES), whole=st.integers(0, 10**12), cents=st.integers(0, 99))
@settings(max_examples=PROPERTY_EXAMPLES)
def test_reading_what_was_written_gives_the_same_amount(currency: str, whole: int, cents: int) -> None:
    minor = whole if currency == "JPY" else whole * 100 + (0 if currency in ("HUF", "TWD") else cents)
    written = to_paypal(Money(minor, currency))

    assert from_paypal(written) == Money(minor, currency)
    assert Decimal(written["value"]) == Money(minor, currency).major()


@pytest.mark.parametrize(
    ("amount", "money"),
    [
        ({"currency_code": "USD", "value": "30.00"}, Money(3000, "USD")),
        ({"currency_code": "USD", "value": "30"}, Money(3000, "USD")),
        ({"currency_code": "USD", "value": "-0.50"}, Money(-50, "USD")),
        ({"currency_code": "HUF", "value": "1250.00"}, Money(125000, "HUF")),
        ({"currency_code": "USD", "value": "0.001"}, None),
        ({"currency_code": "USD", "value": "1e3"}, None),
        ({"currency_code": "USD", "value": "NaN"}, None),
        ({"currency_code": "USD", "value": "99999999999999999999"}, None),
        ({"currency_code": "USD", "value": 30}, None),
        ({"currency_code": "usd", "value": "1.00"}, None),
        ({"value": "1.00"}, None),
        (None, None),
        ("1.00", None),
    ],
)
def test_an_amount_is_read_exactly_or_not_at_all(amount: object, money: Money | None) -> None:
    assert from_paypal(amount) == money
