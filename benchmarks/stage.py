"""What benchmarks run on: a PostgreSQL with a repeatable commit, a catalogue, functions as the cloud starts them."""

import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks import goods
from benchmarks.processes import FunctionProcess
from local.database import Address
from local.environment import Addresses, function_environment, platform_environment, vendor_values
from local.forking import child_environment
from local.keys import Keys
from local.postgres import EmbeddedPostgres
from local.table import Deployment, Table, read_table
from tools.scratch_database import ScratchServer

ROOT = Path(__file__).resolve().parent.parent
SKUS = 10_000
# The last of them: no cart that is drawn at random wants one, so that whoever needs a row for himself has it.
SET_ASIDE = 100
# A disk's commit takes what its neighbours leave it. In memory, with this delay, it takes 1 ms and groups, always.
_COMMIT = {"commit_delay": "1000", "commit_siblings": "0", "log_statement": "none"}
_MEMORY = Path("/dev/shm")
_NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Effort:
    rounds: int = 7
    seconds: float = 4.0


class Stage:
    """Everything is made on first use and gone at the end."""

    def __init__(self, folder: Path, effort: Effort) -> None:
        self.folder = folder
        self.effort = effort
        self.table: Table = read_table(ROOT / "functions" / "deployments.yaml")
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def keys(self) -> Keys:
        return Keys(self.folder / "keys")

    @cached_property
    def postgres(self) -> EmbeddedPostgres:
        in_memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2 << 30
        folder = tempfile.mkdtemp(prefix="vitrine-bench-", dir=_MEMORY if in_memory else self.folder)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return self._stack.enter_context(EmbeddedPostgres(folder, settings=_COMMIT))

    @cached_property
    def server(self) -> ScratchServer:
        return ScratchServer(self.postgres.admin_url)

    @cached_property
    def shop(self) -> Address:
        """A database with a catalogue of SKUS products and stock enough; for its owner's login."""
        return self.new_shop()

    def new_shop(self) -> Address:
        made = self.server.copy()
        goods.fill(made, SKUS)
        return made

    # Functions ----------------------------------------------------------------------------------------------------

    def hello(self) -> FunctionProcess:
        """The floor: started as every function is, with an environment of its own."""
        return self._process(ROOT / "benchmarks" / "hello", "hello", child_environment(THREADS="16"))

    def function(self, name: str, *, database: Address | None = None, **more: str) -> FunctionProcess:
        """A deployment, not started yet, with its own role's login; `more` replaces or adds variables."""
        deployment = self.table.deployment(name)
        login = database or self.server.login(self.shop, deployment.database_role)
        environment = self._environment(deployment, login) | more
        return self._process(ROOT / deployment.source, deployment.entry_point, environment)

    def _environment(self, deployment: Deployment, database: Address) -> dict[str, str]:
        addresses = Addresses(
            public_url="http://127.0.0.1:8080",
            pubsub_host="127.0.0.1:9",
            tasks_host="127.0.0.1:9",
            storage_url=_NOWHERE,
            storage_key_file="",
            paypal_url=_NOWHERE,
            sendgrid_url=_NOWHERE,
            turnstile_url=_NOWHERE,
            fronts={each.name: _NOWHERE for each in self.table.deployments},
        )
        return function_environment(
            deployment,
            platform=platform_environment(self.table, addresses),
            values=vendor_values(addresses, self.keys, paypal_roots=self.folder / "roots.pem"),
            database=database,
            root=ROOT,
            code=ROOT,
        )

    def _process(self, source: Path, target: str, environment: dict[str, str]) -> FunctionProcess:
        environment = environment | {"PYTHONPATH": str(ROOT)}
        return FunctionProcess(source / "main.py", target, environment, log=self.folder / f"{target}.log")


def at(address: Address, *, port: int) -> Address:
    """The same database through something that listens elsewhere."""
    return replace(address, host="127.0.0.1", port=port)
