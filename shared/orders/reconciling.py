"""Reconciling: what should never be needed. Stock against movements and orders, and PayPal's own lists and objects
against our ledger; what was missed is recorded through the same settling as ever, what is nobody's is listed.

A run is a row: it goes on where it stopped, whoever stopped it and however. Everything it does may be done twice. Where
PayPal does not answer, nothing is concluded; the run waits and goes on. Steps, in this order:

    stock     a full run only: every SKU: level, movements, order lines             (needs no PayPal, so it comes first)
    events    PayPal's list of events: what never came is stored and applied as if it had
    strays    stored events that belong to no order we know: paired, given back, or listed as somebody else's
    open      PayPal's objects of every order that is not final
    window    a full run only: of every order of the last weeks
"""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from shared.kernel.errors import Unavailable
from shared.kernel.logs import Log
from shared.orders.findings import Finding, Run, RunKind
from shared.orders.hearing import hear_events, sort_out_strays
from shared.orders.reconciliation import Tools
from shared.orders.rereading import reread_open, reread_window

log = Log(__name__)

LATE_AFTER = timedelta(hours=26)
# A nightly call that comes twice, or a little early, is the same night's.
NEARLY_A_DAY = timedelta(hours=20)
# A run is saved so often: what a killed one does again is no more than this.
_SAVE_EVERY = timedelta(seconds=5)
_PUT_OFF = timedelta(minutes=1)
_SKUS_AT_ONCE = 200
# Where so many SKUs are too much for one statement: 200, 25, 3, 1, and again more as it goes well.
_FEWER = 8
# They read whole logs: movements without end, orders of weeks. That is for the night.
_FULL_ONLY = {"stock", "window"}
# Steps that cannot end without an answer, and whose.
_PROOFS = {"stock": "database", "events": "paypal", "open": "paypal"}


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
    names = [name for name in STEPS if run.kind == "full" or name not in _FULL_ONLY]
    # A step that this version does not know was another version's: then from the beginning.
    for name in names[names.index(run.step) if run.step in names else 0 :]:
        if run.step != name:
            run.step, run.cursor = name, ""
        if not _work(run, tools, give_up_at):
            return False
    at = tools.clock.now()
    still_open = tools.runs.finish(run, at=at)
    _say(run, still_open, at)
    return True


def _work(run: Run, tools: Tools, give_up_at: datetime) -> bool:
    """Its step to its end; False where the run stops here and goes on another time."""
    saved_at = tools.clock.now()
    try:
        for cursor in STEPS[run.step](run, tools):
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
        who = "database" if run.step == "stock" else "paypal"
        tools.findings.report(run, Finding("unreachable", who, {"step": run.step}), at=at)
        tools.runs.pause(run, at=at, not_before=at + max(timedelta(seconds=error.retry_after_s), _PUT_OFF))
        log.warning("reconciliation_waits", run=run.id, kind=run.kind, step=run.step, retry_after_s=error.retry_after_s)
        return False
    if run.step in _PROOFS:
        tools.findings.close_named("unreachable", _PROOFS[run.step], at=tools.clock.now(), reason="it answers again")
    return tools.runs.save(run, at=tools.clock.now())


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


def _stock(run: Run, tools: Tools) -> Iterator[str]:
    """The log of movements only grows: what it takes too long to sum must not keep everything else from its turn."""
    at_once = _SKUS_AT_ONCE
    while True:
        try:
            drifted, last = tools.shelves.list_drifted(after=run.cursor, limit=at_once)
        except Unavailable:
            if at_once > 1:
                at_once = max(1, at_once // _FEWER)
                continue
            # Unavailable here as well: the database is away, and not this SKU's log too long.
            last = tools.shelves.find_next_sku(after=run.cursor)
            subject = last or "movements without a level"
            tools.findings.report(run, Finding("unreachable", subject, {"step": run.step}), at=tools.clock.now())
            tools.findings.keep_open(subject, at=tools.clock.now())
            log.warning("stock_is_too_long_to_sum", sku=subject)
            drifted = ()
        else:
            at_once = min(_SKUS_AT_ONCE, at_once * _FEWER)
        for sku, location in drifted:
            try:
                finding = tools.shelves.put_right(sku, location, run=run)
            except Unavailable:
                log.warning("stock_is_busy", sku=sku)  # the next run looks again
                tools.findings.keep_open(f"{sku}/{location}", at=tools.clock.now())
                continue
            if finding is not None:
                run.count(f"found_{finding.kind}")
        if last is None:
            return
        yield last


Step = Callable[[Run, Tools], Iterator[str]]
STEPS: dict[str, Step] = {
    "stock": _stock,
    "events": hear_events,
    "strays": sort_out_strays,
    "open": reread_open,
    "window": reread_window,
}
