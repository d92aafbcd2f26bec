"""An import that ends anywhere goes on in another process: the same end and counts as if nothing had happened."""

import gzip
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import pytest

from functions.inventory import cli
from local.database import Address
from shared.catalog.files import Unreadable
from shared.catalog.importing import Batch, Counts, Written
from shared.catalog.imports import MOST_IDLE_TURNS, FileGone, Import, ImportTaken, Turn, go_on, take_turn_at
from shared.catalog.seen import Seen
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.imports import LEASE, Imports
from shared.settings import DatabaseSettings
from tests.catalog.conftest import TABLES, Shop
from tests.numbers import PROVE

LINES = 20_000 if PROVE else 1_150


def content() -> bytes:
    """Three batches, or many: variants behind the batch of their product, SKUs that come again, wrong lines."""
    lines = [f"S{n:06d},P{n // 2},Lamp {n // 2},{n % 90 + 1},{n % 5}" for n in range(LINES)]
    lines[20] = "S000020,P10,Lamp 10,-1,1"
    lines[600] = "S000010,P300,Lamp,1,1"
    lines[601] = "S000601,P3,Another name of P3,9,1"
    lines[700] = "S000700,P3"
    lines[1100] = 'S001100,P3,"A third\nname",9,1'
    lines[1101] = "S000601,P3,Lamp,1,1"
    return ("sku,product,name,price,on_hand\n" + "\n".join(lines) + "\n").encode()


REFUSED = [
    (1, 22, "S000020", "price is negative"),
    (2, 602, "S000010", "S000010 is on line 12 already"),
    (3, 702, "", "the line has 2 fields, and the header 5"),
    (4, 1104, "S000601", "S000601 is on line 603 already"),
]
COUNTS = Counts(new=LINES - 4, refused=4)


class StandingClock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


class Clerk:
    """Imports of a shop by turns that have time for one batch each, at a clock that stands."""

    def __init__(self, address: Address, file: Path) -> None:
        self.clock = StandingClock()
        self.file = file
        settings = DatabaseSettings("url", 1, url=address.url)
        self.database = Database(connector(settings, application="test"), size=1, clock=self.clock)
        self.imports = Imports(self.database, self.clock)

    def begin(self) -> Turn:
        size = self.file.stat().st_size
        return self.imports.begin(self.file.name, version="1", size_bytes=size, default_on_hand=None, actor="test")

    def open(self, _of: Import) -> IO[bytes]:
        return self.file.open("rb")

    def take_turn(self, import_id: UUID, *, open_file: Callable[[Import], IO[bytes]] | None = None) -> None:
        clock = self.clock

        class OneBatch(Imports):
            def write(self, turn: Turn, batch: Batch, seen: Seen) -> Written:
                done = super().write(turn, batch, seen)
                clock.moment += timedelta(minutes=1)
                return done

        take_turn_at(
            import_id,
            ledger=OneBatch(self.database, clock),
            open_file=open_file or self.open,
            default_currency="USD",
            give_up_at=clock.now() + timedelta(seconds=1),
            clock=clock,
        )


def snapshot(ask: Callable[[str], list[list[Any]]]) -> list[Any]:
    """All that an import leaves, without ids and times."""
    return [
        ask("select v.sku, p.group_key, p.name, p.slug, v.price_minor, v.position"
            " from variants v join products p on p.id = v.product_id order by 1"),
        ask("select sku, on_hand from stock_levels order by 1"),
        ask("select sku, kind, delta_on_hand, reason from stock_movements order by 1, 2, 3"),
    ]  # fmt: skip


def state_of(shop: Shop) -> tuple[str, Counts, int, int]:
    """Of the import that was begun last: its state, its counts, lines read, and names that are still kept."""
    [row] = shop.ask(
        "select state, new_lines, changed_lines, unchanged_lines, refused, position_line,"
        " (select count(*) from import_names) from imports order by created_at desc limit 1"
    )
    return row[0], Counts(*row[1:5]), row[5], row[6]


def waits_for(shop: Shop, lock: str) -> bool:
    """Whether the import is at a lock of that kind; asked a few times a second."""
    found = shop.ask(
        "select pg_sleep(0.05), (select count(*) from pg_stat_activity"
        " where application_name = 'vitrine-import' and datname = current_database() and wait_event = :lock)",
        lock=lock,
    )
    return bool(found[0][1])


def errors_of(shop: Shop) -> list[tuple[Any, ...]]:
    rows = shop.ask("select number, line, sku, reason from import_errors order by number")
    return [tuple(row) for row in rows]


