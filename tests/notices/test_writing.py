from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from shared.kernel.texts import one_line
from shared.notices.mails import TEMPLATES
from shared.notices.orders import Address, Line, Order, Refund
from shared.notices.writing import Writer
from shared.orders.order import USED_UP
from tests.notices.conftest import make_goods, make_order, make_refund, make_shipment

WRITER = Writer(shop_name="Vitrine", public_url="https://shop.example/")


class Page(HTMLParser):
    """What a mail program would see: its tags, its links and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.attributes: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [value or "" for name, value in attrs if name == "href"]

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_mail_of_a_paid_order_says_everything_in_plain_text() -> None:
    subject, text, _ = WRITER.write("order_paid", make_order())

    assert subject == "Order 7K3MZ9QX2B: thank you, your payment has arrived"
    assert (
        text
        == """\
Thank you for your order.

We have received your payment of $1,343.85 for order 7K3MZ9QX2B of November 22, 2026.
We get it ready now, and write again when it is on its way.

Your order: https://shop.example/orders/7K3MZ9QX2B#k=ORDER-TOKEN

  2 x Brass desk lamp, Color: Brass
      $49.50 each = $99.00
  1 x Walnut desk
      $1,148.50 each = $1,148.50

  Subtotal: $1,247.50
  Shipping: $5.90
  Tax: $90.45
  Total: $1,343.85

Delivery to (Standard):

  Ada Lovelace
  12 Analytical Way
  Springfield IL 62704
  United States

