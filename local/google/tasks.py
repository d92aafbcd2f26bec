"""Cloud Tasks on one laptop: `python -m local.google.tasks`; clients are given a channel to CLOUD_TASKS_EMULATOR_HOST.

It takes HTTP tasks by gRPC and calls their URLs when they are due, with the service's headers, OIDC tokens, retries,
backoff, rates and de-duplication of names. Not here: App Engine tasks, queues that pause, task-level retry settings.

The configuration (names are short; what may be left out stands with its default):

    {"project": "vitrine-local", "location": "local", "signing_key_file": "oidc.pem",
     "queues": [{"name": "payments", "max_dispatches_per_second": 500, "max_concurrent_dispatches": 1000,
                 "min_backoff_s": 0.1, "max_backoff_s": 3600, "max_doublings": 16, "max_attempts": 100,
                 "max_retry_duration_s": 0, "base_url": null}]}

base_url is the queue's uri_override: tasks go to this scheme, host and port whatever they were created with (functions
may listen elsewhere after a restart), and an audience that was the old origin moves along. A task that has used up its
attempts is deleted, as at Google, and stays on the list of dead letters. Faults: the path of tasks-create and
tasks-push is the path of the task's URL.
"""

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from google.cloud.tasks_v2 import types

from local.clock import Clock
from local.faults import Faults
from local.google import grpc_server
from local.google.control import control_routes
from local.google.dispatching import Answer, Dispatcher, Sender
from local.google.identity import Issuer
from local.google.tasks_state import NameInUse, Queue, Task, TasksState, new_name

# The limits of CreateTask.
MOST_BYTES = 1_000_000
FURTHEST_S = 30 * 24 * 3600
LEAST_DEADLINE_S, DEADLINE_S, MOST_DEADLINE_S = 15.0, 600.0, 1800.0
PAGE = 1000


class Pushes:
    """Calls a task's URL and tells the state how it went."""

    def __init__(
        self, state: TasksState, issuer: Issuer, clock: Clock, faults: Faults, base_urls: Mapping[str, str]
    ) -> None:
        self._state = state
        self._issuer = issuer
        self._clock = clock
        self._faults = faults
        self._base_urls = base_urls
        self._sender = Sender()
        self.dispatcher: Dispatcher[Task] = Dispatcher(state, self.deliver, clock)

    async def run(self) -> None:
        try:
            await self.dispatcher.run()
        finally:
            await self._sender.close()

    async def deliver(self, task: Task) -> None:
        fault = self._faults.draw("tasks-push", urlsplit(task.url).path)
        answer = await self.dispatcher.attempt(task, fault, lambda: self._call(task))
        now = self._clock.now()
        if answer.status is not None and 200 <= answer.status <= 299:
            self._state.succeed(task, now=now)
            return
        # 429 and 503 slow the queue down; here only the task waits as long as it was told.
        retry_after_s = answer.retry_after_s if answer.status in (429, 503) else 0.0
        self._state.fail(task, answer.status, answer.text, now=now, retry_after_s=retry_after_s)

    async def _call(self, task: Task) -> Answer:
        url, audience = self._target(task)
        headers = {**task.headers, **_dispatch_headers(task)}
        if task.oidc_email:
            headers["Authorization"] = f"Bearer {self._issuer.token(task.oidc_email, audience, now=self._clock.now())}"
        return await self._sender.send(
            task.method, url, headers=headers, body=task.body, timeout_s=task.dispatch_deadline_s
        )

    def _target(self, task: Task) -> tuple[str, str]:
        base_url = self._base_urls.get(task.queue)
        audience = task.oidc_audience or task.url
        if base_url is None:
            return task.url, audience
        parts, base = urlsplit(task.url), urlsplit(base_url)
        origin = f"{parts.scheme}://{parts.netloc}"
        url = urlunsplit((base.scheme, base.netloc, parts.path, parts.query, ""))
        if audience == origin or audience.startswith(f"{origin}/"):
            audience = f"{base.scheme}://{base.netloc}{audience.removeprefix(origin)}"
        return url, audience


def _dispatch_headers(task: Task) -> dict[str, str]:
    """What a handler sees of its task (firebase TaskContext; the two last ones on retries only)."""
    headers = {
        "User-Agent": "Google-Cloud-Tasks",
        "X-CloudTasks-QueueName": task.queue.rpartition("/")[2],
        "X-CloudTasks-TaskName": task.short_name,
        "X-CloudTasks-TaskRetryCount": str(task.dispatches),
        "X-CloudTasks-TaskExecutionCount": str(task.responses),
        "X-CloudTasks-TaskETA": f"{task.due_at:.6f}",
    }
    if task.dispatches:
        headers["X-CloudTasks-TaskRetryReason"] = ""
        if task.last_status is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(task.last_status)
    return headers


