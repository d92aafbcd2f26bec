"""Receiving what the processor tells: checked, stored once, handed over. Nothing is believed here (DESIGN.md rule 6).

A transmission that verifies makes us look, no more: the signature covers a checksum of the body, not the body.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Unauthenticated, Unavailable
from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.kernel.messages import Task
from shared.payments.tasks import webhook_task

log = Log(__name__)

PROVIDER = "paypal"
_LONGEST_ID = 128

State = Literal["received", "applied", "ignored", "waiting"]


class SignatureRefused(Unauthenticated):
    """`reason` is one constant word of why: it is counted, and never told to the caller."""

    sentence = "This is not signed as it should be."

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Transmission:
    """One delivery whose signature is right."""

    id: str
    sent_at: datetime


class Verifier(Protocol):
    def verify(self, headers: Mapping[str, str], body: bytes) -> Transmission:
        """`headers` by lower-case name. Raises SignatureRefused; Unavailable where the certificate cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """`replays`: how often staff had it applied again."""

    id: UUID
    transmission_id: str
    event_id: str
    event_type: str
    body: str
    received_at: datetime
    state: State = "received"
    verdict: str | None = None
    replays: int = 0


class Events(Protocol):
    """The store of what was received; each method is one step."""

    def keep(self, event: WebhookEvent, *tasks: Task) -> bool:
        """Store the event and its tasks together. False, and nothing written, where transmission or event is known."""
        ...

    def count_refusal(self, provider: str, reason: str, at: datetime) -> None: ...


def receive(
    headers: Mapping[str, str], body: bytes, *, verifier: Verifier, events: Events, clock: Clock
) -> WebhookEvent | None:
    """Store a verified transmission and the task that applies it; None where it is known already.

    Raises SignatureRefused, which has been counted then; Unavailable: the sender tries again.
    """
    with counting_refusals(PROVIDER, events=events, clock=clock):
        transmission = verifier.verify(headers, body)
    event = _event_of(transmission, body, clock.now())
    tasks = [webhook_task(event.id)] if event.state == "received" else []
    if not events.keep(event, *tasks):
        log.info("webhook_repeated", provider=PROVIDER, transmission_id=event.transmission_id)
        return None
    log.info("webhook_received", webhook_event_id=event.id, event_type=event.event_type, state=event.state)
    return event


@contextmanager
def counting_refusals(provider: str, *, events: Events, clock: Clock) -> Iterator[None]:
    """A signature that is refused in here is counted by its reason; the refusal goes on to the caller."""
    try:
        yield
    except SignatureRefused as refused:
        log.warning("webhook_refused", provider=provider, reason=refused.reason)
        with suppress(Unavailable):  # a busy database makes no bad signature a better one; the log has it
            events.count_refusal(provider, refused.reason, clock.now())
        raise


def parse(body: str | bytes) -> dict[str, Any] | None:
    """The event as an object, None where it is none."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _event_of(transmission: Transmission, body: bytes, now: datetime) -> WebhookEvent:
    found = parse(body) or {}
    event_id, event_type = plain_word(found.get("id")), plain_word(found.get("event_type"))
    readable = event_id is not None and event_type is not None
    return WebhookEvent(
        id=new_id(),
        transmission_id=transmission.id,
        # Signed, and nothing that we can read: kept for people, under the one name it has.
        event_id=event_id if readable and event_id else f"unreadable:{transmission.id}",
        event_type=event_type or "",
        body=_text(body),
        received_at=now,
        state="received" if readable else "ignored",
        verdict=None if readable else "unreadable",
    )


def plain_word(value: object) -> str | None:
    """A name of the sender's that fits into an index: printable ASCII, not too long."""
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_ID:
        return None
    return value if value.isascii() and value.isprintable() else None


def _text(body: bytes) -> str:
    """The body as PostgreSQL's text can hold it: what is no UTF-8, and NUL, as escapes."""
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
