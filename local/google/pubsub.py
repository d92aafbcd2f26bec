"""Cloud Pub/Sub on one laptop: `python -m local.google.pubsub`; clients find it by PUBSUB_EMULATOR_HOST.

It takes what Publisher and Subscriber of google.pubsub.v1 send by gRPC and pushes what Google pushes, with OIDC tokens,
retries, backoff and dead letters. Not here: StreamingPull, ordering, filters, schemas, snapshots, retention of days.

The configuration (names are short, push_endpoint is a whole URL; what may be left out stands with its default):

    {"project": "vitrine-local", "signing_key_file": "oidc.pem", "topics": ["orders"],
     "subscriptions": [{"name": "notify-orders", "topic": "orders", "push_endpoint": "http://127.0.0.1:1/jobs/...",
                        "ack_deadline_s": 10, "min_backoff_s": null, "max_backoff_s": null,
                        "max_delivery_attempts": 5, "dead_letter_topic": "",
                        "oidc": {"email": "pubsub@...", "audience": <push_endpoint>}}]}

A subscription without push_endpoint is pulled. Topics that only subscriptions name are made too. Faults: the path of
pubsub-publish is the short name of the topic, the path of pubsub-push is the path of the push endpoint.
"""

import asyncio
import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from google.pubsub_v1 import types

from local.clock import Clock
from local.faults import Faults
from local.google import grpc_server
from local.google.control import control_routes
from local.google.dispatching import Answer, Dispatcher, Sender
from local.google.identity import Issuer
from local.google.pubsub_state import Delivery, Message, PubSubState, Subscription
from local.google.times import timestamp

# cloud.google.com/pubsub/docs/push: these acknowledge, everything else is a failure.
ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
# The limits of one Publish call.
MOST_MESSAGES = 1000
MOST_BYTES = 10_000_000
# How long a Pull of an empty subscription waits for a message.
PULL_WAIT_S = 1.0


class Pushes:
    """Sends a message to its subscription's endpoint and tells the state how it went."""

    def __init__(self, state: PubSubState, issuer: Issuer, clock: Clock, faults: Faults) -> None:
        self._state = state
        self._issuer = issuer
        self._clock = clock
        self._faults = faults
        self._sender = Sender()
        self.dispatcher: Dispatcher[Delivery] = Dispatcher(state, self.deliver, clock)

    async def run(self) -> None:
        try:
            await self.dispatcher.run()
        finally:
            await self._sender.close()

    async def deliver(self, delivery: Delivery) -> None:
        url = delivery.subscription.push_endpoint
        fault = self._faults.draw("pubsub-push", urlsplit(url).path)
        answer = await self.dispatcher.attempt(delivery, fault, lambda: self._push(delivery))
        if answer.status in ACKNOWLEDGING:
            self._state.acknowledge([delivery.id])
        else:
            self._state.fail(delivery.id, answer.text, now=self._clock.now())

    async def _push(self, delivery: Delivery) -> Answer:
        subscription = delivery.subscription
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "From": "noreply@google.com",
            "User-Agent": "CloudPubSub-Google",
        }
        if subscription.oidc_email:
            audience = subscription.oidc_audience or subscription.push_endpoint
            token = self._issuer.token(subscription.oidc_email, audience, now=self._clock.now())
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps(push_body(delivery)).encode()
        return await self._sender.send(
            "POST", subscription.push_endpoint, headers=headers, body=body, timeout_s=subscription.ack_deadline_s
        )


def push_body(delivery: Delivery) -> dict[str, Any]:
    """The wrapped push, in Google's two spellings; deliveryAttempt only where there is a dead-letter topic."""
    message, subscription = delivery.message, delivery.subscription
    pushed: dict[str, Any] = {}
    if message.data:
        pushed["data"] = base64.b64encode(message.data).decode()
    if message.attributes:
        pushed["attributes"] = dict(message.attributes)
    published = timestamp(message.published_at)
    pushed |= {
        "messageId": str(message.id),
        "message_id": str(message.id),
        "publishTime": published,
        "publish_time": published,
    }
    if message.ordering_key:
        pushed["orderingKey"] = message.ordering_key
    body = {"message": pushed, "subscription": subscription.name}
    return {"deliveryAttempt": delivery.failures + 1, **body} if subscription.max_delivery_attempts else body


