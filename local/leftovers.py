"""Processes that an earlier run left behind.

Linux kills our children with their supervisor. Elsewhere nobody does, so each start looks for those of the last one:
a database server that still runs would keep the next from starting.
"""

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path


def remember(state: Path, name: str, pid: int) -> None:
    """Note that `name` runs as `pid`, the leader of a group of its own."""
    folder = state / "pids"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(str(pid))


def end_leftovers(state: Path) -> list[str]:
    """Kill what still runs of an earlier start of this state folder; their names."""
    ended = []
    for file in sorted((state / "pids").glob("*")):
        pid = int(file.read_text() or 0)
        file.unlink()
        # A pid may be somebody else's by now: all of ours carry the state folder in their command line.
        if pid > 1 and str(state) in _command_line(pid):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
                ended.append(file.name)
    return ended


def _command_line(pid: int) -> str:
    try:
        os.kill(pid, 0)
        return subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout
    except OSError:
        return ""
