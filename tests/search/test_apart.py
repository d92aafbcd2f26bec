"""Prices and texts stand apart from the words of a product: what a new price writes, and that nothing differs."""

from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.persistence.search import CatalogueReader
from shared.search import projecting
from shared.search.listing import Search, Sort
from tests.numbers import PROPERTY_EXAMPLES
from tests.search.connections import as_search
from tests.search.test_projection import CHANGES, Shop
from tools.scratch_database import ScratchServer

_APART = """
select product_id::text, category_id::text, brand_id::text, price_minor, in_stock, tier, place, search_text
from search_prices full join search_texts using (product_id) order by 1
"""
_COPIES = """
select product_id::text, category_id::text, brand_id::text, price_minor, in_stock, tier, place, search_text
from search_products where tier <= 4 order by 1
"""
# How many rows of its copy a transaction has written, and how many of these no index heard of.
_WRITTEN = """
select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where relname = 'search_products'
"""


@pytest.fixture
def shop(postgres: ScratchServer) -> Iterator[Shop]:
    made = Shop(postgres)
    yield made
    made.close()
    postgres.drop(made.address)


def written(shop: Shop, product_id: UUID) -> tuple[int, int]:
    """By making the copy anew, of all rows and of those that are in no index."""
    shop.run("begin")
    [before] = shop.run(_WRITTEN)
    shop.run("select project_products_v4(array[cast(:id as uuid)], false, :now)", id=product_id, now=shop.clock.now())
    [after] = shop.run(_WRITTEN)
    shop.run("commit")
    return after[0] - before[0], after[1] - before[1]


@pytest.mark.parametrize("words", [1, 1_000], ids=["few words", "more words than a row has room for"])
def test_a_price_of_the_same_step_writes_no_index_of_words(shop: Shop, words: int) -> None:
    lamp = shop.add("lamp", price_minor=10_000)
    shop.run(
        "update products set words = words || product_words_v1('', '', '', (select string_agg(md5(n::text), ' ')"
        " from generate_series(1, cast(:words as int)) as n))",
        words=words,
    )
    shop.projection.project([lamp])

    shop.price(lamp, 10_001)
    within = written(shop, lamp)
    shop.price(lamp, 20_000)
    beyond = written(shop, lamp)

    assert (within, beyond) == ((1, 1), (1, 0))
    assert shop.listed() == {"lamp": (True, 20_000)}


def test_what_is_sold_out_and_there_again_writes_no_index_of_words(shop: Shop) -> None:
    lamp = shop.add("lamp")
    shop.projection.project([lamp])

    shop.stock("LAMP", 0)
    sold_out = written(shop, lamp)
    nothing = shop.listed()
    shop.stock("LAMP", 3)
    there_again = written(shop, lamp)

    assert (sold_out, there_again) == ((1, 1), (1, 1))
    assert (nothing, shop.listed()) == ({"lamp": (False, 1000)}, {"lamp": (True, 1000)})


@pytest.mark.parametrize("sort", Sort)
def test_what_was_in_stock_is_in_no_list_of_what_is(shop: Shop, postgres: ScratchServer, sort: Sort) -> None:
    """Its words say that it was, until the next rebuild."""
    lamp, torch = shop.add("brass lamp"), shop.add("brass torch")
    shop.projection.project([lamp, torch])
    shop.stock("BRASS LAMP", 0)
    shop.projection.project([lamp])
    with_the_word = "select count(*) from search_products where words @@ '''s:1'''"

    with as_search(postgres, shop.address) as database:
        reader = CatalogueReader(database)
        found = []
        for text in ("", "brass", "bras", "rass", "lamp"):
            search = Search(text=text, in_stock=True, sort=sort)
            page = reader.list_products(search, limit=24)
            assert page.total.value == reader.facets(search).total.value == len(page.items)
            found.append([item.name for item in page.items])

    assert found == [["brass torch"]] * 4 + [[]]
    assert shop.run(with_the_word) == [[2]]
    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)
    assert shop.run(with_the_word) == [[1]]
    assert shop.listed() == {"brass lamp": (False, 1000), "brass torch": (True, 1000)}


@settings(
    max_examples=PROPERTY_EXAMPLES // 5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_stands_apart_is_what_the_copies_say_after_every_change(shop: Shop, data: st.DataObject) -> None:
    """The version before writes copies too."""
    ids = [shop.add(f"{uuid4()}") for _ in range(3)]
    for _ in range(data.draw(st.integers(1, 8))):
        product_id = data.draw(st.sampled_from(ids))
        data.draw(st.sampled_from(CHANGES))(shop, product_id)
        version = data.draw(st.sampled_from(["v2", "v3", "v4"]))
        shop.run(
            f"select project_products_{version}(array[cast(:id as uuid)], false, :now)",
            id=product_id,
            now=shop.clock.now(),
        )
        if data.draw(st.integers(0, 3)) == 0:
            projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)

        assert shop.run(_APART) == shop.run(_COPIES)


def test_a_copy_that_goes_takes_its_price_and_text_with_it(shop: Shop) -> None:
    lamp, torch = shop.add("lamp"), shop.add("torch")
    shop.projection.project([lamp, torch])

    shop.run("delete from search_products where product_id = cast(:id as uuid)", id=lamp)

    assert [row[0] for row in shop.run(_APART)] == [str(torch)]
    assert shop.run(_APART) == shop.run(_COPIES)
