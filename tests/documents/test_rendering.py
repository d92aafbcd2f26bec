"""HTML and PDF of a document: the same bytes each time, what was typed is text, pages hold what is long."""

import hashlib
import io
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID

import pypdf
import pytest

from shared.documents.composing import compose_credit_note, compose_invoice
from shared.documents.documents import Content, Document
from shared.documents.page import render_html
from shared.documents.pdf import render_pdf
from shared.documents.wording import word
from shared.shop.settings import TaxRate
from tests.documents.paper import ADDRESS, make_line, make_order, make_shop, owes

ROOT = Path(__file__).resolve().parents[2]
ISSUED = datetime(2026, 11, 22, 9, 46, tzinfo=UTC)


def document(content: Content, number: str = "INV-2026-000001") -> Document:
    return Document(UUID(int=1), content.kind, number, ISSUED, content)


def an_invoice(*, name: str = "Brass lamp", buyer: str = "Ada Buyer", lines: int = 1, **shop: Any) -> Document:
    of_order = [make_line(f"lamp{n}", 2, 1000, 145, name=name, tax_rate="0.0725") for n in range(lines)]
    order = make_order(
        of_order, shipping_tax_minor=43, address={**ADDRESS, "name": buyer}, shipping_tax_rate="0.072500"
    )
    return document(compose_invoice(order, shop=make_shop(**shop)))


def pdf_of(found: Document) -> pypdf.PdfReader:
    return pypdf.PdfReader(io.BytesIO(render_pdf(found)))


def words_of(found: Document) -> str:
    """The text of all pages; what was wrapped is one again."""
    return "".join(page.extract_text() for page in pdf_of(found).pages).replace("\n", "")


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.cells.append(data.strip())


def test_an_invoice_says_what_was_bought_and_what_it_cost() -> None:
    page = Page(render_html(an_invoice()).decode())

    at = page.cells.index("Date of issue") - 1
    assert page.cells[at:] == [
        *("Invoice INV-2026-000001", "Date of issue", "November 22, 2026", "Order", "0123456789"),
        *("Ordered on", "November 22, 2026", "Paid on", "November 22, 2026"),
        *("Seller", "Vitrine Goods Inc.", "5 Market Sq", "Portland OR 97201", "Tax ID: US-93-1234567"),
        *("Buyer", "Ada Buyer", "1 Main St", "Los Angeles CA 90001", "United States"),
        *("Description", "Quantity", "Unit price", "Tax rate", "Amount"),
        *("Brass lamp", "2", "$10.00", "7.25%", "$20.00"),
        *("Shipping: Standard", "1", "$5.90", "7.25%", "$5.90"),
        *("Subtotal", "$20.00", "Shipping", "$5.90", "Tax", "$1.88", "Total", "$27.78"),
        *("Tax rate", "Net", "Tax", "Gross", "7.25%", "$25.90", "$1.88", "$27.78"),
    ]


def test_amounts_and_dates_are_written_as_the_shop_writes_them() -> None:
    german = {"name": "Änne Käufer", "city": "Köln", "region": "", "postal_code": "50667", "country": "DE"}
    lamp = make_line("lamp", 1, 123456, 19711, discount_minor=0, tax_rate="0.19")
    order = make_order(
        [replace(lamp, discount_minor=10000, tax_minor=18115)],
        shipping_minor=0,
        prices_include_tax=True,
        currency="EUR",
        address={**ADDRESS, **german},
    )
    shop = make_shop(locale="de_DE", currency="EUR", tax_rates=(TaxRate("DE", None, None, Decimal("0.19")),))

    sheet = word(document(compose_invoice(order, shop=shop)))

    assert sheet.facts[0] == ("Date of issue", "22. November 2026")
    assert sheet.buyer == ("Änne Käufer", "1 Main St", "Köln 50667", "Deutschland")
    assert sheet.rows == (("Lamp", "1", "1.234,56\xa0€", "-100,00\xa0€", "19%", "1.134,56\xa0€"),)
    assert sheet.totals[1:] == (
        ("Discount", "-100,00\xa0€"),
        ("Tax included", "181,15\xa0€"),
        ("Total", "1.134,56\xa0€"),
    )


def test_a_locale_that_nobody_knows_is_no_reason_not_to_show_an_invoice() -> None:
    assert word(an_invoice(locale="zz_ZZ")).totals[-1] == ("Total", "$27.78")


