"""PayPal: orders v2, payments v2 and customer disputes v1, as the shop's Processor.

Every call that changes something carries PayPal-Request-Id, so that repeating it is asking what became of it. What is
not a definite answer is Unavailable: no connection, a time-out, 5xx, 429, and everything that a later call may answer
differently (401, 403, 409). Other 4xx are refusals, named by PayPal's issue.
"""

import base64
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit
from uuid import UUID

from shared.gateways.https_calls import Answer, Origin
from shared.gateways.paypal_money import NotPayableByPayPal, to_paypal
from shared.gateways.paypal_objects import (
    Object,
    Unreadable,
    find_link,
    read_capture,
    read_dispute,
    read_order,
    read_past_events,
    read_refund,
)
from shared.kernel.clock import iso
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.logs import Log
from shared.kernel.money import Money
from shared.payments.past_events import PageOfEvents
from shared.payments.processor import (
    Approval,
    CaptureFact,
    DisputeFact,
    OrderFact,
    PaymentRequest,
    RefundFact,
    Refused,
    Tracking,
)
from shared.settings import PayPalSettings

log = Log(__name__)
_F = TypeVar("_F")

_RENEW_BEFORE_S = 60
# Orders v2 and payments v2 give ids of 17 characters, disputes PP-000-042-663-135: nothing else becomes part of a path.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
# PayPal's own rule for addresses is narrower than the mail's; one that it would refuse is left out, it only prefills.
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}")
# Orders v2, shipment_carrier: 1,276 names; these are the ones a merchant types as they are, others go as OTHER by name.
_CARRIERS = {"CHRONOPOST_FR", "DHL", "DPD", "FEDEX", "GLS", "HERMES", "PUROLATOR", "ROYAL_MAIL", "UPS", "USPS"}
_TAKEN = ("COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED")
_EVENTS = "/v1/notifications/webhooks-events"


@dataclass(frozen=True, slots=True)
class _Reply:
    """A definite answer: 2xx with its object, or 4xx with PayPal's issue."""

    status: int
    body: dict[str, Any]
    issue: str

    @property
    def done(self) -> bool:
        return self.status < 300


