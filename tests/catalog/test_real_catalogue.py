"""The 19,406 real products of ../shared/catalog: all go in, all can be sold, and a second import changes nothing."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.catalog.conftest import Shop
from tests.numbers import PROVE

PRODUCTS = 19_406
REPEATED = PRODUCTS if PROVE else 2_000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_real_catalogue_goes_in_whole_and_a_repeat_changes_nothing(
    shop: Shop, shared_data: Path, tmp_path: Path, say: Callable[[], list[str]]
) -> None:
    file = tmp_path / "icecat_products.jsonl.gz"
    file.write_bytes((shared_data / "catalog" / "icecat_products.jsonl.gz").read_bytes())

    assert shop.run(file, "--default-on-hand", "3") == 0
    assert say()[-1].startswith(f"{file.name}: {PRODUCTS} new, 0 changed, 0 unchanged, 0 refused in ")
    assert shop.ask("select count(*), count(distinct slug), count(category_id) from products") == [
        [PRODUCTS, PRODUCTS, PRODUCTS - 2625]
    ]
    assert shop.ask("select count(*) from brands") == [[161]]
    assert shop.ask("select count(*) from variants v join stock_levels s on s.sku = v.sku where s.on_hand = 3") == [
        [PRODUCTS]
    ]
    written = shop.ask("select max(updated_at) from products")

    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    again = shop.write("again.jsonl", b"".join(lines[:REPEATED]))
    assert shop.run(again, "--default-on-hand", "3") == 0
    assert say()[-1].startswith(f"again.jsonl: 0 new, 0 changed, {REPEATED} unchanged, 0 refused in ")
    assert shop.ask("select max(updated_at) from products") == written
    assert shop.ask("select count(*) from stock_movements") == [[PRODUCTS]]
