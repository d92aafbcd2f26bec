"""Imports as staff see and steer them: over HTTP, and with a bucket whose file may be gone or another one."""

import gzip
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.google.storage import write_account
from shared.catalog.imports import Import, ImportOfShell, ImportOver, UploadChanged, take_turn_at
from shared.catalog.uploads import RANGE_BYTES, open_upload
from shared.kernel.errors import Unavailable
from shared.kernel.storage import ObjectGone, StoredObject
from shared.persistence.import_desk import ImportDesk
from shared.persistence.import_rows import sweep
from shared.persistence.imports import Imports
from tests.support.conftest import Desk, problem_of

CSV = b"sku,name,price,on_hand\nIA,Lamp,1,5\nIB,Mug,-1,1\nIA,Lamp,1,1\n=I,Bowl,x,1\n"


@pytest.fixture
def staff(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    monkeypatch.setenv("UPLOADS_BUCKET", "uploads")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    write_account(tmp_path)
    monkeypatch.setenv("STORAGE_KEY_FILE", str(tmp_path / "service-account.json"))
    desk: Desk = request.getfixturevalue("office")
    desk.shop.database.call("delete from imports")
    return desk


@dataclass
class Shelf:
    """A bucket: objects with their generations, and whether it can be reached."""

    objects: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    down: bool = False
    asked: list[tuple[int, int | None]] = field(default_factory=list)

    def put(self, name: str, content: bytes) -> StoredObject:
        generation = self.objects.get(name, (0, b""))[0] + 1
        self.objects[name] = (generation, content)
        return StoredObject(name, generation, len(content), "text/csv")

    def read(
        self, name: str, *, generation: int, start: int = 0, most_bytes: int | None = None, within_s: float
    ) -> bytes:
        if self.down:
            raise Unavailable
        found, content = self.objects.get(name, (0, b""))
        if found != generation:
            raise ObjectGone
        self.asked.append((start, most_bytes))
        return content[start:] if most_bytes is None else content[start : start + most_bytes]


@dataclass
class Shop:
    """What staff and the jobs do with the imports of a served shop."""

    desk: Desk
    shelf: Shelf

    def __post_init__(self) -> None:
        self.clock = self.desk.shop.clock
        self.database = self.desk.shop.database
        self.imports = ImportDesk(self.database, self.clock)

    def created(self, content: bytes = CSV, filename: str = "lamps.csv") -> tuple[Import, StoredObject]:
        import_id = uuid4()
        made = self.imports.create(
            import_id,
            filename,
            object_name=f"imports/{import_id}",
            size_bytes=len(content),
            default_on_hand=None,
            actor="staff:1",
        )
        return made, self.shelf.put(f"imports/{import_id}", content)

    def started(self, content: bytes = CSV, filename: str = "lamps.csv") -> Import:
        made, file = self.created(content, filename)
        return self.imports.start(made.id, file, actor="staff:1")

    def work(self, import_id: UUID) -> Import:
        take_turn_at(
            import_id,
            ledger=Imports(self.database, self.clock),
            open_file=lambda of: open_upload(of, bucket=self.shelf),
            default_currency="USD",
            give_up_at=self.clock.now() + timedelta(hours=1),
            clock=self.clock,
        )
        return self.imports.get(import_id)

    def woken(self) -> list[str]:
        rows = self.database.call(
            "select payload from outbox where destination = 'queue:imports' order by created_at, id"
        )
        return [row["payload"]["import_id"] for row in rows]


@pytest.fixture
def shop(staff: Desk) -> Shop:
    staff.shop.database.call("delete from outbox where destination = 'queue:imports'")
    return Shop(staff, Shelf())


def test_an_import_is_made_listed_and_cancelled_and_the_log_says_who(staff: Desk) -> None:
    body = {"filename": "Lamps 2026.CSV", "bytes": 41, "default_on_hand": 3}
    key = str(uuid4())

    session = {"Authorization": f"Bearer {staff.token('*')}"}
    made = staff.call("POST", "/v1/admin/imports", body, key=key, headers=session)
    again = staff.call("POST", "/v1/admin/imports", body, key=key, headers=session)
    one = made.get_json()
    upload = one.pop("upload")
    path = f"/v1/admin/imports/{one['id']}"
    listed = staff.get("/v1/admin/imports?limit=1")
    shown = staff.get(path)
    cancelled = [staff.call("POST", f"{path}/cancel") for _ in range(2)]

    assert (made.status_code, again.status_code, again.get_json()["id"]) == (201, 201, one["id"])
    assert upload["method"] == "PUT"
    assert upload["url"].startswith(f"http://127.0.0.1:9/uploads/imports/{one['id']}?X-Goog-Algorithm=")
    assert upload["headers"] == {
        "Content-Type": "text/csv", "x-goog-content-length-range": "41,41", "x-goog-if-generation-match": "0",
    }  # fmt: skip
    assert {name: one[name] for name in ("filename", "source", "state", "default_on_hand", "asked_by")} == {
        "filename": "Lamps 2026.CSV", "source": "upload", "state": "waiting", "default_on_hand": 3,
        "asked_by": staff.actor,
    }  # fmt: skip
    assert one["counts"] == {"new": 0, "changed": 0, "unchanged": 0, "refused": 0}
    assert one["progress"] == {
        "bytes_done": 0, "bytes_total": 41, "lines": 0, "lines_per_second": None, "seconds_left": None,
    }  # fmt: skip
    assert (listed["items"], shown) == ([one], one)
    assert staff.get(f"/v1/admin/imports?limit=1&cursor={listed['next_cursor']}") == {"items": [], "next_cursor": None}
    assert [(each.status_code, each.get_json()["state"]) for each in cancelled] == [(200, "cancelled")] * 2
    log = staff.shop.database.call(
        "select actor, action from audit_log where subject = :subject::text order by at", subject=f"import:{one['id']}"
    )
    assert [(row["actor"], row["action"]) for row in log] == [
        (staff.actor, "import.created"),
        (staff.actor, "import.cancelled"),
    ]
    stored = staff.shop.database.call("select k::text as kept from idempotency_keys k where key = :key::text", key=key)
    assert one["id"] in stored[0]["kept"]
    assert "X-Goog" not in stored[0]["kept"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"filename": "lamps.xlsx", "bytes": 1}, "/filename"),
        ({"filename": "", "bytes": 1}, "/filename"),
        ({"filename": "lamps\n.csv", "bytes": 1}, "/filename"),
        ({"filename": "lamps.csv", "bytes": 0}, "/bytes"),
        ({"filename": "lamps.csv", "bytes": (2 << 30) + 1}, "/bytes"),
        ({"filename": "lamps.csv", "bytes": 1, "default_on_hand": -1}, "/default_on_hand"),
    ],
)
def test_what_is_no_file_of_products_is_refused(staff: Desk, body: dict[str, Any], pointer: str) -> None:
    answer = staff.call("POST", "/v1/admin/imports", body)

    assert problem_of(answer)[0] == 422
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert staff.get("/v1/admin/imports")["items"] == []