@pytest.fixture(scope="module")
def undisturbed(shop_address: Address, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the file leaves where nothing happens to it."""
    file = tmp_path_factory.mktemp("undisturbed") / "lamps.csv"
    file.write_bytes(content())
    connection = shop_address.connect()
    connection.run(f"truncate {', '.join(TABLES)}, imports cascade")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", shop_address.url)
        assert cli.main(["import", str(file), "--quiet"]) == 1
    found = snapshot(lambda sql: connection.run(sql))
    connection.close()
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "lamps.csv"
    made.write_bytes(content())
    return made


@pytest.fixture
def clerk(shop: Shop, file: Path) -> Iterator[Clerk]:
    shop.ask("truncate imports cascade")
    shop.ask("delete from outbox")
    made = Clerk(shop.address, file)
    yield made
    made.database.close()


def test_an_import_killed_within_a_batch_goes_on_behind_the_one_before(
    shop: Shop, file: Path, undisturbed: list[Any], say: Callable[[], list[str]]
) -> None:
    shop.ask("truncate imports cascade")
    # A variant that somebody else is about to write keeps the second batch waiting, its products written.
    blocking = shop.address.connect()
    blocking.run("begin")
    blocking.run("insert into products (id, slug, group_key, name, price_minor, currency, created_at, updated_at,"
                 " words, search_text) values (gen_random_uuid(), 'x', 'x', 'x', 1, 'USD', now(), now(), '', '')"
                 )  # fmt: skip
    blocking.run("insert into variants (sku, product_id, position, price_minor, currency, updated_at)"
                 " select 'S000900', id, 0, 1, 'USD', now() from products where group_key = 'x'")  # fmt: skip
    command = [sys.executable, "-m", "functions.inventory.cli", "import", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    while not waits_for(shop, "transactionid"):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert state_of(shop) == ("running", Counts(new=499, refused=1), 501, 1)
    blocking.run("rollback")
    blocking.close()

    assert cli.main(["import", str(file), "--resume"]) == 1

    assert snapshot(shop.ask) == undisturbed
    assert state_of(shop) == ("finished", COUNTS, LINES + 2, 0)
    assert errors_of(shop) == REFUSED
    assert f"{LINES - 4} new, 0 changed, 0 unchanged, 4 refused in " in say()[-1]
    assert Path(f"{file}.errors").read_text().splitlines() == [
        f"line {line}{f' ({sku})' if sku else ''}: {reason}" for _number, line, sku, reason in REFUSED
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_turns_of_a_batch_each_end_as_one_long_one(
    clerk: Clerk, shop: Shop, undisturbed: list[Any], packed: bool
) -> None:
    if packed:
        clerk.file.write_bytes(gzip.compress(content()))
    turn = clerk.begin()
    clerk.imports.pause(turn, go_on=False)

    while state_of(shop)[0] == "running":
        clerk.take_turn(turn.of.id)

    assert snapshot(shop.ask) == undisturbed
    assert state_of(shop) == ("finished", COUNTS, LINES + 2, 0)
    assert errors_of(shop) == REFUSED
    tasks = shop.ask("select destination, name, payload from outbox where destination like 'queue:%'")
    assert tasks == [["queue:imports", "/jobs/imports/go-on", {"import_id": str(turn.of.id)}]] * -(-LINES // 500)


def test_of_two_at_one_import_only_one_goes_on(clerk: Clerk, shop: Shop, undisturbed: list[Any]) -> None:
    first = clerk.begin()

    assert clerk.imports.take_turn(first.of.id) is None
    clerk.clock.moment += LEASE
    second = clerk.imports.take_turn(first.of.id)
    assert second is not None
    with clerk.file.open("rb") as raw, pytest.raises(ImportTaken):
        go_on(first, raw, ledger=clerk.imports, default_currency="USD")
    assert shop.ask("select count(*) from products") == [[0]]
    clerk.imports.finish(first)
    assert state_of(shop)[:2] == ("running", Counts())

    with clerk.file.open("rb") as raw:
        assert go_on(second, raw, ledger=clerk.imports, default_currency="USD")
    clerk.imports.finish(second)
    assert snapshot(shop.ask) == undisturbed
    assert state_of(shop)[:2] == ("finished", COUNTS)


def test_a_batch_that_somebody_else_has_written_does_not_go_in_again(clerk: Clerk, shop: Shop) -> None:
    turn = clerk.begin()
    clerk.imports.pause(turn, go_on=False)
    clerk.take_turn(turn.of.id)
    again = clerk.imports.take_turn(turn.of.id)
    assert again is not None
    before = [*snapshot(shop.ask), state_of(shop)]

    stale = Turn(replace(again.of, place=turn.of.place), again.token)
    with clerk.file.open("rb") as raw, pytest.raises(ImportTaken):
        go_on(stale, raw, ledger=clerk.imports, default_currency="USD")

    assert [*snapshot(shop.ask), state_of(shop)] == before


def test_an_import_that_is_cancelled_between_two_batches_stops_there(clerk: Clerk, shop: Shop) -> None:
    turn = clerk.begin()

    def cancel(_done: Written) -> None:
        shop.ask("update imports set state = 'cancelled', finished_at = now(), lease_token = null, leased_until = null")

    with clerk.file.open("rb") as raw, pytest.raises(ImportTaken):
        go_on(turn, raw, ledger=clerk.imports, default_currency="USD", written=cancel)

    assert state_of(shop)[:3] == ("cancelled", Counts(new=499, refused=1), 501)
    assert shop.ask("select count(*) from variants") == [[499]]


@pytest.mark.parametrize(
    ("raised", "failure"),
    [
        (FileGone(), "the file is no longer there, or it was replaced"),
        (Unreadable("the file is empty"), "the file is empty"),
    ],
)
def test_a_file_that_cannot_be_read_fails_its_import_for_a_reason(
    clerk: Clerk, shop: Shop, raised: Exception, failure: str
) -> None:
    turn = clerk.begin()
    clerk.imports.pause(turn, go_on=False)
    clerk.take_turn(turn.of.id)

    def gone(_of: Import) -> IO[bytes]:
        raise raised

    clerk.take_turn(turn.of.id, open_file=gone)

    assert shop.ask("select state, failure from imports") == [["failed", failure]]
    assert state_of(shop)[1:] == (Counts(new=499, refused=1), 501, 1)
    clerk.take_turn(turn.of.id)
    assert state_of(shop)[2] == 501


def test_an_import_whose_turns_all_end_without_a_batch_fails(clerk: Clerk, shop: Shop) -> None:
    turn = clerk.begin()
    for _ in range(MOST_IDLE_TURNS - 1):
        clerk.clock.moment += LEASE
        assert clerk.imports.take_turn(turn.of.id) is not None
    clerk.clock.moment += LEASE

    clerk.take_turn(turn.of.id)

    assert shop.ask("select state, failure from imports") == [
        ["failed", "it did not get on in 20 turns, behind line 0"]
    ]


def test_refusals_are_counted_beyond_those_that_are_kept(clerk: Clerk, shop: Shop) -> None:
    turn = clerk.begin()
    shop.ask("update imports set refused = 9999")
    clerk.imports.pause(turn, go_on=False)

    while state_of(shop)[0] == "running":
        clerk.take_turn(turn.of.id)

    assert state_of(shop)[1] == Counts(new=LINES - 4, refused=10_003)
    assert errors_of(shop) == [(10_000, *REFUSED[0][1:])]


def test_only_the_same_file_is_gone_on_with(
    shop: Shop, file: Path, say: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.ask("truncate imports cascade")
    file.write_bytes(b"sku,name,price\nA,Lamp,1\n")
    said = [f"{file}: no import of it was begun; import it without --resume"]
    assert cli.main(["import", str(file), "--resume"]) == 2
    assert cli.main(["import", str(file), "--quiet"]) == 0
    said.append(f"{file}: its last import is finished; import it again without --resume")
    assert cli.main(["import", str(file), "--resume"]) == 2
    shop.ask("update imports set state = 'running', finished_at = null")
    file.write_bytes(b"sku,name,price\nA,Lamp,1\nB,Mug,1\n")
    said.append(f"{file}: it has changed since its import was begun; import it anew, without --resume")
    assert cli.main(["import", str(file), "--resume"]) == 2

    assert say() == said
    assert shop.ask("select sku from variants") == [["A"]]


def test_a_stopped_import_says_how_it_goes_on(shop: Shop, file: Path, say: Callable[[], list[str]]) -> None:
    shop.ask("truncate imports cascade")
    blocking = shop.address.connect()
    blocking.run("begin")
    blocking.run("select pg_advisory_xact_lock(hashtext('catalogue-import'))")
    with ThreadPoolExecutor(1) as beside:
        importing = beside.submit(cli.main, ["import", str(file)])
        while not importing.done():  # where nothing has happened on it yet, a connection is tried anew, once
            if waits_for(shop, "advisory"):
                shop.ask(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'vitrine-import' and datname = current_database()"
                )
    blocking.close()

    assert importing.result() == 2
    assert say() == [
        "the database does not answer; what was imported before is in; the same command with --resume goes on behind it"
    ]


def test_what_was_named_comes_back_as_it_was() -> None:
    seen = Seen()
    assert seen.claim_sku("A", 2) is None
    assert seen.claim("A", 2)
    assert seen.claim_sku("B", 3) is None
    assert seen.claim("P", 3)
    first = seen.named()
    seen.kept()
    assert seen.claim_sku("C", 4) is None
    assert not seen.claim("P", 4)
    again = Seen([seen.named(), first])

    assert [again.claim_sku(sku, 9) for sku in "ABCD"] == [2, 3, 4, None]
    assert [again.claim(key, 9) for key in "APQ"] == [False, False, True]
    assert again.claim("P", 3)
    seen.close()
    again.close()
