import re
from pathlib import Path

import pytest

from tools import terraform

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_the_configuration_is_valid_and_passes_its_own_tests() -> None:
    lacking = terraform.missing()
    if lacking is not None:
        pytest.skip(lacking)

    checked = terraform.check(with_tests=True)

    assert checked.returncode == 0, checked.stdout
    assert re.search(r"Success! \d+ passed, 0 failed\.", checked.stdout), checked.stdout


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    alerts = set(re.findall(r'^ {6}"([a-z-]+)" = \{$', (ROOT / "infra/terraform/alerts.tf").read_text(), re.MULTILINE))
    headings = set(re.findall(r"^## (.*)$", (ROOT / "docs/runbooks.md").read_text(), re.MULTILINE))

    assert len(alerts) == 7
    assert alerts == headings


def test_no_lock_file_of_stand_in_providers_is_kept() -> None:
    assert list((ROOT / "infra").rglob(".terraform.lock.hcl")) == []
