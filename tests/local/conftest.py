"""A local cloud with the two toy functions of toy/, started once: tests leave its clock ahead and its faults clear."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from local.forking import AS_IS, unforked

ROOT = Path(__file__).resolve().parents[2]
TOY = Path(__file__).parent / "toy"


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for known, value in self.headers if known.lower() == name.lower()), None)


def call(url: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
    """One HTTP call that changes nothing of what it is told and follows nothing."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.request(method, url[len(f"{parts.scheme}://{parts.netloc}") :], body, headers or {})
        answer = connection.getresponse()
        return Answer(answer.status, answer.getheaders(), answer.read())
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    """Whether the process still does anything: one that only waits to be reaped does not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    """Until the condition holds, which it does nearly at once."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.005)


@dataclass
class RunningCloud:
    """`python -m local` as a process, with a state folder and a home of its own."""

    folder: Path
    root: Path = TOY
    settings: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    about: dict[str, Any] = field(default_factory=dict)

    def start(self, *more: str) -> Self:
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        with open(self.folder / "out.txt", "ab") as out:
            self.process = subprocess.Popen(
                unforked(self.argv(*more), AS_IS),  # a test run that is killed leaves nothing behind
                stdout=out,
                stderr=out,
                env=self.environment,
                cwd=ROOT,
            )
        deadline = time.monotonic() + 90
        while not ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError((self.folder / "out.txt").read_text())
            time.sleep(0.02)
        self.about = json.loads(ready.read_text())
        return self

    def argv(self, *more: str) -> list[str]:
        argv = [sys.executable, "-m", "local", "--root", str(self.root), "--state", str(self.folder / "state")]
        return [*argv, "--port", "0", "--catalog", "none", "--ready-file", str(self.folder / "ready.json"), *more]

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PORT")}
        return kept | {"HOME": str(self.folder)} | self.settings

    @property
    def url(self) -> str:
        return str(self.about["url"])

    def call(
        self, path: str, method: str = "GET", body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return call(self.url + path, method, body, headers)

    def post(self, path: str, content: Any = None) -> Answer:
        return self.call(path, "POST", json.dumps(content or {}).encode(), {"Content-Type": "application/json"})

    def processes(self) -> dict[str, dict[str, Any]]:
        return {row["deployment"]: row for row in self.call("/_local/processes").json}

    def jobs(self) -> list[dict[str, Any]]:
        """What the toy worker did."""
        log = self.folder / "jobs.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def stop(self) -> int | None:
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    running = RunningCloud(tmp_path_factory.mktemp("cloud"))
    try:
        yield running.start()
    finally:
        running.stop()
