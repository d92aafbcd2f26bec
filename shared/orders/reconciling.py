"""Reconciling: what should never be needed. Stock against movements and orders, and PayPal's own lists and objects
against our ledger; what was missed is recorded through the same settling as ever, what is nobody's is listed.

A run is a row: it goes on where it stopped, whoever stopped it and however. Everything it does may be done twice. Where
PayPal does not answer, nothing is concluded; the run waits and goes on. Steps, in this order:

    stock     every SKU: level, movements, order lines                              (needs no PayPal, so it comes first)
    events    PayPal's list of events: what never came is stored and applied as if it had
    strays    stored events that belong to no order we know: paired, given back, or listed as somebody else's
    open      PayPal's objects of every order that is not final
    window    a full run only: of every order of the last weeks
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Unavailable
from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.orders import capturing, comparing
from shared.orders.findings import Finding, Run, RunKind, State
from shared.orders.order import Order
from shared.payments import applying, ledger
from shared.payments.applying import Verdict
from shared.payments.ledger import FactRow
from shared.payments.past_events import EventHistory, PastEvent
from shared.payments.processor import CaptureFact, DisputeFact, Fact, OrderFact, Processor, Refused
from shared.payments.webhooks import WebhookEvent

log = Log(__name__)

# Notices take a moment; what is younger is the webhooks' business.
IN_FLIGHT = timedelta(minutes=5)
# How long a payment may stay without its order before somebody decides (S24).
UNPAIRED = timedelta(minutes=10)
# An approval of nobody's, with no payment: PayPal has forgotten it by then.
FORGOTTEN = timedelta(days=3)
# Lists overlap, because two clocks never agree; a full run reads as far back as PayPal repeats a notice (three days).
OVERLAP = timedelta(hours=1)
FULL_OVERLAP = timedelta(days=3)
PAID_WINDOW = timedelta(days=30)
UNPAID_WINDOW = timedelta(days=7)
LATE_AFTER = timedelta(hours=26)
# A nightly call that comes twice, or a little early, is the same night's.
NEARLY_A_DAY = timedelta(hours=20)
# PayPal's own objects are few; more payments without an order than this in a day mean that orders are missing, as after
# a restored backup, and then giving money back is for a person to decide.
MOST_GIVEN_BACK_A_DAY = 3

SKUS_AT_ONCE = 200
ORDERS_AT_ONCE = 50
EVENTS_AT_ONCE = 50
NO_ORDER = Verdict("ignored", "no such order")
GIVEN_BACK = Verdict("ignored", "no such order, and given back")
# A run is saved so often: what a killed one does again is no more than this.
_SAVE_EVERY = timedelta(seconds=5)
_PUT_OFF = timedelta(minutes=1)
# So often a run waits before one and the same thing; then it leaves it out, and says so.
MOST_WAITS = 3


class Runs(Protocol):
    """The runs; one of a kind is open at a time, and one has the turn at it."""

    def begin(self, kind: RunKind, *, at: datetime, asked_by: str, unless_since: datetime | None = None) -> None:
        """A new run, unless one of the kind is open, or the shop itself has begun one after `unless_since`."""
        ...

    def take_turn(self, kind: RunKind, *, at: datetime) -> Run | None:
        """The open run of the kind where it left off; None where there is none, somebody has it, or it waits."""
        ...

    def save(self, run: Run, *, at: datetime) -> bool:
        """Where it is, and the turn for a while longer; False where somebody else has the turn now."""
        ...

    def pause(self, run: Run, *, at: datetime, not_before: datetime | None) -> None:
        """Give the turn back; with no `not_before` a task goes on at once."""
        ...

    def finish(self, run: Run, *, at: datetime) -> dict[str, int]:
        """Close it, and after a full run the findings that it did not see again; how many are open, by kind."""
        ...

    def find_last_full(self) -> datetime | None:
        """When the last full run ended; None before the first."""
        ...


class Findings(Protocol):
    def report(
        self, run: Run, finding: Finding, *, at: datetime, state: State = "open", reason: str = ""
    ) -> UUID | None:
        """Write it down, or that it is still there. None where a person has explained this very thing."""
        ...

    def close(self, finding_id: UUID, *, at: datetime, state: State, reason: str, more: dict[str, Any]) -> None: ...

    def close_named(self, kind: str, subject: str, *, at: datetime, reason: str) -> None:
        """The open one of that kind and subject, if there is any, is repaired."""
        ...

    def is_known(self, kind: str, subject: str) -> bool: ...

    def count_since(self, kind: str, at: datetime) -> int: ...


class Shelves(Protocol):
    """Stock in SQL (shared.persistence.stock_drift)."""

    def list_drifted(self, *, after: str, limit: int) -> tuple[Sequence[tuple[str, str]], str | None]:
        """SKUs and locations that do not add up among the next `limit` SKUs, and the last SKU looked at."""
        ...

    def put_right(self, sku: str, location: str, *, run: Run) -> Finding | None:
        """Lock, look again, repair and report in one step; None where nothing was wrong after all."""
        ...


@dataclass(frozen=True, slots=True)
class OrderBooks:
    """An order with all that the ledger has of it, and the PayPal orders it ever had."""

    order: Order
    facts: tuple[FactRow, ...]

    @property
    def paypal_order_ids(self) -> list[str]:
        known = [row.object_id for row in self.facts if row.kind == "order"]
        return list(dict.fromkeys([*filter(None, [self.order.paypal_order_id]), *known]))


class Registry(Protocol):
    """Which of our rows are to be looked at."""

    def list_open_orders(self, run: Run, *, after: str, limit: int, at: datetime) -> Sequence[tuple[UUID, str]]:
        """Orders that are not final, each with its place in the list, those behind the place `after`."""
        ...

    def list_orders_of_window(
        self, run: Run, *, after: str, limit: int, at: datetime
    ) -> Sequence[tuple[UUID, str]]: ...

    def get_books(self, order_id: UUID) -> OrderBooks: ...

    def find_order_named(self, custom_id: str | None, number: str) -> UUID | None:
        """Our order, by the id that we gave PayPal, or else by its number."""
        ...

    def list_stray_events(
        self, run: Run, *, after: str, limit: int, before: datetime
    ) -> Sequence[tuple[WebhookEvent, str]]:
        """Stored events that wait for an order since `before`, or that were foreign, each with its place."""
        ...

    def find_unheard(self, event_ids: Sequence[str]) -> dict[str, UUID | None]:
        """Which of these events were never stored, or stored from the list and not applied yet: then their row."""
        ...

    def find_verdict(self, event_id: UUID) -> tuple[str, str]: ...

    def conclude_stray(self, event_id: UUID, verdict: Verdict, *, at: datetime) -> None: ...


class PayPal(Processor, EventHistory, Protocol):
    """Both of what PayPal is asked for here."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What reconciling works with. `apply` takes a stored event through the path of every webhook."""

    runs: Runs
    findings: Findings
    shelves: Shelves
    registry: Registry
    events: applying.OpenEvents
    keep: Callable[[WebhookEvent], bool]
    orders: capturing.Store
    paypal: PayPal
    invoice_prefix: str
    clock: Clock


