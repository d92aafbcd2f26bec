"""The shop's database: made, migrated, and opened to one login per deployment."""

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pg8000.native
from pg8000.native import identifier, literal

from local.forking import child_environment
from local.keys import Keys


class DatabaseRefused(Exception):
    """The database cannot be used with this code; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a login finds a database."""

    login: str
    password: str
    host: str
    port: int
    database: str

    @property
    def url(self) -> str:
        login, password, database = (quote(part, safe="") for part in (self.login, self.password, self.database))
        return f"postgresql://{login}:{password}@{self.host}:{self.port}/{database}"

    def connect(self, *, timeout_s: float = 30) -> "pg8000.native.Connection":
        """In the clear, as the functions connect by URL: merely asking for TLS reads every root certificate (80 ms).

        `timeout_s` is how long any answer may take.
        """
        return pg8000.native.Connection(
            self.login,
            host=self.host,
            port=self.port,
            password=self.password,
            database=self.database,
            timeout=timeout_s,
            ssl_context=False,
        )


def read_url(url: str) -> Address:
    """The parts of postgresql://login:password@host:port/database."""
    parts = urlsplit(url)
    if not parts.hostname or not parts.username:
        raise DatabaseRefused("DATABASE_URL must look like postgresql://login:password@host:port/database")
    return Address(
        login=unquote(parts.username),
        password=unquote(parts.password or ""),
        host=parts.hostname,
        port=parts.port or 5432,
        database=unquote(parts.path.lstrip("/")) or "postgres",
    )


class ShopDatabase:
    """The database of one state folder on a server that `admin_url` may administer.

    On the embedded server it is `vitrine`. On any other server its name and its logins end in a mark of the state
    folder, so that two checkouts can share a server and nothing that was there before is touched.
    """

    def __init__(self, admin_url: str, *, keys: Keys, root: Path, state: Path, embedded: bool) -> None:
        self._admin = read_url(admin_url)
        self._keys = keys
        self._root = root
        self._migrated_file = state / "migrated.json"
        self._mark = "" if embedded else "_" + hashlib.sha256(str(state).encode()).hexdigest()[:8]

    @property
    def owner(self) -> Address:
        return self._address("vitrine_owner")

    def login_of(self, role: str) -> Address:
        """The login of a deployment whose rights are those of vitrine_<role>."""
        return self._address(f"vitrine_local_{role}")

    def _address(self, login: str) -> Address:
        return Address(
            login=login + self._mark,
            password=self._keys.secret(f"database:{login}"),
            host=self._admin.host,
            port=self._admin.port,
            database=f"vitrine{self._mark}",
        )

    def prepare(self, roles: Iterable[str]) -> None:
        """Make what is missing and migrate to the code's own version. Raises DatabaseRefused."""
        self._make_owner_and_database()
        self._migrate()
        self._make_logins(sorted(set(roles)))

    def _make_owner_and_database(self) -> None:
        admin, owner = self._admin.connect(), self.owner
        try:
            # Migrations make the NOLOGIN roles, as they do in the cloud, so their owner may make roles.
            _make_login(admin, owner, "createrole")
            if not admin.run("select 1 from pg_database where datname = :name", name=owner.database):
                admin.run(
                    f"create database {identifier(owner.database)} owner {identifier(owner.login)}"
                    " template template0 encoding 'UTF8'"
                )
                admin.run(f"revoke all on database {identifier(owner.database)} from public")
        finally:
            admin.close()

    def _migrate(self) -> None:
        folder = self._root / "migrations"
        if not folder.exists():
            return
        here = self._revision()
        revisions, digest = _read_migrations(folder)
        if here is not None and here not in revisions:
            raise DatabaseRefused(
                f"the database is at version {here}, which this code does not know: it was made by newer code. "
                "Check that code out, or start over with `make clean`."
            )
        done = {"digest": digest, "revision": here, "database": self.owner.database, "port": self._admin.port}
        if self._migrated_file.exists() and json.loads(self._migrated_file.read_text()) == done:
            return
        ran = subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=self._root,
            env=child_environment(DATABASE_ACCESS="url", DATABASE_URL=self.owner.url, PYTHONPATH=str(self._root)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if ran.returncode != 0:
            raise DatabaseRefused(f"the migration failed:\n{ran.stdout.decode(errors='replace').strip()}")
        self._migrated_file.write_text(json.dumps(done | {"revision": self._revision()}))

    def _revision(self) -> str | None:
        connection = self.owner.connect()
        try:
            if connection.run("select to_regclass('public.alembic_version') is null")[0][0]:
                return None
            rows = connection.run("select version_num from alembic_version")
            return str(rows[0][0]) if rows else None
        finally:
            connection.close()

    def _make_logins(self, roles: list[str]) -> None:
        admin = self._admin.connect()
        try:
            for role in roles:
                group, login = identifier(f"vitrine_{role}"), self.login_of(role)
                if not admin.run("select 1 from pg_roles where rolname = :name", name=f"vitrine_{role}"):
                    if (self._root / "migrations").exists():
                        raise DatabaseRefused(f"no migration makes the role vitrine_{role}")
                    admin.run(f"create role {group} nologin")
                _make_login(admin, login, "")
                admin.run(f"grant {group} to {identifier(login.login)}")
                admin.run(f"grant connect on database {identifier(login.database)} to {identifier(login.login)}")
        finally:
            admin.close()


def _make_login(admin: "pg8000.native.Connection", address: Address, attributes: str) -> None:
    known = admin.run("select 1 from pg_roles where rolname = :name", name=address.login)
    verb = "alter" if known else "create"
    admin.run(f"{verb} role {identifier(address.login)} login {attributes} password {literal(address.password)}")


def _read_migrations(folder: Path) -> tuple[frozenset[str], str]:
    """The revisions that the code knows, and a digest of every file that takes part in a migration."""
    revisions: set[str] = set()
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix in {".py", ".sql"}):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(folder)}:{len(content)}:".encode() + content)
        match = re.search(rb"""^revision(?:\s*:\s*str)?\s*=\s*["']([^"']+)["']""", content, re.MULTILINE)
        if match:
            revisions.add(match.group(1).decode())
    return frozenset(revisions), digest.hexdigest()
