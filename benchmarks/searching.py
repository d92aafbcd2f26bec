"""`make bench-search N=50000`: how long every kind of search takes, beside a full scan and trigrams on the same rows.

The catalogue is drawn from a seed, so two runs search the same; it is copied in, and `rebuild` makes what search reads,
as in a shop. Times are a client's with one warm connection, in milliseconds; a ratio above 1 says how often faster.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from uuid import uuid4

import pg8000.native

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.synonyms import Synonyms
from shared.search.listing import Search, Sort
from shared.search.merchandising import MOST_SYNONYMS
from shared.settings import DatabaseSettings
from tools.scratch_database import ROOT, scratch_server

SEED = 20_261_122
WORDS, BRANDS, SHELVES = 20_000, 300, 200
ASKED, SCANNED = 100, 5
ROWS_AT_ONCE = 20_000

_STAGE = """
create unlogged table drawn (n integer, name text, brand integer, shelf integer, price_minor bigint, popularity integer)
"""

_FILL = (
    "insert into brands select md5('b' || n)::uuid, 'brand-' || n, 'Brand ' || n"
    " from generate_series(0, {brands} - 1) n",
    "insert into categories (id, slug, path, name) values (md5('home')::uuid, 'home', 'home', 'Home')",
    "insert into categories (id, parent_id, slug, path, name) select md5('c' || n)::uuid, md5('home')::uuid,"
    " 'shelf-' || n, 'home/shelf-' || n, 'Shelf ' || n from generate_series(0, {shelves} - 1) n",
    "insert into products (id, slug, group_key, name, brand_id, category_id, popularity, price_minor, currency,"
    " published_at, created_at, updated_at, words, search_text)"
    " select md5('p' || n)::uuid, 'product-' || n, 'SKU-' || n, name, md5('b' || brand)::uuid, md5('c' || shelf)::uuid,"
    " popularity, price_minor, 'USD', at, at, at,"
    " product_words_v1(name, 'Brand ' || brand, 'Home Shelf ' || shelf, ''),"
    " fold_v1(name || ' Brand ' || brand || ' SKU-' || n)"
    " from drawn, lateral (select '2026-01-01'::timestamptz + n * interval '1 second' as at) moments",
    "insert into variants (sku, product_id, price_minor, currency, updated_at)"
    " select group_key, id, price_minor, 'USD', updated_at from products",
    "insert into stock_levels (sku, location, on_hand) select 'SKU-' || n, 'main', n % 10 from drawn",
    "create index products_name_trigrams on products using gin (name gin_trgm_ops)",
    "analyze",
)


class Vocabulary:
    """Words that sound like words; the n-th is drawn about 1/n as often as the first."""

    def __init__(self, dice: random.Random) -> None:
        syllables = [c + v for c in "bcdfghklmnprstvz" for v in "aeiou"] + ["ster", "lin", "tron", "max", "ble"]
        words: dict[str, None] = {}
        while len(words) < WORDS:
            words["".join(dice.choice(syllables) for _ in range(dice.randint(2, 4)))] = None
        self.words = list(words)
        self._weights = [1 / (place + 10) for place in range(WORDS)]

    def draw(self, dice: random.Random, count: int) -> list[str]:
        return dice.choices(self.words, self._weights, k=count)


def draw(products: int, vocabulary: Vocabulary, dice: random.Random) -> Iterator[str]:
    """Rows of `drawn` as COPY reads them."""
    for n in range(products):
        name = " ".join(vocabulary.draw(dice, dice.randint(3, 7))).capitalize()
        price, popularity = int(100 + dice.lognormvariate(8, 1)), int(dice.paretovariate(0.8)) - 1
        brand, shelf = int(BRANDS * dice.random() ** 2), int(SHELVES * dice.random() ** 2)
        yield f"{n}\t{name}\t{brand}\t{shelf}\t{price}\t{min(popularity, 1_000_000)}\n"


def fill(shop: Address, products: int, vocabulary: Vocabulary) -> None:
    dice = random.Random(SEED)
    connection = _connect(shop)
    connection.run(_STAGE)
    rows = draw(products, vocabulary, dice)
    copied = 0
    while chunk := [row for _, row in zip(range(ROWS_AT_ONCE), rows, strict=False)]:
        connection.run("copy drawn from stdin", stream=iter(chunk))
        copied += len(chunk)
        _say(f"{copied} of {products} products drawn")
    for statement in _FILL:
        connection.run(statement.format(brands=BRANDS, shelves=SHELVES))
    connection.close()
    began = time.monotonic()
    environment = {**os.environ, "DATABASE_URL": shop.url, "DATABASE_ACCESS": "url", "VITRINE_ENVIRONMENT": "local"}
    subprocess.run([sys.executable, "-m", "functions.search.cli", "rebuild"], cwd=ROOT, env=environment, check=True)
    _say(f"rebuilt at {products / (time.monotonic() - began):.0f} products a second")


def widen(database: Database, vocabulary: Vocabulary) -> None:
    """A term of no product for each common word, which means that word and as many rare ones as an entry may have."""
    synonyms, rare = Synonyms(database, SystemClock()), vocabulary.words[2000:]
    for n, word in enumerate(vocabulary.words[:ASKED]):
        others = rare[n * MOST_SYNONYMS : (n + 1) * MOST_SYNONYMS - 1]
        synonyms.create(uuid4(), term=_term(word), synonyms=[word, *others], one_way=True, actor="benchmark")


def _term(word: str) -> str:
    return f"{word}qqz"


def kinds(vocabulary: Vocabulary, dice: random.Random) -> dict[str, list[str]]:
    """What is asked for, kind by kind."""
    words = vocabulary.words
    common, mid, rare = words[:ASKED], words[500 : 500 + ASKED], words[-ASKED:]

    def misspelt(word: str) -> str:
        place = dice.randrange(1, len(word) - 1)
        return word[:place] + word[place + 1 :]

    return {
        "common words": common,
        "mid words": mid,
        "rare words": rare,
        "two words": [f"{a} {b}" for a, b in zip(common, mid, strict=True)],
        "widened words": [_term(word) for word in common],
        "misspelt words": [misspelt(word) for word in mid if len(word) > 5],
        "substrings": [word[1:] for word in words[2000 : 2000 + ASKED] if len(word) > 4],
        "nothing": [f"{word}qqx" for word in mid],
    }


def measure(asked: Iterable[str], ask: Callable[[str], object]) -> list[float]:
    """Milliseconds of each, sorted; everything is asked once before, so that plans are made and pages are read."""
    texts = list(asked)
    took = []
    for counted in (False, True):
        for text in texts:
            began = time.perf_counter()
            ask(text)
            if counted:
                took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def at(took: Sequence[float], share: float) -> float:
    return took[min(int(len(took) * share), len(took) - 1)]


def compare(connection: pg8000.native.Connection, reader: CatalogueReader, vocabulary: Vocabulary) -> None:
    def by_pattern(text: str) -> object:
        where = " and ".join(f"name ilike :w{n}" for n in range(len(text.split())))
        words = {f"w{n}": f"%{word}%" for n, word in enumerate(text.split())}
        return connection.run(f"select id, name, price_minor from products where {where} limit 24", **words)

    print(f"{'':<18} {'ours p50':>9} {'p95':>8} {'p99':>8} | {'trigram':>11} {'p99':>8} {'ratios':>13} | full scan")
    for kind, asked in kinds(vocabulary, random.Random(SEED)).items():
        own = measure(asked, lambda text: reader.list_products(Search(text=text), limit=24))
        connection.run("set enable_seqscan = off")
        trigram = measure(asked, by_pattern)
        connection.run("set enable_seqscan = on")
        connection.run("set enable_bitmapscan = off")
        scan = measure(asked[:SCANNED], by_pattern)
        connection.run("set enable_bitmapscan = on")
        ratios = f"{at(trigram, 0.5) / at(own, 0.5):5.1f} {at(trigram, 0.99) / at(own, 0.99):6.1f}"
        print(
            f"{kind:<18} {at(own, 0.5):9.2f} {at(own, 0.95):8.2f} {at(own, 0.99):8.2f} | "
            f"{at(trigram, 0.5):11.2f} {at(trigram, 0.99):8.2f} {ratios:>13} | {at(scan, 0.5):.1f}"
        )
    shelves = [f"home/shelf-{n}" for n in range(0, SHELVES, 2)]
    others: dict[str, tuple[Sequence[str], Callable[[str], object]]] = {
        "prefixes": ([word[:3] for word in vocabulary.words[:ASKED]], lambda text: reader.suggest(text, limit=8)),
        "a shelf, popular": (shelves, lambda path: reader.list_products(Search(category=path), limit=24)),
        "a shelf, by price": (
            shelves,
            lambda path: reader.list_products(Search(category=path, sort=Sort.PRICE_ASC), limit=24),
        ),
        "words by price": (
            vocabulary.words[:ASKED],
            lambda text: reader.list_products(Search(text=text, sort=Sort.PRICE_ASC), limit=24),
        ),
        "facets of words": (vocabulary.words[:ASKED], lambda text: reader.facets(Search(text=text))),
    }
    for kind, (texts, ask) in others.items():
        own = measure(texts, ask)
        print(f"{kind:<18} {at(own, 0.5):9.2f} {at(own, 0.95):8.2f} {at(own, 0.99):8.2f} |")


def sizes(connection: pg8000.native.Connection) -> None:
    print("\nsizes in MB")
    rows = connection.run(
        "select relname::text, round(pg_relation_size(oid) / 1e6, 1)::text from pg_class"
        " where relname like 'search\\_%' or relname = 'products_name_trigrams'"
        " order by pg_relation_size(oid) desc limit 16"
    )
    for name, megabytes in rows or ():
        print(f"  {name:<40} {megabytes:>8}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.searching", description=__doc__)
    parser.add_argument("--products", type=int, default=50_000)
    options = parser.parse_args()
    vocabulary = Vocabulary(random.Random(SEED))
    with tempfile.TemporaryDirectory(prefix="vitrine-searching-") as folder, scratch_server(Path(folder)) as server:
        shop = server.copy()
        fill(shop, options.products, vocabulary)
        connection = _connect(shop)
        staff = Database(
            connector(DatabaseSettings("url", 1, shop.url), application="staff"), size=1, clock=SystemClock()
        )
        widen(staff, vocabulary)
        staff.close()
        settings = DatabaseSettings("url", 1, server.login(shop, "search").url)
        connect = connector(settings, application="searching", statement_timeout_ms=5000, planning=BY_INDEXES)
        database = Database(connect, size=1, clock=SystemClock())
        try:
            compare(connection, CatalogueReader(database), vocabulary)
            sizes(connection)
        finally:
            database.close()
            connection.close()


def _connect(shop: Address) -> pg8000.native.Connection:
    """Without a limit of time: filling a million rows is one statement."""
    return pg8000.native.Connection(
        shop.login,
        host=shop.host,
        port=shop.port,
        password=shop.password,
        database=shop.database,
        ssl_context=False,
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
