"""A shop on a database of these tests' own, and the auditor after every test."""

from collections.abc import Iterator

import pytest

from local.database import Address
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop
from tools.scratch_database import ScratchServer


@pytest.fixture(scope="session")
def documents_database(postgres: ScratchServer) -> Address:
    return postgres.copy()


@pytest.fixture
def shop(documents_database: Address) -> Iterator[Shop]:
    made = Shop(documents_database.url, pool_size=16)
    yield made
    made.database.close()
    assert audit_database(documents_database.url) == []
