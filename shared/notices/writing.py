"""Words and looks of mails: a template for subject and text, another for HTML, amounts and dates in the shop's locale.

What a buyer typed is escaped in HTML, and can neither end the line of a subject nor begin one of its own in a text.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from uuid import UUID

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from shared.kernel.money import Money
from shared.kernel.texts import one_line
from shared.notices.mailing import TOKEN_PLACEHOLDER
from shared.notices.orders import Address, Goods, Order, Shipment

DEFAULT_LOCALE = "en_US"
_LANGUAGE = "en"  # of every template, in whatever locale it writes amounts and dates
_LONGEST_SUBJECT = 200
_TEMPLATES = Path(__file__).parent / "templates"
# Refunds that a mail speaks of, by its template.
_RETURNING = {"order_cancelled": ("cancelled", "staff"), "payment_returned": ("late", "duplicate")}


class Writer:
    """Writes the mails of a shop of that name, whose orders are at `public_url`."""

    def __init__(self, *, shop_name: str, public_url: str, locale: str = DEFAULT_LOCALE) -> None:
        self._shop_name = shop_name
        self._public_url = public_url.rstrip("/")
        self._locale = _locale(locale)
        self._html = self._environment(autoescape=True)
        self._text = self._environment(autoescape=False)

    def write(
        self,
        template: str,
        order: Order,
        *,
        shipment: Shipment | None = None,
        goods: Goods | None = None,
        refund_id: UUID | None = None,
    ) -> tuple[str, str, str]:
        """Subject, text and HTML. The link opens the order for whoever has the mail, once its token is put in."""
        returning = order.returning(*_RETURNING.get(template, ()))
        facts: dict[str, Any] = {
            "order": order,
            "shipment": shipment,
            "goods": goods,
            "money": partial(self._money, order.currency),
            "totals": list(self._totals(order)),
            "address": list(self._lines_of(order.shipping_address)),
            "returning": " and ".join(self._worded(amount) for amount in returning),
            "refunded": self._worded(order.refunded(refund_id)),
            "order_url": f"{self._public_url}/orders/{order.number}#k={TOKEN_PLACEHOLDER}",
            "shop_name": self._shop_name,
            "shop_url": self._public_url,
            "language": _LANGUAGE,
        }
        # The first line of a text template is the subject.
        subject, _, text = self._text.get_template(f"{template}.txt").render(facts).partition("\n")
        subject = one_line(subject)[:_LONGEST_SUBJECT]
        html = self._html.get_template(f"{template}.html").render(facts, subject=subject)
        return subject, text.strip() + "\n", html

    def _environment(self, *, autoescape: bool) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=autoescape,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            # Whatever an expression gives stays within its line; what is markup already (a Markup) stays as it is.
            finalize=lambda value: one_line(value) if type(value) is str else value,
        )
        environment.filters["date"] = lambda moment: format_date(moment, "long", locale=self._locale)
        environment.filters["moment"] = self._moment
        return environment

    def _money(self, currency: str, minor: int) -> str:
        return self._worded(Money(minor, currency))

    def _worded(self, amount: Money) -> str:
        return str(format_currency(amount.major(), amount.currency, locale=self._locale))

    def _moment(self, moment: datetime) -> str:
        return str(format_datetime(moment.astimezone(UTC), "MMMM d, h:mm a 'UTC'", locale=self._locale))

    def _totals(self, order: Order) -> Iterator[tuple[str, str]]:
        """What stands between the lines and the total."""
        money = partial(self._money, order.currency)
        yield "Subtotal", money(order.subtotal_minor)
        if order.discount_minor:
            yield "Discount", money(-order.discount_minor)
        yield "Shipping", money(order.shipping_minor)
        if not order.prices_include_tax:
            yield "Tax", money(order.tax_minor)

    def _lines_of(self, address: Address) -> Iterator[str]:
        city = " ".join(part for part in (address.city, address.region, address.postal_code) if part)
        country = self._locale.territories.get(address.country.upper(), address.country)
        for part in (address.name, address.line1, address.line2, city, country):
            if part:
                yield part


@lru_cache(maxsize=4)  # its templates are read once, not with every mail
def writer_of(shop_name: str, public_url: str, locale: str) -> Writer:
    """The writer of a shop as its settings name it now."""
    return Writer(shop_name=shop_name, public_url=public_url, locale=locale)


def _locale(name: str) -> Locale:
    """An older row of settings may name what nobody knows: no reason not to write."""
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError):
        return Locale.parse(DEFAULT_LOCALE)
