"""A small catalogue with many equal keys, and the search function over HTTP as the framework serves it."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import functions_framework
import pytest
from flask.testing import FlaskClient

from functions.inventory import cli
from functions.search import cli as search_cli
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search_projection import SearchProjection
from shared.settings import DatabaseSettings
from tools.scratch_database import ScratchServer

MAIN = Path(__file__).resolve().parent.parent.parent / "functions" / "search" / "main.py"


def products() -> list[dict[str, Any]]:
    """60 lamps of four prices and three popularities, and some things that tests look for by name."""
    lamps = [
        {
            "sku": f"LAMP-{number:02d}",
            "name": f"{'Brass' if number % 2 else 'Copper'} Lamp",
            "brand": ("Nordby", "Lumo", "Halden")[number % 3],
            "category_path": ("Home > Lighting", "Home > Lighting > Desk", "Home")[number % 3],
            "price": (10, 20, 20, 35)[number % 4],
            "popularity": number % 3,
            "on_hand": number % 5,
        }
        for number in range(60)
    ]
    others: list[dict[str, Any]] = [
        {"sku": "KT-INS114-DRE", "name": "Insulated Bottle", "brand": "Kestrel", "price": 18.5, "on_hand": 4},
        {"sku": "LAPTOP-1", "name": "Laptop Stand", "brand": "Northloop", "category_path": "Office", "price": 49,
         "on_hand": 2},
        {"sku": "CAFE-1", "name": "Crème Brûlée Torch", "description": "caramel", "category_path": "Kitchen",
         "price": 29},
        {"sku": "ZH-1", "name": "小米手机 红色", "category_path": "手机", "price": 99, "on_hand": 1},
        {"sku": "PCT", "name": "100% Cotton_Towel", "category_path": "Home", "price": 9, "on_hand": 1},
        {"sku": "TEE-S", "product": "TEE", "name": "Plain Tee", "brand": "Wren", "category_path": "Clothing > Tops",
         "description": "Soft.", "price": 15, "option.size": "S", "on_hand": 0,
         "image_url": "demo/tee.webp https://x.example/t.jpg"},
        {"sku": "TEE-M", "product": "TEE", "price": 17, "option.size": "M", "on_hand": 3},
        {"sku": "TEE-L", "product": "TEE", "price": 19, "option.size": "L", "on_hand": 3},
    ]  # fmt: skip
    return lamps + others


@pytest.fixture(scope="session")
def catalogue_database(postgres: ScratchServer, tmp_path_factory: pytest.TempPathFactory) -> Address:
    """The owner's address of a database with `products()` in it."""
    made = postgres.copy()
    _import(made, tmp_path_factory.mktemp("catalogue") / "products.jsonl", products())
    return made


def _import(address: Address, file: Path, rows: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = os.environ.get("DATABASE_URL")
    os.environ["DATABASE_URL"] = address.url
    try:
        assert cli.main(["import", str(file), "--quiet"]) == 0
        assert search_cli.main(["rebuild", "--quiet"]) == 0
    finally:
        if before is None:
            del os.environ["DATABASE_URL"]
        else:
            os.environ["DATABASE_URL"] = before


@pytest.fixture(scope="session")
def projection(postgres: ScratchServer, catalogue_database: Address) -> Iterator[SearchProjection]:
    """What the jobs write through, as the role that they are deployed with."""
    login = postgres.login(catalogue_database, "search_jobs")
    database = Database(
        connector(DatabaseSettings("url", 2, login.url), application="test"), size=2, clock=SystemClock()
    )
    yield SearchProjection(database)
    database.close()


@pytest.fixture(scope="session")
def client(postgres: ScratchServer, catalogue_database: Address) -> FlaskClient:
    """The search function, connected as the role that it is deployed with."""
    login = postgres.login(catalogue_database, "search")
    environment = {
        "VITRINE_DEPLOYMENT": "search",
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": "vitrine-test",
        "FUNCTION_TIMEOUT_S": "15",
        "DATABASE_ACCESS": "url",
        "DATABASE_URL": login.url,
        "POOL_SIZE": "2",
        "MEDIA_URL": "https://media.example/bucket",
        "PUBLIC_URL": "https://shop.example",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        app = functions_framework.create_app("search", str(MAIN), "http")  # type: ignore[no-untyped-call]
        # The settings are read at the first request, and the clients kept.
        client: FlaskClient = app.test_client()
        assert client.get("/v1/health/search").get_json() == {"status": "ok"}
    return client
