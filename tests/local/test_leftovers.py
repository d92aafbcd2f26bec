import subprocess
import sys
from pathlib import Path

from local.leftovers import end_leftovers, remember

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def test_what_an_earlier_run_left_is_ended_and_nothing_else(tmp_path: Path) -> None:
    ours = subprocess.Popen([*SLEEP, f"--state={tmp_path}/x"], start_new_session=True)
    foreign = subprocess.Popen(SLEEP, start_new_session=True)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    try:
        for name, process in (("ours", ours), ("foreign", foreign), ("gone", gone)):
            remember(tmp_path, name, process.pid)

        assert end_leftovers(tmp_path) == ["ours"]
        assert ours.wait(10) == -9
        assert foreign.poll() is None
        assert end_leftovers(tmp_path) == []
    finally:
        for process in (ours, foreign):
            process.kill()
            process.wait()
