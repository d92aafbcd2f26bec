"""Invoices and credit notes at the desk: found, shown, summed by rate, and taken along as rows."""

import csv
import io
from typing import Any

import pytest

from shared.documents.issuing import issue_documents
from shared.kernel.clock import iso
from shared.kernel.money import Money
from shared.orders.order import Order
from shared.payments.processor import RefundFact
from shared.persistence.documents import Documents
from tests.support.conftest import Desk, problem_of

INVOICES = "/v1/admin/invoices"
# An order of one LAMP: 1000 and 590 of shipping, untaxed where it goes.
TOTAL = 1590


def credited_order(desk: Desk, *, minor: int = 500, name: str = "Ada Buyer") -> tuple[Order, str, str]:
    """A paid order of which some went back, and the numbers of its invoice and its credit note."""
    lamp = desk.shop.make_stock("LAMP", 1)
    order = desk.shop.approved_order({lamp: 1})
    desk.shop.database.call(
        """
        update orders set shipping_address = shipping_address || jsonb_build_object('name', :name::text)
        where id = :id::uuid
        """,
        name=name,
        id=order.id,
    )
    order = desk.shop.capture(order)
    assert order.bound_capture_id is not None
    refund = RefundFact(f"R-{order.number}", order.bound_capture_id, "COMPLETED", Money(minor, "USD"), None, None, "")
    desk.shop.orders.settle(order.id, facts=[refund], source="webhook")
    invoice, note = issue_documents(order.id, store=Documents(desk.shop.database, desk.shop.clock))
    return order, invoice, note


def days(desk: Desk) -> str:
    today = iso(desk.shop.clock.now())[:10]
    return f"first={today}&last={today}"


def money(minor: int) -> dict[str, Any]:
    return {"amount_minor": minor, "currency": "USD", "display": f"{minor / 100:.2f} USD"}


def test_staff_find_the_documents_of_an_order(desk: Desk) -> None:
    order, invoice, note = credited_order(desk)

    page = desk.get(f"{INVOICES}?order_number={order.number.lower()}")
    notes = desk.get(f"{INVOICES}?order_number={order.number}&kind=credit_note")
    nothing = desk.get(f"{INVOICES}?order_number=0000000000")

    rows = {row.pop("number"): {**row, "issued_at": ""} for row in page["items"]}
    common = {"issued_at": "", "order_number": order.number, "buyer": "Ada Buyer", "tax": money(0)}
    assert rows == {
        note: {**common, "kind": "credit_note", "net": money(500), "total": money(500), "invoice": invoice},
        invoice: {**common, "kind": "invoice", "net": money(TOTAL), "total": money(TOTAL)},
    }
    assert [row["number"] for row in notes["items"]] == [note]
    assert nothing["items"] == []


def test_pages_go_from_the_newest_to_the_oldest_and_miss_none(desk: Desk) -> None:
    numbers = [number for _ in range(3) for number in credited_order(desk)[1:]]

    seen: list[str] = []
    cursor = ""
    while len(seen) < len(numbers):
        page = desk.get(f"{INVOICES}?limit=2{cursor}")
        assert len(page["items"]) == 2
        seen += [row["number"] for row in page["items"]]
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == numbers[::-1]


def test_a_cursor_goes_on_with_its_own_list_as_it_was_filtered(desk: Desk) -> None:
    credited_order(desk)
    cursor = desk.get(f"{INVOICES}?kind=invoice&limit=1")["next_cursor"]

    own = desk.call("GET", f"{INVOICES}?kind=invoice&limit=2&cursor={cursor}")
    others = [
        desk.call("GET", f"{path}cursor={cursor}")
        for path in (f"{INVOICES}?kind=credit_note&", f"{INVOICES}?", "/v1/admin/returns?", "/v1/admin/orders?")
    ]

    assert own.status_code == 200
    for answer in others:
        assert problem_of(answer) == (400, "unreadable")
        assert answer.get_json()["errors"] == [{"parameter": "cursor", "detail": "is none that this list has given"}]


