"""Filling tables by the thousand, as quickly as PostgreSQL can: for tests and benchmarks."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pg8000.native import Connection


@contextmanager
def indexed_afterwards(
    connection: Connection, *tables: str, told: Callable[[str, float], object] = lambda index, seconds: None
) -> Iterator[None]:
    """Indexes are built over what lies there: rows put into them one by one take several times as long.

    Of `tables`, else of what search reads; what is unique stays. `told` hears of each and how long it took.
    """
    indexes = connection.run(
        "select indexrelid::regclass::text, pg_get_indexdef(indexrelid) from pg_index"
        " where indrelid = any (:tables::text[]::regclass[]) and not indisunique order by indexrelid",
        tables=list(tables or ("search_products", "search_prices", "search_texts")),
    )
    for name, _ in indexes:
        connection.run(f"drop index {name}")
    yield
    connection.run("set maintenance_work_mem = '256MB'")
    for name, definition in indexes:
        began = time.monotonic()
        connection.run(definition)
        told(re.sub(r"^.*\.", "", name), time.monotonic() - began)


def find_by_filters(connection: Connection) -> None:
    """Copies that were put there with words of names, brands and categories alone, as the projection leaves them."""
    connection.run(
        "update search_products s set words = s.words || filters, named = ts_filter(s.words, '{a,b,c}') || filters"
        " from search_products o"
        " cross join lateral filter_lexemes_v1(o.brand_slug, o.category_path, o.price_minor, o.in_stock) as filters"
        " where o.product_id = s.product_id"
    )
