"""What the benchmarks of search count, and that their catalogue is the same every time."""

import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.relevance import is_set_aside, ndcg
from benchmarks.searching.__main__ import measure
from benchmarks.searching.catalogue import draw, plan
from benchmarks.searching.filling import fill
from benchmarks.searching.measuring import COLUMNS, OURS, OVER_HTTP, RANKED, SCAN, Effort, Measuring
from benchmarks.searching.questions import Way
from benchmarks.searching.shops import Shop
from benchmarks.searching.vocabulary import SEED, Vocabulary
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search_projection import SearchProjection
from shared.search.listing import Sort
from shared.settings import DatabaseSettings
from tools.scratch_database import ROOT, ScratchServer

PRODUCTS, WORDS = 300, 6_000
_COPIES = "select to_jsonb(s) - 'projected_at' from search_products s order by product_id"
_WORDS = "select word, names, products from search_words order by word"
_TRACES = """
select count(*) from search_words w full join (select distinct word from search_misspellings) m using (word)
where w.traced is distinct from (w.names > 0) or (m.word is null) = w.traced
"""


@dataclass(frozen=True, slots=True)
class Filled:
    """A shop, with its copies and words as they were filled and as a rebuild then left them."""

    shop: Shop
    before: list[list[Any]]
    after: list[list[Any]]


@pytest.fixture(scope="module")
def filled(postgres: ScratchServer) -> Filled:
    dice = random.Random(SEED)
    drawn_from, address = plan(Vocabulary(dice, words=WORDS), dice), postgres.copy()
    timings = fill(address, PRODUCTS, drawn_from)
    connection = address.connect()
    before = [connection.run(_COPIES), connection.run(_WORDS)]
    settings = DatabaseSettings("url", 1, address.url)
    database = Database(connector(settings, application="test"), size=1, clock=SystemClock())
    projection, now = SearchProjection(database), SystemClock().now()
    projection.begin_rebuild(now=now)
    while projection.continue_rebuild(200, now=now).under_way:
        pass
    database.close()
    after = [connection.run(_COPIES), connection.run(_WORDS)]
    connection.close()
    return Filled(Shop(address, postgres, PRODUCTS, drawn_from, timings), before, after)


def test_the_same_seed_draws_the_same_catalogue() -> None:
    first, second = (
        list(draw(50, plan(Vocabulary(random.Random(SEED), words=WORDS), random.Random(1)), random.Random(SEED)))
        for _ in range(2)
    )

    assert first == second
    assert len({row.split("\t")[0] for row in first}) == 50


def test_a_shop_that_was_filled_at_once_is_one_that_a_rebuild_leaves_as_it_is(filled: Filled) -> None:
    connection = filled.shop.owner.connect()
    indexes = connection.run("select indexname from pg_indexes where tablename = 'search_products'")
    schema = (ROOT / "docs" / "schema.sql").read_text()

    assert filled.before == filled.after
    assert len(filled.after[0]) == PRODUCTS
    assert connection.run(_TRACES) == [[0]]
    assert len(indexes) == len(re.findall(r"INDEX \w+ ON public\.search_products ", schema)) + 1
    connection.close()


def test_every_kind_of_search_is_answered_in_every_column_that_has_an_answer(
    filled: Filled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    effort = Effort(asked=2, scanned=1, rounds=1, within_s=1.0)
    with Measuring(filled.shop, effort, columns=COLUMNS, engine_folder=tmp_path / "engine") as measuring:
        measured = {each.kind.name: each for each in measure(measuring, sessions=2, writing_s=0.2)}

    answered = {name: set(each.times) for name, each in measured.items() if each.kind.questions}
    everywhere = set(COLUMNS) - set(measuring.skipped)
    assert len(answered) >= 40
    for name, columns in answered.items():
        expected = everywhere
        if "prefix" in name:
            expected = {OURS, OVER_HTTP}
        elif "misspelt" in name:
            expected = everywhere - {SCAN}
        elif name == "1,000 characters":
            expected = everywhere - {OVER_HTTP}  # the API takes no more than 200
        question = measured[name].kind.questions[0]
        if question.misspelt or question.way is not Way.LIST or question.search.sorted_by is not Sort.RELEVANCE:
            expected = expected - {RANKED}
        assert (name, columns) == (name, expected)
        assert [times.failed for times in measured[name].times.values()] == [0] * len(columns)
    said = capsys.readouterr().out
    assert "first question" in said
    assert "from its variant to its copy" in said


def test_gain_is_discounted_by_place_and_measured_against_the_best_order() -> None:
    grades = {"a": 3, "b": 1, "c": 0}

    assert ndcg(["a", "b", "c"], grades) == 1.0
    assert ndcg(["c", "x"], grades) == 0.0
    assert ndcg(["x", "a"], grades) == pytest.approx((7 / 1.5849625) / (7 + 1 / 1.5849625))


def test_what_is_set_aside_stays_so() -> None:
    aside = [text for text in ("camera", "notebook", "keyboard", "monitor", "receive", "address") if is_set_aside(text)]

    assert aside == ["monitor", "receive", "address"]
