"""Lists by price of many go from one step of prices to the next: whatever the size of a step, the same list."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.persistence.database import Database, Row
from shared.persistence.search_finding import listed_rows
from shared.persistence.search_statements import list_statement, step_statement
from shared.search.listing import Matching, Position, Search, Sort
from shared.search.texts import take_apart
from tests.numbers import PROPERTY_EXAMPLES
from tests.search.connections import as_search
from tests.search.plans import as_it_ran
from tools.bulk import find_by_filters
from tools.scratch_database import ScratchServer

PRODUCTS = 640
LAMPS = 480
# Where steps and doublings end: 0 to 7 are steps of one, and each doubling from there has eight.
PRICES = (
    0,
    1,
    6,
    7,
    8,
    9,
    10,
    15,
    23,
    24,
    25,
    26,
    55,
    56,
    57,
    119,
    120,
    1015,
    1016,
    1017,
    1018,
    262_136,
    262_137,
    2**40,
)

_FILL = f"""
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, tier, place, words, search_text, projected_at)
select md5(n::text)::uuid, 'product-' || n, 'SKU-' || n, name, price, price, 'USD', n % 3 = 0, now(), 0, 4,
    (4::bigint << 32) + n, product_words_v1(name, '', '', ''), name, now()
from generate_series(1, {PRODUCTS}) as n,
    lateral (select case when n <= {LAMPS} then 'lamp' else 'stand' end as name,
        (:prices::bigint[])[1 + n * 7919 % :many::int] as price) of
"""
_EXPECTED = """
select slug, price_minor as key, product_id::text from search_products
where (name = 'lamp' or slug = 'product-600')
    and price_minor between :low::bigint and :high::bigint and (in_stock or not :in_stock::boolean)
order by price_minor {direction}, product_id {direction}"""


@pytest.fixture(scope="module")
def database(postgres: ScratchServer) -> Iterator[Database]:
    address = postgres.copy()
    connection = address.connect()
    connection.run(_FILL, prices=list(PRICES), many=len(PRICES))
    # Not called so: its SKU is.
    connection.run("insert into search_variants values (md5('600')::uuid, 'LAMP', 'lamp', true)")
    find_by_filters(connection)
    connection.run("update search_tiers set products = 640")
    connection.run("vacuum analyze")
    connection.close()
    with as_search(postgres, address) as made:
        yield made


def expected(database: Database, search: Search) -> list[tuple[str, int]]:
    direction = "asc" if search.sort is Sort.PRICE_ASC else "desc"
    rows = database.call(
        _EXPECTED.format(direction=direction),
        low=search.price_min or 0,
        high=2**60 if search.price_max is None else search.price_max,
        in_stock=search.in_stock,
    )
    return [(row["slug"], row["key"]) for row in rows]


def stepped(database: Database, search: Search, after: Position | None, *, many: bool, limit: int) -> list[Row]:
    sql, parameters = step_statement(search, take_apart(search.text), Matching.WORDS, after=after, many=many)
    return listed_rows(database.call(sql, **parameters, limit=limit)[0])


_SEARCHES = st.builds(
    Search,
    text=st.just("lamp"),
    sort=st.sampled_from([Sort.PRICE_ASC, Sort.PRICE_DESC]),
    price_min=st.none() | st.sampled_from(PRICES) | st.integers(0, 2**41),
    price_max=st.none() | st.sampled_from(PRICES) | st.integers(0, 2**41),
    in_stock=st.booleans(),
)


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None)
@given(search=_SEARCHES, sizes=st.lists(st.tuples(st.integers(5, 90), st.booleans()), min_size=1, max_size=6))
def test_pages_by_steps_and_by_doublings_are_parts_of_one_list(
    database: Database, search: Search, sizes: Sequence[tuple[int, bool]]
) -> None:
    """An estimate that differs from page to page changes how prices are gone through, and not what is listed."""
    whole, found, after = expected(database, search), [], None

    for turn in range(PRODUCTS):
        limit, many = sizes[turn % len(sizes)]
        rows = stepped(database, search, after, many=many, limit=limit)
        found += [(row["slug"], row["key"]) for row in rows]
        if len(rows) < limit:
            break
        after = Position(rows[-1]["key"], UUID(rows[-1]["product_id"]))

    assert found == whole


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC])
@pytest.mark.parametrize("many", [False, True])
def test_a_list_goes_on_from_any_of_its_products(database: Database, sort: Sort, many: bool) -> None:
    search = Search(text="lamp", sort=sort)
    whole = stepped(database, search, None, many=not many, limit=PRODUCTS)

    for place in range(0, LAMPS, 3):
        after = Position(whole[place]["key"], UUID(whole[place]["product_id"]))
        assert stepped(database, search, after, many=many, limit=4) == whole[place + 1 : place + 5]


@pytest.mark.parametrize(
    ("search", "by_steps", "by_doublings"),
    [
        (Search(text="lamp", sort=Sort.PRICE_ASC, price_max=120), 33, 5),
        (Search(text="lamp", sort=Sort.PRICE_DESC, price_max=120), 33, 5),
        (Search(text="lamp", sort=Sort.PRICE_ASC, price_min=1016, price_max=1018), 1, 1),
        (Search(text="lamp", sort=Sort.PRICE_DESC, price_min=262_136), 177, 23),
        (Search(text="lamp", sort=Sort.PRICE_ASC, price_min=2**41), 0, 0),
    ],
)
def test_steps_are_those_of_the_prices_asked_for(
    database: Database, search: Search, by_steps: int, by_doublings: int
) -> None:
    """From the first price that is asked for and is there, to the last."""
    assert [steps_of(database, search, many=True), steps_of(database, search, many=False)] == [by_steps, by_doublings]


def steps_of(database: Database, search: Search, *, many: bool) -> int:
    """How many steps a list to its end looks at."""
    sql, parameters = step_statement(search, take_apart(search.text), Matching.WORDS, after=None, many=many)
    [series] = [
        node
        for node in as_it_ran(database, sql, **parameters, limit=PRODUCTS)
        if node.get("Function Name") == "generate_series"
    ]
    steps: int = round(series["Actual Rows"])
    return steps


@pytest.mark.parametrize("matching", [Matching.WORDS, Matching.PREFIX, Matching.SOME])
@pytest.mark.parametrize(("low", "high", "read", "products"), [(27, 54, 0, 0), (2**41, 2**42, 0, 0), (26, 54, 60, 20)])
def test_words_are_not_looked_for_where_nothing_has_such_a_price(
    database: Database, matching: Matching, low: int, high: int, read: int, products: int
) -> None:
    """A step of prices may have products that lie outside the range."""
    search, text = Search(text="lamp", price_min=low, price_max=high), take_apart("lamp")
    sql, parameters = list_statement(search, text, matching, reach=4, after=None, counting=False)

    looked_at = [
        node["Actual Rows"]
        for node in as_it_ran(database, sql, **parameters, limit=PRODUCTS)
        if node.get("Index Name", "").startswith("search_products_words")
    ]

    assert looked_at == [read]
    assert len(listed_rows(database.call(sql, **parameters, limit=PRODUCTS)[0])) == products