class Publisher:
    """google.pubsub.v1.Publisher."""

    def __init__(self, state: PubSubState, pushes: Pushes, clock: Clock, faults: Faults) -> None:
        self._state = state
        self._pushes = pushes
        self._clock = clock
        self._faults = faults

    def handler(self) -> Any:
        return grpc_server.service(
            "google.pubsub.v1.Publisher",
            {
                "Publish": (self.publish, types.PublishRequest, types.PublishResponse),
                "CreateTopic": (self.create_topic, types.Topic, types.Topic),
                "GetTopic": (self.get_topic, types.GetTopicRequest, types.Topic),
                "ListTopics": (self.list_topics, types.ListTopicsRequest, types.ListTopicsResponse),
                "DeleteTopic": (self.delete_topic, types.DeleteTopicRequest, None),
            },
        )

    async def publish(self, request: types.PublishRequest, context: object) -> types.PublishResponse:
        if not self._state.has_topic(request.topic):
            raise _no_resource(request.topic)
        messages = [Message(m.data, dict(m.attributes), m.ordering_key) for m in request.messages]
        _check(messages)
        fault = self._faults.draw("pubsub-publish", _short(request.topic))
        if fault == "error":
            raise grpc_server.unavailable()
        if fault == "lose":
            # Google never loses a message that it acknowledged: what gets lost is the call.
            await grpc_server.never_answer()
        if fault is not None and fault in ("delay", "reorder"):
            await grpc_server.hold_back(fault)
        ids = self._state.publish(request.topic, messages, now=self._clock.now(), copies=2 if fault == "repeat" else 1)
        self._pushes.dispatcher.wake()
        if fault == "timeout_after_effect":
            await grpc_server.never_answer()
        return types.PublishResponse(message_ids=[str(each) for each in ids])

    async def create_topic(self, request: types.Topic, context: object) -> types.Topic:
        _check_name(request.name, "topics")
        if not self._state.create_topic(request.name):
            raise grpc_server.already_exists(f"Topic already exists: {request.name}")
        return types.Topic(name=request.name)

    async def get_topic(self, request: types.GetTopicRequest, context: object) -> types.Topic:
        if not self._state.has_topic(request.topic):
            raise _no_resource(request.topic)
        return types.Topic(name=request.topic)

    async def list_topics(self, request: types.ListTopicsRequest, context: object) -> types.ListTopicsResponse:
        return types.ListTopicsResponse(topics=[{"name": name} for name in self._state.list_topics(request.project)])

    async def delete_topic(self, request: types.DeleteTopicRequest, context: object) -> None:
        if not self._state.delete_topic(request.topic):
            raise _no_resource(request.topic)


