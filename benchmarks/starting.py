"""Cold starts: from the start of a process to its first answer, beside functions-framework's hello world."""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

from benchmarks import goods
from benchmarks.figures import Figure, Goal, compare, skipped
from benchmarks.processes import FirstAnswer, get, post
from benchmarks.stage import ROOT, SET_ASIDE, SKUS, Stage
from benchmarks.stubs import stub
from benchmarks.tls_postgres import NotHere, tls_postgres
from local.forking import child_environment, die_with_parent
from local.ports import find_free_port
from tools.scratch_database import ScratchServer

HOT = ("search", "checkout", "webhooks")
_HOT_GOAL, _GOAL = Goal(at_most=1.6), Goal(at_most=2.6)


def cold_starts(stage: Stage) -> Iterator[Figure]:
    """Each deployment by URL: its health answers with one query."""
    names = [*HOT, *(each.name for each in stage.table.deployments if each.name not in HOT)]
    for name in names:
        start = partial(stage.function(name).time_first_answer, get(f"/v1/health/{name}"))
        what = f"cold start to the first 200 with a query: {name}"
        yield _beside_hello(stage, what, start, goal=_HOT_GOAL if name in HOT else _GOAL)


def cold_starts_over_tls(stage: Stage) -> Iterator[Figure]:
    """The private profile against a server that speaks TLS, with the token that the metadata server gives."""
    what = "cold start, private profile over TLS"
    try:
        with tls_postgres(stage.folder / "tls") as (server, authority):
            databases = ScratchServer(server.admin_url)
            shop = databases.copy()
            for name in HOT:
                login = databases.login(shop, stage.table.deployment(name).database_role)
                with stub(password=login.password) as metadata:
                    process = stage.function(
                        name,
                        database=login,
                        DATABASE_ACCESS="private",
                        DATABASE_HOST=login.host,
                        DATABASE_NAME=login.database,
                        DATABASE_USER=login.login,
                        DATABASE_CA=authority,
                        http_proxy=metadata,  # leads to the stub whoever asks metadata.google.internal
                    )
                    start = partial(process.time_first_answer, get(f"/v1/health/{name}"))
                    yield _beside_hello(stage, f"{what}: {name}", start, goal=_HOT_GOAL)
    except NotHere as why:
        yield skipped(what, str(why))


def cold_starts_by_connector(stage: Stage) -> Iterator[Figure]:
    took = []
    for _ in range(3):
        began = time.perf_counter()
        argv = [sys.executable, "-c", "from google.cloud.sql.connector import Connector"]
        subprocess.run(argv, check=True, env=child_environment())
        took.append(time.perf_counter() - began)
    why = "it speaks to the Cloud SQL Admin API"
    alone = f"a Python that only imports it takes {statistics.median(took) * 1000:.0f} ms here"
    yield skipped("cold start, connector profile", f"{why}; {alone}")


def first_orders(stage: Stage) -> Iterator[Figure]:
    """The first 201 of a checkout that nobody has called before; PayPal and Pub/Sub answer at once."""
    carts = iter(goods.make_carts(stage.shop, "first-order", stage.effort.rounds + 1, among=SKUS - SET_ASIDE))
    with stub() as paypal, pubsub(stage) as events:
        process = stage.function("checkout", PAYPAL_BASE_URL=paypal, PUBSUB_EMULATOR_HOST=events)
        yield _beside_hello(
            stage,
            "first 201 of POST /v1/checkouts on a cold instance",
            lambda: process.time_first_answer(place(next(carts)), status=201),
            goal=Goal(),
        )


def place(cart_id: str) -> bytes:
    body = {"cart_id": cart_id, "cart_version": 1, "email": "ada@example.com"}
    return post("/v1/checkouts", json.dumps(body).encode(), key=uuid4().hex)


def _beside_hello(stage: Stage, what: str, start: Callable[[], FirstAnswer], *, goal: Goal) -> Figure:
    hello = stage.hello()
    floors: list[FirstAnswer] = []
    ours: list[FirstAnswer] = []
    for _ in range(stage.effort.rounds + 1):
        floors.append(hello.time_first_answer(get("/")))
        ours.append(start())
    # The first pair writes .pyc files and fills caches: it is the start of nobody's instance.
    del floors[0], ours[0]
    cpu = statistics.median(mine.cpu_s / floor.cpu_s for mine, floor in zip(ours, floors, strict=True) if floor.cpu_s)
    return compare(
        what,
        [floor.wall_s * 1000 for floor in floors],
        [mine.wall_s * 1000 for mine in ours],
        unit="ms",
        floor_name="hello",
        goal=goal,
        note=f"of CPU time {cpu:.2f}",
    )


@contextmanager
def pubsub(stage: Stage) -> Iterator[str]:
    """The local Pub/Sub with the topics of the table and no subscription."""
    folder = Path(tempfile.mkdtemp(prefix="pubsub-", dir=stage.folder))
    config = {
        "project": "vitrine-local",
        "signing_key_file": str(stage.keys.oidc_key),
        "topics": list(stage.table.topics),
        "subscriptions": [],
    }
    (folder / "config.json").write_text(json.dumps(config))
    port, control = find_free_port(), find_free_port()
    argv = [sys.executable, "-m", "local.google.pubsub", "--port", str(port), "--control-port", str(control)]
    argv += ["--state", str(folder), "--clock", str(folder / "clock"), "--faults", str(folder / "faults.db")]
    argv += ["--config", str(folder / "config.json")]
    environment = child_environment(PYTHONPATH=str(ROOT))
    server = subprocess.Popen(argv, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    try:
        _wait_for(port)
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
