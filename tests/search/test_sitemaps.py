"""Sitemaps name the page of every product on sale, once, in files that a search engine takes (sitemaps.org)."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID
from xml.etree import ElementTree

import pytest
from flask.testing import FlaskClient
from pg8000.core import CoreConnection
from pg8000.native import to_statement

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.sitemaps import COUNT, ON_SALE, ProductsOfSitemaps
from shared.search.listing import SitemapNotFound
from shared.search.sitemaps import MOST_LISTED, PageOnSale, write_file, write_index
from shared.settings import DatabaseSettings
from tests.numbers import PROVE
from tools.scratch_database import ScratchServer

SHOP = "https://shop.example"
NAMESPACE = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
MANY = 200_000 if PROVE else 12_000


def locations(file: bytes, kind: str) -> list[str]:
    """Every <loc>, in order, where the file is of that kind and holds nothing else than the protocol knows."""
    root = ElementTree.fromstring(file)
    assert root.tag == f"{NAMESPACE}{kind}"
    assert {part.tag for entry in root for part in entry} <= {f"{NAMESPACE}loc", f"{NAMESPACE}lastmod"}
    return [entry.findtext(f"{NAMESPACE}loc", "") for entry in root]


def slugs(file: bytes) -> list[str]:
    return [url.removeprefix(f"{SHOP}/products/") for url in locations(file, "urlset")]


# Over HTTP ------------------------------------------------------------------------------------------------------------


def test_a_small_shop_has_one_file_with_every_product_and_its_last_change(
    client: FlaskClient, catalogue_database: Address
) -> None:
    connection = catalogue_database.connect()
    expected = connection.run("select slug, updated_at from products order by id")
    connection.close()

    index, file = client.get("/sitemap.xml"), client.get("/products/sitemap-all.xml")

    assert index.data == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n'
        b'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n'
        b"<sitemap><loc>https://shop.example/products/sitemap-all.xml</loc></sitemap>\n"
        b"</sitemapindex>\n"
    )
    entries = [
        f"<url><loc>https://shop.example/products/{slug}</loc><lastmod>{changed_at:%Y-%m-%dT%H:%M:%S.}"
        f"{changed_at.microsecond // 1000:03d}Z</lastmod></url>\n"
        for slug, changed_at in expected
    ]
    assert len(entries) == 66
    assert file.data.decode().splitlines(keepends=True)[2:-1] == entries


@pytest.mark.parametrize("path", ["/sitemap.xml", "/products/sitemap-all.xml"])
def test_a_sitemap_is_kept_for_an_hour_and_asked_for_by_its_tag(client: FlaskClient, path: str) -> None:
    first, head = client.get(path), client.head(path)
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status_code, first.content_type) == (200, "application/xml")
    assert first.headers["Cache-Control"] == "public, max-age=3600"
    assert (head.status_code, head.data, dict(head.headers)) == (200, b"", dict(first.headers))
    assert (again.status_code, again.data) == (304, b"")


def test_a_file_lies_where_the_pages_do_that_it_names(client: FlaskClient) -> None:
    # sitemaps.org/protocol.html, Sitemap file location: what is not below the file's own directory is not valid in it.
    for file in locations(client.get("/sitemap.xml").data, "sitemapindex"):
        pages = locations(client.get(file.removeprefix(SHOP)).data, "urlset")

        assert len(pages) == 66
        assert {page.rpartition("/")[0] for page in pages} == {file.rpartition("/")[0]}


@pytest.mark.parametrize("published_at", ["null", "now() + interval '1 hour'"])
def test_only_what_is_published_and_has_a_variant_to_sell_is_named(
    client: FlaskClient, catalogue_database: Address, published_at: str
) -> None:
    before = slugs(client.get("/products/sitemap-all.xml").data)
    connection = catalogue_database.connect()
    try:
        connection.run(f"update products set published_at = {published_at} where slug = 'laptop-stand'")
        connection.run("update variants set active = false where sku in ('KT-INS114-DRE', 'TEE-M')")

        after = slugs(client.get("/products/sitemap-all.xml").data)
    finally:
        connection.run("update products set published_at = created_at where slug = 'laptop-stand'")
        connection.run("update variants set active = true where sku in ('KT-INS114-DRE', 'TEE-M')")
        connection.close()

    assert [slug for slug in before if slug not in after] == [
        slug for slug in before if slug in ("laptop-stand", "insulated-bottle")
    ]
    assert len(after) == len(before) - 2


def test_the_files_of_another_index_lead_to_the_same_products(client: FlaskClient) -> None:
    whole = slugs(client.get("/products/sitemap-all.xml").data)

    parts = [client.get(f"/products/sitemap-{digit:x}.xml") for digit in range(16)]

    assert {part.status_code for part in parts} <= {200, 404}
    assert [slug for part in parts if part.status_code == 200 for slug in slugs(part.data)] == whole


def test_an_address_stays_within_its_element(client: FlaskClient, catalogue_database: Address) -> None:
    connection = catalogue_database.connect()
    try:
        connection.run("update products set slug = 'a&b</loc>\"é' where slug = 'laptop-stand'")

        named = slugs(client.get("/products/sitemap-all.xml").data)
    finally:
        connection.run("update products set slug = 'laptop-stand' where slug like 'a&b%'")
        connection.close()

    assert [slug for slug in named if slug.startswith("a")] == ["a%26b%3C/loc%3E%22%C3%A9"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/products/sitemap-categories.xml", 404),
        ("/products/sitemap-A.xml", 404),
        ("/products/sitemap-g.xml", 404),
        ("/products/sitemap-0000.xml", 404),
        ("/products/sitemap-%D9%A1.xml", 404),
        ("/products/sitemap-" + "x" * 5000 + ".xml", 404),
        ("/products/sitemap-a%00b.xml", 400),
        ("/products/sitemap-all.xml?page=2", 400),
        ("/sitemap.xml?page=2", 400),
    ],
)
def test_another_name_is_no_sitemap(client: FlaskClient, path: str, status: int) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_part_that_has_no_product_is_no_sitemap(client: FlaskClient, catalogue_database: Address) -> None:
    connection = catalogue_database.connect()
    try:
        [[ids]] = connection.run("select array_agg(id::text) from products")
    finally:
        connection.close()
    part = next(each for each in (f"{n:03x}" for n in range(4096)) if not any(known.startswith(each) for known in ids))

    answer = client.get(f"/products/sitemap-{part}.xml")

    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


# Of many products -----------------------------------------------------------------------------------------------------


@dataclass
class Many:
    """The search function's connections: one that it reads with, and one to ask for plans in the same settings."""

    address: Address
    database: Database
    asking: CoreConnection


