"""Numbers without a gap, on real PostgreSQL: orders paid at once, issuers that race, transactions that die half-way."""

import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.documents.errors import DocumentsMoved
from shared.documents.issuing import compose, issue_documents
from shared.kernel.money import Money
from shared.orders.holding import release_order
from shared.orders.order import Order
from shared.payments.processor import DisputeFact, RefundFact
from shared.persistence.database import SqlError
from shared.persistence.documents import Documents
from tests.numbers import PROPERTY_EXAMPLES
from tests.orders.shop import Shop, at_once

ROOT = Path(__file__).resolve().parents[2]
# What an order of one LAMP costs: 1000 and 590 of shipping, untaxed where it goes.
TOTAL = 1590


@pytest.fixture
def documents(shop: Shop) -> Documents:
    """No document is owed any more: numbers from here on are this test's."""
    found = Documents(shop.database, shop.clock)
    issue_all(found)
    return found


def issue_all(documents: Documents) -> list[str]:
    owing = dict.fromkeys(order_id for _place, order_id in documents.list_owing(0, 1000))
    return [number for order_id in owing for number in issue_documents(order_id, store=documents)]


def rows(shop: Shop, order: Order) -> list[tuple[str, str | None, int, bool]]:
    """(kind, refund, amount, issued) of each document of an order."""
    return [
        (row["kind"], row["refund_id"], row["amount_minor"], row["number"] is not None)
        for row in shop.database.call(
            "select kind, refund_id, amount_minor, number from documents where order_id = :id::uuid order by position",
            id=order.id,
        )
    ]


def serials(shop: Shop, kind: str = "invoice") -> list[int]:
    found = shop.database.call(
        "select serial from documents where kind = :kind::text and number is not null order by serial", kind=kind
    )
    return [row["serial"] for row in found]


def drawn(shop: Shop, kind: str) -> int:
    """How many numbers of this year were drawn."""
    found = shop.database.call(
        "select last from document_counters where kind = :kind::text and year = :year::int",
        kind=kind,
        year=shop.clock.now().year,
    )
    return found[0]["last"] if found else 0


def tell(shop: Shop, order: Order, fact: Any) -> None:
    shop.orders.settle(order.id, facts=[fact], source="webhook")


def refund_of(order: Order, name: str, minor: int, *, status: str = "COMPLETED", reversal: bool = False) -> RefundFact:
    assert order.bound_capture_id is not None
    amount = Money(minor, order.currency)
    return RefundFact(f"{name}-{order.number}", order.bound_capture_id, status, amount, None, None, "", reversal)


def test_a_paid_order_owes_its_invoice_at_once_and_has_it_once_issued(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 1)
    order = shop.approved_order({lamp: 1})
    assert rows(shop, order) == []

    shop.capture(order)
    owed = rows(shop, order)
    (number,) = issue_documents(order.id, store=documents)
    again = issue_documents(order.id, store=documents)
    invoice = documents.get_of_order(order.id, "invoice")

    assert owed == [("invoice", None, TOTAL, False)]
    assert again == []
    year, serial = invoice.issued_at.year, serials(shop)[-1]
    assert invoice.number == number == f"INV-{year}-{serial:06d}"
    assert (invoice.content.order_number, invoice.content.total_minor) == (order.number, TOTAL)
    assert [(line.sku, line.gross_minor) for line in invoice.content.lines] == [(lamp, 1000), (None, 590)]


def test_orders_that_are_not_paid_have_no_invoice(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 5)
    waiting, expired = shop.order({lamp: 1}), shop.order({lamp: 1})
    mismatch = shop.approved_order({lamp: 1})
    shop.paypal.amount = Money(1, "USD")
    shop.capture(mismatch)
    shop.clock.advance(minutes=16)
    shop.expire()

    assert [rows(shop, order) for order in (waiting, expired, mismatch)] == [[], [], []]
    assert issue_all(documents) == []


