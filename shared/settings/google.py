"""Pub/Sub, Cloud Tasks and Cloud Storage: where things are, and the local servers that stand in for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from shared.settings.reading import Reader

_QUEUE_URL = "QUEUE_URL_"
_LOCAL_ONLY = ("PUBSUB_EMULATOR_HOST", "CLOUD_TASKS_EMULATOR_HOST", "STORAGE_EMULATOR_HOST", "STORAGE_KEY_FILE")


@dataclass(frozen=True, slots=True)
class GoogleSettings:
    """`queue_urls`: by queue, the base URL of the deployment that works it off.

    Emulators are empty in production, and so is `storage_key_file`: a deployment signs as its own account, by no key.
    """

    project: str
    tasks_location: str
    tasks_invoker: str
    queue_urls: Mapping[str, str] = field(default_factory=dict)
    pubsub_emulator: str = ""
    tasks_emulator: str = ""
    storage_emulator: str = ""
    storage_key_file: str = ""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("google", env)
        queue_variables = sorted(name for name in env if name.startswith(_QUEUE_URL))
        if reader.in_production:
            for name in _LOCAL_ONLY:
                if env.get(name):
                    reader.refuse(name, "must not be set in production")
        settings = cls(
            project=reader.text("GOOGLE_CLOUD_PROJECT"),
            tasks_location=reader.text("TASKS_LOCATION", ""),
            tasks_invoker=reader.text("TASKS_INVOKER", ""),
            queue_urls={
                name.removeprefix(_QUEUE_URL).lower().replace("_", "-"): reader.base_url(name)
                for name in queue_variables
            },
            pubsub_emulator=reader.text("PUBSUB_EMULATOR_HOST", ""),
            tasks_emulator=reader.text("CLOUD_TASKS_EMULATOR_HOST", ""),
            storage_emulator=reader.text("STORAGE_EMULATOR_HOST", ""),
            storage_key_file=reader.text("STORAGE_KEY_FILE", ""),
        )
        if settings.queue_urls:
            reader.text("TASKS_LOCATION")
            reader.text("TASKS_INVOKER")
        reader.finish()
        return settings

    def topic_path(self, topic: str) -> str:
        return f"projects/{self.project}/topics/{topic}"

    def queue_path(self, queue: str) -> str:
        return f"projects/{self.project}/locations/{self.tasks_location}/queues/{queue}"
