import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import aiohttp
import google.auth.exceptions
import pg8000.exceptions
import pytest

from shared.kernel.clock import SystemClock
from shared.kernel.errors import Unavailable
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.settings import DatabaseSettings
from tools.scratch_database import ScratchServer

SETTINGS = DatabaseSettings(
    "connector", 1, instance="shop-1:europe-west3:vitrine", name="vitrine", user="vitrine-search@shop-1.iam"
)


def of_the_connector(name: str) -> Callable[[], Exception]:
    """Makes an error of the connector's library, which takes a second to import: only the tests that need it wait."""

    def make() -> Exception:
        made: Exception = getattr(import_module("google.cloud.sql.connector.exceptions"), name)()
        return made

    return make


class Library:
    """Stands in for the connector's library: what connecting comes to, and what it was asked."""

    def __init__(self) -> None:
        self.outcome: Any = None
        self.made: list[dict[str, Any]] = []
        self.hurried = threading.Event()
        self.hurried.set()
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, **how: Any) -> "Library":
        self.made.append(how)
        self.hurried.wait(0.3)  # time for a second one to be made, where nothing stops it
        return self

    def connect(self, instance: str, driver: str, **how: Any) -> Any:
        self.asked.append((instance, driver, how))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    library = Library()
    monkeypatch.setattr("google.cloud.sql.connector.Connector", library)
    return library


@pytest.fixture
def opened() -> Iterator[socket.socket]:
    with socket.socket() as made:
        yield made


def test_the_connectors_socket_has_the_limits_of_every_other(library: Library, opened: socket.socket) -> None:
    library.outcome = SimpleNamespace(_usock=opened)
    connect = connector(SETTINGS, application="search", statement_timeout_ms=7000)

    assert [connect(), connect()] == [library.outcome, library.outcome]
    assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
    assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
    assert opened.gettimeout() == 12
    assert library.made == [{"refresh_strategy": "lazy", "timeout": 5}]
    instance, driver, how = library.asked[0]
    assert (instance, driver) == ("shop-1:europe-west3:vitrine", "pg8000")
    assert (how["user"], how["db"], how["enable_iam_auth"]) == ("vitrine-search@shop-1.iam", "vitrine", True)


@pytest.mark.parametrize(
    "make_error",
    [
        pytest.param(partial(aiohttp.ClientResponseError, Mock(), (), status=503), id="ClientResponseError"),
        pytest.param(aiohttp.ServerDisconnectedError, id="ServerDisconnectedError"),
        pytest.param(partial(google.auth.exceptions.RefreshError, "no token"), id="RefreshError"),
        pytest.param(partial(google.auth.exceptions.TransportError, "no metadata server"), id="TransportError"),
        pytest.param(of_the_connector("CacheClosedError"), id="CacheClosedError"),
        pytest.param(of_the_connector("CloudSQLConnectionError"), id="CloudSQLConnectionError"),
        pytest.param(of_the_connector("CloudSQLIPTypeError"), id="CloudSQLIPTypeError"),
        pytest.param(of_the_connector("RefreshNotValidError"), id="RefreshNotValidError"),
        pytest.param(TimeoutError, id="TimeoutError"),
    ],
)
def test_a_connector_that_opens_nothing_is_unavailable_and_frees_its_place(
    library: Library, make_error: Callable[[], Exception]
) -> None:
    library.outcome = make_error()
    database = Database(connector(SETTINGS, application="search"), size=1, clock=SystemClock(), wait_s=0)

    for _ in range(2):
        with pytest.raises(Unavailable) as refusal:
            database.call("select 1")

        assert isinstance(refusal.value.__cause__, OSError)
    assert len(library.asked) == 2


def test_a_mistake_of_ours_is_not_called_an_outage(library: Library) -> None:
    library.outcome = KeyError("database")

    with pytest.raises(KeyError):
        connector(SETTINGS, application="search")()


def test_a_refused_role_has_a_line_of_its_own(library: Library, caplog: pytest.LogCaptureFixture) -> None:
    library.outcome = aiohttp.ClientResponseError(Mock(), (), status=403)

    with pytest.raises(ConnectionError):
        connector(SETTINGS, application="search")()

    assert [(record.getMessage(), record.__dict__["fields"]) for record in caplog.records] == [
        ("database_not_reached", {"error": "ClientResponseError", "status": 403})
    ]


def test_sixteen_first_connections_share_one_connector(library: Library, opened: socket.socket) -> None:
    library.outcome = SimpleNamespace(_usock=opened)
    library.hurried.clear()
    connect = connector(SETTINGS, application="search")
    together = threading.Barrier(16)

    def first_request() -> None:
        together.wait(10)
        connect()

    with ThreadPoolExecutor(16) as threads:
        for future in [threads.submit(first_request) for _ in range(16)]:
            future.result()

    assert (len(library.made), len(library.asked)) == (1, 16)


def test_words_that_a_search_ignores_are_no_news(postgres: ScratchServer) -> None:
    """PostgreSQL gives notice of each query of stop words, which travels to the client and is read there."""
    connection = connector(DatabaseSettings("url", 1, postgres.admin.url), application="search")()
    try:
        connection.execute_simple("select plainto_tsquery('english', 'the')")
        told = [notice[b"M"] for notice in connection.notices]
        connection.execute_simple("do $$begin raise warning 'heard'; end$$")
        heard = [notice[b"M"] for notice in connection.notices]
    finally:
        connection.close()

    assert (told, heard) == ([], [b"heard"])


def test_a_server_that_breaks_the_handshake_off_leaves_no_socket_open(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[socket.socket] = []
    really_connect = socket.create_connection

    def connect_and_remember(*about: Any) -> socket.socket:
        opened.append(really_connect(*about))
        return opened[-1]

    monkeypatch.setattr(socket, "create_connection", connect_and_remember)
    with socket.create_server(("127.0.0.1", 0)) as server:
        hanging_up = threading.Thread(target=_agree_to_tls_and_hang_up, args=(server,))
        hanging_up.start()
        url = f"postgresql://ada:secret@127.0.0.1:{server.getsockname()[1]}/shop?sslmode=require"
        with pytest.raises((pg8000.exceptions.InterfaceError, OSError)):
            connector(DatabaseSettings("url", 1, url), application="search")()
        hanging_up.join()

    assert [each.fileno() for each in opened] == [-1]


def _agree_to_tls_and_hang_up(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection:
        connection.recv(8)  # SSLRequest
        connection.sendall(b"S")
