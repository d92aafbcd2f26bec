"""Everything that can happen to money at PayPal; the event that tells of it is stored in the same transaction."""

from decimal import Decimal

from local.paypal import ids, resources
from local.paypal.books import Document, Entries
from local.paypal.money import Money, amount_of, fee_of, money
from local.paypal.order_rules import context_of, normal
from local.paypal.problems import Problem, detail, unprocessable
from local.paypal.resources import Links
from local.paypal.telling import emit

MERCHANT = {"email_address": "merchant@vitrine.example", "merchant_id": "V2TRNESHPQ7AB"}
OUTCOMES = ("completed", "declined", "pending", "denied")
# The address of the simulated buyer's own PayPal account: what GET_FROM_FILE ships to.
ADDRESS_ON_FILE = {
    "name": {"full_name": "Pat Buyer"},
    "address": {
        "address_line_1": "2211 N First Street",
        "admin_area_2": "San Jose",
        "admin_area_1": "CA",
        "postal_code": "95131",
        "country_code": "US",
    },
}


def open_order(entries: Entries, request: Document) -> Document:
    """A buyer's order that waits for its approval."""
    document: Document = {
        "id": ids.resource_id(),
        "intent": request["intent"],
        "status": "PAYER_ACTION_REQUIRED" if request.get("payment_source") else "CREATED",
        "purchase_units": [
            {**normal(unit), "payee": unit.get("payee") or MERCHANT} for unit in request["purchase_units"]
        ],
        "_context": context_of(request),
        "_outcome": "completed",
    }
    if request.get("payment_source"):
        document["payment_source"] = {"paypal": {}}
    preference = document["_context"].get("shipping_preference", "GET_FROM_FILE")
    if preference == "NO_SHIPPING":
        for unit in document["purchase_units"]:
            unit.pop("shipping", None)
    entries.add("order", document)
    return document


def approve(entries: Entries, order: Document, links: Links, *, outcome: str = "completed") -> Document:
    """The buyer agrees, and `outcome` is how a capture will end. Again after a decline: a new fact, the same status."""
    context = order["_context"]
    payer_id = order.get("_payer_id") or ids.payer_id()
    order["_payer_id"] = payer_id
    order["_outcome"] = outcome
    order["_declined"] = False
    order["status"] = "APPROVED"
    name = {"given_name": "Pat", "surname": "Buyer"}
    if context.get("shipping_preference", "GET_FROM_FILE") == "GET_FROM_FILE":
        for unit in order["purchase_units"]:
            unit["shipping"] = ADDRESS_ON_FILE
    shipping = order["purchase_units"][0].get("shipping") or ADDRESS_ON_FILE
    address = shipping.get("address") or ADDRESS_ON_FILE["address"]
    order["payer"] = {
        "name": name,
        "email_address": "pat.buyer@example.com",
        "payer_id": payer_id,
        "address": {"country_code": address["country_code"]},
    }
    order["payment_source"] = {
        "paypal": {
            "email_address": "pat.buyer@example.com",
            "account_id": payer_id,
            "account_status": "VERIFIED",
            "name": name,
            "address": {"country_code": address["country_code"]},
        }
    }
    entries.change("order", order)
    emit(entries, "CHECKOUT.ORDER.APPROVED", resources.order(entries, order, links), links)
    return order


def tell_approval_late(entries: Entries, order: Document, links: Links) -> None:
    """The event of an approval that is past, as a notice that comes late. The books stay."""
    resource = {**resources.order(entries, order, links), "status": "APPROVED"}
    resource["purchase_units"] = [
        {name: value for name, value in unit.items() if name != "payments"} for unit in resource["purchase_units"]
    ]
    emit(entries, "CHECKOUT.ORDER.APPROVED", resource, links)


def capture_order(entries: Entries, order: Document, links: Links) -> Document:
    """What the shop asks for: the money of an approved order. Raises Problem (422)."""
    if order["status"] == "COMPLETED":
        raise unprocessable("ORDER_ALREADY_CAPTURED")
    if order["status"] != "APPROVED":
        raise unprocessable("ORDER_NOT_APPROVED")
    invoice_id = order["purchase_units"][0].get("invoice_id")
    if invoice_id is not None and _is_used(entries, invoice_id):
        raise unprocessable("DUPLICATE_INVOICE_ID", "/purchase_units/0/invoice_id", value=invoice_id)
    if order["_outcome"] == "declined":
        # The order stays APPROVED and approvable: the buyer is sent back to choose another way to pay. Its update_time
        # stays too: nothing new was approved.
        order["_declined"] = True
        entries.keep("order", order)
        raise Problem(422, [detail("INSTRUMENT_DECLINED")], [links.checkout(order["id"], "redirect")])
    status = {"completed": "COMPLETED", "pending": "PENDING", "denied": "DECLINED"}[order["_outcome"]]
    return add_capture(entries, order, links, status=status)


