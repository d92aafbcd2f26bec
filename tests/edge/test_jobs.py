import base64
import json
import logging
from typing import Any
from uuid import UUID

import pytest

from shared.accounts.principals import Shop
from shared.edge.api import Api
from shared.edge.calls import Call
from shared.edge.parsing import Body, Query
from shared.kernel.errors import Conflict, ShopError, Unavailable
from shared.kernel.messages import Event
from tests.edge.conftest import House, call, problem_of

EVENT_ID = "3f6c1f6e-6d0e-4a53-9b57-2f1a6f0a3c11"
ATTRIBUTES = {"event_id": EVENT_ID, "name": "order.paid", "schema_version": "1"}
PAYLOAD = {"order": {"number": "7ZZZZZZZZZ"}}


class CaptureBody(Body, frozen=True):
    attempt_id: str


class OfQuery(Query, frozen=True):
    subscription: str
    topic: str


class Jobs:
    """An Api with one job of each kind; `failing` is what they raise."""

    def __init__(self, house: House) -> None:
        self.api: Api = house.make_api("notify")
        self.failing: Exception | None = None
        self.calls: list[Call[Any]] = []
        self.api.push("/jobs/notify/orders")(self._work)
        self.api.task("/jobs/payments/capture", body=CaptureBody)(self._work)
        self.api.schedule("/jobs/notify/relay")(self._work)
        self.api.dead_letters("/jobs/notify/dead-letters", query=OfQuery)(self._work)

    def _work(self, call: Call[Any]) -> None:
        self.calls.append(call)
        if self.failing:
            raise self.failing


@pytest.fixture
def jobs(house: House) -> Jobs:
    return Jobs(house)


def envelope(payload: object = PAYLOAD, attributes: dict[str, str] = ATTRIBUTES) -> dict[str, Any]:
    """What Pub/Sub pushes, fields that we do not read included."""
    return {
        "subscription": "projects/p/subscriptions/notify-orders",
        "deliveryAttempt": 1,
        "message": {
            "data": base64.b64encode(json.dumps(payload).encode()).decode(),
            "attributes": attributes,
            "messageId": "136969346945",
            "message_id": "136969346945",
            "publishTime": "2026-11-22T12:00:00.000Z",
            "publish_time": "2026-11-22T12:00:00.000Z",
        },
    }


def test_a_push_brings_an_event(jobs: Jobs) -> None:
    response = call(jobs.api, "POST", "/jobs/notify/orders", json_body=envelope())

    assert response.status_code == 204
    assert jobs.calls[0].event == Event("orders", "order.paid", PAYLOAD, id=UUID(EVENT_ID))
    assert jobs.calls[0].principal == Shop()
    assert jobs.calls[0].actor == "shop"


def test_an_event_of_the_version_before_is_taken(jobs: Jobs) -> None:
    body = envelope(attributes={**ATTRIBUTES, "schema_version": "0"})

    assert call(jobs.api, "POST", "/jobs/notify/orders", json_body=body).status_code == 204


def broken(**message: object) -> bytes:
    document = envelope()
    document["message"].update(message)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b'{"message": {}}',
        broken(data=""),
        broken(data="%%%"),
        broken(data=base64.b64encode(b"not json").decode()),
        broken(data=base64.b64encode(b"[1]").decode()),
        broken(data=base64.b64encode(b'"\xff"').decode()),
        broken(data=base64.b64encode(b"[" * 100_000).decode()),
        broken(attributes={}),
        broken(attributes={**ATTRIBUTES, "event_id": "7"}),
        broken(attributes={**ATTRIBUTES, "name": ""}),
        broken(attributes={**ATTRIBUTES, "schema_version": "2"}),
        broken(attributes={**ATTRIBUTES, "schema_version": "one"}),
        broken(attributes={"event_id": EVENT_ID, "name": "order.paid"}),
    ],
)
def test_what_is_no_event_goes_to_the_dead_letters(jobs: Jobs, raw: bytes) -> None:
    assert problem_of(call(jobs.api, "POST", "/jobs/notify/orders", raw=raw))[:2] == (400, "unreadable")
    assert jobs.calls == []


