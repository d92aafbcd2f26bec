"""Every kind of search beside a full scan and trigrams on the same rows."""

import random
import time
from collections.abc import Callable, Iterable, Sequence

import pg8000.native

from benchmarks.searching.filling import TRIGRAMS, connect
from benchmarks.searching.shops import Shop
from benchmarks.searching.vocabulary import SEED, Vocabulary
from benchmarks.searching.widening import term_of
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.search.listing import Search, Sort
from shared.settings import DatabaseSettings

ASKED, SCANNED = 100, 5


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
        "widened words": [term_of(word) for word in common],
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


def compare(shop: Shop) -> None:
    settings = DatabaseSettings("url", 1, shop.login("search").url)
    connecting = connector(settings, application="searching", statement_timeout_ms=5000, planning=BY_INDEXES)
    database, connection = Database(connecting, size=1, clock=SystemClock()), connect(shop.owner)
    try:
        _compare(connection, CatalogueReader(database), shop)
    finally:
        database.close()
        connection.close()


def _compare(connection: pg8000.native.Connection, reader: CatalogueReader, shop: Shop) -> None:
    vocabulary = shop.plan.vocabulary

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
    shelves = ["/".join(leaf.path) for leaf in shop.plan.leaves[:ASKED]]
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


def sizes(shop: Shop) -> None:
    connection = connect(shop.owner)
    print("\nsizes in MB")
    rows = connection.run(
        "select relname::text, round(pg_relation_size(oid) / 1e6, 1)::text from pg_class"
        f" where relname like 'search^_%' escape '^' or relname = '{TRIGRAMS}'"
        " order by pg_relation_size(oid) desc limit 16"
    )
    for name, megabytes in rows or ():
        print(f"  {name:<40} {megabytes:>8}")
    connection.close()
