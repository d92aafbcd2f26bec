"""What PayPal does by itself, by the name of the event that tells of it. Liberal: what is not given gets a default."""

from decimal import Decimal
from typing import Any

from local.paypal import happenings, resources
from local.paypal.books import Document, Entries
from local.paypal.money import CURRENCIES, amount_of, money
from local.paypal.resources import Links
from local.paypal.telling import emit

CAPTURE_ENDS = {
    "PAYMENT.CAPTURE.COMPLETED": "COMPLETED",
    "PAYMENT.CAPTURE.PENDING": "PENDING",
    "PAYMENT.CAPTURE.DENIED": "DECLINED",
    "PAYMENT.CAPTURE.DECLINED": "DECLINED",
}
REFUND_ENDS = {
    "PAYMENT.REFUND.PENDING": "PENDING",
    "PAYMENT.REFUND.FAILED": "FAILED",
    "PAYMENT.REFUND.CANCELLED": "CANCELLED",
}
_BOTH_ENDS = {"COMPLETED", "DECLINED"}
_CAPTURED = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
OUTCOMES = {"won": "RESOLVED_SELLER_FAVOUR", "lost": "RESOLVED_BUYER_FAVOUR"}


class Unclear(Exception):
    """The control call does not say enough to make it true."""


def make_true(entries: Entries, event_type: str, given: Document, links: Links) -> None:
    """Change the books so that the event is true; the events are stored with it. Raises Unclear."""
    if event_type == "CHECKOUT.ORDER.APPROVED":
        order = _order(entries, given)
        if order["status"] in resources.APPROVABLE:
            happenings.approve(entries, order, links)
        else:
            happenings.tell_approval_late(entries, order, links)
    elif event_type == "CHECKOUT.ORDER.COMPLETED":
        _complete_order(entries, _order(entries, given), links)
    elif event_type == "CHECKOUT.PAYMENT-APPROVAL.REVERSED":
        _reverse_approval(entries, _order(entries, given), links)
    elif event_type in CAPTURE_ENDS:
        _end_capture(entries, given, links, status=CAPTURE_ENDS[event_type])
    elif event_type in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED"):
        _refund(entries, given, links, reversal=event_type.endswith("REVERSED"), status="COMPLETED")
    elif event_type in REFUND_ENDS:
        _refund(entries, given, links, reversal=False, status=REFUND_ENDS[event_type])
    elif event_type.startswith("CUSTOMER.DISPUTE."):
        _dispute(entries, given, links, event_type)
    else:
        # A type that changes nothing here: told as it was given.
        emit(entries, event_type, given, links)


def _end_capture(entries: Entries, given: Document, links: Links, *, status: str) -> None:
    known = entries.find("capture", str(given.get("id", "")))
    order_id = _order_id(given)
    if known is None and "id" not in given and order_id:
        waiting = [made for made in entries.children("capture", order_id) if made["status"] == "PENDING"]
        known = waiting[0] if waiting and status != "PENDING" else None
    if known is not None:
        # A pending capture ends; an ended one can be made to end otherwise, but nothing goes back in time: what would
        # is an old notice that comes late, or the same one once more.
        if (known["status"] == "PENDING" and status != "PENDING") or {known["status"], status} == _BOTH_ENDS:
            happenings.end_capture(entries, known, links, status=status)
        else:
            happenings.tell_late(entries, known, links, status=status)
        return
    order = entries.find("order", order_id)
    given = {name: value for name, value in given.items() if name != "order_id"}
    if order is None:
        # A payment of an order that is not ours, or that was made elsewhere.
        order = {"id": order_id, "status": "COMPLETED", "purchase_units": [{"amount": money("USD", Decimal(10))}]}
    happenings.add_capture(entries, order, links, status=status, given=_with_amount(given, order))


def _refund(entries: Entries, given: Document, links: Links, *, reversal: bool, status: str) -> None:
    known = entries.find("refund", str(given.get("id", "")))
    if known is not None:
        happenings.end_refund(entries, known, links, status=status)
        return
    made = _capture(entries, given)
    left = happenings.refundable(entries, made)
    asked = given.get("amount")
    amount = _amount(asked, made["amount"]["currency_code"]) if asked is not None else money(_currency(made), left)
    if made["status"] not in _CAPTURED or not 0 < amount_of(amount) <= left:
        raise Unclear(f"of capture {made['id']} ({made['status']}) {left} can be given back")
    more = {name: value for name, value in given.items() if name not in ("capture_id", "supplementary_data")}
    if more.get("id") == made["id"]:
        del more["id"]
    happenings.add_refund(entries, made, amount, links, given=more, reversal=reversal, status=status)


