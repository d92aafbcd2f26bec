"""Open rows: what a request has begun and nobody has finished yet. Sweeps wake them; staff see and may wake each."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.kernel.errors import Conflict, NotFound

Kind = Literal["outbox", "capture-attempts", "refunds", "trackings", "documents", "webhook-events", "mails"]


class OpenRowNotFound(NotFound):
    sentence = "There is no such row, or it is finished."


class RowAtWork(Conflict):
    sentence = "This is being worked on, and its outcome is not known yet. Please look again later."


class RowFinal(Conflict):
    sentence = "The receiver's server has refused this for good."


@dataclass(frozen=True, slots=True)
class OpenRow:
    """`what` is an event's name, a task's path, a vendor's event, a mail's template or a kind of document.

    `failure` is what went wrong last, `due_at` is when it is looked at next, where a moment is set.
    """

    kind: Kind
    id: UUID
    since: datetime
    state: str
    what: str
    order_number: str | None
    attempts: int | None
    due_at: datetime | None
    failure: str | None
