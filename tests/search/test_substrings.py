"""A substring among what filters leave: of few all are looked at, else no more than so many that have it."""

from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.persistence.database import Database, Row
from shared.persistence.search import CatalogueReader
from shared.persistence.search_finding import listed_rows
from shared.persistence.search_matching import LEFT, LOOKED_AT
from shared.persistence.search_statements import (
    COUNTED,
    Statement,
    facets_statement,
    find_statement,
    list_statement,
    rest_statement,
)
from shared.search.listing import Matching, Position, Search, Sort
from shared.search.texts import take_apart
from tests.numbers import PROPERTY_EXAMPLES
from tests.search.connections import as_search
from tests.search.plans import as_it_ran, readings
from tools.bulk import find_by_filters, indexed_afterwards
from tools.scratch_database import ScratchServer

PRODUCTS = 26_000
STANDS = 2_000

# All but the first are lamps. Each fortieth is of the most popular, as all of one brand are; of another, none is.
_FILL = f"""
insert into search_products (product_id, slug, sku, name, brand_id, brand_slug, brand_name, price_minor, offer_minor,
    currency, in_stock, created_at, heat, tier, place, words, search_text, projected_at)
select md5(n::text)::uuid, 'product-' || n, 'SKU-' || n, p.name, b.id, b.slug, b.name, n / 3, n / 3, 'USD', n % 3 = 0,
    '2026-01-01'::timestamptz + n * 7 % 1000 * interval '1 second', 0, p.tier, (p.tier::bigint << 32) + n % 5000,
    product_words_v1(p.name, b.name, '', ''), p.name || repeat('x', n % 11), now()
from generate_series(1, {PRODUCTS}) as n
cross join lateral (select case when n > {STANDS} then 'lamp' else 'stand' end as name,
    case when n % 40 = 0 then 0 when n % 8 = 0 then 2 else 4 end as tier,
    case when n % 40 = 0 then 'popular' when n % 20 = 7 then 'few' else 'many' end as brand) p
join brands b on b.slug = p.brand
"""
_HAVING = """
search_text like '%' || :part::text || '%' and (brand_slug = :brand::text or :brand::text is null)
and (in_stock or not :in_stock::boolean) and price_minor between :low::bigint and :high::bigint"""
_KEYS = {
    Sort.RELEVANCE: "(1000000 / (1 + length(search_text)))::bigint desc, product_id desc",
    Sort.PRICE_ASC: "price_minor, product_id",
    Sort.PRICE_DESC: "price_minor desc, product_id desc",
    Sort.NEWEST: "created_at desc, product_id desc",
    Sort.POPULARITY: "place, product_id",
}
# Of each, the filters leave few.
FEW = [
    Search(text="amp", brand="few"),
    Search(text="tan", brand="few"),
    Search(text="amp", brand="few", in_stock=True, price_min=700, price_max=6_000),
    Search(text="amp", price_min=1_000, price_max=1_030),
    Search(text="amp", price_min=1_000, price_max=1_999),
    Search(text="amp", price_min=1_000, price_max=1_999, in_stock=True),
    Search(text="amp", price_min=10**9),
]
MANY = [Search(text="amp", in_stock=True), Search(text="amp", brand="many"), Search(text="amp", price_min=1_000)]


