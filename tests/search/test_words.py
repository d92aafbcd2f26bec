"""Where words end: as people type them, not as PostgreSQL's parser reads signs, paths of files and hosts."""

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.inventory import cli
from functions.search import cli as search_cli
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.search_finding import listed_rows
from shared.persistence.search_matching import LAST_TIER
from shared.persistence.search_statements import list_statement
from shared.search.listing import Matching, Search
from shared.search.texts import clean, take_apart
from shared.settings import DatabaseSettings
from tests.numbers import PROPERTY_EXAMPLES
from tools.scratch_database import ScratchServer

NAMES = {
    "RTX-4090": "Torvald RTX-4090 graphics card",
    "TONER": "Cyan toner for C7100/C7300/C7500",
    "SHIRT": "Oxford shirt black/white",
    "TAPE": "Maßband Größe/Länge",
    "TOM": "StarTech.com adapter No.5 rev V2.0",
    "UPS": "Supply -48V 1+3-Phase, 27.6 cm deep",
    "WIFI": "Wi-Fi router 802.11b/g/n",
    "PRINT": "All in One printer",
    "500GB": "Halden 500GB drive",
    "500-GB": "Halden 500 GB drive",
    "5-GB": "Halden 500 sheets, 5 GB drive",
    "CAT5E": "Patch cord Cat5e, 10ft",
    "CAT-5E": "Patch cord Cat-5e, 10 ft",
    "LAPTOP": 'Ebook 15.6" grey',
    "GAME": "Game for 15 players",
    "SWITCH": "On and off button",
    "PHONES": "Lumo WH-1000XM4 headphones",
    **{f"KEYS-{n}": "Keyboard" for n in range(5)},
    "BOARD": "Board game with a key",
}


@pytest.fixture(scope="module")
def shop(postgres: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Address:
    address = postgres.copy()
    file = tmp_path_factory.mktemp("words") / "products.jsonl"
    rows = [{"sku": sku, "name": name, "price": 9, "on_hand": 1} for sku, name in NAMES.items()]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", address.url)
        assert cli.main(["import", str(file), "--quiet"]) == 0
        assert search_cli.main(["rebuild", "--quiet"]) == 0
    return address


@pytest.fixture(scope="module")
def reader(postgres: ScratchServer, shop: Address) -> Iterator[CatalogueReader]:
    login = postgres.login(shop, "search")
    database = Database(
        connector(DatabaseSettings("url", 1, login.url), application="test"), size=1, clock=SystemClock()
    )
    yield CatalogueReader(database)
    database.close()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rtx 4090", "RTX-4090"),
        ("4090", "RTX-4090"),
        ("torvald rtx-4090", "RTX-4090"),
        ("c7300 toner", "TONER"),
        ("toner C7100/C7500", "TONER"),
        ("white oxford", "SHIRT"),
        ("shirt black/white", "SHIRT"),
        ("länge", "TAPE"),
        ("grosse", "TAPE"),
        ("startech adapter", "TOM"),
        ("startech.com", "TOM"),
        ("adapter no 5", "TOM"),
        ("adapter no. 5", "TOM"),
        ("rev v2.0", "TOM"),
        ("supply 48V", "UPS"),
        ("supply -48v", "UPS"),
        ("3-phase", "UPS"),
        ("27.6 cm", "UPS"),
        ("wi-fi 802.11n", "WIFI"),
        ("router 802.11 g", "WIFI"),
        ("fi router", "WIFI"),
        ("wi fi router", "WIFI"),
        ("all-in-one printer", "PRINT"),
    ],
)
def test_a_word_is_found_whatever_joins_it_to_others(reader: CatalogueReader, text: str, found: str) -> None:
    page = reader.list_products(Search(text=text), limit=5)

    assert [item.sku for item in page.items] == [found]
    assert reader._finder.find(Search(text=text)).matching is Matching.WORDS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("500gb drive", ["5-GB", "500-GB", "500GB"]),
        ("500 GB halden", ["5-GB", "500-GB", "500GB"]),
        ("drive 500-gb", ["5-GB", "500-GB", "500GB"]),
        ("5gb drive", ["5-GB"]),
        ("cat-5e cord", ["CAT-5E", "CAT5E"]),
        ("cat-5e 10ft", ["CAT-5E", "CAT5E"]),
        ("10 ft patch", ["CAT-5E", "CAT5E"]),
        ("cat-5e 11ft patch", []),
        ("15.6 inch ebook", ["LAPTOP"]),
        ("15.6-inch", ["LAPTOP"]),
        ("ebook 15.6 inches grey", ["LAPTOP"]),
        ("1-5 players", []),
        ("on-off button", ["SWITCH"]),
    ],
)
def test_what_may_stand_in_one_piece_or_apart_is_found_as_both(
    reader: CatalogueReader, text: str, found: list[str]
) -> None:
    taken = take_apart(text)
    sql, parameters = list_statement(
        Search(text=text), taken, Matching.WORDS, reach=LAST_TIER, after=None, counting=False
    )

    [row] = reader._database.call(sql, **parameters, limit=9)
    assert sorted(product["sku"] for product in listed_rows(row)) == found


