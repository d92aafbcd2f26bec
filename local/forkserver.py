"""A fork server: a process that has imported what the local cloud's Python processes share, and forks them.

To import aiohttp, gRPC and Google's clients takes a second of a processor, and a cloud has fourteen processes and
starts killed ones anew all day; a fork takes some hundredths. Where there is no Linux, or no fork server can be had, a
program is started by itself and only slower.

`python -m local.forkserver` is that process. It stays with one thread: what libraries' threads hold at a fork would be
held for ever in the child. What is forked runs a module as `python -m` would, with an environment, a folder, a session
and a log of its own, and ends with the fork server, as that ends with its supervisor.
"""

import argparse
import asyncio
import fcntl
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from local.forking import child_environment, die_with_parent

CODE = Path(__file__).resolve().parent.parent
# Libraries alone. The project's own modules are read anew at every start, and those of a function come from its root.
SHARED_MODULES = (
    "aiohttp.web",
    "cryptography.x509.verification",
    "functions_framework._http.gunicorn",
    "google.cloud.tasks_v2.services.cloud_tasks.transports",
    "google.pubsub_v1.services.publisher.transports",
    "grpc.aio",
    "gunicorn.workers.gthread",
    "msgspec",
    "pg8000.native",
)
ANSWER_WITHIN_S = 10.0
MOST_BYTES = 128 * 1024
MOST_DESCRIPTORS = 16


class ForkServerGone(Exception):
    """The fork server is not up yet, has ended, or does not answer; nothing that it has started runs."""


@dataclass(slots=True)
class Forked:
    """A process that the fork server started, with what its supervisor uses of subprocess.Popen."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs, as far as the fork server has told."""
        return self.returncode


class ForkServer:
    """The supervisor's side. Belongs to the event loop of the main thread."""

    def __init__(self, state: Path, log: Path, *, on_end: Callable[[], None]) -> None:
        """`on_end` is called when a forked process has ended. Nothing runs before start()."""
        self._state = state
        self._log = log
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._forked: dict[int, Forked] = {}
        self._is_wanted = sys.platform == "linux"
        self.is_ready = asyncio.Event()

    def start(self) -> None:
        """Start it; `is_ready` is set when a fork is quick, or when there will be none."""
        if not self._is_wanted:
            self.is_ready.set()
            return
        self._loop = asyncio.get_running_loop()
        self.is_ready.clear()
        self._orders, orders = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._news, news = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._orders.settimeout(ANSWER_WITHIN_S)
        # The state folder is named so that a later start knows whose process this was.
        argv = [sys.executable, "-m", "local.forkserver", "--state", str(self._state)]
        argv += ["--orders-fd", str(orders.fileno()), "--news-fd", str(news.fileno())]
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "ab") as log, orders, news:
            self._process = subprocess.Popen(
                argv,
                env=child_environment(),
                cwd=CODE,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(orders.fileno(), news.fileno()),
                preexec_fn=die_with_parent,
            )
        self._loop.add_reader(self._news, self._on_news)

    def fork(
        self, argv: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: int, lent_fds: Sequence[int]
    ) -> Forked:
        """A process of its own session for `[python, "-m", MODULE, ...]`. Blocks for the few milliseconds of a fork.

        Raises ForkServerGone; unless it never came up, another one starts then, for a later time.
        """
        if self._process is None:
            self.start()
        if self._process is None or not self.is_ready.is_set():
            raise ForkServerGone
        order = {"argv": argv[2:], "environment": dict(environment), "folder": str(folder), "lent_fds": [*lent_fds]}
        try:
            socket.send_fds(self._orders, [json.dumps(order).encode()], [log, *lent_fds])
            answer = self._orders.recv(64)
        except OSError:
            answer = b""
        if not answer:
            self.stop()
            raise ForkServerGone
        forked = self._forked[int(answer)] = Forked(int(answer))
        return forked

    def _on_news(self) -> None:
        news = self._news.recv(64)
        if news == b"ready":
            self.is_ready.set()
        elif news:
            pid, code = map(int, news.split())
            self._forked.pop(pid).returncode = code
            self._on_end()
        else:
            self._is_wanted = self.is_ready.is_set()  # else it would fail again; its log says why
            self.stop()
            self._on_end()

    def stop(self) -> None:
        """End it, and with it what it has forked."""
        self.is_ready.set()
        if self._process is None:
            return
        self._loop.remove_reader(self._news)
        self._orders.close()
        self._news.close()
        self._process.kill()
        self._process.wait()
        self._process = None
        for forked in self._forked.values():
            forked.returncode = -signal.SIGKILL
        self._forked.clear()


# The process itself ------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.forkserver")
    parser.add_argument("--state", required=True, help="the state folder of its cloud")
    parser.add_argument("--orders-fd", type=int, required=True)
    parser.add_argument("--news-fd", type=int, required=True)
    arguments = parser.parse_args()
    orders = socket.socket(fileno=arguments.orders_fd)
    news = socket.socket(fileno=arguments.news_fd)
    for library in SHARED_MODULES:
        import_module(library)
    threads = os.listdir("/proc/self/task")
    if len(threads) > 1:
        sys.exit(f"A library started {len(threads) - 1} threads while it was imported: nothing can be forked.")
    gc.freeze()  # a collection would write to every page that children could share
    module = _serve(orders, news)
    if module is not None:  # in a child
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def _serve(orders: socket.socket, news: socket.socket) -> str | None:
    """Fork until the supervisor is gone. In a child: the module that it is to run."""
    woken, waking = os.pipe()
    os.set_blocking(woken, False)
    os.set_blocking(waking, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
    news.send(b"ready")
    while True:
        ready, _, _ = select.select([orders.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _tell_ends(news)
        if orders.fileno() in ready:
            message, descriptors, _, _ = socket.recv_fds(orders, MOST_BYTES, MOST_DESCRIPTORS)
            if not message:
                return None
            server = os.getpid()
            settled, settling = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(settled)
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                orders.close()
                news.close()
                os.close(woken)
                os.close(waking)
                _leave(server)
                os.close(settling)
                return _become(json.loads(message), descriptors)
            for descriptor in (settling, *descriptors):
                os.close(descriptor)
            os.read(settled, 1)  # nothing, when it leads a group that can be killed
            os.close(settled)
            orders.send(str(pid).encode())


def _tell_ends(news: socket.socket) -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            news.send(f"{pid} {os.waitstatus_to_exitcode(status)}".encode())


def _leave(server: int) -> None:
    """Lead a session of its own, and end with the fork server."""
    os.setsid()
    die_with_parent()
    if os.getppid() != server:  # it died before we asked, and nobody would tell us
        os._exit(1)


def _become(order: dict[str, Any], descriptors: Sequence[int]) -> str:
    """Make this fork what a start would have made of it; the module that it is to run."""
    _place(descriptors, [1, *order["lent_fds"]])
    os.dup2(1, 2)
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    paths = order["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [order["folder"], *filter(None, paths), *sys.path[1:]]
    sys.argv[:] = order["argv"]
    return str(sys.argv[0])


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Give each descriptor its number, one among the others' numbers included; children inherit them."""
    above = max(numbers) + 1
    aside = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(aside, numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)


if __name__ == "__main__":
    main()