class Subscriber:
    """google.pubsub.v1.Subscriber, but for streaming."""

    def __init__(self, state: PubSubState, pushes: Pushes, clock: Clock) -> None:
        self._state = state
        self._pushes = pushes
        self._clock = clock

    def handler(self) -> Any:
        return grpc_server.service(
            "google.pubsub.v1.Subscriber",
            {
                "CreateSubscription": (self.create_subscription, types.Subscription, types.Subscription),
                "GetSubscription": (self.get_subscription, types.GetSubscriptionRequest, types.Subscription),
                "DeleteSubscription": (self.delete_subscription, types.DeleteSubscriptionRequest, None),
                "Pull": (self.pull, types.PullRequest, types.PullResponse),
                "Acknowledge": (self.acknowledge, types.AcknowledgeRequest, None),
                "ModifyAckDeadline": (self.modify_ack_deadline, types.ModifyAckDeadlineRequest, None),
            },
        )

    async def create_subscription(self, request: types.Subscription, context: object) -> types.Subscription:
        _check_name(request.name, "subscriptions")
        if not self._state.has_topic(request.topic):
            raise _no_resource(request.topic)
        deadline_s = request.ack_deadline_seconds or 10
        if not 10 <= deadline_s <= 600:
            raise grpc_server.invalid(f"Invalid ack deadline given: (ack_deadline_seconds={deadline_s}).")
        # No backoff at all is another policy than a backoff of 10 to 600 s, the default of its two fields.
        backoff = request.retry_policy if "retry_policy" in request else None
        dead_letter = request.dead_letter_policy if "dead_letter_policy" in request else None
        subscription = Subscription(
            name=request.name,
            topic=request.topic,
            push_endpoint=request.push_config.push_endpoint,
            ack_deadline_s=deadline_s,
            min_backoff_s=grpc_server.seconds(backoff.minimum_backoff, 10.0) if backoff else None,
            max_backoff_s=grpc_server.seconds(backoff.maximum_backoff, 600.0) if backoff else None,
            max_delivery_attempts=(dead_letter.max_delivery_attempts or 5) if dead_letter else 0,
            dead_letter_topic=dead_letter.dead_letter_topic if dead_letter else "",
            oidc_email=request.push_config.oidc_token.service_account_email,
            oidc_audience=request.push_config.oidc_token.audience,
        )
        if subscription.dead_letter_topic and not 5 <= subscription.max_delivery_attempts <= 100:
            raise grpc_server.invalid("max_delivery_attempts must lie between 5 and 100.")
        if not self._state.create_subscription(subscription):
            raise grpc_server.already_exists(f"Subscription already exists: {request.name}")
        self._pushes.dispatcher.wake()
        return _resource(subscription)

    async def get_subscription(self, request: types.GetSubscriptionRequest, context: object) -> types.Subscription:
        return _resource(self._find(request.subscription))

    async def delete_subscription(self, request: types.DeleteSubscriptionRequest, context: object) -> None:
        if not self._state.delete_subscription(request.subscription):
            raise _no_resource(request.subscription)

    async def pull(self, request: types.PullRequest, context: object) -> types.PullResponse:
        subscription = self._find(request.subscription)
        if subscription.push_endpoint:
            raise grpc_server.failed_precondition("The subscription is a push subscription.")
        if request.max_messages < 1:
            raise grpc_server.invalid("The value for max_messages must be positive.")
        wait_until = asyncio.get_running_loop().time() + PULL_WAIT_S
        while True:
            deliveries = self._state.pull(subscription, request.max_messages, now=self._clock.now())
            if deliveries or asyncio.get_running_loop().time() >= wait_until:
                break
            await asyncio.sleep(0.05)
        return types.PullResponse(received_messages=[_received(delivery) for delivery in deliveries])

    async def acknowledge(self, request: types.AcknowledgeRequest, context: object) -> None:
        self._find(request.subscription)
        self._state.acknowledge_leases(request.subscription, request.ack_ids)

    async def modify_ack_deadline(self, request: types.ModifyAckDeadlineRequest, context: object) -> None:
        self._find(request.subscription)
        if not 0 <= request.ack_deadline_seconds <= 600:
            raise grpc_server.invalid("The ack deadline must lie between 0 and 600 seconds.")
        self._state.extend_leases(
            request.subscription, request.ack_ids, request.ack_deadline_seconds, now=self._clock.now()
        )

    def _find(self, name: str) -> Subscription:
        found = self._state.find_subscription(name)
        if found is None:
            raise _no_resource(name)
        return found


def _check(messages: list[Message]) -> None:
    if not messages:
        raise grpc_server.invalid("The request must contain at least one message.")
    if len(messages) > MOST_MESSAGES:
        raise grpc_server.invalid(f"The request contains more than {MOST_MESSAGES} messages.")
    if any(not message.data and not message.attributes for message in messages):
        raise grpc_server.invalid("Some messages in the batch have neither data nor attributes.")
    if sum(len(message.data) for message in messages) > MOST_BYTES:
        raise grpc_server.invalid(f"The request is larger than {MOST_BYTES} bytes.")