@pytest.mark.parametrize(
    ("text", "plain", "forms"),
    [
        ("lamp", "", ()),
        ("USB-C cable 2 m", "cable", (("USB", "C"), ("2", "m"))),
        ("all-in-one 2x500gb", "2x500gb", (("all", "in", "one"),)),
        ("größe-länge 10FT", "", (("größe", "länge"), ("10", "FT"))),
        ("5-port 5-port", "", (("5", "port"),)),
        ("-48V 1.5 l 1,000 gb 3-5 a-b-c-d-e f-1.5 x_5 g 10 gbx", "", ()),
        ("小米-5g 5g手机", "5g", (("5", "g"),)),
        ("a b c d e f g h i j k wi-fi", "", ()),
        ("it's'||'&|!:*-x", "", ()),
    ],
)
def test_forms_are_letters_and_digits_alone(text: str, plain: str, forms: tuple[tuple[str, ...], ...]) -> None:
    taken = take_apart(text)

    assert (" ".join(taken.plain.split()), taken.forms) == (plain, forms)


@pytest.mark.parametrize(
    ("text", "meant", "count"),
    [
        ("key board", "keyboard", 5),
        ("key  board", "keyboard", 5),
        ("head phones", None, 1),
        ("key-board", None, 6),
        ("lu mo", None, 1),
        ("wh1000xm4", "wh 1000xm4", 1),
        ("lumo wh1000xm4 zzz", None, 1),
        ("wh1000xm5", None, 0),
        ("500gb5", None, 0),
    ],
)
def test_words_are_joined_and_part_numbers_parted_where_that_finds_far_more(
    reader: CatalogueReader, text: str, meant: str | None, count: int
) -> None:
    page = reader.list_products(Search(text=clean(text)), limit=9)
    as_typed = reader.list_products(Search(text=clean(text), correct=False), limit=9)

    assert (page.corrected, len(page.items)) == (meant, count)
    assert as_typed.corrected is None


def test_what_is_joined_is_in_the_vocabulary_by_itself(shop: Address) -> None:
    connection = shop.connect()
    words = {row[0] for row in connection.run("select word from search_words where names > 0")}
    connection.close()

    assert words >= {"black", "white", "lange", "startech", "phase"}


def test_a_name_has_every_word_of_itself_that_was_typed(shop: Address) -> None:
    connection = shop.connect()

    # Without < > and ; as <strong> and &nbsp; of a description in HTML are the parser's own kinds of token, no words.
    @settings(max_examples=PROPERTY_EXAMPLES * 4, deadline=None)
    @given(st.text(alphabet="aZä5 -.+/~_,:'&", max_size=30))
    @example("a5._")
    def check(text: str) -> None:
        [[typed, named]] = connection.run(
            "select tsvector_to_array(to_tsvector('public.shop', :words)),"
            " tsvector_to_array(to_tsvector('public.shop', parted_v1(:text)))",
            words=take_apart(text).words,
            text=text,
        )
        assert set(typed) <= set(named)

    check()
    connection.close()