class PayPal:
    """Made on first use; opens nothing before the first call. Safe for threads."""

    def __init__(self, settings: PayPalSettings) -> None:
        self._origin = Origin(settings.base_url)
        self._client = base64.b64encode(f"{settings.client_id}:{settings.client_secret}".encode()).decode()
        self._prefix = settings.invoice_prefix
        self._token = ""
        self._token_until = 0.0

    def close(self) -> None:
        self._origin.close()

    def open(self, request: PaymentRequest) -> Approval:
        reply = self._send(
            "POST", "/v2/checkout/orders", order_request(request, self._prefix), request_id=request.request_id
        )
        if not reply.done:
            log.error("paypal_order_refused", order_id=request.order_id, issue=reply.issue)
            raise Declined(reason=reply.issue)
        with_id, status = reply.body.get("id"), reply.body.get("status")
        if not isinstance(with_id, str) or not isinstance(status, str):
            raise Unavailable
        # The link is named approve or payer-action, by how the order was made; an order that was approved meanwhile has
        # none, and its buyer's next step is the return.
        approve_url = find_link(reply.body, "approve", "payer-action") or _way_back(request.return_url, with_id)
        return Approval(with_id, approve_url, status)

    def capture(self, paypal_order_id: str, *, attempt_id: UUID) -> CaptureFact | Refused:
        if not _ID.fullmatch(paypal_order_id):
            return Refused("INVALID_RESOURCE_ID")
        path = f"/v2/checkout/orders/{paypal_order_id}/capture"
        reply = self._send("POST", path, {}, request_id=attempt_id)
        if reply.done:
            return _capture_of(_readable(read_order, reply.body))
        if reply.issue == "ORDER_ALREADY_CAPTURED":
            # Done, by an attempt whose answer was lost: the order says how.
            order = self.find_order(paypal_order_id)
            if order is None:
                raise Unavailable
            return _capture_of(order)
        if reply.issue == "ORDER_COMPLETION_IN_PROGRESS":
            raise Unavailable
        return Refused(reply.issue)

    def refund(
        self, capture_id: str, *, refund_id: UUID, amount: Money, number: str, note: str
    ) -> RefundFact | Refused:
        if not _ID.fullmatch(capture_id):
            return Refused("INVALID_RESOURCE_ID")
        try:
            asked: dict[str, Any] = {"amount": to_paypal(amount), "custom_id": str(refund_id)}
        except NotPayableByPayPal:
            return Refused("DECIMAL_PRECISION")
        # Its own invoice number: accounts may refuse one that was used before (DUPLICATE_INVOICE_ID).
        asked["invoice_id"] = f"{self._prefix}{number}-{refund_id.hex[:8]}"
        if note.strip():
            asked["note_to_payer"] = note.strip()[:255]
        reply = self._send("POST", f"/v2/payments/captures/{capture_id}/refund", asked, request_id=refund_id)
        return _readable(read_refund, reply.body) if reply.done else Refused(reply.issue)

    def track(self, tracking: Tracking) -> Refused | None:
        if not _ID.fullmatch(tracking.paypal_order_id):
            return Refused("INVALID_RESOURCE_ID")
        asked = _tracker_of(tracking)
        path = f"/v2/checkout/orders/{tracking.paypal_order_id}/track"
        reply = self._send("POST", path, asked, request_id=tracking.shipment_id)
        return None if reply.done else Refused(reply.issue)

    def find_order(self, paypal_order_id: str) -> OrderFact | None:
        return self._find("/v2/checkout/orders", paypal_order_id, read_order)

    def find_capture(self, capture_id: str) -> CaptureFact | None:
        return self._find("/v2/payments/captures", capture_id, read_capture)

    def find_refund(self, refund_id: str) -> RefundFact | None:
        return self._find("/v2/payments/refunds", refund_id, read_refund)

    def find_dispute(self, dispute_id: str) -> DisputeFact | None:
        return self._find("/v1/customer/disputes", dispute_id, read_dispute)

    def list_events(self, *, since: datetime, until: datetime, cursor: str | None, limit: int = 50) -> PageOfEvents:
        """Webhooks v1, list event notifications; the cursor is the query of its link `next`, and nothing else of it."""
        asked = {"page_size": limit, "start_time": iso(since), "end_time": iso(until)}
        reply = self._send("GET", f"{_EVENTS}?{cursor or urlencode(asked)}")
        if not reply.done:
            log.error("paypal_events_refused", issue=reply.issue)
            raise Unavailable
        following = find_link(reply.body, "next")
        return PageOfEvents(
            events=tuple(read_past_events(reply.body)), next=urlsplit(following).query or None if following else None
        )

    def _find(self, folder: str, object_id: str, read: Callable[[Object], _F]) -> _F | None:
        if not _ID.fullmatch(object_id):
            return None
        reply = self._send("GET", f"{folder}/{object_id}")
        return _readable(read, reply.body) if reply.done else None

    def _send(self, method: str, path: str, body: object = None, *, request_id: UUID | None = None) -> _Reply:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        content = None
        if request_id is not None:
            headers["PayPal-Request-Id"] = str(request_id)
            # The default is an id and links: without the amount, and without what we named it by.
            headers["Prefer"] = "return=representation"
            content = json.dumps(body).encode()
        token = self._access_token()
        for last in (False, True):
            headers["Authorization"] = f"Bearer {token}"
            answer = self._origin.call(method, path, headers=headers, body=content, repeatable=method == "GET")
            if answer.status != 401 or last:
                break
            # Revoked before its time, or the other side's clock has gone on: a new one, once.
            token = self._access_token(instead_of=token)
        return _definite(answer, method, path)

    def _access_token(self, *, instead_of: str | None = None) -> str:
        if self._token and self._token != instead_of and time.monotonic() < self._token_until:
            return self._token
        answer = self._origin.call(
            "POST",
            "/v1/oauth2/token",
            headers={
                "Accept": "application/json",
                "Authorization": f"Basic {self._client}",
                "Content-Type": "application/x-www-form-urlencoded",
            },
            body=urlencode({"grant_type": "client_credentials"}).encode(),
            repeatable=True,
        )
        found = _json(answer)
        token, lives_s = found.get("access_token"), found.get("expires_in")
        if answer.status != 200 or not isinstance(token, str) or not isinstance(lives_s, int):
            # 401 here is wrong credentials: nothing is lost while a person puts it right.
            log.error("paypal_gave_no_token", status=answer.status)
            raise Unavailable(retry_after_s=_retry_after_s(answer))
        self._token, self._token_until = token, time.monotonic() + max(lives_s - _RENEW_BEFORE_S, 0)
        return token


def _definite(answer: Answer, method: str, path: str) -> _Reply:
    """Raises Unavailable where the answer does not settle it."""
    body = _json(answer)
    if answer.status in (200, 201) and body:
        return _Reply(answer.status, body, "")
    if answer.status in (400, 404, 422):
        return _Reply(answer.status, body, _issue(body) or f"HTTP_{answer.status}")
    log.warning("paypal_unavailable", method=method, path=path, status=answer.status, issue=_issue(body))
    raise Unavailable(retry_after_s=_retry_after_s(answer))


