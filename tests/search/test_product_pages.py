"""A product as a page of HTML: what people read, a link preview shows and a search engine indexes."""

import base64
import hashlib
import html.parser
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient
from pg8000.native import Connection

from local.database import Address
from tests.edge.test_importing import import_alone


@dataclass
class Page(html.parser.HTMLParser):
    """What a browser makes of the bytes, by the parser of the standard library."""

    raw: str
    metas: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open = ""
        self.feed(self.raw)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        self._open = tag
        name = attributes.get("property") or attributes.get("name")
        if tag == "meta" and name:
            assert name not in self.metas
            self.metas[name] = attributes["content"] or ""

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        self.texts[self._open] = self.texts.get(self._open, "") + data

    def find(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag and wanted.items() <= attributes.items()]

    @property
    def data(self) -> Any:
        return json.loads(self.texts["script"])


@pytest.fixture
def tee(catalogue_database: Address) -> Iterator[Connection]:
    """The owner's connection; what a test makes of the tee and its variants is undone."""
    connection = catalogue_database.connect()
    connection.run("create temp table kept as select * from products where slug = 'plain-tee'")
    connection.run("create temp table kept_variants as select * from variants where sku like 'TEE-%'")
    yield connection
    connection.run(
        """
        update products p set slug = k.slug, name = k.name, description = k.description, attributes = k.attributes,
            image_urls = k.image_urls, brand_id = k.brand_id, published_at = k.published_at
        from kept k where p.id = k.id
        """
    )
    connection.run(
        """
        update variants v set price_minor = k.price_minor, currency = k.currency, active = k.active,
            options = k.options
        from kept_variants k where v.sku = k.sku
        """
    )
    connection.run("delete from slug_history")
    connection.close()


def open_page(client: FlaskClient, path: str = "/products/plain-tee") -> Page:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8"), answer.text
    return Page(answer.data.decode())


def test_a_preview_and_a_search_engine_read_the_product_in_the_head(client: FlaskClient) -> None:
    page = open_page(client)

    assert page.texts["title"] == "Plain Tee"
    assert page.find("link", rel="canonical") == [
        {"rel": "canonical", "href": "https://shop.example/products/plain-tee"}
    ]
    assert page.metas == {
        "viewport": "width=device-width, initial-scale=1",
        "description": "Soft.",
        "og:type": "product",
        "og:title": "Plain Tee",
        "og:description": "Soft.",
        "og:url": "https://shop.example/products/plain-tee",
        "og:image": "https://media.example/bucket/demo/tee.webp",
        "og:image:alt": "Plain Tee",
        "product:brand": "Wren",
        "product:price:amount": "17.00",
        "product:price:currency": "USD",
        "product:availability": "in stock",
        "twitter:card": "summary_large_image",
    }
    offer = {"@type": "Offer", "url": "https://shop.example/products/plain-tee", "priceCurrency": "USD"}
    assert page.data == {
        "@context": "https://schema.org",
        "@type": "Product",
        "name": "Plain Tee",
        "url": "https://shop.example/products/plain-tee",
        "description": "Soft.",
        "image": ["https://media.example/bucket/demo/tee.webp", "https://x.example/t.jpg"],
        "sku": "TEE-M",
        "brand": {"@type": "Brand", "name": "Wren"},
        "category": "Clothing > Tops",
        "offers": [
            {**offer, "sku": "TEE-S", "price": "15.00", "availability": "https://schema.org/OutOfStock"},
            {**offer, "sku": "TEE-M", "price": "17.00", "availability": "https://schema.org/InStock"},
            {**offer, "sku": "TEE-L", "price": "19.00", "availability": "https://schema.org/InStock"},
        ],
    }


def test_people_read_the_same(client: FlaskClient) -> None:
    page = open_page(client)

    assert page.texts["h1"] == "Plain Tee"
    assert page.texts["div"].split() == ["Soft."]
    assert page.texts["p"] == "17.00 USDIn stock"
    assert page.texts["td"] == "15.00 USDSold out17.00 USDIn stock19.00 USDIn stock"
    assert [image["src"] for image in page.find("img")] == [
        "https://media.example/bucket/demo/tee.webp",
        "https://x.example/t.jpg",
    ]


