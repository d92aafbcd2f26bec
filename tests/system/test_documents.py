"""Invoices and credit notes as buyers get them, over HTTP and from a shop that runs."""

import io

import pypdf
import pytest

from tests.system.cloud import Cloud

pytestmark = pytest.mark.slow


def test_a_paid_order_has_its_invoice_and_a_refund_made_at_paypal_its_credit_note(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 1): 1})
    path, token = f"/v1/orders/{order['number']}", cloud.token(order)
    cloud.settle()
    html = cloud.call("GET", f"{path}/invoice", headers=token)
    pdf = cloud.call("GET", f"{path}/invoice", headers={**token, "Accept": "application/pdf"})
    again = cloud.call("GET", f"{path}/invoice?format=pdf", headers=token)

    (capture,) = [each for each in cloud.ledger()["captures"] if each.get("custom_id") == order["id"]]
    amount = {"currency_code": "USD", "value": "5.00"}
    event = {"event_type": "PAYMENT.CAPTURE.REFUNDED", "resource": {"capture_id": capture["id"], "amount": amount}}
    assert cloud.call("POST", "/_local/paypal/events", event).status == 200
    cloud.settle()
    timeline = cloud.call("GET", f"{path}/timeline", headers=token).json["items"]
    number = next(each["document"] for each in timeline if each["event"] == "credit_note_issued")
    note = cloud.call("GET", f"{path}/credit-notes/{number}?format=html", headers=token)

    assert (html.status, html.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert html.headers["content-security-policy"].startswith("default-src 'none'")
    assert order["totals"]["total"]["display"].split()[0] in html.raw.decode()
    assert (pdf.status, pdf.headers["content-type"], pdf.raw == again.raw) == (200, "application/pdf", True)
    assert order["number"] in pypdf.PdfReader(io.BytesIO(pdf.raw)).pages[0].extract_text()
    assert [each["event"] for each in timeline] == [
        "placed",
        "paid",
        "invoice_issued",
        "refunded",
        "credit_note_issued",
    ]
    assert timeline[3]["amount"] == {"amount_minor": 500, "currency": "USD", "display": "5.00 USD"}
    assert note.status == 200
    assert "$5.00" in note.raw.decode()


@pytest.mark.parametrize("path", ["invoice", "invoice?format=pdf", "credit-notes/CN-2026-000001", "timeline"])
def test_documents_are_for_whoever_holds_the_orders_token(cloud: Cloud, path: str) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 1): 1})
    other = cloud.order({cloud.make_stock("LAMP", 1): 1})
    where = f"/v1/orders/{order['number']}/{path}"

    refused = [cloud.call("GET", where, headers=headers) for headers in ({}, cloud.token(other))]

    assert [(answer.status, answer.json["type"].rpartition("/")[2]) for answer in refused] == [
        (404, "order-not-found")
    ] * 2


def test_an_order_that_is_not_paid_has_no_invoice(cloud: Cloud) -> None:
    order = cloud.order({cloud.make_stock("LAMP", 1): 1})
    cloud.settle()

    answer = cloud.call("GET", f"/v1/orders/{order['number']}/invoice", headers=cloud.token(order))

    assert (answer.status, answer.json["type"].rpartition("/")[2]) == (404, "document-not-found")


def test_staff_have_an_invoice_issued_at_once_and_a_reversal_is_credited_when_its_dispute_is_lost(cloud: Cloud) -> None:
    order = cloud.paid_order({cloud.make_stock("LAMP", 1): 1})
    staff, path = cloud.staff(), f"/v1/orders/{order['number']}/timeline"
    owed = cloud.call("GET", "/v1/admin/open-rows?kind=documents", headers=staff).json["items"]
    for row in owed:
        cloud.call("POST", f"/v1/admin/open-rows/documents/{row['id']}/replay", headers=staff)
    cloud.settle()
    (capture,) = [each for each in cloud.ledger()["captures"] if each.get("custom_id") == order["id"]]

    def tell(event_type: str, **resource: object) -> list[str]:
        """What the buyer reads when it has settled."""
        event = {"event_type": event_type, "resource": resource}
        assert cloud.call("POST", "/_local/paypal/events", event).status == 200
        cloud.settle()
        return [each["event"] for each in cloud.call("GET", path, headers=cloud.token(order)).json["items"]]

    tell("CUSTOMER.DISPUTE.CREATED", capture_id=capture["id"])
    reversed_ = tell("PAYMENT.CAPTURE.REVERSED", capture_id=capture["id"])
    (dispute,) = [
        each for each in cloud.ledger()["disputes"] if each["disputed_transactions"][0].get("custom") == order["id"]
    ]
    outcome = {"outcome_code": "RESOLVED_BUYER_FAVOUR"}
    lost = tell(
        "CUSTOMER.DISPUTE.RESOLVED", dispute_id=dispute["dispute_id"], status="RESOLVED", dispute_outcome=outcome
    )

    assert reversed_ == ["placed", "paid", "invoice_issued", "reversed"]
    assert lost == [*reversed_, "credit_note_issued"]
