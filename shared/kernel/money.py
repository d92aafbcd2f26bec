"""Money: integer minor units and an ISO 4217 currency. No float, no rounding that is not named where it happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

# ISO 4217 minor units that are not two. Currencies that are not listed have two.
_MINOR_UNITS = {
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
    "UGX": 0, "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip


def minor_units(currency: str) -> int:
    """How many decimals the currency has (ISO 4217): 2 for USD, 0 for JPY, 3 for KWD."""
    return _MINOR_UNITS.get(currency, 2)


def charge_step_minor(currency: str) -> int:
    """What every amount that is charged must be a multiple of, in minor units.

    PayPal takes no decimals of HUF and TWD, and ISO 4217 gives them two
    (developer.paypal.com/api/rest/reference/currency-codes/).
    """
    return 100 if currency in ("HUF", "TWD") else 1


class CurrencyMismatch(Exception):
    """Two currencies met in one sum: a mistake of ours, never of a caller."""


@dataclass(frozen=True, slots=True, order=False)
class Money:
    """An amount in minor units (`minor`, cents for USD) of `currency` (ISO 4217, upper case)."""

    minor: int
    currency: str

    @classmethod
    def zero(cls, currency: str) -> Self:
        return cls(0, currency)

    @classmethod
    def from_major(cls, amount: Decimal, currency: str) -> Self:
        """Exactly that amount. Raises ValueError where the currency has fewer decimals."""
        scaled = amount.scaleb(minor_units(currency))
        if not scaled.is_finite() or scaled != scaled.to_integral_value():
            raise ValueError(f"{amount} has more decimals than {currency}")
        return cls(int(scaled), currency)

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other).minor, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other).minor, self.currency)

    def __mul__(self, quantity: int) -> "Money":
        return Money(self.minor * quantity, self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other).minor

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other).minor

    def allocate(self, weights: Sequence[int]) -> list["Money"]:
        """Split by weights with the largest remainder; the parts always sum to the whole. Ties go to the first."""
        whole = sum(weights)
        if whole <= 0 or min(weights) < 0:
            raise ValueError("weights must not be negative, and one must be positive")
        sign = -1 if self.minor < 0 else 1
        amount = abs(self.minor)
        parts = [amount * weight // whole for weight in weights]
        by_remainder = sorted(range(len(weights)), key=lambda i: -(amount * weights[i] % whole))
        for i in by_remainder[: amount - sum(parts)]:
            parts[i] += 1
        return [Money(sign * part, self.currency) for part in parts]

    def spread(self, weights: Sequence[int]) -> list["Money"]:
        """`allocate` in amounts that can be charged, as long as the whole and the weights are such amounts.

        Nothing for each where no weight is positive. Of a whole that is no more than all weights together, no part is
        more than its weight.
        """
        if not any(weights) or not self.minor:
            return [Money(0, self.currency) for _ in weights]
        step = charge_step_minor(self.currency)
        if any(amount % step for amount in (self.minor, *weights)):
            step = 1
        return [part * step for part in Money(self.minor // step, self.currency).allocate(weights)]

    def major(self) -> Decimal:
        return Decimal(self.minor).scaleb(-minor_units(self.currency))

    def display(self) -> str:
        """Plain and unambiguous for an answer, `1234.50 USD`; pages and mails localise it."""
        return f"{self.major():.{minor_units(self.currency)}f} {self.currency}"

    def _same(self, other: "Money") -> "Money":
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency}")
        return other
