"""A shop on a database of these tests' own; SKUs are each test's own, and the auditor looks in after every test."""

from collections.abc import Iterator

import pytest

from local.database import Address
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop


@pytest.fixture
def shop(module_database: Address) -> Iterator[Shop]:
    made = Shop(module_database.url)
    yield made
    made.database.close()
    assert audit_database(module_database.url) == []
