"""What the fork server starts is what a start of its own would have been; and nothing depends on there being one."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from local import forkserver
from local.child import Child, Program
from local.forkserver import CODE, ForkServer, ForkServerGone
from tests.local.conftest import is_alive, wait_for

# Written into the folder of a test and run from there by `python -m`.
SAYS_WHAT_IT_IS = """
import json, os, sys, threading
os.write(int(sys.argv[2]), b"through the pipe")
print(json.dumps({
    "argv": sys.argv[1:], "environment": dict(os.environ), "folder": os.getcwd(), "group": os.getpgid(0),
    "leads": os.getpid() == os.getsid(0), "fds": sorted(os.listdir("/proc/self/fd")), "name": __name__,
    "threads": threading.active_count(), "paths": sys.path[:3], "parent": os.getppid(),
}))
sys.exit(3)
"""
WAITS = "import time; time.sleep(600)"


@asynccontextmanager
async def _fork_server(folder: Path) -> AsyncIterator[ForkServer]:
    server = ForkServer(folder, folder / "forkserver.log", on_end=lambda: None)
    server.start()
    try:
        async with asyncio.timeout(60):
            await server.is_ready.wait()
        yield server
    finally:
        server.stop()


def _program(folder: Path, server: ForkServer | None, code: str, *more: str, lent: tuple[int, ...] = ()) -> Program:
    (folder / "program.py").write_text(code)
    return Program(
        name="program",
        argv=[sys.executable, "-m", "program", *more],
        environment={"PATH": os.environ["PATH"], "PYTHONPATH": f"{CODE}:/elsewhere", "COLOUR": "green"},
        folder=folder,
        log=folder / "program.log",
        lent_fds=lent,
        fork_server=server,
    )


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


async def _end_of(child: Child) -> int | None:
    """Its exit code, reaped as the supervisor does when it is told."""
    process = child._process
    assert process is not None
    await _until(child.reap)
    return process.returncode


def _run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 120))


def test_a_fork_is_what_a_start_of_its_own_would_have_been(tmp_path: Path) -> None:
    async def run(server: ForkServer | None) -> tuple[dict[str, Any], bytes, int | None]:
        reading, writing = os.pipe()
        program = _program(tmp_path, server, SAYS_WHAT_IT_IS, "--colour=green", str(writing), lent=(writing,))
        child = Child(program, None)
        child.launch()
        os.close(writing)
        code = await _end_of(child)
        told = os.read(reading, 100)
        os.close(reading)
        said = json.loads(program.log.read_text().splitlines()[-1])
        assert said.pop("group") > 1
        said["environment"].pop("LC_CTYPE", None)  # Python sets it at a start in the C locale (PEP 538)
        return said, told, code

    async def both() -> None:
        async with _fork_server(tmp_path) as server:
            forked, executed = await run(server), await run(None)
            assert server._process is not None
            assert forked[0].pop("parent") == server._process.pid
            assert executed[0].pop("parent") == os.getpid()
            assert forked == executed
            assert forked[1:] == (b"through the pipe", 3)
            assert forked[0]["leads"]

    _run(both)


def test_many_at_once_are_told_apart(tmp_path: Path) -> None:
    async def ends() -> None:
        async with _fork_server(tmp_path) as server:
            (tmp_path / "program.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
            log = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
            forked = [
                server.fork(
                    [sys.executable, "-m", "program", str(code)],
                    environment={},
                    folder=tmp_path,
                    log=log,
                    lent_fds=(),
                )
                for code in range(15)
            ]
            os.close(log)
            await _until(lambda: all(each.poll() is not None for each in forked))
            assert [each.returncode for each in forked] == list(range(15))

    _run(ends)


def test_a_killed_program_ends_by_its_signal(tmp_path: Path) -> None:
    async def kill() -> None:
        async with _fork_server(tmp_path) as server:
            child = Child(_program(tmp_path, server, WAITS), None)
            child.launch()
            assert child.pid is not None
            os.killpg(child.pid, signal.SIGKILL)
            assert await _end_of(child) == -signal.SIGKILL
            assert not child.running

    _run(kill)


def test_with_the_fork_server_goes_what_it_forked_and_another_one_comes(tmp_path: Path) -> None:
    async def kill() -> None:
        async with _fork_server(tmp_path) as server:
            child = Child(_program(tmp_path, server, WAITS), None)
            child.launch()
            first, killed = child.pid, server._process
            assert first is not None
            assert killed is not None
            killed.kill()
            assert await _end_of(child) == -signal.SIGKILL
            wait_for(lambda: not is_alive(first))

            others = [child, Child(_program(tmp_path, server, WAITS), None)]
            for each in others:  # by themselves, while another fork server comes up: nobody waits for it
                each.launch()
                assert each.pid is not None
                assert _parent_of(each.pid) == os.getpid()
            for each in others:
                await each.stop()
            await server.is_ready.wait()
            child.launch()
            assert child.pid is not None
            assert server._process is not None
            assert server._process.pid != killed.pid
            assert _parent_of(child.pid) == server._process.pid
            await child.stop()

    _run(kill)


def test_a_fork_server_that_stands_still_keeps_no_start_waiting_and_no_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start() -> None:
        async with _fork_server(tmp_path) as server:
            forked, executed = (Child(_program(tmp_path, server, WAITS), None) for _ in range(2))
            forked.launch()
            _stop(server)
            server._orders.settimeout(0.1)
            executed.launch()
            assert await _end_of(forked) == -signal.SIGKILL
            assert executed.pid is not None
            assert _parent_of(executed.pid) == os.getpid()
            await executed.stop()

    async def stop() -> None:
        async with _fork_server(tmp_path) as server:
            child = Child(_program(tmp_path, server, WAITS), None)
            child.launch()
            pid = child.pid
            assert pid is not None
            _stop(server)
            monkeypatch.setattr("local.child.ANSWER_WITHIN_S", 0.1)
            await child.stop()
            assert not child.running
            wait_for(lambda: not is_alive(pid))

    _run(start)
    _run(stop)


def _stop(server: ForkServer) -> None:
    assert server._process is not None
    os.kill(server._process.pid, signal.SIGSTOP)


def test_without_a_fork_server_programs_are_started_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def start() -> None:
        async with _fork_server(tmp_path) as server:
            with pytest.raises(ForkServerGone):
                server.fork([], environment={}, folder=tmp_path, log=2, lent_fds=())
            child = Child(_program(tmp_path, server, "import sys; sys.exit(5)"), None)
            child.launch()
            assert await _end_of(child) == 5

    # One that cannot be started, and a system that is not Linux.
    monkeypatch.setattr(forkserver, "CODE", tmp_path)
    _run(start)
    monkeypatch.setattr(forkserver.sys, "platform", "darwin")  # type: ignore[attr-defined]
    _run(start)


def test_nothing_that_is_shared_starts_a_thread_or_keeps_the_time_for_itself() -> None:
    """A thread's locks would be held for ever in a fork; a copy of time.time() would not follow the local clock."""
    code = f"""
import importlib, json, os, sys, time
for name in {forkserver.SHARED_MODULES!r}:
    importlib.import_module(name)
keep = [name for name, module in sys.modules.items() if time.time in vars(module).values() and name != "time"]
print(json.dumps([len(os.listdir("/proc/self/task")), sorted(keep)]))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout

    threads, keep = json.loads(found)
    assert threads == 1
    # werkzeug's are for files that it sends, which no function does; requests says how long an answer took.
    assert set(keep) <= {"werkzeug.middleware.shared_data", "werkzeug.test", "werkzeug.utils", "requests.sessions"}


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
