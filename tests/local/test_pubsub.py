"""Pub/Sub on one laptop, as the real client sees it and as a function at the end of a push subscription sees it."""

import base64
import json
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import pytest
from google.api_core import exceptions
from google.auth import jwt
from google.pubsub_v1 import PublisherClient, SubscriberClient, types
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from local.google.identity import public_key_pem
from local.google.pubsub_state import Message, PubSubState
from local.google.pubsub_state import Subscription as PushSubscription
from local.servers import SUBSCRIPTION_DEFAULTS
from tests.local.google_cloud import Receiver, Server, kill_at_work, wait_until
from tests.numbers import KILLS

PUSHER = "pubsub@p.iam.gserviceaccount.com"


class Client:
    """The real clients, and topics and subscriptions with names of their own for each test."""

    def __init__(self, address: str, project: str) -> None:
        self.project = project
        self._channels = [grpc.insecure_channel(address), grpc.insecure_channel(address)]
        self.publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self._channels[0]))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self._channels[1]))

    def make_topic(self) -> str:
        name = f"projects/{self.project}/topics/topic-{uuid.uuid4().hex[:12]}"
        return self.publisher.create_topic(name=name).name

    def make_subscription(self, topic: str, **fields: Any) -> str:
        name = f"projects/{self.project}/subscriptions/sub-{uuid.uuid4().hex[:12]}"
        return self.subscriber.create_subscription(request={"name": name, "topic": topic, **fields}).name

    def publish(
        self, topic: str, *texts: str, attributes: Mapping[str, str] | None = None, timeout_s: float = 30
    ) -> list[str]:
        messages = [types.PubsubMessage(data=text.encode(), attributes=attributes) for text in texts]
        return list(self.publisher.publish(topic=topic, messages=messages, retry=None, timeout=timeout_s).message_ids)

    def pull(self, subscription: str, limit: int = 10) -> list[types.ReceivedMessage]:
        # Google's own emulator may answer before the message has arrived at the subscription.
        for _ in range(20):
            received = list(self.subscriber.pull(subscription=subscription, max_messages=limit).received_messages)
            if received:
                return received
        return []

    def close(self) -> None:
        for channel in self._channels:
            channel.close()


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Server]:
    server = Server(
        "local.google.pubsub",
        tmp_path_factory.mktemp("pubsub"),
        {
            "topics": ["orders", "orders-dead"],
            "subscriptions": [
                {
                    "name": "notify-orders",
                    "topic": "orders",
                    "push_endpoint": receiver.url("/jobs/notify/orders"),
                    "ack_deadline_s": 60,
                    "min_backoff_s": 0.05,
                    "max_backoff_s": 0.1,
                    "max_delivery_attempts": 5,
                    "dead_letter_topic": "orders-dead",
                    "oidc": {"email": PUSHER, "audience": "https://notify.example"},
                },
                {"name": "orders-dead-kept", "topic": "orders-dead"},
                {
                    "name": "impatient",
                    "topic": "slow",
                    "push_endpoint": receiver.url("/jobs/slow"),
                    "ack_deadline_s": 1,
                    "min_backoff_s": 0.05,
                    "max_backoff_s": 0.05,
                },
            ],
        },
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    yield running
    running.faults.clear()
    running.wait_until(is_idle)  # the next test counts what is pending


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = Client(server.address, "p")
    yield client
    client.close()


@pytest.fixture(params=["ours", "googles"])
def either(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Our server and Google's emulator hold to the same contract."""
    if request.param == "ours":
        client = Client(request.getfixturevalue("server").address, "p")
    elif address := os.environ.get("PUBSUB_EMULATOR_HOST_REAL"):
        client = Client(address, "contract")
    else:
        pytest.skip("PUBSUB_EMULATOR_HOST_REAL names no Pub/Sub emulator of Google's")
    yield client
    client.close()


@pytest.fixture
def path() -> str:
    return f"/jobs/{uuid.uuid4().hex}"


@pytest.fixture
def pushed_topic(client: Client, receiver: Receiver, path: str) -> str:
    """A topic that is pushed to `path`, with 50 ms of backoff and no dead letters."""
    topic = client.make_topic()
    client.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)}, retry_policy=backoff(0.05))
    return topic


