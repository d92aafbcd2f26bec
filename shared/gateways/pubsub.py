"""Pub/Sub: events out, one call for many."""

import json
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from shared.gateways.google_calls import LOCAL_CHANNEL, call, google_errors
from shared.kernel.messages import SCHEMA_VERSION, Event
from shared.settings import GoogleSettings

if TYPE_CHECKING:
    from google.pubsub_v1 import PublisherClient


class PubSubPublisher:
    """Makes its client on first use. Safe for threads.

    The plain client, not google.cloud.pubsub_v1's batching one: that publishes from a thread of its own after a wait,
    and after the answer of a function there is no CPU for it.
    """

    def __init__(self, *, project: str, emulator_host: str = "") -> None:
        self._project = project
        self._emulator_host = emulator_host
        self._lock = threading.Lock()
        self._client: PublisherClient | None = None

    @classmethod
    def from_settings(cls, settings: GoogleSettings) -> Self:
        return cls(project=settings.project, emulator_host=settings.pubsub_emulator)

    def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
        """All in one call, or none. The first call imports the client, which the time does not count.

        Raises Unavailable within that time (they may have been taken all the same), Declined.
        """
        request = {"topic": f"projects/{self._project}/topics/{topic}", "messages": [_message(each) for each in events]}
        call(self._ready_client().publish, request, service="pubsub", within_s=within_s)

    def _ready_client(self) -> "PublisherClient":
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> "PublisherClient":
        import grpc
        from google.pubsub_v1 import PublisherClient
        from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

        with google_errors("pubsub"):
            if not self._emulator_host:
                return PublisherClient()
            channel = grpc.insecure_channel(self._emulator_host, options=LOCAL_CHANNEL)
            return PublisherClient(transport=PublisherGrpcTransport(channel=channel))


def _message(event: Event) -> dict[str, object]:
    return {
        "data": json.dumps(event.payload, ensure_ascii=False, separators=(",", ":")).encode(),
        "attributes": {"event_id": str(event.id), "name": event.name, "schema_version": str(SCHEMA_VERSION)},
    }
