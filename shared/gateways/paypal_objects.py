"""PayPal's objects as facts. What it writes is read leniently: fields are missing in older objects, times are odd.

Sources: orders v2, payments v2, customer disputes v1. A capture inside an order names neither its order nor, in older
ones, the ids we gave: its purchase unit has those.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from shared.gateways.paypal_money import from_paypal
from shared.kernel.clock import parse_iso
from shared.payments.past_events import PastEvent
from shared.payments.processor import CaptureFact, DisputeFact, OrderFact, RefundFact

Object = Mapping[str, Any]

# PayPal's sample of a reversal: a refund resource that nobody asked for, told from one only by its note.
_REVERSED = "Payment reversed"


class Unreadable(Exception):
    """PayPal has shown an object without what makes it one: an id, a status, an amount."""


def read_order(order: Object) -> OrderFact:
    """Raises Unreadable."""
    captures: list[CaptureFact] = []
    refunds: list[RefundFact] = []
    units = [unit for unit in _list(order, "purchase_units") if isinstance(unit, Mapping)]
    first: Object = units[0] if units else {}
    order_id = _need(order, "id")
    for unit in units:
        payments = unit.get("payments")
        if isinstance(payments, Mapping):
            for capture in _list(payments, "captures"):
                captures.append(read_capture(capture, order_id=order_id, unit=unit))
            refunds.extend(read_refund(refund) for refund in _list(payments, "refunds"))
    return OrderFact(
        id=order_id,
        status=_need(order, "status"),
        update_time=_text(order, "update_time") or _text(order, "create_time") or "",
        custom_id=_text(first, "custom_id"),
        invoice_id=_text(first, "invoice_id"),
        captures=tuple(captures),
        refunds=tuple(refunds),
    )


def read_capture(capture: Object, *, order_id: str | None = None, unit: Object | None = None) -> CaptureFact:
    """Raises Unreadable."""
    unit = unit or {}
    related = capture.get("supplementary_data")
    related = related.get("related_ids") if isinstance(related, Mapping) else None
    return CaptureFact(
        id=_need(capture, "id"),
        status=_need(capture, "status"),
        amount=from_paypal(capture.get("amount")),
        invoice_id=_text(capture, "invoice_id") or _text(unit, "invoice_id"),
        custom_id=_text(capture, "custom_id") or _text(unit, "custom_id"),
        paypal_order_id=order_id or _text(related or {}, "order_id") or id_above(capture, "orders"),
        created_at=_moment(_text(capture, "create_time")),
        update_time=_text(capture, "update_time") or _text(capture, "create_time") or "",
    )


def read_refund(refund: Object) -> RefundFact:
    """A refund or a reversal; its capture stands in the link `up` alone. Raises Unreadable."""
    capture_id = id_above(refund, "captures")
    breakdown = refund.get("seller_payable_breakdown")
    amount = from_paypal(refund.get("amount")) or from_paypal((breakdown or {}).get("gross_amount"))
    if capture_id is None or amount is None:
        raise Unreadable("a refund without capture or amount")
    custom_id = _text(refund, "custom_id")
    return RefundFact(
        id=_need(refund, "id"),
        capture_id=capture_id,
        status=_need(refund, "status"),
        amount=amount,
        custom_id=custom_id,
        created_at=_moment(_text(refund, "create_time")),
        update_time=_text(refund, "update_time") or _text(refund, "create_time") or "",
        reversal=custom_id is None and _text(refund, "note_to_payer") == _REVERSED,
    )


def read_dispute(dispute: Object) -> DisputeFact:
    """Raises Unreadable."""
    transactions = [_text(entry, "seller_transaction_id") for entry in _list(dispute, "disputed_transactions")]
    outcome = dispute.get("dispute_outcome")
    return DisputeFact(
        id=_need(dispute, "dispute_id"),
        status=_need(dispute, "status"),
        outcome=_text(outcome, "outcome_code") if isinstance(outcome, Mapping) else None,
        capture_ids=tuple(capture_id for capture_id in transactions if capture_id),
        amount=from_paypal(dispute.get("dispute_amount")),
        update_time=_text(dispute, "update_time") or _text(dispute, "create_time") or "",
    )


def read_past_events(found: Object) -> list[PastEvent]:
    """The events of a list; one without id or type could not be told from another, and is left out."""
    events = []
    for event in _list(found, "events"):
        event_id, event_type = _text(event, "id"), _text(event, "event_type")
        if event_id is not None and event_type is not None:
            events.append(PastEvent(event_id, event_type, json.dumps(event)))
    return events


def find_link(holder: Object, *names: str) -> str | None:
    """The href of the first link whose rel is one of the names."""
    for link in _list(holder, "links"):
        if isinstance(link, Mapping) and link.get("rel") in names:
            return _text(link, "href")
    return None


def id_above(holder: Object, kind: str) -> str | None:
    """The id that the link `up` ends in, where it leads to that kind of object: captures, orders."""
    path = (find_link(holder, "up") or "").partition("?")[0]
    parts = path.rstrip("/").split("/")
    return parts[-1] if len(parts) >= 2 and parts[-2] == kind and parts[-1] else None


def _need(holder: Object, name: str) -> str:
    found = _text(holder, name)
    if found is None:
        raise Unreadable(f"an object without {name}")
    return found


def _text(holder: object, name: str) -> str | None:
    found = holder.get(name) if isinstance(holder, Mapping) else None
    return found if isinstance(found, str) and found else None


def _list(holder: Object, name: str) -> Sequence[Any]:
    found = holder.get(name)
    return found if isinstance(found, list) else ()


def _moment(text: str | None) -> datetime | None:
    # One of PayPal's own samples has a month 19.
    try:
        return parse_iso(text) if text else None
    except (ValueError, OverflowError):
        return None
