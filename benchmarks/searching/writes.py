"""Changes a second: a product at a time, each committed, by one client, so on one core of the server."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import pg8000.native

from benchmarks.searching.filling import TRIGRAMS, connect
from benchmarks.searching.shops import Shop
from benchmarks.searching.timing import Cpu, Times
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.catalog_refresh import REFRESH_PRODUCTS
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Transaction
from shared.persistence.search_projection import SearchProjection
from shared.settings import DatabaseSettings

CHANGED = 10_000
GOAL = 1_000

# Drawn by a digest, so that they lie anywhere; another time others.
_DRAW = """
select product_id from search_products where tier <= 4 order by md5(product_id::text || :salt::text) limit :many::int
"""
_PRICES = """
update variants set price_minor = price_minor + 100, updated_at = now() where product_id = any(:ids::uuid[])
"""
# What is there is sold out, what is sold out is there again.
_STOCK = """
update stock_levels l set on_hand = case when l.on_hand > 0 then 0 else 5 end
from variants v where v.sku = l.sku and v.product_id = any(:ids::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Written:
    """`by_cpu` is how many a second it would be if nothing else ran, nearly."""

    what: str
    a_second: float
    by_cpu: float
    times: Times


def measure_writes(shop: Shop, *, within_s: float, changed: int = CHANGED) -> Iterator[Written]:
    """First the copies alone, of products whose price or stock has changed already; then a price's whole way: the
    variant, the product that is made anew of it, the copy. Raises RuntimeError where a copy says what it said."""
    connection = connect(shop.owner)
    jobs, staff = _database(shop.login("search_jobs")), _database(shop.owner)
    projection = SearchProjection(jobs)
    cpu = Cpu(*(database.call("select pg_backend_pid() as pid")[0]["pid"] for database in (jobs, staff)))

    def project(product_id: UUID) -> None:
        if projection.project([product_id]) != 1:
            raise RuntimeError(f"product {product_id} has changed, and its copy has not")

    def change(product_id: UUID) -> None:
        staff.step(lambda tx: _change_price(tx, product_id))
        project(product_id)

    try:
        ids = _draw(connection, "prices", changed)
        staff.step(lambda tx: _change_price(tx, *ids))
        yield _each("the copy of a changed price", ids, project, within_s, cpu)
        _catch_up(projection, ids)
        ids = _draw(connection, "stock", changed)
        connection.run(_STOCK, ids=ids)
        yield _each("the copy of a changed stock", ids, project, within_s, cpu)
        _catch_up(projection, ids)
        ids = _draw(connection, "whole", changed)
        with _without_the_predecessors_index(connection):
            yield _each("a price, from its variant to its copy", ids, change, within_s, cpu)
    finally:
        jobs.close()
        staff.close()
        connection.run("vacuum analyze")
        connection.close()


@contextmanager
def _without_the_predecessors_index(connection: pg8000.native.Connection) -> Iterator[None]:
    """It is on the shop's own table: each price would write the trigrams of a name as well."""
    found = connection.run(
        "select pg_get_indexdef(to_regclass(:name)) where to_regclass(:name) is not null", name=TRIGRAMS
    )
    connection.run(f"drop index if exists {TRIGRAMS}")
    try:
        yield
    finally:
        for [definition] in found:
            connection.run(definition)


def _database(login: Address) -> Database:
    connecting = connector(DatabaseSettings("url", 1, login.url), application="writes", statement_timeout_ms=600_000)
    return Database(connecting, size=1, clock=SystemClock())


def _draw(connection: pg8000.native.Connection, salt: str, many: int) -> list[UUID]:
    return [row[0] for row in connection.run(_DRAW, salt=salt, many=many)]


def _change_price(tx: Transaction, *product_ids: UUID) -> None:
    tx.rows(_PRICES, ids=list(product_ids))
    tx.rows(REFRESH_PRODUCTS, ids=list(product_ids), now=tx.clock.now())


def _each(what: str, ids: Sequence[UUID], write: Callable[[UUID], object], within_s: float, cpu: Cpu) -> Written:
    took: list[float] = []
    used = cpu.read()
    began = before = time.perf_counter()
    for product_id in ids:
        write(product_id)
        now = time.perf_counter()
        took.append((now - before) * 1000)
        before = now
        if now - began > within_s:
            break
    used = cpu.read() - used
    return Written(what, len(took) / (before - began), len(took) / used, Times(sorted(took)))


def _catch_up(projection: SearchProjection, ids: Sequence[UUID]) -> None:
    """What the time was up for: the copies are what the products are, or the next run would count less."""
    for first in range(0, len(ids), 1_000):
        projection.project(ids[first : first + 1_000])
