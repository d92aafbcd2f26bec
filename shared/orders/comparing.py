"""Comparing: what PayPal shows of an order's money against what our ledger has of it. It is pure.

Not every unknown fact is news. A capture that PayPal calls refunded after a refund that we know of only says so once
more; what counts is a payment, a refund or a dispute that is another one than we thought, or that we did not know of.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.kernel.clock import parse_iso
from shared.orders.order import Order
from shared.payments import ledger
from shared.payments.ledger import Capture, FactRow, Ledger
from shared.payments.processor import Fact, OrderFact

# What PayPal has just done it is just telling us: its notice is on its way, and not missed.
NOTICE_TAKES = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class News:
    """An object of PayPal's that our ledger did not have, or had as something else."""

    kind: str
    object_id: str
    status: str
    was: str | None
    in_flight: bool

    @property
    def said(self) -> dict[str, str | None]:
        return {"kind": self.kind, "status": self.status, "was": self.was}


@dataclass(frozen=True, slots=True)
class AmountDiffers:
    kind: str
    object_id: str
    paypal_minor: int | None
    paypal_currency: str | None
    ours_minor: int | None
    ours_currency: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`unknown`: PayPal's objects say anything at all that the ledger has not."""

    unknown: bool
    news: tuple[News, ...]
    amounts: tuple[AmountDiffers, ...]


def compare(facts: Sequence[Fact], known: Sequence[FactRow], *, now: datetime) -> Comparison:
    """What the objects read back say beyond the ledger's rows."""
    fresh = [row for fact in facts for row in ledger.rows_of(fact)]
    keys = {_key(row) for row in known}
    unknown = [row for row in fresh if _key(row) not in keys]
    before, after = ledger.read(known), ledger.read([*known, *unknown])
    young = {fact.id for fact in _flat(facts) if _is_young(fact, now)}
    return Comparison(
        unknown=bool(unknown),
        news=tuple(_news(before, after, unknown, young)),
        amounts=tuple(_amounts(fresh, known)),
    )


def disagrees(order: Order, book: Ledger) -> bool:
    """Whether an order says other sums than its ledger, or has left money of it where it cannot stay."""
    said = (order.captured_minor, order.refunded_minor, order.reversed_minor, order.pending_minor, order.disputed)
    sums = (
        book.captured_minor(order.currency),
        book.refunded_minor(order.currency),
        book.reversed_minor(order.currency),
        book.pending_minor(order.currency),
        bool(book.open_disputes),
    )
    return said != sums or bool(left_over(order, book)) or (order.is_open and any(_taken(book)))


def left_over(order: Order, book: Ledger) -> list[Capture]:
    """Payments taken that are not the order's own, did not go back, and that nobody has asked to give back."""
    asked = {refund.capture_id for refund in order.refunds}
    return [
        capture
        for capture in _taken(book)
        if capture.id != order.bound_capture_id
        and capture.id not in asked
        and book.given_back_of(capture.id) < (capture.amount_minor or 0)
    ]


def kept_minor(order: Order, book: Ledger) -> int:
    """Money that is not the order's, or of an order that is over, and that no refund has given or will give back."""
    over = order.status in ("expired", "cancelled")
    kept = 0
    for capture in _taken(book):
        if capture.id == order.bound_capture_id and not over:
            continue
        under_way = sum(
            refund.amount_minor
            for refund in order.refunds
            if refund.capture_id == capture.id and refund.state in ("requested", "pending")
        )
        kept += max((capture.amount_minor or 0) - book.given_back_of(capture.id) - under_way, 0)
    return kept


def _taken(book: Ledger) -> list[Capture]:
    return [capture for capture in book.captures if capture.is_completed]


def _key(row: FactRow) -> tuple[str, str, str, str, str | None]:
    return row.kind, row.object_id, row.status, row.update_time, row.capture_id


def _news(before: Ledger, after: Ledger, unknown: Sequence[FactRow], young: set[str]) -> list[News]:
    found = []
    captures = {capture.id: capture for capture in before.captures}
    for capture in after.captures:
        was = captures.get(capture.id)
        if was is None or _course(was) != _course(capture):
            found.append(News("capture", capture.id, capture.status, was.status if was else None, capture.id in young))
    refunds = {refund.id: refund for refund in before.refunds}
    for refund in after.refunds:
        known = refunds.get(refund.id)
        if known is None or known.status != refund.status:
            found.append(News("refund", refund.id, refund.status, known.status if known else None, refund.id in young))
    for dispute_id in sorted(after.open_disputes ^ before.open_disputes | after.lost_disputes ^ before.lost_disputes):
        was_there = dispute_id in before.open_disputes | before.lost_disputes
        status = "OPEN" if dispute_id in after.open_disputes else "RESOLVED"
        found.append(News("dispute", dispute_id, status, "OPEN" if was_there else None, dispute_id in young))
    approved = {row.object_id for row in unknown if row.kind == "order" and row.status == "APPROVED"}
    found += [News("order", order_id, "APPROVED", None, order_id in young) for order_id in sorted(approved)]
    return found


def _course(capture: Capture) -> tuple[bool, bool, bool]:
    return capture.is_pending, capture.is_refused, capture.is_completed


def _amounts(fresh: Sequence[FactRow], known: Sequence[FactRow]) -> list[AmountDiffers]:
    ours = {(row.kind, row.object_id): row for row in known if row.amount_minor is not None}
    found: dict[tuple[str, str], AmountDiffers] = {}
    for row in fresh:
        mine = ours.get((row.kind, row.object_id))
        if mine is None or row.kind not in ("capture", "refund"):
            continue
        if (mine.amount_minor, mine.currency) != (row.amount_minor, row.currency):
            found[row.kind, row.object_id] = AmountDiffers(
                row.kind, row.object_id, row.amount_minor, row.currency, mine.amount_minor, mine.currency
            )
    return list(found.values())


def _flat(facts: Sequence[Fact]) -> list[Fact]:
    flat: list[Fact] = []
    for fact in facts:
        flat.append(fact)
        if isinstance(fact, OrderFact):
            flat += [*fact.captures, *fact.refunds]
    return flat


def _is_young(fact: Fact, now: datetime) -> bool:
    try:
        return parse_iso(fact.update_time) > now - NOTICE_TAKES
    except (ValueError, OverflowError):
        return False  # one of PayPal's own samples has a month 19
