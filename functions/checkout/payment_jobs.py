"""What a payment still needs once its request is gone: tasks, and the schedules that wake what no task has finished."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from functions.checkout.wiring import clock, database, orders, paypal, paypal_settings
from shared.edge.calls import Call, Reply
from shared.edge.payment_tasks import AttemptBody, ReconcileBody, RefundBody, ShipmentBody, WebhookEventBody
from shared.edge.routing import Routes
from shared.gateways.paypal import PayPal
from shared.kernel.errors import NotFound, Unavailable
from shared.kernel.logs import Log
from shared.orders import capturing, expiring, refunding
from shared.orders.findings import RunKind
from shared.payments.processor import Fact
from shared.persistence.idempotency import IdempotencyKeys
from shared.persistence.orders import Orders

routes = Routes()
log = Log(__name__)
# What a sweep leaves to the requests and tasks that are at work on it right now.
_AT_WORK = timedelta(minutes=1)
_PENDING_LOOK = timedelta(minutes=5)
_BATCH = 100
# Two calls to PayPal that both run into their time-out.
_LONGEST_CALL = timedelta(seconds=30)


@routes.task("/jobs/payments/capture", body=AttemptBody)
def finish_capture(call: Call[AttemptBody]) -> Reply:
    """Bring a capture that was asked for to its answer."""
    capturing.resume_attempt(call.body.attempt_id, store=orders(), processor=paypal())
    return Reply(204)


@routes.task("/jobs/payments/refund", body=RefundBody)
def finish_refund(call: Call[RefundBody]) -> Reply:
    """Ask PayPal for a refund that settling wants, or how one that is pending has ended."""
    refunding.finish_refund(call.body.refund_id, store=orders(), processor=paypal())
    return Reply(204)


@routes.task("/jobs/payments/track", body=ShipmentBody)
def tell_tracking(call: Call[ShipmentBody]) -> Reply:
    """Tell PayPal the tracking number of a shipment that was handed over."""
    from shared.orders import fulfilling
    from shared.persistence.fulfilment import Fulfilments

    fulfilling.tell_paypal(call.body.shipment_id, store=Fulfilments(database(), clock), processor=paypal())
    return Reply(204)


@routes.task("/jobs/payments/apply-webhook", body=WebhookEventBody)
def apply_webhook(call: Call[WebhookEventBody]) -> Reply:
    """Read back what a stored webhook is about, and settle its order by what is there."""
    # The deployment `checkout` does none of this, and its cold start should not pay for it; likewise above and below.
    from shared.payments import applying
    from shared.persistence.webhooks import WebhookEvents

    applying.apply_event(
        call.body.webhook_event_id,
        events=WebhookEvents(database()),
        processor=paypal(),
        follow=_follow,
        invoice_prefix=paypal_settings().invoice_prefix,
        clock=clock,
    )
    return Reply(204)


def _follow(order_id: UUID, facts: Sequence[Fact]) -> None:
    capturing.follow_facts(order_id, facts, source="webhook", store=orders(), processor=paypal())


@routes.schedule("/jobs/payments/expire-orders")
def expire_orders(call: Call[None]) -> Reply:
    """Let go of what was not paid in time."""
    _finish_each(call, expiring.expire_order, orders().list_due(clock.now(), _BATCH))
    return Reply(204)


@routes.schedule("/jobs/payments/sweep")
def sweep(call: Call[None]) -> Reply:
    """Wake every row of a payment that stays open: attempts, refunds, captures that are pending, stored webhooks, and
    tracking numbers that PayPal does not have.
    """
    from shared.orders import fulfilling
    from shared.payments import applying
    from shared.persistence.fulfilment import Fulfilments
    from shared.persistence.lockouts import Lockouts
    from shared.persistence.webhooks import WebhookEvents

    IdempotencyKeys(database()).sweep(now=clock.now())
    Lockouts(database(), clock).sweep(now=clock.now())
    applying.sweep_events(events=WebhookEvents(database()), clock=clock)
    now = clock.now()
    _finish_each(call, capturing.resume_attempt, orders().take_unanswered_attempts(now - _AT_WORK, _BATCH))
    _finish_each(call, refunding.finish_refund, orders().take_open_refunds(now - _AT_WORK, _BATCH))
    _finish_each(call, capturing.look_again, orders().take_pending_captures(now - _PENDING_LOOK, _BATCH))
    shipped = Fulfilments(database(), clock)

    def tell(shipment_id: UUID, /, *, store: Orders, processor: PayPal) -> None:
        fulfilling.tell_paypal(shipment_id, store=shipped, processor=processor)

    _finish_each(call, tell, shipped.take_untold(now - _AT_WORK, _BATCH))

    def give_back(order_id: UUID, /, *, store: Orders, processor: PayPal) -> None:
        store.release_voucher(order_id)

    _finish_each(call, give_back, orders().list_keeping_vouchers(_BATCH))
    return Reply(204)


@routes.schedule("/jobs/payments/issue-documents")
def issue_documents(call: Call[None]) -> Reply:
    """Give invoices and credit notes that are owed their numbers, in the order in which they were owed."""
    from shared.documents import sweeping
    from shared.persistence.documents import Documents

    def each(work: Callable[[UUID], object], order_ids: Sequence[UUID]) -> None:
        _finish_each(call, lambda order_id, /, *, store, processor: work(order_id), order_ids)

    sweeping.sweep(
        store=Documents(database(), clock),
        settle=orders().settle,
        each=each,
        has_time=lambda: clock.now() < call.give_up_at - _LONGEST_CALL,
        batch=_BATCH,
    )
    return Reply(204)


@routes.schedule("/jobs/payments/reconcile-fresh")
def reconcile_fresh(call: Call[None]) -> Reply:
    """What is young or open is compared with PayPal, and a full run that is not through goes on."""
    return _reconcile(call, "fresh", "full", beginning="fresh")


@routes.schedule("/jobs/payments/reconcile-full")
def reconcile_full(call: Call[None]) -> Reply:
    """Everything is compared, once a night however often this is called."""
    return _reconcile(call, "full", beginning="full")


@routes.task("/jobs/payments/reconcile", body=ReconcileBody)
def go_on_reconciling(call: Call[ReconcileBody]) -> Reply:
    """A run that staff have asked for, or whose turn was over before it was."""
    return _reconcile(call, call.body.kind)


def _reconcile(call: Call[Any], *kinds: RunKind, beginning: RunKind | None = None) -> Reply:
    # Imported here: nothing else of this function needs them.
    from shared.orders import reconciling
    from shared.orders.reconciliation import Tools
    from shared.persistence.reconciliation import Findings, Runs
    from shared.persistence.registry import Registry
    from shared.persistence.stock_drift import StockDrift
    from shared.persistence.webhooks import WebhookEvents

    events = WebhookEvents(database())
    tools = Tools(
        runs=Runs(database(), clock),
        findings=Findings(database(), clock),
        shelves=StockDrift(database(), clock),
        registry=Registry(database()),
        events=events,
        keep=events.keep,
        orders=orders(),
        paypal=paypal(),
        invoice_prefix=paypal_settings().invoice_prefix,
        clock=clock,
    )
    if beginning is not None:
        reconciling.begin(beginning, tools)
    for kind in kinds:
        reconciling.reconcile(kind, tools, give_up_at=call.give_up_at - _LONGEST_CALL)
    return Reply(204)


class _Work(Protocol):
    def __call__(self, row_id: UUID, /, *, store: Orders, processor: PayPal) -> object: ...


def _finish_each(call: Call[None], work: _Work, row_ids: Sequence[UUID]) -> None:
    """Until the time is up: the rest is the next sweep's. One row that cannot be finished now stops no other."""
    for row_id in row_ids:
        if clock.now() >= call.give_up_at - _LONGEST_CALL:
            return
        try:
            work(row_id, store=orders(), processor=paypal())
        except (Unavailable, NotFound) as error:
            log.warning("row_left_open", error=type(error).__name__, row=row_id)
        except Exception as error:  # noqa: BLE001 - a row that always fails must not stop all the others for good
            log.error("row_failed", exc=error, row=row_id)
