"""Hearing what was never told: PayPal's own list of events, and payments that belong to no order we know of."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from uuid import UUID

from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.orders.findings import Finding, Kind, Run
from shared.orders.reconciliation import IN_FLIGHT, Tools, attempt, follow
from shared.payments import applying
from shared.payments.applying import Verdict
from shared.payments.past_events import PastEvent
from shared.payments.processor import CaptureFact, Fact, OrderFact, Refused
from shared.payments.webhooks import WebhookEvent

log = Log(__name__)

# How long a payment may stay without its order before somebody decides (S24).
UNPAIRED = timedelta(minutes=10)
# Such payments are rare. More than this in a day mean that orders are missing, as after a restored backup: then a
# person decides about the money.
MOST_GIVEN_BACK_A_DAY = 3
NO_ORDER = Verdict("ignored", "no such order")
# Another one than applying gave it: else every run whose window it is in would read it back again.
NOT_OURS = Verdict("ignored", "foreign, and looked at again")
GIVEN_BACK = Verdict("ignored", "no such order, and given back")
_EVENTS_AT_ONCE = 50
_SUBJECTS_AT_ONCE = 100
_STRAY: Kind = "capture_without_order"


def hear_events(run: Run, tools: Tools) -> Iterator[str]:
    until = run.started_at - IN_FLIGHT
    while until > run.since:
        page = tools.paypal.list_events(since=run.since, until=until, cursor=run.cursor or None)
        unheard = tools.registry.find_unheard([event.id for event in page.events])
        for event in reversed(page.events):  # the newest come first; what happened first explains the rest
            if event.id in unheard:
                attempt(partial(_hear, event, unheard[event.id]), event.id, run, tools)
        run.count("events", len(page.events))
        if page.next is None:
            return
        yield page.next


def _hear(event: PastEvent, kept_as: UUID | None, run: Run, tools: Tools) -> None:
    """Store what never came, and apply it as if it had: what PayPal shows when asked counts, not the event."""
    at = tools.clock.now()
    stored = WebhookEvent(
        id=kept_as or new_id(),
        transmission_id=f"list:{event.id}",
        event_id=event.id,
        event_type=event.event_type,
        body=event.body,
        received_at=at,
    )
    subject = applying.find_subject(stored)
    if subject is None or (kept_as is None and not tools.keep(stored)):
        return  # of no concern, or its notice has come this very moment
    detail = {"event_type": event.event_type, "object": subject.id}
    finding = tools.findings.report(run, Finding("event_missed", event.id, detail), at=at)
    applying.apply_event(
        stored.id,
        events=tools.events,
        processor=tools.paypal,
        follow=lambda order_id, facts: follow(order_id, facts, tools),
        invoice_prefix=tools.invoice_prefix,
        clock=tools.clock,
    )
    state, verdict = tools.registry.find_verdict(stored.id)
    # What is nobody's, or waits for its order, is the next step's business.
    harmless = state != "applied" or verdict == "known already"
    if not harmless:
        run.count("found_event_missed")
    if finding is not None:
        tools.findings.close(
            finding,
            at=tools.clock.now(),
            state="explained" if harmless else "repaired",
            reason=verdict,
            more={},
        )


# Payments that no order of ours has ------------------------------------------------------------------


def sort_out_strays(run: Run, tools: Tools) -> Iterator[str]:
    """Stored events that wait for an order, or that were foreign; then the payments that are open in the report, every
    one: what a full run has not looked at would be closed as if it were no more.
    """
    before = tools.clock.now() - UNPAIRED
    while True:
        strays = tools.registry.list_stray_events(run, after=run.cursor, limit=_EVENTS_AT_ONCE, before=before)
        for event, place in strays:
            attempt(partial(_sort_out, event), event.event_id, run, tools)
            yield place
        if len(strays) < _EVENTS_AT_ONCE:
            break
    last = ""
    while open_ones := tools.findings.list_subjects(
        _STRAY, seen_before=run.started_at, after=last, limit=_SUBJECTS_AT_ONCE
    ):
        for capture_id in open_ones:
            attempt(partial(_look_again, capture_id), capture_id, run, tools)
            yield run.cursor  # the events are done; those that were looked at count as seen
        last = open_ones[-1]


def _sort_out(event: WebhookEvent, run: Run, tools: Tools) -> None:
    subject = applying.find_subject(event)
    if subject is None or tools.findings.is_known("foreign_capture", subject.id):
        return
    verdicts = [_place(owner, fact, run, tools) for owner, fact in applying.read_back(subject, tools.paypal)]
    # A dispute may be about a payment of ours as well, and that one may still be too young.
    placed = [verdict for verdict in verdicts if verdict != NOT_OURS] or verdicts
    for verdict in list(filter(None, placed))[:1]:
        tools.registry.conclude_stray(event.id, verdict, at=tools.clock.now())


def _look_again(capture_id: str, run: Run, tools: Tools) -> None:
    capture = tools.paypal.find_capture(capture_id)
    if capture is not None:
        _place(capture, capture, run, tools)


def _place(owner: OrderFact | CaptureFact, fact: Fact, run: Run, tools: Tools) -> Verdict | None:
    """Where it belongs: to an order of ours, back to its buyer, or to somebody else. None where it is too early."""
    invoice_id = owner.invoice_id or ""
    if not invoice_id.startswith(tools.invoice_prefix):
        _list_foreign(owner, run, tools)
        return NOT_OURS
    number = invoice_id.removeprefix(tools.invoice_prefix)
    order_id = tools.registry.find_order_named(owner.custom_id, number)
    if order_id is not None:
        return _pair(order_id, owner, fact, run, tools)
    return _give_back(owner, number, run, tools) if isinstance(owner, CaptureFact) else None


def _list_foreign(owner: OrderFact | CaptureFact, run: Run, tools: Tools) -> None:
    if not isinstance(owner, CaptureFact):
        return
    at = tools.clock.now()
    detail = {"invoice_id": owner.invoice_id, "status": owner.status, **_amount(owner)}
    tools.findings.report(
        run, Finding("foreign_capture", owner.id, detail), at=at, state="explained", reason="not this shop's"
    )
    run.count("foreign")


def _pair(order_id: UUID, owner: OrderFact | CaptureFact, fact: Fact, run: Run, tools: Tools) -> Verdict:
    """It names no order by its id, and its invoice is the number of one."""
    at = tools.clock.now()
    detail = {"invoice_id": owner.invoice_id, "status": fact.status}
    finding = tools.findings.report(run, Finding("capture_unpaired", fact.id, detail, order_id), at=at)
    follow(order_id, [fact], tools)
    tools.findings.close_named(_STRAY, fact.id, at=at, reason="its order is there")
    if finding is not None:
        run.count("found_capture_unpaired")
        tools.findings.close(finding, at=tools.clock.now(), state="repaired", reason="paired by its invoice", more={})
    return Verdict("applied", "paired by its invoice", (order_id,))


def _give_back(capture: CaptureFact, number: str, run: Run, tools: Tools) -> Verdict | None:
    """A payment that carries our prefix and has no order: nobody will ever ship for it.

    The finding's id is the refund's PayPal-Request-Id, so that two runs, or one that was killed, give it back once.
    """
    at = tools.clock.now()
    if capture.status == "REFUNDED":
        tools.findings.close_named(_STRAY, capture.id, at=at, reason="given back")
        return GIVEN_BACK
    if capture.created_at is not None and capture.created_at > at - UNPAIRED:
        return None
    known = tools.findings.find_open(_STRAY, capture.id)
    found_today = tools.findings.count_since(_STRAY, at - timedelta(days=1)) + (known is None)
    detail = {"invoice_id": capture.invoice_id, "status": capture.status, **_amount(capture)}
    finding = tools.findings.report(run, Finding(_STRAY, capture.id, detail), at=at)
    if finding is None:
        return NO_ORDER  # somebody has explained it
    if known is None:
        run.count(f"found_{_STRAY}")
    elif "held_back" in known:
        return None
    if capture.status != "COMPLETED" or capture.amount is None:
        return None  # pending, or part of it went back: what is left is not known
    if found_today > MOST_GIVEN_BACK_A_DAY:
        log.error("captures_without_orders", found=found_today)
        tools.findings.report(run, Finding(_STRAY, capture.id, detail | {"held_back": found_today}), at=at)
        return None
    answer = tools.paypal.refund(
        capture.id, refund_id=finding, amount=capture.amount, number=number, note="This shop has no such order."
    )
    if isinstance(answer, Refused) or answer.status != "COMPLETED":
        said = {"refused": answer.reason} if isinstance(answer, Refused) else {"refund_status": answer.status}
        tools.findings.report(run, Finding(_STRAY, capture.id, detail | said), at=at)
        return None
    tools.findings.close(
        finding, at=tools.clock.now(), state="repaired", reason="given back", more={"refund": answer.id}
    )
    return GIVEN_BACK


def _amount(capture: CaptureFact) -> dict[str, object]:
    if capture.amount is None:
        return {}
    return {"amount_minor": capture.amount.minor, "currency": capture.amount.currency}
