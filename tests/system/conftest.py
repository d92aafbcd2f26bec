"""One local cloud per test process, as long as it has tests for it; after each test it settles and the auditor must
find nothing.
"""

from collections.abc import Iterator

import pytest

from tests.auditor.auditor import audit_shop
from tests.system.cloud import Cloud


@pytest.fixture(scope="package")  # a cloud at rest still runs its relay each second
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    running = Cloud(tmp_path_factory.mktemp("shop"))
    try:
        yield running.start().with_room()
    finally:
        running.stop()


@pytest.fixture
def cloud(running_cloud: Cloud) -> Iterator[Cloud]:
    """The running shop. What a test leaves behind is settled and audited before the next one begins."""
    yield running_cloud
    running_cloud.clear_faults()
    running_cloud.settle(timeout_s=90)
    assert audit_shop(running_cloud.database_url, running_cloud.url) == []