def backoff(least_s: float, most_s: float | None = None) -> dict[str, timedelta]:
    return {"minimum_backoff": timedelta(seconds=least_s), "maximum_backoff": timedelta(seconds=most_s or least_s)}


def texts(requests: list[Any]) -> list[str]:
    return [base64.b64decode(request.json["message"]["data"]).decode() for request in requests]


def verified(token: str, server: Server, *, audience: str) -> dict[str, Any]:
    """The claims, if Google's own library takes the token. Raises ValueError."""
    claims: dict[str, Any] = jwt.decode(  # type: ignore[no-untyped-call] # google-auth types no arguments here
        token,
        certs=public_key_pem(server.signing_key),
        audience=audience,
        clock_skew_in_seconds=server.clock.offset_s(),  # the library asks the real clock
    )
    return claims


def is_idle(pending: dict[str, Any]) -> bool:
    return bool(pending["pending"] == 0)


# --- the contract that Google's emulator passes too


def test_a_published_message_is_pulled_with_its_data_attributes_id_and_time(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic)

    (message_id,) = either.publish(topic, "placed", attributes={"name": "order.placed"})

    (received,) = either.pull(subscription)
    assert received.message.data == b"placed"
    assert dict(received.message.attributes) == {"name": "order.placed"}
    assert received.message.message_id == message_id
    assert received.message.publish_time.year >= 2024


def test_an_acknowledged_message_does_not_come_again(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic)
    either.publish(topic, "once")
    (received,) = either.pull(subscription)

    either.subscriber.acknowledge(subscription=subscription, ack_ids=[received.ack_id])

    assert list(either.subscriber.pull(subscription=subscription, max_messages=1, timeout=15).received_messages) == []


def test_a_message_given_back_comes_again(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic)
    either.publish(topic, "again")
    (first,) = either.pull(subscription)

    either.subscriber.modify_ack_deadline(subscription=subscription, ack_ids=[first.ack_id], ack_deadline_seconds=0)

    (second,) = either.pull(subscription)
    assert second.message.message_id == first.message.message_id


def test_every_subscription_gets_its_own_copy(either: Client) -> None:
    topic = either.make_topic()
    subscriptions = [either.make_subscription(topic), either.make_subscription(topic)]

    (message_id,) = either.publish(topic, "both")

    assert [either.pull(each)[0].message.message_id for each in subscriptions] == [message_id, message_id]


def test_one_call_may_carry_many_messages_and_answers_as_many_ids(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic)

    ids = either.publish(topic, *(f"m{n}" for n in range(20)))

    assert len(set(ids)) == 20
    pulled: dict[str, bytes] = {}
    while len(pulled) < 20:
        received = either.pull(subscription, limit=20)
        pulled |= {each.message.message_id: each.message.data for each in received}
        either.subscriber.acknowledge(subscription=subscription, ack_ids=[each.ack_id for each in received])
    assert [pulled[each] for each in ids] == [f"m{n}".encode() for n in range(20)]


def test_a_topic_that_does_not_exist_takes_nothing(either: Client) -> None:
    with pytest.raises(exceptions.NotFound):
        either.publish(f"projects/{either.project}/topics/nowhere", "lost")


def test_a_message_without_data_and_attributes_is_refused(either: Client) -> None:
    topic = either.make_topic()

    with pytest.raises(exceptions.InvalidArgument):
        either.publisher.publish(topic=topic, messages=[types.PubsubMessage()], retry=None)


def test_names_are_given_once(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic)

    with pytest.raises(exceptions.AlreadyExists):
        either.publisher.create_topic(name=topic)
    with pytest.raises(exceptions.AlreadyExists):
        either.subscriber.create_subscription(name=subscription, topic=topic)


