"""A list of few that have all words goes on with what has the words that say most; what has all of them stays first."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Row
from shared.persistence.search import CatalogueReader
from shared.persistence.search_finding import PLENTY
from shared.search.listing import Continuation, ListedProduct, Matching, Search, Sort, Total
from shared.search.rarity import Rarity, most_of
from shared.settings import DatabaseSettings
from tests.numbers import PROPERTY_EXAMPLES
from tools.bulk import find_by_filters
from tools.scratch_database import ScratchServer

# 1,500 of the most popular, 200 of the rest. Shelves are more than racks; three are both, one of them popular: by any
# of the words they would be last, so long are their names.
_FILL = """
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, tier, place, words, search_text, projected_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'p-' || n, 'P' || n, name, 1000 + n, 1000 + n,
    'USD', true, now(), 0, tier, (tier::bigint << 32) + n, product_words_v1(name, '', '', ''), name, now()
from generate_series(1, 1700) as n,
    lateral (select case when n <= 1500 then 0 else 4 end as tier,
        case when n in (7, 1501, 1502) then 'shelf with a rack of ' || (
                select string_agg('oak' || ring, ' ') from generate_series(1, 40) as ring)
            when n <= 410 or n > 1680 then 'rack'
            when n in (1503, 1504) then 'zinc bucket' when n = 1505 then 'zinc tub' when n = 1506 then 'copper bucket'
            when n between 1507 and 1517 then 'brass bowl' when n = 1518 then 'brass tub' else 'shelf' end as name) of
