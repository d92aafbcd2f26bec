"""A text that very many products have, sorted by something else than relevance: the index of the sort is walked."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database, Row
from shared.persistence.search import CatalogueReader
from shared.persistence.search_finding import listed_rows
from shared.persistence.search_matching import AS_WORDS
from shared.persistence.search_statements import (
    MANY,
    NOTHING_RANKED,
    RARITIES,
    WALKED,
    Statement,
    find_statement,
    list_statement,
    step_statement,
    walk_statement,
    words_statement,
)
from shared.search.listing import Matching, Position, Search, Sort, Steering
from shared.search.texts import take_apart
from shared.settings import DatabaseSettings
from tests.search.plans import plans_inside, readings
from tools.bulk import find_by_filters, indexed_afterwards
from tools.scratch_database import ScratchServer

PRODUCTS = 27_000
LAMPS = 21_000
OF_ALL = "search_products_words_4"

# The lamps are the dearest and the newest, three at a time of one price; each fortieth product is popular, and of the
# others each third is said to be a gadget: 8,775.
_FILL = f"""
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, tier, place, words, search_text, projected_at)
select md5(n::text)::uuid, 'product-' || n, 'SKU-' || n, name, n / 3, n / 3, 'USD', n % 2 = 0,
    '2026-01-01'::timestamptz + n / 5 * interval '1 second', 0, tier, (tier::bigint << 32) + n,
    product_words_v1(name, '', '', case when n % 3 = 0 and tier = 4 then 'gadget' else '' end), name, now()
from generate_series(1, {PRODUCTS}) as n,
    lateral (select case when n > {PRODUCTS - LAMPS} then 'lamp' else 'stand' end as name,
        case when n % 40 = 0 then 0 else 4 end as tier) of
