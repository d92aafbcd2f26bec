"""The shop's settings: one value, read with every quote, changed by staff as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from shared.kernel.errors import Stale
from shared.kernel.money import charge_step_minor

RETURN_WINDOW_DAYS = 30
RETURN_REASONS = ("changed_mind", "damaged", "not_as_described", "wrong_item", "other")


class SettingsStale(Stale):
    sentence = "The settings have changed since you looked at them."


@dataclass(frozen=True, slots=True)
class ShippingOption:
    id: str
    name: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class TaxRate:
    """`rate` (0.0725 is 7.25 %) of a country (ISO 3166-1 alpha-2); None for a region or tax class means every one."""

    country: str
    region: str | None
    tax_class: str | None
    rate: Decimal

    def applies(self, country: str, region: str, tax_class: str) -> bool:
        return (
            self.country == country.upper()
            and self.region in (None, region.strip().upper())
            and self.tax_class in (None, tax_class)
        )

    @property
    def precision(self) -> int:
        """A rate for the region, then one for the class, goes before one for everything."""
        return 2 * (self.region is not None) + (self.tax_class is not None)


@dataclass(frozen=True, slots=True)
class Invoicing:
    """Who sells, as invoices and credit notes name it, and how their numbers begin: INV-2026-000001.

    The sequence of a year belongs to the kind of document, so another prefix goes on counting where it stands.
    """

    seller_name: str = ""
    seller_address: tuple[str, ...] = ()
    seller_tax_id: str = ""
    invoice_prefix: str = "INV-"
    credit_note_prefix: str = "CN-"
    footer: str = ""


@dataclass(frozen=True, slots=True)
class ShopSettings:
    """One currency for the whole shop (ISO 4217); `hold_minutes` is how long a checkout keeps stock for its buyer.

    One e-mail address, one network (a /24 or /64), have so many orders open at once; after so many payments refused
    within an hour, a buyer (e-mail or cart) or a network waits.

    So many days after its arrival something may be sent back, for one of the shop's reasons.
    """

    name: str
    currency: str
    locale: str
    orders_open: bool
    hold_minutes: int
    shipping_options: tuple[ShippingOption, ...]
    shipping_tax_class: str
    prices_include_tax: bool
    tax_rates: tuple[TaxRate, ...]
    invoicing: Invoicing = Invoicing()
    open_orders_per_email: int = 5
    open_orders_per_network: int = 20
    refused_payments_per_buyer: int = 5
    refused_payments_per_network: int = 10
    return_window_days: int = RETURN_WINDOW_DAYS
    return_reasons: tuple[str, ...] = RETURN_REASONS
    version: int = 1

    @property
    def charge_step_minor(self) -> int:
        """What every amount must be a multiple of."""
        return charge_step_minor(self.currency)

    @property
    def hold(self) -> timedelta:
        return timedelta(minutes=self.hold_minutes)

    def tax_rate(self, country: str, region: str, tax_class: str) -> Decimal:
        """The most precise rate that applies; 0 where the table names none."""
        fitting = [rate for rate in self.tax_rates if rate.applies(country, region, tax_class)]
        return max(fitting, key=lambda rate: rate.precision).rate if fitting else Decimal(0)

    def find_shipping_option(self, option_id: str | None) -> ShippingOption | None:
        """The option of that id; the first one where the buyer has chosen none."""
        if option_id is None:
            return self.shipping_options[0] if self.shipping_options else None
        return next((option for option in self.shipping_options if option.id == option_id), None)


# Younger than the settings themselves: a row that the version before has written does not have them.
_LIMITS = (
    "open_orders_per_email",
    "open_orders_per_network",
    "refused_payments_per_buyer",
    "refused_payments_per_network",
)


def from_json(value: Mapping[str, Any], version: int = 1) -> ShopSettings:
    return ShopSettings(
        name=value["name"],
        currency=value["currency"],
        locale=value["locale"],
        orders_open=value["orders_open"],
        hold_minutes=value["hold_minutes"],
        shipping_options=tuple(
            ShippingOption(option["id"], option["name"], option["amount_minor"]) for option in value["shipping_options"]
        ),
        shipping_tax_class=value["shipping_tax_class"],
        prices_include_tax=value["prices_include_tax"],
        tax_rates=tuple(
            TaxRate(rate["country"], rate["region"], rate["tax_class"], Decimal(rate["rate"]))
            for rate in value["tax_rates"]
        ),
        invoicing=_invoicing(value.get("invoicing", {})),
        **{name: value[name] for name in _LIMITS if name in value},
        # Younger than the settings themselves: a row that the version before has written does not have them.
        return_window_days=value.get("return_window_days", RETURN_WINDOW_DAYS),
        return_reasons=tuple(value.get("return_reasons", RETURN_REASONS)),
        version=version,
    )


def _invoicing(value: Mapping[str, Any]) -> Invoicing:
    """Settings that were written before there were invoices have none of it, those of a later version may have more."""
    known = {name: value[name] for name in Invoicing.__dataclass_fields__ if name in value}
    return Invoicing(**{**known, "seller_address": tuple(value.get("seller_address", ()))})


def to_json(settings: ShopSettings) -> dict[str, Any]:
    return {
        "name": settings.name,
        "currency": settings.currency,
        "locale": settings.locale,
        "orders_open": settings.orders_open,
        "hold_minutes": settings.hold_minutes,
        "shipping_options": [
            {"id": option.id, "name": option.name, "amount_minor": option.amount_minor}
            for option in settings.shipping_options
        ],
        "shipping_tax_class": settings.shipping_tax_class,
        "prices_include_tax": settings.prices_include_tax,
        "tax_rates": [
            {"country": rate.country, "region": rate.region, "tax_class": rate.tax_class, "rate": str(rate.rate)}
            for rate in settings.tax_rates
        ],
        "invoicing": {
            "seller_name": settings.invoicing.seller_name,
            "seller_address": list(settings.invoicing.seller_address),
            "seller_tax_id": settings.invoicing.seller_tax_id,
            "invoice_prefix": settings.invoicing.invoice_prefix,
            "credit_note_prefix": settings.invoicing.credit_note_prefix,
            "footer": settings.invoicing.footer,
        },
        **{name: getattr(settings, name) for name in _LIMITS},
        "return_window_days": settings.return_window_days,
        "return_reasons": list(settings.return_reasons),
    }
