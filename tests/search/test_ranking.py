"""What a list by relevance begins with: a thing, not what goes with it, nor what says its name most often."""

from collections.abc import Iterator

import pg8000.native
import pytest

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.search.listing import Matching, Search
from shared.search.texts import clean
from shared.settings import DatabaseSettings
from tools.scratch_database import ScratchServer

COMPUTER = "Globex 530 notebook silver 15.6 inch 8 GB 256 GB with a keyboard that is lit from below"
BESIDE_NOTEBOOKS = {
    "Notebook sleeve",
    "Notebook sleeve, notebook bag",
    "Notebook lap stand",
    "Privacy filter for notebooks",
}
# The heat of each, in quarters of a doubling.
PRODUCTS = {
    **dict.fromkeys(BESIDE_NOTEBOOKS, 0),
    COMPUTER: 0,
    "Scarf, scarf, scarf, scarf": 0,
    "Scarf of wool": 24,
    "Fringe, fringe, fringe, scarf, scarf": 0,
    "Scarf with a fringe of silk": 24,
    "Boots for women": 8,
    "Boots that women like": 0,
    "Zoom camera": 0,
    "Lenovo tablet with many keys": 0,
    "Telescope case": 60,
    "Telescope that stands on a tripod of steel": 0,
}

_FILL = """
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, boost, tier, place, words, search_text, projected_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'p-' || n, 'P' || n, name, 1000, 1000, 'USD',
    true, now(), heat, 1 + heat * ln(2::float8) / 40, 0, n, words || goes_with_v1(name, words), fold_v1(name), now()
from unnest(cast(:names as text[]), cast(:heats as integer[])) with ordinality as given (name, heat, n)
cross join lateral product_words_v1(name, '', '', case name when 'Zoom camera' then 'A lens, a second lens'
    when 'Lenovo tablet with many keys' then 'As thin as a lens, and as light' else '' end) as words
"""


@pytest.fixture(scope="module")
def address(postgres: ScratchServer) -> Address:
    made = postgres.copy()
    connection = made.connect()
    connection.run(_FILL, names=list(PRODUCTS), heats=list(PRODUCTS.values()))
    connection.close()
    return postgres.login(made, "search")


@pytest.fixture(scope="module")
def reader(address: Address) -> Iterator[CatalogueReader]:
    connect = connector(DatabaseSettings("url", 1, address.url), application="test", statement_timeout_ms=5000)
    database = Database(connect, size=1, clock=SystemClock())
    yield CatalogueReader(database)
    database.close()


@pytest.fixture(scope="module")
def connection(database: Address) -> Iterator[pg8000.native.Connection]:
    made = database.connect()
    yield made
    made.close()


def names(reader: CatalogueReader, text: str) -> list[str]:
    return [item.name for item in reader.list_products(Search(text=clean(text)), limit=100).items]


@pytest.mark.parametrize("text", ["notebook", "notebooks", "NOTEBOOK", "nótebook"])
def test_a_thing_comes_before_what_goes_with_it(reader: CatalogueReader, text: str) -> None:
    found = names(reader, text)

    assert (found[0], set(found[1:])) == (COMPUTER, BESIDE_NOTEBOOKS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lap stand", "Notebook lap stand"),
        ("notebook bag", "Notebook sleeve, notebook bag"),
        ("filter for notebooks", "Privacy filter for notebooks"),
    ],
)
def test_what_goes_with_a_thing_is_first_where_it_was_asked_for(reader: CatalogueReader, text: str, name: str) -> None:
    assert names(reader, text)[0] == name


def test_what_it_is_for_may_be_said_beside_it(reader: CatalogueReader) -> None:
    assert names(reader, "boots women")[0] == "Boots for women"


def test_a_name_that_begins_like_a_word_has_it_not(reader: CatalogueReader) -> None:
    assert names(reader, "lens") == ["Zoom camera", "Lenovo tablet with many keys"]


def test_no_text_begins_what_a_product_goes_with(reader: CatalogueReader) -> None:
    assert names(reader, "notebook g") == [COMPUTER]


def test_what_sells_far_better_is_first_all_the_same(reader: CatalogueReader) -> None:
    assert names(reader, "telescope") == ["Telescope case", "Telescope that stands on a tripod of steel"]


