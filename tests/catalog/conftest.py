"""A shop that imports files, and looks at what became of them."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from functions.inventory import cli
from local.database import Address
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
