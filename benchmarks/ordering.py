"""Orders per second, without HTTP and PayPal: what placing costs on top of its writes."""

import itertools
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import goods, pgbench
from benchmarks.figures import Figure, Goal, compare
from benchmarks.stage import ROOT, SET_ASIDE, SKUS, Stage
from local.database import Address
from local.forking import child_environment, die_with_parent

CLIENTS = 16
_LITTLE = 60  # units that sixteen buyers fight over
_batches = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Bought:
    per_second: float
    orders: int
    refused: int
    took_ms: Sequence[float]

    def percentile(self, share: float) -> float:
        return self.took_ms[min(int(share * len(self.took_ms)), len(self.took_ms) - 1)] if self.took_ms else 0.0


def orders_spread(stage: Stage) -> Iterator[Figure]:
    shop, effort = stage.shop, stage.effort
    _buy(shop, _carts(stage, shop, 1.0), 1.0)  # caches, files that grow
    goods.analyze(shop)
    script = stage.folder / "order.sql"
    script.write_text(_order_script(shop))
    floors, ours = [], []
    for _ in range(effort.rounds):
        floors.append(pgbench.per_second(shop, script, clients=CLIENTS, seconds=effort.seconds, run=next(_batches)))
        ours.append(_buy(shop, _carts(stage, shop, effort.seconds), effort.seconds))
    yield compare(
        f"orders placed, {SKUS:,} SKUs, {CLIENTS} clients",
        floors,
        [each.per_second for each in ours],
        unit="/s",
        floor_name="pgbench",
        goal=Goal(at_least=0.35),
        note=f"{_latency(ours)}; {_deadlocks(shop)} deadlocks",
    )


def orders_of_one_sku(stage: Stage) -> Iterator[Figure]:
    """Nobody oversells, whatever the figure: it is counted after every run."""
    shop, effort = stage.shop, stage.effort
    hot, floor = goods.sku_of(SKUS - 1), goods.sku_of(SKUS - 2)
    goods.analyze(shop)
    script = stage.folder / "hot.sql"
    script.write_text(pgbench.HOT_SCRIPT.format(sku=floor))
    before = _deadlocks(shop)
    floors, ours, beyond = [], [], 0
    for _ in range(effort.rounds):
        floors.append(pgbench.per_second(shop, script, clients=CLIENTS, seconds=effort.seconds, run=next(_batches)))
        many = int(2000 * effort.seconds) + 200
        carts = goods.make_carts_of(shop, f"hot-{next(_batches)}", many, sku=hot, free=1_000_000)
        ours.append(_buy(shop, carts, effort.seconds))
        beyond += oversold(shop, hot)
    scarce = goods.sku_of(SKUS - 3)
    carts = goods.make_carts_of(shop, f"scarce-{next(_batches)}", 400, sku=scarce, free=_LITTLE)
    last = _buy(shop, carts, 30.0)
    beyond += oversold(shop, scarce)
    sold = held(shop, scarce)
    yield compare(
        f"one hot SKU, {CLIENTS} clients",
        floors,
        [each.per_second for each in ours],
        unit="/s",
        floor_name="pgbench, one row",
        goal=Goal(at_least=0.65),
        note=f"{_latency(ours)}; {beyond} oversold, {_deadlocks(shop) - before} deadlocks; "
        f"of {_LITTLE} units {sold} sold, {last.refused} buyers refused",
    )


def outbox(stage: Stage) -> Iterator[Figure]:
    """The same shop twice; in one of them no event is written and none is marked."""
    shop, effort = stage.shop, stage.effort
    silent = stage.new_shop()
    _take_outbox_away(silent)
    for each in (silent, shop):
        _buy(each, _carts(stage, each, 1.0), 1.0)
    floors, ours = [], []
    for _ in range(effort.rounds):
        floors.append(_buy(silent, _carts(stage, silent, effort.seconds), effort.seconds))
        ours.append(_buy(shop, _carts(stage, shop, effort.seconds), effort.seconds))
    if _count(silent, "select count(*) from outbox"):
        raise RuntimeError("the shop without an outbox has written to it")
    if _count(shop, "select count(*) from outbox where published_at is null"):
        raise RuntimeError("events were left unmarked")
    yield compare(
        f"orders with the outbox (insert and mark), {CLIENTS} clients",
        [each.per_second for each in floors],
        [each.per_second for each in ours],
        unit="/s",
        floor_name="without",
        goal=Goal(at_least=0.85),
    )