--
Vitrine, https://shop.example
The link to your order works for whoever has it, so please keep this mail to yourself.
"""
    )


def test_the_html_says_the_same_with_one_link_to_the_order() -> None:
    _, _, html = WRITER.write("order_paid", make_order())
    page = Page(html)

    assert page.links.count("https://shop.example/orders/7K3MZ9QX2B#k=ORDER-TOKEN") == 1
    for words in ("Brass desk lamp", "Color: Brass · 2 × $49.50", "Subtotal $1,247.50", "Total $1,343.85",
                  "Springfield IL 62704", "United States"):  # fmt: skip
        assert words in page.text
    # Nothing that a mail program must fetch: no picture, no style sheet, no font.
    assert not {"img", "link", "script", "iframe", "form"} & set(page.tags)
    assert "url(" not in html


@pytest.mark.parametrize("template", sorted(TEMPLATES.values()))
def test_every_mail_has_a_subject_a_text_and_html_that_name_the_order(template: str) -> None:
    order = make_order(refunds=(make_refund("late", 5000), make_refund("cancelled", 7000)))

    subject, text, html = WRITER.write(template, order, shipment=make_shipment(), goods=make_goods("worn"))

    assert "7K3MZ9QX2B" in subject
    assert "7K3MZ9QX2B" in text
    assert "7K3MZ9QX2B" in Page(html).text
    assert "https://shop.example/orders/7K3MZ9QX2B#k=ORDER-TOKEN" in text
    assert "https://shop.example/orders/7K3MZ9QX2B#k=ORDER-TOKEN" in Page(html).links
    assert "{" not in text


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}{% raw %}",
    "</td></table><a href='https://evil.example'>pay here</a>",
    "&lt;b&gt;",
    "<!--",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_a_buyer_typed_stays_text_in_html(hostile: str) -> None:
    order = make_order(
        email="a@buyer.example",
        shipping_address=Address(hostile, hostile, hostile, hostile, hostile, hostile, hostile),
        lines=(Line("SKU", hostile, 1, 100, 100, {hostile: hostile}),),
    )
    plain = make_order(
        shipping_address=Address("name", "line", "city", "XX", "line", "region", "postal"),
        lines=(Line("SKU", "name", 1, 100, 100, {"option": "value"}),),
    )

    _, _, html = WRITER.write("order_paid", order)

    harmless = Page(WRITER.write("order_paid", plain)[2])
    page = Page(html)
    assert page.tags == harmless.tags
    assert page.attributes == harmless.attributes
    assert page.links == harmless.links
    assert " ".join(hostile.split()) in page.text


def test_a_line_end_in_a_name_begins_no_line_of_a_text() -> None:
    forged = "Ada\r\nWe owe you $1,000: https://evil.example\u2028\u0085\x0bnow"
    order = make_order(shipping_address=replace(make_order().shipping_address, name=forged))

    _, text, _ = WRITER.write("order_paid", order)

    assert "  Ada We owe you $1,000: https://evil.example now\n" in text
    assert not any(line.startswith("We owe you") for line in text.splitlines())


def test_a_subject_is_one_line_whatever_the_number_says() -> None:
    order = make_order(number="A\r\nBcc: all@buyer.example")

    subject, _, _ = WRITER.write("order_paid", order)

    assert subject == "Order A Bcc: all@buyer.example: thank you, your payment has arrived"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada Lovelace", "Ada Lovelace"),
        ("  a\t\tb\r\n\x00c ", "a b c"),
        ("gnp.\u202egpj.exe", "gnp. gpj.exe"),
        ("Zoë 林 🪔", "Zoë 林 🪔"),
    ],
)
def test_one_line_keeps_words_of_any_script(text: str, expected: str) -> None:
    assert one_line(text) == expected


@pytest.mark.parametrize(
    ("currency", "locale", "total"),
    [("USD", "en_US", "$1,343.85"), ("EUR", "en_US", "€1,343.85"), ("JPY", "en_US", "¥134,385"),
     ("KWD", "en_US", "KWD134.385"), ("EUR", "de_DE", "1.343,85\xa0€")],
)  # fmt: skip
def test_amounts_are_written_as_the_locale_and_the_currency_have_them(currency: str, locale: str, total: str) -> None:
    writer = Writer(shop_name="Vitrine", public_url="https://shop.example", locale=locale)

    _, text, html = writer.write("order_paid", make_order(currency=currency))

    assert f"Total: {total}\n" in text
    assert total in html.replace("&nbsp;", "\xa0")


def test_a_locale_that_nobody_knows_is_no_reason_not_to_write() -> None:
    writer = Writer(shop_name="Vitrine", public_url="https://shop.example", locale="zz_ZZ")

    assert writer.write("order_paid", make_order()) == WRITER.write("order_paid", make_order())


def test_tax_that_prices_include_is_said_below_the_total_and_not_added() -> None:
    order = make_order(prices_include_tax=True, total_minor=125340, discount_minor=0)

    _, text, _ = WRITER.write("order_paid", order)

    assert "  Shipping: $5.90\n  Total: $1,253.40\n  (includes $90.45 tax)\n" in text


def test_a_discount_is_taken_off() -> None:
    _, text, _ = WRITER.write("order_paid", make_order(discount_minor=1000, total_minor=133385))

    assert "  Subtotal: $1,247.50\n  Discount: -$10.00\n  Shipping: $5.90\n" in text


@pytest.mark.parametrize(
    ("order", "sentence"),
    [
        (make_order(captured_minor=0), "You have not been charged."),
        (make_order(refunds=(make_refund("cancelled", 134385),)), "We are giving back $1,343.85 through PayPal."),
        (
            make_order(
                refunds=(
                    make_refund("staff", 400, "completed"),
                    make_refund("staff", 85, "pending"),
                    make_refund("staff", 99, "failed"),
                    make_refund("cancelled", 133900),
                )
            ),
            "We are giving back $1,339.85 through PayPal.",
        ),
    ],
)
def test_the_mail_of_a_cancelled_order_says_what_becomes_of_the_money(order: Order, sentence: str) -> None:
    _, text, html = WRITER.write("order_cancelled", order)

    assert sentence in text
    assert sentence in Page(html).text


@pytest.mark.parametrize("charged", [{"captured_minor": 134385}, {"captured_minor": 0, "bound_capture_id": "C1"}])
def test_nobody_whose_money_came_and_went_back_before_the_cancel_reads_of_no_charge(charged: dict[str, Any]) -> None:
    """Also of another currency, of which nothing is counted in the order's."""
    _, text, html = WRITER.write("order_cancelled", make_order(**charged))

    for words in (text, Page(html).text):
        assert "has been cancelled. Nothing of it will be sent." in words
        assert "charged" not in words
        assert "giving back" not in words


@pytest.mark.parametrize(
    ("template", "refunds", "sentence"),
    [
        ("order_cancelled", (make_refund("cancelled", 1662, currency="EUR"),), "We are giving back €16.62 through"),
        ("payment_returned", (make_refund("duplicate", 300, currency="EUR"),), "We are giving back €3.00 through"),
        (
            "payment_returned",
            (
                make_refund("duplicate", 1706),
                make_refund("late", 300, currency="JPY"),
                make_refund("duplicate", 4, currency=None),
                make_refund("duplicate", 900, "failed", "EUR"),
            ),
            "We are giving back $17.10 and ¥300 through",
        ),
    ],
)
def test_money_that_goes_back_is_named_in_the_currency_that_it_came_in(
    template: str, refunds: tuple[Refund, ...], sentence: str
) -> None:
    _, text, html = WRITER.write(template, make_order(refunds=refunds))

    assert sentence in text
    assert sentence in Page(html).text