def test_a_credit_note_says_what_it_credits() -> None:
    invoice = an_invoice().content
    note = compose_credit_note(
        owes(1389, refund_id="REFUND1"),
        invoice=invoice,
        invoice_number="INV-2026-000001",
        before=[],
        shop=make_shop(),
        reason="came broken",
    )

    page = Page(render_html(document(note, "CN-2026-000001")).decode())

    at = page.cells.index("Credits invoice")
    assert page.cells[at : at + 6] == [
        *("Credits invoice", "INV-2026-000001", "Refund at PayPal", "REFUND1", "Reason", "came broken")
    ]
    at = page.cells.index("Credited")
    assert page.cells[at:] == [
        *("Credited", "Quantity", "Tax rate", "Net", "Tax", "Amount"),
        *("Brass lamp", "7.25%", "$10.00", "$0.73", "$10.73"),
        *("Shipping: Standard", "7.25%", "$2.95", "$0.21", "$3.16"),
        *("Subtotal", "$10.00", "Shipping", "$2.95", "Tax", "$0.94", "Total credited", "$13.89"),
        *("Tax rate", "Net", "Tax", "Gross", "7.25%", "$12.95", "$0.94", "$13.89"),
    ]


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</td></table><h1>paid</h1>",
        "<para color='[1]'>&amp;<b>bold</b></para>",
        "{{ 7 * 7 }}{% for x in y %}",
        "two\r\nlines\u2028and\x00more",
        "\u202egnp.exe\u202c",
        "%s%(name)s\\n)\\) Tj ET (",
    ],
)
def test_what_was_typed_stays_text(hostile: str) -> None:
    found, harmless = an_invoice(name=hostile, buyer=hostile), an_invoice()
    page = Page(render_html(found).decode())

    shown = " ".join(hostile.replace("\u202e", "").replace("\u202c", "").replace("\x00", " ").split())
    assert page.tags == Page(render_html(harmless).decode()).tags
    assert page.cells.count(shown) == 2
    assert words_of(found).count(shown.replace("\n", "")) == 2


@pytest.mark.parametrize(
    "name",
    [
        "Lámpara de latón, çà et là; Żółta łódź; ẞ",
        "Μεγάλη ορειχάλκινη λάμπα",
        "Большая латунная лампа; Ґанок; Џак",
        "Լամպ და ლამპა",
        "真鍮のランプ",
        "黄铜灯",
        "놋쇠 램프",
    ],
)
def test_a_pdf_shows_every_script_that_it_has_a_font_for(name: str) -> None:
    found = an_invoice(name=name)

    assert name.replace(" ", "") in words_of(found).replace(" ", "")
    assert name in render_html(found).decode()
    assert "cannot be shown here" not in words_of(found)


def test_fonts_are_embedded_and_nothing_is_fetched() -> None:
    page = pdf_of(an_invoice()).pages[0]
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]  # type: ignore[index]  # a dictionary
    embedded = {
        str(font["/BaseFont"]).partition("+")[2]: "/FontFile2" in font["/FontDescriptor"]
        for font in fonts
        if "/FontDescriptor" in font
    }

    assert embedded == {"DejaVuSans": True, "DejaVuSans-Bold": True}


@pytest.mark.parametrize("name", ["Lamp 😀", "מנורה", "مصباح", "दीपक"])
def test_a_pdf_says_so_where_it_cannot_show_something(name: str) -> None:
    found = an_invoice(name=name)

    assert "What stands as \ufffd cannot be shown here; the HTML version of this document has it." in words_of(found)
    assert name in render_html(found).decode()


def test_a_hundred_lines_and_names_without_end_fill_pages() -> None:
    found = an_invoice(lines=100, name="Lamp " + "W" * 300 + " of brass " * 20)
    pages = [page.extract_text() for page in pdf_of(found).pages]

    assert len(pages) > 20
    assert [f"{n} / {len(pages)}" in text for n, text in enumerate(pages, 1)] == [True] * len(pages)
    assert all(("Description" in text) or ("Total" in text) for text in pages)
    assert sum(text.count("$20.00") for text in pages) == 100
    assert sum(text.count("W") for text in pages) == 100 * 300


def test_the_same_document_is_the_same_bytes_in_every_process() -> None:
    found = an_invoice(name="Λάμπα ランプ", lines=3)
    program = (
        "import hashlib, sys\n"
        "from tests.documents.test_rendering import an_invoice, render_html, render_pdf\n"
        "found = an_invoice(name='Λάμπα ランプ', lines=3)\n"
        "sys.stdout.buffer.write(hashlib.sha256(render_pdf(found) + render_html(found)).digest())\n"
    )

    ours = hashlib.sha256(render_pdf(found) + render_html(found)).digest()
    again = hashlib.sha256(render_pdf(found) + render_html(found)).digest()
    elsewhere = subprocess.run([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout

    assert ours == again == elsewhere


def test_a_page_stands_alone() -> None:
    html = render_html(an_invoice(lines=3)).decode()

    assert not {"script", "img", "link", "iframe", "a", "form"} & set(Page(html).tags)
    assert "url(" not in html
    assert "http" not in html