def begin(kind: RunKind, tools: Tools) -> None:
    """What a schedule asks for: a run, unless one is open; and one full run a night however often it asks.

    A night without a full run is itself a finding, for whoever operates the shop.
    """
    at = tools.clock.now()
    tools.runs.begin(kind, at=at, asked_by="shop", unless_since=at - NEARLY_A_DAY if kind == "full" else None)
    last = tools.runs.find_last_full()
    if last is not None and at - last > LATE_AFTER:
        log.warning("reconciliation_late", last_full_run=last)


def reconcile(kind: RunKind, tools: Tools, *, give_up_at: datetime) -> bool:
    """Take the turn at the open run of this kind and work until it ends, or until the time is up. Idempotent.

    False where something is left. Raises nothing for PayPal's being away: the run waits for its time.
    """
    run = tools.runs.take_turn(kind, at=tools.clock.now())
    if run is None:
        return False
    steps = STEPS if run.kind == "full" else STEPS[:-1]
    names = [step.__name__.lstrip("_") for step in steps]
    for name, step in list(zip(names, steps, strict=True))[names.index(run.step) :]:
        if run.step != name:
            run.step, run.cursor = name, ""
        if not _work(step, run, tools, give_up_at):
            return False
    at = tools.clock.now()
    still_open = tools.runs.finish(run, at=at)
    _say(run, still_open, at)
    return True