def test_topics_and_subscriptions_can_be_read_and_deleted(either: Client) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic, retry_policy=backoff(10, 60))

    read = either.subscriber.get_subscription(subscription=subscription)
    assert (read.topic, read.ack_deadline_seconds) == (topic, 10)
    assert read.retry_policy.minimum_backoff == timedelta(seconds=10)
    assert topic in [each.name for each in either.publisher.list_topics(project=f"projects/{either.project}")]

    either.subscriber.delete_subscription(subscription=subscription)
    either.publisher.delete_topic(topic=topic)
    with pytest.raises(exceptions.NotFound):
        either.subscriber.get_subscription(subscription=subscription)
    with pytest.raises(exceptions.NotFound):
        either.publisher.get_topic(topic=topic)


def test_a_push_has_the_shape_of_googles(either: Client, receiver: Receiver, path: str) -> None:
    topic = either.make_topic()
    subscription = either.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)})

    (message_id,) = either.publish(topic, '{"foo":"bar"}', attributes={"test": "123"})

    (push,) = receiver.wait_for(path, 1)
    assert (push.method, push.headers["Content-Type"]) == ("POST", "application/json")
    published = push.json["message"].pop("publish_time")
    assert published.endswith("Z")
    assert push.json | {"message": push.json["message"] | {"publishTime": published, "publish_time": published}} == {
        "subscription": subscription,
        "message": {
            "data": "eyJmb28iOiJiYXIifQ==",
            "attributes": {"test": "123"},
            "messageId": message_id,
            "message_id": message_id,
            "publishTime": published,
            "publish_time": published,
        },
    }


def test_a_push_that_was_refused_comes_again(either: Client, receiver: Receiver, path: str) -> None:
    receiver.answers[path].append(500)
    topic = either.make_topic()
    either.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)})

    either.publish(topic, "again")

    first, second = receiver.wait_for(path, 2)
    assert first.json["message"]["messageId"] == second.json["message"]["messageId"]


# --- what only our server does


def test_a_push_holds_all_that_the_recorded_ones_hold(
    server: Server, client: Client, receiver: Receiver, shared_data: Path
) -> None:
    recorded = json.loads((shared_data / "vectors/google/eventarc_pubsub_binary_request.json").read_text())
    schema = json.loads((shared_data / "contracts/google_pubsub_MessagePublishedData.schema.json").read_text())
    before = len(receiver.requests("/jobs/notify/orders"))

    client.publish("projects/p/topics/orders", "vector", attributes={"k": "v"})

    push = receiver.wait_for("/jobs/notify/orders", before + 1)[-1]
    server.wait_until(is_idle)
    jsonschema.Draft4Validator(schema).validate(push.json)
    assert set(push.json) == {"deliveryAttempt", *recorded["request"]["body"]}
    assert set(push.json["message"]) == set(recorded["request"]["body"]["message"])


def test_a_push_carries_a_token_that_googles_own_library_verifies(
    server: Server, client: Client, receiver: Receiver
) -> None:
    before = len(receiver.requests("/jobs/notify/orders"))

    client.publish("projects/p/topics/orders", "signed")

    push = receiver.wait_for("/jobs/notify/orders", before + 1)[-1]
    scheme, _, token = push.headers["Authorization"].partition(" ")
    claims = verified(token, server, audience="https://notify.example")
    assert scheme == "Bearer"
    assert (claims["iss"], claims["email"], claims["email_verified"]) == ("https://accounts.google.com", PUSHER, True)
    assert claims["exp"] - claims["iat"] == 3600
    with pytest.raises(ValueError, match="audience"):
        verified(token, server, audience="https://desk.example")


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_these_answers_acknowledge(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str, status: int
) -> None:
    receiver.answers[path].append(status)

    client.publish(pushed_topic, "taken")

    receiver.wait_for(path, 1)
    server.wait_until(is_idle)
    assert len(receiver.requests(path)) == 1


@pytest.mark.parametrize("status", [203, 301, 400, 401, 404, 429, 500, 503])
def test_every_other_answer_is_a_failure(
    client: Client, receiver: Receiver, path: str, pushed_topic: str, status: int
) -> None:
    receiver.answers[path].append((status, {"Location": receiver.url("/elsewhere")}))

    client.publish(pushed_topic, "again")

    assert texts(receiver.wait_for(path, 2)) == ["again", "again"]
    assert receiver.requests("/elsewhere") == []


