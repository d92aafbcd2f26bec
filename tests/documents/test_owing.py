"""Which document each way of moving money deserves."""

from dataclasses import replace
from uuid import UUID

import pytest

from shared.documents.owing import Owed, owed
from shared.orders.order import OrderRefund, RefundLine
from shared.payments.ledger import FactRow, Ledger, read
from tests.documents.paper import PAID, PLACED, make_line, make_order

ORDER = make_order([make_line("lamp", 1, 1000, 73)])
TOTAL = 1663
INVOICE = Owed("invoice", TOTAL, "USD")


def ledger(*facts: FactRow) -> Ledger:
    return read([_fact("capture", "C1", "COMPLETED", TOTAL), *facts])


def refund(name: str, minor: int, *, of: str = "C1", status: str = "COMPLETED", reversal: bool = False) -> FactRow:
    return replace(_fact("refund", name, status, minor), capture_id=of, reversal=reversal)


def dispute(status: str) -> FactRow:
    return replace(_fact("dispute", "D1", status, None), capture_id="C1", update_time=status)


def _fact(kind: str, name: str, status: str, minor: int | None) -> FactRow:
    return FactRow(kind, name, status, "", None, minor, "USD", False, None, None)


def owes(money: Ledger, **credited: int) -> list[Owed]:
    return owed(ORDER, money, credited=credited)


def test_an_order_that_was_never_paid_owes_nothing() -> None:
    waits = replace(ORDER, paid_at=None, status="on_hold", status_reason="amount_mismatch")

    assert owed(waits, ledger(refund("R1", TOTAL)), credited={}) == []


def test_a_paid_order_owes_one_invoice_and_a_credit_note_for_each_completed_refund() -> None:
    money = ledger(refund("R1", 400), refund("R2", 100, status="PENDING"), refund("R3", 63))

    assert owes(money) == [
        INVOICE,
        Owed("credit_note", 400, "USD", "R1"),
        Owed("credit_note", 63, "USD", "R3"),
    ]
    assert owes(money, R1=400) == [INVOICE, Owed("credit_note", 63, "USD", "R3")]
    assert owes(money, R1=400, R3=63) == [INVOICE]


@pytest.mark.parametrize("status", ["FAILED", "CANCELLED", "PENDING"])
def test_a_refund_that_is_not_completed_credits_nothing(status: str) -> None:
    assert owes(ledger(refund("R1", 400, status=status))) == [INVOICE]


def test_money_that_was_never_invoiced_is_given_back_without_a_credit_note() -> None:
    assert owes(ledger(refund("R1", TOTAL, of="C2"))) == [INVOICE]


@pytest.mark.parametrize(
    ("facts", "credited"),
    [
        ([], False),
        (["OPEN"], False),
        (["OPEN", "RESOLVED:RESOLVED_SELLER_FAVOUR"], False),
        (["OPEN", "RESOLVED:RESOLVED_BUYER_FAVOUR"], True),
    ],
)
def test_a_reversal_is_credited_once_the_dispute_is_lost(facts: list[str], credited: bool) -> None:
    money = ledger(refund("R1", TOTAL, reversal=True), *map(dispute, facts))

    assert owes(money) == [INVOICE, *([Owed("credit_note", TOTAL, "USD", "R1")] if credited else [])]


def overpaid(*facts: FactRow) -> Ledger:
    """A payment of 410 more than the total."""
    return read([_fact("capture", "C1", "COMPLETED", TOTAL + 410), *facts])


def test_what_was_paid_too_much_was_never_invoiced_and_credits_nothing() -> None:
    excess, later = replace(refund("R5", 410), occurred_at=PLACED), replace(refund("R1", 63), occurred_at=PAID)

    assert owes(overpaid(excess)) == [INVOICE]
    assert owes(overpaid(excess, later)) == [INVOICE, Owed("credit_note", 63, "USD", "R1")]
    assert owes(overpaid(later, excess)) == [INVOICE, Owed("credit_note", 63, "USD", "R1")]
    assert owes(overpaid(excess, later), R1=63) == [INVOICE]
    assert owes(overpaid(replace(excess, amount_minor=500))) == [INVOICE, Owed("credit_note", 90, "USD", "R5")]
    assert owes(overpaid(excess, replace(later, amount_minor=TOTAL))) == [
        INVOICE,
        Owed("credit_note", TOTAL, "USD", "R1"),
    ]


def test_what_is_told_late_is_credited_though_the_excess_moves_to_it() -> None:
    """What was known is credited already; what the one that came late owes is what both owe less that."""
    first, then = replace(refund("R5", 410), occurred_at=PLACED), replace(refund("R1", 500), occurred_at=PAID)
    third = replace(refund("R0", 7), occurred_at=PAID)

    assert owes(overpaid(then)) == [INVOICE, Owed("credit_note", 90, "USD", "R1")]
    assert owes(overpaid(then, first), R1=90) == [INVOICE, Owed("credit_note", 410, "USD", "R5")]
    assert owes(overpaid(then, first, third), R1=90) == [
        INVOICE,
        Owed("credit_note", 7, "USD", "R0"),
        Owed("credit_note", 410, "USD", "R5"),
    ]
    assert owes(overpaid(then, first), R1=90, R5=410) == [INVOICE]
    assert owes(overpaid(first)) == [INVOICE]
    assert owes(overpaid(then, first)) == [INVOICE, Owed("credit_note", 500, "USD", "R1")]


def test_what_was_credited_too_much_before_is_not_credited_again() -> None:
    """The order has been bound to another capture since: a part of the one before had gone back."""
    assert owes(ledger(refund("R0", 400, of="C0"), refund("R1", 400)), R0=400) == [INVOICE]
    assert owes(ledger(refund("R0", 400, of="C0"), refund("R1", 463)), R0=400) == [
        INVOICE,
        Owed("credit_note", 63, "USD", "R1"),
    ]


def test_a_reversal_that_was_credited_stays_so_while_its_dispute_is_open_again() -> None:
    money = ledger(refund("R1", 500, reversal=True), refund("R2", 63), dispute("OPEN"))

    assert owes(money, R1=500) == [INVOICE, Owed("credit_note", 63, "USD", "R2")]


def test_units_that_go_back_are_credited_though_more_was_paid_than_owed() -> None:
    ours = UUID(int=7)
    lamp = RefundLine("lamp", 1, 1073, 73, restock=False)
    asked = OrderRefund(ours, "C1", "staff", 1483, "USD", "", "completed", lines=(lamp,))
    money = overpaid(replace(refund("R1", 1483), ours=ours))

    assert owed(replace(ORDER, refunds=(asked,)), money, credited={}) == [
        INVOICE,
        Owed("credit_note", 1073, "USD", "R1"),
    ]


def test_credits_never_exceed_the_invoice() -> None:
    """The order has been bound to another capture since, and that one went back as well."""
    money = ledger(refund("R1", TOTAL), refund("R9", 100))

    assert owes(money, R0=1600) == [INVOICE, Owed("credit_note", 63, "USD", "R1")]
