"""The gateways to Pub/Sub and Cloud Tasks against the local servers: what arrives, and what becomes of silence."""

import base64
import json
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from local.ports import find_free_port
from shared.gateways import tasks as tasks_gateway
from shared.gateways.pubsub import PubSubPublisher
from shared.gateways.tasks import TaskQueue
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.messages import Event, Task
from tests.deployments import ROWS
from tests.local.google_cloud import Receiver, Server

ROOT = Path(__file__).resolve().parents[2]
INVOKER = "tasks@p.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def running_pubsub(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    subscription = {"name": "notify-orders", "topic": "orders", "push_endpoint": receiver.url("/jobs/notify/orders")}
    server = Server("local.google.pubsub", tmp_path_factory.mktemp("pubsub"), {"subscriptions": [subscription]})
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def running_tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    config = {"location": "local", "queues": [{"name": "payments"}]}
    server = Server("local.google.tasks", tmp_path_factory.mktemp("tasks"), config)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def pubsub(running_pubsub: Server) -> Iterator[Server]:
    yield running_pubsub
    running_pubsub.faults.clear()


@pytest.fixture
def tasks(running_tasks: Server) -> Iterator[Server]:
    yield running_tasks
    running_tasks.faults.clear()


@pytest.fixture
def publisher(pubsub: Server) -> PubSubPublisher:
    return PubSubPublisher(project="p", emulator_host=pubsub.address)


@pytest.fixture
def queue(tasks: Server, receiver: Receiver) -> TaskQueue:
    return make_queue(tasks.address, receiver)


def make_queue(address: str, receiver: Receiver) -> TaskQueue:
    return TaskQueue(
        project="p", location="local", urls={"payments": receiver.url("")}, invoker=INVOKER, emulator_host=address
    )


@pytest.fixture
def path() -> str:
    return f"/jobs/{uuid.uuid4().hex}"


def paid(number: int) -> Event:
    return Event("orders", "order.paid", {"order_id": f"o-{number}", "name": "Zoë"})


def payloads(receiver: Receiver, event_ids: list[uuid.UUID]) -> list[object]:
    """What was pushed of these events, in their order."""
    pushed = {
        push.json["message"]["attributes"]["event_id"]: json.loads(base64.b64decode(push.json["message"]["data"]))
        for push in receiver.requests("/jobs/notify/orders")
    }
    return [pushed[str(each)] for each in event_ids]


def test_many_events_of_one_topic_are_pushed_as_their_payloads_with_their_ids(
    pubsub: Server, publisher: PubSubPublisher, receiver: Receiver
) -> None:
    events = [paid(n) for n in range(3)]

    publisher.publish_all("orders", events, within_s=30)

    pubsub.wait_until(lambda pending: pending["pending"] == 0)
    attributes = [push.json["message"]["attributes"] for push in receiver.requests("/jobs/notify/orders")]
    assert {"event_id": str(events[0].id), "name": "order.paid", "schema_version": "1"} in attributes
    assert payloads(receiver, [each.id for each in events]) == [{"order_id": f"o-{n}", "name": "Zoë"} for n in range(3)]


def test_a_publish_that_is_refused_for_a_moment_is_tried_again(
    pubsub: Server, publisher: PubSubPublisher, receiver: Receiver
) -> None:
    pubsub.faults.add("pubsub-publish", "error", count=3)
    event = paid(1)

    publisher.publish_all("orders", [event], within_s=30)

    pubsub.wait_until(lambda pending: pending["pending"] == 0)
    assert payloads(receiver, [event.id]) == [{"order_id": "o-1", "name": "Zoë"}]
    assert pubsub.faults.list()[0]["fired"] == 3


def test_a_publish_without_an_answer_gives_up_in_time(pubsub: Server, publisher: PubSubPublisher) -> None:
    publisher.publish_all("orders", [paid(1)], within_s=30)
    pubsub.faults.add("pubsub-publish", "lose")
    began = time.monotonic()

    with pytest.raises(Unavailable):
        publisher.publish_all("orders", [paid(2)], within_s=0.4)

    assert 0.3 < time.monotonic() - began < 3
    assert pubsub.faults.list()[0]["fired"] == 1


def test_a_publish_to_nobody_gives_up_in_time() -> None:
    publisher = PubSubPublisher(project="p", emulator_host=f"127.0.0.1:{find_free_port()}")
    with pytest.raises(Unavailable):
        publisher.publish_all("orders", [paid(1)], within_s=0.1)
    began = time.monotonic()

    with pytest.raises(Unavailable):
        publisher.publish_all("orders", [paid(1)], within_s=0.6)

    assert time.monotonic() - began < 3