def test_staff_see_the_document_itself(desk: Desk) -> None:
    _order, invoice, note = credited_order(desk)

    html = desk.call("GET", f"{INVOICES}/{invoice}")
    pdf = desk.call("GET", f"{INVOICES}/{note}?format=pdf")
    nothing = desk.call("GET", f"{INVOICES}/INV-1999-000001")

    assert (html.status_code, html.mimetype) == (200, "text/html")
    assert invoice in html.get_data(as_text=True)
    assert (pdf.status_code, pdf.mimetype, pdf.get_data()[:5]) == (200, "application/pdf", b"%PDF-")
    assert nothing.status_code == 404


def test_taxes_of_a_period_are_what_its_documents_sum_to(desk: Desk) -> None:
    credited_order(desk)

    sums = desk.get(f"{INVOICES}/taxes?{days(desk)}")["items"]
    rows = desk.get(f"{INVOICES}/export?format=json&{days(desk)}")["items"]
    before = desk.get(f"{INVOICES}/taxes?first=1999-01-01&last=1999-12-31")["items"]

    for kind, sign in (("invoice", 1), ("credit_note", -1)):
        (of_kind,) = [each for each in sums if each["kind"] == kind]
        exported = [row for row in rows if row["kind"] == kind]
        assert of_kind["rate"] == "0"
        assert of_kind["documents"] == len(exported)
        assert of_kind["gross"]["amount_minor"] == sign * sum(round(float(row["gross"]) * 100) for row in exported)
    assert before == []


@pytest.mark.parametrize("hostile", ['=HYPERLINK("http://evil")', "+1", "-1", "@SUM(A1)", 'a,"b"'])
def test_an_export_opens_in_a_spreadsheet_and_does_nothing_there(desk: Desk, hostile: str) -> None:
    order, invoice, note = credited_order(desk, name=hostile)

    answer = desk.call("GET", f"{INVOICES}/export?{days(desk)}")
    rows = [
        row for row in csv.DictReader(io.StringIO(answer.get_data(as_text=True))) if row["order_number"] == order.number
    ]
    as_json = desk.call("GET", f"{INVOICES}/export?format=json&{days(desk)}").get_json()["items"]

    safe = hostile if hostile.startswith("a") else f"'{hostile}"
    day = iso(desk.shop.clock.now())[:10]
    common = {
        "issued_on": day,
        "order_number": order.number,
        "buyer": safe,
        "country": "US",
        "currency": "USD",
        "rate": "0",
    }
    assert (answer.status_code, answer.mimetype) == (200, "text/csv")
    assert rows == [
        {
            **common,
            "number": invoice,
            "kind": "invoice",
            "invoice": "",
            "net": "15.90",
            "tax": "0.00",
            "gross": "15.90",
        },
        {
            **common,
            "number": note,
            "kind": "credit_note",
            "invoice": invoice,
            "net": "-5.00",
            "tax": "0.00",
            "gross": "-5.00",
        },
    ]
    assert [row["buyer"] for row in as_json if row["order_number"] == order.number] == [hostile] * 2


@pytest.mark.parametrize(
    "period",
    [
        "first=2026-11-02&last=2026-11-01",
        "first=2024-01-01&last=2026-01-01",
        "first=2026-13-01&last=2026-13-02",
        "first=x&last=y",
        "first=9999-12-30&last=9999-12-31",
        "last=2026-11-01",
    ],
)
def test_a_period_that_is_none_is_refused(desk: Desk, period: str) -> None:
    assert [desk.call("GET", f"{INVOICES}/{what}?{period}").status_code for what in ("taxes", "export")] == [400, 400]


def test_documents_are_for_staff_who_may_see_them(desk: Desk) -> None:
    _order, invoice, _note = credited_order(desk)

    for path in ("", f"/{invoice}", f"/taxes?{days(desk)}", f"/export?{days(desk)}"):
        assert desk.call("GET", INVOICES + path, permissions=("orders:read",)).status_code == 403
        assert desk.client.get(INVOICES + path).status_code == 401
        assert desk.call("GET", INVOICES + path, permissions=("invoices:read",)).status_code == 200