def _work(step: "Step", run: Run, tools: Tools, give_up_at: datetime) -> bool:
    """One step to its end; False where the run stops here and goes on another time."""
    saved_at = tools.clock.now()
    try:
        for cursor in step(run, tools):
            run.cursor = cursor
            at = tools.clock.now()
            if at >= give_up_at:
                tools.runs.pause(run, at=at, not_before=None)
                return False
            if at - saved_at >= _SAVE_EVERY:
                if not tools.runs.save(run, at=at):
                    log.warning("reconciliation_turn_lost", run=run.id, kind=run.kind)
                    return False
                saved_at = at
    except Unavailable as error:
        at = tools.clock.now()
        who = "database" if step is _stock else "paypal"
        tools.findings.report(run, Finding("unreachable", who, {"step": run.step}), at=at)
        tools.runs.pause(run, at=at, not_before=at + max(timedelta(seconds=error.retry_after_s), _PUT_OFF))
        log.warning("reconciliation_waits", run=run.id, kind=run.kind, step=run.step, retry_after_s=error.retry_after_s)
        return False
    if step in (_events, _open):
        tools.findings.close_named("unreachable", "paypal", at=tools.clock.now(), reason="it answers again")
    return tools.runs.save(run, at=tools.clock.now())


def _attempt(work: Callable[[Run, Tools], None], subject: str, run: Run, tools: Tools) -> None:
    """One thing of many. What cannot be read however often it is tried must not keep all the others from their turn."""
    try:
        work(run, tools)
    except Unavailable:
        if run.counts.get("waits", 0) < MOST_WAITS:
            run.count("waits")
            raise
        tools.findings.report(run, Finding("unreachable", subject, {"step": run.step}), at=tools.clock.now())
    except Exception as error:  # noqa: BLE001 - a row that always fails must not stop all the others for good
        log.error("reconciliation_failed", exc=error, step=run.step, subject=subject)
    run.counts.pop("waits", None)


def _say(run: Run, still_open: dict[str, int], at: datetime) -> None:
    """The line that the alerts count by: what this run has found, and what is open after it."""
    found = {name: number for name, number in run.counts.items() if name.startswith("found_")}
    log.info(
        "reconciled",
        run=run.id,
        kind=run.kind,
        took_s=round((at - run.started_at).total_seconds()),
        found=sum(found.values()),
        open=sum(still_open.values()),
        **run.counts,
    )


# Stock ------------------------------------------------------------------------------------------------


def _stock(run: Run, tools: Tools) -> Iterator[str]:
    while True:
        drifted, last = tools.shelves.list_drifted(after=run.cursor, limit=SKUS_AT_ONCE)
        for sku, location in drifted:
            try:
                finding = tools.shelves.put_right(sku, location, run=run)
            except Unavailable:
                log.warning("stock_is_busy", sku=sku)  # the next run looks again
                continue
            if finding is not None:
                run.count(f"found_{finding.kind}")
        if last is None:
            return
        yield last


# PayPal's list of events ------------------------------------------------------------------------------


def _events(run: Run, tools: Tools) -> Iterator[str]:
    until = run.started_at - IN_FLIGHT
    while until > run.since:
        page = tools.paypal.list_events(since=run.since, until=until, cursor=run.cursor or None)
        unheard = tools.registry.find_unheard([event.id for event in page.events])
        for event in reversed(page.events):  # the newest come first; what happened first explains the rest
            if event.id in unheard:
                _attempt(partial(_hear, event, unheard[event.id]), event.id, run, tools)
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


def follow(order_id: UUID, facts: Sequence[Fact], tools: Tools) -> Order:
    return capturing.follow_facts(order_id, facts, source="poll", store=tools.orders, processor=tools.paypal)


# Payments that no order of ours has ------------------------------------------------------------------


def _strays(run: Run, tools: Tools) -> Iterator[str]:
    before = tools.clock.now() - UNPAIRED
    while True:
        strays = tools.registry.list_stray_events(run, after=run.cursor, limit=EVENTS_AT_ONCE, before=before)
        for event, place in strays:
            _attempt(partial(_sort_out, event), event.event_id, run, tools)
            yield place
        if len(strays) < EVENTS_AT_ONCE:
            return


