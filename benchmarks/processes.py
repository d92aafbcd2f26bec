"""A function as the cloud starts it, and the time until it has answered."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from local.forking import die_with_parent
from local.ports import find_free_port

_FRAMEWORK = Path(sys.executable).with_name("functions-framework")
_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """From the start of the process; `cpu_s` is what all its processes have used by then."""

    wall_s: float
    cpu_s: float


class FunctionProcess:
    """`functions-framework` with one gunicorn worker, in a process group of its own. Use `with`, or stop()."""

    def __init__(self, source: Path, target: str, environment: Mapping[str, str], *, log: Path) -> None:
        self.port = 0
        self._source = source
        self._target = target
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        self.port = find_free_port()
        argv = [str(_FRAMEWORK), "--source", str(self._source), "--target", self._target]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*argv, "--host", "127.0.0.1", "--port", str(self.port)],
                cwd=self._source.parents[2],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return self

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def answer(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; waits until somebody listens. Raises RuntimeError where nobody ever does."""
        with self._connect() as connection:
            connection.sendall(request)
            received = b""
            while chunk := connection.recv(65536):
                received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1]), body

    def time_first_answer(self, request: bytes, *, status: int = 200) -> FirstAnswer:
        """Start, ask, stop. Raises RuntimeError where the answer has another status."""
        began = time.perf_counter()
        with self.start():
            got, body = self.answer(request)
            wall_s = time.perf_counter() - began
            if got != status:
                raise RuntimeError(f"{self._target} answered {got}: {body[:300]!r}; {self._said()}")
            return FirstAnswer(wall_s, self._cpu_s())

    def _connect(self) -> socket.socket:
        deadline = time.monotonic() + _WITHIN_S
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), _WITHIN_S)
            except ConnectionRefusedError:
                if self._process is None or self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self._target} does not start: {self._said()}") from None
                time.sleep(0.002)

    def _said(self) -> str:
        return self._log.read_text(errors="replace")[-1500:].strip()

    def _cpu_s(self) -> float:
        """CPU time of the whole group; 0 where there is no /proc."""
        assert self._process is not None
        used_ns = 0
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if int((folder / "stat").read_text().rpartition(")")[2].split()[2]) != self._process.pid:
                    continue
                for thread in (folder / "task").iterdir():
                    used_ns += int((thread / "schedstat").read_text().split()[0])
            except (OSError, ValueError):
                continue  # it has ended meanwhile
        return used_ns / 1e9


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()


def post(path: str, body: bytes, *, key: str) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
