"""A shop on a database of its own for every test: reconciliation looks at whole tables."""

from collections.abc import Iterator

import pytest

from local.database import Address
from tests.auditor.auditor import audit_database
from tests.reconciliation.kit import ReconciledShop


@pytest.fixture
def shop(fresh_database: Address) -> Iterator[ReconciledShop]:
    made = ReconciledShop(fresh_database.url)
    yield made
    made.database.close()
    assert audit_database(fresh_database.url) == []
