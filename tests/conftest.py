"""For every area: a database to use, the data beside the project, and what CI makes of a skip.

An area's own fixtures are in its folder.
"""

import gc
import os
from collections.abc import Generator, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TypeVar

import pytest

from local.database import Address
from tools.scratch_database import ScratchServer, scratch_server

ROOT = Path(__file__).resolve().parent.parent
SKIPS = ROOT / "tests" / "skips.txt"

# What `make quick` leaves out: whole shops, the local cloud's servers, catalogues by the thousand, and every file that
# takes more than two seconds, but the first ones of a purchase. Elsewhere a single test bears the mark.
SLOW = (
    "tests/catalog/test_assortment.py",
    "tests/catalog/test_bounded_memory.py",
    "tests/catalog/test_categories.py",
    "tests/catalog/test_demo_catalogue.py",
    "tests/catalog/test_export.py",
    "tests/catalog/test_import.py",
    "tests/catalog/test_imports_at_once.py",
    "tests/catalog/test_imports_by_staff.py",
    "tests/catalog/test_products.py",
    "tests/catalog/test_related_products.py",
    "tests/catalog/test_resuming.py",
    "tests/documents/test_audit.py",
    "tests/documents/test_issuing.py",
    "tests/documents/test_rendering.py",
    "tests/documents/test_tax_sums.py",
    "tests/edge/test_importing.py",
    "tests/gateways/test_google.py",
    "tests/local/",
    "tests/media/",
    "tests/notices/test_function.py",
    "tests/notices/test_histories.py",
    "tests/notices/test_mailing.py",
    "tests/orders/test_bot_check.py",
    "tests/orders/test_cancelling.py",
    "tests/orders/test_free_lines.py",
    "tests/orders/test_fulfilling.py",
    "tests/orders/test_histories.py",
    "tests/orders/test_holding.py",
    "tests/orders/test_limits.py",
    "tests/orders/test_lockout.py",
    "tests/orders/test_payment_scenarios.py",
    "tests/orders/test_plans.py",
    "tests/orders/test_refunding.py",
    "tests/orders/test_refused_payments.py",
    "tests/orders/test_returning.py",
    "tests/orders/test_timelines.py",
    "tests/orders/test_vouchers.py",
    "tests/outbox/test_leftovers.py",
    "tests/payments/test_paypal_events.py",
    "tests/payments/test_purchase_at_paypal.py",
    "tests/platform/test_benchmarks.py",
    "tests/platform/test_bundle.py",
    "tests/platform/test_grants.py",
    "tests/platform/test_migrations.py",
    "tests/platform/test_terraform.py",
    "tests/pricing/test_properties.py",
    "tests/reconciliation/",
    "tests/search/test_benchmarks.py",
    "tests/search/test_merchandising.py",
    "tests/search/test_plans.py",
    "tests/search/test_product_pages.py",
    "tests/search/test_projection.py",
    "tests/search/test_selling.py",
    "tests/search/test_sitemaps.py",
    "tests/search/test_suggesting.py",
    "tests/search/test_tiers.py",
    "tests/search/test_walking.py",
    "tests/search/test_widening.py",
    "tests/search/test_words.py",
    "tests/support/test_invoices.py",
    "tests/support/test_orders_at_the_desk.py",
    "tests/support/test_reconciliation.py",
    "tests/system/",
)

# Longest first: a file stays with one process, and one that came last would keep the others waiting. What needs the
# local cloud comes in one piece, for the cloud ends with it.
LONG = (
    "tests/catalog/test_real_catalogue.py",
    "tests/system/test_documented.py",
    "tests/platform/test_terraform.py",
    "tests/system/test_chaos.py",
    "tests/system/test_kills.py",
    "tests/system/",
    "tests/notices/test_histories.py",
    "tests/platform/",
)

# Whole shops and a thousand databases come and go: in memory, where there is plenty, they cost a quarter of what they
# cost on a disk.
MEMORY = Path("/dev/shm")
ENOUGH_MEMORY = 8 << 30


def _is_roomy(folder: Path) -> bool:
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    is_for_programs = not found.f_flag & os.ST_NOEXEC  # tests make environments of their own and run them
    return is_for_programs and os.access(folder, os.W_OK) and found.f_bavail * found.f_frsize >= ENOUGH_MEMORY


if _is_roomy(MEMORY):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data beside the project, or a skip where it is missing."""
    folder = ROOT.parent / "shared"
    if not (folder / "README.md").is_file():
        pytest.skip("../shared is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScratchServer]:
    """This test process's own server, or its own databases on the one that DATABASE_URL names."""
    with scratch_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="session")
def database(postgres: ScratchServer) -> Address:
    """A migrated database that all tests of this process share: each leaves it as it found it, or uses its own rows."""
    return postgres.copy()


@pytest.fixture(scope="module")
def module_database(postgres: ScratchServer) -> Iterator[Address]:
    """A migrated database for the tests of one file: what reads all there is after every test stays quick."""
    made = postgres.copy()
    yield made
    postgres.drop(made)


@pytest.fixture
def fresh_database(postgres: ScratchServer) -> Iterator[Address]:
    """A migrated database for one test alone."""
    made = postgres.copy()
    yield made
    postgres.drop(made)


@pytest.fixture(scope="session")
def database_url(database: Address) -> str:
    return database.url


@pytest.fixture
def fresh_database_url(fresh_database: Address) -> str:
    return fresh_database.url


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: to look through it for garbage took a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    for item in items:  # before `-m` chooses by it
        if item.nodeid.startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    yield
    items.sort(key=lambda item: _place(item.nodeid))  # after the order was drawn


def _place(nodeid: str) -> int:
    return next((place for place, begin in enumerate(LONG) if nodeid.startswith(begin)), len(LONG))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes make names that nobody can type, and that differ between test processes where gzip wrote the time."""
    return argname if isinstance(val, bytes) else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    # xdist sends a report as UTF-8, and what was logged may hold half a surrogate pair on purpose.
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return _refuse_unlisted_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    return _refuse_unlisted_skip(report)


def _refuse_unlisted_skip(report: Report) -> Report:
    if report.outcome == "skipped" and os.environ.get("CI") == "true" and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(fnmatch(report.nodeid, pattern) and part in reason for pattern, part in _listed_skips()):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} was skipped, and tests/skips.txt does not list it: {reason}"
    return report


def _listed_skips() -> list[tuple[str, str]]:
    lines = SKIPS.read_text().splitlines()
    listed = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(pattern, part) for pattern, part in listed]
