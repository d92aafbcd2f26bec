"""Reading again: PayPal's objects of our orders, compared with our ledger and recorded through the same settling."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from uuid import UUID

from shared.orders import capturing, comparing
from shared.orders.findings import Finding, Run
from shared.orders.reconciliation import OrderBooks, Tools, attempt, found
from shared.payments import ledger
from shared.payments.processor import DisputeFact, Fact, OrderFact

_ORDERS_AT_ONCE = 50


def reread_open(run: Run, tools: Tools) -> Iterator[str]:
    return _each_order(tools.registry.list_open_orders, run, tools)


def reread_window(run: Run, tools: Tools) -> Iterator[str]:
    return _each_order(tools.registry.list_orders_of_window, run, tools)


def _each_order(list_orders: Callable[..., Sequence[tuple[UUID, str]]], run: Run, tools: Tools) -> Iterator[str]:
    while True:
        listed = list_orders(run, after=run.cursor, limit=_ORDERS_AT_ONCE, at=tools.clock.now())
        for order_id, place in listed:
            attempt(partial(_compare, order_id), str(order_id), run, tools)
            run.count("orders")
            yield place
        if len(listed) < _ORDERS_AT_ONCE:
            return


def _compare(order_id: UUID, run: Run, tools: Tools) -> None:
    books = tools.registry.get_books(order_id)
    facts, gone = _read_all(books, tools)
    at = tools.clock.now()
    compared = comparing.compare(facts, books.facts, now=at)
    for object_id in gone:
        found(run, tools, Finding("gone_at_paypal", object_id, {}, order_id))
    for other in compared.amounts:
        detail = {
            "kind": other.kind,
            "paypal_minor": other.paypal_minor,
            "paypal_currency": other.paypal_currency,
            "ours_minor": other.ours_minor,
            "ours_currency": other.ours_currency,
        }
        found(run, tools, Finding("amount_differs", other.object_id, detail, order_id))
    missed = [
        found(run, tools, Finding("fact_missed", news.object_id, news.said, order_id))
        for news in compared.news
        if not news.in_flight
    ]
    order, book = books.order, ledger.read(books.facts)
    unsettled = None
    if comparing.disagrees(order, book):
        unsettled = found(run, tools, Finding("order_unsettled", order.number, {"status": order.status}, order_id))
    if compared.unknown or comparing.disagrees(order, book):
        settled = tools.orders.settle(order_id, facts=facts, source="poll")
        before, books = order.status, tools.registry.get_books(order_id)
        order, book = books.order, ledger.read(books.facts)
        repaired = missed if comparing.disagrees(order, book) else [*missed, unsettled]
        for finding in filter(None, repaired):
            more = {"status_before": before, "status_after": order.status}
            tools.findings.close(finding, at=tools.clock.now(), state="repaired", reason="settled", more=more)
        if settled.attempt is not None:
            capturing.finish_attempt(settled.attempt, settled.order, store=tools.orders, processor=tools.paypal)
    kept_minor = comparing.kept_minor(order, book)
    if kept_minor:
        detail = {"amount_minor": kept_minor, "currency": order.currency, "status": order.status}
        found(run, tools, Finding("money_kept", order.number, detail, order_id))


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
            seen_capture = tools.paypal.find_capture(capture.id)
            if seen_capture is not None:
                facts.append(seen_capture)
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
