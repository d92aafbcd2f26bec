"""The local cloud as a whole: what runs, in which order it starts, how it comes back, how it ends."""

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from local.activation import FunctionProcess, listen
from local.child import Child, Program, StartFailed
from local.clock import Clock
from local.control import Control
from local.database import ShopDatabase
from local.environment import (
    MEDIA_BUCKET,
    Addresses,
    account,
    function_environment,
    overridden,
    platform_environment,
    read_dotenv,
    unknown_names,
    vendor_values,
)
from local.faults import Faults
from local.forking import child_environment, die_with_parent
from local.forkserver import ForkServer
from local.front import Front
from local.gateway import Gateway, Opening
from local.google.identity import Issuer, Verifier
from local.keys import Keys
from local.leftovers import end_leftovers, remember
from local.listening import serve
from local.ports import Ports
from local.postgres import EmbeddedPostgres
from local.proxy import open_own_session, open_session
from local.scheduler import Scheduler
from local.servers import DELIVERING, MODULES, WITH_CONTROL_PORT, Servers
from local.settling import Settling
from local.table import Table, read_table

CODE = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
LOG_LIMIT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Options:
    """What a start may choose."""

    root: Path
    state: Path
    port: int | None  # None: 8080, or another where that is taken; 0: any
    catalog: str
    ready_file: Path | None
    database_url: str | None


class CannotStart(Exception):
    """The local cloud cannot start here; the message says why."""