@pytest.fixture(scope="module")
def database(postgres: ScratchServer) -> Iterator[Database]:
    address = postgres.copy()
    connection = address.connect()
    for brand in ("popular", "few", "many"):
        connection.run(f"insert into brands values (gen_random_uuid(), '{brand}', '{brand}')")
    with indexed_afterwards(connection):
        connection.run(_FILL)
        find_by_filters(connection)
    connection.run("delete from search_tiers")
    for tier, products in ((0, PRODUCTS // 40), (2, PRODUCTS // 8), (4, PRODUCTS)):
        connection.run(f"insert into search_tiers values ({tier}, {4 - tier}, {products})")
    connection.run("vacuum analyze")
    connection.close()
    with as_search(postgres, address) as made:
        yield made


def rows_of(database: Database, statement: Statement, *, limit: int = PRODUCTS) -> list[Row]:
    sql, parameters = statement
    return listed_rows(database.call(sql, **parameters, limit=limit)[0])


def plain(database: Database, search: Search, *, tiers: str = "tier <= 4", sort: Sort | None = None) -> list[str]:
    """The slugs of what has the substring and is left, without an index of it."""
    rows = database.call(
        f"select slug from search_products where {tiers} and {_HAVING} order by {_KEYS[sort or search.sort]}",
        part=search.text,
        brand=search.brand,
        in_stock=search.in_stock,
        low=search.price_min or 0,
        high=2**60 if search.price_max is None else search.price_max,
    )
    return [row["slug"] for row in rows]


def listed(database: Database, search: Search, *, reach: int = 4, limit: int = PRODUCTS) -> list[str]:
    text = take_apart(search.text)
    statement = list_statement(search, text, Matching.SUBSTRING, reach=reach, after=None, counting=False)
    return [row["slug"] for row in rows_of(database, statement, limit=limit)]


def found(database: Database, search: Search) -> Row:
    sql, parameters = find_statement(search, take_apart(search.text), [Matching.SUBSTRING])
    return database.call(sql, **parameters)[0]


def counted(database: Database, search: Search, reach: int) -> int:
    sql, parameters = facets_statement(search, take_apart(search.text), Matching.SUBSTRING, reach=reach)
    total: int = database.call(sql, **parameters)[0]["total"]
    return total


@pytest.mark.parametrize("search", FEW)
def test_of_few_that_filters_leave_nothing_is_left_out(database: Database, search: Search) -> None:
    whole = plain(database, search)
    row = found(database, search)
    so_far = plain(database, search, tiers=f"tier <= {row['reach']}")

    assert len(whole) <= LEFT
    assert row["matching"] == ("substring" if whole else "nothing")
    assert row["counted"] == min(len(so_far), COUNTED + 1)
    assert counted(database, search, reach=row["reach"]) == len(so_far)
    assert counted(database, search, reach=4) == len(whole)
    for sort in _KEYS:
        assert listed(database, replace(search, sort=sort)) == plain(database, search, sort=sort)


@pytest.mark.parametrize("search", [*FEW, *MANY, Search(text="amp", brand="popular")])
@pytest.mark.parametrize("reach", [0, 2])
def test_a_tier_and_what_follows_it_are_all_that_is_found(database: Database, search: Search, reach: int) -> None:
    ranked = listed(database, search, reach=reach)
    statement = rest_statement(search, take_apart(search.text), Matching.SUBSTRING, reach=reach, after=None)
    rest = [row["slug"] for row in rows_of(database, statement)]

    assert ranked == plain(database, search, tiers=f"tier <= {reach}", sort=Sort.RELEVANCE)
    assert counted(database, search, reach=reach) == len(ranked)
    assert len({*ranked, *rest}) == len(ranked) + len(rest)
    assert {*ranked, *rest} == set(listed(database, search))


@pytest.mark.parametrize("search", MANY)
def test_of_many_the_popular_are_all_there_and_of_the_others_so_many(database: Database, search: Search) -> None:
    others = plain(database, Search(text=search.text), tiers="tier between 3 and 4")
    whole, popular = set(plain(database, search)), set(plain(database, search, tiers="tier <= 2"))

    some = listed(database, search)
    among = set(some)

    assert len(others) > LOOKED_AT
    assert len(some) == len(among)
    assert popular < among < whole
    assert len(whole) - len(some) <= len(others) - LOOKED_AT
    for sort in _KEYS:
        in_order = [slug for slug in plain(database, search, sort=sort) if slug in among]
        assert listed(database, replace(search, sort=sort), limit=100) == in_order[:100]


def test_a_brand_that_is_popular_is_found_whole(database: Database) -> None:
    """Of the most popular it has so many that it seems to have many."""
    search = Search(text="amp", brand="popular")

    assert listed(database, search) == plain(database, search)


@pytest.mark.parametrize("sort", _KEYS)
@pytest.mark.parametrize("search", [FEW[0], FEW[2], FEW[4], Search(text="amp", in_stock=True, price_max=2_000)])
def test_pages_go_on_to_the_end_without_a_gap_or_a_repeat(database: Database, search: Search, sort: Sort) -> None:
    reader, following, slugs = CatalogueReader(database), None, list[str]()
    search = replace(search, sort=sort)
    while True:
        page = reader.list_products(search, limit=700, following=following)
        slugs += [item.slug for item in page.items]
        following = page.next
        if following is None:
            break

    assert len(slugs) == len(set(slugs))
    assert set(slugs) == set(listed(database, search))
    if sort is not Sort.RELEVANCE:
        assert slugs == listed(database, search)


def test_beside_a_part_that_no_index_has_no_more_are_looked_at(database: Database) -> None:
    """`zz` is nowhere: all that has the other part would be read to be left out."""
    search, text = Search(text="amp zz"), take_apart("amp zz")
    statements = [
        list_statement(search, text, Matching.SUBSTRING, reach=4, after=None, counting=False),
        rest_statement(search, text, Matching.SUBSTRING, reach=0, after=None),
        facets_statement(search, text, Matching.SUBSTRING, reach=4),
    ]
    popular = len(plain(database, Search(text="amp"), tiers="tier <= 2"))

    for sql, parameters in statements:
        nodes = as_it_ran(database, sql, **parameters, limit=30)
        read = [node for node in nodes if node.get("Relation Name") == "search_texts"]
        assert sum(node["Actual Rows"] * node["Actual Loops"] for node in read) == popular + LOOKED_AT
        assert sum(node.get("Rows Removed by Filter", 0) for node in read) <= popular
        copies = [node for node in nodes if node.get("Relation Name") == "search_products"]
        assert sum(node["Actual Loops"] for node in copies) == 0


def test_a_part_that_no_index_has_is_in_all_that_is_found(database: Database) -> None:
    amp = Search(text="amp")
    expected = set(plain(database, amp)) & set(plain(database, Search(text="xx")))
    popular = set(plain(database, amp, tiers="tier <= 2")) & expected

    some = listed(database, Search(text="xx amp"))

    assert len(some) == len(set(some))
    assert popular < set(some) < expected
    assert len(expected) - len(some) <= len(plain(database, amp, tiers="tier > 2")) - LOOKED_AT


_SEARCHES = st.builds(
    Search,
    text=st.sampled_from(["amp", "tan", "xxxxx"]),
    brand=st.just("few"),
    in_stock=st.booleans(),
    price_min=st.none() | st.integers(0, 9_000),
    price_max=st.none() | st.integers(0, 9_000),
    sort=st.sampled_from(list(_KEYS)),
)


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None)
@given(search=_SEARCHES, limit=st.integers(40, 500))
def test_pages_among_what_filters_leave_are_parts_of_one_list(database: Database, search: Search, limit: int) -> None:
    slugs, after = list[str](), None
    while True:
        statement = list_statement(
            search, take_apart(search.text), Matching.SUBSTRING, reach=4, after=after, counting=False
        )
        rows = rows_of(database, statement, limit=limit)
        slugs += [row["slug"] for row in rows]
        if len(rows) < limit:
            break
        after = Position(rows[-1]["key"], UUID(rows[-1]["product_id"]))

    assert slugs == plain(database, search)


@pytest.mark.parametrize(("search", "by_filters"), [(FEW[0], True), (FEW[4], True), (MANY[0], False)])
def test_few_are_read_by_what_the_filters_ask_for_and_many_by_the_substring(
    database: Database, search: Search, by_filters: bool
) -> None:
    text = take_apart(search.text)
    for sql, parameters in (
        list_statement(search, text, Matching.SUBSTRING, reach=4, after=None, counting=False),
        rest_statement(search, text, Matching.SUBSTRING, reach=0, after=None),
        facets_statement(search, text, Matching.SUBSTRING, reach=4),
    ):
        assert (readings(database, "search_texts_4", sql, **parameters, limit=30) == 0) == by_filters


@pytest.mark.parametrize("reach", range(-1, 5))
@pytest.mark.parametrize("brand", [None, "few"])
def test_whatever_tier_a_cursor_names_what_is_listed_has_the_substring(
    database: Database, reach: int, brand: str | None
) -> None:
    search = Search(text="amp", brand=brand)

    rows = rows_of(
        database,
        list_statement(search, take_apart("amp"), Matching.SUBSTRING, reach=reach, after=None, counting=False),
        limit=PRODUCTS,
    )

    assert [row["slug"] for row in rows] == plain(database, search, tiers=f"tier <= {reach}")
