"""Dead letters: messages that a consumer did not take, however often it was given them. Staff look at each.

Sent again an event keeps its id, so that whoever took it before knows it. What is none of our events can only be put
away.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.kernel.errors import Conflict, NotFound
from shared.kernel.messages import SCHEMA_VERSION

DeadLetterState = Literal["open", "replayed", "discarded"]


class DeadLetterNotFound(NotFound):
    sentence = "There is no such dead letter."


class DeadLetterDiscarded(Conflict):
    sentence = "This message was put away for good."


class DeadLetterReplayed(Conflict):
    """If nobody takes it this time either, it comes back as a dead letter of its own."""

    sentence = "This message was sent again."


class NotSendable(Conflict):
    """It is none of our events, or of a version that is published no more."""

    sentence = "This message cannot be sent again; it can only be put away."


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """What Pub/Sub brought: `payload` is its data as text, `attempts` how often the consumer was given it."""

    message_id: str
    event_id: UUID | None
    name: str | None
    schema_version: int | None
    payload: str
    attempts: int | None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One of them as it is kept; a list leaves `payload` out."""

    id: UUID
    subscription: str
    topic: str
    message_id: str
    event_id: UUID | None
    name: str | None
    attempts: int | None
    received_at: datetime
    state: DeadLetterState
    replays: int
    closed_at: datetime | None
    reason: str | None
    payload: str | None = None


def readable_payload(message: DeadMessage) -> Mapping[str, Any]:
    """The event's payload. Raises NotSendable where the message is no event as we publish them now."""
    if message.event_id is None or not message.name or message.schema_version != SCHEMA_VERSION:
        raise NotSendable
    try:
        payload = json.loads(message.payload)
    except (ValueError, RecursionError) as error:
        raise NotSendable from error
    if not isinstance(payload, dict):
        raise NotSendable
    return payload