def test_a_word_that_is_said_often_says_little_more(reader: CatalogueReader) -> None:
    said_often, said_once = "Scarf, scarf, scarf, scarf", "Scarf of wool"
    assert [name for name in names(reader, "scarf") if name in {said_often, said_once}] == [said_once, said_often]


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("notebook", Matching.WORDS),
        ("scarf", Matching.WORDS),
        ("scarf fringe", Matching.MOST),
        ("notebook sleeve silver", Matching.MOST),
        ("noteb", Matching.PREFIX),
        ("bag notebook sleeve scarves fringes unheard", Matching.MOST),
    ],
)
def test_what_follows_a_page_is_ranked_as_the_page_is(reader: CatalogueReader, text: str, matching: Matching) -> None:
    """The first page is ranked in another function than the others."""
    search = Search(text=text)
    page = reader.list_products(search, limit=100)
    single = reader.list_products(search, limit=1)
    listed = [*single.items]
    while single.next is not None:
        assert single.next.matching is matching
        single = reader.list_products(search, limit=1, following=single.next)
        listed += single.items

    assert [item.name for item in listed] == [item.name for item in page.items]
    assert len(listed) > 1


@pytest.mark.parametrize(
    ("name", "lexemes"),
    [
        ("Targus Notebook Sleeve 17 inch", {":g:notebook"}),
        ("Globex SlimFit notebook sleeve notebook case", {":g:notebook"}),
        ("Keyboard wrist rest", {":g:keyboard", ":g:wrist"}),
        ("Camera lens filter 52 mm", {":g:camera", ":g:len"}),
        ("Privacy filter for notebooks", {":g:privaci", ":f:notebook"}),
        ("Sleeve FOR iPad, black", {":f:ipad", ":f:black"}),
        ("Acer notebook spare part", {":g:acer", ":g:notebook"}),
        ("Étui case", {":g:etui"}),
        ("笔记本 case", {":g:笔记本"}),
        ("\U00010428" * 250 + " case", {":g:" + "\U00010428" * 250}),
        ("\U00010428" * 495 + " case", set()),
        # The thing itself, whatever it has, is like or is made for.
        ("Notebook", set()),
        ("Notebook with a sleeve", set()),
        ("Notebook, sleeve", set()),
        ("Notebook - case black", set()),
        ("Notebook 17 inch silver sleeve", {":g:silver"}),
        ("Notebook with a notebook sleeve", set()),
        ("Notebook for notebook users", {":f:user"}),
        ("Notebook sleeve for notebook users", {":g:notebook", ":f:user"}),
        ("Shirt, long sleeve", {":g:long"}),
        ("Shirt long sleeve", {":g:long"}),
        ("USB keyboard + mouse pad", {":g:mous"}),
        ("Sleeve", set()),
        ("for", set()),
        (" for ", set()),
        ("", set()),
    ],
)
def test_a_name_says_what_the_product_goes_with(
    connection: pg8000.native.Connection, name: str, lexemes: set[str]
) -> None:
    rows = connection.run(
        "select tsvector_to_array(goes_with_v1(:name, product_words_v1(:name, 'Globex', 'Bags', 'A bag for all')))",
        name=name,
    )

    assert rows is not None
    assert set(rows[0][0]) == lexemes


@pytest.mark.parametrize(
    ("typed", "beside"),
    [
        ("notebook", "':g:notebook' | ':f:notebook'"),
        ("Gaming Keyboards", "':g:keyboard' | ':f:game' & ':f:keyboard'"),
        ("keyboard gaming", "':g:game' | ':f:game' & ':f:keyboard'"),
        ("wh-1000xm4", "':g:1000xm4' | ':f:1000xm4' & ':f:wh'"),
        (r"it\s a Pökal", "':g:pokal' | ':f:pokal'"),
        ("the the notebook", "':g:notebook' | ':f:notebook'"),
        # Asked for as it is.
        ("notebook sleeve", ""),
        ("sleeves, notebook", ""),
        ("filter for notebooks", ""),
        ("For notebooks", ""),
        ("", ""),
        ("the", ""),
        ("%", ""),
    ],
)
def test_a_text_says_what_is_not_meant_to_go_beside_it(
    connection: pg8000.native.Connection, typed: str, beside: str
) -> None:
    assert connection.run("select beside_v1(:typed)::text", typed=typed) == [[beside]]


@pytest.mark.parametrize("density", [0.0, 0.1, 1.0, 1e6])
def test_no_relevance_reaches_what_goes_before_it(connection: pg8000.native.Connection, density: float) -> None:
    """A list goes on with what has some of the words below 500,000,000, and begins with SKUs above a milliard."""
    rows = connection.run(
        "select relevance_v2(cast(:density as float8), 'a:1'::tsvector, 'a', 'a', '', 'a', 'a', 10)",
        density=density,
    )

    assert rows is not None
    assert 0 < rows[0][0] < 500_000_000