"""
_TEXT = take_apart("lamp")


class RecordingDatabase(Database):
    """Keeps the statements that it was asked for."""

    statements: list[str]

    def call(self, sql: str, **parameters: Any) -> list[Row]:
        self.statements.append(sql)
        return super().call(sql, **parameters)


@pytest.fixture(scope="module")
def address(postgres: ScratchServer) -> Address:
    made = postgres.copy()
    connection = made.connect()
    with indexed_afterwards(connection):
        connection.run(_FILL)
        find_by_filters(connection)
    connection.run("delete from search_tiers")
    popular = PRODUCTS // 40
    connection.run(f"insert into search_tiers values (0, 3, {popular}), (1, 3, {popular}), (4, 0, {PRODUCTS})")
    # One of those that are not popular.
    connection.run("update search_products set words = words || 'odd:1'::tsvector where slug = 'product-6302'")
    connection.run(
        "insert into query_rules (id, query, pinned, created_at, updated_at) values (gen_random_uuid(), 'lamps',"
        " array['00000000-0000-0000-0000-000000000007']::uuid[], now(), now())"
    )
    # Not one of the popular, and among the first lamps of the others.
    connection.run("insert into search_variants values (md5('6301')::uuid, 'LAMP', 'lamp', true)")
    connection.run("vacuum analyze")
    connection.close()
    return made


@pytest.fixture(scope="module")
def database(postgres: ScratchServer, address: Address) -> Iterator[RecordingDatabase]:
    login = postgres.login(address, "search")
    connect = connector(DatabaseSettings("url", 1, login.url), application="test", planning=BY_INDEXES)
    made = RecordingDatabase(connect, size=1, clock=SystemClock())
    made.statements = []
    yield made
    made.close()


def rows_of(database: Database, statement: Statement, *, limit: int = 30) -> list[Row]:
    sql, parameters = statement
    return listed_rows(database.call(sql, **parameters, limit=limit)[0])


@pytest.mark.parametrize("sort", [Sort.PRICE_DESC, Sort.NEWEST, Sort.POPULARITY])
@pytest.mark.parametrize("steered", [False, True])
def test_a_walk_finds_the_pages_that_sorting_finds(database: Database, sort: Sort, steered: bool) -> None:
    search, steering = Search(text="lamp", sort=sort, in_stock=True, price_max=8_970), Steering()
    if steered:
        numbers = "select md5(n::text)::uuid as id from generate_series(26000, 26900) n order by n"
        near = [row["id"] for row in database.call(numbers)]
        stand = database.call("select md5('38')::uuid as id")[0]["id"]
        steering = Steering([*near[:19], stand], near[20:120])
    after = None
    for _ in range(15):
        walked = rows_of(database, walk_statement(search, _TEXT, Matching.WORDS, after=after, steering=steering))
        sorted_ = list_statement(search, _TEXT, Matching.WORDS, reach=4, after=after, counting=False, steering=steering)
        assert len(walked) == 30
        assert walked == rows_of(database, sorted_)
        after = Position(walked[-1]["key"], UUID(walked[-1]["product_id"]))


def asked(database: RecordingDatabase, search: Search) -> list[str]:
    """The statements of the first 30."""
    del database.statements[:]
    assert len(CatalogueReader(database).list_products(search, limit=30).items) == 30
    return list(database.statements)


@pytest.mark.parametrize("sort", [Sort.NEWEST, Sort.POPULARITY])
def test_what_very_many_have_is_walked_and_not_sorted(database: RecordingDatabase, sort: Sort) -> None:
    search = Search(text="lamp", sort=sort)

    assert asked(database, search) == [
        words_statement(search, _TEXT, wanted=None)[0],
        walk_statement(search, _TEXT, Matching.NAMED, after=None)[0],
    ]


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC])
@pytest.mark.parametrize(("text", "many"), [("lamp", True), ("stand", False)])
def test_prices_of_many_are_gone_through_step_by_step(
    database: RecordingDatabase, sort: Sort, text: str, many: bool
) -> None:
    """Of fewer by whole doublings."""
    search = Search(text=text, sort=sort)

    assert asked(database, search) == [
        words_statement(search, take_apart(text), wanted=None)[0],
        step_statement(search, take_apart(text), Matching.NAMED, after=None, many=many)[0],
    ]


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC])
@pytest.mark.parametrize("matching", [Matching.NAMED, Matching.WORDS])
@pytest.mark.parametrize("text", ["lamp", "SKU-9"])
@pytest.mark.parametrize("many", [False, True])
def test_steps_find_the_pages_that_sorting_finds(
    database: Database, sort: Sort, matching: Matching, text: str, many: bool
) -> None:
    """To the last one; products of a SKU that was typed are among them, words or not."""
    search, taken = Search(text=text, sort=sort, in_stock=True, price_min=2_000, price_max=2_200), take_apart(text)
    after, pages = None, 0
    while pages < 30:
        stepped = rows_of(database, step_statement(search, taken, matching, after=after, many=many))
        sorted_ = list_statement(search, taken, matching, reach=4, after=after, counting=False)
        assert stepped == rows_of(database, sorted_)
        if len(stepped) < 30:
            break
        pages += 1
        after = Position(stepped[-1]["key"], UUID(stepped[-1]["product_id"]))
    assert pages == (10 if text == "lamp" else 0)


def test_it_is_sorted_once_where_a_walk_finds_too_few_and_where_so_many_are_not_there(
    database: RecordingDatabase,
) -> None:
    """Staff have a product of their own for `lamps`: prices are not gone through step by step."""
    far, fewer = Search(text="lamps", sort=Sort.PRICE_ASC), Search(text="stand", sort=Sort.NEWEST)
    lamps, stand, steering = take_apart("lamps"), take_apart("stand"), Steering([UUID(int=7)])

    assert asked(database, far) == [
        words_statement(far, lamps, wanted=None)[0],
        find_statement(far, lamps, AS_WORDS, steering=steering)[0],
        walk_statement(far, lamps, Matching.NAMED, after=None, steering=steering)[0],
        list_statement(far, lamps, Matching.NAMED, reach=0, after=None, counting=False, steering=steering)[0],
    ]
    assert asked(database, fewer) == [
        words_statement(fewer, stand, wanted=None)[0],
        list_statement(fewer, stand, Matching.NAMED, reach=0, after=None, counting=False)[0],
    ]


def test_the_product_of_a_sku_that_was_typed_is_first_and_not_among_the_rest(database: Database) -> None:
    reader, search, following = CatalogueReader(database), Search(text="lamp"), None
    slugs: list[str] = []
    for _ in range(10):
        page = reader.list_products(search, limit=100, following=following)
        slugs += [item.slug for item in page.items]
        following = page.next

    assert slugs[0] == "product-6301"
    assert len(slugs) == len(set(slugs)) == 1000
    others = [n for n in range(6001, 7000) if n % 40 and n != 6301]
    assert slugs[526:] == [f"product-{n}" for n in others[:474]]


def test_what_lies_at_the_other_end_is_found_by_sorting(database: Database) -> None:
    search = Search(text="lamp", sort=Sort.PRICE_ASC)

    walked = rows_of(database, walk_statement(search, _TEXT, Matching.WORDS, after=None))
    page = CatalogueReader(database).list_products(search, limit=30)

    assert walked == []
    assert PRODUCTS - LAMPS > WALKED
    assert page.total.value >= MANY
    assert [item.price_minor for item in page.items] == [(PRODUCTS - LAMPS + 1 + n) // 3 for n in range(30)]


def test_a_list_that_is_walked_ends_where_it_ends(database: Database) -> None:
    search, reader = Search(text="lamp", sort=Sort.PRICE_ASC), CatalogueReader(database)
    ahead = rows_of(
        database, walk_statement(Search(text="lamp", sort=Sort.PRICE_DESC), _TEXT, Matching.WORDS, after=None)
    )
    first = reader.list_products(search, limit=30)
    assert first.next is not None
    last_but_30 = Position(ahead[-1]["key"], UUID(ahead[-1]["product_id"]))

    page = reader.list_products(search, limit=100, following=replace(first.next, after=last_but_30))

    assert [item.slug for item in page.items] == [row["slug"] for row in reversed(ahead[:-1])]
    assert page.next is None


@pytest.mark.parametrize(
    ("sort", "index"),
    [
        (Sort.PRICE_ASC, "search_prices_price"),
        (Sort.PRICE_DESC, "search_prices_price"),
        (Sort.NEWEST, "search_products_newest"),
        (Sort.POPULARITY, "search_products_place"),
    ],
)
@pytest.mark.parametrize("after", [None, Position(7, UUID(int=7))])
def test_a_walk_goes_by_the_index_of_its_sort(
    database: Database, sort: Sort, index: str, after: Position | None
) -> None:
    search = Search(text="lamp", sort=sort, category="home", brand="x")
    sql, parameters = walk_statement(search, _TEXT, Matching.WORDS, after=after)

    plan = "\n".join(row["QUERY PLAN"] for row in database.call(f"explain {sql}", **parameters, limit=30))

    assert f"using {index} on {index.rpartition('_')[0]}" in plan
    assert "Seq Scan" not in plan
    assert "search_products_words" not in plan


@pytest.mark.parametrize(("word", "known", "asked"), [("lamp", True, 0), ("odd", True, 1), ("none", False, 1)])
def test_that_a_word_is_there_is_told_by_the_popular_where_they_have_it(
    database: Database, word: str, known: bool, asked: int
) -> None:
    """Of a word that very many have an index reads them all, to find the first."""
    assert [row["known"] for row in database.call(RARITIES, words=word)] == [known]
    assert readings(database, OF_ALL, RARITIES, words=word) == asked


@pytest.mark.parametrize(("head", "asked"), [("lamp", 0), ("odd", 1), ("none", 1)])
def test_that_the_words_before_the_last_are_there_is_told_by_the_popular_where_they_have_them(
    address: Address, postgres: ScratchServer, head: str, asked: int
) -> None:
    text = take_apart(f"{head} zzz")
    statements = [
        words_statement(Search(text=text.typed), text, wanted=24, going_on=going_on) for going_on in (False, True)
    ]
    as_words, going_on = (
        plans_inside(address, postgres.admin, [statement]).readings[OF_ALL] for statement in statements
    )

    for_the_text = 0 if head == "none" else 1
    assert going_on - as_words == asked + for_the_text


@pytest.mark.parametrize("limit", [24, 1_000])
def test_what_more_than_8000_have_is_listed_by_popularity_from_the_first_page_on(
    database: Database, limit: int
) -> None:
    """And none of it is ranked."""
    sql, parameters = words_statement(Search(text="gadget"), take_apart("gadget"), wanted=24)
    [found] = database.call(sql, **parameters)
    reader, search, following = CatalogueReader(database), Search(text="gadget"), None
    slugs: list[str] = []
    for _ in range(3):
        page = reader.list_products(search, limit=limit, following=following)
        slugs += [item.slug for item in page.items]
        following = page.next

    assert (found["matching"], found["reach"], found["listed"]) == ("words", NOTHING_RANKED, [])
    expected = [f"product-{n}" for n in range(3, PRODUCTS + 1, 3) if n % 40]
    assert len(expected) == 8_775
    assert slugs == expected[: limit * 3]
