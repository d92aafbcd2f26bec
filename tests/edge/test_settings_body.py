"""What staff may set: amounts that can be charged in the shop's currency."""

import json

import pytest
from babel import Locale

from shared.edge.inventory_views import SettingsBody, ShippingOptionSetting
from shared.edge.parsing import parse_body
from shared.kernel.countries import COUNTRIES
from shared.kernel.errors import Field, Invalid
from shared.kernel.languages import LOCALES
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


def test_amounts_and_dates_can_be_written_in_every_locale_of_the_list() -> None:
    parsed = {name: Locale.parse(name) for name in LOCALES}

    assert {name: (locale.language, locale.territory) for name, locale in parsed.items()} == {
        name: tuple(name.split("_")) for name in LOCALES
    }
    assert {"en_US", "de_DE", "zh_CN", "pt_BR"} <= LOCALES
    assert {name.split("_")[1] for name in LOCALES} <= COUNTRIES


@pytest.mark.parametrize("locale", ["xx_XX", "de_US", "en_UK", "no_NO", "en", "EN_us"])
def test_a_locale_that_nobody_writes_in_is_refused(locale: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps({"locale": locale}).encode(), SettingsBody)

    sentence = "must be a language and a territory that CLDR knows together, en_US"
    assert refused.value.fields == (Field("/locale", sentence),)
    assert parse_body(b'{"locale": "pt_BR"}', SettingsBody).locale == "pt_BR"


@pytest.mark.parametrize("country", ["XX", "UK", "EU", "de"])
def test_a_tax_rate_is_of_a_country_that_an_address_can_be_in(country: str) -> None:
    def body(of: str) -> bytes:
        return json.dumps({"tax_rates": [{"country": of, "rate": "0.19"}]}).encode()

    with pytest.raises(Invalid) as refused:
        parse_body(body(country), SettingsBody)

    sentence = "must be a country's code as ISO 3166-1 alpha-2 has it"
    assert refused.value.fields == (Field("/tax_rates/0/country", sentence),)
    assert parse_body(body("DE"), SettingsBody).tax_rates[0].country == "DE"  # type: ignore[index]
