import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import EmbeddedPostgres
from tests.local.conftest import ROOT, RunningCloud, is_alive, wait_for


@pytest.fixture
def own_cloud(tmp_path: Path) -> Iterator[RunningCloud]:
    running = RunningCloud(tmp_path)
    try:
        yield running.start()
    finally:
        running.stop()


def _pids(cloud: RunningCloud) -> list[int]:
    """Every process of the cloud but the supervisor, workers included."""
    cloud.call("/v1/echo")
    assert cloud.process is not None
    supervisor = cloud.process.pid
    leaders = [row["pid"] for row in cloud.processes().values() if row["pid"] is not None]
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()  # the fork server is no row
    return [*leaders, *map(int, children), int(cloud.call("/v1/echo").json["pid"])]


@pytest.mark.slow
def test_nothing_is_left_of_a_cloud_that_was_killed_and_the_next_start_goes_on(own_cloud: RunningCloud) -> None:
    pids = _pids(own_cloud)
    ports = {name: row["url"] for name, row in own_cloud.processes().items()}
    offset_s = own_cloud.post("/_local/clock", {"advance_s": 60}).json["offset_s"]
    assert own_cloud.process is not None

    own_cloud.process.kill()
    own_cloud.process.wait()

    wait_for(lambda: not any(is_alive(pid) for pid in pids))
    own_cloud.start()
    assert own_cloud.call("/v1/echo/database").json == {"user": "vitrine_local_echo"}
    assert own_cloud.call("/_local/clock").json["offset_s"] == offset_s
    assert {name: row["url"] for name, row in own_cloud.processes().items()} == ports


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_a_second_start_says_where_the_first_runs(own_cloud: RunningCloud) -> None:
    pids = _pids(own_cloud)
    assert own_cloud.process is not None
    second = subprocess.run(own_cloud.argv(), env=own_cloud.environment, cwd=ROOT, stdout=subprocess.PIPE, check=True)

    own_cloud.process.send_signal(signal.SIGINT)
    code = own_cloud.process.wait(60)

    said = f"already runs on {own_cloud.url} (pid {own_cloud.process.pid})"
    assert said in second.stdout.decode()
    assert code == 0
    assert [pid for pid in pids if is_alive(pid)] == []
    assert not os.path.exists(own_cloud.folder / "state" / "instance.json")


@pytest.mark.slow
def test_another_server_is_used_and_left_as_it_was(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres", settings={"shared_buffers": "32MB"}) as server:
        cloud = RunningCloud(tmp_path, settings={"DATABASE_URL": server.admin_url})
        try:
            cloud.start()
            user = cloud.call("/v1/echo/database").json["user"]
            processes = cloud.processes()
        finally:
            cloud.stop()
        connection = server.connect()
        databases = [name for (name,) in connection.run("select datname from pg_database where not datistemplate")]
        connection.close()

    assert "postgres" not in processes
    assert user.startswith("vitrine_local_echo_")
    mark = user.removeprefix("vitrine_local_echo")
    assert sorted(databases) == ["postgres", f"vitrine{mark}"]


@pytest.mark.slow
def test_a_port_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        cloud = RunningCloud(tmp_path)
        argv = [*cloud.argv(), "--port", str(port)]
        refused = subprocess.run(argv, env=cloud.environment, cwd=ROOT, stderr=subprocess.PIPE)

    assert refused.returncode == 1
    assert f"port {port} cannot be had" in refused.stderr.decode()
    assert not (tmp_path / "ready.json").exists()
