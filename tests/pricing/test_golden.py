"""S50: what carts cost, against a table that was worked out by hand: golden.txt beside this file."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest

from shared.kernel.money import Money
from shared.pricing.totals import Item, Place, price
from shared.pricing.vouchers import Voucher
from shared.shop.settings import ShippingOption, ShopSettings, TaxRate
from tests.pricing.shops import make_shop

TABLE = Path(__file__).with_name("golden.txt")
# The place of a row, as country and region.
PLACES = {
    "CA": ("US", "CA"),
    "OR": ("US", "OR"),
    "DE": ("DE", ""),
    "CH": ("CH", ""),
    "JP": ("JP", ""),
    "HU": ("HU", ""),
}
RATES = (
    TaxRate("US", "CA", None, Decimal("0.0725")),
    TaxRate("US", "CA", "exempt", Decimal(0)),
    TaxRate("DE", None, None, Decimal("0.19")),
    TaxRate("DE", None, "reduced", Decimal("0.07")),
    TaxRate("JP", None, None, Decimal("0.10")),
    TaxRate("JP", None, "reduced", Decimal("0.08")),
    TaxRate("HU", None, None, Decimal("0.27")),
    TaxRate("HU", None, "reduced", Decimal("0.05")),
)


@dataclass(frozen=True, slots=True)
class Row:
    currency: str
    place: str
    is_gross: bool
    cells: dict[str, str]

    def minor(self, text: str) -> int:
        return Money.from_major(Decimal(text), self.currency).minor

    def minors(self, name: str) -> list[int]:
        return [self.minor(text) for text in self.cells[name].split()]

    def items(self) -> list[Item]:
        found = []
        for number, text in enumerate(self.cells["lines"].split()):
            quantity, _, rest = text.partition("x")
            amount, _, tax_class = rest.partition("@")
            found.append(Item(f"SKU-{number}", int(quantity), self.minor(amount), tax_class or "standard"))
        return found

    def voucher(self) -> Voucher | None:
        off = self.cells["off"]
        if off == "-":
            return None
        if off == "shipping":
            return Voucher(UUID(int=1), "OFF", "free_shipping", self.currency)
        if off.endswith("%"):
            return Voucher(UUID(int=1), "OFF", "percent", self.currency, percent=Decimal(off[:-1]))
        return Voucher(UUID(int=1), "OFF", "amount", self.currency, amount_minor=self.minor(off))

    def shop(self) -> ShopSettings:
        return make_shop(self.currency, prices_include_tax=self.is_gross, tax_rates=RATES)


def read_rows() -> Iterator[Row]:
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            head, *rest = [cell.strip() for cell in line.split("|")]
            currency, place, taxes = head.split()
            cells = dict(cell.split(maxsplit=1) for cell in rest)
            yield Row(currency, place, taxes == "gross", cells)


ROWS = list(read_rows())


def test_the_table_has_every_currency_that_it_is_for() -> None:
    assert {row.currency for row in ROWS} == {"USD", "EUR", "JPY", "HUF"}
    assert len(ROWS) == 24


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.currency} {row.place} {' '.join(row.cells.values())}")
def test_a_cart_costs_what_the_table_says(row: Row) -> None:
    """S50."""
    country, region = PLACES[row.place]
    shipping = ShippingOption("post", "Post", row.minor(row.cells["ship"]))

    priced, totals = price(
        row.items(), shop=row.shop(), to=Place(country, region), shipping=shipping, voucher=row.voucher()
    )

    *taxes, shipping_tax = row.minors("taxes")
    assert [item.discount_minor for item in priced] == row.minors("shares")
    assert [item.tax_minor for item in priced] == taxes
    assert totals.tax_minor == sum(taxes) + shipping_tax
    assert totals.discount_minor == sum(row.minors("shares"))
    assert totals.total_minor == row.minor(row.cells["total"])
