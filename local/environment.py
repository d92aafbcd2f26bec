"""What a function process finds in its environment: a contract that Terraform fulfils in the cloud."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.database import Address
from local.forking import child_environment
from local.keys import Keys
from local.table import Deployment, Queue, Table

PROJECT = "vitrine-local"
LOCATION = "local"
MEDIA_BUCKET = "vitrine-local-media"
UPLOADS_BUCKET = "vitrine-local-uploads"

# What a developer may put into .env to talk to the vendors' sandboxes instead of the simulators.
OVERRIDABLE = frozenset(
    {
        "PAYPAL_BASE_URL",
        "PAYPAL_CLIENT_ID",
        "PAYPAL_CLIENT_SECRET",
        "PAYPAL_INVOICE_PREFIX",
        "PAYPAL_WEBHOOK_ID",
        "PAYPAL_CERT_PREFIXES",
        "PAYPAL_CERT_ROOTS",
        "SENDGRID_BASE_URL",
        "SENDGRID_API_KEY",
        "SENDGRID_WEBHOOK_KEY",
        "TURNSTILE_SECRET",
        "TURNSTILE_BASE_URL",
        "TURNSTILE_HOSTNAMES",
        "MAIL_FROM",
        "PUBLIC_URL",
    }
)


def account(name: str) -> str:
    """The service account behind a short name of `invokers`."""
    return f"{name}@{PROJECT}.iam.gserviceaccount.com"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything listens. URLs have no slash at their end; hosts are host:port."""

    public_url: str
    pubsub_host: str
    tasks_host: str
    storage_url: str
    storage_key_file: str
    paypal_url: str
    sendgrid_url: str
    turnstile_url: str
    fronts: Mapping[str, str]


def vendor_values(addresses: Addresses, keys: Keys, *, paypal_roots: Path) -> dict[str, str]:
    """Every secret and setting that a row of the table may ask for, as the local cloud fills it."""
    return {
        "TOKEN_KEYS": json.dumps(keys.token_keys),
        "PUBLIC_URL": addresses.public_url,
        "MEDIA_URL": f"{addresses.storage_url}/{MEDIA_BUCKET}",
        "MEDIA_BUCKET": MEDIA_BUCKET,
        "UPLOADS_BUCKET": UPLOADS_BUCKET,
        "PAYPAL_BASE_URL": addresses.paypal_url,
        "PAYPAL_CLIENT_ID": keys.secret("PAYPAL_CLIENT_ID"),
        "PAYPAL_CLIENT_SECRET": keys.secret("PAYPAL_CLIENT_SECRET"),
        "PAYPAL_WEBHOOK_ID": keys.secret("PAYPAL_WEBHOOK_ID"),
        "PAYPAL_CERT_PREFIXES": f"{addresses.paypal_url}/v1/notifications/certs/",
        "PAYPAL_CERT_ROOTS": str(paypal_roots),
        "SENDGRID_BASE_URL": addresses.sendgrid_url,
        "SENDGRID_API_KEY": keys.secret("SENDGRID_API_KEY"),
        "SENDGRID_WEBHOOK_KEY": keys.sendgrid_webhook_key,
        "MAIL_FROM": "Vitrine <orders@vitrine.example>",
        # No bot check unless .env names a secret: who tries the shop by curl has no widget to get a token from.
        "TURNSTILE_SECRET": "",
        "TURNSTILE_BASE_URL": addresses.turnstile_url,
    }


# A function has its own defaults for these; those of the certificates are PayPal's real ones.
OPTIONAL = frozenset(
    {
        "PAYPAL_CERT_PREFIXES",
        "PAYPAL_CERT_ROOTS",
        "PAYPAL_INVOICE_PREFIX",
        "TURNSTILE_BASE_URL",
        "TURNSTILE_HOSTNAMES",
    }
)
_OUR_CERTIFICATES = frozenset({"PAYPAL_CERT_PREFIXES", "PAYPAL_CERT_ROOTS"})


def overridden(values: Mapping[str, str], dotenv: Mapping[str, str]) -> dict[str, str]:
    """`values` with what .env says instead. PayPal's sandbox signs with PayPal's certificates, not with ours."""
    left_out = _OUR_CERTIFICATES if "PAYPAL_BASE_URL" in dotenv else frozenset[str]()
    return {name: value for name, value in values.items() if name not in left_out} | dict(dotenv)


def read_dotenv(file: Path) -> dict[str, str]:
    """NAME=value lines of .env that may replace what the local cloud would fill in."""
    if not file.is_file():
        return {}
    values: dict[str, str] = {}
    for line in file.read_text().splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and name.strip() in OVERRIDABLE:
            values[name.strip()] = value.strip().strip("\"'")
    return values


def platform_environment(table: Table, addresses: Addresses) -> dict[str, str]:
    """What every deployment gets, whatever its row says."""
    return {
        "VITRINE_ENVIRONMENT": "local",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "PUBSUB_EMULATOR_HOST": addresses.pubsub_host,
        "CLOUD_TASKS_EMULATOR_HOST": addresses.tasks_host,
        "STORAGE_EMULATOR_HOST": addresses.storage_url,
        "STORAGE_KEY_FILE": addresses.storage_key_file,
        "TASKS_LOCATION": LOCATION,
        "TASKS_INVOKER": account("tasks"),
    } | {queue_variable(queue): addresses.fronts[queue.deployment] for queue in table.queues}


def queue_variable(queue: Queue) -> str:
    return f"QUEUE_URL_{queue.name.upper().replace('-', '_')}"


def function_environment(
    deployment: Deployment,
    *,
    platform: Mapping[str, str],
    values: Mapping[str, str],
    database: Address,
    root: Path,
    code: Path,
) -> dict[str, str]:
    """The whole environment of one deployment's process: its own secrets and settings and nobody else's."""
    asked_for = [*deployment.secrets, *deployment.settings]
    return child_environment(
        **platform,
        **{name: values[name] for name in asked_for if name in values},
        VITRINE_DEPLOYMENT=deployment.name,
        DATABASE_ACCESS="url",
        DATABASE_URL=database.url,
        POOL_SIZE=str(deployment.pool_size),
        THREADS=str(deployment.concurrency),
        FUNCTION_TIMEOUT_S=str(deployment.timeout_s),
        FUNCTION_SOURCE=f"{deployment.source}/main.py",
        FUNCTION_TARGET=deployment.entry_point,
        PYTHONPATH=":".join(dict.fromkeys((str(root), str(code)))),
    )


def unknown_names(table: Table, values: Mapping[str, str]) -> dict[str, list[str]]:
    """Secrets and settings that a row asks for and nobody fills, by deployment."""
    missing = {
        deployment.name: [
            name for name in (*deployment.secrets, *deployment.settings) if name not in values and name not in OPTIONAL
        ]
        for deployment in table.deployments
    }
    return {name: names for name, names in missing.items() if names}
