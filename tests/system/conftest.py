"""One local cloud per test process, as long as it has tests for it; after each test it settles and the auditor must
find nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pg8000.native
import pytest

from tests.auditor.auditor import ShopAuditor
from tests.system.cloud import Cloud


@pytest.fixture(scope="package")  # a cloud at rest still runs its relay each second
def running_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    running = Cloud(tmp_path_factory.mktemp("shop"))
    try:
        yield running.start().with_room()
    finally:
        running.stop()


@pytest.fixture(scope="package")
def audit(running_cloud: Cloud) -> Iterator[Callable[[], list[str]]]:
    """What the auditor finds, over one connection until a test kills the server."""
    auditor = ShopAuditor(running_cloud.database_url, running_cloud.url)

    def findings() -> list[str]:
        nonlocal auditor
        try:
            return auditor.findings()
        except pg8000.native.InterfaceError:
            with suppress(pg8000.native.InterfaceError, OSError):
                auditor.close()
            auditor = ShopAuditor(running_cloud.database_url, running_cloud.url)
            return auditor.findings()

    yield findings
    with suppress(pg8000.native.InterfaceError, OSError):
        auditor.close()


@pytest.fixture
def cloud(running_cloud: Cloud, audit: Callable[[], list[str]]) -> Iterator[Cloud]:
    """The running shop. What a test leaves behind is settled and audited before the next one begins."""
    yield running_cloud
    running_cloud.clear_faults()
    if not running_cloud.is_at_rest:
        running_cloud.settle(timeout_s=90)
    assert audit() == []
