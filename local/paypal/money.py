"""Amounts as PayPal takes them: decimal strings, at most two decimals, none for JPY, HUF and TWD."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

# developer.paypal.com/api/rest/reference/currency-codes/. There is no KWD, BHD or TND.
CURRENCIES = frozenset(
    {
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CNY",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "ILS",
        "JPY",
        "MXN",
        "MYR",
        "NOK",
        "NZD",
    }
    | {"PHP", "PLN", "SEK", "SGD", "THB", "TWD", "USD"}
)
WHOLE = frozenset({"HUF", "JPY", "TWD"})
LARGEST = Decimal("999999999999999.99")

Money = dict[str, Any]


def decimals(currency: str) -> int:
    return 0 if currency in WHOLE else 2


def amount_of(money: Money) -> Decimal:
    return Decimal(str(money["value"]))


def money(currency: str, amount: Decimal) -> Money:
    """As PayPal writes it, 10 as 10.00."""
    return {"currency_code": currency, "value": f"{amount:.{decimals(currency)}f}"}


def has_too_many_decimals(currency: str, amount: Decimal) -> bool:
    exponent = amount.normalize().as_tuple().exponent
    return isinstance(exponent, int) and -exponent > decimals(currency)


def fee_of(gross: Money) -> Decimal:
    """3.49 % and 0.49, half-up, never more than the payment: a plausible fee, not PayPal's tariff."""
    amount = amount_of(gross)
    unit = Decimal(1).scaleb(-decimals(gross["currency_code"]))
    fixed = Decimal("0.49") if unit < 1 else Decimal(49)
    return min(amount, (amount * Decimal("0.0349") + fixed).quantize(unit, ROUND_HALF_UP))
