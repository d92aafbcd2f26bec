"""What reconciliation finds: a run, and what it has to say of one thing that is not as it should be."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.kernel.errors import Conflict, NotFound

# fresh: every few minutes, what is young or open. full: every night, everything.
RunKind = Literal["fresh", "full"]
State = Literal["open", "repaired", "explained"]
Kind = Literal[
    "unreachable",  # PayPal does not answer: nothing is concluded from that
    "event_missed",  # PayPal has told us of something, and we never heard it
    "fact_missed",  # PayPal has a payment, refund or dispute that our ledger had not
    "amount_differs",  # the same payment or refund, another amount
    "gone_at_paypal",  # our ledger has a payment that PayPal does not know
    "order_unsettled",  # an order does not say what its own ledger says
    "money_kept",  # an order that is over, and money of it that did not go back
    "capture_unpaired",  # a payment that names its order by its invoice alone
    "capture_without_order",  # a payment with this shop's prefix, and no order of it
    "foreign_capture",  # somebody else's payment on the same account: listed, never touched
    "stock_drift",  # level, movements and orders do not say the same
    "stock_short",  # orders keep more than is on hand
]


@dataclass(frozen=True, slots=True)
class Finding:
    """`subject` is what it is about, in the words of `kind`; no e-mail, address or token is in `detail`.

    `open` waits for a repair or a person; `repaired` was put right; `explained`: there is a reason, and nothing to do.
    """

    kind: Kind
    subject: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    order_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class KnownFinding:
    """A finding as the report shows it."""

    id: UUID
    kind: Kind
    subject: str
    detail: Mapping[str, Any]
    state: State
    order_number: str | None
    found_at: datetime
    seen_at: datetime
    closed_at: datetime | None
    closed_by: str | None
    reason: str | None


@dataclass(slots=True)
class Run:
    """One reconciliation, and how far it has come: `step` and `cursor` are where a killed one goes on.

    `since`: PayPal's events are read from there. `token` is the turn at it, given to one at a time.
    """

    id: UUID
    kind: RunKind
    asked_by: str
    started_at: datetime
    since: datetime
    step: str
    cursor: str
    counts: dict[str, int]
    finished_at: datetime | None = None
    token: UUID | None = None

    def count(self, what: str, number: int = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + number


class FindingNotFound(NotFound):
    sentence = "There is no such finding."


class FindingClosed(Conflict):
    sentence = "This finding is closed already."