@pytest.fixture(scope="module")
def many(postgres: ScratchServer) -> Iterator[Many]:
    """A shop of MANY products, as the search function reads it: by indexes, each statement in 300 ms."""
    address = postgres.copy()
    connection = address.connect()
    # In steps that the connection waits for.
    for after in range(0, MANY, 10_000):
        numbers = f"generate_series({after + 1}, {min(after + 10_000, MANY)}) n"
        connection.run(
            f"""
            insert into products (id, slug, group_key, name, price_minor, currency, published_at, created_at,
                updated_at, words, search_text)
            select md5(n::text)::uuid, 'product-' || n, 'P-' || n, 'Product', 100, 'USD',
                case when n % 10 > 0 then now() end, now(), now(), '', ''
            from {numbers}
            """
        )
        connection.run(
            f"""
            insert into variants (sku, product_id, price_minor, currency, active, updated_at)
            select 'SKU-' || n, md5(n::text)::uuid, 100, 'USD', n % 10 <> 5, now() from {numbers}
            """
        )
    connection.run("vacuum analyze products")
    connection.run("vacuum analyze variants")
    connection.close()
    settings = DatabaseSettings("url", 1, postgres.login(address, "search").url)
    connect = connector(settings, application="test", statement_timeout_ms=300, planning=BY_INDEXES)
    made = Database(connect, size=1, clock=SystemClock())
    asking = connect()
    yield Many(address, made, asking)
    asking.close()
    made.close()


def test_the_files_together_name_each_product_once(many: Many) -> None:
    products = ProductsOfSitemaps(many.database, now=datetime.now(UTC))

    index = locations(write_index(products, public_url=SHOP), "sitemapindex")
    parts = [url.removeprefix(f"{SHOP}/products/sitemap-").removesuffix(".xml") for url in index]
    files = [slugs(write_file(part, products, public_url=SHOP)) for part in parts]

    digits = 2 if PROVE else 1
    assert index == [f"{SHOP}/products/sitemap-{number:0{digits}x}.xml" for number in range(16**digits)]
    named = [slug for file in files for slug in file]
    assert len(named) == len(set(named)) == MANY * 8 // 10
    assert {slug[-1] for slug in named} == set("12346789")
    assert max(len(file) for file in files) < 10_000


