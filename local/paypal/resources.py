"""Resources as PayPal shows them. Links are made here, never stored: the port changes from run to run."""

from dataclasses import dataclass
from typing import Any

from local.paypal.books import Document, Entries

APPROVABLE = ("CREATED", "PAYER_ACTION_REQUIRED", "APPROVED")


@dataclass(frozen=True)
class Links:
    """Where this simulator is: for API calls, and for a buyer's browser."""

    api: str
    public: str

    def to(self, path: str, rel: str, method: str = "GET") -> dict[str, Any]:
        return {"href": f"{self.api}{path}", "rel": rel, "method": method}

    def checkout(self, order_id: str, rel: str) -> dict[str, Any]:
        return {"href": f"{self.public}/checkoutnow?token={order_id}", "rel": rel, "method": "GET"}


def order(entries: Entries, document: Document, links: Links) -> dict[str, Any]:
    """The whole order, with its captures and refunds inside its purchase units."""
    shown = _public(document)
    captures = entries.children("capture", document["id"])
    refunds = [refund for made in captures for refund in entries.children("refund", made["id"])]
    units = [dict(unit) for unit in shown["purchase_units"]]
    if captures:
        units[0]["payments"] = {"captures": [_inside(capture(made, links)) for made in captures]}
        if refunds:
            units[0]["payments"]["refunds"] = [refund_of(made, links) for made in refunds]
    shown["purchase_units"] = units
    shown["links"] = _order_links(document, links)
    return shown


def minimal_order(document: Document, links: Links) -> dict[str, Any]:
    """Prefer: return=minimal, the default: id, status and links."""
    shown = {"id": document["id"], "status": document["status"], "links": _order_links(document, links)}
    source = document.get("payment_source")
    return {**shown, "payment_source": source} if source else shown


def capture(document: Document, links: Links) -> dict[str, Any]:
    path = f"/v2/payments/captures/{document['id']}"
    shown = _public(document)
    shown["links"] = [links.to(path, "self"), links.to(f"{path}/refund", "refund", "POST")]
    if document["_order_id"]:
        shown["links"].append(links.to(f"/v2/checkout/orders/{document['_order_id']}", "up"))
    return shown


def refund_of(document: Document, links: Links) -> dict[str, Any]:
    """A refund or a reversal: both are refund resources, and name their capture only in the link `up`."""
    shown = _public(document)
    shown["links"] = [
        links.to(f"/v2/payments/refunds/{document['id']}", "self"),
        links.to(f"/v2/payments/captures/{document['_capture_id']}", "up"),
    ]
    return shown


def minimal_refund(document: Document, links: Links) -> dict[str, Any]:
    shown = refund_of(document, links)
    return {name: shown[name] for name in ("id", "status", "links")}


def dispute(document: Document, links: Links) -> dict[str, Any]:
    path = f"/v1/customer/disputes/{document['dispute_id']}"
    shown = _public(document)
    shown["links"] = [links.to(path, "self")]
    if document["status"] != "RESOLVED":
        shown["links"].append(links.to(f"{path}/send-message", "send_message", "POST"))
    return shown


def _order_links(document: Document, links: Links) -> list[dict[str, Any]]:
    path = f"/v2/checkout/orders/{document['id']}"
    found = [links.to(path, "self")]
    if document["status"] in ("CREATED", "PAYER_ACTION_REQUIRED") or document.get("_declined"):
        # The link's name depends on how the order was made: payer-action with a payment_source, approve without.
        rel = "payer-action" if document.get("payment_source") else "approve"
        found.append(links.checkout(document["id"], rel))
    if document["status"] in APPROVABLE:
        found.append(links.to(path, "update", "PATCH"))
        found.append(links.to(f"{path}/capture", "capture", "POST"))
    return found


def _public(document: Document) -> dict[str, Any]:
    return {name: value for name, value in document.items() if not name.startswith("_")}


def _inside(shown: dict[str, Any]) -> dict[str, Any]:
    # Orders v2's capture has no supplementary_data and no payee; only payments v2's has.
    return {name: value for name, value in shown.items() if name not in ("supplementary_data", "payee")}
