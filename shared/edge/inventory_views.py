"""What staff send and see of stock and of the shop's settings (DESIGN.md section 5)."""

from dataclasses import replace
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import COUNTRY, LINE, LINES, LOCALE, SEEN_LINE
from shared.inventory.stock import Hold, Level, Movement
from shared.kernel.clock import iso
from shared.kernel.errors import Field, Invalid
from shared.shop.settings import Invoicing, ShippingOption, ShopSettings, TaxRate

Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Reason = Annotated[str, Meta(min_length=1, max_length=500, pattern=SEEN_LINE)]
# What a PostgreSQL integer holds, and a shop ever will.
Units = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Delta = Annotated[int, Meta(ge=-1_000_000_000, le=1_000_000_000)]
AmountMinor = Annotated[int, Meta(ge=0, le=100_000_000)]
Limiting = Annotated[int, Meta(ge=1, le=1_000_000)]
ReturnReason = Annotated[str, Meta(min_length=1, max_length=60, pattern=SEEN_LINE)]


class OfSkuQuery(Query, frozen=True, kw_only=True):
    sku: Sku | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class AdjustmentBody(Body, frozen=True, kw_only=True):
    """`delta` units more, or fewer where it is negative."""

    sku: Sku
    delta: Delta
    reason: Reason


class CountBody(Body, frozen=True, kw_only=True):
    sku: Sku
    counted: Units
    reason: Reason


class LevelView(View, frozen=True, kw_only=True):
    """Units; `held` is promised to open orders and part of `on_hand`."""

    sku: str
    location: str
    on_hand: int
    held: int
    available: int


class MovementView(View, frozen=True, kw_only=True):
    at: str
    kind: str
    sku: str
    location: str
    delta_on_hand: int
    delta_held: int
    order_number: str | None
    actor: str
    reason: str


class HoldView(View, frozen=True, kw_only=True):
    sku: str
    location: str
    held: int
    allocated: int
    order_number: str
    order_status: str


class LevelsPage(View, frozen=True, kw_only=True):
    items: list[LevelView]
    next_cursor: str | None


class MovementsPage(View, frozen=True, kw_only=True):
    items: list[MovementView]
    next_cursor: str | None


class HoldsPage(View, frozen=True, kw_only=True):
    items: list[HoldView]
    next_cursor: str | None


class ShippingOptionSetting(Body, frozen=True, kw_only=True):
    id: Annotated[str, Meta(min_length=1, max_length=64)]
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=SEEN_LINE)]
    amount_minor: AmountMinor