@pytest.mark.parametrize(
    ("currency", "minor", "amount", "display"),
    [
        ("HUF", 499_000, "4990.00", "4990.00 HUF"),
        ("JPY", 1500, "1500", "1500 JPY"),
        ("KWD", 12_345, "12.345", "12.345 KWD"),
        ("USD", 0, "0.00", "0.00 USD"),
        ("EUR", 1_000_000_000_000, "10000000000.00", "10000000000.00 EUR"),
    ],
)
def test_a_price_is_said_in_major_units_of_its_currency(
    client: FlaskClient, tee: Connection, currency: str, minor: int, amount: str, display: str
) -> None:
    tee.run("update variants set price_minor = :m, currency = :c where sku like 'TEE-%'", m=minor, c=currency)

    page = open_page(client)

    assert [(offer["price"], offer["priceCurrency"]) for offer in page.data["offers"]] == [(amount, currency)] * 3
    assert (page.metas["product:price:amount"], page.metas["product:price:currency"]) == (amount, currency)
    assert display in page.texts["p"]


HOSTILE = {
    "script": "</script><script>alert(1)</script>",
    "comment": "<!-- <script> -->",
    "title": "</title><img src=x onerror=alert(1)>",
    "quotes": "\"quoted\" 'single' `tick` & &amp; &lt;b&gt;",
    "attribute": '" onload="alert(1)" x="',
    "template": "{{ 7 * 7 }} {% raw %} ${7}",
    "emoji": "Lamp 🪔👩‍👩‍👧‍👦 é",
    "right to left": "منارة نحاسية مצ",
    "backslashes": "\\u003c/script\\u003e \\",
    "long": "Lamp " * 2000,
    "long word": "X" * 10_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_of_a_feed_is_anything_but_text(client: FlaskClient, tee: Connection, text: str) -> None:
    before = [tag for tag, _ in open_page(client).tags]
    tee.run("update products set name = :t, description = :t where slug = 'plain-tee'", t=text)
    tee.run("update brands set name = :t where slug = 'wren'", t=text)
    tee.run("update variants set options = jsonb_build_object(:t::text, :t::text) where sku like 'TEE-%'", t=text)
    try:
        page = open_page(client)
    finally:
        tee.run("update brands set name = 'Wren' where slug = 'wren'")

    assert [tag for tag, _ in page.tags] == before
    assert page.data["name"] == page.texts["h1"] == text.strip()
    assert page.data["brand"]["name"] == text.strip()
    assert page.data["description"] == text.strip()[:5000]
    assert page.texts["title"] == page.metas["og:title"]
    assert text.startswith(page.texts["title"].rstrip("…"))
    assert len(page.texts["title"]) <= 120
    assert len(page.metas["description"]) <= 200
    assert page.find("meta", onload="alert(1)") == []
    # What ends a script element in HTML is in none of its text, whatever the case.
    assert "<" not in page.texts["script"]


def test_what_ends_a_line_or_turns_its_direction_is_left_out(client: FlaskClient, tee: Connection) -> None:
    name = "Lamp\x01\x0b\x1b[31m \u202egnp.exe\u2066\u2028x\x7f\x85y"
    tee.run(
        "update products set name = :n, description = :d where slug = 'plain-tee'", n=name, d=f"One.\r\n\n{name}\tz"
    )

    answer = client.get("/products/plain-tee")

    page = Page(answer.data.decode())
    assert page.data["name"] == page.texts["h1"] == page.texts["title"] == "Lamp [31m gnp.exe x y"
    assert page.data["description"] == "One.\n\nLamp [31m gnp.exe x y z"
    assert page.metas["description"] == "One. Lamp [31m gnp.exe x y z"
    assert [character for character in answer.data.decode() if not character.isprintable() and character != "\n"] == []


def test_a_product_that_says_little_has_a_page(client: FlaskClient) -> None:
    page = open_page(client, "/products/insulated-bottle")

    assert page.metas["description"] == "Insulated Bottle"
    assert page.metas["twitter:card"] == "summary"
    assert "og:image" not in page.metas
    assert page.find("img") == page.find("table") == page.find("nav") == []
    assert sorted(page.data) == ["@context", "@type", "brand", "name", "offers", "sku", "url"]


def test_what_is_sold_no_more_offers_nothing(client: FlaskClient, tee: Connection) -> None:
    tee.run("update variants set active = false where sku like 'TEE-%'")

    page = open_page(client)

    assert "offers" not in page.data
    assert (page.metas["product:availability"], "Sold out" in page.texts["p"]) == ("out of stock", True)


def test_attributes_are_read_where_they_are_texts_or_numbers(client: FlaskClient, tee: Connection) -> None:
    attributes = {"Care": "Wash at 30°", "Weight": 180, "Ratio": 0.5, "Eco": True, "Sizes": ["S"], "Deep": {"a": 1}}
    tee.run(
        "update products set attributes = :a::jsonb where slug = 'plain-tee'", a=json.dumps({**attributes, "No": None})
    )

    page = open_page(client)

    assert page.texts["bdi"].endswith("CareRatioWeight")
    assert page.texts["td"].endswith("Wash at 30°0.5180")


@pytest.mark.parametrize(
    ("image", "shown"),
    [
        ("//cdn.example/a.png", "https://cdn.example/a.png"),
        ("/local/a.png", "https://shop.example/local/a.png"),
        ("http://[broken", "http://[broken"),
        ('a" onerror="alert(1)', 'https://media.example/bucket/a" onerror="alert(1)'),
    ],
)
def test_a_picture_has_an_address_of_its_own(client: FlaskClient, tee: Connection, image: str, shown: str) -> None:
    tee.run("update products set image_urls = array[:i::text] where slug = 'plain-tee'", i=image)

    page = open_page(client)

    assert page.metas["og:image"] == page.find("img")[0]["src"] == page.data["image"][0] == shown


def test_no_script_runs_and_only_pictures_are_fetched(client: FlaskClient) -> None:
    answer = client.get("/products/plain-tee")

    page = Page(answer.data.decode())
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["img-src"] == "'self' http: https:"
    assert policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
    digest = base64.b64encode(hashlib.sha256(page.texts["style"].encode()).digest()).decode()
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert page.find("script") == [{"type": "application/ld+json"}]
    assert [attributes for _, attributes in page.tags if "style" in attributes] == []
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_page_is_kept_for_a_minute_and_asked_for_by_its_tag(client: FlaskClient) -> None:
    first, head = client.get("/products/plain-tee"), client.head("/products/plain-tee")
    again = client.get("/products/plain-tee", headers={"If-None-Match": first.headers["ETag"]})

    assert first.headers["Cache-Control"] == "public, max-age=60"
    assert "Vary" not in first.headers
    assert (head.status_code, head.data, dict(head.headers)) == (200, b"", dict(first.headers))
    assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", first.headers["ETag"])


def test_what_others_append_to_a_link_changes_nothing(client: FlaskClient) -> None:
    plain = client.get("/products/plain-tee")

    for query in ("?utm_source=mail&utm_medium=x", "?fbclid=IwAR&fbclid=2", "?%FF=%00", "?"):
        answer = client.get(f"/products/plain-tee{query}")
        assert (answer.status_code, answer.data) == (200, plain.data)


def test_an_old_address_leads_to_the_page_where_it_is_now(client: FlaskClient, tee: Connection) -> None:
    tee.run("insert into slug_history select 'simple-tee', id from products where slug = 'plain-tee'")

    answer = client.get("/products/simple-tee")

    assert (answer.status_code, answer.headers["Location"]) == (301, "/products/plain-tee")
    assert answer.headers["Cache-Control"] == "public, max-age=60"


@pytest.mark.parametrize(
    "path",
    ["/products/no-such", "/products/plain-tee/", "/products/a/b", "/products/%3Cscript%3E", "/products/Plain-Tee"],
)
def test_an_unknown_address_is_a_page_that_says_so(client: FlaskClient, path: str) -> None:
    answer = client.get(path)

    page = Page(answer.data.decode())
    assert (answer.status_code, answer.content_type) == (404, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert page.texts["h1"] == page.texts["title"] == "There is no such product"
    assert page.metas["robots"] == "noindex"
    assert page.find("a") == [{"href": "https://shop.example/"}]
    assert page.find("script") == []


@pytest.mark.parametrize("published_at", ["null", "now() + interval '1 hour'"])
def test_what_is_not_published_has_no_page(client: FlaskClient, tee: Connection, published_at: str) -> None:
    tee.run(f"update products set published_at = {published_at} where slug = 'plain-tee'")

    assert client.get("/products/plain-tee").status_code == 404


@pytest.mark.parametrize(("path", "status"), [("/products/a%00b", 400), ("/products", 404), ("/products/", 404)])
def test_what_is_no_address_is_a_problem(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_nobody_but_a_page_waits_for_what_renders_it() -> None:
    imported = import_alone("functions.search.main")["modules"]

    assert [name for name in imported if name.startswith(("shared.search.product_page", "shared.documents"))] == []
