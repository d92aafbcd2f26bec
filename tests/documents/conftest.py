"""A shop on a database of its own for every file, and the auditor after every test."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from local.database import Address
from tests.auditor.auditor import DatabaseAuditor
from tests.orders.shop import Shop


@pytest.fixture(scope="module")
def connected(module_database: Address) -> Iterator[Shop]:
    made = Shop(module_database.url, pool_size=16)
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