class LocalCloud:
    """Owns every process and every listener of one state folder. Made and used in the main thread's event loop."""

    def __init__(self, options: Options, *, say: Callable[[str], None]) -> None:
        self.options = options
        self._say = say
        self._state = options.state
        self._logs = self._state / "logs"
        self._table: Table = read_table(options.root / "functions" / "deployments.yaml")
        self._ports = Ports(self._state / "ports.json")
        self._keys = Keys(self._state / "keys")
        self._clock = Clock(self._state / "clock")
        for name in end_leftovers(self._state):
            say(f"Ended {name}, which an earlier run had left behind.")
        # What was asked of an earlier run has nothing to do with this one.
        for file in self._state.glob("faults.db*"):
            file.unlink()
        self._faults_file = self._state / "faults.db"
        self._faults = Faults(self._faults_file)
        self._servers: dict[str, Child] = {}
        self._server_urls: dict[str, str] = {}
        self._functions: dict[str, FunctionProcess] = {}
        self._fork_server = ForkServer(self._state, self._logs / "forkserver.log", on_end=self._reap)
        self._tasks: list[asyncio.Task[None]] = []
        self._listeners: list[web.ServerRunner] = []
        self._stopping = False
        self._opening = Opening()
        self._session = open_session()
        self._own_session = open_own_session()
        self.url = ""

    # Starting ---------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bring everything up; functions wait for their first call. Raises CannotStart, StartFailed."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        self._fork_server.start()
        # Whoever calls from now on waits in the kernel until there is an answer.
        door = self._open_gateway()
        self.url = f"http://{HOST}:{door.getsockname()[1]}"
        self._addresses = self._plan_addresses()
        roots = self._state / "paypal" / "roots.pem"
        self._values = overridden(
            vendor_values(self._addresses, self._keys, paypal_roots=roots), read_dotenv(self.options.root / ".env")
        )
        for name, missing in unknown_names(self._table, self._values).items():
            self._say(f"{name} asks for {', '.join(missing)}: not known here, put a value into .env")
        self._plans = Servers(
            state=self._state,
            host=HOST,
            ports=self._ports,
            table=self._table,
            addresses=self._addresses,
            keys=self._keys,
            values=self._values,
            clock=self._clock.path,
            faults=self._faults_file,
        )
        servers = asyncio.gather(*(self._start_server(name) for name in MODULES))
        try:
            self._database = await self._start_database()
            self._plan_functions()
            scheduler = await self._listen(door)
        except BaseException:
            servers.cancel()
            with suppress(BaseException):
                await servers
            raise
        if not self._wants_catalogue:
            self._opening.reads.set()
        await servers
        if self._wants_catalogue:
            await self._load_catalogue()
        self._opening.open()
        self._tasks.append(asyncio.create_task(scheduler.run_forever()))
        self._tasks.append(asyncio.create_task(self._keep_logs_short()))

    def _open_gateway(self) -> socket.socket:
        wanted = self.options.port
        if wanted:
            try:
                return listen(HOST, wanted)
            except OSError as failure:
                raise CannotStart(f"port {wanted} cannot be had ({failure.strerror}); PORT=n picks another") from None
        if wanted is None:
            with suppress(OSError):
                return listen(HOST, 8080)
        port = self._ports.port_of("gateway")
        if wanted is None:
            self._say(f"Port 8080 is taken, so the shop is on {port}; PORT=n picks another.")
        return listen(HOST, port)

    def _plan_addresses(self) -> Addresses:
        fronts = {
            deployment.name: f"http://{HOST}:{self._ports.port_of('front ' + deployment.name)}"
            for deployment in self._table.deployments
            if deployment.called_by_jobs
        }
        port_of = self._ports.port_of
        for name in WITH_CONTROL_PORT:
            port_of(f"{name} control")
        return Addresses(
            public_url=self.url,
            pubsub_host=f"{HOST}:{port_of('pubsub')}",
            tasks_host=f"{HOST}:{port_of('tasks')}",
            storage_url=f"http://{HOST}:{port_of('storage')}",
            storage_key_file=str((self._state / "storage" / "service-account.json").resolve()),
            paypal_url=f"http://{HOST}:{port_of('paypal')}",
            sendgrid_url=f"http://{HOST}:{port_of('sendgrid')}",
            turnstile_url=f"http://{HOST}:{port_of('turnstile')}",
            fronts=fronts,
        )

    async def _start_database(self) -> ShopDatabase:
        url = self.options.database_url
        if url is None:
            server = EmbeddedPostgres(self._state / "postgres", port=self._ports.port_of("postgres"))
            await asyncio.to_thread(server.prepare)
            program = Program(
                name="postgres",
                argv=server.argv,
                environment=child_environment(),
                folder=self._state,
                log=self._logs / "postgres.log",
                stop_signal=signal.SIGINT,  # "fast shutdown"
                stop_within_s=20,
            )

            async def answers() -> bool:
                return await asyncio.to_thread(server.answers)

            child = Child(program, answers, self._note_start)
            self._servers["postgres"] = child
            self._server_urls["postgres"] = f"postgresql://{HOST}:{server.port}"
            await self._start_stubbornly(child, tries=50)
            self._watch(child)
            url = server.admin_url
        database = ShopDatabase(
            url, keys=self._keys, root=self.options.root, state=self._state, embedded=self.options.database_url is None
        )
        roles = [deployment.database_role for deployment in self._table.deployments]
        await asyncio.to_thread(database.prepare, roles)
        return database

    async def _start_server(self, name: str) -> None:
        url = self._plans.control_url(name)
        program = Program(
            name=name,
            argv=self._plans.argv(name),
            environment=child_environment(PYTHONPATH=str(CODE)),
            folder=self._state,
            log=self._logs / f"{name}.log",
            fork_server=self._fork_server,
        )
        await self._fork_server.is_ready.wait()
        child = Child(program, lambda: self._is_healthy(f"{url}/_local/health"), self._note_start)
        self._servers[name] = child
        self._server_urls[name] = url
        await self._start_stubbornly(child, tries=3)
        self._watch(child)

    async def _is_healthy(self, url: str) -> bool:
        try:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def _plan_functions(self) -> None:
        platform = platform_environment(self._table, self._addresses)
        for deployment in self._table.deployments:
            listener = listen(HOST, self._ports.port_of(f"function {deployment.name}"))
            program = Program(
                name=deployment.name,
                argv=[sys.executable, "-m", "local.function_process", "--clock", str(self._clock.path)],
                environment=function_environment(
                    deployment,
                    platform=platform,
                    values=self._values,
                    database=self._database.login_of(deployment.database_role),
                    root=self.options.root,
                    code=CODE,
                ),
                folder=self.options.root,
                log=self._logs / f"{deployment.name}.log",
                stop_within_s=1.0,
                fork_server=self._fork_server,
            )
            self._functions[deployment.name] = FunctionProcess(
                deployment, program, listener, host=HOST, on_start=self._note_start
            )

    async def _listen(self, door: socket.socket) -> Scheduler:
        verifier, issuer = Verifier(self._keys.oidc_key), Issuer(self._keys.oidc_key)
        for name, url in self._addresses.fronts.items():
            function = self._functions[name]
            front = Front(
                function,
                audience=url,
                invokers=[account(invoker) for invoker in function.deployment.invokers],
                verifier=verifier,
                clock=self._clock,
                session=self._session,
            )
            self._listeners.append(await serve(front.handle, listen(HOST, int(url.rpartition(":")[2]))))
        scheduler = Scheduler(
            self._table.schedules,
            base_urls=self._addresses.fronts,
            timeouts_s={name: float(function.deployment.timeout_s) for name, function in self._functions.items()},
            account=account("scheduler"),
            issuer=issuer,
            clock=self._clock,
            session=self._own_session,
            on_failure=self._log_schedule,
        )
        control = Control(
            self,
            clock=self._clock,
            faults=self._faults,
            scheduler=scheduler,
            settling=Settling(
                scheduler=scheduler,
                servers={name: self._plans.control_url(name) for name in DELIVERING},
                database=self._database.owner,
                clock=self._clock,
                session=self._own_session,
            ),
            token_keys=self._keys.token_keys,
            database=self._database.owner,
            paypal_url=self._addresses.paypal_url,
            sendgrid_url=self._addresses.sendgrid_url,
            turnstile_url=self._addresses.turnstile_url,
            session=self._session,
        )
        routes = {route: function for function in self._functions.values() for route in function.deployment.routes}
        gateway = Gateway(routes, local=control.handle, session=self._session, opening=self._opening)
        self._listeners.append(await serve(gateway.handle, door))
        return scheduler

    def _log_schedule(self, name: str, what: str) -> None:
        with open(self._logs / "scheduler.log", "a") as log:
            log.write(f"{self._clock.now():.3f} {name}: {what}\n")

    async def _load_catalogue(self) -> None:
        """The demo catalogue, or a file, into an empty shop; once."""
        wanted = self.options.catalog
        self._say("Loading the catalogue ...")
        file = wanted
        if wanted == "demo":
            file = str(self._state / "demo.jsonl")
            if not await self._run_once("local.demo_catalogue", file):
                return
        # A line without on_hand would make a product that nobody can buy.
        if await self._run_once("functions.inventory.cli", "import", file, "--default-on-hand", "100"):
            # Events would do it a few seconds later; the first look at the shop is now.
            await self._run_once("functions.search.cli", "rebuild", "--quiet")
            self._catalogue_file.write_text(json.dumps({"catalog": wanted}))

    @property
    def _catalogue_file(self) -> Path:
        return self._state / "catalogue.json"

    @property
    def _wants_catalogue(self) -> bool:
        return self.options.catalog != "none" and not self._catalogue_file.exists()

    async def _run_once(self, module: str, *arguments: str) -> bool:
        environment = child_environment(
            **platform_environment(self._table, self._addresses),
            MEDIA_URL=self._values["MEDIA_URL"],
            MEDIA_BUCKET=self._values["MEDIA_BUCKET"],
            DATABASE_URL=self._database.owner.url,
            PYTHONPATH=f"{self.options.root}:{CODE}",
        )
        argv = [sys.executable, "-m", module, *arguments]
        program = await asyncio.create_subprocess_exec(
            *argv, cwd=self.options.root, env=environment, preexec_fn=die_with_parent
        )
        if await program.wait() != 0:
            self._say(f"{module} failed: the shop runs without a catalogue.")
        return program.returncode == 0

    # Running ----------------------------------------------------------------------------------------------------------

    async def _start_stubbornly(self, child: Child, *, tries: int) -> None:
        """After a kill some time may pass until a port, a lock file or shared memory is free again."""
        for attempt in range(tries):
            try:
                await child.start()
                return
            except StartFailed:
                if attempt == tries - 1 or self._stopping:
                    raise
                await asyncio.sleep(min(0.1 * (attempt + 1), 0.5))

    def _note_start(self, name: str, pid: int) -> None:
        remember(self._state, name, pid)

    def _watch(self, child: Child) -> None:
        self._tasks.append(asyncio.create_task(self._keep_running(child)))

    async def _keep_running(self, child: Child) -> None:
        while True:
            await child.ended()
            started = time.monotonic()
            while not child.running:
                try:
                    await self._start_stubbornly(child, tries=20)
                except StartFailed as failure:
                    self._say(str(failure))
            # One that dies as soon as it is up must not eat the machine.
            await asyncio.sleep(0.2 if time.monotonic() - started < 1 else 0)

    def _reap(self) -> None:
        for child in self._children():
            child.reap()

    def _children(self) -> list[Child]:
        return [*self._servers.values(), *(function.child for function in self._functions.values())]

    async def _keep_logs_short(self) -> None:
        while True:
            await asyncio.to_thread(trim_logs, self._logs)
            await asyncio.sleep(60)

    def processes(self) -> Sequence[Mapping[str, Any]]:
        """Every server and every deployment, running or not."""
        self._reap()
        rows = [(name, "server", self._server_urls[name], child) for name, child in sorted(self._servers.items())]
        rows += [(name, "function", function.url, function.child) for name, function in self._functions.items()]
        return [
            {
                "deployment": name,
                "kind": kind,
                "pid": child.pid,
                "pgid": child.pid,  # each leads a group of its own
                "url": url,
                "restarts": child.restarts,
                "since": child.started_at if child.running else None,
            }
            for name, kind, url, child in rows
        ]

    def about(self) -> Mapping[str, Any]:
        """What the page and the ready file say of this cloud."""
        return {
            "url": self.url,
            "pid": os.getpid(),
            "state": str(self._state),
            "logs": str(self._logs),
            "database_url": self._database.owner.url,
            "fronts": dict(self._addresses.fronts),
            "pubsub_host": self._addresses.pubsub_host,
            "tasks_host": self._addresses.tasks_host,
            "paypal_url": self._addresses.paypal_url,
            "sendgrid_url": self._addresses.sendgrid_url,
            "turnstile_url": self._addresses.turnstile_url,
            "storage_url": self._addresses.storage_url,
            "media_bucket": MEDIA_BUCKET,
            "routes": {name: list(function.deployment.routes) for name, function in self._functions.items()},
        }

    # Ending -----------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End everything: callers first, the database last."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(runner.cleanup() for runner in self._listeners))
        await asyncio.gather(*(function.stop() for function in self._functions.values()))
        postgres = self._servers.pop("postgres", None)
        await asyncio.gather(*(child.stop() for child in self._servers.values()))
        if postgres is not None:
            await postgres.stop()
        self._fork_server.stop()
        await self._own_session.close()
        await self._session.close()


def trim_logs(folder: Path) -> None:
    """Move what a log has beyond its limit aside. The writers append, so they go on at the new beginning."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > LOG_LIMIT_BYTES:
            shutil.copyfile(log, f"{log}.1")
            os.truncate(log, 0)
