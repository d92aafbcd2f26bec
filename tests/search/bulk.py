"""Filling the projection by the thousand, as quickly as PostgreSQL can."""

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.native import Connection


@contextmanager
def indexed_afterwards(connection: Connection) -> Iterator[None]:
    """Indexes are built over what lies there: rows put into them one by one take several times as long."""
    indexes = connection.run(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i"
        " where i.indrelid = 'search_products'::regclass and not i.indisunique"
    )
    for name, _ in indexes:
        connection.run(f"drop index {name}")
    yield
    connection.run("set maintenance_work_mem = '256MB'")
    for _, definition in indexes:
        connection.run(definition)
