"""What misspelt words may have meant: the pure part."""

from collections.abc import Iterator
from itertools import combinations

import pg8000.native
import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.database import Address
from shared.search.spelling import Candidate, choose, price, replaced

WORDS = st.text("abcdefghijklmnopqrstuvwxyz", min_size=4, max_size=12)


@pytest.mark.parametrize(
    ("typed", "candidates", "meant"),
    [
        ("recieve", {"receive": 10, "relieve": 10}, "receive"),
        ("hmdi", {"hdmi": 5, "mdi": 5}, "hdmi"),
        ("adress", {"address": 5, "dress": 40}, "address"),
        ("seperate", {"separate": 3, "desperate": 3}, "separate"),
        ("wirless", {"wireless": 300, "tireless": 1}, "wireless"),
        ("lesn", {"lens": 20, "lean": 1}, "lens"),
        ("abcd", {"wxyz": 900}, None),
        ("lamp", {}, None),
    ],
)
def test_the_likeliest_word_is_meant(typed: str, candidates: dict[str, int], meant: str | None) -> None:
    assert choose(typed, [Candidate(word, products) for word, products in candidates.items()]) == meant


@given(st.lists(st.builds(Candidate, WORDS, st.integers(0, 1000)), max_size=6, unique_by=lambda one: one.word), WORDS)
def test_the_order_of_candidates_decides_nothing(candidates: list[Candidate], typed: str) -> None:
    assert choose(typed, candidates) == choose(typed, candidates[::-1])


@given(WORDS)
def test_a_word_costs_nothing_as_itself_and_something_as_another(word: str) -> None:
    assert price(word, word) == 0
    assert price(word, word + "q") > 0


@pytest.mark.parametrize(
    ("word", "traces"),
    [
        ("lamp", {"lamp", "amp", "lmp", "lap", "lam"}),
        ("aaaa", {"aaaa", "aaa"}),
        ("zoé", {"zoé", "oé", "zé", "zo"}),
        ("abcde", {"abcde", *map("".join, combinations("abcde", 4)), *map("".join, combinations("abcde", 3))}),
        ("notebook", {"noteboo", *map("".join, combinations("noteboo", 6)), *map("".join, combinations("noteboo", 5))}),
    ],
)
def test_a_word_leaves_its_beginning_without_one_or_two_letters(database: Address, word: str, traces: set[str]) -> None:
    connection = database.connect()
    rows = connection.run("select trace from misspelling_traces_v1(:word) as trace", word=word)
    connection.close()

    assert sorted(row[0] for row in rows or ()) == sorted(traces)


@pytest.fixture(scope="module")
def connection(database: Address) -> Iterator[pg8000.native.Connection]:
    made = database.connect()
    yield made
    made.close()


@given(word=WORDS, data=st.data())
def test_two_spellings_that_differ_by_two_letters_share_a_trace(
    connection: pg8000.native.Connection, word: str, data: st.DataObject
) -> None:
    places = data.draw(st.sets(st.integers(0, min(len(word), 7) - 1), max_size=2 if len(word) > 5 else 1))
    shorter = "".join(letter for place, letter in enumerate(word) if place not in places)
    shared = "select trace from misspelling_traces_v1(:word) trace intersect select misspelling_traces_v1(:shorter)"

    assert connection.run(shared, word=word, shorter=shorter)


def test_what_stands_between_words_stays_as_it_was_typed() -> None:
    assert replaced("coper-lamp, bras!", [(12, 16, "brass"), (0, 5, "copper")]) == "copper-lamp, brass!"
