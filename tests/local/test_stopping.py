import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    leaders = [row["pid"] for row in cloud.processes().values() if row["pid"] is not None]
    return [*leaders, int(cloud.call("/v1/echo").json["pid"])]


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