class CloudTasks:
    """google.cloud.tasks.v2.CloudTasks."""

    def __init__(self, state: TasksState, pushes: Pushes, clock: Clock, faults: Faults) -> None:
        self._state = state
        self._pushes = pushes
        self._clock = clock
        self._faults = faults

    def handler(self) -> Any:
        return grpc_server.service(
            "google.cloud.tasks.v2.CloudTasks",
            {
                "CreateQueue": (self.create_queue, types.CreateQueueRequest, types.Queue),
                "GetQueue": (self.get_queue, types.GetQueueRequest, types.Queue),
                "ListQueues": (self.list_queues, types.ListQueuesRequest, types.ListQueuesResponse),
                "CreateTask": (self.create_task, types.CreateTaskRequest, types.Task),
                "GetTask": (self.get_task, types.GetTaskRequest, types.Task),
                "ListTasks": (self.list_tasks, types.ListTasksRequest, types.ListTasksResponse),
                "DeleteTask": (self.delete_task, types.DeleteTaskRequest, None),
                "RunTask": (self.run_task, types.RunTaskRequest, types.Task),
            },
        )

    async def create_queue(self, request: types.CreateQueueRequest, context: object) -> types.Queue:
        _check_name(request.queue.name, request.parent, "queues")
        rates, retries = request.queue.rate_limits, request.queue.retry_config
        defaults = Queue(name=request.queue.name)
        queue = Queue(
            name=request.queue.name,
            max_dispatches_per_second=rates.max_dispatches_per_second or defaults.max_dispatches_per_second,
            max_concurrent_dispatches=rates.max_concurrent_dispatches or defaults.max_concurrent_dispatches,
            max_attempts=retries.max_attempts or defaults.max_attempts,
            max_retry_duration_s=grpc_server.seconds(retries.max_retry_duration, defaults.max_retry_duration_s),
            min_backoff_s=grpc_server.seconds(retries.min_backoff, defaults.min_backoff_s),
            max_backoff_s=grpc_server.seconds(retries.max_backoff, defaults.max_backoff_s),
            max_doublings=retries.max_doublings or defaults.max_doublings,
        )
        if queue.max_attempts < -1:
            raise grpc_server.invalid("RetryConfig.maxAttempts must be greater than or equal to -1.")
        if not self._state.create_queue(queue):
            raise grpc_server.already_exists("Queue already exists")
        return _queue_resource(queue)

    async def get_queue(self, request: types.GetQueueRequest, context: object) -> types.Queue:
        return _queue_resource(self._find_queue(request.name))

    async def list_queues(self, request: types.ListQueuesRequest, context: object) -> types.ListQueuesResponse:
        queues = self._state.list_queues(request.parent)
        return types.ListQueuesResponse(queues=[_queue_resource(queue) for queue in queues])

    async def create_task(self, request: types.CreateTaskRequest, context: object) -> types.Task:
        self._find_queue(request.parent)
        now = self._clock.now()
        task = _checked(request, now=now)
        fault = self._faults.draw("tasks-create", urlsplit(task.url).path)
        if fault == "error":
            raise grpc_server.unavailable()
        if fault == "lose":
            await grpc_server.never_answer()
        if fault is not None and fault in ("delay", "reorder"):
            await grpc_server.hold_back(fault)
        try:
            self._state.create(task, now=now, runs=2 if fault == "repeat" else 1)
        except NameInUse:
            raise grpc_server.already_exists(
                "The task cannot be created because a task with this name existed too recently."
            ) from None
        self._pushes.dispatcher.wake()
        if fault == "timeout_after_effect":
            await grpc_server.never_answer()
        return _resource(task, request.response_view)

    async def get_task(self, request: types.GetTaskRequest, context: object) -> types.Task:
        return _resource(self._find(request.name), request.response_view)

    async def list_tasks(self, request: types.ListTasksRequest, context: object) -> types.ListTasksResponse:
        self._find_queue(request.parent)
        limit = min(request.page_size or PAGE, PAGE)
        after = int(request.page_token or 0)
        tasks = self._state.list_tasks(request.parent, after=after, limit=limit)
        return types.ListTasksResponse(
            tasks=[_resource(task, request.response_view) for task in tasks],
            next_page_token=str(tasks[-1].id) if len(tasks) == limit else "",
        )

    async def delete_task(self, request: types.DeleteTaskRequest, context: object) -> None:
        if not self._state.delete(request.name, now=self._clock.now()):
            raise _no_task()

    async def run_task(self, request: types.RunTaskRequest, context: object) -> types.Task:
        self._find(request.name)
        task = self._state.hurry(request.name, now=self._clock.now())
        self._pushes.dispatcher.wake()
        if task is None:
            raise _no_task()
        return _resource(task, request.response_view)

    def _find(self, name: str) -> Task:
        task = self._state.find(name)
        if task is None:
            raise _no_task()
        return task

    def _find_queue(self, name: str) -> Queue:
        queue = self._state.find_queue(name)
        if queue is None:
            raise grpc_server.not_found("Queue does not exist. If you just created the queue, wait at least a minute.")
        return queue


