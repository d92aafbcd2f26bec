"""Money as every answer writes it."""

from shared.edge.parsing import View
from shared.kernel.money import Money


class MoneyView(View, frozen=True, kw_only=True):
    """`amount_minor` in minor units of `currency` (ISO 4217); `display` for people, 1234.50 USD."""

    amount_minor: int
    currency: str
    display: str


def money(minor: int, currency: str) -> MoneyView:
    return MoneyView(amount_minor=minor, currency=currency, display=Money(minor, currency).display())