def test_a_page_has_changed_when_it_was_published(many: Many) -> None:
    due = datetime.now(UTC) + timedelta(days=2)
    owner = many.address.connect()
    [[product]] = owner.run("update products set published_at = :due where slug = 'product-1' returning id", due=due)

    [before, after] = [
        ProductsOfSitemaps(many.database, now=at).list_on_sale(product, product, limit=1)
        for at in (due - timedelta(microseconds=1), due)
    ]

    owner.run("update products set published_at = updated_at where slug = 'product-1'")
    owner.close()
    assert (before, after) == ([], [PageOnSale(product, "product-1", due)])


@pytest.mark.parametrize(
    ("sql", "indexes"), [(COUNT, {"products_pkey"}), (ON_SALE, {"products_pkey", "variants_product"})]
)
def test_a_statement_goes_by_keys(many: Many, sql: str, indexes: set[str]) -> None:
    statement, _ = to_statement(sql)

    plan = "\n".join(row[0] for row in many.asking.execute_simple(f"explain (generic_plan) {statement}").rows)

    assert set(re.findall(r"Index (?:Only )?Scan using (\w+)", plan)) == indexes, plan
    assert re.findall(r"Seq Scan|Bitmap|Sort|Hash", plan) == [], plan


# Without a database ---------------------------------------------------------------------------------------------------


@dataclass
class Range:
    """Products with the ids 0, 1, 2 ...: as uneven as ids can be."""

    size: int
    asked: int = 0

    def count(self, first: UUID, last: UUID, *, most: int) -> int:
        return min(most, max(0, min(self.size, last.int + 1) - first.int))

    def list_on_sale(self, first: UUID, last: UUID, *, limit: int) -> Sequence[PageOnSale]:
        self.asked += 1
        ends = min(self.size, last.int + 1, first.int + limit)
        moment = datetime(2026, 11, 23, 1, 2, 3, 4567, UTC)
        return [PageOnSale(UUID(int=number), f"p{number}", moment) for number in range(first.int, ends)]


@dataclass
class Even:
    """So many products, spread over all ids."""

    size: int

    def count(self, first: UUID, last: UUID, *, most: int) -> int:
        return min(most, self.size * (last.int - first.int + 1) >> 128)

    def list_on_sale(self, first: UUID, last: UUID, *, limit: int) -> Sequence[PageOnSale]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("size", "files"),
    [(10_001, 16), (160_000, 16), (160_016, 256), (2_560_256, 4096), (10_000_000_000, 4096)],
)
def test_there_are_as_many_files_as_it_takes_and_no_more_than_an_index_may_name(size: int, files: int) -> None:
    named = locations(write_index(Even(size), public_url=SHOP), "sitemapindex")

    assert len(named) == len(set(named)) == files <= MOST_LISTED
    width = {16: 1, 256: 2, 4096: 3}[files]
    assert (named[0], named[-1]) == (
        f"{SHOP}/products/sitemap-{'0' * width}.xml",
        f"{SHOP}/products/sitemap-{'f' * width}.xml",
    )


def test_a_file_is_never_longer_than_a_search_engine_takes() -> None:
    products = Range(60_000)

    file = write_file("000", products, public_url=SHOP)

    assert len(slugs(file)) == MOST_LISTED == 50_000
    assert len(file) < 50 * 1024 * 1024
    assert products.asked == 100


@pytest.mark.parametrize(("size", "asked"), [(499, 1), (500, 2), (501, 2), (1000, 3)])
def test_a_file_ends_where_its_products_do(size: int, asked: int) -> None:
    products = Range(size)

    file = write_file("all", products, public_url=SHOP)

    assert (slugs(file), products.asked) == ([f"p{number}" for number in range(size)], asked)
    assert b"<lastmod>2026-11-23T01:02:03.004Z</lastmod>" in file


def test_where_nothing_is_sold_there_is_no_sitemap() -> None:
    with pytest.raises(SitemapNotFound):
        write_index(Range(0), public_url=SHOP)
    with pytest.raises(SitemapNotFound):
        write_file("all", Range(0), public_url=SHOP)
