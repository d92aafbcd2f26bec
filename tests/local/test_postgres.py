import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pg8000.native
import pytest

from local.database import read_url
from local.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"shared_buffers": "16MB"}


@pytest.fixture
def server(tmp_path: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(tmp_path / "postgres", settings=SMALL)


def test_a_killed_server_starts_again_with_its_data(server: EmbeddedPostgres) -> None:
    with server:
        connection = server.connect()
        connection.run("create table kept (id int)")
        connection.run("insert into kept values (7)")
        connection.close()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

        server.start()

        connection = server.connect()
        assert connection.run("select id from kept") == [[7]]
        connection.close()


def test_the_server_listens_on_loopback_only_and_asks_for_a_password(server: EmbeddedPostgres) -> None:
    with server:
        address = read_url(server.admin_url)
        connection = address.connect()
        assert connection.run("show listen_addresses") == [["127.0.0.1"]]
        assert connection.run("show unix_socket_directories") == [[""]]
        assert connection.run("show fsync") == [["on"]]
        connection.close()

        with pytest.raises(pg8000.native.DatabaseError) as refusal:
            pg8000.native.Connection(
                "postgres", host="127.0.0.1", port=server.port, password="wrong", ssl_context=False
            )

    assert refusal.value.args[0]["C"] == "28P01"


def test_nothing_of_the_server_is_left_when_it_was_stopped(server: EmbeddedPostgres) -> None:
    before = threading.active_count()  # another area's fixture may have its own for the whole run
    server.start()
    pid = server.pid
    server.stop()

    assert not Path(f"/proc/{pid}").exists()
    assert server.data.stat().st_mode & 0o077 == 0
    assert threading.active_count() == before


def test_a_server_is_made_where_grpc_is_at_work(tmp_path: Path) -> None:
    """Its threads wake up in a forked child too, and the kernel refuses a user namespace to more than one thread."""
    script = """
import sys
import grpc
from local.postgres import EmbeddedPostgres

channel = grpc.insecure_channel("127.0.0.1:1")
channel.subscribe(lambda state: None, try_to_connect=True)
with EmbeddedPostgres(sys.argv[1], settings={"shared_buffers": "16MB"}) as server:
    print(server.connect().run("select 1"))
"""
    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "postgres")], cwd=ROOT, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "[[1]]"), ended.stderr