def _sort_out(event: WebhookEvent, run: Run, tools: Tools) -> None:
    subject = applying.find_subject(event)
    if subject is None or tools.findings.is_known("foreign_capture", subject.id):
        return
    verdicts: list[Verdict | None] = []
    for owner, fact in applying.read_back(subject, tools.paypal):
        invoice_id = owner.invoice_id or ""
        if not invoice_id.startswith(tools.invoice_prefix):
            _list_foreign(owner, run, tools)
            continue
        number = invoice_id.removeprefix(tools.invoice_prefix)
        order_id = tools.registry.find_order_named(owner.custom_id, number)
        if order_id is not None:
            verdicts.append(_pair(order_id, owner, fact, run, tools))
        elif isinstance(owner, CaptureFact):
            verdicts.append(_give_back(owner, number, run, tools))
    at = tools.clock.now()
    if not verdicts and event.state == "waiting" and event.received_at < at - FORGOTTEN:
        verdicts.append(NO_ORDER)
    for verdict in list(filter(None, verdicts))[:1]:
        tools.registry.conclude_stray(event.id, verdict, at=at)


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
    if finding is not None:
        run.count("found_capture_unpaired")
        tools.findings.close(finding, at=tools.clock.now(), state="repaired", reason="paired by its invoice", more={})
    return Verdict("applied", "paired by its invoice", (order_id,))


def _give_back(capture: CaptureFact, number: str, run: Run, tools: Tools) -> Verdict | None:
    """A payment that carries our prefix and has no order: nobody will ever ship for it.

    The finding's id is the refund's PayPal-Request-Id, so that two runs, or one that was killed, give it back once.
    """
    at = tools.clock.now()
    if capture.status == "REFUNDED" or (capture.created_at is not None and capture.created_at > at - UNPAIRED):
        return None if capture.status != "REFUNDED" else GIVEN_BACK
    given_back_today = tools.findings.count_since("capture_without_order", at - timedelta(days=1))
    known = tools.findings.is_known("capture_without_order", capture.id)
    detail = {"invoice_id": capture.invoice_id, "status": capture.status, **_amount(capture)}
    finding = tools.findings.report(run, Finding("capture_without_order", capture.id, detail), at=at)
    if finding is None:
        return NO_ORDER  # somebody has explained it
    if not known:
        run.count("found_capture_without_order")
    if capture.status != "COMPLETED" or capture.amount is None:
        return None  # pending, or part of it went back: what is left is not known
    if given_back_today + (not known) > MOST_GIVEN_BACK_A_DAY:
        log.error("captures_without_orders", found=given_back_today + (not known))
        return None
    answer = tools.paypal.refund(
        capture.id, refund_id=finding, amount=capture.amount, number=number, note="This shop has no such order."
    )
    if isinstance(answer, Refused):
        tools.findings.report(
            run, Finding("capture_without_order", capture.id, detail | {"refused": answer.reason}), at=at
        )
        return None
    tools.findings.close(
        finding,
        at=tools.clock.now(),
        state="repaired",
        reason="given back",
        more={"refund": answer.id, "refund_status": answer.status},
    )
    return GIVEN_BACK


def _amount(capture: CaptureFact) -> dict[str, object]:
    if capture.amount is None:
        return {}
    return {"amount_minor": capture.amount.minor, "currency": capture.amount.currency}


# PayPal's objects of our orders ----------------------------------------------------------------------


def _open(run: Run, tools: Tools) -> Iterator[str]:
    return _each_order(tools.registry.list_open_orders, run, tools)


def _window(run: Run, tools: Tools) -> Iterator[str]:
    return _each_order(tools.registry.list_orders_of_window, run, tools)


def _each_order(list_orders: Callable[..., Sequence[tuple[UUID, str]]], run: Run, tools: Tools) -> Iterator[str]:
    while True:
        found = list_orders(run, after=run.cursor, limit=ORDERS_AT_ONCE, at=tools.clock.now())
        for order_id, place in found:
            _attempt(partial(_compare, order_id), str(order_id), run, tools)
            run.count("orders")
            yield place
        if len(found) < ORDERS_AT_ONCE:
            return


