"""What a dead-letter subscription brings is read whatever it is: what cannot be read came here for that reason."""

import base64
import json
from typing import Any
from uuid import UUID

import pytest

from shared.edge.problems import Unreadable
from shared.edge.pushes import read_dead_letter
from shared.outbox.dead_letters import DeadMessage, NotSendable, readable_payload

EVENT_ID = "3f6c1f6e-6d0e-4a53-9b57-2f1a6f0a3c11"
ATTRIBUTES = {
    "event_id": EVENT_ID,
    "name": "order.paid",
    "schema_version": "1",
    "CloudPubSubDeadLetterSourceDeliveryCount": "20",
}


def push(data: bytes | None, attributes: dict[str, str] | None = ATTRIBUTES, **more: Any) -> bytes:
    message: dict[str, Any] = {"messageId": "136969346945", "publishTime": "2026-11-22T12:00:00Z", **more}
    if data is not None:
        message["data"] = base64.b64encode(data).decode()
    if attributes is not None:
        message["attributes"] = attributes
    return json.dumps({"subscription": "projects/p/subscriptions/x-dead-letters", "message": message}).encode()


def test_an_event_of_ours_is_known_by_its_id_and_can_be_sent_again() -> None:
    message = read_dead_letter(push(b'{"order": {"number": "7ZZZZZZZZZ"}}'))

    assert message == DeadMessage(
        "136969346945", UUID(EVENT_ID), "order.paid", 1, '{"order": {"number": "7ZZZZZZZZZ"}}', 20
    )
    assert readable_payload(message) == {"order": {"number": "7ZZZZZZZZZ"}}


@pytest.mark.parametrize(
    ("raw", "payload"),
    [
        (push(b"no JSON"), "no JSON"),
        (push(b"[]"), "[]"),
        (push(b"\xff\x00"), "\\xff\\x00"),
        (push(None, None), ""),
        (push(b"{}", {"event_id": "nobody's", "name": "order.paid", "schema_version": "1"}), "{}"),
        (push(b"{}", {**ATTRIBUTES, "schema_version": "2"}), "{}"),
        (push(b"{}", {**ATTRIBUTES, "schema_version": "one"}), "{}"),
        (push(b"{}", {**ATTRIBUTES, "name": ""}), "{}"),
        (push(b"[" * 100_000), "[" * 100_000),
    ],
)
def test_anything_else_is_kept_as_it_is_and_not_sent_again(raw: bytes, payload: str) -> None:
    message = read_dead_letter(raw)

    assert (message.message_id, message.payload) == ("136969346945", payload)
    with pytest.raises(NotSendable):
        readable_payload(message)


@pytest.mark.parametrize("raw", [b"", b"[]", b"{}", b'{"message": {}}', b"\xff"])
def test_what_is_no_push_is_a_400(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        read_dead_letter(raw)