def test_facts_that_are_told_again_and_again_make_one_of_each(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    facts = [refund_of(order, "R1", 500), refund_of(order, "R2", 90, status="PENDING"), refund_of(order, "R2", 90)]

    for fact in [*facts, *reversed(facts), *facts]:
        tell(shop, order, fact)
        issue_documents(order.id, store=documents)
    at_once([partial(tell, shop, order, fact) for fact in facts * 3])

    assert rows(shop, order) == [
        ("invoice", None, TOTAL, True),
        ("credit_note", f"R1-{order.number}", 500, True),
        ("credit_note", f"R2-{order.number}", 90, True),
    ]


def test_a_reversal_waits_for_the_dispute_to_be_lost(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    capture = order.bound_capture_id
    assert capture is not None

    tell(shop, order, refund_of(order, "R1", TOTAL, reversal=True))
    tell(shop, order, DisputeFact(f"D-{order.number}", "OPEN", None, (capture,), None, "1"))
    open_still = rows(shop, order)
    lost = DisputeFact(f"D-{order.number}", "RESOLVED", "RESOLVED_BUYER_FAVOUR", (capture,), None, "2")
    tell(shop, order, lost)

    assert open_still == [("invoice", None, TOTAL, False)]
    assert rows(shop, order) == [*open_still, ("credit_note", f"R1-{order.number}", TOTAL, False)]


def test_a_second_payment_that_goes_back_was_never_invoiced(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    second = shop.paypal.make_capture(order.paypal_order_id)
    tell(shop, order, second)

    tell(shop, order, shop.paypal.make_refund(second))

    assert rows(shop, order) == [("invoice", None, TOTAL, False)]


def test_fifty_orders_paid_and_invoiced_at_once_are_numbered_without_a_gap(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 50)
    orders = [shop.approved_order({lamp: 1}) for _ in range(50)]
    before = len(serials(shop))

    def pay_and_issue(order: Order) -> list[str]:
        shop.capture(order)
        return issue_documents(order.id, store=documents)

    with ThreadPoolExecutor(12) as pool:
        numbers = [number for numbers in pool.map(pay_and_issue, orders) for number in numbers]

    assert len(set(numbers)) == 50
    assert serials(shop) == list(range(1, before + 51))
    assert [rows(shop, order) for order in orders] == [[("invoice", None, TOTAL, True)]] * 50


def test_many_issuers_of_one_order_share_its_documents_out(shop: Shop, documents: Documents) -> None:
    """Each credit note is composed of what was credited before it, so whoever comes second looks again."""
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    for n in range(5):
        tell(shop, order, refund_of(order, f"R{n}", 318))

    issued, refused = at_once([lambda: issue_documents(order.id, store=documents)] * 8)

    invoice = documents.get_of_order(order.id, "invoice").content
    notes = [
        documents.get_of_order(order.id, "credit_note", number).content
        for number in sorted({number for numbers in issued for number in numbers if number.startswith("CN-")})
    ]
    credited = Counter[str | None]()
    for note in notes:
        credited.update({line.sku: line.gross_minor for line in note.lines})
    assert refused == []
    assert [note.total_minor for note in notes] == [318] * 5
    assert drawn(shop, "credit_note") == serials(shop, "credit_note")[-1] == len(serials(shop, "credit_note"))
    assert credited == {line.sku: line.gross_minor for line in invoice.lines}


def test_what_was_composed_before_another_was_issued_is_not_written(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    case = documents.find_case(order.id)
    assert case is not None
    before = drawn(shop, "invoice")

    with pytest.raises(DocumentsMoved):
        documents.issue(case.id, compose(case), before=1, prefix="INV-")

    assert rows(shop, order) == [("invoice", None, TOTAL, False)]
    assert drawn(shop, "invoice") == before
    number = documents.issue(case.id, compose(case), before=0, prefix="INV-")
    assert documents.issue(case.id, compose(case), before=0, prefix="INV-") == number
    assert drawn(shop, "invoice") == before + 1


def test_a_transaction_that_fails_after_its_number_was_drawn_leaves_no_gap(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 2)
    first, second = shop.paid_order({lamp: 1}), shop.paid_order({lamp: 1})
    before = len(serials(shop))

    def issue_and_fail(tx: Any) -> None:
        case = documents.find_case(first.id)
        assert case is not None
        drawn = tx.one(
            "select issue_document_v1(:id::uuid, 0, '{}'::jsonb, 'INV-', :now::timestamptz) as number",
            id=case.id,
            now=shop.clock.now(),
        )
        assert drawn["number"].endswith(f"{before + 1:06d}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        shop.database.step(issue_and_fail)
    issue_documents(second.id, store=documents)
    issue_documents(first.id, store=documents)

    assert serials(shop) == list(range(1, before + 3))
    assert [rows(shop, order)[0][3] for order in (first, second)] == [True, True]


_ISSUER = """
import sys
from shared.documents.issuing import issue_documents
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.documents import Documents
from shared.settings import DatabaseSettings

connect = connector(DatabaseSettings("url", 1, sys.argv[1]), application="issuer")
database = Database(connect, size=1, clock=SystemClock())
documents = Documents(database, SystemClock())
print("ready", flush=True)
for _place, order_id in documents.list_owing(0, 1000):
    for number in issue_documents(order_id, store=documents):
        print(number, flush=True)
"""


def test_issuers_that_are_killed_leave_no_gap(shop: Shop, documents: Documents, module_database: Any) -> None:
    lamp = shop.make_stock("LAMP", 12)
    for _ in range(12):
        shop.paid_order({lamp: 1})
    before = len(serials(shop))

    kills = 0
    for lines in (2, 4):
        issuer = subprocess.Popen(
            [sys.executable, "-c", _ISSUER, module_database.url],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert issuer.stdout is not None
        for _ in range(lines):
            assert issuer.stdout.readline()
        issuer.send_signal(signal.SIGKILL)
        issuer.wait()
        issuer.stdout.close()
        kills += 1
    issue_all(documents)

    assert kills == 2
    assert serials(shop) == list(range(1, before + 13))


def test_paying_does_not_wait_for_whoever_numbers_documents(shop: Shop, documents: Documents) -> None:
    """The counter is locked by a process that was stopped, and an order is paid all the same."""
    order = shop.approved_order({shop.make_stock("LAMP", 1): 1})
    issue_documents(shop.paid_order({shop.make_stock("LAMP", 1): 1}).id, store=documents)

    def pay_while_the_counter_is_locked(tx: Any) -> Order:
        assert tx.rows("select last from document_counters for update")
        return shop.capture(order)

    assert shop.database.step(pay_while_the_counter_is_locked).status == "paid"


def test_a_new_year_begins_with_one_and_dates_never_go_back(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 3)
    old, young, behind = (shop.paid_order({lamp: 1}) for _ in range(3))
    now = shop.clock.now()
    shop.database.call(
        """
        insert into document_counters (kind, year, last, last_issued_at)
        values ('invoice', :y::int, 7, :at::timestamptz)
        """,
        y=now.year + 30,
        at=now.replace(year=now.year + 30, month=12, day=31, hour=23, minute=59),
    )

    def numbered(order: Order, at: datetime) -> tuple[str, str]:
        case = documents.find_case(order.id)
        assert case is not None
        found = shop.database.call(
            """
            select issue_document_v1(:id::uuid, 0, :content::jsonb, 'INV-', :now::timestamptz) as number
            """,
            id=case.id,
            content="{}",
            now=at,
        )[0]["number"]
        issued = shop.database.call("select issued_at from documents where id = :id::uuid", id=case.id)[0]["issued_at"]
        return found, issued.strftime("%m-%d %H:%M")

    new_year = now.replace(year=now.year + 31, month=1, day=1, hour=0, minute=0)
    try:
        last = numbered(old, new_year - timedelta(hours=2))
        first = numbered(young, new_year)
    finally:
        _forget(shop, now.year + 30)
    issue_documents(behind.id, store=documents)

    assert last == (f"INV-{now.year + 30}-000008", "12-31 23:59")
    assert first == (f"INV-{now.year + 31}-000001", "01-01 00:00")


def _forget(shop: Shop, year: int) -> None:
    """Years of a test's own go, and their orders owe an ordinary number again."""
    shop.database.call("alter table documents disable trigger documents_frozen")
    shop.database.call(
        """
        update documents set year = null, serial = null, number = null, issued_at = null, content = null
        where year >= :year::int
        """,
        year=year,
    )
    shop.database.call("delete from document_counters where year >= :year::int", year=year)
    shop.database.call("alter table documents enable trigger documents_frozen")
    issue_all(Documents(shop.database, shop.clock))


def test_an_issued_document_neither_changes_nor_goes(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    issue_documents(order.id, store=documents)
    was = documents.get_of_order(order.id, "invoice")

    for statement in (
        "update documents set amount_minor = 1 where order_id = :id::uuid",
        "delete from documents where order_id = :id::uuid",
    ):
        with pytest.raises(SqlError, match="neither changes nor goes"):
            shop.database.call(statement, id=order.id)

    assert documents.get_of_order(order.id, "invoice") == was


def test_what_older_code_has_settled_is_found_and_owed(shop: Shop, documents: Documents) -> None:
    """Functions deploy one by one: one from before there were documents pays an order and records a refund."""
    paid = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    refunded = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    tell(shop, refunded, refund_of(refunded, "R1", 500))
    shop.database.call("delete from documents where order_id = :id::uuid", id=paid.id)
    shop.database.call("delete from documents where order_id = :id::uuid and kind = 'credit_note'", id=refunded.id)

    found = documents.list_forgotten(100)
    for order_id in found:
        shop.orders.settle(order_id)

    assert sorted(found, key=str) == sorted([paid.id, refunded.id], key=str)
    assert rows(shop, paid) == [("invoice", None, TOTAL, False)]
    assert rows(shop, refunded)[1:] == [("credit_note", f"R1-{refunded.number}", 500, False)]
    assert documents.list_forgotten(100) == []


def test_what_was_settled_long_before_there_were_documents_is_found_fact_by_fact(
    shop: Shop, documents: Documents
) -> None:
    shop.clock.advance(days=1)
    look_through(shop, documents)
    paid = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    whole = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    refunded = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    tell(shop, refunded, refund_of(refunded, "R1", 500))
    shop.database.call("delete from documents where order_id = :id::uuid", id=paid.id)
    shop.database.call("delete from documents where order_id = :id::uuid and kind = 'credit_note'", id=refunded.id)
    assert documents.look_on(100) is None  # too young: a transaction with an earlier fact may be under way

    shop.clock.advance(days=400)
    young = documents.list_forgotten(100)
    found = look_through(shop, documents)

    assert young == []
    assert found == [paid.id, refunded.id]
    assert rows(shop, paid) == [("invoice", None, TOTAL, False)]
    assert rows(shop, whole) == [("invoice", None, TOTAL, False)]
    assert rows(shop, refunded)[1:] == [("credit_note", f"R1-{refunded.number}", 500, False)]
    assert documents.look_on(100) is None


def look_through(shop: Shop, documents: Documents) -> list[UUID]:
    """Three facts at a time, as the job does."""
    settled = []
    while (found := documents.look_on(3)) is not None:
        for order_id in found:
            shop.orders.settle(order_id)
            settled.append(order_id)
    return settled


def test_a_place_is_kept_before_an_order_that_is_still_forgotten(shop: Shop, documents: Documents) -> None:
    shop.clock.advance(days=1)
    look_through(shop, documents)
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    shop.database.call("delete from documents where order_id = :id::uuid", id=order.id)
    shop.clock.advance(days=1)

    looks = [documents.look_on(100) for _time in range(3)]
    past = documents.look_on(100, past=[UUID(int=7)])
    look_through(shop, documents)

    assert looks == [[order.id]] * 3
    assert past == [order.id]
    assert rows(shop, order) == [("invoice", None, TOTAL, False)]


def test_an_order_that_stays_forgotten_hides_none_behind_it(shop: Shop, documents: Documents) -> None:
    shop.clock.advance(days=1)
    look_through(shop, documents)
    orders = [shop.paid_order({shop.make_stock("LAMP", 1): 1}) for _order in range(2)]
    for order in orders:
        shop.database.call("delete from documents where order_id = :id::uuid", id=order.id)
    shop.clock.advance(days=1)

    first = documents.look_on(2)
    second = [documents.look_on(2, past=[orders[0].id]) for _time in range(2)]
    look_through(shop, documents)
    for order in orders:
        shop.orders.settle(order.id)

    assert first == [orders[0].id]
    assert second == [[], [orders[1].id]]


def test_the_settings_of_the_moment_are_frozen(shop: Shop, documents: Documents) -> None:
    order = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    issue_documents(order.id, store=documents)
    before = documents.get_of_order(order.id, "invoice")
    value = shop.database.call("select value from shop_settings where id = 'shop'")[0]["value"]

    shop.database.call('update shop_settings set value = value || \'{"name": "Another", "locale": "de_DE"}\'')
    after = documents.get_of_order(order.id, "invoice")
    shop.database.call('update shop_settings set value = value || \'{"name": "Vitrine", "locale": "en_US"}\'')

    assert (value["name"], value["locale"]) == ("Vitrine", "en_US")
    assert after == before


def test_nothing_is_found_of_an_order_that_is_not_there(documents: Documents) -> None:
    assert issue_documents(UUID(int=7), store=documents) == []


def test_what_staff_refund_by_line_is_credited_by_line(shop: Shop, documents: Documents) -> None:
    lamp, book = shop.make_stock("LAMP", 3), shop.make_stock("BOOK", 1, price_minor=500)
    order = shop.paid_order({lamp: 3, book: 1})
    shop.ask_refund(order, {lamp: 2}, shipping_minor=90)
    shop.finish_refunds(order)

    _invoice, number = issue_documents(order.id, store=documents)

    note = documents.get_of_order(order.id, "credit_note", number).content
    assert [(line.sku, line.quantity, line.gross_minor) for line in note.lines] == [(lamp, 2, 2000), (None, None, 90)]
    assert (note.total_minor, note.reason) == (2090, "as agreed")


def test_an_order_whose_units_all_stay_is_credited_with_its_shipping(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 3)
    order = shop.paid_order({lamp: 2})
    shop.ask_refund(order, {lamp: 2}, restock=True)
    shop.finish_refunds(order)

    _invoice, number = issue_documents(order.id, store=documents)

    note = documents.get_of_order(order.id, "credit_note", number).content
    assert [(line.sku, line.quantity, line.gross_minor) for line in note.lines] == [(lamp, 2, 2000), (None, None, 590)]
    assert (note.total_minor, note.shipping_minor) == (order.total_minor, 590)


def test_what_was_paid_too_much_is_on_no_document_and_nobody_looks_for_it(shop: Shop, documents: Documents) -> None:
    order = shop.order({shop.make_stock("LAMP", 1): 1})
    shop.paypal.amount = Money(TOTAL + 410, "USD")
    tell(shop, order, shop.paypal.make_capture(order.paypal_order_id))
    shop.ask_refund(order, amount_minor=410)
    shop.finish_refunds(order)
    before = rows(shop, order)
    shop.desk.change(order.number, release_order(actor="staff:1"))
    invoiced, forgotten = rows(shop, order), documents.list_forgotten(1000)
    shop.cancel(order)
    rest = shop.finish_refunds(order).refunds[1].paypal_refund_id
    ended = rows(shop, order)

    shop.database.call("delete from documents where order_id = :id::uuid and kind = 'credit_note'", id=order.id)
    lost = documents.list_forgotten(1000)
    shop.orders.settle(order.id)

    assert (before, invoiced) == ([], [("invoice", None, TOTAL, False)])
    assert ended == [("invoice", None, TOTAL, False), ("credit_note", rest, TOTAL, False)]
    assert (forgotten, lost, documents.list_forgotten(1000)) == ([], [order.id], [])
    assert rows(shop, order) == ended


@settings(
    max_examples=PROPERTY_EXAMPLES // 5,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_any_refunds_until_nothing_is_left_sum_to_the_invoice_line_by_line(
    shop: Shop, documents: Documents, data: st.DataObject
) -> None:
    """Staff and the dashboard take turns, documents are issued or not in between, and the auditor sums in the end."""
    lamp, book = shop.make_stock("LAMP", 3, price_minor=333), shop.make_stock("BOOK", 1, price_minor=1)
    order = shop.paid_order({lamp: 3, book: 1})
    left, turn = order.total_minor, 0
    while left:
        turn += 1
        minor = data.draw(st.integers(1, left)) if turn < 5 else left
        if data.draw(st.booleans()):
            shop.ask_refund(order, amount_minor=minor)
            shop.finish_refunds(order)
        else:
            tell(shop, order, refund_of(order, f"R{turn}", minor))
        left -= minor
        if data.draw(st.booleans()):
            issue_documents(order.id, store=documents)
    issue_documents(order.id, store=documents)

    invoice = documents.get_of_order(order.id, "invoice").content
    credited = Counter[str | None]()
    for row in shop.database.call(
        "select number from documents where order_id = :id::uuid and kind = 'credit_note'", id=order.id
    ):
        note = documents.get_of_order(order.id, "credit_note", row["number"]).content
        credited.update({line.sku: line.gross_minor for line in note.lines})
    assert credited == {line.sku: line.gross_minor for line in invoice.lines}


def test_what_a_voucher_took_off_stands_on_the_invoice(shop: Shop, documents: Documents) -> None:
    lamp = shop.make_stock("LAMP", 2, price_minor=1999)
    cart = shop.use_voucher(shop.make_cart({lamp: 2}), shop.make_voucher("QUARTER", percent=Decimal(25)))
    order = shop.place(cart)
    shop.paypal.approve(order.paypal_order_id)
    shop.capture(order)
    issue_documents(order.id, store=documents)

    invoice = documents.get_of_order(order.id, "invoice").content

    assert [(line.sku, line.discount_minor, line.gross_minor) for line in invoice.lines] == [
        (lamp, 1000, 2998),
        (None, 0, 590),
    ]
    assert (invoice.subtotal_minor, invoice.discount_minor, invoice.total_minor) == (3998, 1000, 3588)
