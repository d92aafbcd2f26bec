"""Cursors: ours go on, everything else is refused with a 400."""

import base64
import json
from dataclasses import replace
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from shared.search import cursors
from shared.search.cursors import ForeignCursor, _mark, read_cursor, write_cursor
from shared.search.listing import Continuation, Matching, Position, Search, Sort, Total
from shared.search.texts import clean

SEARCH = Search(text="lamp", sort=Sort.PRICE_ASC)
FOLLOWING = Continuation(Matching.WORDS, 4, None, Total(60, True), Position(2000, UUID(int=7)))


@given(
    key=st.integers(-(10**16), 10**16),
    last=st.uuids(),
    value=st.integers(0, 1000),
    exact=st.booleans(),
    matching=st.sampled_from([Matching.WORDS, Matching.PREFIX, Matching.SUBSTRING, Matching.SOME]),
    reach=st.integers(0, 4),
    corrected=st.none() | st.text(min_size=1, max_size=200).map(clean).filter(bool),
    steered=st.booleans(),
)
def test_a_cursor_reads_as_it_was_written(
    key: int,
    last: UUID,
    value: int,
    exact: bool,
    matching: Matching,
    reach: int,
    corrected: str | None,
    steered: bool,
) -> None:
    following = Continuation(matching, reach, corrected, Total(value, exact), Position(key, last), steered)

    assert read_cursor(SEARCH, write_cursor(SEARCH, following)) == following


def test_a_cursor_of_another_ranking_is_foreign_to_ranked_lists_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ranked, by_price, browsed = Search(text="lamp"), SEARCH, Search(category="home")
    following = replace(FOLLOWING, matching=Matching.EVERYTHING)
    monkeypatch.setattr(cursors, "RANKING", cursors.RANKING - 1)
    before = write_cursor(ranked, FOLLOWING), write_cursor(by_price, FOLLOWING), write_cursor(browsed, following)
    monkeypatch.undo()

    with pytest.raises(ForeignCursor):
        read_cursor(ranked, before[0])
    assert (read_cursor(by_price, before[1]), read_cursor(browsed, before[2])) == (FOLLOWING, following)


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_a_forged_cursor_is_foreign(cursor: str) -> None:
    with pytest.raises(ForeignCursor):
        read_cursor(SEARCH, cursor)


@given(st.integers(0, 400), st.integers(1, 63))
def test_a_cursor_in_which_anything_was_changed_is_foreign(place: int, by: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    cursor = write_cursor(SEARCH, FOLLOWING)
    place %= len(cursor) - 1  # the last character may carry unused bits
    other = alphabet[(alphabet.index(cursor[place]) + by) % 64]

    with pytest.raises(ForeignCursor):
        read_cursor(SEARCH, cursor[:place] + other + cursor[place + 1 :])


@pytest.mark.parametrize(
    "other",
    [
        Search(text="lamps", sort=Sort.PRICE_ASC),
        Search(text="lamp", sort=Sort.PRICE_DESC),
        Search(text="lamp", sort=Sort.PRICE_ASC, in_stock=True),
        Search(text="lamp", sort=Sort.PRICE_ASC, price_min=0),
        Search(text="lamp", sort=Sort.PRICE_ASC, brand="lumo"),
        Search(text="lamp", sort=Sort.PRICE_ASC, category="home"),
        Search(text="lamp", sort=Sort.PRICE_ASC, correct=False),
    ],
)
def test_a_cursor_of_another_search_is_foreign(other: Search) -> None:
    with pytest.raises(ForeignCursor):
        read_cursor(other, write_cursor(SEARCH, FOLLOWING))


@pytest.mark.parametrize(
    "content",
    [
        ["words", 4, None, 60, 1, 10**30, "0" * 32],
        ["words", 4, None, 60, 1, -60_000_000_000_000_001, "0" * 32],
        ["words", 4, None, -1, 1, 1, "0" * 32],
        ["words", 4, None, 1, 2, 1, "0" * 32],
        ["words", 4, None, 1, 1, 1.5, "0" * 32],
        ["words", 4, None, 1, 1, True, "0" * 32],
        ["words", 4, None, 1, 1, 1, 7],
        ["words", 5, None, 1, 1, 1, "0" * 32],
        ["words", 4, "", 1, 1, 1, "0" * 32],
        ["words", 4, " lamp", 1, 1, 1, "0" * 32],
        ["words", 4, 7, 1, 1, 1, "0" * 32],
        ["words", 4, None, 1, 1, 1, "no id"],
        ["nothing at all", 4, None, 1, 1, 1, "0" * 32],
        ["everything", 4, None, 1, 1, 1, "0" * 32],
        [],
        {"a": 1},
        None,
    ],
)
def test_whoever_computes_the_mark_is_refused_all_the_same_where_the_content_is_odd(content: object) -> None:
    raw = json.dumps(content).encode()

    with pytest.raises(ForeignCursor):
        read_cursor(SEARCH, base64.urlsafe_b64encode(_mark(SEARCH, raw) + raw).decode().rstrip("="))


@pytest.mark.parametrize("sort", [Sort.RELEVANCE, Sort.PRICE_ASC, Sort.NEWEST])
@pytest.mark.parametrize("key", [60_000_000_000_000_000, -60_000_000_000_000_000, 0])
def test_a_forged_position_is_an_empty_or_a_first_page_and_no_error(client: FlaskClient, sort: Sort, key: int) -> None:
    search = Search(text="lamp", sort=sort)
    cursor = write_cursor(search, Continuation(Matching.WORDS, 4, None, Total(5, True), Position(key, UUID(int=0))))

    assert client.get(f"/v1/products?q=lamp&sort={sort}&cursor={cursor}").status_code == 200


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("corrected", ["usb", "the", "'"])
def test_a_list_without_a_text_has_nothing_to_correct(client: FlaskClient, sort: Sort, corrected: str) -> None:
    following = Continuation(Matching.EVERYTHING, 4, corrected, Total(60, True), Position(0, UUID(int=7)))
    forged = write_cursor(Search(sort=sort), following)

    assert client.get(f"/v1/products?sort={sort}&cursor={forged}").status_code == 400


def test_a_foreign_cursor_is_a_400_that_names_it(client: FlaskClient) -> None:
    ours = client.get("/v1/products?q=lamp&limit=2").get_json()["next_cursor"]

    for query in (f"q=lamp&sort=newest&cursor={ours}", "q=lamp&cursor=abc", f"cursor={ours}", f"q=lamp&cursor={ours}A"):
        answer = client.get(f"/v1/products?{query}")
        assert answer.status_code == 400
        assert answer.get_json()["errors"] == [{"parameter": "cursor", "detail": "is not one of this list"}]
    assert client.get(f"/v1/products?q=lamp&limit=5&cursor={ours}").status_code == 200
