"""A shop filled with a drawn catalogue: the tables by COPY, what search reads by its own projection in large steps."""

import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice

import pg8000.native

from benchmarks.searching.catalogue import COLUMNS, Plan, draw, plan
from benchmarks.searching.vocabulary import SEED, Vocabulary, read_real_words
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search_projection import SearchProjection
from shared.settings import DatabaseSettings
from tools.bulk import indexed_afterwards

CORES = min(os.cpu_count() or 1, 4)
AT_ONCE = 20_000
PROJECTED_AT_ONCE = 1_000
SAID_EVERY_S = 5.0
_NO_LIMIT_MS = 3_600_000

_STAGE = """
create unlogged table drawn (n integer, name text, description text, brand integer, leaf integer, price_minor bigint,
    popularity integer, born_s integer, on_hand integer)
"""
_BRANDS = """
insert into brands select md5('b' || n)::uuid, 'brand-' || n, name
from unnest(:names::text[]) with ordinality as t (name, place), lateral (select place - 1 as n) numbers
"""
_CATEGORIES = """
insert into categories (id, parent_id, slug, path, name)
select md5('c' || path)::uuid, case when path like '%/%' then md5('c' || regexp_replace(path, '/[^/]*$', ''))::uuid end,
    regexp_replace(path, '^.*/', ''), path, initcap(regexp_replace(path, '^.*/', ''))
from unnest(:paths::text[]) as path
"""
# A tenth has a second variant, dearer and with stock of its own.
_PRODUCTS = """
insert into products (id, slug, group_key, name, description, brand_id, category_id, popularity, price_minor, currency,
    published_at, created_at, updated_at, words, search_text)
select md5('p' || n)::uuid, 'product-' || n, sku, d.name, description, md5('b' || brand)::uuid, md5('c' || path)::uuid,
    popularity, price_minor, 'USD', at, at, at,
    product_words_v1(d.name, b.name, initcap(replace(path, '/', ' ')), description),
    fold_v1(d.name || ' ' || b.name || ' ' || sku || case when n % 10 = 0 then ' ' || sku || '-XL' else '' end)
from drawn d
join brands b on b.id = md5('b' || brand)::uuid
cross join lateral (select (:paths::text[])[leaf + 1] as path, 'SKU-' || lpad(n::text, 8, '0') as sku,
    '2024-01-01'::timestamptz + born_s * interval '1 second' as at) t
where n >= :first::int and n < :stop::int
"""
_VARIANTS = (
    "insert into variants (sku, product_id, price_minor, currency, updated_at)"
    " select 'SKU-' || lpad(n::text, 8, '0'), md5('p' || n)::uuid, price_minor, 'USD', '2024-01-01' from drawn",
    "insert into variants (sku, product_id, position, price_minor, currency, updated_at)"
    " select 'SKU-' || lpad(n::text, 8, '0') || '-XL', md5('p' || n)::uuid, 1, price_minor + 500, 'USD', '2024-01-01'"
    " from drawn where n % 10 = 0",
    "insert into stock_levels (sku, location, on_hand)"
    " select 'SKU-' || lpad(n::text, 8, '0'), 'main', on_hand from drawn",
    "insert into stock_levels (sku, location, on_hand)"
    " select 'SKU-' || lpad(n::text, 8, '0') || '-XL', 'main', n / 10 % 4 from drawn where n % 10 = 0",
)
_COPIES = """
insert into search_products (product_id, tier, source_updated_at, projected_at, words)
select id, 4, updated_at, updated_at, words from products order by id
"""
_COUNT_WORDS = """
insert into counted select word, count(*) filter (where named), count(*)
from words_of_products_v1(array(
    select md5('p' || n)::uuid from generate_series(:first::int, :stop::int - 1) n))
group by word
"""
_WORDS = (
    "insert into search_words (word, names, products, traced)"
    " select word, sum(names), sum(products), sum(names) > 0 from counted group by word",
    "insert into search_misspellings (trace, word)"
    " select trace, word from search_words, misspelling_traces_v1(word) as trace where traced order by trace, word",
    "drop table counted",
)
TRIGRAMS = "products_name_trigrams"


class Timings(dict[str, float]):
    """Seconds of each step, by its name."""

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.add(step, time.monotonic() - began)

    def add(self, step: str, seconds: float) -> None:
        self[step] = seconds
        say(f"{step}: {seconds:.1f} s")


def make_plan() -> Plan:
    dice = random.Random(SEED)
    return plan(Vocabulary(dice, real=read_real_words()), dice)


