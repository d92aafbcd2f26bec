"""Large catalogues: the popular are looked at first, and pages still go on to the end without a gap or a repeat."""

from collections.abc import Iterator

import pytest

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.search_statements import words_statement
from shared.search.listing import Continuation, ListedProduct, Search, Sort, Total
from shared.search.texts import take_apart
from shared.settings import DatabaseSettings
from tests.search.plans import plans_inside
from tools.bulk import find_by_filters
from tools.scratch_database import ScratchServer

# 500 of the most popular, 500 of the next, 2,000 of the rest; each 36th is a brass lamp, the others are lamps. All are
# said to glow and each tenth to shine, each 50th is called so, each 100th both.
_FILL = """
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, tier, place, words, search_text, projected_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'lamp-' || n, 'L' || n, name, 1000 + n % 7,
    1000 + n % 7, 'USD', n % 20 = 0, now(), 0, tier, (tier::bigint << 32) + n, product_words_v1(name, '', '',
        'glow' || case when n % 10 = 0 then ' shine' else '' end), name, now()
from generate_series(1, 3000) as n,
    lateral (select case when n <= 500 then 0 when n <= 1000 then 1 else 4 end as tier,
        case when n % 36 = 0 then 'brass lamp' else 'lamp' end || case when n % 50 = 0 then ' glow' else '' end
            || case when n % 100 = 0 then ' shine' else '' end as name) of
"""


@pytest.fixture(scope="module")
def address(postgres: ScratchServer) -> Address:
    made = postgres.copy()
    connection = made.connect()
    connection.run(_FILL)
    find_by_filters(connection)
    connection.run("delete from search_tiers")
    connection.run("insert into search_tiers values (0, 3, 500), (1, 2, 1000), (4, 0, 3000)")
    # Of the text `lamps` alone: lamps of the last tier before all, one of the first and one of the last not at all.
    connection.run(
        "insert into query_rules (id, query, pinned, buried, created_at, updated_at) values (gen_random_uuid(),"
        " 'lamps',"
        " array['00000000-0000-4000-8000-000000000bb8', '00000000-0000-4000-8000-0000000003e9']::uuid[],"
        " array['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-0000000009c4']::uuid[], now(), now())"
    )
    connection.run("vacuum analyze")
    connection.close()
    return made


@pytest.fixture(scope="module")
def database(postgres: ScratchServer, address: Address) -> Iterator[Database]:
    login = postgres.login(address, "search")
    settings = DatabaseSettings("url", 1, login.url)
    database = Database(connector(settings, application="test", statement_timeout_ms=5000), size=1, clock=SystemClock())
    yield database
    database.close()


@pytest.fixture
def reader(database: Database) -> CatalogueReader:
    return CatalogueReader(database)


