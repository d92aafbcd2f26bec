"""Applying a stored webhook: see which object it names, read that object back, hand on what it is. The body's own
amounts and states count for nothing (DESIGN.md rule 6).

What PayPal's events are like: DENIED carries a capture that is DECLINED; REFUNDED and REVERSED carry a refund, whose
capture stands only in a link; PAYMENT-APPROVAL.REVERSED has an order_id and no id; a dispute has a dispute_id.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import NotFound
from shared.kernel.logs import Log
from shared.kernel.messages import Task
from shared.payments.processor import CaptureFact, DisputeFact, Fact, OrderFact, Processor, RefundFact
from shared.payments.tasks import webhook_task
from shared.payments.webhooks import State, WebhookEvent, parse, plain_word

log = Log(__name__)

Kind = Literal["order", "capture", "refund", "dispute"]
Follow = Callable[[UUID, Sequence[Fact]], object]
"""Record facts of an order and settle it; an approval among them goes on to its capture. Raises NotFound where there is
no such order, Unavailable where it is to be tried again.
"""

_SWEPT_AT_ONCE = 100
# PayPal's notice can be faster than its own copies of what it tells: a 404 right behind it is looked at again.
_FOUND_WITHIN = timedelta(hours=1)
# PayPal itself repeats a notice for three days. An order that is unknown by then will never be known.
_KNOWN_WITHIN = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Subject:
    """The object that an event is about, and the state it claims; both are hearsay."""

    kind: Kind
    id: str
    status: str
    update_time: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`order_ids`: the orders that the event turned out to be about."""

    state: State
    reason: str
    order_ids: Sequence[UUID] = ()


_NO_SUCH_OBJECT = Verdict("ignored", "no such object")
_NO_SUCH_ORDER = Verdict("waiting", "order not known yet")


class OpenEvents(Protocol):
    """The stored events that are not settled; each method is one step."""

    def begin(self, event_id: UUID, at: datetime) -> WebhookEvent | None:
        """The event, one attempt further; None where it is settled, or was never there."""
        ...

    def conclude(
        self, event_id: UUID, state: State, verdict: str, at: datetime, *, order_ids: Sequence[UUID] = ()
    ) -> None: ...

    def find_in_ledger(self, kind: Kind, object_id: str, status: str, update_time: str) -> Sequence[UUID] | None:
        """The orders whose ledger has that very fact; None where none has."""
        ...

    def wake_due(self, at: datetime, limit: int, task: Callable[[UUID], Task]) -> int:
        """Emit the task of each event whose next attempt is due, and set the one after it; how many."""
        ...


def apply_event(
    event_id: UUID, *, events: OpenEvents, processor: Processor, follow: Follow, invoice_prefix: str, clock: Clock
) -> None:
    """Idempotent. Raises Unavailable where PayPal or the database cannot say now; the event stays received.

    What staff want applied again is read back whatever the ledger has: they doubt what came of it.
    """
    event = events.begin(event_id, clock.now())
    if event is None:
        return
    subject = find_subject(event)
    if subject is None:
        verdict = Verdict("ignored", "of no concern")
    elif (known := _orders_that_know(subject, event, events)) is not None:
        verdict = Verdict("applied", "known already", known)
    else:
        verdict = _apply(subject, processor, follow, invoice_prefix)
        verdict = _patient(verdict, age=clock.now() - event.received_at)
    events.conclude(event_id, verdict.state, verdict.reason, clock.now(), order_ids=verdict.order_ids)
    log.info(
        "webhook_applied",
        webhook_event_id=event_id,
        event_type=event.event_type,
        state=verdict.state,
        verdict=verdict.reason,
    )


def _orders_that_know(subject: Subject, event: WebhookEvent, events: OpenEvents) -> Sequence[UUID] | None:
    # A dispute may be about several orders, and one of them may not have heard of it yet.
    if subject.kind == "dispute" or event.replays:
        return None
    return events.find_in_ledger(subject.kind, subject.id, subject.status, subject.update_time)


def sweep_events(*, events: OpenEvents, clock: Clock) -> int:
    """Wake what stayed open: its task was lost, its order was not known yet, or PayPal was away for longer than a queue
    is patient. Returns how many.
    """
    return events.wake_due(clock.now(), _SWEPT_AT_ONCE, webhook_task)