def fill(shop: Address, products: int, drawn_from: Plan) -> Timings:
    """Everything of the shop that search knows, and an index of trigrams for the predecessor's answer.

    The machine's cores share the work, where PostgreSQL does not share it by itself.
    """
    took = Timings()
    connection = connect(shop)
    with took.of("drawing and COPY"):
        connection.run(_STAGE)
        _copy(connection, draw(products, drawn_from, random.Random(SEED)), products)
        connection.run("analyze drawn")
    with took.of("the shop's tables"):
        _fill_tables(shop, connection, products, drawn_from)
        connection.run("vacuum analyze")
    with indexed_afterwards(connection, told=lambda index, seconds: took.add(f"index {index}", seconds)):
        with took.of("projection"):
            # The copies stand there already with their words: the projection writes what differs, which is all, and
            # counts no words. Each step would write most of the vocabulary anew.
            connection.run(_COPIES)
            connection.run("analyze search_products")
            _project(shop, connection)
        with took.of("vocabulary"):
            _learn_words(shop, connection, products)
        connection.run("drop table drawn")
        connection.run("vacuum analyze")
    with took.of(f"index {TRIGRAMS}"):
        connection.run(f"create index {TRIGRAMS} on products using gin (name gin_trgm_ops)")
    connection.run("vacuum analyze")
    connection.close()
    return took


def connect(shop: Address) -> pg8000.native.Connection:
    """Filling a million rows is one statement: it may take its time."""
    return shop.connect(timeout_s=_NO_LIMIT_MS / 1000)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Heard:
    """Says how far something is, now and then."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._said = time.monotonic()

    def tell(self, more: int) -> None:
        self._done += more
        if time.monotonic() - self._said >= SAID_EVERY_S:
            self._said = time.monotonic()
            say(f"{min(self._done, self._total)} of {self._total} {self._what}")


def _copy(connection: pg8000.native.Connection, rows: Iterator[str], products: int) -> None:
    heard = _Heard("products drawn", products)
    while chunk := list(islice(rows, AT_ONCE)):
        connection.run(f"copy drawn ({COLUMNS}) from stdin", stream=iter(["".join(chunk)]))
        heard.tell(len(chunk))


def _fill_tables(shop: Address, connection: pg8000.native.Connection, products: int, drawn_from: Plan) -> None:
    connection.run(_BRANDS, names=list(drawn_from.brands))
    connection.run(_CATEGORIES, paths=["/".join(path) for path in drawn_from.categories])
    paths = ["/".join(leaf.path) for leaf in drawn_from.leaves]
    with indexed_afterwards(connection, "products", "variants"):
        _in_parts(shop, products, "products filled", _PRODUCTS, paths=paths)
        for statement in _VARIANTS:
            connection.run(statement)


def _in_parts(shop: Address, products: int, what: str, statement: str, **parameters: object) -> None:
    """The statement for each part of the products, from :first to before :stop, on all cores."""
    heard = _Heard(what, products)
    with ThreadPoolExecutor(CORES) as threads:
        connections = [connect(shop) for _ in range(CORES)]

        def fill_parts(core: int) -> None:
            for first in range(core * AT_ONCE, products, CORES * AT_ONCE):
                connections[core].run(statement, **parameters, first=first, stop=first + AT_ONCE)
                heard.tell(AT_ONCE)
            connections[core].close()

        list(threads.map(fill_parts, range(CORES)))


def project_anew(shop: Address) -> None:
    """Where this code's projection or tiers are not those that the shop was filled with: each copy that differs."""
    connection = connect(shop)
    with Timings().of("projection"):
        _project(shop, connection)
    connection.run("vacuum analyze")
    connection.close()


def _project(shop: Address, connection: pg8000.native.Connection) -> None:
    """By the projection's own function, on all cores. Sets the tiers as a rebuild does."""
    ids = [row[0] for row in connection.run("select id from products order by id")]
    settings = DatabaseSettings("url", CORES, shop.url)
    connecting = connector(settings, application="filling", statement_timeout_ms=_NO_LIMIT_MS)
    database = Database(connecting, size=CORES, clock=SystemClock())
    projection, heard = SearchProjection(database), _Heard("products projected", len(ids))
    projection.begin_rebuild(now=SystemClock().now())

    def project(first: int) -> None:
        heard.tell(projection.project(ids[first : first + PROJECTED_AT_ONCE]))

    try:
        with ThreadPoolExecutor(CORES) as threads:
            list(threads.map(project, range(0, len(ids), PROJECTED_AT_ONCE)))
    finally:
        database.close()
    connection.run("update search_rebuild set finished_at = started_at, done = total")


def _learn_words(shop: Address, connection: pg8000.native.Connection, products: int) -> None:
    """What a rebuild counts and traces, in one go."""
    connection.run("create unlogged table counted (word text, names bigint, products bigint)")
    _in_parts(shop, products, "products' words counted", _COUNT_WORDS)
    for statement in _WORDS:
        connection.run(statement)
