"""The ledger: every fact that PayPal told us of, and the sums that follow from it.

A capture's or refund's facts are one row per status it was seen in, an order's and a dispute's one per status and
update time. Which came first, or twice, makes no difference: what counts is the furthest status that was ever seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.payments.processor import CaptureFact, DisputeFact, Fact, RefundFact

# PayPal Payments v2, capture status, in the order in which a capture can go through them.
_CAPTURE_COURSE = ("PENDING", "DECLINED", "FAILED", "COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
_CAPTURED = {"COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"}
_REFUSED = {"DECLINED", "FAILED"}
# PayPal Payments v2, refund status.
_REFUND_COURSE = ("PENDING", "CANCELLED", "FAILED", "COMPLETED")
# PayPal Customer Disputes v1: a dispute is over when it is RESOLVED; these outcomes leave the money with the seller.
_DISPUTE_OVER = "RESOLVED"
_KEPT = ("RESOLVED_SELLER_FAVOUR", "RESOLVED_WITH_PAYOUT", "CANCELED_BY_BUYER", "DENIED")


@dataclass(frozen=True, slots=True)
class FactRow:
    """A fact as the ledger keeps it; `ours` is the refund row of ours that a refund answers."""

    kind: str
    object_id: str
    status: str
    update_time: str
    capture_id: str | None
    amount_minor: int | None
    currency: str | None
    reversal: bool
    ours: UUID | None
    occurred_at: datetime | None


def from_json(value: Mapping[str, Any]) -> FactRow:
    """A fact from a row of payment_facts as JSON."""
    occurred_at = value["occurred_at"]
    return FactRow(
        **{
            **value,
            "ours": _uuid(value["ours"]),
            "occurred_at": parse_iso(occurred_at) if occurred_at is not None else None,
        }
    )


def rows_of(fact: Fact) -> list[FactRow]:
    """What one object read back from PayPal adds to the ledger; an order brings its captures and refunds along."""
    if isinstance(fact, CaptureFact):
        return [
            FactRow(
                kind="capture",
                object_id=fact.id,
                status=fact.status,
                update_time="",
                capture_id=None,
                amount_minor=fact.amount.minor if fact.amount else None,
                currency=fact.amount.currency if fact.amount else None,
                reversal=False,
                ours=None,
                occurred_at=fact.created_at,
            )
        ]
    if isinstance(fact, RefundFact):
        return [
            FactRow(
                kind="refund",
                object_id=fact.id,
                status=fact.status,
                update_time="",
                capture_id=fact.capture_id,
                amount_minor=fact.amount.minor,
                currency=fact.amount.currency,
                reversal=fact.reversal,
                ours=_uuid(fact.custom_id),
                occurred_at=fact.created_at,
            )
        ]
    if isinstance(fact, DisputeFact):
        status = fact.status if fact.outcome is None else f"{fact.status}:{fact.outcome}"
        return [
            FactRow("dispute", fact.id, status, fact.update_time, capture_id, None, None, False, None, None)
            for capture_id in fact.capture_ids[:1]
        ]
    own = FactRow("order", fact.id, fact.status, fact.update_time, None, None, None, False, None, None)
    return [own, *_rows_of_all(fact.captures), *_rows_of_all(fact.refunds)]


def _rows_of_all(facts: Iterable[Fact]) -> list[FactRow]:
    return [row for fact in facts for row in rows_of(fact)]


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture at the furthest status that was seen."""

    id: str
    status: str
    amount_minor: int | None
    currency: str | None
    occurred_at: datetime | None

    @property
    def is_completed(self) -> bool:
        return self.status in _CAPTURED

    @property
    def is_refused(self) -> bool:
        return self.status in _REFUSED

    @property
    def is_pending(self) -> bool:
        return self.status == "PENDING"


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund at the furthest status that was seen; without a currency of its own it has its capture's."""

    id: str
    capture_id: str
    status: str
    amount_minor: int
    currency: str | None
    reversal: bool
    ours: UUID | None
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sums:
    """What came in one currency, and what became of it; minor units of that currency."""

    currency: str
    captured_minor: int
    refunded_minor: int
    reversed_minor: int
    pending_minor: int