def _check_name(name: str, kind: str) -> None:
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "projects" or parts[2] != kind or len(parts[3]) < 3:
        raise grpc_server.invalid(f"Invalid [{kind}] name: (name={name})")


def _no_resource(name: str) -> grpc_server.Refused:
    return grpc_server.not_found(f"Resource not found (resource={_short(name)}).")


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _resource(subscription: Subscription) -> types.Subscription:
    resource = types.Subscription(
        name=subscription.name,
        topic=subscription.topic,
        ack_deadline_seconds=subscription.ack_deadline_s,
        push_config={"push_endpoint": subscription.push_endpoint},
        state=types.Subscription.State.ACTIVE,
    )
    if subscription.oidc_email:
        resource.push_config.oidc_token = types.PushConfig.OidcToken(
            service_account_email=subscription.oidc_email, audience=subscription.oidc_audience
        )
    if subscription.min_backoff_s is not None and subscription.max_backoff_s is not None:
        resource.retry_policy = types.RetryPolicy(
            minimum_backoff=timedelta(seconds=subscription.min_backoff_s),
            maximum_backoff=timedelta(seconds=subscription.max_backoff_s),
        )
    if subscription.dead_letter_topic:
        resource.dead_letter_policy = types.DeadLetterPolicy(
            dead_letter_topic=subscription.dead_letter_topic,
            max_delivery_attempts=subscription.max_delivery_attempts,
        )
    return resource


def _received(delivery: Delivery) -> types.ReceivedMessage:
    message = delivery.message
    return types.ReceivedMessage(
        ack_id=delivery.ack_id,
        message=types.PubsubMessage(
            data=message.data,
            attributes=dict(message.attributes),
            message_id=str(message.id),
            publish_time=datetime.fromtimestamp(message.published_at, UTC),
            ordering_key=message.ordering_key,
        ),
        delivery_attempt=delivery.failures + 1 if delivery.subscription.max_delivery_attempts else 0,
    )


def configured(config: Mapping[str, Any]) -> tuple[list[str], list[Subscription]]:
    """Topics and subscriptions of the configuration file, by their full names."""
    project = f"projects/{config['project']}"
    subscriptions = []
    for each in config.get("subscriptions", []):
        dead_letter_topic, oidc = each.get("dead_letter_topic") or "", each.get("oidc") or {}
        subscriptions.append(
            Subscription(
                name=f"{project}/subscriptions/{each['name']}",
                topic=f"{project}/topics/{each['topic']}",
                push_endpoint=each.get("push_endpoint") or "",
                ack_deadline_s=each.get("ack_deadline_s") or 10,
                min_backoff_s=each.get("min_backoff_s"),
                max_backoff_s=each.get("max_backoff_s"),
                max_delivery_attempts=(each.get("max_delivery_attempts") or 5) if dead_letter_topic else 0,
                dead_letter_topic=f"{project}/topics/{dead_letter_topic}" if dead_letter_topic else "",
                oidc_email=oidc.get("email", ""),
                oidc_audience=oidc.get("audience", ""),
            )
        )
    return [f"{project}/topics/{name}" for name in config.get("topics", [])], subscriptions


def main() -> None:
    options = grpc_server.arguments("Cloud Pub/Sub on one laptop")
    config = grpc_server.read_config(options.config)
    clock, faults = Clock(options.clock), Faults(options.faults)
    state = PubSubState(Path(options.state) / "pubsub.sqlite")
    state.configure(*configured(config))

    async def run() -> None:
        pushes = Pushes(state, Issuer(config["signing_key_file"]), clock, faults)
        dispatcher = pushes.dispatcher
        handlers = [
            Publisher(state, pushes, clock, faults).handler(),
            Subscriber(state, pushes, clock).handler(),
        ]
        control = control_routes(state, clock=clock, wake=dispatcher.wake, under_way=lambda: dispatcher.under_way)
        await grpc_server.serve(options, handlers, control, pushes.run())

    asyncio.run(run())


if __name__ == "__main__":
    main()
