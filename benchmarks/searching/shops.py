"""The filled shop that is searched: made for this run, kept in a folder for the next ones, or somebody's server."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.searching.catalogue import Plan
from benchmarks.searching.filling import Timings, connect, fill, make_plan, say
from benchmarks.searching.widening import widen
from local.database import Address, read_url
from local.postgres import EmbeddedPostgres
from tools.scratch_database import ROOT, ScratchServer

# Nothing here has to outlive a loss of power, and nobody tidies up while something is measured.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "log_statement": "none",
    "max_wal_size": "8GB",
}
_MANY = 200_000
_FILLED = "filled.json"


class NotUsable(Exception):
    """The folder or server cannot be searched; the message says why."""


@dataclass(frozen=True, slots=True)
class Shop:
    """`owner` is the login of the owner of everything; `timings` are empty where somebody else filled it."""

    owner: Address
    server: ScratchServer
    products: int
    plan: Plan
    timings: Timings

    def login(self, role: str) -> Address:
        return self.server.login(self.owner, role)


@contextmanager
def open_shop(*, products: int | None, keep: Path | None, server: str | None, default: int) -> Iterator[Shop]:
    """Filled where it is not filled yet, migrated to this code's version where it is. Raises NotUsable."""
    with ExitStack() as stack:
        if server is not None:
            yield _of_others(read_url(server), products)
            return
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vitrine-searching-")))
        filled = folder / _FILLED
        known = json.loads(filled.read_text()) if filled.exists() else None
        if known is None and (folder / "data").exists():
            raise NotUsable(f"the shop in {folder} was not filled to its end: remove that folder")
        if known is not None and products not in (None, known["products"]):
            raise NotUsable(f"the shop in {folder} has {known['products']} products, not {products}")
        many = known["products"] if known is not None else products or default
        settings = _SETTINGS | {"shared_buffers": "2GB" if many >= _MANY else "256MB"}
        embedded = stack.enter_context(EmbeddedPostgres(folder, settings=settings))
        scratch = ScratchServer(embedded.admin_url)
        stack.callback(scratch.close)
        if known is None:
            yield _made(scratch, many, filled)
        else:
            owner = replace(read_url(known["owner"]), port=embedded.port)
            _migrate(owner)
            yield Shop(owner, scratch, many, make_plan(), Timings(known["timings"]))


def _made(server: ScratchServer, products: int, filled: Path) -> Shop:
    owner, plan = server.copy(), make_plan()
    timings = fill(owner, products, plan)
    widen(owner, plan.vocabulary)
    # Written last: what is there is filled to its end.
    filled.write_text(json.dumps({"owner": owner.url, "products": products, "timings": timings}))
    return Shop(owner, server, products, plan, timings)


def _of_others(owner: Address, products: int | None) -> Shop:
    connection = connect(owner)
    there = connection.run("select count(*) from search_products where tier <= 4")[0][0]
    connection.close()
    if products not in (None, there):
        raise NotUsable(f"{owner.database} has {there} products, not {products}")
    return Shop(owner, ScratchServer(owner.url), there, make_plan(), Timings())


def _migrate(owner: Address) -> None:
    say("migrating what was kept to this code's version")
    environment = {**os.environ, "DATABASE_ACCESS": "url", "DATABASE_URL": owner.url}
    migrated = subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=environment)
    if migrated.returncode != 0:
        raise NotUsable("the migration failed: what was kept is of other code")
