import re
from pathlib import Path

import pytest

from local.environment import OPTIONAL
from shared.settings import DatabaseSettings, GoogleSettings, PlatformSettings, WebhookSettings
from tests.deployments import ROWS
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

    assert len(alerts) == 10
    assert alerts == headings


def test_no_lock_file_of_stand_in_providers_is_kept() -> None:
    assert list((ROOT / "infra").rglob(".terraform.lock.hcl")) == []


def test_terraform_and_the_local_cloud_leave_the_same_settings_to_a_functions_defaults() -> None:
    found = re.search(r"optional_settings = toset\(\[(.*)\]\)", (ROOT / "infra/terraform/table.tf").read_text())

    assert found is not None
    assert set(re.findall(r'"([A-Z_]+)"', found.group(1))) == OPTIONAL


# What Terraform's own expressions come to in a project.
GIVEN = {
    "VITRINE_ENVIRONMENT": "production",
    "VITRINE_DEPLOYMENT": "webhooks",
    "GOOGLE_CLOUD_PROJECT": "shop-1",
    "DATABASE_ACCESS": "connector",
    "DATABASE_INSTANCE": "shop-1:europe-west3:vitrine",
    "DATABASE_HOST": "10.20.0.3",
    "DATABASE_CA": "-----BEGIN CERTIFICATE-----",
    "DATABASE_NAME": "vitrine",
    "DATABASE_USER": "vitrine-webhooks@shop-1.iam",
    "TASKS_LOCATION": "europe-west3",
    "TASKS_INVOKER": "vitrine-by-tasks@shop-1.iam.gserviceaccount.com",
    "QUEUE_URL_PAYMENTS": "https://payment-jobs-123456789012.europe-west3.run.app",
    "FUNCTION_TIMEOUT_S": "30",
    "POOL_SIZE": "2",
    "PUBLIC_URL": "https://shop.example.com",
    "PAYPAL_WEBHOOK_ID": "1JE4291016473214C",
    "SENDGRID_WEBHOOK_KEY": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
}


@pytest.mark.parametrize("access", ["connector", "private"])
def test_production_settings_accept_what_terraform_gives(access: str) -> None:
    code = (ROOT / "infra/terraform/functions.tf").read_text()
    (row,) = [row for row in ROWS if row["name"] == "webhooks"]
    named = set(re.findall(r"\b([A-Z]+(?:_[A-Z]+)+) *= ", code)) | set(row["secrets"]) | set(row["settings"])
    named |= {"QUEUE_URL_PAYMENTS"} if "QUEUE_URL_${upper(" in code else set()
    told = {name: value for name, value in GIVEN.items() if name in named} | {"DATABASE_ACCESS": access}

    database = DatabaseSettings.from_env(told)
    google = GoogleSettings.from_env(told)
    platform = PlatformSettings.from_env(told)
    webhooks = WebhookSettings.from_env(told)

    assert (database.access, database.pool_size) == (access, 2)
    assert (database.user, database.name) == ("vitrine-webhooks@shop-1.iam", "vitrine")
    assert google.queue_urls == {"payments": "https://payment-jobs-123456789012.europe-west3.run.app"}
    assert (platform.deployment, platform.function_timeout_s) == ("webhooks", 30)
    assert webhooks.cert_prefixes == (
        "https://api.paypal.com/v1/notifications/certs/",
        "https://api.sandbox.paypal.com/v1/notifications/certs/",
    )
