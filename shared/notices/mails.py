"""Mails: rows first, then a call that carries the row's id, then its outcome (DESIGN.md rule 11).

    queued --> sending --> accepted --> delivered
      ^ \\---------|  \\----------\\-----> failed
      `-----------'

queued: nothing was asked for, or it was certainly not done. sending: asked for, and no answer yet, perhaps for ever.
accepted, delivered, failed: the vendor's answer, or its event webhook, has told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from shared.kernel.errors import Unavailable

State = Literal["queued", "sending", "accepted", "delivered", "failed"]

# Template by event. A template is a file each for subject and text, and for HTML, in templates/.
TEMPLATES = {
    "order.paid": "order_paid",
    "order.shipped": "order_shipped",
    "order.expired": "order_expired",
    "order.cancelled": "order_cancelled",
    "order.refunded": "order_refunded",
    "payment.refused": "payment_refused",
    "payment.returned": "payment_returned",
    "return.approved": "return_approved",
    "return.rejected": "return_rejected",
    "return.received": "return_received",
}
# Events that no mail follows: the buyer sees that the order or the return stands, and staff see what waits for them.
SILENT = frozenset({"order.placed", "order.on_hold", "return.requested", "return.closed"})


class NoAnswer(Unavailable):
    """The vendor was asked and has not told: the mail may be on its way, and is not repeated before it could tell."""

    sentence = "It is not known yet whether this was sent."


@dataclass(frozen=True, slots=True)
class Draft:
    """A mail as it will be sent, whatever changes afterwards."""

    id: UUID
    event_id: UUID
    template: str
    recipient: str
    order_id: UUID
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Mail(Draft):
    """A mail that is being sent, for the `attempt`th time; `unanswered` attempts before it were never told of."""

    attempt: int
    unanswered: int


@dataclass(frozen=True, slots=True)
class MailEvent:
    """What the vendor tells of a mail. `id` may change when it is told again: message, event and time do not."""

    id: str
    mail_id: UUID
    event: str
    message_id: str
    at: datetime
    reason: str | None = None


class Mailer(Protocol):
    """The vendor, as shared.gateways.sendgrid provides it."""

    def send(self, mail: Mail) -> str:
        """Ask for the mail, naming its id; the vendor's id. One call, no repetition.

        Raises Unavailable (certainly not sent, try again later), Declined (never will be), NoAnswer.
        """


class Mails(Protocol):
    """The mails' rows, as shared.persistence.mails provides them. Every method is one step and raises Unavailable."""

    def write(self, draft: Draft, *, consumer: str, at: datetime) -> UUID | None:
        """The row of this event, template and recipient, this one or the one that was there; the inbox goes with it.

        None where the event was worked on long ago and its row is gone.
        """

    def claim(self, mail_id: UUID, *, at: datetime, grace: timedelta) -> Mail | None:
        """Take a due mail for one attempt; None where it is settled, at work or not due.

        It is due again after `grace`, doubled with each attempt before it that went without an answer.
        """

    def accept(self, mail_id: UUID, *, message_id: str, at: datetime) -> None: ...

    def put_off(self, mail_id: UUID, *, attempt: int, until: datetime, failure: str, at: datetime) -> None:
        """Queued again; nothing where the attempt is no longer the newest, or an event has settled the mail."""

    def refuse(self, mail_id: UUID, *, attempt: int, failure: str, at: datetime) -> None:
        """Failed for good; nothing where the attempt is no longer the newest, or an event has settled the mail."""

    def list_due(self, *, at: datetime, limit: int) -> list[UUID]:
        """Those due the longest come first."""


class MailEvents(Protocol):
    """What the webhooks function writes of mails, as shared.persistence.mails provides it."""

    def record(self, events: Sequence[MailEvent], *, at: datetime) -> int:
        """Store what is new of mails of ours, and settle them by all that is known, in one step; how many were new."""
