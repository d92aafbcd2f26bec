"""Local Google servers as real processes, and an endpoint that records what they push: for the tests of this folder."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from local.clock import Clock
from local.faults import Faults
from local.forking import AS_IS, unforked
from local.ports import find_free_port

ROOT = Path(__file__).resolve().parents[2]
# Long, because a test run shares its machine; what works comes at once.
PATIENCE_S = 90.0


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)


class Server:
    """One local server of a fresh cloud: killed and started again on the same ports and the same state."""

    def __init__(self, module: str, folder: Path, config: Mapping[str, Any] | None = None, *flags: str) -> None:
        """Without a config it is one that takes `flags` and serves its control on its one port."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.signing_key = folder / "oidc.pem"
        self.port = find_free_port()
        self.control_port = self.port if config is None else find_free_port()
        self.clock = Clock(folder / "clock")
        self.faults = Faults(folder / "faults.sqlite")
        self._command = [sys.executable, "-m", module, "--port", str(self.port), "--state", str(folder), *flags]
        self._command += ["--clock", str(folder / "clock"), "--faults", str(folder / "faults.sqlite")]
        if config is not None:
            content = {"project": "p", "signing_key_file": str(self.signing_key), **config}
            (folder / "config.json").write_text(json.dumps(content))
            self._command += ["--control-port", str(self.control_port), "--config", str(folder / "config.json")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        command = unforked(self._command, AS_IS)  # a test run that is killed leaves nothing behind
        self._process = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
        deadline = time.monotonic() + PATIENCE_S
        while not self._is_healthy():
            assert self._process.poll() is None, f"{self._command} ended with {self._process.returncode}"
            assert time.monotonic() < deadline, f"{self._command} did not come up"
            time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The whole group, as the tests of the shop do."""
        if self._process is not None:
            os.killpg(self._process.pid, number)
            self._process.wait(PATIENCE_S)
            self._process = None

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.control_port}{path}", timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def post(self, path: str) -> Any:
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}{path}", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)

    def wait_until(self, holds: Any) -> dict[str, Any]:
        """Ask /_local/pending until it satisfies; the last answer."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            pending: dict[str, Any] = self.get("/_local/pending")
            if holds(pending):
                return pending
            assert time.monotonic() < deadline, f"still {pending}"
            time.sleep(0.02)

    def _is_healthy(self) -> bool:
        try:
            return bool(self.get("/_local/health") == {"status": "ok"})
        except OSError:
            return False


def kill_at_work(server: Server, taken: Sequence[str], *, times: int) -> None:
    """Kill and start it so often, each time shortly after it has taken something more."""
    draw = random.Random(7)

    def kill_after(before: int) -> None:
        wait_until(lambda: len(taken) > before)
        time.sleep(draw.uniform(0, 0.1))
        server.kill()
        server.start()

    for _ in range(times):
        kill_after(len(taken))


@dataclass(frozen=True, slots=True)
class Received:
    method: str
    path: str
    headers: Message
    body: bytes
    at: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """An HTTP endpoint: keeps every request and answers 204, or what `answers[path]` says next: a status, or a status
    with headers, or an event to wait for before a 204."""

    def __init__(self) -> None:
        self._requests: list[Received] = []
        self._arrived = threading.Condition()
        self.answers: defaultdict[str, deque[int | tuple[int, Mapping[str, str]] | threading.Event]] = defaultdict(
            deque
        )
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver._keep(Received(self.command, self.path, self.headers, body, time.monotonic()))
                answer = receiver._next_answer(self.path)
                status, headers = answer if isinstance(answer, tuple) else (answer, {})
                try:
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # the caller gave up

            do_GET = do_POST = do_PUT = _answer  # noqa: N815 - http.server names its methods so

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def wait_for(self, path: str, count: int) -> list[Received]:
        """The first `count` requests to a path, once they have come."""
        with self._arrived:
            came = self._arrived.wait_for(lambda: len(self.requests(path)) >= count, PATIENCE_S)
            assert came, f"{len(self.requests(path))} of {count} requests to {path}"
        return self.requests(path)[:count]

    def requests(self, path: str) -> list[Received]:
        return [request for request in self._requests if request.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _keep(self, request: Received) -> None:
        with self._arrived:
            self._requests.append(request)
            self._arrived.notify_all()

    def _next_answer(self, path: str) -> int | tuple[int, Mapping[str, str]]:
        with self._arrived:
            answer = self.answers[path].popleft() if self.answers[path] else 204
        if isinstance(answer, threading.Event):
            answer.wait(PATIENCE_S)
            return 204
        return answer


def status_of(request: urllib.request.Request) -> tuple[int, Message, bytes]:
    """Status, headers and body of an HTTP call, refusals included."""
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.headers, refusal.read()
