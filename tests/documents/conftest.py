"""A shop on a database of its own for every file, and the auditor after every test."""

from collections.abc import Iterator

import pytest

from local.database import Address
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop


@pytest.fixture(scope="module")
def connected(module_database: Address) -> Iterator[Shop]:
    made = Shop(module_database.url, pool_size=16)
    yield made
    made.database.close()


@pytest.fixture
def shop(module_database: Address, connected: Shop) -> Iterator[Shop]:
    yield Shop(module_database.url, connected=connected)
    assert audit_database(module_database.url) == []