def test_the_wait_between_attempts_doubles(client: Client, receiver: Receiver, path: str) -> None:
    receiver.answers[path].extend([500, 500, 500])
    topic = client.make_topic()
    client.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)}, retry_policy=backoff(0.1, 60))

    client.publish(topic, "slower")

    first, second, third, fourth = (request.at for request in receiver.wait_for(path, 4))
    assert second - first >= 0.1
    assert third - second >= 0.2
    assert fourth - third >= 0.4


def test_an_endpoint_slower_than_the_ack_deadline_gets_the_message_again(
    server: Server, client: Client, receiver: Receiver
) -> None:
    released = threading.Event()
    receiver.answers["/jobs/slow"].append(released)

    (message_id,) = client.publish("projects/p/topics/slow", "slow")

    pushes = receiver.wait_for("/jobs/slow", 2)
    released.set()
    assert [push.json["message"]["messageId"] for push in pushes] == [message_id, message_id]
    server.wait_until(is_idle)


def test_a_waiting_retry_is_due_when_the_clock_says_so(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    receiver.answers[path].append(500)
    topic = client.make_topic()
    client.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)}, retry_policy=backoff(600, 600))
    client.publish(topic, "later")
    waiting = server.wait_until(lambda pending: pending["retrying"] == 1)

    server.clock.advance(600)

    receiver.wait_for(path, 2)
    server.wait_until(is_idle)
    assert (waiting["pending"], waiting["later"], waiting["items"][0]["problem"]) == (1, 0, "HTTP 500")


def test_retry_now_makes_every_waiting_retry_due(server: Server, client: Client, receiver: Receiver, path: str) -> None:
    receiver.answers[path].append(500)
    topic = client.make_topic()
    client.make_subscription(topic, push_config={"push_endpoint": receiver.url(path)}, retry_policy=backoff(600, 600))
    client.publish(topic, "now")
    server.wait_until(lambda pending: pending["retrying"] == 1)

    assert server.post("/_local/retry-now") == {"retried": 1}

    receiver.wait_for(path, 2)
    server.wait_until(is_idle)


def test_asking_again_and_again_leaves_an_endpoint_the_time_to_come_back(tmp_path: Path) -> None:
    """Settling does that twenty times a second, with the backoff and the attempts of the local cloud."""
    state = PubSubState(tmp_path / "pubsub.sqlite")
    topic, lane = "projects/p/topics/orders", "projects/p/subscriptions/notify-orders"
    state.configure(
        [topic],
        [
            PushSubscription(
                name=lane,
                topic=topic,
                push_endpoint="http://127.0.0.1:1/",
                dead_letter_topic="projects/p/topics/dead",
                min_backoff_s=SUBSCRIPTION_DEFAULTS["min_backoff_s"],
                max_backoff_s=SUBSCRIPTION_DEFAULTS["max_backoff_s"],
                max_delivery_attempts=SUBSCRIPTION_DEFAULTS["max_delivery_attempts"],
            )
        ],
    )
    state.publish(topic, [Message(b"paid", {})], now=1000.0)
    failed_at: list[float] = []
    for tick in range(1000):
        now = 1000.0 + tick / 20
        state.retry_now(now=now)
        for delivery in state.list_due(lane, now=now, limit=8, besides=()):
            state.fail(delivery.id, "HTTP 503", now=now)
            failed_at.append(now - 1000.0)

    assert failed_at == [0, 0.5, 1.5, 3.5, 5.5, 7.5, 9.5, 11.5, 13.5, 15.5]
    assert [letter["attempts"] for letter in state.list_dead_letters()] == [10]