def _checked(request: types.CreateTaskRequest, *, now: float) -> Task:
    """The task that a request asks for. Raises INVALID_ARGUMENT as the service does."""
    asked = request.task
    if "http_request" not in asked:
        raise grpc_server.invalid("Task.http_request must be set: only HTTP tasks are known here.")
    http = asked.http_request
    parts = urlsplit(http.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise grpc_server.invalid("HttpRequest.url must start with 'http://' or 'https://'.")
    unnamed = http.http_method == types.HttpMethod.HTTP_METHOD_UNSPECIFIED
    method = types.HttpMethod(types.HttpMethod.POST if unnamed else http.http_method)
    if http.body and method not in (types.HttpMethod.POST, types.HttpMethod.PUT, types.HttpMethod.PATCH):
        raise grpc_server.invalid("HTTP Body is not allowed for this HTTP method.")
    if len(http.body) > MOST_BYTES:
        raise grpc_server.invalid("Task size too large")
    deadline_s = grpc_server.seconds(asked.dispatch_deadline, DEADLINE_S)
    if not LEAST_DEADLINE_S <= deadline_s <= MOST_DEADLINE_S:
        raise grpc_server.invalid("The dispatch deadline must be between [15s, 30m].")
    scheduled_at = asked.schedule_time.timestamp() if "schedule_time" in asked else now
    if scheduled_at > now + FURTHEST_S:
        raise grpc_server.invalid("The schedule time is too far in the future: at most 30 days.")
    if asked.name:
        _check_name(asked.name, request.parent, "tasks")
    return Task(
        name=asked.name or new_name(request.parent),
        queue=request.parent,
        method=method.name,
        url=http.url,
        headers=dict(http.headers),
        body=http.body,
        oidc_email=http.oidc_token.service_account_email,
        oidc_audience=http.oidc_token.audience,
        dispatch_deadline_s=deadline_s,
        created_at=now,
        scheduled_at=scheduled_at,
        due_at=max(now, scheduled_at),
    )


def _check_name(name: str, parent: str, kind: str) -> None:
    prefix = f"{parent}/{kind}/"
    short = name.removeprefix(prefix)
    if not name.startswith(prefix) or not 1 <= len(short) <= 500 or not _is_plain(short):
        raise grpc_server.invalid(f'The name "{name}" must be "{prefix}" and letters, digits, hyphens or underscores.')


def _is_plain(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum()


def _no_task() -> grpc_server.Refused:
    return grpc_server.not_found("The task was not found.")


def _time(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _resource(task: Task, view: types.Task.View) -> types.Task:
    full = view == types.Task.View.FULL
    http = types.HttpRequest(
        url=task.url,
        http_method=getattr(types.HttpMethod, task.method),
        headers=dict(task.headers),
        body=task.body if full else b"",
    )
    if task.oidc_email:
        http.oidc_token = types.OidcToken(service_account_email=task.oidc_email, audience=task.oidc_audience)
    return types.Task(
        name=task.name,
        http_request=http,
        schedule_time=_time(task.due_at),
        create_time=_time(math.floor(task.created_at)),
        dispatch_deadline=timedelta(seconds=task.dispatch_deadline_s),
        dispatch_count=task.dispatches,
        response_count=task.responses,
        view=types.Task.View.FULL if full else types.Task.View.BASIC,
    )


def _queue_resource(queue: Queue) -> types.Queue:
    return types.Queue(
        name=queue.name,
        rate_limits=types.RateLimits(
            max_dispatches_per_second=queue.max_dispatches_per_second,
            max_concurrent_dispatches=queue.max_concurrent_dispatches,
        ),
        retry_config=types.RetryConfig(
            max_attempts=queue.max_attempts,
            max_retry_duration=timedelta(seconds=queue.max_retry_duration_s),
            min_backoff=timedelta(seconds=queue.min_backoff_s),
            max_backoff=timedelta(seconds=queue.max_backoff_s),
            max_doublings=queue.max_doublings,
        ),
        state=types.Queue.State.RUNNING,
    )


def configured(config: Mapping[str, Any]) -> tuple[list[Queue], dict[str, str]]:
    """The queues of the configuration file and their base URLs, by full name."""
    parent = f"projects/{config['project']}/locations/{config['location']}/queues"
    queues, base_urls = [], {}
    known = set(Queue.__dataclass_fields__) - {"name"}
    for each in config.get("queues", []):
        name = f"{parent}/{each['name']}"
        queues.append(
            Queue(name=name, **{key: value for key, value in each.items() if key in known and value is not None})
        )
        if each.get("base_url"):
            base_urls[name] = each["base_url"]
    return queues, base_urls


def main() -> None:
    options = grpc_server.arguments("Cloud Tasks on one laptop")
    config = grpc_server.read_config(options.config)
    clock, faults = Clock(options.clock), Faults(options.faults)
    state = TasksState(Path(options.state) / "tasks.sqlite")
    queues, base_urls = configured(config)
    state.configure(queues)

    async def run() -> None:
        pushes = Pushes(state, Issuer(config["signing_key_file"]), clock, faults, base_urls)
        dispatcher = pushes.dispatcher
        handlers = [CloudTasks(state, pushes, clock, faults).handler()]
        control = control_routes(state, clock=clock, wake=dispatcher.wake, under_way=lambda: dispatcher.under_way)
        await grpc_server.serve(options, handlers, control, pushes.run())

    asyncio.run(run())


if __name__ == "__main__":
    main()
