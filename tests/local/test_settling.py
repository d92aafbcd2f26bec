import json
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud.tasks_v2 import types as tasks
from google.pubsub_v1 import types as pubsub

if TYPE_CHECKING:
    from tests.local.conftest import RunningCloud

TASKS = "tasks@vitrine-local.iam.gserviceaccount.com"


def _publish(cloud: "RunningCloud", text: str) -> None:
    topic = "projects/vitrine-local/topics/news"
    request = pubsub.PublishRequest(topic=topic, messages=[pubsub.PubsubMessage(data=text.encode())])
    with grpc.insecure_channel(cloud.about["pubsub_host"]) as channel:
        publish = channel.unary_unary(
            "/google.pubsub.v1.Publisher/Publish",
            request_serializer=pubsub.PublishRequest.serialize,
            response_deserializer=pubsub.PublishResponse.deserialize,
        )
        publish(request, timeout=10)


def _enqueue(cloud: "RunningCloud", path: str) -> None:
    front = cloud.about["fronts"]["worker"]
    task = tasks.Task(
        http_request=tasks.HttpRequest(
            url=front + path,
            http_method=tasks.HttpMethod.POST,
            body=b"{}",
            oidc_token=tasks.OidcToken(service_account_email=TASKS, audience=front),
        )
    )
    parent = "projects/vitrine-local/locations/local/queues/errands"
    with grpc.insecure_channel(cloud.about["tasks_host"]) as channel:
        create = channel.unary_unary(
            "/google.cloud.tasks.v2.CloudTasks/CreateTask",
            request_serializer=tasks.CreateTaskRequest.serialize,
            response_deserializer=tasks.Task.deserialize,
        )
        create(tasks.CreateTaskRequest(parent=parent, task=task), timeout=10)


def _jobs(cloud: "RunningCloud", job: str) -> int:
    return sum(row["job"] == job for row in cloud.jobs())


def test_a_message_and_a_task_have_arrived_when_all_is_settled(cloud: "RunningCloud") -> None:
    messages, errands = _jobs(cloud, "worker/news"), _jobs(cloud, "errands")
    _publish(cloud, "hello")
    _enqueue(cloud, "/jobs/errands")

    answer = cloud.post("/_local/settle?timeout_s=60")

    assert (answer.status, answer.json["left"], answer.json["dead_letters"]) == (200, {}, {})
    assert _jobs(cloud, "worker/news") == messages + 1
    assert _jobs(cloud, "errands") == errands + 1
    pushed = [json.loads(row["body"]) for row in cloud.jobs() if row["job"] == "worker/news"][-1]
    assert pushed["subscription"] == "projects/vitrine-local/subscriptions/worker-news"
    assert pushed["message"]["data"] == "aGVsbG8="


def test_a_retry_runs_at_once_while_somebody_settles(cloud: "RunningCloud") -> None:
    errands = _jobs(cloud, "errands")
    cloud.post("/_local/faults", {"target": "tasks-push", "fault": "error", "count": 2})
    _enqueue(cloud, "/jobs/errands")

    answer = cloud.post("/_local/settle?timeout_s=60")

    assert (answer.status, answer.json["left"]) == (200, {})
    assert _jobs(cloud, "errands") == errands + 1
    assert [fault["fired"] for fault in cloud.call("/_local/faults").json] == [2]
    cloud.call("/_local/faults", "DELETE")


def test_what_does_not_come_to_rest_is_named(cloud: "RunningCloud") -> None:
    cloud.post("/_local/settle?timeout_s=60")  # the worker runs, so that its start takes nothing of the time below
    _enqueue(cloud, "/jobs/fail")

    try:
        answer = cloud.post("/_local/settle?timeout_s=5")
    finally:
        (cloud.folder / "mended").touch()

    assert answer.status == 504
    assert answer.json["settled"] is False
    assert list(answer.json["left"]) == ["tasks"]
    assert answer.json["left"]["tasks"]["pending"] == 1
    assert cloud.post("/_local/settle?timeout_s=60").status == 200


def test_an_outbox_row_that_is_due_keeps_it_from_settling(cloud: "RunningCloud") -> None:
    cloud.post("/_local/settle?timeout_s=60")
    _sql(
        cloud,
        "create table outbox (id int primary key, not_before timestamptz, published_at timestamptz)",
        "insert into outbox values (1, null, null), (2, '2100-01-01Z', null), (3, null, '2020-01-01Z')",
    )

    waiting = cloud.post("/_local/settle?timeout_s=5")
    _sql(cloud, "update outbox set published_at = '2026-01-01Z' where id = 1")
    published = cloud.post("/_local/settle?timeout_s=60")
    _sql(cloud, "drop table outbox")

    assert (waiting.status, waiting.json["left"]) == (504, {"outbox": 1})
    assert (published.status, published.json["left"]) == (200, {})


def test_a_row_that_waits_for_its_next_attempt_does_not_wait_while_somebody_settles(cloud: "RunningCloud") -> None:
    _sql(
        cloud,
        "create table mails (id int primary key, state text, next_attempt_at timestamptz)",
        "insert into mails values (1, 'queued', '2100-01-01Z'), (2, 'delivered', null)",
    )

    answer = cloud.post("/_local/settle?timeout_s=60")

    rows = _sql(cloud, "select next_attempt_at < '2100-01-01Z' from mails where id = 1", "drop table mails")
    assert (answer.status, answer.json["left"], answer.json["later"]) == (200, {}, {})
    assert rows == [[True]]


def _sql(cloud: "RunningCloud", *statements: str) -> Any:
    from local.database import read_url

    connection = read_url(cloud.about["database_url"]).connect()
    try:
        return next(filter(None, [connection.run(statement) for statement in statements]), None)
    finally:
        connection.close()


@pytest.mark.parametrize("wrong", ["x", ""])
def test_a_time_that_is_no_number_is_refused(cloud: "RunningCloud", wrong: str) -> None:
    assert cloud.post(f"/_local/settle?timeout_s={wrong}").status == 400
