"""What Pub/Sub pushes: an envelope round one of our events. What cannot be read goes to the dead letters, by a 400.

https://cloud.google.com/pubsub/docs/push#receive_push: {"message": {"data": base64, "attributes": {}, "messageId",
"publishTime"}, "subscription"}; Google adds fields, so the envelope is open where everything else is closed.
"""

import base64
import binascii
import json
from uuid import UUID

import msgspec

from shared.edge.problems import Unreadable
from shared.kernel.messages import SCHEMA_VERSION, Event


class _Message(msgspec.Struct):
    data: str
    attributes: dict[str, str]


class _Envelope(msgspec.Struct):
    message: _Message


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
