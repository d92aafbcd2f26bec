"""What the benchmarks of search count, and that their catalogue is the same every time."""

import random

import pytest

from benchmarks.relevance import is_set_aside, ndcg
from benchmarks.searching import SEED, Vocabulary, draw


def test_the_same_seed_draws_the_same_catalogue() -> None:
    first, second = (list(draw(50, Vocabulary(random.Random(SEED)), random.Random(SEED))) for _ in range(2))

    assert first == second
    assert len({row.split("\t")[0] for row in first}) == 50


def test_gain_is_discounted_by_place_and_measured_against_the_best_order() -> None:
    grades = {"a": 3, "b": 1, "c": 0}

    assert ndcg(["a", "b", "c"], grades) == 1.0
    assert ndcg(["c", "x"], grades) == 0.0
    assert ndcg(["x", "a"], grades) == pytest.approx((7 / 1.5849625) / (7 + 1 / 1.5849625))


def test_what_is_set_aside_stays_so() -> None:
    aside = [text for text in ("camera", "notebook", "keyboard", "monitor", "receive", "address") if is_set_aside(text)]

    assert aside == ["monitor", "receive", "address"]
