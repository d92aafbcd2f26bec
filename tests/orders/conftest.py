"""A shop on a database of these tests' own; SKUs are each test's own, and the auditor looks in after every test."""

from collections.abc import Iterator

import pytest

from local.database import Address
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop
from tools.scratch_database import ScratchServer


@pytest.fixture(scope="session")
def orders_database(postgres: ScratchServer) -> Address:
    return postgres.copy()


@pytest.fixture
def shop(orders_database: Address) -> Iterator[Shop]:
    made = Shop(orders_database.url)
    yield made
    made.database.close()
    assert audit_database(orders_database.url) == []
