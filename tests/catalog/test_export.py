"""An export is a file that an import reads and finds nothing new in."""

import csv
import gc
import gzip
import io
import json
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.inventory import cli
from shared.catalog.exporting import Place, export_catalogue, place_of
from shared.catalog.files import Row, read_rows
from shared.catalog.products import Refused
from shared.catalog.rows import read_row
from tests.catalog.conftest import Shop
from tests.support.conftest import Desk, problem_of
from tools.scratch_database import ScratchServer

SHIRTS: list[dict[str, Any]] = [
    {
        "sku": "T-M", "product": "T", "name": "=T-Shirt, \"best\"", "brand": "-Wren",
        "category_path": "Clothing > Tops",
        "description": "Two\nlines;\rand\r\r\nmore", "price": 20, "options": {"size": "M", "+": "@"}, "weight_g": 150,
        "tax_class": "reduced", "image_url": ["a.jpg", "my picture.jpg"], "popularity": 7, "on_hand": 3,
        "attributes": {"n": 5.5, "ean": ["1", 2], "on": True, "sku": "x", "deep": {"é": None}},
    },
    {"sku": "T-S", "product": "T", "price": "22.05", "option.size": "S", "on_hand": 0, "image_url": "a.jpg b.jpg"},
    {"sku": "'@home", "name": "'=Mug", "price": 0, "image_url": "[1].jpg"},
]  # fmt: skip


def read(content: bytes) -> list[Mapping[str, Any]]:
    rows = list(read_rows(io.BufferedReader(io.BytesIO(content)), "c.csv"))
    assert all(isinstance(row, Row) for row in rows)
    return [row.cells for row in rows if isinstance(row, Row)]


def test_what_was_exported_comes_back_with_nothing_new_and_nothing_changed(
    shop: Shop, say: Callable[[], list[str]]
) -> None:
    shop.import_rows(*SHIRTS)
    before, file = shop.everything(), shop.folder / "catalogue.csv"
    say()

    assert cli.main(["export", str(file), "--on-hand"]) == 0
    assert shop.run(file) == 0

    said = say()
    assert said[0].startswith("catalogue.csv: 3 lines in ")
    assert said[1].startswith("catalogue.csv: 0 new, 0 changed, 3 unchanged, 0 refused in ")
    assert shop.everything() == before


def test_the_file_has_a_line_for_each_variant_and_no_cell_that_is_a_formula(shop: Shop) -> None:
    shop.import_rows(*SHIRTS)
    file = shop.folder / "catalogue.csv"

    assert cli.main(["export", str(file), "--quiet"]) == 0

    raw = file.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbfsku,product,name,brand,")
    lines = {line["sku"]: line for line in csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline=""))}
    assert lines["T-M"] == {
        "sku": "T-M", "product": "T", "name": "'=T-Shirt, \"best\"", "brand": "'-Wren",
        "category_path": "Clothing > Tops", "description": "Two\nlines;\rand\nmore", "price": "20.00",
        "currency": "USD",
        "options": '{"+": "@", "size": "M"}', "weight_g": "150", "tax_class": "reduced",
        "image_url": '["a.jpg", "my picture.jpg"]', "popularity": "7",
        "attributes": '{"n": 5.5, "on": true, "ean": ["1", 2], "sku": "x", "deep": {"é": null}}',
    }  # fmt: skip
    assert (lines["T-S"]["name"], lines["T-S"]["price"]) == ('\'=T-Shirt, "best"', "22.05")
    mug = lines["''@home"]
    assert (mug["name"], mug["price"], mug["image_url"]) == ("''=Mug", "0.00", '["[1].jpg"]')