def test_a_publisher_finds_a_server_that_was_killed_again(pubsub: Server, publisher: PubSubPublisher) -> None:
    publisher.publish_all("orders", [paid(1)], within_s=30)
    pubsub.kill()
    with pytest.raises(Unavailable):
        publisher.publish_all("orders", [paid(2)], within_s=0.2)
    pubsub.start()

    publisher.publish_all("orders", [paid(3)], within_s=30)


def test_no_time_left_is_unavailable(publisher: PubSubPublisher) -> None:
    with pytest.raises(Unavailable):
        publisher.publish_all("orders", [paid(1)], within_s=-0.1)


def test_a_topic_that_does_not_exist_is_our_mistake_and_never_tried_again(
    publisher: PubSubPublisher, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR), pytest.raises(Declined) as refusal:
        publisher.publish_all("nowhere", [paid(1)], within_s=30)

    assert refusal.value.data == {"reason": "NOT_FOUND"}
    assert [record.message for record in caplog.records] == ["google_refused"]


def test_a_task_is_a_call_to_its_queues_deployment(
    tasks: Server, queue: TaskQueue, receiver: Receiver, path: str
) -> None:
    task = Task("payments", path, {"attempt_id": "a-1"})

    queue.enqueue(task, within_s=30)

    (call,) = receiver.wait_for(path, 1)
    assert (call.method, call.json, call.headers["Content-Type"]) == ("POST", {"attempt_id": "a-1"}, "application/json")
    assert call.headers["X-CloudTasks-TaskName"] == str(task.id)
    claims = json.loads(base64.urlsafe_b64decode(call.headers["Authorization"].split(".")[1] + "=="))
    assert (claims["email"], claims["aud"]) == (INVOKER, receiver.url(""))


def test_a_task_enqueued_twice_is_one_task(
    tasks: Server, queue: TaskQueue, receiver: Receiver, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    task = Task("payments", path, {})

    queue.enqueue(task, within_s=30)
    receiver.wait_for(path, 1)
    tasks.wait_until(lambda pending: pending["pending"] == 0)
    queue.enqueue(task, within_s=30)

    tasks.wait_until(lambda pending: pending["pending"] == 0)
    assert len(receiver.requests(path)) == 1
    assert caplog.records == []


def test_a_task_waits_for_its_time(tasks: Server, queue: TaskQueue, receiver: Receiver, path: str) -> None:
    not_before = datetime.fromtimestamp(tasks.clock.now(), UTC) + timedelta(minutes=10)
    queue.enqueue(Task("payments", path, {}, not_before), within_s=30)
    waiting = tasks.get("/_local/pending")

    tasks.clock.advance(600)

    receiver.wait_for(path, 1)
    assert (waiting["pending"], waiting["later"]) == (0, 1)


@pytest.mark.parametrize("fault", ["lose", "timeout_after_effect"])
def test_an_enqueue_without_an_answer_gives_up_in_time_and_may_be_repeated(
    tasks: Server, queue: TaskQueue, receiver: Receiver, path: str, fault: str
) -> None:
    task = Task("payments", path, {})
    queue.enqueue(Task("payments", f"{path}/before", {}), within_s=30)  # connected
    tasks.faults.add("tasks-create", fault)

    with pytest.raises(Unavailable):
        queue.enqueue(task, within_s=1)
    queue.enqueue(task, within_s=30)

    tasks.wait_until(lambda pending: pending["pending"] == 0)
    assert len(receiver.requests(path)) == 1
    assert tasks.faults.list()[0]["fired"] == 1


def test_the_service_waits_longer_than_any_function_works() -> None:
    timeouts = [row["timeout_s"] for row in ROWS if row["triggers"].get("queues")]

    assert timeouts
    assert all(timeout_s < tasks_gateway.DISPATCH_DEADLINE_S for timeout_s in timeouts)


def test_importing_and_making_a_gateway_imports_nothing_of_googles() -> None:
    program = (
        "import sys\n"
        "from shared.gateways.pubsub import PubSubPublisher\n"
        "from shared.gateways.tasks import TaskQueue\n"
        "PubSubPublisher(project='p')\n"
        "TaskQueue(project='p', location='l', urls={}, invoker='i')\n"
        "names = sorted(name for name in sys.modules if name.partition('.')[0] in ('google', 'grpc', 'proto'))\n"
        "print([name for name in names if name not in ('google', 'google.cloud')])\n"  # .pth files make these two
    )

    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)

    assert printed.stdout == "[]\n"
