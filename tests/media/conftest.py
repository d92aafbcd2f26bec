"""Staff who send pictures to a local storage, and the jobs that look at them, on PostgreSQL with their own rights."""

import io
import json
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from PIL import Image

from functions.inventory import cli
from local.database import Address
from shared.gateways.pictures import Pictures
from shared.gateways.signing import KeyFile
from shared.gateways.storage import Bucket
from shared.media import processing
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.media import MediaRows
from shared.settings import DatabaseSettings
from tests.local.google_cloud import Server, status_of
from tests.orders.shop import MovingClock
from tests.support.conftest import Desk, serve_staff
from tools.scratch_database import ScratchServer

MEDIA_URL = "https://shop.example/media"


def png(colour: tuple[int, int, int] = (255, 0, 0), width: int = 400) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, width // 2), colour).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = ("--public-bucket", "media", "--private-bucket", "uploads")
    server = Server("local.google.storage", tmp_path_factory.mktemp("storage"), None, *flags)
    server.start()
    yield server
    server.kill()


def opened(name: str, server: Server) -> Bucket:
    signer = KeyFile(str(server.folder / "service-account.json"))
    return Bucket(name, project="p", signer=signer, emulator_url=f"http://{server.address}")


@dataclass
class Studio:
    """Staff at the function `inventory`, and what `media-jobs` does, at the time of `clock`."""

    desk: Desk
    folder: Path
    database: Database
    clock: MovingClock
    uploads: Bucket
    published: Bucket

    @property
    def rows(self) -> MediaRows:
        return MediaRows(self.database, self.clock)

    def product(self, **more: object) -> Any:
        sku = f"SHOE-{uuid4().hex[:8]}"
        row = {"sku": sku, "name": sku, "price": "10.00", "currency": "USD", "on_hand": 1, **more}
        file = self.folder / "rows.jsonl"
        file.write_text(json.dumps(row) + "\n")
        assert cli.main(["import", str(file), "--quiet"]) == 0
        [listed] = self.desk.get(f"/v1/admin/products?sku={sku}")["items"]
        return self.look(listed)

    def look(self, product: Any) -> Any:
        return self.desk.get(f"/v1/admin/products/{product['id']}")

    def announce(self, content: bytes, **more: object) -> Any:
        body = {"content_type": "image/png", "bytes": len(content), **more}
        answer = self.desk.call("POST", "/v1/admin/media", body)
        assert answer.status_code == 201, answer.get_data(as_text=True)
        return answer.get_json()

    def send(self, media: Any, content: bytes) -> int:
        upload = media["upload"]
        request = urllib.request.Request(
            upload["url"], data=content, method=upload["method"], headers=upload["headers"]
        )
        return status_of(request)[0]

    def finish(self, media: Any) -> Any:
        answer = self.desk.call("POST", f"/v1/admin/media/{media['id']}/finish")
        assert answer.status_code == 202, answer.get_data(as_text=True)
        return answer.get_json()

    def sent(self, content: bytes, **more: object) -> Any:
        """Announced, sent and finished."""
        media = self.announce(content, **more)
        assert self.send(media, content) == 200
        assert self.finish(media)["state"] == "processing"
        return media

    def get(self, media: Any) -> Any:
        return self.desk.get(f"/v1/admin/media/{media['id']}")

    def process(self, media: Any, *, uploads: processing.Uploads | None = None) -> Any:
        processing.process(
            UUID(media["id"]),
            store=self.rows,
            uploads=uploads or self.uploads,
            published=self.published,
            renderer=Pictures(),
        )
        return self.get(media)

    def sweep(self) -> None:
        give_up_at = self.clock.now() + processing.LONGEST
        processing.sweep(
            store=self.rows,
            uploads=self.uploads,
            published=self.published,
            renderer=Pictures(),
            clock=self.clock,
            give_up_at=give_up_at,
        )

    def raw(self, media: Any) -> Any:
        """What is left of what was sent."""
        [row] = self.ask("select object_name from media where id = :id::uuid", id=media["id"])
        return self.uploads.find(row["object_name"], within_s=5)

    def ask(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        return self.desk.shop.database.call(sql, **parameters)

    def tasks(self, media: Any) -> int:
        return len(
            self.ask(
                "select id from outbox where destination = 'queue:media' and payload ->> 'media_id' = :id::text",
                id=media["id"],
            )
        )

    def told(self, product: Any) -> int:
        """How many events to search have named the product."""
        return len(
            self.ask(
                "select id from outbox where destination = 'topic:catalog' and payload -> 'product_ids' ? :id::text",
                id=product["id"],
            )
        )


@pytest.fixture(scope="module")
def opened_studio(
    postgres: ScratchServer,
    module_database: Address,
    storage: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Studio]:
    """One for all tests of a file: to import a function anew would be half of each test's time."""
    clock = MovingClock()
    login = postgres.login(module_database, "media_jobs")
    database = Database(connector(DatabaseSettings("url", 2, login.url), application="test"), size=2, clock=clock)
    uploads, published = opened("uploads", storage), opened("media", storage)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "STORAGE_EMULATOR_HOST": f"http://{storage.address}",
            "STORAGE_KEY_FILE": str(storage.folder / "service-account.json"),
            "UPLOADS_BUCKET": "uploads",
            "MEDIA_URL": MEDIA_URL,
        }.items():
            patch.setenv(name, value)
        for desk in serve_staff("inventory", "inventory", postgres, module_database, patch):
            desk.get("/v1/admin/media")  # it reads its environment before the import gets another one
            patch.setenv("DATABASE_URL", module_database.url)
            yield Studio(desk, tmp_path_factory.mktemp("studio"), database, clock, uploads, published)
    database.close()
    uploads.close()
    published.close()


@pytest.fixture
def studio(opened_studio: Studio) -> Iterator[Studio]:
    yield opened_studio
    opened_studio.clock.go_back()