def add_capture(
    entries: Entries, order: Document, links: Links, *, status: str, given: Document | None = None
) -> Document:
    """A payment of an order, whoever asked for it; `given` overrides what it would be."""
    unit = order["purchase_units"][0]
    document: Document = {
        "id": ids.resource_id(),
        "status": status,
        "amount": {name: unit["amount"][name] for name in ("currency_code", "value")},
        "final_capture": True,
        "seller_protection": {
            "status": "ELIGIBLE",
            "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"],
        },
        "_order_id": order["id"],
    }
    document.update({name: unit[name] for name in ("invoice_id", "custom_id") if name in unit})
    if order["id"]:
        document["supplementary_data"] = {"related_ids": {"order_id": order["id"]}}
    document["payee"] = unit.get("payee") or MERCHANT
    document.update({name: value for name, value in (given or {}).items() if name not in ("status", "links")})
    _set_capture_status(document, status)
    entries.add("capture", document, parent=order["id"])
    if entries.find("order", order["id"]) is not None and order["status"] != "COMPLETED":
        order["status"] = "COMPLETED"
        entries.change("order", order)
        _tell_capture(entries, document, links)
        emit(entries, "CHECKOUT.ORDER.COMPLETED", resources.order(entries, order, links), links)
    else:
        _tell_capture(entries, document, links)
    return document


def end_capture(entries: Entries, document: Document, links: Links, *, status: str) -> Document:
    """A pending payment that PayPal completes or denies (or any other, made to)."""
    _set_capture_status(document, status)
    entries.change("capture", document)
    _tell_capture(entries, document, links)
    return document


def tell_late(entries: Entries, document: Document, links: Links, *, status: str) -> None:
    """The event of a capture's earlier status, as a notice that comes late or once more. The books stay."""
    then = dict(document)
    _set_capture_status(then, status)
    _tell_capture(entries, then, links)


def add_refund(
    entries: Entries,
    made: Document,
    amount: Money,
    links: Links,
    *,
    given: Document | None = None,
    reversal: bool = False,
    status: str = "COMPLETED",
) -> Document:
    """Money that goes back: a refund, or a reversal that PayPal decided on."""
    currency = amount["currency_code"]
    before = sum((amount_of(refund["amount"]) for refund in _standing(entries, made)), Decimal(0))
    document: Document = {
        "id": ids.resource_id(),
        "status": status,
        "amount": money(currency, amount_of(amount)),
        "seller_payable_breakdown": {
            "gross_amount": money(currency, amount_of(amount)),
            "paypal_fee": money(currency, Decimal(0)),
            "net_amount": money(currency, amount_of(amount)),
            "total_refunded_amount": money(currency, before + amount_of(amount)),
        },
        "_capture_id": made["id"],
        "_reversal": reversal,
    }
    if reversal:
        document["note_to_payer"] = "Payment reversed"
    if status == "PENDING":
        document["status_details"] = {"reason": "ECHECK"}
    document.update({name: value for name, value in (given or {}).items() if name not in ("amount", "status", "links")})
    entries.add("refund", document, parent=made["id"])
    _count_refunds(entries, made)
    _tell_refund(entries, document, links)
    return document


def end_refund(entries: Entries, document: Document, links: Links, *, status: str) -> Document:
    document["status"] = status
    document.pop("status_details", None)
    entries.change("refund", document)
    made = entries.find("capture", document["_capture_id"])
    if made is not None:
        _count_refunds(entries, made)
    _tell_refund(entries, document, links)
    return document


def ordain_refunds(entries: Entries, made: Document, end: str, count: int) -> None:
    """The next refunds that a shop asks for of this capture end so: an issue that refuses them, or PENDING."""
    made["_next_refunds"] = [end] * count
    entries.keep("capture", made)


def take_next_refund(entries: Entries, capture_id: str) -> str | None:
    """How the refund that is asked for now has to end, if the control surface has said so."""
    made = entries.find("capture", capture_id)
    ordained = made.get("_next_refunds") if made is not None else None
    if made is None or not ordained:
        return None
    made["_next_refunds"] = ordained[1:]
    entries.keep("capture", made)
    return str(ordained[0])