@dataclass(frozen=True, slots=True)
class Ledger:
    """All that is known of one order's money.

    `disputed_captures` and `lost_captures`: those that an open dispute, or one that was lost, is about.
    `unreversed_captures`: those that more disputes were lost about than reversals of them are known.
    """

    captures: tuple[Capture, ...]
    refunds: tuple[Refund, ...]
    approvals: int
    open_disputes: frozenset[str]
    lost_disputes: frozenset[str]
    disputed_captures: frozenset[str]
    lost_captures: frozenset[str]
    unreversed_captures: frozenset[str]

    def captured_minor(self, currency: str) -> int:
        """Sums are of the order's currency: what came in another one is no part of them."""
        return sum(c.amount_minor or 0 for c in self.captures if c.is_completed and c.currency == currency)

    def pending_minor(self, currency: str) -> int:
        return sum(c.amount_minor or 0 for c in self.captures if c.is_pending and c.currency == currency)

    def refunded_minor(self, currency: str) -> int:
        return sum(r.amount_minor for r in self._given_back() if r.currency == currency and not r.reversal)

    def reversed_minor(self, currency: str) -> int:
        return sum(r.amount_minor for r in self._given_back() if r.currency == currency and r.reversal)

    def sums_as_it_came(self, bound_capture_id: str | None, currency: str) -> Sums:
        """In the currency of the bound capture; without one in `currency`, the order's, unless all came in another."""
        bound = [capture.currency for capture in self.captures if capture.id == bound_capture_id and capture.currency]
        known = [capture.currency for capture in self.captures if capture.currency]
        came = bound[0] if bound else currency if currency in known or not known else known[0]
        return Sums(
            came,
            captured_minor=self.captured_minor(came),
            refunded_minor=self.refunded_minor(came),
            reversed_minor=self.reversed_minor(came),
            pending_minor=self.pending_minor(came),
        )

    def given_back_of(self, capture_id: str) -> int:
        return sum(refund.amount_minor for refund in self._given_back() if refund.capture_id == capture_id)

    def is_going_back(self, capture_id: str) -> bool:
        """Whether any of it went back, or may still go."""
        return any(r.capture_id == capture_id and r.status in ("PENDING", "COMPLETED") for r in self.refunds)

    def _given_back(self) -> list[Refund]:
        return [refund for refund in self.refunds if refund.status == "COMPLETED"]


def read_json(facts: Iterable[Mapping[str, Any]]) -> Ledger:
    """A ledger from rows of payment_facts as JSON, which have more columns than a fact."""
    names = FactRow.__dataclass_fields__
    return read([from_json({name: fact[name] for name in names}) for fact in facts])


def read(rows: Sequence[FactRow]) -> Ledger:
    """The state that a set of facts amounts to, whatever their order."""
    captures: dict[str, FactRow] = {}
    refunds: dict[str, FactRow] = {}
    disputes: dict[str, FactRow] = {}
    about: dict[str, set[str]] = {}
    approvals = set()
    for row in rows:
        if row.kind == "capture":
            captures[row.object_id] = _further(captures.get(row.object_id), row, _CAPTURE_COURSE)
        elif row.kind == "refund":
            refunds[row.object_id] = _further(refunds.get(row.object_id), row, _REFUND_COURSE)
        elif row.kind == "dispute":
            known = disputes.get(row.object_id)
            disputes[row.object_id] = max(known, row, key=_dispute_course) if known else row
            about.setdefault(row.object_id, set()).add(row.capture_id or "")
        elif row.status == "APPROVED":
            approvals.add((row.object_id, row.update_time))
    still_open = frozenset(row.object_id for row in disputes.values() if not _is_over(row))
    lost = frozenset(row.object_id for row in disputes.values() if _is_over(row) and not _is_kept(row))
    lost_about = Counter(capture_id for dispute_id in lost for capture_id in about[dispute_id])
    reversals = Counter(
        row.capture_id or "" for row in refunds.values() if row.reversal and row.status in ("PENDING", "COMPLETED")
    )
    return Ledger(
        captures=tuple(
            Capture(row.object_id, row.status, row.amount_minor, row.currency, row.occurred_at)
            for row in sorted(captures.values(), key=lambda row: row.object_id)
        ),
        refunds=tuple(
            Refund(
                id=row.object_id,
                capture_id=row.capture_id or "",
                status=row.status,
                amount_minor=row.amount_minor or 0,
                currency=row.currency or (captures[row.capture_id].currency if row.capture_id in captures else None),
                reversal=row.reversal,
                ours=row.ours,
                occurred_at=row.occurred_at,
            )
            for row in sorted(refunds.values(), key=lambda row: row.object_id)
        ),
        approvals=len(approvals),
        open_disputes=still_open,
        lost_disputes=lost,
        disputed_captures=frozenset(capture_id for dispute_id in still_open for capture_id in about[dispute_id]),
        lost_captures=frozenset(lost_about),
        unreversed_captures=frozenset((lost_about - reversals).keys()),
    )


def _dispute_course(row: FactRow) -> tuple[bool, str]:
    return _is_over(row), row.update_time


def _is_over(row: FactRow) -> bool:
    return row.status.partition(":")[0] == _DISPUTE_OVER


def _is_kept(row: FactRow) -> bool:
    """Without a word on the outcome the money is not known to be ours."""
    return row.status.partition(":")[2] in _KEPT


def _further(known: FactRow | None, row: FactRow, course: tuple[str, ...]) -> FactRow:
    if known is None:
        return row
    ahead, behind = (row, known) if _rank(row, course) > _rank(known, course) else (known, row)
    # What any fact said of amount, capture and whose it is stays said: a later one may be shorter.
    return replace(
        ahead,
        capture_id=ahead.capture_id or behind.capture_id,
        amount_minor=behind.amount_minor if ahead.amount_minor is None else ahead.amount_minor,
        currency=ahead.currency or behind.currency,
        reversal=ahead.reversal or behind.reversal,
        ours=ahead.ours or behind.ours,
        occurred_at=ahead.occurred_at or behind.occurred_at,
    )


def _rank(row: FactRow, course: tuple[str, ...]) -> int:
    return course.index(row.status) if row.status in course else -1


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None