@pytest.mark.parametrize(("currency", "amount"), [("EUR", "€16.62"), ("USD", "$16.62"), (None, "$16.62")])
def test_the_mail_of_a_refund_names_its_own_currency_or_else_the_orders(currency: str | None, amount: str) -> None:
    refund = make_refund("staff", 1662, "completed", currency)

    subject, text, html = WRITER.write("order_refunded", make_order(refunds=(refund,)), refund_id=refund.id)

    assert subject == f"Order 7K3MZ9QX2B: {amount} refunded"
    assert text.startswith(f"{amount} of order 7K3MZ9QX2B have gone back to you through PayPal.\n")
    assert f"{amount} of order 7K3MZ9QX2B have gone back to you" in Page(html).text


def test_the_mail_of_a_shipment_says_what_travels_with_whom() -> None:
    subject, text, html = WRITER.write("order_shipped", make_order(), shipment=make_shipment())

    assert subject == "Order 7K3MZ9QX2B: on its way to you"
    assert (
        text
        == """\
Your order is on its way.

DHL has it now, under this tracking number: JJD0001

This parcel of order 7K3MZ9QX2B has:

  2 x Brass desk lamp

Your order: https://shop.example/orders/7K3MZ9QX2B#k=ORDER-TOKEN

Delivery to (Standard):

  Ada Lovelace
  12 Analytical Way
  Springfield IL 62704
  United States

--
Vitrine, https://shop.example
The link to your order works for whoever has it, so please keep this mail to yourself.
"""
    )
    for words in ("DHL", "JJD0001", "2 × Brass desk lamp"):
        assert words in Page(html).text


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_staff_typed_of_a_carrier_stays_text_in_html(hostile: str) -> None:
    _, _, html = WRITER.write("order_shipped", make_order(), shipment=make_shipment(carrier=hostile, number=hostile))

    harmless = Page(WRITER.write("order_shipped", make_order(), shipment=make_shipment())[2])
    assert Page(html).tags == harmless.tags


def test_the_mails_of_a_return_say_what_may_come_back_and_what_came() -> None:
    approved = WRITER.write("return_approved", make_order(), goods=make_goods())
    rejected = WRITER.write("return_rejected", make_order(), goods=make_goods("The lamps were used."))
    received = WRITER.write("return_received", make_order(), goods=make_goods())
    nothing = WRITER.write("return_received", make_order(), goods=make_goods(receipts=()))

    assert approved[0] == "Order 7K3MZ9QX2B: please send it back"
    assert "  2 x Brass desk lamp\n" in approved[1]
    assert rejected[0] == "Order 7K3MZ9QX2B: about your return"
    assert "The reason: The lamps were used." in rejected[1]
    assert received[0] == "Order 7K3MZ9QX2B: your return has arrived"
    assert "This has come back of order 7K3MZ9QX2B:\n\n  1 x Brass desk lamp\n" in received[1]
    assert "Nothing of your return of order 7K3MZ9QX2B was in the parcel." in nothing[1]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_staff_typed_of_a_rejection_stays_text_in_html(hostile: str) -> None:
    _, _, html = WRITER.write("return_rejected", make_order(), goods=make_goods(hostile))

    harmless = Page(WRITER.write("return_rejected", make_order(), goods=make_goods("worn"))[2])
    assert Page(html).tags == harmless.tags


def test_a_refused_payment_is_told_with_the_time_that_is_left() -> None:
    _, text, _ = WRITER.write("payment_refused", make_order())

    assert "We keep your items for you until November 22, 12:10 PM UTC." in text


def test_the_last_refused_payment_invites_to_no_other() -> None:
    """With what the order's event carries then."""
    last = make_order(status="pending_payment", status_reason=USED_UP)

    _, text, html = WRITER.write("payment_refused", last)

    for words in (text, html):
        assert "this one takes no more, and ends by itself soon" in words
        assert "You have not been charged." in words
        assert "try again" not in words.lower()
        assert "We keep your items" not in words
    assert "order again: your cart is as you left it." in text
