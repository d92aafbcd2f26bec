"""A document as it is read: every word, amount and date of it, in the locale that it was issued in.

HTML and PDF show the same sheet. What buyers and staff typed keeps to its line; each format escapes it in its own way.
"""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal

from shared.documents.documents import Document, Party
from shared.kernel.money import Money
from shared.kernel.texts import one_line

_FALLBACK = Locale.parse("en_US")


@dataclass(frozen=True, slots=True)
class Sheet:
    """`headings` and the cells of each row stand in columns; the first is text, the others are figures."""

    title: str
    number: str
    language: str
    facts: tuple[tuple[str, str], ...]
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    totals: tuple[tuple[str, str], ...]
    tax_headings: tuple[str, ...]
    tax_rows: tuple[tuple[str, ...], ...]
    footer: str


def word(document: Document) -> Sheet:
    return _Words(document).sheet()


class _Words:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._content = document.content
        self._locale = _locale(document.content.locale)

    def sheet(self) -> Sheet:
        is_invoice = self._content.kind == "invoice"
        headings, rows = self._invoice_table() if is_invoice else self._credit_table()
        return Sheet(
            title="Invoice" if is_invoice else "Credit note",
            number=self._document.number,
            language=self._locale.language,
            facts=tuple((label, clean(value)) for label, value in self._facts()),
            seller=tuple(self._party(self._content.seller)),
            buyer=tuple(self._party(self._content.buyer)),
            headings=headings,
            rows=rows,
            totals=tuple(self._totals()),
            tax_headings=("Tax rate", "Net", "Tax", "Gross"),
            tax_rows=tuple(
                (self._rate(part.rate), *map(self._money, (part.net_minor, part.tax_minor, part.gross_minor)))
                for part in self._content.taxes
            ),
            footer=clean(self._content.footer),
        )

    def _facts(self) -> Iterator[tuple[str, str]]:
        content = self._content
        yield "Date of issue", self._date(self._document.issued_at)
        yield "Order", content.order_number
        yield "Ordered on", self._date(content.placed_at)
        yield "Paid on", self._date(content.paid_at)
        if content.invoice_number is not None:
            yield "Credits invoice", content.invoice_number
        if content.refund_id is not None:
            yield "Refund at PayPal", content.refund_id
        if content.reason:
            yield "Reason", content.reason

    def _invoice_table(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Amounts are with tax where the order's prices are."""
        lines = self._content.lines
        discounted = any(line.discount_minor for line in lines)
        headings = ["Description", "Quantity", "Unit price", "Tax rate", "Amount"]
        rows = []
        for line in lines:
            amount = line.gross_minor if self._content.prices_include_tax else line.net_minor
            name = line.name if line.sku is not None else f"Shipping: {line.name}"
            cells = [clean(name), str(line.quantity), self._money(line.unit_price_minor or 0), self._rate(line.rate)]
            if discounted:
                cells.insert(3, self._money(-line.discount_minor) if line.discount_minor else "")
            rows.append((*cells, self._money(amount)))
        if discounted:
            headings.insert(3, "Discount")
        return tuple(headings), tuple(rows)

    def _credit_table(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        rows = [
            (
                clean(line.name if line.sku is not None else f"Shipping: {line.name}"),
                str(line.quantity) if line.quantity is not None else "",
                self._rate(line.rate),
                *map(self._money, (line.net_minor, line.tax_minor, line.gross_minor)),
            )
            for line in self._content.lines
        ]
        return ("Credited", "Quantity", "Tax rate", "Net", "Tax", "Amount"), tuple(rows)

    def _totals(self) -> Iterator[tuple[str, str]]:
        """The last one is the total."""
        content = self._content
        yield "Subtotal", self._money(content.subtotal_minor)
        if content.discount_minor:
            yield "Discount", self._money(-content.discount_minor)
        if content.shipping_minor:
            yield "Shipping", self._money(content.shipping_minor)
        yield "Tax included" if content.prices_include_tax else "Tax", self._money(content.tax_minor)
        yield "Total" if content.kind == "invoice" else "Total credited", self._money(content.total_minor)

    def _party(self, party: Party) -> Iterator[str]:
        """Countries by their names; a seller writes theirs as it should be."""
        *street, last = party.address or ("",)
        country = self._locale.territories.get(last, last) if party is self._content.buyer else last
        for part in (party.name, *street, country):
            if part:
                yield clean(part)
        if party.tax_id:
            yield clean(f"Tax ID: {party.tax_id}")

    def _money(self, minor: int) -> str:
        currency = self._content.currency
        return str(format_currency(Money(minor, currency).major(), currency, locale=self._locale))

    def _rate(self, rate: str) -> str:
        return f"{format_decimal(Decimal(rate) * 100, '#,##0.####', locale=self._locale)}%"

    def _date(self, moment: datetime) -> str:
        return str(format_date(moment.date(), "long", locale=self._locale))


def clean(text: str) -> str:
    """One line of composed characters, so that an accent is where a font has it."""
    return one_line(unicodedata.normalize("NFC", text))


def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name)
    except (UnknownLocaleError, ValueError):
        return _FALLBACK