def test_another_shop_has_the_same_catalogue_after_it(shop: Shop) -> None:
    shop.import_rows(*SHIRTS)
    file = shop.folder / "catalogue.csv.gz"
    asked = """
        select v.sku, v.position, v.options, v.price_minor, v.weight_g, v.tax_class, p.group_key, p.slug, p.name,
            p.description, p.attributes, p.image_urls, p.popularity, b.name, c.path, l.on_hand
        from variants v join products p on p.id = v.product_id left join brands b on b.id = p.brand_id
        left join categories c on c.id = p.category_id left join stock_levels l on l.sku = v.sku order by v.sku"""
    before = shop.ask(asked)

    assert cli.main(["export", str(file), "--on-hand", "--quiet"]) == 0
    shop.ask("truncate brands, categories, products, variants, slug_history, stock_levels, stock_movements cascade")
    assert shop.run(file, "--quiet") == 0

    assert gzip.decompress(file.read_bytes()).startswith(b"\xef\xbb\xbfsku,")
    assert shop.ask(asked) == before


def test_counts_of_stock_are_left_out_unless_they_are_asked_for(shop: Shop) -> None:
    """What was sold while somebody worked on the file stays sold."""
    shop.import_rows({"sku": "LAMP", "name": "Lamp", "price": 5, "on_hand": 10})
    file = shop.folder / "catalogue.csv"
    assert cli.main(["export", str(file), "--quiet"]) == 0
    shop.import_rows({"sku": "LAMP", "on_hand": 4})

    assert shop.run(file) == 0

    assert shop.ask("select on_hand from stock_levels") == [[4]]


def test_batches_end_anywhere_and_nothing_is_left_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, say: Callable[[], list[str]]
) -> None:
    rows = [{"sku": f"S{n:02d}", "product": f"P{n // 7}", "name": "Lamp", "price": n} for n in range(23)]
    shop.import_rows(*rows)
    file = shop.folder / "catalogue.csv"
    say()

    monkeypatch.setattr("shared.catalog.exporting.BATCH", 5)
    assert cli.main(["export", str(file)]) == 0
    assert shop.run(file) == 0

    assert say()[1].startswith("catalogue.csv: 0 new, 0 changed, 23 unchanged, 0 refused in ")


def test_an_export_that_fails_leaves_the_file_of_the_last_one(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, say: Callable[[], list[str]]
) -> None:
    file = shop.write("catalogue.csv", "of yesterday")
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")

    assert cli.main(["export", str(file)]) == 2

    assert say() == ["the database does not answer; nothing was written, and the export may be repeated"]
    assert [each.name for each in shop.folder.iterdir()] == ["catalogue.csv"]
    assert file.read_text() == "of yesterday"


