"""docs/openapi.json is held to what the functions do: exact statuses, closed answers, bad input refused, no 5xx."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.auditor.auditor import audit_shop
from tests.numbers import PROVE, SCHEMATHESIS_EXAMPLES, SCHEMATHESIS_PHASES
from tests.system.cloud import Cloud

ROOT = Path(__file__).resolve().parents[2]

# More than a hundred operations: on a busy machine they may take longer than the three minutes of any other test.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(5400 if PROVE else 900)]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A shop of its own: after thousands of calls every later settling and audit would look through what is left."""
    running = Cloud(tmp_path / "shop")
    running.folder.mkdir()
    try:
        yield running.start().with_room()
        running.settle(timeout_s=90)
        assert audit_shop(running.database_url, running.url) == []
    finally:
        running.stop()


def test_every_route_does_what_its_document_says(cloud: Cloud, tmp_path: Path) -> None:
    staff = cloud.staff()
    command = [
        str(Path(sys.executable).with_name("st")), "run", str(ROOT / "docs" / "openapi.json"), "--url", cloud.url,
        "--header", f"Authorization: {staff['Authorization']}",
        # Left out: a schema cannot say which e-mail address, cursor or currency is a good one.
        "--exclude-checks", "positive_data_acceptance",
        "--phases", SCHEMATHESIS_PHASES, "--max-examples", str(SCHEMATHESIS_EXAMPLES), "--generation-database", "none",
        "--warnings", "off", "--no-color",
    ]  # fmt: skip

    run = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.system.document_hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