def _compare(order_id: UUID, run: Run, tools: Tools) -> None:
    books = tools.registry.get_books(order_id)
    facts, gone = _read_all(books, tools)
    at = tools.clock.now()
    compared = comparing.compare(facts, books.facts, now=at)
    for object_id in gone:
        _found(run, tools, Finding("gone_at_paypal", object_id, {}, order_id))
    for other in compared.amounts:
        detail = {
            "kind": other.kind,
            "paypal_minor": other.paypal_minor,
            "paypal_currency": other.paypal_currency,
            "ours_minor": other.ours_minor,
            "ours_currency": other.ours_currency,
        }
        _found(run, tools, Finding("amount_differs", other.object_id, detail, order_id))
    opened = [
        _found(
            run,
            tools,
            Finding(
                "fact_missed", news.object_id, {"kind": news.kind, "status": news.status, "was": news.was}, order_id
            ),
        )
        for news in compared.news
        if not news.in_flight
    ]
    order, book = books.order, ledger.read(books.facts)
    if comparing.disagrees(order, book):
        opened.append(_found(run, tools, Finding("order_unsettled", order.number, {"status": order.status}, order_id)))
    if compared.unknown or comparing.disagrees(order, book):
        settled = tools.orders.settle(order_id, facts=facts, source="poll")
        for finding in filter(None, opened):
            tools.findings.close(
                finding,
                at=tools.clock.now(),
                state="repaired",
                reason="settled",
                more={"status_before": order.status, "status_after": settled.order.status},
            )
        if settled.attempt is not None:
            capturing.finish_attempt(settled.attempt, settled.order, store=tools.orders, processor=tools.paypal)
        books = tools.registry.get_books(order_id)
        order, book = books.order, ledger.read(books.facts)
    kept_minor = comparing.kept_minor(order, book)
    if kept_minor:
        detail = {"amount_minor": kept_minor, "currency": order.currency, "status": order.status}
        _found(run, tools, Finding("money_kept", order.number, detail, order_id))


def _found(run: Run, tools: Tools, finding: Finding) -> UUID | None:
    known = tools.findings.is_known(finding.kind, finding.subject)
    reported = tools.findings.report(run, finding, at=tools.clock.now())
    if reported is not None and not known:
        run.count(f"found_{finding.kind}")
    return reported


def _read_all(books: OrderBooks, tools: Tools) -> tuple[list[Fact], list[str]]:
    """PayPal's orders of an order, and what we know of that is not in them; the ids that PayPal knows no longer."""
    book = ledger.read(books.facts)
    facts: list[Fact] = []
    gone: list[str] = []
    for paypal_order_id in books.paypal_order_ids:
        seen = tools.paypal.find_order(paypal_order_id)
        if seen is not None:
            facts.append(seen)
    orders = [fact for fact in facts if isinstance(fact, OrderFact)]
    shown = {capture.id for order in orders for capture in order.captures}
    shown |= {refund.id for order in orders for refund in order.refunds}
    for capture in book.captures:
        if capture.id not in shown:
            found = tools.paypal.find_capture(capture.id)
            if found is not None:
                facts.append(found)
            elif capture.is_completed:
                gone.append(capture.id)
    asked = {refund.paypal_refund_id for refund in books.order.refunds if refund.paypal_refund_id is not None}
    for refund_id in sorted({refund.id for refund in book.refunds} | asked):
        if refund_id not in shown:
            refund = tools.paypal.find_refund(refund_id)
            if refund is not None:
                facts.append(refund)
            else:
                gone.append(refund_id)
    captures = {capture.id for capture in book.captures} | shown
    for dispute_id in sorted(book.open_disputes):
        dispute = tools.paypal.find_dispute(dispute_id)
        if dispute is not None:
            facts += _of_our_captures(dispute, captures)
    return facts, gone


def _of_our_captures(dispute: DisputeFact, captures: set[str]) -> list[Fact]:
    """A dispute may be about several orders: each sees its own captures."""
    return [replace(dispute, capture_ids=(capture_id,)) for capture_id in dispute.capture_ids if capture_id in captures]


Step = Callable[[Run, Tools], Iterator[str]]
STEPS: tuple[Step, ...] = (_stock, _events, _strays, _open, _window)
FIRST_STEP = "stock"
