"""What Pub/Sub pushes: an envelope round one of our events. What cannot be read goes to the dead letters, by a 400.

https://cloud.google.com/pubsub/docs/push#receive_push: {"message": {"data": base64, "attributes": {}, "messageId",
"publishTime"}, "subscription"}; Google adds fields, so the envelope is open where everything else is closed.
"""

import base64
import binascii
import json
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from shared.edge.parsing import Query
from shared.edge.problems import Unreadable
from shared.kernel.messages import SCHEMA_VERSION, Event
from shared.outbox.dead_letters import DeadMessage

# https://cloud.google.com/pubsub/docs/handling-failures: what Pub/Sub adds to a message that it gives up.
_ATTEMPTS = "CloudPubSubDeadLetterSourceDeliveryCount"


class _Message(msgspec.Struct):
    data: str
    attributes: dict[str, str]


class _DeadMessage(msgspec.Struct, rename="camel"):
    message_id: str
    data: str = ""
    attributes: dict[str, str] = msgspec.field(default_factory=dict)


class _DeadEnvelope(msgspec.Struct):
    message: _DeadMessage


class _Envelope(msgspec.Struct):
    message: _Message


class DeadLetterQuery(Query, frozen=True, kw_only=True):
    """Whose dead letter it is: the subscription that its consumer did not take it from, and that one's topic."""

    subscription: Annotated[str, Meta(min_length=1, max_length=255)]
    topic: Annotated[str, Meta(min_length=1, max_length=255)]


def read_event(raw: bytes, topic: str) -> Event:
    """The event of a push. Takes this schema version and the one before (DESIGN.md rule 15). Raises Unreadable."""
    try:
        message = msgspec.json.decode(raw, type=_Envelope).message
        payload = json.loads(base64.b64decode(message.data, validate=True))
        event_id = UUID(message.attributes["event_id"])
        name = message.attributes["name"]
        version = int(message.attributes["schema_version"])
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError, ValueError, KeyError, RecursionError) as error:
        raise Unreadable("This is no event of ours.") from error
    if not isinstance(payload, dict) or not name:
        raise Unreadable("This is no event of ours.")
    if version not in (SCHEMA_VERSION, SCHEMA_VERSION - 1):
        raise Unreadable(f"Schema version {version} is not known here.")
    return Event(topic=topic, name=name, payload=payload, id=event_id)


def read_dead_letter(raw: bytes) -> DeadMessage:
    """A message that a consumer never took, whatever is in it. Raises Unreadable where this is no push at all."""
    try:
        message = msgspec.json.decode(raw, type=_DeadEnvelope).message
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable("This is no push of Pub/Sub's.") from error
    try:
        data = base64.b64decode(message.data, validate=True)
    except (binascii.Error, ValueError):
        data = message.data.encode()
    return DeadMessage(
        message_id=message.message_id,
        event_id=_uuid(message.attributes.get("event_id", "")),
        name=message.attributes.get("name", "").replace("\x00", "") or None,
        schema_version=_small(message.attributes.get("schema_version", "")),
        # As PostgreSQL's text can hold it: what is no UTF-8, and NUL, as escapes.
        payload=data.decode("utf-8", "backslashreplace").replace("\x00", "\\x00"),
        attempts=_small(message.attributes.get(_ATTEMPTS, "")),
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _small(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
