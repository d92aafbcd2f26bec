from pathlib import Path

from local.database import Address
from local.environment import (
    Addresses,
    function_environment,
    overridden,
    platform_environment,
    read_dotenv,
    unknown_names,
    vendor_values,
)
from local.keys import Keys
from local.table import Table, read_table
from tests.local.conftest import ROOT, TOY

ADDRESSES = Addresses(
    public_url="http://127.0.0.1:1",
    pubsub_host="127.0.0.1:2",
    tasks_host="127.0.0.1:3",
    storage_url="http://127.0.0.1:4",
    storage_key_file="/state/storage/service-account.json",
    paypal_url="http://127.0.0.1:5",
    sendgrid_url="http://127.0.0.1:6",
    turnstile_url="http://127.0.0.1:10",
    fronts={
        "worker": "http://127.0.0.1:7",
        "payment-jobs": "http://127.0.0.1:8",
        "notify": "http://127.0.0.1:9",
        "media-jobs": "http://127.0.0.1:11",
        "import-jobs": "http://127.0.0.1:12",
    },
)


def _environments(table: Table, folder: Path) -> dict[str, dict[str, str]]:
    values = vendor_values(ADDRESSES, Keys(folder / "keys"), paypal_roots=folder / "roots.pem")
    return {
        deployment.name: function_environment(
            deployment,
            platform=platform_environment(table, ADDRESSES),
            values=values,
            database=Address(f"vitrine_local_{deployment.database_role}", "pw", "127.0.0.1", 10, "vitrine"),
            root=ROOT,
            code=ROOT,
        )
        for deployment in table.deployments
    }


def test_a_function_gets_its_own_secrets_and_nobody_elses(tmp_path: Path) -> None:
    table = read_table(ROOT / "functions" / "deployments.yaml")
    secrets = {name for deployment in table.deployments for name in deployment.secrets}

    environments = _environments(table, tmp_path)

    for deployment in table.deployments:
        found = secrets & environments[deployment.name].keys()
        assert (deployment.name, found) == (deployment.name, set(deployment.secrets))


def test_every_function_gets_the_platform_and_its_rows_numbers(tmp_path: Path) -> None:
    environment = _environments(read_table(TOY / "functions" / "deployments.yaml"), tmp_path)["worker"]

    assert (
        environment.items()
        >= {
            "VITRINE_DEPLOYMENT": "worker",
            "VITRINE_ENVIRONMENT": "local",
            "GOOGLE_CLOUD_PROJECT": "vitrine-local",
            "DATABASE_ACCESS": "url",
            "DATABASE_URL": "postgresql://vitrine_local_worker:pw@127.0.0.1:10/vitrine",
            "POOL_SIZE": "2",
            "THREADS": "4",
            "FUNCTION_TIMEOUT_S": "10",
            "FUNCTION_SOURCE": "functions/worker/main.py",
            "FUNCTION_TARGET": "worker",
            "PUBSUB_EMULATOR_HOST": "127.0.0.1:2",
            "CLOUD_TASKS_EMULATOR_HOST": "127.0.0.1:3",
            "STORAGE_EMULATOR_HOST": "http://127.0.0.1:4",
            "STORAGE_KEY_FILE": "/state/storage/service-account.json",
            "TASKS_LOCATION": "local",
            "TASKS_INVOKER": "tasks@vitrine-local.iam.gserviceaccount.com",
            "QUEUE_URL_ERRANDS": "http://127.0.0.1:7",
        }.items()
    )
    assert "PYTHONDONTWRITEBYTECODE" not in environment


def test_the_table_asks_for_nothing_that_nobody_fills(tmp_path: Path) -> None:
    table = read_table(ROOT / "functions" / "deployments.yaml")
    values = vendor_values(ADDRESSES, Keys(tmp_path / "keys"), paypal_roots=tmp_path / "roots.pem")

    assert unknown_names(table, values) == {}


def test_sandbox_keys_come_from_dotenv_and_nothing_else_does(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(
        "# sandbox\n"
        "PAYPAL_BASE_URL=https://api-m.sandbox.paypal.com\n"
        "export PAYPAL_CLIENT_ID = 'AbC'\n"
        "DATABASE_URL=postgresql://elsewhere\n"
        "broken\n"
    )

    assert read_dotenv(dotenv) == {
        "PAYPAL_BASE_URL": "https://api-m.sandbox.paypal.com",
        "PAYPAL_CLIENT_ID": "AbC",
    }
    assert read_dotenv(tmp_path / "none") == {}


def test_the_sandbox_signs_with_certificates_that_the_function_knows_by_itself() -> None:
    local = {"PAYPAL_BASE_URL": "http://127.0.0.1:5", "PAYPAL_CERT_PREFIXES": "http://127.0.0.1:5/", "MAIL_FROM": "a"}

    sandbox = overridden(local, {"PAYPAL_BASE_URL": "https://api-m.sandbox.paypal.com"})

    assert sandbox == {"PAYPAL_BASE_URL": "https://api-m.sandbox.paypal.com", "MAIL_FROM": "a"}
    assert overridden(local, {"MAIL_FROM": "b"}) == {**local, "MAIL_FROM": "b"}


def test_a_sandbox_of_paypals_leaves_the_other_simulators_where_they_are(tmp_path: Path) -> None:
    values = vendor_values(ADDRESSES, Keys(tmp_path / "keys"), paypal_roots=tmp_path / "roots.pem")

    sandbox = overridden(values, {"PAYPAL_BASE_URL": "https://api-m.sandbox.paypal.com"})

    assert sandbox["TURNSTILE_BASE_URL"] == "http://127.0.0.1:10"
    assert values.keys() - sandbox.keys() == {"PAYPAL_CERT_PREFIXES", "PAYPAL_CERT_ROOTS"}


def test_bots_are_checked_where_dotenv_names_a_secret_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TURNSTILE_SECRET=1x0000000000000000000000000000000AA\n")
    table = read_table(ROOT / "functions" / "deployments.yaml")
    values = vendor_values(ADDRESSES, Keys(tmp_path / "keys"), paypal_roots=tmp_path / "roots.pem")

    assert values["TURNSTILE_SECRET"] == ""
    assert (
        overridden(values, read_dotenv(tmp_path / ".env"))["TURNSTILE_SECRET"] == "1x0000000000000000000000000000000AA"
    )
    assert [row.name for row in table.deployments if "TURNSTILE_SECRET" in row.secrets] == ["checkout"]


def test_keys_are_made_once(tmp_path: Path) -> None:
    first, second = Keys(tmp_path / "keys"), Keys(tmp_path / "keys")

    assert first.token_keys == Keys(tmp_path / "keys").token_keys
    assert first.secret("TOKEN_KEYS") == Keys(tmp_path / "keys").secret("TOKEN_KEYS")
    assert first.sendgrid_webhook_key == second.sendgrid_webhook_key
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "keys").iterdir())
