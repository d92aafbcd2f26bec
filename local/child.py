"""Child processes that never outlive their supervisor: started in a group of their own, reaped, started again."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from local.forking import die_with_parent
from local.forkserver import ANSWER_WITHIN_S, Forked, ForkServer, ForkServerGone


@dataclass
class Program:
    """How a child is started, in a session of its own."""

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    lent_fds: Sequence[int] = ()
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within_s: float = 3.0
    fork_server: ForkServer | None = None  # of a program that is `python -m MODULE`


class StartFailed(Exception):
    """A child ended, or stayed silent, before it was ready. The message carries the end of its log."""


@dataclass
class Child:
    """One child at a time of one program. All methods belong to the event loop of the main thread: the kernel's
    promise to kill a child with its parent is bound to the thread that forked."""

    program: Program
    ready: Callable[[], Awaitable[bool]] | None
    on_start: Callable[[str, int], None] = lambda name, pid: None
    start_within_s: float = 60.0
    pid: int | None = None
    starts: int = 0
    started_at: float | None = None
    _process: subprocess.Popen[bytes] | Forked | None = field(default=None, repr=False)
    _ended: asyncio.Event = field(default_factory=asyncio.Event, repr=False)

    @property
    def restarts(self) -> int:
        return max(0, self.starts - 1)

    @property
    def running(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Start the program and wait until it is ready. Raises StartFailed."""
        self.launch()
        deadline = time.monotonic() + self.start_within_s
        pause_s = 0.01
        while self.ready is not None and not await self.ready():
            if not self.running:
                raise StartFailed(f"{self.program.name} ended while it started:\n{self.last_words()}")
            if time.monotonic() > deadline:
                await self.stop()
                raise StartFailed(f"{self.program.name} was not ready in time:\n{self.last_words()}")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.3, 0.1)

    def launch(self) -> None:
        """Start the program if it does not run, and do not wait for it."""
        if self._process is not None:
            return
        self.program.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.program.log, "ab") as log:
            self._process = self._fork(log.fileno()) or self._execute(log.fileno())
        self.pid = self._process.pid
        self.starts += 1
        self.started_at = time.time()
        self.on_start(self.program.name, self.pid)
        self._ended = asyncio.Event()

    def _fork(self, log: int) -> Forked | None:
        program = self.program
        if program.fork_server is None:
            return None
        try:
            return program.fork_server.fork(
                program.argv,
                environment=program.environment,
                folder=program.folder,
                log=log,
                lent_fds=program.lent_fds,
            )
        except ForkServerGone:
            return None

    def _execute(self, log: int) -> subprocess.Popen[bytes]:
        supervisor = os.getpid()

        def before_exec() -> None:
            die_with_parent()
            if os.getppid() != supervisor:  # it died between fork and here, and nobody would tell us
                os._exit(1)

        return subprocess.Popen(
            self.program.argv,
            env=dict(self.program.environment),
            cwd=self.program.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=self.program.lent_fds,
            preexec_fn=before_exec,
        )

    def reap(self) -> bool:
        """Collect the child if it has ended; True when it just did. What is left of its group is killed."""
        process = self._process
        if process is None or process.poll() is None:
            return False
        self._kill_group(process.pid)
        self._process = None
        self.pid = None
        self._ended.set()
        return True

    async def ended(self) -> int | None:
        """Wait until the child that runs now has ended and was reaped; its exit code, negative for a signal."""
        process = self._process
        if process is None:
            return None
        await self._ended.wait()
        return process.returncode

    async def stop(self) -> None:
        """Ask it to end, then make it end; its whole group goes."""
        process = self._process
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.kill(process.pid, self.program.stop_signal)
        deadline = time.monotonic() + self.program.stop_within_s
        while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110 - a child sets no event
            await asyncio.sleep(0.02)
        self._kill_group(process.pid)
        deadline = time.monotonic() + ANSWER_WITHIN_S
        while process.poll() is None:
            if self.program.fork_server is not None and time.monotonic() > deadline:
                self.program.fork_server.stop()  # it would have told
            await asyncio.sleep(0.002)
        self.reap()

    def _kill_group(self, pgid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pgid, signal.SIGKILL)

    def last_words(self, lines: int = 25) -> str:
        """The end of the child's log."""
        try:
            with open(self.program.log, "rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 8192))
                return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""
