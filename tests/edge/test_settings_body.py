"""What staff may set: amounts that can be charged in the shop's currency."""

import pytest

from shared.edge.inventory_views import SettingsBody, ShippingOptionSetting
from shared.kernel.errors import Invalid
from tests.pricing.shops import make_shop


@pytest.mark.parametrize("currency", ["HUF", "TWD"])
def test_shipping_costs_whole_units_where_paypal_takes_no_others(currency: str) -> None:
    options = [
        ShippingOptionSetting(id="post", name="Post", amount_minor=99_000),
        ShippingOptionSetting(id="fast", name="Fast", amount_minor=149_050),
    ]

    with pytest.raises(Invalid) as refused:
        SettingsBody(currency=currency, shipping_options=options).changed(make_shop("USD"))

    assert [field.pointer for field in refused.value.fields] == ["/shipping_options/1/amount_minor"]
    assert SettingsBody(shipping_options=options).changed(make_shop("USD")).shipping_options[1].amount_minor == 149_050


def test_another_currency_is_refused_while_shipping_does_not_fit_it() -> None:
    priced = SettingsBody(shipping_options=[ShippingOptionSetting(id="post", name="Post", amount_minor=590)])
    shop = priced.changed(make_shop("USD"))

    with pytest.raises(Invalid) as refused:
        SettingsBody(currency="HUF").changed(shop)

    assert [field.pointer for field in refused.value.fields] == ["/shipping_options/0/amount_minor"]
