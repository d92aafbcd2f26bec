"""A shop of the test process's database; SKUs are each test's own, so tests do not see each other."""

from collections.abc import Iterator

import pytest

from tests.orders.shop import Shop


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    made = Shop(database_url)
    yield made
    made.database.close()
