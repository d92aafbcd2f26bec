"""Writing down what settling has decided. Everything here runs under the order's lock, in the step of Orders.settle."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.kernel.messages import Event
from shared.orders import order as order_values
from shared.orders.order import Attempt, Order, OrderNotFound, OrderRefund
from shared.orders.settling import REFUNDED, Outcome, Situation
from shared.payments import ledger
from shared.payments.tasks import capture_task, refund_task
from shared.persistence.database import Row, Transaction, as_json, fields_of
from shared.persistence.lockouts import count_refusals, forget_refusals


def situation_from_json(found: Row | None) -> Situation:
    if found is None:
        raise OrderNotFound
    return Situation(
        order=order_values.from_json(found["order"]),
        attempts=tuple(order_values.attempt_from_json(attempt) for attempt in found["attempts"]),
        ledger=ledger.read_json(found["facts"]),
        cart_is_taken=found["cart_is_taken"],
        stock_is_there=found["stock_is_there"],
        locked_until=parse_iso(found["locked_until"]) if found["locked_until"] else None,
    )


_UPDATE_ORDER = """
update orders set status = :status::text, status_reason = :status_reason::text, resume_status = :resume_status::text,
    hold_expires_at = :hold_expires_at::timestamptz, paid_at = :paid_at::timestamptz,
    bound_capture_id = :bound_capture_id::text, late = :late::boolean, disputed = :disputed::boolean,
    captured_minor = :captured_minor::bigint, refunded_minor = :refunded_minor::bigint,
    reversed_minor = :reversed_minor::bigint, pending_minor = :pending_minor::bigint, updated_at = :now::timestamptz
where id = :id::uuid
"""
_CHANGING = (
    "status",
    "status_reason",
    "resume_status",
    "hold_expires_at",
    "paid_at",
    "bound_capture_id",
    "late",
    "disputed",
    "captured_minor",
    "refunded_minor",
    "reversed_minor",
    "pending_minor",
)
_STOCK = {
    "allocate": "select allocate_stock_v1(:id::uuid, :number::text, :now::timestamptz)",
    "take again": "select take_stock_again_v1(:id::uuid, :number::text, :now::timestamptz)",
    "expire": """
        select release_stock_v1(:id::uuid, :number::text, 'expire', :actor::text, 'not paid in time', :now::timestamptz)
        """,
    "cancel": """
        select release_stock_v1(:id::uuid, :number::text, 'cancel', :actor::text, 'cancelled', :now::timestamptz)
        """,
}


def apply_outcome(tx: Transaction, before: Order, outcome: Outcome, now: datetime) -> Order:
    """Write what settling has decided. Stock comes late, as its rows are contended; lockouts come last."""
    order = outcome.order
    is_paid_now = order.paid_at is not None and before.paid_at is None
    for attempt in outcome.attempts:
        _close_attempt(tx, attempt, now)
    if outcome.new_attempt is not None:
        _open_attempt(tx, order, outcome.new_attempt)
    for refund in outcome.refunds:
        _follow_refund(tx, refund, now)
    for refund in outcome.new_refunds:
        _request_refund(tx, order, refund, now)
    for refund in outcome.booked:
        _book_refund(tx, order, refund, now)
    changed = {name: getattr(order, name) for name in _CHANGING}
    is_changed = any(getattr(before, name) != value for name, value in changed.items())
    if is_changed or outcome.attempts or outcome.new_attempt or outcome.refunds or outcome.new_refunds:
        tx.rows(_UPDATE_ORDER, id=order.id, now=now, **changed)
    if is_paid_now:
        _empty_cart(tx, order, now)
    if order.status == "cancelled" and before.status not in ("cancelled", "pending_payment"):
        _cancel_drafts(tx, order, None, now)
    elif outcome.dropped_drafts:
        _cancel_drafts(tx, order, outcome.dropped_drafts, now)
    if outcome.audit:
        _log(tx, order, outcome, now)
    _follow_voucher(tx, before, order, now)
    if outcome.stock is not None:
        releases = {"actor": outcome.actor} if outcome.stock in ("expire", "cancel") else {}
        tx.rows(_STOCK[outcome.stock], id=order.id, number=order.number, now=now, **releases)
    if outcome.restocks:
        _restock(tx, order, outcome, now)
    if outcome.refused_payments:
        count_refusals(tx, order, outcome.refused_payments, now)
    if is_paid_now:
        forget_refusals(tx, order)
    frozen = tx.one("select order_json_v2(:id::uuid) as frozen", id=order.id)["frozen"]
    tx.emit(*(Event("orders", name, {"order": frozen}) for name in outcome.events))
    tx.emit(*(Event("orders", REFUNDED, {"order": frozen, "refund_id": str(id_)}) for id_ in outcome.refunded))
    return order_values.from_json(frozen)


def _follow_voucher(tx: Transaction, before: Order, order: Order, now: datetime) -> None:
    """What is let go of gives its voucher back; what came back counts again, flagged where that is over its limit."""
    if order.voucher_code is None or order.status == before.status:
        return
    if order.status in ("expired", "cancelled"):
        tx.rows("select release_voucher_v1(:id::uuid, :now::timestamptz)", id=order.id, now=now)
    elif before.status in ("expired", "cancelled"):
        tx.rows(
            """
            update orders set voucher_over_limit = redeem_voucher_again_v1(:id::uuid, :now::timestamptz)
            where id = :id::uuid
            """,
            id=order.id,
            now=now,
        )


def _open_attempt(tx: Transaction, order: Order, attempt: Attempt) -> None:
    """The row, and the task that finishes it if this request does not. The task's id is the attempt's."""
    tx.rows(
        """
        insert into capture_attempts (id, order_id, state, requested_at, looked_at)
        values (:id::uuid, :order_id::uuid, 'requested', :at::timestamptz, :at::timestamptz)
        """,
        id=attempt.id,
        order_id=order.id,
        at=attempt.requested_at,
    )
    tx.leave(replace(capture_task(attempt.id), id=attempt.id))


def _close_attempt(tx: Transaction, attempt: Attempt, now: datetime) -> None:
    tx.rows(
        """
        update capture_attempts set state = :state::text, capture_id = :capture_id::text, refusal = :refusal::text,
            closed_at = case when :state::text in ('completed', 'refused') then :now::timestamptz end
        where id = :id::uuid
        """,
        id=attempt.id,
        state=attempt.state,
        capture_id=attempt.capture_id,
        refusal=attempt.refusal,
        now=now,
    )
    if attempt.state != "requested":  # answered: its task, if nobody has taken it up yet, has nothing left to do
        tx.rows(
            "update outbox set published_at = :now::timestamptz where id = :id::uuid and published_at is null",
            id=attempt.id,
            now=now,
        )


def _request_refund(tx: Transaction, order: Order, refund: OrderRefund, now: datetime) -> None:
    """The row, and the task that asks PayPal. What somebody asked for is guarded once more where it is written; what
    settling gives back is not, because no fact may be refused.
    """
    columns = {**fields_of(refund), "order_id": order.id, "lines": [fields_of(line) for line in refund.lines]}
    tx.rows(
        "select request_refund_v1(:refund::jsonb, :guarded::boolean, :now::timestamptz)",
        refund=as_json(columns),
        guarded=refund.kind in ("staff", "cancelled"),
        now=now,
    )
    tx.emit(refund_task(refund.id))


def _book_refund(tx: Transaction, order: Order, refund: OrderRefund, now: datetime) -> None:
    """What PayPal has given back already; nobody is asked for it. Under the order's lock each is booked once."""
    tx.rows(
        """
        insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, paypal_refund_id,
            requested_at, requested_by, updated_at)
        values (:id::uuid, :order_id::uuid, :capture_id::text, :kind::text, :amount_minor::bigint, :currency::text,
            :reason::text, :state::text, :paypal_refund_id::text, :now::timestamptz, :actor::text, :now::timestamptz)
        """,
        id=refund.id,
        order_id=order.id,
        capture_id=refund.capture_id,
        kind=refund.kind,
        amount_minor=refund.amount_minor,
        currency=refund.currency,
        reason=refund.reason,
        state=refund.state,
        paypal_refund_id=refund.paypal_refund_id,
        actor=refund.requested_by,
        now=now,
    )