def _dispute(entries: Entries, given: Document, links: Links, event_type: str) -> None:
    given = dict(given)
    known = entries.find("dispute", str(given.get("dispute_id") or given.get("id") or ""))
    if event_type == "CUSTOMER.DISPUTE.CREATED" and known is None:
        made = _capture(entries, given)
        fresh = {name: value for name, value in given.items() if name not in ("capture_id", "supplementary_data", "id")}
        happenings.open_dispute(entries, made, links, given=fresh)
        return
    if known is None:
        opened = entries.children("dispute", _capture(entries, given)["id"])
        if not opened:
            raise Unclear("no dispute of this capture; name dispute_id, or create one first")
        known = opened[-1]
    outcome = given.pop("outcome", None)
    changes = {name: value for name, value in given.items() if name in _DISPUTE_FIELDS}
    if event_type == "CUSTOMER.DISPUTE.RESOLVED":
        changes["status"] = "RESOLVED"
        if outcome is not None:
            changes["dispute_outcome"] = {"outcome_code": OUTCOMES.get(str(outcome), str(outcome))}
        changes.setdefault("dispute_outcome", {"outcome_code": "RESOLVED_SELLER_FAVOUR"})
    happenings.change_dispute(entries, known, links, given=changes, event_type=event_type)


_DISPUTE_FIELDS = frozenset(
    {"status", "reason", "dispute_amount", "dispute_outcome", "dispute_life_cycle_stage", "dispute_channel", "messages"}
)


def _complete_order(entries: Entries, order: Document, links: Links) -> None:
    if order["status"] == "COMPLETED":
        emit(entries, "CHECKOUT.ORDER.COMPLETED", resources.order(entries, order, links), links)
    else:
        happenings.add_capture(entries, order, links, status="COMPLETED")


def _reverse_approval(entries: Entries, order: Document, links: Links) -> None:
    order["status"] = "VOIDED"
    entries.change("order", order)
    names = ("reference_id", "custom_id", "invoice_id")
    units = [{name: unit[name] for name in names if name in unit} for unit in order["purchase_units"]]
    # This event alone has no resource.id: the order is in order_id.
    resource = {"order_id": order["id"], "purchase_units": units, "payment_source": order.get("payment_source", {})}
    emit(entries, "CHECKOUT.PAYMENT-APPROVAL.REVERSED", resource, links)


def _order(entries: Entries, given: Document) -> Document:
    order_id = str(given.get("id") or given.get("order_id") or "")
    order = entries.find("order", order_id)
    if order is None:
        raise Unclear(f"no order {order_id!r}: name it in resource.id")
    return order


def _capture(entries: Entries, given: Document) -> Document:
    named = [given.get("capture_id"), given.get("id"), _related(given).get("capture_id")]
    named += [
        link["href"].rpartition("/")[2]
        for link in given.get("links") or []
        if isinstance(link, dict) and link.get("rel") == "up"
    ]
    named += [
        transaction.get("seller_transaction_id")
        for transaction in given.get("disputed_transactions") or []
        if isinstance(transaction, dict)
    ]
    for capture_id in named:
        made = entries.find("capture", str(capture_id or ""))
        if made is not None:
            return made
    for made in reversed(entries.children("capture", _order_id(given)) if _order_id(given) else []):
        return made
    raise Unclear("no such capture: name it in resource.capture_id, a link with rel up, or disputed_transactions")


def _currency(made: Document) -> str:
    return str(made["amount"]["currency_code"])


def _order_id(given: Document) -> str:
    return str(given.get("order_id") or _related(given).get("order_id") or "")


def _related(given: Document) -> dict[str, Any]:
    found = (given.get("supplementary_data") or {}).get("related_ids")
    return found if isinstance(found, dict) else {}


def _with_amount(given: Document, order: Document) -> Document:
    if "amount" not in given:
        return given
    return {**given, "amount": _amount(given["amount"], order["purchase_units"][0]["amount"]["currency_code"])}


def _amount(given: Any, currency: str) -> dict[str, Any]:
    try:
        if isinstance(given, dict):
            currency = str(given.get("currency_code", currency))
            given = given["value"]
        if currency not in CURRENCIES:
            raise Unclear(f"PayPal knows no {currency}")
        return money(currency, Decimal(str(given)))
    except (ArithmeticError, KeyError, ValueError) as problem:
        raise Unclear("amount must be {currency_code, value}") from problem
