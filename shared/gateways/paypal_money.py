"""Amounts as PayPal takes them: decimal strings by its own table of currencies. Amounts are no strings anywhere else.

Source: developer.paypal.com/api/rest/reference/currency-codes/. PayPal takes two decimals at most, and none of HUF and
TWD, whose minor unit of ISO 4217 is a hundredth: an amount of those must be whole. There is no KWD.
"""

import re
from collections.abc import Mapping
from decimal import Decimal

from shared.kernel.errors import Declined
from shared.kernel.money import Money, minor_units

_DECIMALS = {
    "AUD": 2, "BRL": 2, "CAD": 2, "CHF": 2, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2, "GBP": 2, "HKD": 2, "HUF": 0,
    "ILS": 2, "JPY": 0, "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "PHP": 2, "PLN": 2, "SEK": 2, "SGD": 2, "THB": 2,
    "TWD": 0, "USD": 2,
}  # fmt: skip

# Orders v2, money.value: up to 15 digits before the point.
_LARGEST = Decimal(10) ** 15
_VALUE = re.compile(r"-?(?:[0-9]{1,20}(?:\.[0-9]{0,10})?|\.[0-9]{1,10})")


class NotPayableByPayPal(Declined):
    """PayPal cannot be told the amount exactly: a currency that it does not take, or more decimals than it allows."""

    sentence = "This amount cannot be paid with PayPal."


def supports(currency: str) -> bool:
    """Whether PayPal takes payments in the currency (ISO 4217); settings refuse a shop currency where it does not."""
    return currency in _DECIMALS


def to_paypal(money: Money) -> dict[str, str]:
    """{"currency_code", "value"}, exactly that amount. Raises NotPayableByPayPal."""
    decimals = _DECIMALS.get(money.currency)
    if decimals is None:
        raise NotPayableByPayPal(currency=money.currency)
    amount = money.major()
    shown = f"{amount:.{decimals}f}"
    if Decimal(shown) != amount or abs(amount) >= _LARGEST:
        raise NotPayableByPayPal(currency=money.currency, amount_minor=money.minor)
    return {"currency_code": money.currency, "value": shown}


def from_paypal(amount: object) -> Money | None:
    """The amount in minor units, None where there is none that can be said in them."""
    if not isinstance(amount, Mapping):
        return None
    currency, value = amount.get("currency_code"), amount.get("value")
    if not isinstance(currency, str) or not re.fullmatch("[A-Z]{3}", currency):
        return None
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        return None
    scaled = Decimal(value).scaleb(minor_units(currency))
    # A bigint holds it, and more than that is no amount of this shop.
    if scaled != scaled.to_integral_value() or abs(scaled) >= 2**63:
        return None
    return Money(int(scaled), currency)
