"""The demo catalogue: 2,000 products, the same on every machine, and every picture that they name."""

import io
import json
from pathlib import Path

from PIL import Image

from local.demo_catalogue.__main__ import main, paint
from local.demo_catalogue.products import pictures, rows
from tests.catalog.conftest import Shop


def test_the_demo_catalogue_is_the_same_every_time() -> None:
    first, again = list(rows()), list(rows())

    assert first == again
    assert len({row["product"] for row in first}) == 2000
    assert len({row["sku"] for row in first}) == len(first) == 3388
    assert len({row["brand"] for row in first if "brand" in row}) == 26


def test_its_pictures_are_webp_of_600_by_600_and_painted_alike_every_time() -> None:
    picture = pictures()[0]

    image = Image.open(io.BytesIO(paint(picture)))

    assert (image.format, image.size) == ("WEBP", (600, 600))
    assert paint(picture) == paint(picture)


def test_every_picture_that_a_product_names_is_painted(tmp_path: Path) -> None:
    assert main([str(tmp_path / "demo.jsonl"), "--pictures", str(tmp_path), "--products", "60"]) == 0

    named = [
        path
        for line in (tmp_path / "demo.jsonl").read_text().splitlines()
        for path in json.loads(line).get("image_url", "").split()
    ]
    assert len(named) > 60
    assert [path for path in named if not (tmp_path / path).is_file()] == []


def test_the_demo_catalogue_goes_in_whole(shop: Shop, tmp_path: Path) -> None:
    assert main([str(tmp_path / "demo.jsonl"), "--products", "300"]) == 0

    assert shop.run(tmp_path / "demo.jsonl") == 0

    assert shop.ask("select count(*) from products") == [[300]]
    assert shop.ask("select max(cardinality(string_to_array(path, '/'))) from categories") == [[3]]
    assert shop.ask("select distinct tax_class from variants order by 1") == [["reduced"], ["standard"]]
