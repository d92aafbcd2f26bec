"""Cloud Tasks on one laptop, as the real client sees it and as a function at the end of a queue sees it."""

import base64
import json
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.tasks_v2 import CloudTasksClient, types
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport

from local.google.identity import BadToken, Verifier
from local.google.tasks_state import Queue
from tests.local.google_cloud import Received, Receiver, Server, kill_at_work, wait_until
from tests.numbers import KILLS

PARENT = "projects/p/locations/local"
CALLER = "tasks@p.iam.gserviceaccount.com"


class Client:
    """The real client and a queue with a name of its own for each test."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self.tasks = CloudTasksClient(transport=CloudTasksGrpcTransport(channel=self._channel))

    def make_queue(self, *, rates: dict[str, Any] | None = None, **retries: Any) -> str:
        name = f"{PARENT}/queues/queue-{uuid.uuid4().hex[:12]}"
        retry_config = {"min_backoff": timedelta(seconds=0.02), "max_backoff": timedelta(seconds=0.02), **retries}
        queue = types.Queue(name=name, retry_config=retry_config, rate_limits=rates or {})
        return self.tasks.create_queue(parent=PARENT, queue=queue).name

    def create(self, queue: str, url: str, body: bytes = b"{}", *, timeout_s: float = 30, **fields: Any) -> types.Task:
        http = {"url": url, "headers": {"Content-Type": "application/json"}, "body": body, **fields.pop("http", {})}
        task = types.Task(http_request=http, **fields)
        return self.tasks.create_task(parent=queue, task=task, retry=None, timeout=timeout_s)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    queue = {"name": "payments", "max_concurrent_dispatches": 16, "min_backoff_s": 0.02, "max_attempts": 20}
    moved = {"name": "moved", "base_url": receiver.url("")}
    config = {"location": "local", "queues": [queue, moved]}
    server = Server("local.google.tasks", tmp_path_factory.mktemp("tasks"), config)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.faults.clear()
    running.wait_until(is_empty)  # the next test counts what is pending


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.address)
    yield client
    client.close()


@pytest.fixture
def path() -> str:
    return f"/jobs/{uuid.uuid4().hex}"


def is_idle(pending: dict[str, Any]) -> bool:
    return bool(pending["pending"] == 0)


def is_empty(pending: dict[str, Any]) -> bool:
    return is_idle(pending) and pending["later"] == 0


def task_headers(request: Received) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name.startswith("X-CloudTasks-")}


def test_a_task_is_called_with_its_body_and_the_headers_of_the_service(
    server: Server, client: Client, receiver: Receiver, path: str, shared_data: Path
) -> None:
    recorded = json.loads((shared_data / "vectors/google/cloud_tasks_http_request.json").read_text())["request"]
    body = json.dumps(recorded["body"]).encode()
    queue = f"{PARENT}/queues/payments"
    name = f"{queue}/tasks/capture-{uuid.uuid4().hex}"
    receiver.answers[path].append(409)

    task = client.create(
        queue, receiver.url(path), body, name=name, http={"oidc_token": {"service_account_email": CALLER}}
    )

    first, second = receiver.wait_for(path, 2)
    server.wait_until(is_idle)
    assert (first.method, first.json) == (recorded["method"], recorded["body"])
    assert (first.headers["User-Agent"], first.headers["Content-Type"]) == ("Google-Cloud-Tasks", "application/json")
    assert task_headers(first) == {
        "X-CloudTasks-QueueName": "payments",
        "X-CloudTasks-TaskName": name.rpartition("/")[2],
        "X-CloudTasks-TaskRetryCount": "0",
        "X-CloudTasks-TaskExecutionCount": "0",
        "X-CloudTasks-TaskETA": f"{task.schedule_time.timestamp():.6f}",
    }
    assert set(recorded["headers"]) <= set(second.headers)
    assert second.headers["X-CloudTasks-TaskPreviousResponse"] == "409"


def test_counts_of_retries_and_answers_differ_by_the_5xx(client: Client, receiver: Receiver, path: str) -> None:
    receiver.answers[path].extend([500, 404, 503])

    client.create(client.make_queue(), receiver.url(path))

    counts = [
        (
            request.headers["X-CloudTasks-TaskRetryCount"],
            request.headers["X-CloudTasks-TaskExecutionCount"],
            request.headers["X-CloudTasks-TaskPreviousResponse"],
        )
        for request in receiver.wait_for(path, 4)
    ]
    assert counts == [("0", "0", None), ("1", "0", "500"), ("2", "1", "404"), ("3", "1", "503")]


def test_a_task_carries_a_token_for_its_audience(server: Server, client: Client, receiver: Receiver, path: str) -> None:
    token = {"service_account_email": CALLER, "audience": "https://payment-jobs.example"}

    client.create(client.make_queue(), receiver.url(path), http={"oidc_token": token})

    (call,) = receiver.wait_for(path, 1)
    bearer = call.headers["Authorization"].removeprefix("Bearer ")
    verifier = Verifier(server.signing_key)
    now = server.clock.now()
    assert verifier.email_of(bearer, "https://payment-jobs.example", now=now) == CALLER
    with pytest.raises(BadToken, match="audience"):
        verifier.email_of(bearer, "https://notify.example", now=now)
    with pytest.raises(BadToken, match="too old"):
        verifier.email_of(bearer, "https://payment-jobs.example", now=now + 3601)
    with pytest.raises(BadToken, match="signature"):
        verifier.email_of(f"{bearer[:-8]}AAAAAAAA", "https://payment-jobs.example", now=now)


def test_the_audience_is_the_url_where_none_is_named(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    client.create(client.make_queue(), receiver.url(path), http={"oidc_token": {"service_account_email": CALLER}})

    (call,) = receiver.wait_for(path, 1)
    bearer = call.headers["Authorization"].removeprefix("Bearer ")
    assert Verifier(server.signing_key).email_of(bearer, receiver.url(path), now=server.clock.now()) == CALLER


def test_a_queue_with_a_base_url_takes_its_tasks_there(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    token = {"service_account_email": CALLER, "audience": "http://127.0.0.1:1"}

    client.create(f"{PARENT}/queues/moved", f"http://127.0.0.1:1{path}?x=1", http={"oidc_token": token})

    (call,) = receiver.wait_for(f"{path}?x=1", 1)
    bearer = call.headers["Authorization"].removeprefix("Bearer ")
    assert Verifier(server.signing_key).email_of(bearer, receiver.url(""), now=server.clock.now()) == CALLER


def test_a_task_waits_for_its_time_by_the_clock(server: Server, client: Client, receiver: Receiver, path: str) -> None:
    at = datetime.fromtimestamp(server.clock.now() + 900, UTC)
    client.create(client.make_queue(), receiver.url(path), schedule_time=at)
    waiting = server.get("/_local/pending")

    server.post("/_local/retry-now")
    server.clock.advance(890)
    early = server.get("/_local/pending")
    server.clock.advance(10)

    (call,) = receiver.wait_for(path, 1)
    assert [(each["pending"], each["later"]) for each in (waiting, early)] == [(0, 1), (0, 1)]
    assert call.headers["X-CloudTasks-TaskETA"] == f"{at.timestamp():.6f}"


def test_a_name_is_used_once_while_its_task_waits_and_for_a_day_after_it_is_over(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    queue = client.make_queue()
    name = f"{queue}/tasks/capture-1"
    later = datetime.fromtimestamp(server.clock.now() + 60, UTC)
    client.create(queue, receiver.url(path), name=name, schedule_time=later)

    with pytest.raises(exceptions.AlreadyExists):
        client.create(queue, receiver.url(path), name=name)
    server.clock.advance(60)
    receiver.wait_for(path, 1)
    server.wait_until(is_idle)
    with pytest.raises(exceptions.AlreadyExists):
        client.create(queue, receiver.url(path), name=name)
    server.clock.advance(24 * 3600)
    client.create(queue, receiver.url(path), name=name)

    assert len(receiver.wait_for(path, 2)) == 2


def test_two_tasks_without_names_are_two_tasks(client: Client, receiver: Receiver, path: str) -> None:
    queue = client.make_queue()

    names = {client.create(queue, receiver.url(path)).name for _ in range(2)}

    assert {request.headers["X-CloudTasks-TaskName"] for request in receiver.wait_for(path, 2)} == {
        name.rpartition("/")[2] for name in names
    }


def test_the_waits_between_attempts_are_those_of_the_documentation() -> None:
    queue = Queue(name="q", min_backoff_s=10, max_backoff_s=300, max_doublings=3)

    # RetryConfig.max_doublings gives this example.
    assert [queue.backoff_s(failures) for failures in range(1, 9)] == [10, 20, 40, 80, 160, 240, 300, 300]


def test_retrying_stops_only_when_attempts_and_duration_are_both_used_up() -> None:
    queue = Queue(name="q", max_attempts=3, max_retry_duration_s=60)

    assert [queue.gives_up(2, 0, 100), queue.gives_up(3, 0, 59), queue.gives_up(3, 0, 60)] == [False, False, True]
    assert Queue(name="q", max_attempts=3).gives_up(3, 0, 1)
    assert not Queue(name="q", max_attempts=-1).gives_up(10**6, 0, 1e9)


def test_a_task_waits_as_long_as_a_503_asks_for(server: Server, client: Client, receiver: Receiver, path: str) -> None:
    receiver.answers[path].append((503, {"Retry-After": "600"}))
    client.create(client.make_queue(), receiver.url(path))
    server.wait_until(lambda pending: pending["retrying"] == 1)

    server.clock.advance(590)
    waiting = server.get("/_local/pending")
    server.clock.advance(10)

    receiver.wait_for(path, 2)
    assert (waiting["retrying"], waiting["items"][0]["problem"]) == (1, "HTTP 503")


def test_after_its_last_attempt_a_task_is_deleted_listed_and_can_be_replayed(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    receiver.answers[path].extend([500, 500, 500])
    task = client.create(client.make_queue(max_attempts=3), receiver.url(path), b'{"order": 1}')

    pending = server.wait_until(lambda pending: pending["dead_letters"])

    (letter,) = pending["dead_letters"]
    with pytest.raises(exceptions.NotFound):
        client.tasks.get_task(name=task.name)
    assert pending["pending"] == 0
    assert len(receiver.requests(path)) == 3
    assert (letter["name"], letter["attempts"], letter["problem"]) == (task.name.rpartition("/")[2], 3, "HTTP 500")
    assert base64.b64decode(letter["body"]) == b'{"order": 1}'

    assert server.post(f"/_local/dead-letters/{letter['id']}/replay") == {"replayed": letter["id"]}

    replayed = receiver.wait_for(path, 4)[-1]
    assert (replayed.body, replayed.headers["X-CloudTasks-TaskRetryCount"]) == (b'{"order": 1}', "0")
    assert server.wait_until(is_idle)["dead_letters"] == []


def test_no_more_tasks_of_a_queue_are_under_way_than_it_allows(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    released = threading.Event()
    receiver.answers[path].extend([released] * 5)
    queue = client.make_queue(rates={"max_concurrent_dispatches": 2})
    for _ in range(5):
        client.create(queue, receiver.url(path))

    receiver.wait_for(path, 2)
    pending = server.get("/_local/pending")
    released.set()

    assert (pending["in_flight"], pending["due"], pending["pending"]) == (2, 3, 5)
    receiver.wait_for(path, 5)


def test_a_queue_keeps_its_rate(client: Client, receiver: Receiver, path: str) -> None:
    queue = client.make_queue(rates={"max_dispatches_per_second": 10})
    began = time.monotonic()

    for _ in range(15):
        client.create(queue, receiver.url(path))

    calls = receiver.wait_for(path, 15)
    assert calls[-1].at - began >= 0.45  # ten at once, five at 10 a second


def test_tasks_can_be_read_listed_run_and_deleted(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    queue = client.make_queue()
    later = datetime.fromtimestamp(server.clock.now() + 600, UTC)
    tasks = [client.create(queue, receiver.url(path), b"secret", schedule_time=later) for _ in range(3)]

    basic = client.tasks.get_task(name=tasks[0].name)
    full = client.tasks.get_task(request={"name": tasks[0].name, "response_view": types.Task.View.FULL})
    listed = client.tasks.list_tasks(request={"parent": queue, "page_size": 2})
    assert (basic.http_request.body, full.http_request.body) == (b"", b"secret")
    assert basic.dispatch_deadline == timedelta(minutes=10)
    assert [task.name for task in listed] == [task.name for task in tasks]

    client.tasks.delete_task(name=tasks[0].name)
    client.tasks.run_task(name=tasks[1].name)
    (call,) = receiver.wait_for(path, 1)
    assert call.headers["X-CloudTasks-TaskName"] == tasks[1].name.rpartition("/")[2]
    server.wait_until(is_idle)
    assert [task.name for task in client.tasks.list_tasks(parent=queue)] == [tasks[2].name]
    client.tasks.delete_task(name=tasks[2].name)
    with pytest.raises(exceptions.NotFound):
        client.tasks.delete_task(name=tasks[0].name)


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"http": {"url": "ftp://x/"}}, "must start with"),
        ({"http": {"url": "/relative"}}, "must start with"),
        ({"http": {"http_method": types.HttpMethod.GET}}, "Body is not allowed"),
        ({"dispatch_deadline": timedelta(seconds=14)}, "15s, 30m"),
        ({"dispatch_deadline": timedelta(minutes=31)}, "15s, 30m"),
        ({"name": "capture-1"}, "must be"),
        ({"name": f"{PARENT}/queues/payments/tasks/a.b"}, "must be"),
        ({"schedule_time": datetime(2200, 1, 1, tzinfo=UTC)}, "too far"),
        ({"http": {"body": b"x" * 1_000_001}}, "too large"),
    ],
)
def test_a_task_that_the_service_would_refuse_is_refused(
    server: Server, client: Client, receiver: Receiver, path: str, fields: dict[str, Any], part: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=part):
        client.create(f"{PARENT}/queues/payments", receiver.url(path), **fields)

    assert receiver.requests(path) == []


def test_a_queue_that_does_not_exist_takes_nothing(client: Client, receiver: Receiver, path: str) -> None:
    with pytest.raises(exceptions.NotFound):
        client.create(f"{PARENT}/queues/nowhere", receiver.url(path))


def test_a_queue_has_the_settings_of_the_configuration(client: Client) -> None:
    queue = client.tasks.get_queue(name=f"{PARENT}/queues/payments")

    assert queue.rate_limits.max_concurrent_dispatches == 16
    assert queue.retry_config.max_attempts == 20
    assert queue.retry_config.min_backoff == timedelta(seconds=0.02)


def test_tasks_taken_before_a_kill_are_called_after_it(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    released = threading.Event()
    receiver.answers[path].extend([released] * 2)
    queue = client.make_queue(rates={"max_concurrent_dispatches": 2})
    names = [client.create(queue, receiver.url(path)).name.rpartition("/")[2] for _ in range(6)]
    receiver.wait_for(path, 2)  # two are under way, four wait

    server.kill()
    released.set()
    server.start()

    server.wait_until(is_idle)
    again = receiver.requests(path)[2:]
    assert sorted(request.headers["X-CloudTasks-TaskName"] for request in again) == sorted(names)
    assert {request.headers["X-CloudTasks-TaskRetryCount"] for request in again} == {"0"}


def test_a_used_name_is_remembered_over_a_kill(server: Server, client: Client, receiver: Receiver, path: str) -> None:
    queue = client.make_queue()
    client.create(queue, receiver.url(path), name=f"{queue}/tasks/once")
    receiver.wait_for(path, 1)
    server.wait_until(is_idle)

    server.kill()
    server.start()

    again = Client(server.address)
    with pytest.raises(exceptions.AlreadyExists):
        again.create(queue, receiver.url(path), name=f"{queue}/tasks/once")
    again.close()


@pytest.mark.slow
def test_whatever_was_taken_is_called_however_often_the_server_is_killed(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    queue = client.make_queue()
    taken: list[str] = []
    done = threading.Event()

    def create_until_done() -> None:
        creator = Client(server.address)
        while not done.is_set():
            try:
                taken.append(creator.create(queue, receiver.url(path), timeout_s=2).name.rpartition("/")[2])
            except exceptions.GoogleAPICallError:
                done.wait(0.05)  # the server is down
        creator.close()

    creating = threading.Thread(target=create_until_done)
    creating.start()
    try:
        kill_at_work(server, taken, times=KILLS)
    finally:
        done.set()
        creating.join()

    server.wait_until(is_idle)
    assert set(taken) <= {request.headers["X-CloudTasks-TaskName"] for request in receiver.requests(path)}


# --- faults


def test_fault_error_refuses_a_task_and_takes_nothing(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    queue = client.make_queue()
    server.faults.add("tasks-create", "error", path=path)

    with pytest.raises(exceptions.ServiceUnavailable):
        client.create(queue, receiver.url(path), name=f"{queue}/tasks/one")

    client.create(queue, receiver.url(path), name=f"{queue}/tasks/one")
    receiver.wait_for(path, 1)
    assert server.faults.list()[0]["fired"] == 1


@pytest.mark.parametrize(("fault", "taken"), [("lose", 0), ("timeout_after_effect", 1)])
def test_faults_without_an_answer_differ_in_what_was_taken(
    server: Server, client: Client, receiver: Receiver, path: str, fault: str, taken: int
) -> None:
    queue = client.make_queue()
    later = datetime.fromtimestamp(server.clock.now() + 600, UTC)
    server.faults.add("tasks-create", fault)

    with pytest.raises(exceptions.DeadlineExceeded):
        client.create(queue, receiver.url(path), timeout_s=1, schedule_time=later)

    assert len(list(client.tasks.list_tasks(parent=queue))) == taken
    server.clock.advance(600)
    assert server.faults.list()[0]["fired"] == 1


def test_fault_repeat_of_a_creation_calls_one_task_twice(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    server.faults.add("tasks-create", "repeat")

    task = client.create(client.make_queue(), receiver.url(path))

    names = [request.headers["X-CloudTasks-TaskName"] for request in receiver.wait_for(path, 2)]
    server.wait_until(is_idle)
    assert names == [task.name.rpartition("/")[2]] * 2
    assert (len(receiver.requests(path)), server.faults.list()[0]["fired"]) == (2, 1)


@pytest.mark.parametrize(("fault", "calls"), [("lose", 1), ("error", 1), ("repeat", 2), ("timeout_after_effect", 2)])
def test_faults_of_a_call_show_in_how_often_it_arrives(
    server: Server, client: Client, receiver: Receiver, path: str, fault: str, calls: int
) -> None:
    server.faults.add("tasks-push", fault, path=path)

    client.create(client.make_queue(), receiver.url(path))

    server.wait_until(is_idle)
    assert len(receiver.requests(path)) == calls
    assert server.faults.list()[0]["fired"] == 1


@pytest.mark.parametrize("fault", ["delay", "reorder"])
@pytest.mark.parametrize("target", ["tasks-create", "tasks-push"])
def test_faults_delay_and_reorder_let_the_next_task_overtake(
    server: Server, client: Client, receiver: Receiver, path: str, target: str, fault: str
) -> None:
    queue = client.make_queue()
    server.faults.add(target, fault, path=path, delay_s=2)
    slow = threading.Thread(target=client.create, args=(queue, receiver.url(path), b"first"))
    slow.start()
    wait_until(lambda: server.faults.list()[0]["fired"] == 1)

    client.create(queue, receiver.url(path), b"second")

    slow.join()
    assert [request.body for request in receiver.wait_for(path, 2)] == [b"second", b"first"]
