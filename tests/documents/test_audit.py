"""What the auditor finds of documents: each rule is broken on purpose, as the database's owner, and mended again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from local.database import Address
from shared.documents.issuing import issue_documents
from shared.kernel.money import Money
from shared.orders.holding import release_order
from shared.orders.order import Order
from shared.payments.processor import RefundFact
from shared.persistence.database import as_json
from shared.persistence.documents import Documents
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop

_INVOICE = "order_id = :id::uuid and kind = 'invoice'"
_NOTE = "order_id = :id::uuid and kind = 'credit_note'"
# What an order of one LAMP costs.
TOTAL = 1590


@pytest.fixture
def order(shop: Shop) -> Order:
    """A paid order of which all went back, with its invoice and its credit note."""
    paid = shop.paid_order({shop.make_stock("LAMP", 1): 1})
    assert paid.bound_capture_id is not None
    refund = RefundFact(f"R-{paid.number}", paid.bound_capture_id, "COMPLETED", Money(TOTAL, "USD"), None, None, "")
    shop.orders.settle(paid.id, facts=[refund], source="webhook")
    assert len(issue_documents(paid.id, store=Documents(shop.database, shop.clock))) == 2
    return paid


@contextmanager
def broken(shop: Shop, statement: str, **parameters: Any) -> Iterator[None]:
    """The document as the statement leaves it, and then as it was."""
    database = shop.database
    kept = database.call("select to_jsonb(d) as row from documents d where order_id = :id::uuid", id=parameters["id"])
    database.call("alter table documents disable trigger documents_frozen")
    try:
        database.call(statement, **parameters)
        yield
    finally:
        database.call("delete from documents where order_id = :id::uuid", id=parameters["id"])
        for row in kept:
            database.call(
                """
                insert into documents overriding system value
                select * from jsonb_populate_record(null::documents, :row::jsonb)
                """,
                row=as_json(row["row"]),
            )
        database.call("alter table documents enable trigger documents_frozen")


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (f"delete from documents where {_INVOICE}", "are not numbered 1 to"),
        (f"delete from documents where {_INVOICE}", ": 0 invoices"),
        (f"delete from documents where {_NOTE}", "are not numbered 1 to"),
        (f"delete from documents where {_NOTE}", "1590 refunded by"),
        (f"update documents set serial = serial + 1 where {_INVOICE}", "are not numbered 1 to"),
        (f"update documents set number = 'INV-1999-000001' where {_INVOICE}", "does not say year"),
        (
            f"update documents set amount_minor = 1589 where {_INVOICE}",
            "its invoice says something else than the order",
        ),
        (f"update documents set refund_id = 'R-none' where {_NOTE}", "credits 1590 for refund R-none"),
        (f"update documents set amount_minor = 1591 where {_NOTE}", "1591 credited of 1590"),
        (
            f"update documents set content = jsonb_set(content, '{{lines,0,gross_minor}}', '1001') where {_INVOICE}",
            "its parts make 1591",
        ),
        (
            "update documents set content = jsonb_set(jsonb_set(jsonb_set(jsonb_set(content,"
            " '{lines,0,gross_minor}', '999'), '{lines,0,net_minor}', '999'),"
            " '{lines,1,gross_minor}', '591'), '{lines,1,net_minor}', '591')"
            f" where {_NOTE}",
            "do not sum to its invoice line by line",
        ),
        (
            "update documents set content = jsonb_set(content, '{invoice_number}', '\"INV-1999-000001\"')"
            f" where {_NOTE}",
            "credits an invoice that is not its own",
        ),
    ],
)
def test_what_is_wrong_with_documents_is_found(
    shop: Shop, order: Order, module_database: Address, statement: str, finding: str
) -> None:
    with broken(shop, statement, id=order.id):
        found = audit_database(module_database.url)

    assert [sentence for sentence in found if finding in sentence] != []
    assert audit_database(module_database.url) == []


def test_a_note_for_the_excess_in_place_of_one_for_units_is_found(shop: Shop, module_database: Address) -> None:
    """Both are of one amount, so the sums are right."""
    lamp = shop.make_stock("LAMP", 2, price_minor=410)
    order = shop.order({lamp: 2})
    shop.paypal.amount = Money(order.total_minor + 410, "USD")
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.orders.settle(order.id, facts=[capture], source="webhook")
    shop.ask_refund(order, amount_minor=410)
    excess = shop.finish_refunds(order).refunds[0].paypal_refund_id
    shop.desk.change(order.number, release_order(actor="staff:1"))
    shop.ask_refund(order, {lamp: 1})
    units = shop.finish_refunds(order).refunds[1].paypal_refund_id
    issue_documents(order.id, store=Documents(shop.database, shop.clock))

    with broken(shop, f"update documents set refund_id = :refund::text where {_NOTE}", id=order.id, refund=excess):
        found = audit_database(module_database.url)

    assert found == [f"order {order.number}: {units} names 410 of lines and shipping, 0 credited"]
    assert audit_database(module_database.url) == []


def test_a_number_that_was_drawn_for_nothing_is_found(shop: Shop, order: Order, module_database: Address) -> None:
    shop.database.call("update document_counters set last = last + 1 where kind = 'invoice'")
    found = audit_database(module_database.url)
    shop.database.call("update document_counters set last = last - 1 where kind = 'invoice'")

    assert len(found) == 1
    assert "are not numbered 1 to" in found[0]
