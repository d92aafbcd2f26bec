"""Importing files into a shop: what goes in, what is refused, and that a repeat changes nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalog.conftest import Shop
from tools.scratch_database import ScratchServer

LAMP = {"sku": "LAMP", "name": "Brass Lamp", "price": 19.9}


def test_good_lines_go_in_and_bad_ones_are_named_by_number_and_reason(shop: Shop, say: Callable[[], list[str]]) -> None:
    file = shop.write(
        "products.csv",
        "sku,name,price,on_hand,currency\n"
        "A,Lamp,19.90,5,USD\n"
        "B,Mug,-1,5,USD\n"
        'C,"Two\nlines",3,5,USD\n'
        "A,Lamp again,1,1,USD\n"
        "D,Bowl,1.999,5,USD\n"
        "E,Plate,1,5,GBP\n"
        "F,Vase,12\n"
        "G,,12,1,USD\n"
        "H,Rug,,1,USD\n",
    )

    status = shop.run(file)

    refused = [
        "line 3 (B): price is negative",
        "line 6 (A): A is on line 2 already",
        "line 7 (D): price has more decimals than USD has (2)",
        "line 8 (E): currency is GBP, and the shop sells in USD",
        "line 9: the line has 3 fields, and the header 5",
        "line 10 (G): name is missing, and the product G is new",
        "line 11 (H): price is missing, and H is new",
    ]
    said = say()
    assert status == 1
    assert said[:7] == refused
    assert said[7] == f"refused lines: {file}.errors"
    assert said[8].startswith("products.csv: 2 new, 0 changed, 0 unchanged, 7 refused in ")
    assert Path(f"{file}.errors").read_text().splitlines() == refused
    assert shop.ask("select sku, price_minor from variants order by sku") == [["A", 1990], ["C", 300]]
    assert shop.ask("select sku, on_hand, held from stock_levels order by sku") == [["A", 5, 0], ["C", 5, 0]]


def test_a_clean_import_ends_with_0_and_leaves_no_report(shop: Shop) -> None:
    (shop.folder / "rows.jsonl.gz.errors").write_text("of an earlier run")

    assert shop.import_rows(LAMP) == 0
    assert not (shop.folder / "rows.jsonl.gz.errors").exists()


def test_a_repeated_import_changes_nothing(shop: Shop, say: Callable[[], list[str]]) -> None:
    rows = [
        {"sku": "T-S", "product": "T", "name": "T-Shirt", "brand": "Wren", "category_path": "Clothing > Tops",
         "price": 20, "option.size": "S", "on_hand": 3, "image_url": "a.jpg b.jpg", "weight_g": 150, "ean": ["1"],
         "n": 5.5},
        {"sku": "T-M", "product": "T", "price": 22, "option.size": "M", "on_hand": 0},
        {**LAMP, "brand": "WREN", "category_path": "clothing > TOPS", "on_hand": 7},
    ]  # fmt: skip
    assert shop.import_rows(*rows) == 0
    before = shop.everything()
    say()

    assert shop.import_rows(*rows) == 0

    assert say()[0].startswith("rows.jsonl.gz: 0 new, 0 changed, 3 unchanged, 0 refused in ")
    assert shop.everything() == before
    assert shop.ask("select name, slug from brands") == [["Wren", "wren"]]
    assert shop.ask("select path, name from categories order by path") == [
        ["clothing", "Clothing"],
        ["clothing/tops", "Tops"],
    ]


def test_the_column_product_groups_variants_and_its_first_line_describes_it(shop: Shop) -> None:
    shop.import_rows(
        {"sku": "T-M", "product": "T", "name": "T-Shirt", "brand": "Wren", "price": 22, "option.size": "M"},
        {"sku": "T-S", "product": "T", "name": "T-Shirt small", "brand": "Other", "price": 20, "option.size": "S"},
    )

    assert shop.ask("select group_key, slug, name, price_minor, search_text from products") == [
        ["T", "t-shirt", "T-Shirt", 2000, "t-shirt wren t-m t-s"]
    ]
    assert shop.ask("select sku, options, position from variants order by position") == [
        ["T-M", {"size": "M"}, 0],
        ["T-S", {"size": "S"}, 1],
    ]


def test_a_feed_of_prices_changes_prices_and_nothing_else(shop: Shop) -> None:
    shop.import_rows({**LAMP, "brand": "Nordby", "description": "Warm.", "ean": "1", "on_hand": 4})

    assert shop.import_rows({"sku": "LAMP", "price": 25}) == 0

    assert shop.ask(
        "select p.name, p.description, p.attributes, p.price_minor, v.price_minor, s.on_hand"
        " from products p join variants v on v.product_id = p.id join stock_levels s on s.sku = v.sku"
    ) == [["Brass Lamp", "Warm.", {"ean": "1"}, 2500, 2500, 4]]


def test_a_new_name_has_a_new_slug_and_the_old_one_is_remembered(shop: Shop) -> None:
    shop.import_rows(LAMP)
    shop.import_rows({**LAMP, "name": "Copper Lamp"})

    assert shop.ask("select slug from products") == [["copper-lamp"]]
    assert shop.ask("select slug from slug_history") == [["brass-lamp"]]

    shop.import_rows({**LAMP, "name": "BRASS Lamp!"})

    assert shop.ask("select slug, name from products") == [["brass-lamp", "BRASS Lamp!"]]
    assert shop.ask("select slug from slug_history") == [["copper-lamp"]]


def test_a_slug_that_once_led_to_a_product_is_not_given_to_another(shop: Shop) -> None:
    shop.import_rows(LAMP)
    shop.import_rows({**LAMP, "name": "Copper Lamp"}, {"sku": "B", "name": "Brass Lamp", "price": 1})

    assert shop.ask("select slug from products order by slug") == [["brass-lamp-b"], ["copper-lamp"]]


def test_names_that_repeat_have_slugs_that_do_not(shop: Shop) -> None:
    names = {"A": "Lamp", "B": "LAMP", "C": "中文", "D": "🙂"}
    rows = [{"sku": f"{letter}-1", "name": name, "price": 1} for letter, name in names.items()]

    assert shop.import_rows(*rows) == 0

    slugs = [row[0] for row in shop.ask("select slug from products order by slug")]
    assert slugs == ["d-1", "lamp", "lamp-b-1", "zhong-wen"]


def test_what_is_called_null_has_a_name_like_any_other(shop: Shop) -> None:
    row = {"sku": "null", "name": "Null", "brand": "Null", "category_path": "NULL > null", "price": 1, "on_hand": 2}

    assert shop.import_rows(row) == 0
    assert shop.import_rows({**row, "on_hand": 3}) == 0

    assert shop.ask("select sku, on_hand from stock_levels") == [["null", 3]]
    assert shop.ask("select b.name, c.path from products p, brands b, categories c where c.id = category_id") == [
        ["Null", "null/null"]
    ]


def test_categories_and_brands_that_differ_have_slugs_that_differ(shop: Shop) -> None:
    shop.import_rows(
        {"sku": "A", "name": "A", "price": 1, "brand": "C", "category_path": "Books > C"},
        {"sku": "B", "name": "B", "price": 1, "brand": "C++", "category_path": "Books > C++"},
        {"sku": "C", "name": "C", "price": 1, "brand": "c", "category_path": "BOOKS > c#"},
    )

    assert shop.ask("select name, slug from brands order by slug") == [["C", "c"], ["C++", "c-2"]]
    assert [row[0] for row in shop.ask("select path from categories order by path")] == [
        "books", "books/c", "books/c-2", "books/c-3",
    ]  # fmt: skip


def test_products_that_become_variants_of_one_leave_their_addresses_to_it(shop: Shop) -> None:
    shop.import_rows({"sku": "S", "name": "Shirt S", "price": 3}, {"sku": "M", "name": "Shirt M", "price": 2})

    shop.import_rows(
        {"sku": "S", "product": "SHIRT", "name": "Shirt", "price": 3},
        {"sku": "M", "product": "SHIRT", "price": 2},
    )

    assert shop.ask("select slug, price_minor from products") == [["shirt", 200]]
    assert shop.ask("select h.slug, p.slug from slug_history h join products p on p.id = h.product_id order by 1") == [
        ["shirt-m", "shirt"],
        ["shirt-s", "shirt"],
    ]


def test_a_product_that_a_variant_leaves_has_the_price_and_words_of_the_others(shop: Shop) -> None:
    shop.import_rows(
        {"sku": "CHEAP", "product": "P", "name": "Lamp", "price": 1}, {"sku": "DEAR", "product": "P", "price": 9}
    )

    shop.import_rows({"sku": "CHEAP", "product": "CHEAP", "name": "Old Lamp", "price": 1})

    assert shop.ask("select group_key, price_minor, search_text from products order by group_key") == [
        ["CHEAP", 100, "old lamp cheap"],
        ["P", 900, "lamp dear"],
    ]


def test_stock_is_received_once_and_counted_afterwards(shop: Shop) -> None:
    shop.import_rows(
        {**LAMP, "on_hand": 5}, {"sku": "MUG", "name": "Mug", "price": 1}, options=("--default-on-hand", "9")
    )
    shop.import_rows(
        {**LAMP, "on_hand": 3}, {"sku": "MUG", "name": "Mug", "price": 1}, options=("--default-on-hand", "7")
    )

    assert shop.ask("select sku, on_hand from stock_levels order by sku") == [["LAMP", 3], ["MUG", 9]]
    assert shop.ask("select sku, kind, delta_on_hand, delta_held, actor, reason from stock_movements order by id") == [
        ["LAMP", "receive", 5, 0, "import", "import of rows.jsonl.gz"],
        ["MUG", "receive", 9, 0, "import", "import of rows.jsonl.gz"],
        ["LAMP", "count", -2, 0, "import", "import of rows.jsonl.gz"],
    ]


def test_a_count_below_what_orders_hold_is_refused_and_named(shop: Shop, say: Callable[[], list[str]]) -> None:
    shop.import_rows({**LAMP, "on_hand": 5})
    shop.ask("update stock_levels set held = 4 where sku = 'LAMP'")
    say()

    status = shop.import_rows({**LAMP, "price": 30, "on_hand": 3})

    assert status == 1
    assert say()[0] == (
        "line 1 (LAMP): on_hand 3 is below the 4 that open orders hold (unknown): not counted, "
        "the rest of the line went in"
    )
    assert shop.ask("select on_hand, held from stock_levels") == [[5, 4]]
    assert shop.ask("select price_minor from variants") == [[3000]]
    assert len(shop.ask("select 1 from stock_movements")) == 1


def test_words_find_name_brand_category_and_description_and_trigrams_find_the_sku(shop: Shop) -> None:
    shop.import_rows(
        {
            "sku": "KT-INS114-DRE",
            "name": "Café Lamps",
            "brand": "Nordby",
            "category_path": "Home > Lighting",
            "description": "Glowing warmly",
            "price": 1,
        }
    )

    found = shop.ask(
        "select q, words @@ plainto_tsquery('shop', q) from products,"
        " unnest(array['cafe','lamp','nordby','light','glow','kt','chair']) as q"
    )

    assert dict(found) == {
        "cafe": True, "lamp": True, "nordby": True, "light": True, "glow": True, "kt": False, "chair": False,
    }  # fmt: skip
    assert shop.ask("select search_text from products") == [["cafe lamps nordby kt-ins114-dre"]]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("wrong.csv", b"name,price\nLamp,1\n", "the header has no column sku: 'name,price'"),
        ("array.json", b'[{"sku": "A"}]', "the file is one JSON array; write one object on each line (JSON Lines)"),
        ("cut.csv.gz", b"\x1f\x8b\x08\x00cut", "the file is damaged or ends too early"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_2(
    shop: Shop, say: Callable[[], list[str]], name: str, content: bytes, said: str
) -> None:
    file = shop.write(name, content)

    assert shop.run(file) == 2
    assert say()[-1].startswith(f"{file}: {said}")
    assert shop.ask("select count(*) from products") == [[0]]


def test_no_file_no_shop_and_a_bad_url_end_with_2(
    shop: Shop, say: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shop.run(shop.folder / "missing.csv") == 2
    assert say() == [f"{shop.folder}/missing.csv: there is no such file"]
    file = shop.write("p.csv", "sku,name,price\nA,Lamp,1\n")

    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:wrong@127.0.0.1:1/none")
    assert shop.run(file) == 2
    assert say() == ["the database does not answer; what was imported before is in, and the import may be repeated"]

    monkeypatch.setenv("DATABASE_URL", "mysql://nobody")
    assert shop.run(file) == 2
    assert say() == ["database: DATABASE_URL is not postgresql://login:password@host:port/database"]

    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.chdir(shop.folder)
    assert shop.run(file) == 2
    assert say() == ["no shop runs in this folder: start one with `make run`, or set DATABASE_URL"]


def test_the_shop_that_runs_in_this_folder_is_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, say: Callable[[], list[str]]
) -> None:
    file = shop.write("p.csv", "sku,name,price\nA,Lamp,1\n")
    (shop.folder / ".local" / "shop").mkdir(parents=True)
    (shop.folder / ".local" / "shop" / "instance.json").write_text(f'{{"database_url": "{shop.address.url}"}}')
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.chdir(shop.folder)

    assert shop.run(file, "--quiet") == 0
    assert say() == []
    assert shop.ask("select sku from variants") == [["A"]]


def test_the_inventory_role_may_import(
    shop: Shop, postgres: ScratchServer, say: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"sku": "S", "name": "Shirt S", "brand": "Wren", "category_path": "Tops", "price": 3, "on_hand": 5},
        {"sku": "M", "name": "Shirt M", "price": 2, "on_hand": 5},
    ]
    monkeypatch.setenv("DATABASE_URL", postgres.login(shop.address, "inventory").url)

    assert shop.import_rows(*rows) == 0
    assert shop.import_rows({**rows[0], "on_hand": 4, "name": "Shirt"}, {**rows[1], "product": "S"}) == 0
    shop.ask("update stock_levels set held = 3 where sku = 'S'")
    assert shop.import_rows({**rows[0], "on_hand": 2}) == 1

    assert "below the 3 that open orders hold" in say()[2]
    assert shop.ask("select slug from products") == [["shirt-s"]]


def test_what_a_file_says_cannot_drive_the_terminal(shop: Shop, say: Callable[[], list[str]]) -> None:
    shop.import_rows({"sku": "A\x1b[2J", "name": "Lamp", "price": "\x1b[31mred"})

    assert say()[0] == (
        r"line 1 (A\x1b[2J): price is not a number: '[31mred' (digits, with a point before the decimals)"
    )


def test_a_report_that_cannot_lie_beside_the_file_lies_in_the_working_folder(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = shop.write("p.csv", "sku,name,price\nA,Lamp,-1\n")
    (shop.folder / "p.csv.errors").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert shop.run(file) == 1
    assert Path("p.csv.errors").read_text() == "line 2 (A): price is negative\n"
