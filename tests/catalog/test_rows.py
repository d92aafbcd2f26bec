"""A row of a file becomes a line of an import, or a reason why not."""

from decimal import Decimal
from typing import Any

import pytest

from shared.catalog.products import ImportLine, Refused
from shared.catalog.rows import read_row


def read(**cells: Any) -> ImportLine:
    return read_row(7, {"sku": "BRASS-LAMP"} | cells, currency="USD")


def test_every_column_is_read() -> None:
    line = read_row(
        3,
        {
            "SKU": " LAMP-S ", "product": "LAMP", "Name": "Brass  Lamp", "brand": "Nordby",
            "category_path": "Home > Lamps", "description": "Warm\r\nlight", "price": "19.90", "currency": "usd",
            "option.Size": "S", "option.Colour": "", "weight_g": "900.5", "tax_class": "Reduced",
            "image_url": "https://x.example/1.jpg demo/2.webp", "on_hand": "5", "popularity": 9,
            "ean": "4006381333931", "empty": "",
        },
        currency="USD",
    )  # fmt: skip

    assert line == ImportLine(
        line=3,
        sku="LAMP-S",
        group_key="LAMP",
        name="Brass Lamp",
        brand="Nordby",
        category=("Home", "Lamps"),
        description="Warm\nlight",
        price_minor=1990,
        currency="USD",
        options={"Size": "S"},
        weight_g=901,
        tax_class="reduced",
        image_urls=("https://x.example/1.jpg", "demo/2.webp"),
        on_hand=5,
        popularity=9,
        attributes={"ean": "4006381333931", "empty": None},
    )


def test_what_a_row_does_not_say_is_left_open() -> None:
    assert read() == ImportLine(line=7, sku="BRASS-LAMP", currency="USD")


def test_an_empty_text_clears_and_an_empty_number_says_nothing() -> None:
    line = read(brand="", category_path="", description="", image_url="", price="", weight_g="", on_hand="")

    assert (line.brand, line.category, line.description, line.image_urls) == ("", (), "", ())
    assert (line.price_minor, line.weight_g, line.on_hand) == (None, None, None)


@pytest.mark.parametrize(
    ("price", "currency", "minor"),
    [
        ("19.9", "USD", 1990),
        ("19.900", "USD", 1990),
        (".5", "USD", 50),
        ("0", "USD", 0),
        ("+3", "USD", 300),
        (Decimal("49.95"), "USD", 4995),
        (12, "USD", 1200),
        ("1500", "JPY", 1500),
        ("1.234", "KWD", 1234),
        ("1490.00", "HUF", 149000),
        (Decimal("1E+3"), "USD", 100000),
    ],
)
def test_a_price_is_exact_in_the_minor_units_of_its_currency(price: Any, currency: str, minor: int) -> None:
    assert read_row(1, {"sku": "A", "price": price}, currency=currency).price_minor == minor


@pytest.mark.parametrize("currency", ["HUF", "TWD"])
def test_a_price_that_paypal_could_not_collect_is_refused(currency: str) -> None:
    """ISO 4217 gives these currencies two decimals, PayPal takes none."""
    with pytest.raises(Refused, match=f"price has decimals, and {currency} is paid in whole units only"):
        read_row(1, {"sku": "A", "price": "14.90"}, currency=currency)


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ({"sku": ""}, "sku is missing"),
        ({"sku": None}, "sku is missing"),
        ({"sku": "x" * 65}, "sku is longer than 64 characters"),
        ({"sku": "a\0b"}, "sku contains a NUL character"),
        ({"sku": ".."}, "sku cannot be '..': it would not survive an address"),
        ({"sku": ["A"]}, "sku is not a text"),
        ({"sku": True}, "sku is not a text"),
        ({"name": "half \ud83d emoji"}, "name is not valid UTF-8"),
        ({"name": "x" * 501}, "name is longer than 500 characters"),
        ({"price": "-1"}, "price is negative"),
        ({"price": -1}, "price is negative"),
        ({"price": "1.999"}, "price has more decimals than USD has (2)"),
        ({"price": "1,99"}, "price is not a number: '1,99' (digits, with a point before the decimals)"),
        ({"price": "12 USD"}, "price is not a number: '12 USD' (digits, with a point before the decimals)"),
        ({"price": "１２"}, "price is not a number: '１２' (digits, with a point before the decimals)"),
        ({"price": "NaN"}, "price is not a number: 'NaN' (digits, with a point before the decimals)"),
        ({"price": Decimal("1E+999999")}, "price is too large"),
        ({"price": "99999999999999"}, "price is too large"),
        ({"price": True}, "price is not a number"),
        ({"price": {"amount": 1}}, "price is not a text"),
        ({"currency": "EUR"}, "currency is EUR, and the shop sells in USD"),
        ({"currency": "XXX"}, "currency is XXX, and the shop sells in USD"),
        ({"on_hand": "1.5"}, "on_hand is not a whole number"),
        ({"on_hand": "-3"}, "on_hand is negative"),
        ({"on_hand": "9999999999"}, "on_hand is too large"),
        ({"weight_g": "heavy"}, "weight_g is not a number: 'heavy' (digits, with a point before the decimals)"),
        ({"category_path": "Home > > Lamps"}, "category_path has an empty level"),
        ({"category_path": " > ".join("abcdefghi")}, "category_path has more than 8 levels"),
        ({"description": "x" * 50_001}, "description is longer than 50000 characters"),
        ({"tax_class": "very reduced"}, "tax_class is not a word of letters, digits, - and _"),
        ({"image_url": "javascript:alert(1)"}, "image_url is not an http(s) address: 'javascript:alert(1)'"),
        ({"options": "red"}, "options is not an object; as a column it is called option.<name>"),
        ({"attributes": "red"}, "attributes is not an object"),
        ({"attributes": {"note": "a\0b"}}, "note contains a NUL character"),
        ({"note": {"deep": ["\0"]}}, "note contains a NUL character"),
        ({"note": "x" * 100_001}, "attributes are longer than 100000 characters"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(cells: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused) as refused:
        read(**cells)

    assert str(refused.value) == reason


def test_options_and_attributes_may_be_objects() -> None:
    line = read(options={"Size": "M"}, attributes={"ean": ["1", "2"], "weight": Decimal("5.50")}, model="X1")

    assert line.options == {"Size": "M"}
    assert line.attributes == {"ean": ["1", "2"], "weight": 5.5, "model": "X1"}
