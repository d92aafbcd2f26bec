"""The local servers that stand in for Google and for vendors: how each is started and what it is told."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from local.environment import LOCATION, MEDIA_BUCKET, PROJECT, UPLOADS_BUCKET, Addresses, account
from local.keys import Keys
from local.ports import Ports
from local.table import Table

MODULES = {
    "pubsub": "local.google.pubsub",
    "tasks": "local.google.tasks",
    "storage": "local.google.storage",
    "paypal": "local.paypal",
    "sendgrid": "local.sendgrid",
    "turnstile": "local.turnstile",
}
# gRPC cannot share its port: what is asked by HTTP has another.
WITH_CONTROL_PORT = frozenset({"pubsub", "tasks"})
# These have deliveries of their own, and say what is pending.
DELIVERING = ("pubsub", "tasks", "paypal", "sendgrid")

# A subscription of the table may say otherwise.
SUBSCRIPTION_DEFAULTS = {"min_backoff_s": 1, "max_backoff_s": 60, "max_delivery_attempts": 10}


@dataclass(frozen=True, slots=True)
class Servers:
    """What all of them have in common: one state folder, one table, one set of addresses and keys.

    Their ports have been chosen: of each server under its name, of a control under "<name> control".
    """

    state: Path
    host: str
    ports: Ports
    table: Table
    addresses: Addresses
    keys: Keys
    values: Mapping[str, str]
    clock: Path
    faults: Path

    def control_url(self, name: str) -> str:
        """Where /_local/health, /_local/pending and /_local/retry-now are answered."""
        port = self._control_port(name) if name in WITH_CONTROL_PORT else self.ports.recall(name)
        return f"http://{self.host}:{port}"

    def argv(self, name: str) -> Sequence[str]:
        """The command line; writes the configuration file that it names."""
        (self.state / name).mkdir(exist_ok=True)
        flags = {
            "--host": self.host,
            "--port": str(self.ports.recall(name)),
            "--state": str(self.state / name),
            "--clock": str(self.clock),
            "--faults": str(self.faults),
        }
        if name in WITH_CONTROL_PORT:
            flags |= {"--control-port": str(self._control_port(name)), "--config": str(self._write_config(name))}
        # With "=", because a secret may begin with a hyphen.
        given = [f"{flag}={value}" for flag, value in (flags | self._own_flags(name)).items()]
        return [sys.executable, "-m", MODULES[name], *given]

    def _own_flags(self, name: str) -> dict[str, str]:
        if name == "storage":
            return {"--public-bucket": MEDIA_BUCKET, "--private-bucket": UPLOADS_BUCKET}
        if name == "paypal":
            return {
                "--webhook-url": f"{self.addresses.public_url}/v1/webhooks/paypal",
                "--public-url": self.addresses.paypal_url,
                "--client-id": self.values["PAYPAL_CLIENT_ID"],
                "--client-secret": self.values["PAYPAL_CLIENT_SECRET"],
                "--webhook-id": self.values["PAYPAL_WEBHOOK_ID"],
            }
        if name == "sendgrid":
            return {
                "--event-url": f"{self.addresses.public_url}/v1/webhooks/sendgrid",
                "--signing-key": str(self.keys.sendgrid_key),
                "--api-key": self.values["SENDGRID_API_KEY"],
            }
        if name == "turnstile":
            hostname = urlsplit(self.values["PUBLIC_URL"]).hostname or self.host
            return {"--secret": self.values["TURNSTILE_SECRET"], "--hostname": hostname}
        return {}

    def _control_port(self, name: str) -> int | None:
        return self.ports.recall(f"{name} control")

    def _write_config(self, name: str) -> Path:
        config = {
            "project": PROJECT,
            "location": LOCATION,
            "signing_key_file": str(self.keys.oidc_key),
            **(self._topics() if name == "pubsub" else self._queues()),
        }
        file = self.state / name / "config.json"
        file.write_text(json.dumps(config, indent=1))
        return file

    def _topics(self) -> dict[str, Any]:
        return {
            "topics": list(self.table.topics),
            "subscriptions": [
                {
                    **SUBSCRIPTION_DEFAULTS,
                    "name": subscription.name,
                    "topic": subscription.topic,
                    "push_endpoint": self.addresses.fronts[subscription.deployment] + subscription.path,
                    "dead_letter_topic": f"{subscription.name}-dead-letters",
                    "oidc": {"email": account("pubsub"), "audience": self.addresses.fronts[subscription.deployment]},
                    **subscription.limits,
                }
                for subscription in self.table.subscriptions
            ]
            + self._dead_letters(),
        }

    def _dead_letters(self) -> list[dict[str, Any]]:
        """A subscription of every dead-letter topic, all of them to one consumer; none has dead letters of its own."""
        consumer = self.table.dead_letters
        if consumer is None:
            return []
        front = self.addresses.fronts[consumer.deployment]
        return [
            {
                "name": f"{source.name}-dead-letters",
                "topic": f"{source.name}-dead-letters",
                "push_endpoint": f"{front}{consumer.path}?subscription={source.name}&topic={source.topic}",
                "ack_deadline_s": consumer.ack_deadline_s,
                "min_backoff_s": SUBSCRIPTION_DEFAULTS["min_backoff_s"],
                "max_backoff_s": SUBSCRIPTION_DEFAULTS["max_backoff_s"],
                "oidc": {"email": account("pubsub"), "audience": front},
            }
            for source in self.table.subscriptions
        ]

    def _queues(self) -> dict[str, Any]:
        # base_url: a task made before a restart goes where its deployment listens now.
        return {
            "queues": [
                {"name": queue.name, "base_url": self.addresses.fronts[queue.deployment], **queue.limits}
                for queue in self.table.queues
            ]
        }
