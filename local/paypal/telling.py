"""Events: what PayPal tells of a change, in the words it uses for each type."""

from typing import Any

from local.paypal import ids
from local.paypal.books import Document, Entries
from local.paypal.resources import Links


def emit(entries: Entries, event_type: str, resource: dict[str, Any], links: Links) -> Document:
    """The event of a change, stored with it."""
    event = event_of(event_type, resource, links, at=entries.now)
    entries.add_event(event, subjects_of(resource))
    return event


def event_of(event_type: str, resource: dict[str, Any], links: Links, *, at: float) -> Document:
    kind, version, sentence = _telling(event_type)
    event_id = ids.event_id()
    path = f"/v1/notifications/webhooks-events/{event_id}"
    amount = resource.get("amount")
    event: Document = {
        "id": event_id,
        "event_version": "1.0",
        "create_time": ids.iso_ms(at),
        "resource_type": kind,
        "event_type": event_type,
        "summary": sentence.format(
            amount=f"{amount['value']} {amount['currency_code']}" if isinstance(amount, dict) else "?",
            case=resource.get("dispute_id", "?"),
        ),
        "resource": resource,
        "links": [links.to(path, "self"), links.to(f"{path}/resend", "resend", "POST")],
    }
    return {**event, "resource_version": version} if version else event


def subjects_of(resource: dict[str, Any]) -> list[str]:
    """Ids by which webhooks-events finds the event of a transaction."""
    found = [resource.get(name) for name in ("id", "dispute_id", "order_id")]
    found += [link["href"].rpartition("/")[2] for link in resource.get("links") or [] if link.get("rel") == "up"]
    found += [transaction.get("seller_transaction_id") for transaction in resource.get("disputed_transactions") or []]
    return [str(subject) for subject in found if subject]


def _telling(event_type: str) -> tuple[str, str, str]:
    if event_type == "CHECKOUT.ORDER.APPROVED":
        return "checkout-order", "2.0", "An order has been approved by buyer"
    if event_type == "CHECKOUT.ORDER.COMPLETED":
        return "checkout-order", "2.0", "Checkout Order Completed"
    if event_type == "CHECKOUT.PAYMENT-APPROVAL.REVERSED":
        return "checkout-order", "2.0", "A payment has been reversed after approval."
    if event_type in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"):
        return "refund", "2.0", f"A {{amount}} capture payment was {event_type.rpartition('.')[2].lower()}"
    if event_type.startswith("PAYMENT.REFUND."):
        return "refund", "2.0", f"A {{amount}} refund is {event_type.rpartition('.')[2].lower()}"
    if event_type.startswith("PAYMENT.CAPTURE."):
        return "capture", "2.0", f"Payment {event_type.rpartition('.')[2].lower()} for {{amount}}"
    if event_type.startswith("CUSTOMER.DISPUTE."):
        return "dispute", "", f"Dispute with Case # {{case}} {event_type.rpartition('.')[2].lower()}"
    return event_type.split(".")[0].lower(), "", event_type