DEAD_LETTERS = "/jobs/notify/dead-letters?subscription=notify-orders&topic=orders"


def test_a_dead_letter_brings_any_message_and_whose_it_was(jobs: Jobs) -> None:
    raw = broken(data=base64.b64encode(b"not json").decode(), attributes={})

    assert call(jobs.api, "POST", DEAD_LETTERS, raw=raw).status_code == 204
    assert (jobs.calls[0].raw, jobs.calls[0].event, jobs.calls[0].actor) == (raw, None, "shop")
    assert jobs.calls[0].query == OfQuery(subscription="notify-orders", topic="orders")


def test_a_dead_letter_that_cannot_be_kept_now_is_brought_again(jobs: Jobs) -> None:
    jobs.failing = Unavailable()

    assert call(jobs.api, "POST", DEAD_LETTERS, raw=broken()).status_code == 503


def test_a_task_brings_its_body_and_counts_its_deliveries(jobs: Jobs) -> None:
    response = call(
        jobs.api,
        "POST",
        "/jobs/payments/capture",
        json_body={"attempt_id": "a"},
        headers={"X-CloudTasks-TaskRetryCount": "2", "X-CloudTasks-TaskName": "t"},
    )

    assert response.status_code == 204
    assert (jobs.calls[0].body, jobs.calls[0].attempt) == (CaptureBody(attempt_id="a"), 3)


def test_a_schedule_brings_an_empty_object(jobs: Jobs) -> None:
    headers = {"X-CloudScheduler": "true"}

    assert call(jobs.api, "POST", "/jobs/notify/relay", json_body={}, headers=headers).status_code == 204
    assert jobs.calls[0].attempt == 1


JOBS = [
    ("/jobs/notify/orders", envelope()),
    ("/jobs/payments/capture", {"attempt_id": "a"}),
    ("/jobs/notify/relay", {}),
]


@pytest.mark.parametrize(("path", "body"), JOBS)
def test_a_job_that_cannot_be_done_now_comes_again(jobs: Jobs, path: str, body: object) -> None:
    jobs.failing = Unavailable(retry_after_s=5)

    response = call(jobs.api, "POST", path, json_body=body)

    assert problem_of(response)[:2] == (503, "unavailable")
    assert response.headers["Retry-After"] == "5"


@pytest.mark.parametrize(("path", "body"), JOBS)
def test_a_refusal_that_we_foresaw_is_recorded_and_done_with(
    jobs: Jobs, path: str, body: object, caplog: pytest.LogCaptureFixture
) -> None:
    jobs.failing = Conflict("no", order_id="not an id", count=3)

    with caplog.at_level(logging.INFO):
        response = call(jobs.api, "POST", path, json_body=body)

    assert response.status_code == 204
    refused = [record for record in caplog.records if record.getMessage() == "job_refused"]
    assert [record.fields for record in refused] == [{"route": f"POST {path}", "error": "Conflict", "count": 3}]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "body"), JOBS)
def test_what_nobody_foresaw_comes_again_and_ends_in_the_dead_letters(jobs: Jobs, path: str, body: object) -> None:
    jobs.failing = KeyError("paymentToken")

    assert problem_of(call(jobs.api, "POST", path, json_body=body))[:2] == (500, "internal")


def test_a_refused_job_still_publishes_what_it_committed(jobs: Jobs, house: House) -> None:
    failures: list[ShopError] = [Conflict(), Unavailable()]
    for failing in failures:
        jobs.failing = failing
        call(jobs.api, "POST", "/jobs/notify/relay", json_body={})

    assert house.flushes == ["flush", "flush"]


def test_jobs_are_called_by_post_only(jobs: Jobs) -> None:
    assert problem_of(call(jobs.api, "GET", "/jobs/notify/relay"))[:2] == (405, "method-not-allowed")