def test_after_the_last_attempt_a_message_goes_to_the_dead_letter_topic_and_can_be_replayed(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    receiver.answers[path].extend([500] * 5)
    topic, graveyard = client.make_topic(), client.make_topic()
    kept = client.make_subscription(graveyard)
    subscription = client.make_subscription(
        topic,
        push_config={"push_endpoint": receiver.url(path)},
        retry_policy=backoff(0.02),
        dead_letter_policy={"dead_letter_topic": graveyard, "max_delivery_attempts": 5},
    )

    (message_id,) = client.publish(topic, "poison", attributes={"name": "order.paid"})

    attempts = [request.json["deliveryAttempt"] for request in receiver.wait_for(path, 5)]
    assert attempts == [1, 2, 3, 4, 5]
    pending = server.wait_until(lambda pending: pending["dead_letters"])
    (letter,) = pending["dead_letters"]
    assert pending["pending"] == 0
    assert letter | {"id": 0, "at": ""} == {
        "id": 0,
        "subscription": subscription.rpartition("/")[2],
        "topic": topic.rpartition("/")[2],
        "message_id": message_id,
        "attributes": {"name": "order.paid"},
        "data": base64.b64encode(b"poison").decode(),
        "attempts": 5,
        "problem": "HTTP 500",
        "at": "",
    }
    (dead,) = client.pull(kept)
    assert dead.message.data == b"poison"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceSubscription"] == subscription.rpartition("/")[2]

    assert server.post(f"/_local/dead-letters/{letter['id']}/replay") == {"replayed": letter["id"]}

    replayed = receiver.wait_for(path, 6)[-1]
    assert (replayed.json["message"]["messageId"], replayed.json["deliveryAttempt"]) == (message_id, 1)
    done = server.wait_until(is_idle)
    assert done["dead_letters"] == []


def test_a_dead_letter_that_somebody_took_out_of_its_topic_is_no_longer_listed(
    server: Server, client: Client, receiver: Receiver, path: str
) -> None:
    receiver.answers[path].extend([500] * 5)
    topic, graveyard = client.make_topic(), client.make_topic()
    kept = client.make_subscription(graveyard)
    client.make_subscription(
        topic,
        push_config={"push_endpoint": receiver.url(path)},
        retry_policy=backoff(0.02),
        dead_letter_policy={"dead_letter_topic": graveyard},
    )
    client.publish(topic, "poison")
    server.wait_until(lambda pending: len(pending["dead_letters"]) == 1)

    (dead,) = client.pull(kept)
    client.subscriber.acknowledge(subscription=kept, ack_ids=[dead.ack_id])

    assert server.get("/_local/pending")["dead_letters"] == []


def test_a_message_taken_before_a_kill_is_delivered_after_it(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    released = threading.Event()
    receiver.answers[path].extend([released] * 8)
    ids = client.publish(pushed_topic, *(f"m{n}" for n in range(20)))
    receiver.wait_for(path, 8)  # eight are under way, twelve wait, none is acknowledged

    server.kill()
    released.set()
    server.start()

    server.wait_until(is_idle)
    again = receiver.requests(path)[8:]
    assert sorted(request.json["message"]["messageId"] for request in again) == sorted(ids)


def test_what_was_acknowledged_before_a_kill_does_not_come_again(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    client.publish(pushed_topic, "done")
    receiver.wait_for(path, 1)
    server.wait_until(is_idle)

    server.kill()
    server.start()
    client.publish(pushed_topic, "next")

    assert texts(receiver.wait_for(path, 2)) == ["done", "next"]


@pytest.mark.slow
def test_whatever_was_taken_arrives_however_often_the_server_is_killed(
    server: Server, receiver: Receiver, path: str, client: Client, pushed_topic: str
) -> None:
    taken: list[str] = []
    done = threading.Event()

    def publish_until_done() -> None:
        publisher = Client(server.address, "p")
        while not done.is_set():
            try:
                taken.extend(publisher.publish(pushed_topic, "a", "b", timeout_s=2))
            except exceptions.GoogleAPICallError:
                done.wait(0.05)  # the server is down
        publisher.close()

    publishing = threading.Thread(target=publish_until_done)
    publishing.start()
    try:
        kill_at_work(server, taken, times=KILLS)
    finally:
        done.set()
        publishing.join()

    server.wait_until(is_idle)
    assert set(taken) <= {request.json["message"]["messageId"] for request in receiver.requests(path)}


@pytest.mark.slow
def test_a_publish_may_be_as_long_as_googles(client: Client, receiver: Receiver, path: str, pushed_topic: str) -> None:
    client.publish(pushed_topic, "x" * 9_900_000)

    assert len(texts(receiver.wait_for(path, 1))[0]) == 9_900_000
    with pytest.raises(exceptions.InvalidArgument):
        client.publish(pushed_topic, "x" * 10_000_001)


# --- faults


def test_fault_error_refuses_a_publish_and_takes_nothing(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    server.faults.add("pubsub-publish", "error", path=pushed_topic.rpartition("/")[2])

    with pytest.raises(exceptions.ServiceUnavailable):
        client.publish(pushed_topic, "refused")

    client.publish(pushed_topic, "taken")
    server.wait_until(is_idle)
    assert texts(receiver.wait_for(path, 1)) == ["taken"]
    assert server.faults.list()[0]["fired"] == 1


def test_fault_lose_gives_a_publish_no_answer_and_takes_nothing(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    server.faults.add("pubsub-publish", "lose")

    with pytest.raises(exceptions.DeadlineExceeded):
        client.publisher.publish(
            topic=pushed_topic, messages=[types.PubsubMessage(data=b"lost")], retry=None, timeout=1
        )

    client.publish(pushed_topic, "taken")
    server.wait_until(is_idle)
    assert texts(receiver.wait_for(path, 1)) == ["taken"]
    assert server.faults.list()[0]["fired"] == 1


def test_fault_timeout_after_effect_takes_a_message_and_gives_no_answer(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    server.faults.add("pubsub-publish", "timeout_after_effect")

    with pytest.raises(exceptions.DeadlineExceeded):
        client.publisher.publish(
            topic=pushed_topic, messages=[types.PubsubMessage(data=b"taken")], retry=None, timeout=1
        )

    assert texts(receiver.wait_for(path, 1)) == ["taken"]
    assert server.faults.list()[0]["fired"] == 1


def test_fault_repeat_of_a_publish_takes_the_message_twice(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str
) -> None:
    server.faults.add("pubsub-publish", "repeat")

    client.publish(pushed_topic, "twice")

    first, second = receiver.wait_for(path, 2)
    assert texts([first, second]) == ["twice", "twice"]
    assert first.json["message"]["messageId"] != second.json["message"]["messageId"]
    assert server.faults.list()[0]["fired"] == 1


@pytest.mark.parametrize("fault", ["delay", "reorder"])
def test_faults_delay_and_reorder_let_the_next_publish_overtake(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str, fault: str
) -> None:
    server.faults.add("pubsub-publish", fault, delay_s=2)
    slow = threading.Thread(target=client.publish, args=(pushed_topic, "first"))
    slow.start()
    wait_until(lambda: server.faults.list()[0]["fired"] == 1)

    client.publish(pushed_topic, "second")

    slow.join()
    assert texts(receiver.wait_for(path, 2)) == ["second", "first"]


@pytest.mark.parametrize(("fault", "arrivals"), [("lose", 1), ("error", 1), ("repeat", 2), ("timeout_after_effect", 2)])
def test_faults_of_a_push_show_in_how_often_it_arrives(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str, fault: str, arrivals: int
) -> None:
    server.faults.add("pubsub-push", fault, path=path)

    client.publish(pushed_topic, "pushed")

    server.wait_until(is_idle)
    assert texts(receiver.requests(path)) == ["pushed"] * arrivals
    assert server.faults.list()[0]["fired"] == 1


@pytest.mark.parametrize("fault", ["delay", "reorder"])
def test_faults_delay_and_reorder_let_the_next_push_overtake(
    server: Server, client: Client, receiver: Receiver, path: str, pushed_topic: str, fault: str
) -> None:
    server.faults.add("pubsub-push", fault, path=path)

    client.publish(pushed_topic, "first", "second")

    assert texts(receiver.wait_for(path, 2)) == ["second", "first"]
    assert server.faults.list()[0]["fired"] == 1