"""


@pytest.fixture(scope="module")
def address(postgres: ScratchServer) -> Address:
    address = postgres.copy()
    connection = address.connect()
    connection.run(_FILL)
    find_by_filters(connection)
    connection.run("delete from search_tiers")
    connection.run("insert into search_tiers values (0, 3, 1500), (1, 2, 1500), (4, 0, 1700)")
    connection.run("vacuum analyze")
    connection.close()
    return postgres.login(address, "search")


class CountingDatabase(Database):
    statements = 0

    def call(self, sql: str, **parameters: Any) -> list[Row]:
        self.statements += 1
        return super().call(sql, **parameters)


@pytest.fixture(scope="module")
def database(address: Address) -> Iterator[CountingDatabase]:
    settings = DatabaseSettings("url", 1, address.url)
    made = CountingDatabase(
        connector(settings, application="test", statement_timeout_ms=5000), size=1, clock=SystemClock()
    )
    yield made
    made.close()


@pytest.fixture
def reader(database: CountingDatabase) -> CatalogueReader:
    return CatalogueReader(database)


def pages(reader: CatalogueReader, search: Search, *, limit: int) -> tuple[list[ListedProduct], list[Total]]:
    found: list[ListedProduct] = []
    totals: list[Total] = []
    following: Continuation | None = None
    while True:
        page = reader.list_products(search, limit=limit, following=following)
        found += page.items
        totals.append(page.total)
        following = page.next
        if following is None:
            return found, totals


def names(reader: CatalogueReader, text: str, **more: Any) -> list[str]:
    search = Search(text=text, **more)
    return [item.name for item in pages(reader, search, limit=100)[0]]


def test_few_with_all_words_are_followed_by_what_has_one_that_says_as_much(reader: CatalogueReader) -> None:
    found = names(reader, "zinc bucket")

    assert (found[:2], sorted(found[2:])) == (["zinc bucket"] * 2, ["copper bucket", "zinc tub"])


def test_a_word_that_says_little_adds_nothing(reader: CatalogueReader) -> None:
    """Nothing has both, and most have the second."""
    assert names(reader, "copper shelf") == ["copper bucket"]


def test_what_has_all_words_is_first_in_whatever_tier_and_pages_have_no_gap(reader: CatalogueReader) -> None:
    whole, totals = pages(reader, Search(text="shelf rack"), limit=1000)

    assert {item.slug for item in whole[:3]} == {"p-7", "p-1501", "p-1502"}
    assert {item.name for item in whole[3:]} == {"rack"}
    # 409 of the most popular, then the other 20 by popularity.
    assert [item.slug for item in whole[3 + 409 :]] == [f"p-{n}" for n in range(1681, 1701)]
    assert len({item.slug for item in whole}) == len(whole) == 432
    assert not totals[0].exact
    for limit in (50, 411):
        paged, told = pages(reader, Search(text="shelf rack"), limit=limit)
        assert [item.slug for item in paged] == [item.slug for item in whole]
        assert set(told) == set(totals)


def test_the_total_and_the_facets_count_what_the_list_shows(reader: CatalogueReader) -> None:
    search = Search(text="zinc bucket")

    assert reader.list_products(search, limit=1).total == Total(4, exact=True)
    assert reader.facets(search).total == Total(4, exact=True)


@pytest.mark.parametrize("sort", [Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NEWEST, Sort.POPULARITY])
def test_by_something_else_than_relevance_only_what_has_all_words_is_listed(
    reader: CatalogueReader, sort: Sort
) -> None:
    assert names(reader, "zinc bucket", sort=sort) == ["zinc bucket"] * 2


def test_as_typed_only_what_has_all_words_is_listed(reader: CatalogueReader) -> None:
    assert names(reader, "zinc bucket", correct=False) == ["zinc bucket"] * 2


def test_one_word_to_whoever_typed_it_is_not_taken_apart(reader: CatalogueReader) -> None:
    assert names(reader, "zinc-bucket") == ["zinc bucket"] * 2


def test_filters_narrow_what_completes_as_well(reader: CatalogueReader) -> None:
    assert names(reader, "zinc bucket", price_max=2504) == ["zinc bucket"] * 2
    assert sorted(names(reader, "zinc bucket", price_min=2504, price_max=2505)) == ["zinc bucket", "zinc tub"]


def test_a_word_that_nothing_has_weighs_nothing(reader: CatalogueReader) -> None:
    found = reader._finder.find(Search(text="unheard copper"))

    assert (found.matching, found.counted) == (Matching.MOST, 1)


def test_completing_costs_two_statements_and_plenty_costs_none(
    database: CountingDatabase, reader: CatalogueReader
) -> None:
    def cost(text: str, *, correct: bool = True) -> int:
        before = database.statements
        reader.list_products(Search(text=text, correct=correct), limit=5)
        return database.statements - before

    assert len(names(reader, "brass bowl")) == PLENTY + 1
    assert (cost("brass bowl"), cost("brass")) == (1, 1)
    # How rare its words are, and what else has them; one is so few that its spelling is looked into as well.
    assert cost("brass tub") == cost("brass tub", correct=False) + 3


# Which words say most -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("products", "sets"),
    [
        ({"nintendo": 2, "switch": 400}, [("nintendo",)]),
        ({"usb": 100, "fan": 110}, [("usb",), ("fan",)]),
        ({"pad": 38, "mouse": 180, "gaming": 214}, [("pad", "mouse"), ("pad", "gaming"), ("mouse", "gaming")]),
        ({"lamp": 5}, [("lamp",)]),
        ({"lamp": 5, "unheard": None}, [("lamp",)]),
        ({"unheard": None}, []),
        ({}, []),
        ({"everywhere": 19_406, "rare": 0}, [("rare",)]),
    ],
)
def test_words_say_the_more_the_rarer_they_are(products: dict[str, int | None], sets: list[tuple[str, ...]]) -> None:
    assert most_of([Rarity(word, count, 19_406) for word, count in products.items()]) == sets


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 1000)), max_size=12))
def test_no_set_holds_another_and_few_are_enough(counts: list[int | None]) -> None:
    words = [Rarity(f"w{number}", count, 1000) for number, count in enumerate(counts)]

    sets = most_of(words)

    assert len(sets) <= 10
    assert not any(set(one) < set(other) for one in sets for other in sets)
    assert bool(sets) == any(count is not None for count in counts)
