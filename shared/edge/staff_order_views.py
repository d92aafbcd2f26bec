"""What staff see of orders, and send to change one (DESIGN.md section 5). Counts are units."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, field

from shared.audit.entries import Entry
from shared.edge.buying_views import (
    AddressView,
    ShipmentView,
    ShippingOptionView,
    TotalsView,
    shipment_view,
    shipping_option_view,
    totals_view,
)
from shared.edge.desk_views import AuditEntryView, audit_entry_view
from shared.edge.money_view import MoneyView, money
from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.edge.texts import SEEN_LINE, SEEN_LINES
from shared.kernel.clock import iso, parse_iso
from shared.orders.order import Order, OrderLine, OrderRefund, from_json
from shared.orders.refunding import refunded_units
from shared.orders.refusals import advise
from shared.payments import ledger
from shared.payments.ledger import Ledger, Sums
from shared.pricing.totals import Totals
from shared.shop.settings import ShippingOption

Status = Literal["pending_payment", "paid", "on_hold", "fulfilling", "completed", "cancelled", "expired"]
Words = Annotated[str, Meta(min_length=1, max_length=2000, pattern=SEEN_LINES)]
# What PayPal takes as a note to the payer (payments v2: 255 characters).
Reason = Annotated[str, Meta(min_length=1, max_length=255, pattern=SEEN_LINE)]
Sku = Annotated[str, Meta(min_length=1, max_length=64)]
Units = Annotated[int, Meta(ge=1, le=999)]
AmountMinor = Annotated[int, Meta(ge=0, le=100_000_000_000)]


class OrdersQuery(Query, frozen=True, kw_only=True):
    """`failed_refunds`: only orders with a refund that failed and that nobody has taken up again."""

    status: Status | None = None
    number: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    email: Annotated[str, Meta(min_length=3, max_length=254)] | None = None
    disputed: bool | None = None
    failed_refunds: bool = False
    cursor: Cursor | None = None
    limit: Limit = 24


class NoteBody(Body, frozen=True, kw_only=True):
    text: Words


class HoldBody(Body, frozen=True, kw_only=True):
    reason: Words


class CancelBody(Body, frozen=True, kw_only=True):
    """`reason` is what the buyer reads beside the refund at PayPal; without one, that the order was cancelled."""

    reason: Reason | None = None


class RefundLineBody(Body, frozen=True, kw_only=True):
    """`restock`: units that are still here are no longer the order's; those that had left are back on the shelf."""

    sku: Sku
    quantity: Units
    restock: bool = False


class RefundBody(Body, frozen=True, kw_only=True):
    """What to give back: units of lines, shipping, a free amount; the parts add up. The buyer reads `reason`.

    Restocking the last unit of an order that has sent nothing cancels it: all that is left goes back, shipping too.
    """

    lines: Annotated[list[RefundLineBody], Meta(max_length=200)] = field(default_factory=list)
    shipping_minor: AmountMinor = 0
    amount_minor: AmountMinor = 0
    reason: Reason


class OrderRowView(View, frozen=True, kw_only=True):
    id: str
    number: str
    status: str
    status_reason: str | None
    email: str
    total: MoneyView
    captured: MoneyView
    refunded: MoneyView
    reversed: MoneyView
    disputed: bool
    late: bool
    failed_refunds: int
    placed_at: str
    paid_at: str | None


class OrdersPage(View, frozen=True, kw_only=True):
    items: list[OrderRowView]
    next_cursor: str | None


class StaffLineView(View, frozen=True, kw_only=True):
    """Where a line's units are, what was paid for all of them, and how many were refunded."""

    sku: str
    name: str
    options: dict[str, Any]
    quantity: int
    unit_price: MoneyView
    discount: MoneyView
    paid: MoneyView
    tax: MoneyView
    held: int
    allocated: int
    consumed: int
    released: int
    expired: int
    returned: int
    refunded: int


class RefundPartView(View, frozen=True, kw_only=True):
    sku: str
    quantity: int
    amount: MoneyView
    tax: MoneyView
    restock: bool


class StaffRefundView(View, frozen=True, kw_only=True):
    """A refund; of one that failed also PayPal's word for it, what to do, and whether it can be tried again."""

    id: str
    kind: str
    status: str
    amount: MoneyView
    lines: list[RefundPartView]
    shipping: MoneyView
    reason: str
    failure: str | None
    advice: str | None
    retryable: bool
    retries: str | None
    capture_id: str
    paypal_refund_id: str | None
    requested_at: str | None
    requested_by: str


class PaidView(View, frozen=True, kw_only=True):
    """Sums of PayPal's facts about the order, in the currency in which its money came."""

    paypal_order_id: str | None
    capture_id: str | None
    captured: MoneyView
    refunded: MoneyView
    reversed: MoneyView
    pending: MoneyView
    disputed: bool


