"""Two imports at once, and an import beside checkouts: they take turns, and nobody deadlocks."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from functions.inventory import cli
from tests.catalog.conftest import Shop

PRODUCTS = 1500


def _file(folder: Path, name: str, order: int, on_hand: int) -> Path:
    """The same SKUs, brands, categories and repeated names, forwards or backwards."""
    lines = [f"S{n:04d},Lamp {n % 40},B{n % 7},Home > C{n % 9},{n % 90 + 1},{on_hand}" for n in range(PRODUCTS)]
    file = folder / name
    file.write_text("sku,name,brand,category_path,price,on_hand\n" + "\n".join(lines[::order]) + "\n")
    return file


def test_two_imports_of_the_same_things_in_opposite_order_both_go_in(shop: Shop, tmp_path: Path) -> None:
    files = [_file(tmp_path, "forwards.csv", 1, 5), _file(tmp_path, "backwards.csv", -1, 8)]

    with ThreadPoolExecutor(2) as both:
        statuses = list(both.map(lambda file: cli.main(["import", str(file), "--quiet"]), files))

    assert statuses == [0, 0]
    assert shop.ask("select count(*), count(distinct slug) from products") == [[PRODUCTS, PRODUCTS]]
    assert shop.ask("select count(*) from brands") == [[7]]
    assert shop.ask("select count(*) from categories") == [[10]]
    assert shop.ask(
        "select count(*) from stock_levels l"
        " where on_hand <> (select sum(delta_on_hand) from stock_movements m where m.sku = l.sku)"
    ) == [[0]]


def test_an_import_beside_holds_of_the_same_stock_loses_neither(shop: Shop, tmp_path: Path) -> None:
    assert cli.main(["import", str(_file(tmp_path, "first.csv", 1, 50)), "--quiet"]) == 0
    stop = threading.Event()

    def hold_until_stopped() -> int:
        """What checkouts do to stock, in (sku, location) order, 20 SKUs at a time."""
        connection = shop.address.connect()
        taken = 0
        try:
            while not stop.is_set() or not taken:
                connection.run("begin")
                for n in range(taken % 700, taken % 700 + 20):
                    connection.run("update stock_levels set held = held + 1 where sku = :sku", sku=f"S{n:04d}")
                connection.run("commit")
                taken += 1
        finally:
            connection.close()
        return taken

    with ThreadPoolExecutor(1) as beside:
        holding = beside.submit(hold_until_stopped)
        try:
            status = cli.main(["import", str(_file(tmp_path, "second.csv", -1, 40)), "--quiet"])
        finally:
            stop.set()
        taken = holding.result()

    assert status == 0
    assert shop.ask("select sum(held) from stock_levels") == [[20 * taken]]
    assert shop.ask("select count(*) from stock_levels where on_hand = 40") == [[PRODUCTS]]


def test_an_import_that_ends_in_the_middle_is_taken_up_by_the_next(
    shop: Shop, tmp_path: Path, say: Callable[[], list[str]]
) -> None:
    file = _file(tmp_path, "p.csv", 1, 5)
    half = tmp_path / "half.csv"
    half.write_text("\n".join(file.read_text().splitlines()[:701]) + "\n")
    assert cli.main(["import", str(half), "--quiet"]) == 0
    say()

    assert cli.main(["import", str(file)]) == 0

    assert say()[0].startswith("p.csv: 800 new, 0 changed, 700 unchanged, 0 refused in ")