def test_the_inventory_role_may_export(
    shop: Shop, postgres: ScratchServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shop.import_rows(*SHIRTS)
    monkeypatch.setenv("DATABASE_URL", postgres.login(shop.address, "inventory").url)

    assert cli.main(["export", str(tmp_path / "c.csv"), "--on-hand", "--quiet"]) == 0


# Over HTTP ----------------------------------------------------------------------------------------------------------


def test_parts_follow_each_other_by_their_links_and_each_is_a_file(office: Desk) -> None:
    skus = sorted(office.shop.make_stock("LAMP", on_hand) for on_hand in range(5))

    path, parts = "/v1/admin/products/export?limit=2&on_hand=true", []
    while path:
        answer = office.call("GET", path, permissions=("products:read", "stock:read"))
        assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
        assert answer.headers["Content-Disposition"] == 'attachment; filename="catalogue.csv"'
        parts.append(read(answer.get_data()))
        link = answer.headers.get("Link", "")
        path = link.removesuffix('>; rel="next"').removeprefix("<")

    told = [cells["sku"] for part in parts for cells in part]  # other tests have made products as well
    assert [len(part) for part in parts[:-1]] == [2] * ((len(told) - 1) // 2)
    assert (len(set(told)), sorted(set(told) & set(skus))) == (len(told), skus)
    assert [cells["on_hand"] for part in parts for cells in part if cells["sku"] in skus].count("4") == 1


def test_a_part_ends_when_it_has_become_long(office: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        office.shop.make_stock("LAMP", 1)
    monkeypatch.setattr("shared.catalog.exporting.BATCH", 1)
    monkeypatch.setattr("functions.inventory.products.LONGEST_EXPORT", 1)

    answer = office.call("GET", "/v1/admin/products/export")

    assert len(read(answer.get_data())) == 1
    assert answer.headers["Link"].startswith("</v1/admin/products/export?limit=10000&cursor=")


def test_an_export_is_for_staff_who_may_and_takes_no_cursor_of_another_list(office: Desk) -> None:
    office.shop.make_stock("LAMP", 1)
    of_stock = office.get("/v1/inventory?limit=1")["next_cursor"]

    assert problem_of(office.client.get("/v1/admin/products/export"))[0] == 401
    assert problem_of(office.call("GET", "/v1/admin/products/export", permissions=("stock:read",)))[0] == 403
    counted = "/v1/admin/products/export?on_hand=true"
    assert problem_of(office.call("GET", counted, permissions=("products:read",)))[0] == 403
    assert office.call("GET", counted, permissions=("products:read", "stock:read")).status_code == 200
    assert problem_of(office.call("GET", f"/v1/admin/products/export?cursor={of_stock}"))[0] == 400
    assert problem_of(office.call("GET", "/v1/admin/products/export?limit=10001"))[0] == 400


# Pure rules ---------------------------------------------------------------------------------------------------------

TEXT = st.text(max_size=12) | st.text(st.sampled_from("=+-@'\" ,;\r\n\tä"), max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


class Shelf:
    """A catalogue of these rows, which are in order."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def list_variants(self, *, after: Place | None, limit: int) -> Sequence[Mapping[str, Any]]:
        return [row for row in self._rows if after is None or place_of(row) > after][:limit]


def variant(position: int, **said: Any) -> dict[str, Any]:
    return {
        "product_id": UUID(int=1), "position": position, "sku": f"S{position:05d}", "group_key": "P", "name": "Lamp",
        "brand": None, "category": (), "description": "", "price_minor": 100, "currency": "USD", "options": {},
        "weight_g": None, "tax_class": "standard", "image_urls": [], "popularity": 0, "attributes": {}, "on_hand": None,
        **said,
    }  # fmt: skip


@given(name=TEXT, description=TEXT, options=st.dictionaries(TEXT, TEXT, max_size=3), images=st.lists(TEXT, max_size=3),
       attributes=st.dictionaries(TEXT, JSON, max_size=3))  # fmt: skip
def test_what_an_import_kept_it_reads_again(
    name: str, description: str, options: dict[str, str], images: list[str], attributes: dict[str, Any]
) -> None:
    said = {"sku": "A", "name": name, "description": description, "image_url": images, "options": options}
    as_a_file_has_them = json.loads(json.dumps(attributes), parse_float=Decimal)
    try:
        line = read_row(2, {**said, "attributes": as_a_file_has_them}, currency="USD")
    except Refused:
        return
    kept = {key: value for key, value in line.attributes.items() if value is not None}
    row = variant(0, name=line.name or "Lamp", description=line.description, options=line.options or {},
                  image_urls=list(line.image_urls or ()), attributes=kept)  # fmt: skip
    file = io.StringIO()

    export_catalogue(file, catalogue=Shelf([row]), on_hand=True)

    [cells] = read(file.getvalue().encode())
    again = read_row(2, cells, currency="USD")
    assert (again.name, again.description, again.options) == (line.name or "Lamp", line.description, line.options)
    assert (again.image_urls, again.attributes) == (line.image_urls, kept)


def test_six_times_the_lines_need_no_more_memory() -> None:
    class Endless:
        def __init__(self, lines: int) -> None:
            self.lines = lines

        def list_variants(self, *, after: Place | None, limit: int) -> Sequence[Mapping[str, Any]]:
            first = 0 if after is None else after[1] + 1
            return [variant(n, description="warm " * 200) for n in range(first, min(first + limit, self.lines))]

    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    def peak(lines: int) -> int:
        gc.collect()
        tracemalloc.start()
        written = export_catalogue(Nowhere(), catalogue=Endless(lines), on_hand=False)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert written == (lines, None)
        return used

    peak(600)
    assert peak(6_000) < peak(1_000) * 1.2
