"""Products as manufacturers describe them, from ../shared/catalog, are bought: long names, odd signs, real prices."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.cloud import ROOT, Cloud

pytestmark = pytest.mark.slow

MANY = 20


def test_real_products_from_all_over_the_catalogue_are_sold_in_one_order(
    cloud: Cloud, shared_data: Path, tmp_path: Path
) -> None:
    lines = gzip.decompress((shared_data / "catalog" / "icecat_products.jsonl.gz").read_bytes()).splitlines()
    some = lines[:: len(lines) // MANY][:MANY]
    file = tmp_path / "some.jsonl"
    file.write_bytes(b"\n".join(some))
    skus = [json.loads(line)["sku"] for line in some]
    command = [sys.executable, "-m", "functions.inventory.cli", "import", str(file), "--default-on-hand", "3"]
    environment = {**os.environ, "DATABASE_URL": cloud.database_url}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=120)
    cloud.settle()

    order = cloud.paid_order(dict.fromkeys(skus, 2))
    cloud.settle()

    assert order["status"] == "paid"
    assert {line["sku"] for line in order["lines"]} == set(skus)
    assert [cloud.level(sku) for sku in skus] == [(3, 2)] * MANY
    (capture,) = [each for each in cloud.ledger()["captures"] if each["amount"]["value"] == _decimal(order)]
    assert capture["status"] == "COMPLETED"
    (mail,) = [mail for mail in cloud.inbox() if order["number"] in mail["subject"]]
    for line in order["lines"]:
        assert line["name"] in mail["text"]
        found = cloud.call("GET", f"/v1/products?q={line['sku']}").json["items"]
        assert found[0]["sku"] == line["sku"]


def _decimal(order: dict[str, dict[str, dict[str, int]]]) -> str:
    return f"{order['totals']['total']['amount_minor'] / 100:.2f}"
