"""Real products of ../shared/catalog: all go in, a second import changes nothing, and they are found. `make prove`
imports all 19,406 of them, `make test` every eighth and the first of each brand in each category.
"""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from functions.inventory import cli
from functions.search import cli as search_cli
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence import search_pages
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.search_matching import LAST_TIER
from shared.persistence.search_statements import list_statement
from shared.persistence.search_suggestions import suggestions_statement
from shared.search.listing import Matching, ProductPage, Search, Sort
from shared.search.texts import take_apart
from shared.settings import DatabaseSettings
from tests.catalog.conftest import Shop
from tests.numbers import PROVE
from tests.search.plans import plans_inside
from tools.bulk import indexed_afterwards
from tools.scratch_database import ScratchServer

PRODUCTS, UNCATEGORIZED, TONERS = (19_406, 2_625, 1_587) if PROVE else (3_261, 479, 176)
REPEATED = PRODUCTS if PROVE else 1_000

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def real_shop(postgres: ScratchServer, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop into which the catalogue was imported, three of everything."""
    address = postgres.copy()
    folder = tmp_path_factory.mktemp("real")
    file = folder / "icecat_products.jsonl.gz"
    lines = gzip.decompress((shared_data / "catalog" / "icecat_products.jsonl.gz").read_bytes()).splitlines(
        keepends=True
    )
    file.write_bytes(gzip.compress(b"".join(lines if PROVE else _part_of(lines)), compresslevel=1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", address.url)
        assert cli.main(["import", str(file), "--default-on-hand", "3"]) == 0
        connection = address.connect()
        with indexed_afterwards(connection):
            assert search_cli.main(["rebuild", "--quiet"]) == 0
    yield Shop(address, folder, connection)
    connection.close()


def _part_of(lines: list[bytes]) -> list[bytes]:
    """Every eighth line, and the first of each brand in each category."""
    kinds: set[tuple[object, object]] = set()
    part = []
    for number, line in enumerate(lines):
        row = json.loads(line)
        kind = row["brand"], row.get("category_path")
        if number % 8 == 0 or kind not in kinds:
            part.append(line)
        kinds.add(kind)
    return part


@pytest.fixture(scope="module")
def reader(real_shop: Shop, postgres: ScratchServer) -> Iterator[CatalogueReader]:
    """As the search function reads: its role, its 300 ms."""
    database = _database(postgres.login(real_shop.address, "search"))
    yield CatalogueReader(database)
    database.close()


def _database(address: Address) -> Database:
    settings = DatabaseSettings.from_env(
        {"VITRINE_ENVIRONMENT": "local", "DATABASE_ACCESS": "url", "DATABASE_URL": address.url, "POOL_SIZE": "1"}
    )
    connect = connector(settings, application="test", statement_timeout_ms=300, planning=BY_INDEXES)
    return Database(connect, size=1, clock=SystemClock(), wait_s=5)


def test_real_products_all_go_in(real_shop: Shop) -> None:
    assert not (real_shop.folder / "icecat_products.jsonl.gz.errors").exists()
    assert real_shop.ask("select count(*), count(distinct slug), count(category_id) from products") == [
        [PRODUCTS, PRODUCTS, PRODUCTS - UNCATEGORIZED]
    ]
    assert real_shop.ask("select count(*) from brands") == [[161]]
    assert real_shop.ask(
        "select count(*) from variants v join products p on p.id = v.product_id join stock_levels s on s.sku = v.sku"
        " where s.on_hand = 3 and s.held = 0 and v.active and p.price_minor = v.price_minor"
    ) == [[PRODUCTS]]


def test_a_second_import_of_them_changes_nothing(
    real_shop: Shop, say: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", real_shop.address.url)
    written = real_shop.ask("select max(updated_at) from products")
    lines = gzip.decompress((real_shop.folder / "icecat_products.jsonl.gz").read_bytes()).splitlines(keepends=True)

    assert real_shop.run(real_shop.write("again.jsonl", b"".join(lines[:REPEATED])), "--default-on-hand", "3") == 0

    assert say()[-1].startswith(f"again.jsonl: 0 new, 0 changed, {REPEATED} unchanged, 0 refused in ")
    assert real_shop.ask("select max(updated_at) from products") == written
    assert real_shop.ask("select count(*) from stock_movements") == [[PRODUCTS]]


def test_what_is_exported_of_them_comes_back_with_nothing_changed(
    real_shop: Shop, monkeypatch: pytest.MonkeyPatch, say: Callable[[], list[str]]
) -> None:
    monkeypatch.setenv("DATABASE_URL", real_shop.address.url)
    exported = real_shop.folder / "catalogue.csv.gz"

    assert cli.main(["export", str(exported), "--on-hand"]) == 0
    with gzip.open(exported, "rt", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    with io.StringIO(newline="") as part:
        csv.writer(part).writerows(rows[: 1 + REPEATED])
        assert real_shop.run(real_shop.write("part.csv", part.getvalue())) == 0

    assert len(rows) == 1 + PRODUCTS
    said = say()
    assert said[0].startswith(f"catalogue.csv.gz: {PRODUCTS} lines in ")
    assert said[1].startswith(f"part.csv: 0 new, 0 changed, {REPEATED} unchanged, 0 refused in ")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("006R90321", "ICE-3920564"),
        ("ice-3920564", "ICE-3920564"),
        ("3920564", "ICE-3920564"),
        ("dv7-1211ea", "ICE-2101957"),
        ("Xerox 006R9032", "ICE-3920564"),
    ],
)
def test_a_model_or_a_part_of_a_sku_finds_its_product(reader: CatalogueReader, text: str, found: str) -> None:
    assert reader.list_products(Search(text=text), limit=3).items[0].sku == found


def test_a_whole_category_is_paged_through(reader: CatalogueReader) -> None:
    search = Search(category="printing/toner-cartridges", sort=Sort.PRICE_DESC)
    page = reader.list_products(search, limit=50)
    slugs = [item.slug for item in page.items]
    while page.next is not None:
        page = reader.list_products(search, limit=50, following=page.next)
        slugs += [item.slug for item in page.items]

    assert len(slugs) == len(set(slugs)) == TONERS


def test_every_listed_product_has_its_page(reader: CatalogueReader) -> None:
    for item in reader.list_products(Search(text="notebook"), limit=20).items:
        page = reader.get_product(item.slug, now=datetime.now(UTC))
        assert isinstance(page, ProductPage)
        assert page.listed == item


@pytest.mark.parametrize(
    ("search", "matching", "index"),
    [
        (Search(), Matching.EVERYTHING, "search_products_place"),
        (Search(sort=Sort.PRICE_ASC), Matching.EVERYTHING, "search_prices_price"),
        (Search(sort=Sort.PRICE_DESC), Matching.EVERYTHING, "search_prices_price"),
        (Search(sort=Sort.NEWEST), Matching.EVERYTHING, "search_products_newest"),
        (Search(sort=Sort.PRICE_ASC, in_stock=True), Matching.EVERYTHING, "search_prices_price"),
        (Search(category="components/motherboards"), Matching.EVERYTHING, "search_products_category_place"),
        (Search(category="components", sort=Sort.PRICE_ASC), Matching.EVERYTHING, "search_prices_category"),
        (Search(category="printing", sort=Sort.NEWEST), Matching.EVERYTHING, "search_products_category_newest"),
        (Search(brand="plustek", sort=Sort.PRICE_ASC), Matching.EVERYTHING, "search_prices_brand"),
        (Search(text="motherboard"), Matching.WORDS, "search_products_words_4"),
        (Search(text="motherboard", sort=Sort.PRICE_ASC, price_max=9900), Matching.WORDS, "search_products_words_4"),
        (Search(text="motherb"), Matching.PREFIX, "search_products_words_4"),
        (Search(text="006R9"), Matching.SUBSTRING, "search_texts_4"),
    ],
)
def test_a_list_walks_an_index(
    reader: CatalogueReader, real_shop: Shop, search: Search, matching: Matching, index: str
) -> None:
    sql, parameters = list_statement(
        search, take_apart(search.text), matching, reach=LAST_TIER, after=None, counting=False
    )

    plan = _plan(real_shop.address, sql, **parameters, limit=25)

    assert [name for name in plan["indexes"] if name.startswith(index)] != [], plan
    assert not {"search_products", "search_prices", "search_texts"} & plan["scanned"]


def test_a_page_and_a_suggestion_walk_an_index(real_shop: Shop, postgres: ScratchServer) -> None:
    page = _plan(real_shop.address, search_pages.PRODUCT, slug="xerox-kit-fuser", now=datetime.now(UTC))
    moved = _plan(real_shop.address, search_pages.MOVED_PRODUCT, slug="xerox-kit-fuser", now=datetime.now(UTC))
    suggested = suggestions_statement(take_apart("xerox ton"), limit=8)
    suggestions = plans_inside(real_shop.address, postgres.admin, [suggested])

    assert "products_slug_unique" in page["indexes"]
    assert {"variants_product", "stock_levels_pkey"} <= page["indexes"]
    assert {"search_products_name", "search_products_named_4"} <= suggestions.indexes
    assert not {"search_products", "products", "variants", "stock_levels"} & (page["scanned"] | suggestions.whole)
    assert "products" not in moved["scanned"]


def _plan(address: Address, sql: str, **parameters: Any) -> dict[str, set[str]]:
    """The indexes that the statement uses, and the tables that it reads whole."""
    database = _database(address)
    try:
        row = database.call(f"explain (format json) {sql}", **parameters)[0]
    finally:
        database.close()
    plan = row["QUERY PLAN"]
    indexes: set[str] = set()
    scanned: set[str] = set()

    def walk(node: dict[str, Any]) -> None:
        if "Index Name" in node:
            indexes.add(node["Index Name"])
        if node["Node Type"] == "Seq Scan":
            scanned.add(node["Relation Name"])
        for child in node.get("Plans", ()):
            walk(child)

    walk((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    return {"indexes": indexes, "scanned": scanned}