def test_only_who_may_change_products_may_import(staff: Desk) -> None:
    body = {"filename": "lamps.csv", "bytes": 9}
    made = staff.call("POST", "/v1/admin/imports", body).get_json()
    path = f"/v1/admin/imports/{made['id']}"

    asked = [("GET", ""), ("GET", "/errors"), ("GET", "/errors/export"), ("POST", "/start"), ("POST", "/cancel")]
    reading = [staff.call(method, path + what, permissions=("products:read",)).status_code for method, what in asked]
    strange = [staff.call(method, path + what, permissions=("orders:read",)).status_code for method, what in asked]
    unknown = [staff.call(method, f"/v1/admin/imports/{uuid4()}{what}").status_code for method, what in asked]

    assert reading == [200, 200, 200, 403, 403]
    assert strange == [403] * 5
    assert unknown == [404] * 5
    assert staff.call("POST", "/v1/admin/imports", body, permissions=("products:read",)).status_code == 403


def test_a_started_import_is_read_and_its_refusals_are_listed_by_pages_and_as_csv(shop: Shop) -> None:
    content = CSV.replace(b"IA", b"ONCE")  # which no other test brings in
    running = shop.started(content)

    done = shop.work(running.id)

    path = f"/v1/admin/imports/{running.id}"
    shown = shop.desk.get(path)
    assert (running.state, done.state, shop.woken()) == ("running", "finished", [str(running.id)])
    assert shown["counts"] == {"new": 1, "changed": 0, "unchanged": 0, "refused": 3}
    assert shown["progress"]["bytes_done"] == shown["progress"]["bytes_total"] == len(content)
    assert shown["progress"]["lines"] == 5
    first = shop.desk.get(f"{path}/errors?limit=2")
    second = shop.desk.get(f"{path}/errors?limit=2&cursor={first['next_cursor']}")
    assert [(each["number"], each["line"], each["sku"], each["reason"]) for each in first["items"]] == [
        (1, 3, "IB", "price is negative"),
        (2, 4, "ONCE", "ONCE is on line 2 already"),
    ]
    assert [each["line"] for each in second["items"]] == [5]
    assert second["next_cursor"] is None
    exported = shop.desk.call("GET", f"{path}/errors/export")
    assert exported.content_type == "text/csv; charset=utf-8"
    assert exported.get_data(as_text=True).splitlines()[:4] == [
        "\ufeffline,sku,reason",
        "3,IB,price is negative",
        "4,ONCE,ONCE is on line 2 already",
        "5,'=I,\"price is not a number: 'x' (digits, with a point before the decimals)\"",
    ]
    assert problem_of(shop.desk.call("POST", f"{path}/cancel")) == (409, "import-over")
    assert problem_of(shop.desk.call("POST", f"{path}/start")) == (409, "import-over")
    assert problem_of(shop.desk.call("GET", f"{path}/errors?cursor=x")) == (400, "unreadable")