def find_subject(event: WebhookEvent) -> Subject | None:
    """None for an event that says nothing of money taken or given back in an order."""
    body = parse(event.body) or {}
    resource = body.get("resource")
    if not isinstance(resource, Mapping):
        return None
    kind, name = _place(event.event_type)
    object_id = resource.get(name) if name else None
    object_id = plain_word(object_id)
    if kind is None or object_id is None:
        return None
    by_time = kind in ("order", "dispute")
    return Subject(
        kind=kind,
        id=object_id,
        status=plain_word(resource.get("status")) or "",
        # Captures and refunds stand in the ledger by their state alone.
        update_time=(plain_word(resource.get("update_time")) or "") if by_time else "",
    )


def _place(event_type: str) -> tuple[Kind | None, str]:
    """Which kind of object the event carries, and the field that has its id."""
    if event_type == "CHECKOUT.PAYMENT-APPROVAL.REVERSED":
        return "order", "order_id"
    if event_type.startswith("CHECKOUT.ORDER."):
        return "order", "id"
    if event_type in ("PAYMENT.CAPTURE.REFUNDED", "PAYMENT.CAPTURE.REVERSED") or event_type.startswith(
        "PAYMENT.REFUND."
    ):
        return "refund", "id"
    if event_type.startswith("PAYMENT.CAPTURE."):
        return "capture", "id"
    if event_type.startswith("CUSTOMER.DISPUTE."):
        return "dispute", "dispute_id"
    return None, ""


def _patient(verdict: Verdict, *, age: timedelta) -> Verdict:
    """What is not there yet waits, and not for ever: then staff see it among the ignored, and can apply it again."""
    if verdict == _NO_SUCH_OBJECT and age < _FOUND_WITHIN:
        return Verdict("waiting", "no such object yet")
    if verdict == _NO_SUCH_ORDER and age >= _KNOWN_WITHIN:
        return Verdict("ignored", "no such order")
    return verdict


def _apply(subject: Subject, processor: Processor, follow: Follow, prefix: str) -> Verdict:
    found = read_back(subject, processor)
    if not found:
        return _NO_SUCH_OBJECT
    # One dispute may be about captures of several orders.
    ours = [(_order_named(owner), fact) for owner, fact in found if (owner.invoice_id or "").startswith(prefix)]
    if not ours:
        log.warning("webhook_foreign", kind=subject.kind, object_id=subject.id)
        return Verdict("ignored", "foreign")
    of_orders: dict[UUID, list[Fact]] = {}
    # Our prefix without the id of an order: reconciling pairs it by its number, or gives it back.
    waiting = False
    for order_id, fact in ours:
        if order_id is None:
            waiting = True
        else:
            of_orders.setdefault(order_id, []).append(fact)
    for order_id, facts in of_orders.items():
        try:
            follow(order_id, facts)
        except NotFound:
            waiting = True
    states = ", ".join(f"{_kind(fact)} {fact.status}" for facts in of_orders.values() for fact in facts)
    return _NO_SUCH_ORDER if waiting else Verdict("applied", states, tuple(of_orders))


def read_back(subject: Subject, processor: Processor) -> list[tuple[OrderFact | CaptureFact, Fact]]:
    """What is there, each with the object that says whose it is."""
    if subject.kind == "order":
        order = processor.find_order(subject.id)
        return [(order, order)] if order else []
    if subject.kind == "capture":
        capture = processor.find_capture(subject.id)
        return [(capture, capture)] if capture else []
    if subject.kind == "refund":
        refund = processor.find_refund(subject.id)
        capture = processor.find_capture(refund.capture_id) if refund else None
        return [(capture, capture), (capture, refund)] if refund and capture else []
    dispute = processor.find_dispute(subject.id)
    captures = [processor.find_capture(capture_id) for capture_id in dispute.capture_ids] if dispute else []
    return [(capture, _about(dispute, capture)) for capture in captures if dispute and capture]


def _about(dispute: DisputeFact, capture: CaptureFact) -> DisputeFact:
    """The dispute as one capture's order sees it."""
    return DisputeFact(
        id=dispute.id,
        status=dispute.status,
        outcome=dispute.outcome,
        capture_ids=(capture.id,),
        amount=dispute.amount,
        update_time=dispute.update_time,
    )


def _order_named(owner: OrderFact | CaptureFact) -> UUID | None:
    """The order that this shop gave it as custom_id."""
    try:
        return UUID(owner.custom_id or "")
    except ValueError:
        return None


def _kind(fact: Fact) -> Kind:
    if isinstance(fact, OrderFact):
        return "order"
    if isinstance(fact, CaptureFact):
        return "capture"
    return "refund" if isinstance(fact, RefundFact) else "dispute"