def _json(answer: Answer) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _issue(body: Object) -> str:
    """The first of `details`, else the error's name."""
    details = body.get("details")
    first = details[0] if isinstance(details, list) and details else None
    issue = first.get("issue") if isinstance(first, dict) else None
    name = body.get("name")
    return issue if isinstance(issue, str) and issue else name if isinstance(name, str) else ""


def _retry_after_s(answer: Answer) -> int:
    after = answer.headers.get("retry-after", "")
    return min(max(int(after), 1), 300) if after.isascii() and after.isdigit() and len(after) < 9 else 2


def _way_back(return_url: str, paypal_order_id: str) -> str:
    """The return URL as PayPal itself would call it."""
    return f"{return_url}{'&' if '?' in return_url else '?'}token={paypal_order_id}"


def _readable(read: Callable[[Object], _F], body: Object) -> _F:
    try:
        return read(body)
    except Unreadable as error:
        log.error("paypal_object_unreadable", reason=str(error))
        raise Unavailable from error


def _capture_of(order: OrderFact) -> CaptureFact:
    """The capture that decides: one that took money, else one that may, else the last. Raises Unavailable."""
    captures: Sequence[CaptureFact] = order.captures
    for statuses in (_TAKEN, ("PENDING",)):
        for capture in captures:
            if capture.status in statuses:
                return capture
    if not captures:
        raise Unavailable
    return captures[-1]


def order_request(request: PaymentRequest, prefix: str) -> dict[str, Any]:
    """The order request. Raises NotPayableByPayPal; ValueError where the request's own sums are wrong."""
    parts_minor = request.subtotal_minor - request.discount_minor + request.shipping_minor + request.tax_minor
    if parts_minor != request.total_minor:
        raise ValueError(f"the parts of order {request.order_id} do not make its total")
    if sum(line.unit_price_minor * line.quantity for line in request.lines) != request.subtotal_minor:
        raise ValueError(f"the lines of order {request.order_id} do not make its subtotal")

    def money(minor: int) -> dict[str, str]:
        return to_paypal(Money(minor, request.currency))

    # No tax per item: tax_total would have to be the sum of tax x quantity (TAX_TOTAL_MISMATCH), and ours is per line.
    breakdown = {"item_total": money(request.subtotal_minor)}
    for part, minor in (
        ("discount", request.discount_minor),
        ("shipping", request.shipping_minor),
        ("tax_total", request.tax_minor),
    ):
        if minor:
            breakdown[part] = money(minor)
    unit = {
        "custom_id": str(request.order_id),
        "invoice_id": f"{prefix}{request.number}",
        "amount": {**money(request.total_minor), "breakdown": breakdown},
        "items": [
            {
                "name": line.name.strip()[:127].strip() or line.sku,
                "sku": line.sku[:127],
                "quantity": str(line.quantity),
                "unit_amount": money(line.unit_price_minor),
            }
            for line in request.lines
        ],
        "shipping": _shipping_of(request),
    }
    wallet: dict[str, Any] = {
        "experience_context": {
            # GET_FROM_FILE is the default: the buyer could pick another address than the one that was taxed.
            "shipping_preference": "SET_PROVIDED_ADDRESS",
            "user_action": "PAY_NOW",
            "return_url": request.return_url,
            "cancel_url": request.cancel_url,
        }
    }
    if len(request.email) <= 254 and _EMAIL.fullmatch(request.email):
        wallet["email_address"] = request.email
    return {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": {"paypal": wallet}}


def _shipping_of(request: PaymentRequest) -> dict[str, Any]:
    address = {
        "address_line_1": (request.address.get("line1") or "")[:300],
        "address_line_2": (request.address.get("line2") or "")[:300],
        "admin_area_2": (request.address.get("city") or "")[:120],
        "admin_area_1": (request.address.get("region") or "")[:300],
        "postal_code": (request.address.get("postal_code") or "")[:60],
        "country_code": request.address.get("country") or "",
    }
    return {
        "type": "SHIPPING",
        "name": {"full_name": (request.address.get("name") or "")[:300]},
        "address": {name: value for name, value in address.items() if value},
    }


def _tracker_of(tracking: Tracking) -> dict[str, Any]:
    """Orders v2, order_tracker_request. PayPal knows a tracker by capture and number; the mail is the shop's own."""
    asked: dict[str, Any] = {
        "capture_id": tracking.capture_id,
        "tracking_number": tracking.tracking_number[:64],
        "carrier": re.sub(r"[^A-Z0-9]+", "_", tracking.carrier.strip().upper()),
        "notify_payer": False,
        "items": [
            {"name": item.name.strip()[:127].strip() or item.sku, "sku": item.sku[:127], "quantity": str(item.quantity)}
            for item in tracking.items
        ],
    }
    if asked["carrier"] not in _CARRIERS:
        asked |= {"carrier": "OTHER", "carrier_name_other": tracking.carrier.strip()[:64]}
    return asked