def _follow_refund(tx: Transaction, refund: OrderRefund, now: datetime) -> None:
    tx.rows(
        """
        update refunds set state = :state::text, paypal_refund_id = :paypal_refund_id::text, failure = :failure::text,
            updated_at = :now::timestamptz
        where id = :id::uuid
        """,
        id=refund.id,
        state=refund.state,
        paypal_refund_id=refund.paypal_refund_id,
        failure=refund.failure,
        now=now,
    )


def _cancel_drafts(tx: Transaction, order: Order, ids: Sequence[UUID] | None, now: datetime) -> None:
    """Nothing of a cancelled order leaves the house (S48), nor a unit that is no longer the order's."""
    tx.rows(
        """
        update shipments set state = 'cancelled', updated_at = :now::timestamptz
        where order_id = :id::uuid and (:ids::uuid[] is null or id = any (:ids::uuid[])) and state = 'draft'
        """,
        id=order.id,
        ids=None if ids is None else list(ids),
        now=now,
    )


def _restock(tx: Transaction, order: Order, outcome: Outcome, now: datetime) -> None:
    tx.rows(
        """
        select restock_v1(:id::uuid, :number::text, :lines::jsonb, :actor::text, 'refunded', :now::timestamptz)
        """,
        id=order.id,
        number=order.number,
        lines=as_json([fields_of(restock) for restock in outcome.restocks]),
        actor=outcome.actor,
        now=now,
    )


def _log(tx: Transaction, order: Order, outcome: Outcome, now: datetime) -> None:
    # Here: a buyer's functions log nothing, and their cold start should not pay for it.
    from shared.audit.entries import Entry
    from shared.persistence import audit

    for done in outcome.audit:
        audit.append(tx, Entry(now, outcome.actor, done.action, f"order:{order.number}", done.detail))


def _empty_cart(tx: Transaction, order: Order, now: datetime) -> None:
    """What was bought leaves the cart, unless its buyer has changed it meanwhile. The cart's lock is held."""
    emptied = tx.rows(
        """
        update carts set version = version + 1, voucher_code = null, updated_at = :now::timestamptz
        where id = :id::text and version = :version::int returning id
        """,
        id=order.cart_id,
        version=order.cart_version,
        now=now,
    )
    if emptied:
        tx.rows("delete from cart_lines where cart_id = :id::text", id=order.cart_id)
