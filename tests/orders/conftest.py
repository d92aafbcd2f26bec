"""A shop on a database of its own for every file; SKUs are each test's own; the auditor looks in after every test."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from local.database import Address
from tests.auditor.auditor import DatabaseAuditor
from tests.orders.shop import Shop


@pytest.fixture(scope="module")
def connected(module_database: Address) -> Iterator[Shop]:
    made = Shop(module_database.url)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def auditor(module_database: Address) -> Iterator[DatabaseAuditor]:
    with closing(DatabaseAuditor(module_database.url)) as made:
        yield made


@pytest.fixture
def shop(module_database: Address, connected: Shop, auditor: DatabaseAuditor) -> Iterator[Shop]:
    yield Shop(module_database.url, connected=connected)
    assert auditor.findings() == []
