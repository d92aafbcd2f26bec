"""What the benchmarks of search count, and that their catalogue is the same every time."""

import random

import pytest

from benchmarks.relevance import is_set_aside, ndcg
from benchmarks.searching.catalogue import draw, plan
from benchmarks.searching.filling import fill
from benchmarks.searching.vocabulary import SEED, Vocabulary
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search_projection import SearchProjection
from shared.settings import DatabaseSettings

PRODUCTS = 300


def test_the_same_seed_draws_the_same_catalogue() -> None:
    first, second = (
        list(draw(50, plan(Vocabulary(random.Random(SEED)), random.Random(1)), random.Random(SEED))) for _ in range(2)
    )

    assert first == second
    assert len({row.split("\t")[0] for row in first}) == 50


def test_a_shop_that_was_filled_at_once_is_one_that_a_rebuild_leaves_as_it_is(fresh_database: Address) -> None:
    dice = random.Random(SEED)
    fill(fresh_database, PRODUCTS, plan(Vocabulary(dice), dice))
    connection = fresh_database.connect()
    copies = "select to_jsonb(s) - 'projected_at' from search_products s order by product_id"
    words = "select word, names, products from search_words order by word"
    filled = connection.run(copies), connection.run(words)
    indexes = "select indexname from pg_indexes where tablename = 'search_products'"
    connect = connector(DatabaseSettings("url", 1, fresh_database.url), application="test")
    database = Database(connect, size=1, clock=SystemClock())
    projection, now = SearchProjection(database), SystemClock().now()

    projection.begin_rebuild(now=now)
    while projection.continue_rebuild(200, now=now).under_way:
        pass

    assert (connection.run(copies), connection.run(words)) == filled
    assert len(filled[0]) == PRODUCTS
    assert (
        connection.run(
            "select count(*) from search_misspellings m full join search_words w using (word)"
            " where traced <> (names > 0) or (trace is null and names > 0)"
        )[0][0]
        == 0
    )
    assert len(connection.run(indexes)) == 20
    database.close()
    connection.close()


def test_gain_is_discounted_by_place_and_measured_against_the_best_order() -> None:
    grades = {"a": 3, "b": 1, "c": 0}

    assert ndcg(["a", "b", "c"], grades) == 1.0
    assert ndcg(["c", "x"], grades) == 0.0
    assert ndcg(["x", "a"], grades) == pytest.approx((7 / 1.5849625) / (7 + 1 / 1.5849625))


def test_what_is_set_aside_stays_so() -> None:
    aside = [text for text in ("camera", "notebook", "keyboard", "monitor", "receive", "address") if is_set_aside(text)]

    assert aside == ["monitor", "receive", "address"]
