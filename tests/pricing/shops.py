"""Settings of a shop, as far as prices care."""

from collections.abc import Sequence

from shared.shop.settings import ShopSettings, TaxRate


def make_shop(
    currency: str = "USD", *, prices_include_tax: bool = False, tax_rates: Sequence[TaxRate] = ()
) -> ShopSettings:
    return ShopSettings(
        name="Vitrine",
        currency=currency,
        locale="en_US",
        orders_open=True,
        hold_minutes=15,
        shipping_options=(),
        shipping_tax_class="standard",
        prices_include_tax=prices_include_tax,
        tax_rates=tuple(tax_rates),
    )
