"""Cloud Tasks: wake-ups for rows of ours."""

import json
import threading
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from shared.gateways.google_calls import LOCAL_CHANNEL, call, google_errors
from shared.kernel.messages import Task
from shared.settings import GoogleSettings

if TYPE_CHECKING:
    from google.cloud.tasks_v2 import CloudTasksClient

# How long the service waits for an answer: longer than any function that works a queue off may take (15 s to 30 min).
DISPATCH_DEADLINE_S = 180


class TaskQueue:
    """Makes its client on first use. Safe for threads.

    `urls`: by queue, the base URL of the deployment that works it off, which is the audience of the token as well;
    `invoker`: the service account that the token names.
    """

    def __init__(
        self, *, project: str, location: str, urls: Mapping[str, str], invoker: str, emulator_host: str = ""
    ) -> None:
        self._parent = f"projects/{project}/locations/{location}/queues"
        self._urls = urls
        self._invoker = invoker
        self._emulator_host = emulator_host
        self._lock = threading.Lock()
        self._client: CloudTasksClient | None = None

    @classmethod
    def from_settings(cls, settings: GoogleSettings) -> Self:
        return cls(
            project=settings.project,
            location=settings.tasks_location,
            urls=settings.queue_urls,
            invoker=settings.tasks_invoker,
            emulator_host=settings.tasks_emulator,
        )

    def enqueue(self, task: Task, *, within_s: float) -> None:
        """Create the task under its own id; the second time, for a day or more, does nothing.

        The first call imports the client, which the time does not count. Raises Unavailable within that time (it may
        have been created all the same), Declined.
        """
        request = {"parent": f"{self._parent}/{task.queue}", "task": self._resource(task)}
        create = partial(_create_once, self._ready_client())
        call(create, request, service="tasks", within_s=within_s)

    def _resource(self, task: Task) -> dict[str, Any]:
        base_url = self._urls[task.queue]
        resource: dict[str, Any] = {
            # Random ids spread over the service's shards; sequential ones would slow it down.
            "name": f"{self._parent}/{task.queue}/tasks/{task.id}",
            "http_request": {
                "url": base_url + task.path,
                "headers": {"Content-Type": "application/json"},
                "body": json.dumps(task.payload, ensure_ascii=False, separators=(",", ":")).encode(),
                "oidc_token": {"service_account_email": self._invoker, "audience": base_url},
            },
            "dispatch_deadline": timedelta(seconds=DISPATCH_DEADLINE_S),
        }
        if task.not_before is not None:
            resource["schedule_time"] = task.not_before
        return resource

    def _ready_client(self) -> "CloudTasksClient":
        with self._lock:
            if self._client is None:
                self._client = self._make_client()
            return self._client

    def _make_client(self) -> "CloudTasksClient":
        import grpc
        from google.cloud.tasks_v2 import CloudTasksClient
        from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

        with google_errors("tasks"):
            if not self._emulator_host:
                return CloudTasksClient()
            channel = grpc.insecure_channel(self._emulator_host, options=LOCAL_CHANNEL)
            return CloudTasksClient(transport=CloudTasksGrpcTransport(channel=channel))


def _create_once(client: "CloudTasksClient", **arguments: Any) -> None:
    from google.api_core.exceptions import AlreadyExists

    try:
        client.create_task(**arguments)
    except AlreadyExists:
        return  # CreateTaskRequest.task: one of this name is there, or was until a short while ago