def test_the_rights_of_the_jobs_are_enough(
    shop: Shop, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.persistence.connecting import connector
    from shared.persistence.database import Database
    from shared.settings import DatabaseSettings

    login = request.getfixturevalue("postgres").login(request.getfixturevalue("module_database"), "import_jobs")
    jobs = Database(connector(DatabaseSettings("url", 1, url=login.url), application="test"), size=1, clock=shop.clock)
    shop.database, owner = jobs, shop.database
    content = (
        b"sku,product,name,brand,category_path,price,on_hand\nJ1,J,Lamp,Wren,Home,1,5\nJ2,,Mug,Wren,Home > C,2,1\n"
    )
    try:
        first = shop.work(shop.started(content).id)
        renamed = b"sku,product,name,price,on_hand\nJ1,J,Torch,1,4\nJ2,J,,2,1\nJ3,,,,\n"
        second = shop.work(shop.started(renamed).id)
        owner.call("update stock_levels set held = 3 where sku = 'J1'")
        third = shop.work(shop.started(b"sku,on_hand\nJ1,2\n").id)
        owner.call("update stock_levels set held = 0 where sku = 'J1'")
        sweep(jobs, now=shop.clock.now() + timedelta(days=100))
    finally:
        jobs.close()

    assert [
        (each.state, each.counts.new, each.counts.changed, each.counts.refused) for each in (first, second, third)
    ] == [
        ("finished", 2, 0, 0),
        ("finished", 0, 2, 1),
        ("finished", 0, 0, 1),
    ]
    assert owner.call("select count(*) as n from imports")[0]["n"] == 0


@pytest.mark.parametrize(
    ("content", "filename", "failure"),
    [
        (b" \n", "lamps.csv", "the file is empty"),
        (
            b"%PDF-1.7 nothing of a catalogue",
            "lamps.csv",
            "the header has no column sku: '%PDF-1.7 nothing of a catalogue'",
        ),
        (gzip.compress(CSV)[:-20], "lamps.csv.gz", "the file is damaged or ends too early"),
    ],
)
def test_a_file_that_is_no_catalogue_fails_for_a_reason(
    shop: Shop, content: bytes, filename: str, failure: str
) -> None:
    done = shop.work(shop.started(content, filename).id)

    assert done.state == "failed"
    assert (done.failure or "").startswith(failure)


def test_a_file_that_is_gone_or_another_one_fails_and_only_the_same_goes_on(shop: Shop) -> None:
    made, file = shop.created()
    with pytest.raises(UploadChanged):
        shop.imports.start(made.id, StoredObject(file.name, 1, 7, "text/csv"), actor="staff:1")
    shop.imports.start(made.id, file, actor="staff:1")
    other = shop.shelf.put(file.name, CSV)

    failed = shop.work(made.id)

    assert (failed.state, failed.failure) == ("failed", "the file is no longer there, or it was replaced")
    with pytest.raises(UploadChanged):
        shop.imports.start(made.id, other, actor="staff:1")
    shop.shelf.objects[file.name] = (file.generation, CSV)
    assert shop.imports.start(made.id, file, actor="staff:1").failure is None
    assert shop.work(made.id).state == "finished"
    with pytest.raises(ImportOver):
        shop.imports.start(made.id, file, actor="staff:1")


def test_while_the_bucket_does_not_answer_an_import_waits_and_a_sweep_wakes_it(shop: Shop) -> None:
    running = shop.started()
    shop.shelf.down = True

    for _ in range(2):
        with pytest.raises(Unavailable):
            shop.work(running.id)
    early = sweep(shop.database, now=shop.clock.now())
    late = sweep(shop.database, now=shop.clock.now() + timedelta(minutes=3))
    shop.shelf.down = False

    assert (early, late, shop.woken()) == (0, 1, [str(running.id)] * 2)
    assert shop.work(running.id).state == "finished"


def test_what_nothing_happens_to_for_a_week_is_given_up(shop: Shop) -> None:
    waiting, running = shop.created()[0], shop.started()

    sweep(shop.database, now=shop.clock.now() + timedelta(days=6))
    before = [shop.imports.get(each.id).state for each in (waiting, running)]
    sweep(shop.database, now=shop.clock.now() + timedelta(days=8))

    assert before == ["waiting", "running"]
    assert [shop.imports.get(each.id).state for each in (waiting, running)] == ["cancelled", "cancelled"]


def test_a_shells_import_is_shown_and_cannot_be_started_here(shop: Shop) -> None:
    turn = Imports(shop.database, shop.clock).begin(
        "mine.csv", version="1", size_bytes=9, default_on_hand=None, actor="shell"
    )
    path = f"/v1/admin/imports/{turn.of.id}"

    shown = shop.desk.get(path)

    assert (shown["source"], shown["state"], shown["asked_by"]) == ("shell", "running", "shell")
    assert problem_of(shop.desk.call("POST", f"{path}/start")) == (409, "import-of-shell")
    with pytest.raises(ImportOfShell):
        shop.imports.start(turn.of.id, StoredObject("x", 1, 9, "text/csv"), actor="staff:1")
    assert shop.desk.call("POST", f"{path}/cancel").get_json()["state"] == "cancelled"


def test_a_large_file_is_read_a_few_megabytes_at_a_time(shop: Shop) -> None:
    content = CSV + (b" " * 1_000_000 + b"\n") * 9

    done = shop.work(shop.started(content).id)

    assert done.counts.new + done.counts.unchanged == 1
    assert {most for _start, most in shop.shelf.asked} == {RANGE_BYTES}
    assert [start for start, _most in shop.shelf.asked][:3] == [0, RANGE_BYTES, 2 * RANGE_BYTES]