def _carts(stage: Stage, shop: Address, seconds: float) -> list[str]:
    # More than can be placed in the time.
    return goods.make_carts(shop, f"carts-{next(_batches)}", int(2000 * seconds) + 200, among=SKUS - SET_ASIDE)


def _buy(shop: Address, carts: Sequence[str], seconds: float) -> Bought:
    """CLIENTS buyers in as many processes as there are cores: Python uses no more than one core a process."""
    processes = min(CLIENTS, os.cpu_count() or 1)
    argv = [sys.executable, "-m", "benchmarks.buyers", "--url", shop.url, "--threads", str(CLIENTS // processes)]
    argv += ["--seconds", str(seconds)]
    children = [
        subprocess.Popen(
            argv,
            cwd=ROOT,
            env=child_environment(PYTHONPATH=str(ROOT)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent,
        )
        for _ in range(processes)
    ]
    try:
        for number, child in enumerate(children):
            _tell(child, "\n".join(carts[number::processes]) + "\n\n")
        for child in children:
            _hear(child)
        for child in children:
            _tell(child, "go\n")
        answers: list[dict[str, Any]] = [json.loads(_hear(child)) for child in children]
    finally:
        for child in children:
            child.kill()
            child.communicate()
    failures = [failure for answer in answers for failure in answer["failures"]]
    if failures:
        raise RuntimeError(f"{len(failures)} checkouts failed, the first with {failures[0]}")
    return Bought(
        per_second=sum(answer["orders"] / answer["seconds"] for answer in answers),
        orders=sum(answer["orders"] for answer in answers),
        refused=sum(answer["refused"] for answer in answers),
        took_ms=sorted(took for answer in answers for took in answer["took_ms"]),
    )


def _tell(child: "subprocess.Popen[str]", text: str) -> None:
    assert child.stdin is not None
    child.stdin.write(text)
    child.stdin.flush()


def _hear(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError("a process of buyers ended early")
    return line


def _order_script(shop: Address) -> str:
    """pgbench's own orders, with a payload and an answer as long as those of a real one."""
    connection = shop.connect()
    payload, answer = connection.run(
        """
        select o.payload::text, k.answer_body from outbox o
        join orders on orders.id = (o.payload -> 'order' ->> 'id')::uuid
        join idempotency_keys k on k.scope = orders.cart_id
        where o.name = 'order.placed' and k.answer_body is not null limit 1
        """
    )[0]
    connection.close()
    address = json.dumps(goods.ADDRESS)
    # A colon before a letter would be a variable of pgbench's.
    each = (SKUS - SET_ASIDE) // goods.LINES - 1
    return pgbench.ORDER_SCRIPT.format(
        each=each, payload=_plain(payload), answer=_plain(answer), address=_plain(address)
    )


def _plain(text: str) -> str:
    return re.sub(r":(?=[A-Za-z0-9_])", ": ", text.replace("'", "''"))


def _take_outbox_away(shop: Address) -> None:
    connection = shop.connect()
    for function, statement in (
        ("place_order_v3", r"insert into outbox[^;]*'order\.placed'[^;]*;"),
        ("await_approval_v1", r"update outbox[^;]*;"),
    ):
        written = connection.run("select pg_get_functiondef(cast(:name as regproc))", name=function)[0][0]
        without, times = re.subn(statement, "", written)
        if times != 1:
            raise RuntimeError(f"{function} does not write to the outbox as it did")
        connection.run(without)
    connection.close()


def _latency(runs: Sequence[Bought]) -> str:
    p50 = statistics.median(run.percentile(0.5) for run in runs)
    p99 = statistics.median(run.percentile(0.99) for run in runs)
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms"


def _deadlocks(shop: Address) -> int:
    return _count(shop, "select deadlocks from pg_stat_database where datname = current_database()")


def held(shop: Address, sku: str) -> int:
    return _count(shop, f"select held from stock_levels where sku = '{sku}'")


def oversold(shop: Address, sku: str) -> int:
    """Units that are held beyond what lines have, or beyond what there is."""
    return _count(
        shop,
        f"""
        select abs(s.held - (select coalesce(sum(held), 0) from order_lines where sku = s.sku))
            + greatest(s.held - s.on_hand, 0)
            + abs(s.held - (select coalesce(sum(delta_held), 0) from stock_movements where sku = s.sku))
        from stock_levels s where sku = '{sku}'
        """,
    )


def _count(shop: Address, sql: str) -> int:
    connection = shop.connect()
    try:
        return int(connection.run(sql)[0][0])
    finally:
        connection.close()