class StaffOrderView(View, frozen=True, kw_only=True):
    """`voucher_over_limit`: its money came late, and its voucher was used up meanwhile."""

    id: str
    number: str
    status: str
    status_reason: str | None
    resume_status: str | None
    email: str
    customer_id: str | None
    payment: PaidView
    shipping_address: AddressView
    shipping_option: ShippingOptionView
    lines: list[StaffLineView]
    totals: TotalsView
    shipments: list[ShipmentView]
    refunds: list[StaffRefundView]
    late: bool
    voucher: str | None
    voucher_over_limit: bool
    placed_at: str
    hold_expires_at: str
    paid_at: str | None


class AttemptView(View, frozen=True, kw_only=True):
    id: str
    state: str
    requested_at: str
    closed_at: str | None
    capture_id: str | None
    refusal: str | None


class FactView(View, frozen=True, kw_only=True):
    """Something that PayPal has said: when it happened there, when we learnt it, and from what."""

    kind: str
    object_id: str
    status: str
    capture_id: str | None
    amount: MoneyView | None
    reversal: bool
    occurred_at: str | None
    recorded_at: str
    source: str


class OrderMovementView(View, frozen=True, kw_only=True):
    at: str
    kind: str
    sku: str
    delta_on_hand: int
    delta_held: int
    actor: str
    reason: str


class NoteView(View, frozen=True, kw_only=True):
    at: str
    author: str
    text: str


class StaffOrderDetailView(StaffOrderView, frozen=True, kw_only=True):
    """All that is known of an order; `refundable` is what neither went back nor is on its way."""

    refundable: MoneyView
    attempts: list[AttemptView]
    facts: list[FactView]
    movements: list[OrderMovementView]
    notes: list[NoteView]
    audit: list[AuditEntryView]


def order_row_view(row: Mapping[str, Any]) -> OrderRowView:
    def of(name: str) -> MoneyView:
        return money(row[f"{name}_minor"], row["currency"])

    facts = row["facts_in_another_currency"]
    came = ledger.read_json(facts).sums_as_it_came(row["bound_capture_id"], row["currency"]) if facts else None
    return OrderRowView(
        id=str(row["id"]),
        number=row["number"],
        status=row["status"],
        status_reason=row["status_reason"],
        email=row["email"],
        total=of("total"),
        captured=money(came.captured_minor, came.currency) if came else of("captured"),
        refunded=money(came.refunded_minor, came.currency) if came else of("refunded"),
        reversed=money(came.reversed_minor, came.currency) if came else of("reversed"),
        disputed=row["disputed"],
        late=row["late"],
        failed_refunds=row["failed_refunds"],
        placed_at=iso(row["placed_at"]),
        paid_at=iso(row["paid_at"]) if row["paid_at"] else None,
    )


def staff_order_view(order: Order, book: Ledger | None = None) -> StaffOrderView:
    """Without its `book`, an order whose money came in its own currency."""
    came = book.sums_as_it_came(order.bound_capture_id, order.currency) if book is not None else _sums_of(order)
    return StaffOrderView(**_order_fields(order) | {"payment": _paid_view(order, came)})


def staff_order_detail_view(found: Mapping[str, Any]) -> StaffOrderDetailView:
    order = from_json(found["found"])
    came = ledger.read_json(found["facts"]).sums_as_it_came(order.bound_capture_id, order.currency)
    return StaffOrderDetailView(
        **_order_fields(order) | {"payment": _paid_view(order, came)},
        refundable=money(max(found["refundable_minor"], 0), came.currency),
        attempts=[_attempt_view(row) for row in found["attempts"]],
        facts=[_fact_view(row) for row in found["facts"]],
        movements=[_movement_view(row) for row in found["movements"]],
        notes=[note_view({**row, "at": parse_iso(row["at"])}) for row in found["notes"]],
        audit=[_audit_view(row) for row in found["audit"]],
    )


def staff_refund_view(refund: OrderRefund, order: Order) -> StaffRefundView:
    failed = refund.state in ("failed", "cancelled")
    advice = advise(refund.failure) if failed else None
    was_retried = any(other.retries == refund.id for other in order.refunds)
    return StaffRefundView(
        id=str(refund.id),
        kind=refund.kind,
        status=refund.state,
        amount=money(refund.amount_minor, refund.currency),
        lines=[
            RefundPartView(
                sku=line.sku,
                quantity=line.quantity,
                amount=money(line.amount_minor, refund.currency),
                tax=money(line.tax_minor, refund.currency),
                restock=line.restock,
            )
            for line in refund.lines
        ],
        shipping=money(refund.shipping_minor, refund.currency),
        reason=refund.reason,
        failure=refund.failure,
        advice=advice.sentence if advice else None,
        retryable=advice is not None and advice.retryable and not was_retried,
        retries=str(refund.retries) if refund.retries else None,
        capture_id=refund.capture_id,
        paypal_refund_id=refund.paypal_refund_id,
        requested_at=_iso_or_none(refund.requested_at),
        requested_by=refund.requested_by,
    )


