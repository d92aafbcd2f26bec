"""A shop that imports files, and looks at what became of them."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pg8000.native
import pytest
from werkzeug.test import TestResponse

from functions.inventory import cli
from local.database import Address
from shared.persistence.products import Products
from shared.persistence.search import CatalogueReader
from shared.persistence.search_projection import SearchProjection
from tests.support.conftest import Desk, serve_staff
from tools.scratch_database import ScratchServer

TABLES = ("brands", "categories", "products", "variants", "slug_history", "stock_levels", "stock_movements")


@dataclass
class Shop:
    """A fresh shop. `run` imports a file as a merchant does; `ask` is SQL."""

    address: Address
    folder: Path
    connection: "pg8000.native.Connection"

    def write(self, name: str, content: str | bytes) -> Path:
        file = self.folder / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def run(self, file: Path, *options: str) -> int:
        return cli.main(["import", str(file), *options])

    def import_rows(self, *rows: Mapping[str, Any], options: tuple[str, ...] = ()) -> int:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (self.folder / "rows.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
        return self.run(self.folder / "rows.jsonl.gz", *options)

    def ask(self, sql: str, **parameters: Any) -> list[list[Any]]:
        rows: list[list[Any]] = self.connection.run(sql, **parameters)
        return rows

    def everything(self) -> list[Any]:
        """All that an import writes, to see that nothing has changed."""
        return [self.ask(f"select to_jsonb(t) from {table} t order by 1") for table in TABLES]


@pytest.fixture(scope="session")
def shop_address(postgres: ScratchServer) -> Address:
    """One database for all imports of this test process; `shop` empties its catalogue."""
    return postgres.copy()


@pytest.fixture
def shop(shop_address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("DATABASE_URL", shop_address.url)
    monkeypatch.delenv("DATABASE_ACCESS", raising=False)
    connection = shop_address.connect()
    connection.run(f"truncate {', '.join(TABLES)} cascade")
    yield Shop(shop_address, tmp_path, connection)
    connection.close()


@pytest.fixture
def office(postgres: ScratchServer, module_database: Address, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """The function `inventory` over HTTP, and a staff member who sits at it."""
    yield from serve_staff("inventory", "inventory", postgres, module_database, monkeypatch)


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """What was said on stderr since the last time, line by line."""
    return lambda: capsys.readouterr().err.splitlines()


class Office:
    """The served function and its catalogue; names and SKUs are made each test's own."""

    def __init__(self, desk: Desk, folder: Path, own: str) -> None:
        self.desk = desk
        self.own = own
        self._folder = folder
        self.products = Products(desk.shop.database, desk.shop.clock)

    def sku(self, name: str) -> str:
        return f"{name}-{self.own}"

    def bring(self, *rows: dict[str, Any]) -> None:
        """Import them, with this test's own SKUs and products."""
        file = self._folder / "rows.jsonl"
        own = [row | {name: self.sku(row[name]) for name in ("sku", "product") if name in row} for row in rows]
        file.write_text("".join(json.dumps(row) + "\n" for row in own))
        assert cli.main(["import", str(file), "--quiet"]) == 0

    def find(self, sku: str) -> Any:
        [listed] = self.desk.get(f"/v1/admin/products?sku={self.sku(sku)}")["items"]
        return self.desk.get(f"/v1/admin/products/{listed['id']}")

    def patch(self, product: Any, body: object, *, if_match: int | None = None, **options: Any) -> TestResponse:
        headers = {} if if_match is None else {"If-Match": f'"{if_match}"'}
        return self.desk.call("PATCH", f"/v1/admin/products/{product['id']}", body, headers=headers, **options)

    def patched(self, product: Any, **body: object) -> Any:
        answer = self.patch(product, body)
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return answer.get_json()

    def change(self, *, key: str | None = None, headers: dict[str, str] | None = None, **body: object) -> TestResponse:
        return self.desk.call("POST", "/v1/admin/products/changes", body, key=key, headers=headers)

    def prices(self, *skus: str) -> list[int]:
        rows = self.ask("select sku, price_minor from variants")
        found = {row["sku"]: row["price_minor"] for row in rows}
        return [found[self.sku(sku)] for sku in skus]

    def ask(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.desk.shop.database.call(sql, **parameters)

    def audit(self, product: Any) -> list[Any]:
        rows = self.ask(
            "select actor, action, detail from audit_log where subject = :subject::text order by at, id",
            subject=f"product:{product['id']}",
        )
        return [(row["actor"], row["action"], row["detail"]) for row in rows]

    def told(self, product: Any) -> int:
        """How many events to search have named the product."""
        rows = self.ask(
            "select payload from outbox where destination = 'topic:catalog' and name = 'product.changed'"
            " and payload -> 'product_ids' ? :id::text",
            id=product["id"],
        )
        return len(rows)


@pytest.fixture
def shelf(office: Desk, tmp_path: Path) -> Office:
    return Office(office, tmp_path, uuid4().hex[:8])


@pytest.fixture
def search(shelf: Office) -> Callable[[], CatalogueReader]:
    """What shoppers see after all events have arrived."""

    def follow() -> CatalogueReader:
        rows = shelf.ask("select payload -> 'product_ids' as ids from outbox where name = 'product.changed'")
        named = {UUID(product_id) for row in rows for product_id in row["ids"]}
        SearchProjection(shelf.desk.shop.database).project(sorted(named))
        return CatalogueReader(shelf.desk.shop.database)

    return follow