def pages(reader: CatalogueReader, search: Search, *, limit: int) -> tuple[list[ListedProduct], list[Total]]:
    found: list[ListedProduct] = []
    totals: list[Total] = []
    following: Continuation | None = None
    for _ in range(4000 // limit + 1):
        page = reader.list_products(search, limit=limit, following=following)
        found += page.items
        totals.append(page.total)
        following = page.next
        if following is None:
            break
    return found, totals


@pytest.mark.parametrize("limit", [70, 100])
@pytest.mark.parametrize(
    "search",
    [Search(text="lamp"), Search(text="lam"), Search(text="amp"), Search(text="lamps lamp"), Search(text="lamp zzzz")],
)
def test_ranked_pages_go_on_by_popularity_to_the_last_product(
    reader: CatalogueReader, search: Search, limit: int
) -> None:
    found, totals = pages(reader, search, limit=limit)

    assert len(found) == len({item.slug for item in found}) == 3000
    assert set(totals) == {Total(3000, exact=False)}
    ranked, rest = found[:500], found[500:]
    assert {int(item.slug[5:]) for item in ranked} == set(range(1, 501))
    assert [int(item.slug[5:]) for item in rest] == list(range(501, 3001))


@pytest.mark.parametrize("limit", [70, 100])
def test_the_pinned_come_first_from_any_tier_and_are_not_among_the_rest(reader: CatalogueReader, limit: int) -> None:
    found, _ = pages(reader, Search(text="lamps"), limit=limit)

    numbers = [int(item.slug[5:]) for item in found]
    assert numbers[:2] == [3000, 1001]
    assert set(numbers[2:501]) == set(range(2, 501))
    assert numbers[501:] == [n for n in range(501, 3000) if n not in (1001, 2500)]


def test_what_has_enough_among_the_popular_is_looked_for_nowhere_else(
    address: Address, postgres: ScratchServer
) -> None:
    statement = words_statement(Search(text="lamp"), take_apart("lamp"), wanted=None)

    assert plans_inside(address, postgres.admin, [statement]).rows["search_products"] == 500


@pytest.mark.parametrize(("text", "named", "words"), [("torch", 3, 3), ("brass shine", 4, 5)])
def test_the_tier_after_one_that_has_nothing_is_left_out(
    address: Address, postgres: ScratchServer, text: str, named: int, words: int
) -> None:
    """No torch anywhere; brass lamps that shine are in each tier, one of the first thousand is called so."""
    statement = words_statement(Search(text=text), take_apart(text), wanted=24)
    readings = plans_inside(address, postgres.admin, [statement]).readings

    assert sum(many for index, many in readings.items() if "named" in index) == named
    assert sum(many for index, many in readings.items() if "words" in index) == words


def test_a_rarer_word_is_looked_for_among_more_and_counted_to_the_end(reader: CatalogueReader) -> None:
    found, totals = pages(reader, Search(text="brass"), limit=100)

    assert len(found) == len({item.slug for item in found}) == 83
    assert set(totals) == {Total(83, exact=True)}


@pytest.mark.parametrize("sort", list(Sort))
def test_what_is_called_so_is_found_alone_and_descriptions_where_too_few_are(
    reader: CatalogueReader, sort: Sort
) -> None:
    glow, totals = pages(reader, Search(text="glow", sort=sort), limit=100)
    shine, of_shine = pages(reader, Search(text="shine", sort=sort), limit=100)

    assert {int(item.slug[5:]) for item in glow} == set(range(50, 3001, 50))
    assert set(totals) == {Total(60, exact=True)}
    assert {int(item.slug[5:]) for item in shine} == set(range(10, 3001, 10))
    assert set(of_shine) <= {Total(300, exact=True), Total(300, exact=False)}


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NEWEST, Sort.POPULARITY])
def test_another_order_is_one_of_all_products(reader: CatalogueReader, sort: Sort) -> None:
    found, _ = pages(reader, Search(text="lamp", sort=sort), limit=100)

    assert len(found) == len({item.slug for item in found}) == 3000
    prices = [item.price_minor for item in found]
    if sort is Sort.PRICE_ASC:
        assert prices == sorted(prices)
    if sort is Sort.PRICE_DESC:
        assert prices == sorted(prices, reverse=True)
    if sort is Sort.POPULARITY:
        assert [int(item.slug[5:]) for item in found] == list(range(1, 3001))


def test_a_filter_counts_before_enough_is_found(reader: CatalogueReader) -> None:
    """Of 500 popular lamps 25 are in stock: too few to stop there."""
    found, _ = pages(reader, Search(text="lamp", in_stock=True), limit=100)

    assert len(found) == len({item.slug for item in found}) == 150
    assert {int(item.slug[5:]) for item in found[:50]} == set(range(20, 1001, 20))


def test_where_a_tier_is_missing_the_total_is_that_of_the_tiers_before_it(reader: CatalogueReader) -> None:
    """Substrings are looked for in tiers 0 and 2; of this catalogue, which has no tier 2, those are tiers 0 and 1."""
    found, totals = pages(reader, Search(text="amp", in_stock=True), limit=100)

    assert len(found) == len({item.slug for item in found}) == 150
    assert set(totals) == {Total(150, exact=False)}


def test_facets_of_a_part_say_that_they_are_estimates(reader: CatalogueReader) -> None:
    assert reader.facets(Search(text="lamp")).total == Total(500, exact=False)
    assert reader.facets(Search(text="brass")).total == Total(83, exact=True)