def note_view(row: Mapping[str, Any]) -> NoteView:
    return NoteView(at=iso(row["at"]), author=row["author"], text=row["words"])


def _order_fields(order: Order) -> dict[str, Any]:
    def of(minor: int) -> MoneyView:
        return money(minor, order.currency)

    totals = Totals(
        order.currency,
        order.subtotal_minor,
        order.discount_minor,
        order.shipping_minor,
        order.tax_minor,
        order.total_minor,
    )
    return {
        "id": str(order.id),
        "number": order.number,
        "status": order.status,
        "status_reason": order.status_reason,
        "resume_status": order.resume_status,
        "email": order.email,
        "customer_id": str(order.customer_id) if order.customer_id else None,
        "shipping_address": AddressView(**order.shipping_address),
        "shipping_option": shipping_option_view(ShippingOption(**order.shipping_option), order.currency),
        "lines": [_line_view(line, order) for line in order.lines],
        "totals": totals_view(totals),
        "shipments": [shipment_view(shipment) for shipment in order.shipments],
        "refunds": [staff_refund_view(refund, order) for refund in order.refunds],
        "late": order.late,
        "voucher": order.voucher_code,
        "voucher_over_limit": order.voucher_over_limit,
        "placed_at": iso(order.placed_at),
        "hold_expires_at": iso(order.hold_expires_at),
        "paid_at": _iso_or_none(order.paid_at),
    }


def _sums_of(order: Order) -> Sums:
    """Of what came in the order's currency: what came in another only the ledger knows."""
    return Sums(order.currency, order.captured_minor, order.refunded_minor, order.reversed_minor, order.pending_minor)


def _paid_view(order: Order, came: Sums) -> PaidView:
    return PaidView(
        paypal_order_id=order.paypal_order_id,
        capture_id=order.bound_capture_id,
        captured=money(came.captured_minor, came.currency),
        refunded=money(came.refunded_minor, came.currency),
        reversed=money(came.reversed_minor, came.currency),
        pending=money(came.pending_minor, came.currency),
        disputed=order.disputed,
    )


def _line_view(line: OrderLine, order: Order) -> StaffLineView:
    return StaffLineView(
        sku=line.sku,
        name=line.name,
        options=dict(line.options),
        quantity=line.quantity,
        unit_price=money(line.unit_price_minor, order.currency),
        discount=money(line.discount_minor, order.currency),
        paid=money(order.paid_minor(line), order.currency),
        tax=money(line.tax_minor, order.currency),
        held=line.held,
        allocated=line.allocated,
        consumed=line.consumed,
        released=line.released,
        expired=line.expired,
        returned=line.returned,
        refunded=refunded_units(order.refunds, line.sku),
    )


def _attempt_view(row: Mapping[str, Any]) -> AttemptView:
    return AttemptView(
        id=row["id"],
        state=row["state"],
        requested_at=iso(parse_iso(row["requested_at"])),
        closed_at=iso(parse_iso(row["closed_at"])) if row["closed_at"] else None,
        capture_id=row["capture_id"],
        refusal=row["refusal"],
    )


def _fact_view(row: Mapping[str, Any]) -> FactView:
    amount = row["amount_minor"]
    return FactView(
        kind=row["kind"],
        object_id=row["object_id"],
        status=row["status"],
        capture_id=row["capture_id"],
        amount=money(amount, row["currency"]) if amount is not None and row["currency"] else None,
        reversal=row["reversal"],
        occurred_at=iso(parse_iso(row["occurred_at"])) if row["occurred_at"] else None,
        recorded_at=iso(parse_iso(row["recorded_at"])),
        source=row["source"],
    )


def _movement_view(row: Mapping[str, Any]) -> OrderMovementView:
    return OrderMovementView(
        at=iso(parse_iso(row["at"])),
        kind=row["kind"],
        sku=row["sku"],
        delta_on_hand=row["delta_on_hand"],
        delta_held=row["delta_held"],
        actor=row["actor"],
        reason=row["reason"],
    )


def _audit_view(row: Mapping[str, Any]) -> AuditEntryView:
    return audit_entry_view(Entry(parse_iso(row["at"]), row["actor"], row["action"], row["subject"], row["detail"]))


def _iso_or_none(moment: datetime | None) -> str | None:
    return iso(moment) if moment is not None else None
