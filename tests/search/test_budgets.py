"""How many statements a page may cost: one, and one more where a text has to find how it matches; four at most where
it finds nothing as it was typed."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import MOST_PREPARED, Database, Row
from shared.persistence.search import CatalogueReader
from shared.search.listing import Search, Sort
from shared.settings import DatabaseSettings


class CountingDatabase(Database):
    """Counts the statements that it is asked for, and the rows that come back."""

    statements = 0
    most_rows = 0

    def call(self, sql: str, **parameters: Any) -> list[Row]:
        rows = super().call(sql, **parameters)
        self.statements += 1
        self.most_rows = max(self.most_rows, len(rows))
        return rows


@pytest.fixture
def counting(catalogue_database: Address) -> Iterator[CountingDatabase]:
    env = {"VITRINE_ENVIRONMENT": "local", "DATABASE_ACCESS": "url", "POOL_SIZE": "1"}
    settings = DatabaseSettings.from_env({**env, "DATABASE_URL": catalogue_database.url})
    database = CountingDatabase(connector(settings, application="test"), size=1, clock=SystemClock())
    yield database
    database.close()


@pytest.mark.parametrize(
    ("ask", "statements"),
    [
        (lambda reader: reader.list_products(Search(), limit=100), 1),
        (lambda reader: reader.list_products(Search(category="home", brand="lumo", in_stock=True), limit=100), 1),
        (lambda reader: reader.list_products(Search(text="lamp"), limit=100), 1),
        (lambda reader: reader.list_products(Search(text="lam"), limit=100), 1),
        (lambda reader: reader.list_products(Search(text="no-such-thing"), limit=100), 3),
        (lambda reader: reader.list_products(Search(text="brulee torch"), limit=100), 4),
        (lambda reader: reader.list_products(Search(text="unheard lamp"), limit=100), 5),
        (lambda reader: reader.list_products(Search(text="unheard lamp", price_min=10**12), limit=100), 1),
        (lambda reader: reader.facets(Search(text="lamp", price_min=10**12)), 1),
        (lambda reader: reader.facets(Search()), 1),
        (lambda reader: reader.facets(Search(text="lamp")), 2),
        (lambda reader: reader.suggest("lam", limit=20), 1),
        (lambda reader: reader.get_product("plain-tee", now=datetime.now(UTC)), 1),
        (lambda reader: reader.get_category("home/lighting"), 1),
        (lambda reader: reader.list_categories(), 1),
    ],
)
def test_a_page_costs_one_statement_whatever_is_on_it(
    counting: CountingDatabase, ask: Callable[[CatalogueReader], object], statements: int
) -> None:
    reader = CatalogueReader(counting)
    # It learns from its first answer whether there are tiers.
    reader.list_products(Search(text="lamp"), limit=1)
    counting.statements = 0

    ask(reader)

    assert counting.statements == statements
    assert counting.most_rows <= 101


def test_a_connection_keeps_the_plans_of_what_is_in_use_only(counting: CountingDatabase) -> None:
    for number in range(MOST_PREPARED + 50):
        counting.call(f"select {number} as number, :x::int as x", x=number)
        counting.call("select 'in use' as word")

    kept = counting.call("select statement from pg_prepared_statements")

    assert len(kept) == MOST_PREPARED
    assert {"statement": "select 'in use' as word"} in kept
    assert {"statement": "select 7 as number, $1::int as x"} not in kept


@pytest.mark.parametrize("search", [Search(sort=Sort.PRICE_ASC), Search(text="lamp", sort=Sort.NEWEST)])
def test_a_later_page_costs_one_statement(counting: CountingDatabase, search: Search) -> None:
    reader = CatalogueReader(counting)
    first = reader.list_products(search, limit=5)
    counting.statements = 0

    second = reader.list_products(search, limit=5, following=first.next)

    assert counting.statements == 1
    assert second.total == first.total
    assert not {item.slug for item in first.items} & {item.slug for item in second.items}