class TaxRateSetting(Body, frozen=True, kw_only=True):
    """`rate` as a decimal, 0.0725 for 7.25 %; no region or tax class means every one."""

    country: Annotated[str, Meta(pattern=COUNTRY)]
    region: Annotated[str, Meta(min_length=1, max_length=60, pattern=SEEN_LINE)] | None = None
    tax_class: Annotated[str, Meta(min_length=1, max_length=60)] | None = None
    rate: Annotated[str, Meta(pattern=r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)\Z")]


AddressLine = Annotated[str, Meta(min_length=1, max_length=200, pattern=SEEN_LINE)]


class InvoicingSetting(Body, frozen=True, kw_only=True):
    """Who sells, as invoices name it, and how the numbers of invoices and credit notes begin."""

    seller_name: Annotated[str, Meta(max_length=200, pattern=LINE)] = ""
    seller_address: Annotated[list[AddressLine], Meta(max_length=8)] = msgspec.field(default_factory=list)
    seller_tax_id: Annotated[str, Meta(max_length=60, pattern=LINE)] = ""
    invoice_prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{0,12}\Z")] = "INV-"
    credit_note_prefix: Annotated[str, Meta(pattern=r"^[A-Z0-9-]{0,12}\Z")] = "CN-"
    footer: Annotated[str, Meta(max_length=500, pattern=LINES)] = ""


class SettingsBody(Body, frozen=True, kw_only=True):
    """What changes of the settings; what is left out stays. Lists are replaced as a whole.

    In `locale` mails and documents write amounts and dates; their words are English.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=SEEN_LINE)] | UnsetType = UNSET
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")] | UnsetType = UNSET
    locale: Annotated[str, Meta(pattern=LOCALE)] | UnsetType = UNSET
    orders_open: bool | UnsetType = UNSET
    hold_minutes: Annotated[int, Meta(ge=1, le=1440)] | UnsetType = UNSET
    shipping_options: Annotated[list[ShippingOptionSetting], Meta(min_length=1, max_length=20)] | UnsetType = UNSET
    shipping_tax_class: Annotated[str, Meta(min_length=1, max_length=60)] | UnsetType = UNSET
    prices_include_tax: bool | UnsetType = UNSET
    tax_rates: Annotated[list[TaxRateSetting], Meta(max_length=1000)] | UnsetType = UNSET
    invoicing: InvoicingSetting | UnsetType = UNSET
    open_orders_per_email: Limiting | UnsetType = UNSET
    open_orders_per_network: Limiting | UnsetType = UNSET
    refused_payments_per_buyer: Limiting | UnsetType = UNSET
    refused_payments_per_network: Limiting | UnsetType = UNSET
    return_window_days: Annotated[int, Meta(ge=0, le=3650)] | UnsetType = UNSET
    return_reasons: Annotated[list[ReturnReason], Meta(min_length=1, max_length=50)] | UnsetType = UNSET

    def changed(self, before: ShopSettings) -> ShopSettings:
        """The settings with these changes. Raises Invalid where two entries say the same thing twice."""
        given = {name: getattr(self, name) for name in self.__struct_fields__ if getattr(self, name) is not UNSET}
        if "shipping_options" in given:
            options = [ShippingOption(o.id, o.name, o.amount_minor) for o in given["shipping_options"]]
            _refuse_repeats([option.id for option in options], "/shipping_options")
            given["shipping_options"] = tuple(options)
        if "tax_rates" in given:
            rates = [TaxRate(r.country, _upper(r.region), r.tax_class, Decimal(r.rate)) for r in given["tax_rates"]]
            _refuse_repeats([(rate.country, rate.region, rate.tax_class) for rate in rates], "/tax_rates")
            given["tax_rates"] = tuple(rates)
        if "invoicing" in given:
            given["invoicing"] = _invoicing(given["invoicing"])
        if "return_reasons" in given:
            _refuse_repeats(given["return_reasons"], "/return_reasons")
            given["return_reasons"] = tuple(given["return_reasons"])
        after = replace(before, **given)
        _refuse_parts_of_units(after)
        return after


def _invoicing(setting: InvoicingSetting) -> Invoicing:
    if setting.invoice_prefix == setting.credit_note_prefix:
        raise Invalid([Field("/invoicing/credit_note_prefix", "Is the prefix of invoices already.")])
    return Invoicing(
        setting.seller_name,
        tuple(setting.seller_address),
        setting.seller_tax_id,
        setting.invoice_prefix,
        setting.credit_note_prefix,
        setting.footer,
    )


class SettingsView(View, frozen=True, kw_only=True):
    version: int
    name: str
    currency: str
    locale: str
    orders_open: bool
    hold_minutes: int
    shipping_options: list[ShippingOptionSetting]
    shipping_tax_class: str
    prices_include_tax: bool
    tax_rates: list[TaxRateSetting]
    invoicing: InvoicingSetting
    open_orders_per_email: int
    open_orders_per_network: int
    refused_payments_per_buyer: int
    refused_payments_per_network: int
    return_window_days: int
    return_reasons: list[str]


def level_view(level: Level) -> LevelView:
    return LevelView(
        sku=level.sku, location=level.location, on_hand=level.on_hand, held=level.held, available=level.available
    )


def movement_view(movement: Movement) -> MovementView:
    return MovementView(
        at=iso(movement.at),
        kind=movement.kind,
        sku=movement.sku,
        location=movement.location,
        delta_on_hand=movement.delta_on_hand,
        delta_held=movement.delta_held,
        order_number=movement.order_number,
        actor=movement.actor,
        reason=movement.reason,
    )


def hold_view(hold: Hold) -> HoldView:
    return HoldView(
        sku=hold.sku,
        location=hold.location,
        held=hold.held,
        allocated=hold.allocated,
        order_number=hold.order_number,
        order_status=hold.order_status,
    )


def settings_view(settings: ShopSettings) -> SettingsView:
    return SettingsView(
        version=settings.version,
        name=settings.name,
        currency=settings.currency,
        locale=settings.locale,
        orders_open=settings.orders_open,
        hold_minutes=settings.hold_minutes,
        shipping_options=[
            ShippingOptionSetting(id=option.id, name=option.name, amount_minor=option.amount_minor)
            for option in settings.shipping_options
        ],
        shipping_tax_class=settings.shipping_tax_class,
        prices_include_tax=settings.prices_include_tax,
        tax_rates=[
            TaxRateSetting(country=rate.country, region=rate.region, tax_class=rate.tax_class, rate=f"{rate.rate:f}")
            for rate in settings.tax_rates
        ],
        invoicing=InvoicingSetting(
            seller_name=settings.invoicing.seller_name,
            seller_address=list(settings.invoicing.seller_address),
            seller_tax_id=settings.invoicing.seller_tax_id,
            invoice_prefix=settings.invoicing.invoice_prefix,
            credit_note_prefix=settings.invoicing.credit_note_prefix,
            footer=settings.invoicing.footer,
        ),
        open_orders_per_email=settings.open_orders_per_email,
        open_orders_per_network=settings.open_orders_per_network,
        refused_payments_per_buyer=settings.refused_payments_per_buyer,
        refused_payments_per_network=settings.refused_payments_per_network,
        return_window_days=settings.return_window_days,
        return_reasons=list(settings.return_reasons),
    )


def _upper(region: str | None) -> str | None:
    return region.strip().upper() if region is not None else None


def _refuse_parts_of_units(shop: ShopSettings) -> None:
    """Where the currency is charged in whole units, shipping costs whole units."""
    step = shop.charge_step_minor
    bad = [
        Field(f"/shipping_options/{index}/amount_minor", f"{shop.currency} is charged in whole units.")
        for index, option in enumerate(shop.shipping_options)
        if option.amount_minor % step
    ]
    if bad:
        raise Invalid(bad)


def _refuse_repeats(names: list[object] | list[str] | list[tuple[str, str | None, str | None]], pointer: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Invalid([Field(f"{pointer}/{index}", "Says the same thing twice.")])
