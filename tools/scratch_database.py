"""Databases to throw away, migrated by the real migrations: for the tests and for the schema file.

They live on an embedded server of their own, or on the server that DATABASE_URL may administer. There every name bears
a mark, and all that was made is dropped at the end.
"""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import pg8000.native
from pg8000.native import identifier, literal

from local.database import Address, read_url
from local.postgres import EmbeddedPostgres

ROOT = Path(__file__).resolve().parent.parent

# Nothing here outlives the test run: no need to wait for the disk, nor to tidy up, which cost a third of the time.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "log_statement": "none",
    "scram_iterations": "1",
}


@contextmanager
def scratch_server(folder: Path) -> Iterator["ScratchServer"]:
    """A server to make databases on; `folder` keeps the embedded server's files. Everything is gone afterwards."""
    if "DATABASE_URL" in os.environ:
        server = ScratchServer(os.environ["DATABASE_URL"])
        try:
            yield server
        finally:
            server.drop_everything()
            server.close()
        return
    embedded = EmbeddedPostgres(folder, settings=_SETTINGS)
    embedded.prepare()
    # SCRAM makes both sides of a connection hash a password 4,096 times, which is most of what connecting costs.
    rules = embedded.data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("scram-sha-256", "password"))
    with embedded:
        server = ScratchServer(embedded.admin_url)
        try:
            yield server
        finally:
            server.close()


class ScratchServer:
    """Makes databases, and one login per database role; all of them are addresses to connect to."""

    def __init__(self, admin_url: str) -> None:
        self.admin = read_url(admin_url)
        self._mark = secrets.token_hex(4)
        self._password = secrets.token_urlsafe(16)
        self._logins: set[str] = set()
        self._databases: list[str] = []
        self._connection: pg8000.native.Connection | None = None

    @cached_property
    def template(self) -> Address:
        """A database that was migrated once; nobody may stay connected to it, or it cannot be copied."""
        made = self.empty()
        environment = {**os.environ, "DATABASE_ACCESS": "url", "DATABASE_URL": made.url}
        migrated = subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if migrated.returncode != 0:
            raise RuntimeError(f"the migration failed:\n{migrated.stdout}")
        return made

    def copy(self) -> Address:
        """A migrated database of its own, for its owner's login: a superuser would not notice a missing grant."""
        return self._create(template=self.template.database)

    def empty(self) -> Address:
        """A database that no migration has seen."""
        return self._create(template="template0")

    def login(self, database: Address, role: str) -> Address:
        """The same database for a login whose rights are those of vitrine_<role>."""
        login = self._login(role, member_of=f"vitrine_{role}")
        self._run(f"grant connect on database {identifier(database.database)} to {identifier(login)}")
        return self._address(login, database.database)

    def drop(self, database: Address) -> None:
        self._run(f"drop database if exists {identifier(database.database)} with (force)")
        self._databases.remove(database.database)

    def drop_everything(self) -> None:
        for name in reversed(self._databases):
            self._run(f"drop database if exists {identifier(name)} with (force)")
        for login in self._logins:
            self._run(f"drop role if exists {identifier(login)}")

    def _create(self, *, template: str) -> Address:
        # Migrations make roles, as in the cloud, so the owner may.
        owner = self._login("owner", attributes="createrole")
        name = f"vitrine_test_{self._mark}_{len(self._databases)}_{secrets.token_hex(2)}"
        self._run(
            f"create database {identifier(name)} owner {identifier(owner)} template {identifier(template)} "
            "strategy file_copy"  # half the time of the default, where nobody waits for the disk
        )
        self._run(f"revoke all on database {identifier(name)} from public")
        self._databases.append(name)
        return self._address(owner, name)

    def _login(self, name: str, *, attributes: str = "", member_of: str | None = None) -> str:
        login = f"vitrine_test_{name}_{self._mark}"
        if login not in self._logins:
            self._run(f"create role {identifier(login)} login {attributes} password {literal(self._password)}")
            if member_of is not None:
                self._run(f"grant {identifier(member_of)} to {identifier(login)}")
            self._logins.add(login)
        return login

    def _address(self, login: str, database: str) -> Address:
        return Address(login, self._password, self.admin.host, self.admin.port, database)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _run(self, sql: str) -> None:
        if self._connection is None:
            self._connection = self.admin.connect()
        self._connection.run(sql)
