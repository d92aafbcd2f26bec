"""Documents say what the order says: exact tables, and properties over any order and any way of giving it back."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents.composing import compose_credit_note, compose_invoice
from shared.documents.documents import Content, TaxPart, content_from_json, content_to_json
from shared.orders.order import Order
from shared.shop.settings import TaxRate
from tests.documents.paper import ADDRESS, make_line, make_order, make_shop, owes, parts
from tests.numbers import PROPERTY_EXAMPLES

GERMANY = {**ADDRESS, "name": "Änne Käufer", "city": "Köln", "region": "", "postal_code": "50667", "country": "DE"}
GERMAN_SHOP = make_shop(
    currency="EUR",
    locale="de_DE",
    prices_include_tax=True,
    tax_rates=(TaxRate("DE", None, None, Decimal("0.19")), TaxRate("DE", None, "reduced", Decimal("0.07"))),
)


def credit(
    invoice: Content, amount: int, before: Sequence[Content] = (), named: dict[str, int] | None = None
) -> Content:
    return compose_credit_note(
        owes(amount, invoice.currency),
        invoice=invoice,
        invoice_number="INV-2026-000001",
        before=before,
        shop=make_shop(),
        named=named,
        reason="changed my mind",
    )


def test_an_invoice_without_tax_in_its_prices() -> None:
    lamp = make_line("lamp", 2, 1000, 145, options={"color": "brass", "size": "L"})
    book = make_line("book", 1, 1500, 0, tax_class="exempt")
    order = make_order([lamp, book], shipping_tax_minor=43)

    invoice = compose_invoice(order, shop=make_shop())

    assert parts(invoice) == [("lamp", 2000, 145, 2145), ("book", 1500, 0, 1500), ("", 590, 43, 633)]
    assert [line.name for line in invoice.lines] == ["Lamp (color: brass, size: L)", "Book", "Standard"]
    assert [line.rate for line in invoice.lines] == ["0.0725", "0", "0.0725"]
    assert invoice.taxes == (TaxPart("0", 1500, 0, 1500), TaxPart("0.0725", 2590, 188, 2778))
    assert (invoice.subtotal_minor, invoice.shipping_minor, invoice.tax_minor, invoice.total_minor) == (
        3500,
        590,
        188,
        4278,
    )
    assert invoice.buyer.address == ("1 Main St", "Los Angeles CA 90001", "US")
    assert (invoice.seller.name, invoice.seller.tax_id) == ("Vitrine Goods Inc.", "US-93-1234567")


def test_an_invoice_with_tax_in_its_prices_a_discount_and_free_shipping() -> None:
    lamp = make_line("lamp", 1, 11900, 1710, discount_minor=1190)
    milk = make_line("milk", 1, 1070, 63, tax_class="reduced", discount_minor=107)
    order = make_order(
        [lamp, milk],
        shipping_minor=500,
        shipping_discount_minor=500,
        prices_include_tax=True,
        currency="EUR",
        address=GERMANY,
    )

    invoice = compose_invoice(order, shop=GERMAN_SHOP)

    assert parts(invoice) == [("lamp", 9000, 1710, 10710), ("milk", 900, 63, 963), ("", 0, 0, 0)]
    assert [line.discount_minor for line in invoice.lines] == [1190, 107, 500]
    assert invoice.taxes == (TaxPart("0.07", 900, 63, 963), TaxPart("0.19", 9000, 1710, 10710))
    assert (invoice.discount_minor, invoice.tax_minor, invoice.total_minor) == (1797, 1773, 11673)


def test_a_rate_that_staff_have_changed_since_is_read_off_the_tax() -> None:
    order = make_order([make_line("lamp", 1, 10000, 725)], shipping_tax_minor=43)

    invoice = compose_invoice(order, shop=make_shop(tax_rates=(TaxRate("US", "CA", None, Decimal("0.09")),)))

    assert [line.rate for line in invoice.lines] == ["0.0725", "0.0729"]


def test_the_rates_are_those_that_the_order_was_placed_at() -> None:
    lamp = make_line("lamp", 1, 10000, 725, tax_rate="0.072500")
    order = make_order([lamp], shipping_tax_minor=43, shipping_tax_rate="0.072500")

    invoice = compose_invoice(order, shop=make_shop(tax_rates=(TaxRate("US", "CA", None, Decimal("0.0726")),)))

    assert [line.rate for line in invoice.lines] == ["0.0725", "0.0725"]


def test_a_shop_that_has_not_said_who_sells_is_named_by_its_name() -> None:
    order = make_order([make_line("lamp", 1, 1000, 73)], shipping_tax_minor=43)
    nobody = type(make_shop().invoicing)()

    assert compose_invoice(order, shop=make_shop(invoicing=nobody)).seller.name == "Vitrine"


def test_a_third_of_everything_three_times_is_everything() -> None:
    invoice = compose_invoice(make_order([make_line("lamp", 1, 1000, 73)], shipping_tax_minor=43), shop=make_shop())

    first = credit(invoice, 569)
    second = credit(invoice, 569, [first])
    third = credit(invoice, 568, [first, second])

    assert invoice.total_minor == 1706
    assert parts(first) == [("lamp", 334, 24, 358), ("", 197, 14, 211)]
    assert parts(second) == [("lamp", 333, 25, 358), ("", 196, 15, 211)]
    assert parts(third) == [("lamp", 333, 24, 357), ("", 197, 14, 211)]
    assert (first.kind, first.invoice_number, first.reason) == ("credit_note", "INV-2026-000001", "changed my mind")


def test_a_refund_of_named_lines_credits_those_first() -> None:
    lines = [make_line("lamp", 1, 1000, 73), make_line("book", 1, 500, 36)]
    invoice = compose_invoice(make_order(lines, shipping_tax_minor=43), shop=make_shop())

    assert parts(credit(invoice, 536, named={"book": 536})) == [("book", 500, 36, 536)]
    assert parts(credit(invoice, 633, named={"": 633})) == [("", 590, 43, 633)]


def test_forints_are_credited_whole() -> None:
    lines = [make_line("lamp", 1, 100000, 27000), make_line("book", 1, 50000, 13500)]
    order = make_order(lines, shipping_minor=0, currency="HUF", address={**ADDRESS, "country": "HU"})
    shop = make_shop(currency="HUF", tax_rates=(TaxRate("HU", None, None, Decimal("0.27")),))

    note = credit(compose_invoice(order, shop=shop), 10000)

    assert parts(note) == [("lamp", 5300, 1400, 6700), ("book", 2600, 700, 3300)]


def test_content_is_the_same_after_the_database() -> None:
    invoice = compose_invoice(make_order([make_line("lamp", 1, 1000, 73)], shipping_tax_minor=43), shop=make_shop())
    note = credit(invoice, 100)

    for content in (invoice, note):
        stored = {**content_to_json(content)}
        stored["placed_at"], stored["paid_at"] = content.placed_at.isoformat(), content.paid_at.isoformat()
        assert content_from_json(stored) == content
        newer = {**stored, "said_later": 1, "lines": [{**line, "said_later": 1} for line in stored["lines"]]}
        assert content_from_json(newer) == content


# Any order, given back in any way ---------------------------------------------------------------------


@st.composite
def orders(draw: st.DrawFn) -> Order:
    currency = draw(st.sampled_from(["USD", "EUR", "JPY", "HUF"]))
    step = 100 if currency == "HUF" else 1
    included = draw(st.booleans())
    rates = draw(st.lists(st.sampled_from(["0", "0.07", "0.0725", "0.19", "0.27"]), min_size=1, max_size=6))
    lines = []
    for place, rate in enumerate(rates):
        quantity = draw(st.integers(1, 5))
        price = draw(st.integers(0 if place else 1, 30000)) * step
        discount = draw(st.integers(0, price * quantity // step)) * step if draw(st.booleans()) else 0
        tax = _tax(price * quantity - discount, Decimal(rate), included, step)
        lines.append(make_line(f"sku{place}", quantity, price, tax, discount_minor=discount))
    shipping = draw(st.sampled_from([0, 5, 590])) * step
    free = draw(st.booleans())
    order = make_order(
        lines,
        shipping_minor=shipping,
        shipping_discount_minor=shipping if free else 0,
        shipping_tax_minor=0 if free else _tax(shipping, Decimal("0.19"), included, step),
        prices_include_tax=included,
        currency=currency,
    )
    return (
        order if order.total_minor else make_order([make_line("sku0", 1, step, 0)], currency=currency, shipping_minor=0)
    )


def _tax(amount: int, rate: Decimal, included: bool, step: int) -> int:
    exact = amount * rate / (1 + rate if included else 1)
    return int((exact / step).quantize(Decimal(1), ROUND_HALF_UP)) * step


@settings(max_examples=PROPERTY_EXAMPLES * 2, deadline=None)
@given(orders(), st.data())
def test_an_invoice_is_its_order_and_its_credit_notes_sum_to_it_line_by_line(order: Order, data: st.DataObject) -> None:
    shop = make_shop(currency=order.currency)
    invoice = compose_invoice(order, shop=shop)

    assert sum(line.gross_minor for line in invoice.lines) == order.total_minor == invoice.total_minor
    assert sum(line.tax_minor for line in invoice.lines) == order.tax_minor
    assert sum(part.gross_minor for part in invoice.taxes) == order.total_minor
    assert all(line.net_minor + line.tax_minor == line.gross_minor for line in invoice.lines)

    step = 100 if order.currency == "HUF" else 1
    left, notes = order.total_minor, list[Content]()
    while left:
        amount = data.draw(st.integers(1, left // step), label="refund") * step if len(notes) < 6 else left
        named = {
            line.sku or "": data.draw(st.integers(0, amount // step), label="named") * step for line in invoice.lines
        }
        note = credit(invoice, amount, notes, named if data.draw(st.booleans(), label="by lines") else None)
        assert note.total_minor == amount
        assert note.subtotal_minor + note.shipping_minor + (0 if order.prices_include_tax else note.tax_minor) == amount
        assert all(min(line.net_minor, line.tax_minor) >= 0 < line.gross_minor for line in note.lines)
        assert all(line.gross_minor % step == 0 for line in note.lines)
        notes.append(note)
        left -= amount

    def summed(sku: str) -> tuple[int, int, int]:
        found = [part[1:] for note in notes for part in parts(note) if part[0] == sku]
        return tuple(map(sum, zip(*found, strict=True))) if found else (0, 0, 0)  # type: ignore[return-value]  # three

    assert [(sku, *summed(sku)) for sku, *_ in parts(invoice)] == parts(invoice)
