"""Words that mean the same: all of a word or nothing of it, in any order, and never more than search can look for."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.kernel.errors import Invalid
from shared.search.listing import Search, Total
from shared.search.merchandising import MOST_LEXEMES, SynonymTaken
from tests.search.test_merchandising import MerchandisedShop
from tools.scratch_database import ScratchServer


@pytest.fixture
def shop(postgres: ScratchServer) -> Iterator[MerchandisedShop]:
    made = MerchandisedShop(postgres)
    yield made
    made.close()
    postgres.drop(made.address)


def widened(shop: MerchandisedShop, text: str, *, by_any: bool = False) -> str:
    query: str = shop.run("select widened_query_v2(:text, :by_any)::text", text=text, by_any=by_any)[0][0]
    return query


# What is looked for ---------------------------------------------------------------------------------------------------


def test_a_text_counts_as_widened_where_it_has_all_words_that_are_widened_together(shop: MerchandisedShop) -> None:
    shop.stock_up("mobile home", "handset", "mobile phone")
    shop.synonym("mobile phone", "handset")
    shop.searching.statements = 0

    assert shop.find(Search(text="mobile home", correct=False)) == ["mobile home"]
    # Found as it is.
    assert shop.searching.statements == 1
    assert widened(shop, "mobile home") == "'home' & 'mobil'"
    assert sorted(shop.find("phone mobile")) == ["handset", "mobile phone"]


def test_any_of_the_words_is_no_part_of_a_synonym_and_all_of_what_was_typed(shop: MerchandisedShop) -> None:
    shop.stock_up("flat screen", "flat iron", "screen door", "mobile home", "handset")
    shop.synonym("tv", "flat screen", one_way=True)
    shop.synonym("mobile phone", "handset", one_way=True)

    assert shop.find("tv zzzz") == ["flat screen"]
    assert sorted(shop.find("mobile phone zzzz")) == ["handset", "mobile home"]


def test_a_word_that_is_typed_again_and_a_second_word_of_an_entry_make_no_longer_query(shop: MerchandisedShop) -> None:
    words = [f"{letter}qx" for letter in "abcdefghijklmnopqrstu"]
    shop.stock_up(" ".join(words[:12]), *words)
    shop.synonym(*words)

    once = widened(shop, words[0])

    assert once == " | ".join(f"'{word}'" for word in words)
    assert widened(shop, " ".join(words[:1] * 12)) == widened(shop, " ".join(words[:12])) == once
    assert len(shop.find(" ".join(words[:12]))) == 22


def test_what_a_longer_word_of_an_entry_has_is_widened_by_no_other(shop: MerchandisedShop) -> None:
    shop.stock_up("table")
    shop.synonym("hot dog", "sausage", one_way=True)
    shop.synonym("dog", "puppy", one_way=True)
    shop.synonym("bun", "roll", one_way=True)

    assert widened(shop, "dog bun hot") == "( 'dog' & 'hot' | 'sausag' ) & ( 'bun' | 'roll' )"
    assert (
        widened(shop, "dog bun hot", by_any=True) == "'bun' | 'dog' | 'hot' | 'dog' & 'hot' | 'sausag' | 'bun' | 'roll'"
    )
    assert widened(shop, "the") == widened(shop, "") == ""


def test_a_text_has_room_for_so_many_words_of_all_its_entries(shop: MerchandisedShop) -> None:
    shop.stock_up("table")
    for entry in "abc":
        shop.synonym(entry * 3, *(f"{entry * 3}q{n} {entry * 3}x{n}" for n in range(19)), one_way=True)
        shop.synonym(entry * 4, f"{entry * 4}q", one_way=True)

    lexemes = "select (numnode(widened_query_v2(:text, false)) + 1) / 2"

    assert shop.run(lexemes, text="aaa bbb") == [[39 + 39]]
    assert shop.run(lexemes, text="aaa bbb ccc aaaa bbbb") == [[39 + 39 + 39 + 2 + 1]]
    assert shop.run(lexemes, text="ccc bbbb aaaa") == [[39 + 2 + 2]]


# In which order -------------------------------------------------------------------------------------------------------


def test_what_has_the_typed_word_comes_before_what_has_its_synonym_alone(shop: MerchandisedShop) -> None:
    things = [f"{colour} {thing}" for colour in ("red", "blue") for thing in ("sofa", "couch", "settee")]
    shop.projection.project([shop.add(thing) for thing in things])
    shop.synonym("sofa", "couch", "settee")

    for typed in ("sofa", "couch", "settee"):
        assert sorted(shop.find(typed)[:2]) == [f"blue {typed}", f"red {typed}"]
    assert shop.find("red couch")[0] == "red couch"


def test_a_synonym_in_the_name_comes_before_one_in_the_description(shop: MerchandisedShop) -> None:
    ids = [shop.add("table"), shop.add("couch")]
    shop.run("update products set words = product_words_v1(name, '', '', 'as high as a couch') where name = 'table'")
    shop.projection.project(ids)
    shop.synonym("sofa", "couch")

    assert shop.find("sofa", limit=1) == ["couch", "table"]


def test_pages_of_many_that_only_a_synonym_finds_add_up(shop: MerchandisedShop) -> None:
    names = [f"{thing} {number}" for thing in ("sofa", "couch") for number in range(5)]
    shop.stock_up(*names)
    shop.synonym("sofa", "couch")

    found = shop.find("sofa", limit=2)

    assert sorted(found) == sorted(names)
    assert {name.split()[0] for name in found[:5]} == {"sofa"}
    assert shop.reader.list_products(Search(text="sofa"), limit=2).total == Total(10, exact=True)


# What staff may write -------------------------------------------------------------------------------------------------


def test_words_in_another_order_are_the_same_words(shop: MerchandisedShop) -> None:
    shop.stock_up("torch", "dress")
    shop.synonym("red lamp", "torch", one_way=True)

    with pytest.raises(SynonymTaken) as refused:
        shop.synonym("lamp red", "dress", one_way=True)
    with pytest.raises(Invalid) as one_word:
        shop.synonym("blue lamp", "lamps, blue", "blue, blue lamp")

    assert refused.value.data == {"words": ["lamp red"]}
    assert [field.pointer for field in one_word.value.fields] == ["/synonyms"]
    assert shop.find("lamp red") == shop.find("red lamp") == ["torch"]
    assert len(shop.audited()) == 1


_WAITING = """
select from pg_locks l join pg_database d on d.oid = l.database
where d.datname = current_database() and l.locktype = 'advisory' and not l.granted
"""
LETTERS = "abcdefghjklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "synonyms",
    [
        [f"100 x 200 cm q{n} b c d e f g h j k l m n" for n in range(20)],
        [f"usb-c-hub-x{n} a-b-c-d-e-f-g-h-j-k-l-m-n" for n in range(20)],
        # Fewer than sixty words, of many bytes.
        [" ".join("\U00010428" * 29 + letter + other for other in "abc") for letter in LETTERS[:19]],
        [f"q{n}" for n in range(MOST_LEXEMES)],
    ],
)
def test_an_entry_of_more_words_than_search_can_look_for_is_refused(
    shop: MerchandisedShop, synonyms: list[str]
) -> None:
    made = shop.synonym("x", "y")

    with pytest.raises(Invalid) as refused:
        shop.synonym("term", *synonyms)
    with pytest.raises(Invalid) as changed:
        shop.synonyms.change(made.id, term=None, synonyms=synonyms, one_way=None, actor="staff:1", if_match=None)

    for error in (refused, changed):
        assert [(field.pointer, field.detail) for field in error.value.fields] == [
            ("/synonyms", "An entry has room for 60 words in all, fewer where they are long.")
        ]
    assert shop.run("select term, synonyms from synonyms") == [["x", ["y"]]]
    assert [row[1] for row in shop.audited()] == ["synonyms.created"]


@pytest.mark.parametrize(
    "words",
    [
        # Sixty, three a word.
        [f"{letter}q {letter}z x{n}" for n, letter in enumerate(LETTERS[:20])],
        # As long as a body may have them.
        ["w" * 59 + letter for letter in LETTERS[:21]],
        [
            "\u0444" * 59 + "\u0430\u0431\u0432\u0433\u0434\u0435\u0436\u0437\u0438\u043a\u043b\u043c\u043d"[n]
            for n in range(13)
        ],
    ],
)
def test_an_entry_as_large_as_may_be_is_kept_and_found_by(shop: MerchandisedShop, words: list[str]) -> None:
    shop.stock_up(words[-1])

    shop.synonym(*words)

    assert shop.find(words[0]) == [words[-1]]
    assert shop.find(f"{words[0]} zzzz") == [words[-1]]


def test_who_changes_synonyms_waits_for_a_turn(shop: MerchandisedShop) -> None:
    shop.stock_up("sofa", "couch")
    made = shop.synonym("sofa", "settee")
    shop.run("begin")
    shop.run("select pg_advisory_xact_lock(hashtext('synonyms'))")

    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(
            shop.synonyms.change, made.id, term=None, synonyms=["couch"], one_way=None, actor="staff:1", if_match=1
        )
        until = time.monotonic() + 30
        while not shop.run(_WAITING):
            assert not change.done()
            assert time.monotonic() < until
        shop.run("commit")

    assert (change.result().version, sorted(shop.find("sofa"))) == (2, ["couch", "sofa"])