def refundable(entries: Entries, made: Document) -> Decimal:
    """What of a capture has not gone back yet."""
    gone = sum((amount_of(refund["amount"]) for refund in _standing(entries, made)), Decimal(0))
    return amount_of(made["amount"]) - gone


def open_dispute(entries: Entries, made: Document, links: Links, *, given: Document | None = None) -> Document:
    document: Document = {
        "dispute_id": ids.dispute_id(),
        "reason": "MERCHANDISE_OR_SERVICE_NOT_RECEIVED",
        "status": "OPEN",
        "dispute_amount": made["amount"],
        "dispute_life_cycle_stage": "INQUIRY",
        "dispute_channel": "INTERNAL",
        "_capture_id": made["id"],
    }
    transaction: Document = {
        "seller_transaction_id": made["id"],
        "create_time": made["create_time"],
        "transaction_status": "COMPLETED",
        "gross_amount": made["amount"],
        "seller": {"merchant_id": MERCHANT["merchant_id"], "name": "Vitrine"},
        "seller_protection_eligible": True,
    }
    if "custom_id" in made:
        transaction["custom"] = made["custom_id"]
    document.update({name: value for name, value in (given or {}).items() if name != "links"})
    document["disputed_transactions"] = [{**transaction, **_first(given, "disputed_transactions")}]
    entries.add("dispute", document, parent=made["id"])
    emit(entries, "CUSTOMER.DISPUTE.CREATED", resources.dispute(document, links), links)
    return document


def change_dispute(entries: Entries, document: Document, links: Links, *, given: Document, event_type: str) -> Document:
    document.update({name: value for name, value in given.items() if name not in ("links", "disputed_transactions")})
    entries.change("dispute", document)
    emit(entries, event_type, resources.dispute(document, links), links)
    return document


def _tell_capture(entries: Entries, document: Document, links: Links) -> None:
    # PAYMENT.CAPTURE.DENIED carries a resource whose status is DECLINED.
    name = {"DECLINED": "DENIED", "FAILED": "DENIED"}.get(document["status"], document["status"])
    emit(entries, f"PAYMENT.CAPTURE.{name}", resources.capture(document, links), links)


def _tell_refund(entries: Entries, document: Document, links: Links) -> None:
    if document["status"] == "COMPLETED":
        event_type = "PAYMENT.CAPTURE.REVERSED" if document["_reversal"] else "PAYMENT.CAPTURE.REFUNDED"
    else:
        event_type = f"PAYMENT.REFUND.{document['status']}"
    emit(entries, event_type, resources.refund_of(document, links), links)


def _set_capture_status(document: Document, status: str) -> None:
    document["status"] = status
    document.pop("status_details", None)
    document.pop("seller_receivable_breakdown", None)
    if status == "PENDING":
        document["status_details"] = {"reason": "PENDING_REVIEW"}
    elif status == "COMPLETED":
        gross, fee = document["amount"], fee_of(document["amount"])
        document["seller_receivable_breakdown"] = {
            "gross_amount": gross,
            "paypal_fee": money(gross["currency_code"], fee),
            "net_amount": money(gross["currency_code"], amount_of(gross) - fee),
        }


def _count_refunds(entries: Entries, made: Document) -> None:
    if made["status"] not in ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED"):
        return
    left = refundable(entries, made)
    if left <= 0:
        made["status"] = "REFUNDED"
    else:
        made["status"] = "COMPLETED" if left == amount_of(made["amount"]) else "PARTIALLY_REFUNDED"
    entries.change("capture", made)


def _standing(entries: Entries, made: Document) -> list[Document]:
    return [refund for refund in entries.children("refund", made["id"]) if refund["status"] in ("COMPLETED", "PENDING")]


def _is_used(entries: Entries, invoice_id: str) -> bool:
    # The account's setting "block payments with the same invoice number" is on, as it is by default.
    row = entries.connection.execute(
        "select 1 from objects where kind = 'capture' and json_extract(body, '$.invoice_id') = ?"
        " and json_extract(body, '$.status') not in ('DECLINED', 'FAILED') limit 1",
        (invoice_id,),
    ).fetchone()
    return row is not None


def _first(given: Document | None, name: str) -> Document:
    found = (given or {}).get(name)
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else {}
