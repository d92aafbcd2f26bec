"""The database of a shop on a server that was there before, with the project's own migrations."""

from collections.abc import Iterator
from pathlib import Path

import pg8000.native
import pytest

from local.database import DatabaseRefused, ShopDatabase, read_url
from local.keys import Keys
from local.postgres import EmbeddedPostgres
from tests.local.conftest import ROOT, TOY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("postgres")
    with EmbeddedPostgres(folder, settings={"shared_buffers": "32MB"}) as running:
        yield running


def _shop(server: EmbeddedPostgres, state: Path, *, root: Path = ROOT) -> ShopDatabase:
    state.mkdir(exist_ok=True)
    return ShopDatabase(server.admin_url, keys=Keys(state / "keys"), root=root, state=state, embedded=False)


def test_two_checkouts_share_a_server_and_not_a_row(server: EmbeddedPostgres, tmp_path: Path) -> None:
    first, second = (_shop(server, tmp_path / name, root=TOY) for name in ("a", "b"))
    for shop in (first, second):
        shop.prepare(["echo"])

    assert first.owner.database != second.owner.database
    assert first.login_of("echo").login != second.login_of("echo").login
    connection = first.owner.connect()
    connection.run("create table mine (id int)")
    connection.close()
    connection = second.owner.connect()
    assert connection.run("select to_regclass('mine') is null") == [[True]]
    connection.close()
    stranger = first.login_of("echo")
    with pytest.raises(pg8000.native.DatabaseError, match="42501"):
        pg8000.native.Connection(
            stranger.login,
            host=stranger.host,
            port=stranger.port,
            password=stranger.password,
            database=second.owner.database,
            ssl_context=False,
        )


def test_a_login_has_the_rights_of_its_role_and_no_others(server: EmbeddedPostgres, tmp_path: Path) -> None:
    shop = _shop(server, tmp_path / "c")
    shop.prepare(["search", "checkout"])
    shop.prepare(["search", "checkout"])  # a second start

    connection = shop.login_of("search").connect()
    assert connection.run("select count(*) from products") == [[0]]
    with pytest.raises(pg8000.native.DatabaseError, match="42501"):
        connection.run("select count(*) from orders")
    connection.close()


def test_a_database_of_newer_code_is_refused_and_left_alone(server: EmbeddedPostgres, tmp_path: Path) -> None:
    shop = _shop(server, tmp_path / "d", root=TOY)
    shop.prepare(["echo"])
    owner = shop.owner.connect()
    owner.run("create table alembic_version (version_num varchar(32) not null)")
    owner.run("insert into alembic_version values ('9999')")

    with pytest.raises(DatabaseRefused, match="at version 9999, which this code does not know"):
        _shop(server, tmp_path / "d").prepare(["search"])

    tables = owner.run("select tablename from pg_tables where schemaname = 'public'")
    owner.close()
    assert tables == [["alembic_version"]]


@pytest.mark.parametrize("url", ["", "postgresql://", "postgresql://host/db", "vitrine"])
def test_a_url_that_names_no_login_is_refused(url: str) -> None:
    with pytest.raises(DatabaseRefused, match="postgresql://login:password@host:port/database"):
        read_url(url)


def test_a_url_may_carry_any_password() -> None:
    address = read_url("postgresql://a%40b:p%2Fw%3A@db.example/shop")

    assert (address.login, address.password, address.host, address.port) == ("a@b", "p/w:", "db.example", 5432)
    assert address.url == "postgresql://a%40b:p%2Fw%3A@db.example:5432/shop"
