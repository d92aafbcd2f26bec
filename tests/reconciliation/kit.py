"""A shop that is reconciled with a PayPal that keeps a list of what it has told."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from shared.inventory.drift import Units
from shared.kernel.clock import iso
from shared.kernel.errors import Unavailable
from shared.orders import reconciling
from shared.orders.findings import RunKind
from shared.orders.order import Order
from shared.orders.reconciliation import Tools, follow
from shared.payments import applying
from shared.payments.past_events import PageOfEvents, PastEvent
from shared.payments.processor import CaptureFact, DisputeFact, OrderFact, RefundFact
from shared.payments.webhooks import WebhookEvent
from shared.persistence.reconciliation import Findings, Runs
from shared.persistence.registry import Registry
from shared.persistence.stock_drift import StockDrift
from shared.persistence.webhooks import WebhookEvents
from tests.orders.shop import ScriptedPayPal, Shop

PAGE = 3


@dataclass(frozen=True, slots=True)
class _Told:
    event: PastEvent
    at: datetime


class ListedPayPal(ScriptedPayPal):
    """It keeps what it told and disputes, and answers its list in pages, the newest first, as PayPal does."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        super().__init__()
        self._now = now
        self.told: list[_Told] = []
        self.disputes: dict[str, DisputeFact] = {}
        self.unreadable: set[str] = set()

    def find_order(self, paypal_order_id: str) -> OrderFact | None:
        if paypal_order_id in self.unreadable:
            raise Unavailable
        return super().find_order(paypal_order_id)

    def tell(self, event_type: str, **resource: Any) -> PastEvent:
        """An event of which no notice will ever come."""
        body = {"id": f"WH-{uuid4()}", "event_type": event_type, "resource": resource}
        event = PastEvent(str(body["id"]), event_type, json.dumps(body))
        self.told.append(_Told(event, self._now()))
        return event

    def list_events(self, *, since: datetime, until: datetime, cursor: str | None) -> PageOfEvents:
        self._answer_or_not("list_events", f"{iso(since)} {cursor}")
        there = [told.event for told in reversed(self.told) if since <= told.at <= until]
        begin = int(cursor or 0)
        more = begin + PAGE < len(there)
        return PageOfEvents(tuple(there[begin : begin + PAGE]), str(begin + PAGE) if more else None)

    def find_capture(self, capture_id: str) -> CaptureFact | None:
        self._answer_or_not("find_capture", capture_id)
        return super().find_capture(capture_id)

    def find_refund(self, refund_id: str) -> RefundFact | None:
        self._answer_or_not("find_refund", refund_id)
        return super().find_refund(refund_id)

    def find_dispute(self, dispute_id: str) -> DisputeFact | None:
        self._answer_or_not("find_dispute", dispute_id)
        return self.disputes.get(dispute_id)

    def open_dispute(self, capture: CaptureFact, status: str = "OPEN", outcome: str | None = None) -> DisputeFact:
        dispute = DisputeFact("PP-D-1", status, outcome, (capture.id,), capture.amount, self._moment())
        self.disputes[dispute.id] = dispute
        return dispute

    def stray(self, **values: Any) -> CaptureFact:
        """A completed payment that no order of ours asked for."""
        made = CaptureFact(
            id=f"STRAY{uuid4().hex[:10].upper()}",
            status="COMPLETED",
            amount=None,
            invoice_id=None,
            custom_id=None,
            paypal_order_id=None,
            created_at=self._now(),
            update_time=self._moment(),
        )
        made = replace(made, **values)
        self.captures[made.id] = made
        return made


class ReconciledShop(Shop):
    """Runs take all the time they need, unless a test says otherwise."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.paypal: ListedPayPal = ListedPayPal(self.clock.now)
        self.webhooks = WebhookEvents(self.database)
        self.at_paypal(self.paypal)

    def at_paypal(self, paypal: ListedPayPal) -> None:
        self.paypal = paypal
        self.tools = Tools(
            runs=Runs(self.database, self.clock),
            findings=Findings(self.database, self.clock),
            shelves=StockDrift(self.database, self.clock),
            registry=Registry(self.database),
            events=self.webhooks,
            keep=self.webhooks.keep,
            orders=self.orders,
            paypal=paypal,
            invoice_prefix="VIT-",
            clock=self.clock,
        )

    def begin(self, kind: RunKind = "full", asked_by: str = "test") -> None:
        self.tools.runs.begin(kind, at=self.clock.now(), asked_by=asked_by)

    def go_on(self, kind: RunKind = "full", *, for_s: float = 600) -> bool:
        return reconciling.reconcile(kind, self.tools, give_up_at=_after(self.clock.now(), for_s))

    def reconcile(self, kind: RunKind = "full") -> list[tuple[str, str, str]]:
        """(kind, subject, state) of what this run has found: new, or seen again and open."""
        before = self.clock.now()
        self.begin(kind)
        assert self.go_on(kind)
        return self.found(since=before)

    def found(self, *, since: datetime | None = None) -> list[tuple[str, str, str]]:
        rows = self.database.call(
            """
            select kind, subject, state from reconciliation_findings
            where :since::timestamptz is null or seen_at >= :since::timestamptz order by kind, subject, found_at
            """,
            since=since,
        )
        return [(row["kind"], row["subject"], row["state"]) for row in rows]

    def detail(self, kind: str) -> dict[str, Any]:
        rows = self.database.call(
            "select detail from reconciliation_findings where kind = :kind::text order by found_at desc", kind=kind
        )
        detail: dict[str, Any] = rows[0]["detail"]
        return detail

    def receive(self, event_type: str, **resource: Any) -> WebhookEvent:
        """An event that did come, stored and applied."""
        past = self.paypal.tell(event_type, **resource)
        event = WebhookEvent(uuid4(), str(uuid4()), past.id, event_type, past.body, self.clock.now())
        assert self.webhooks.keep(event)
        self.apply(event)
        return event

    def apply(self, event: WebhookEvent) -> None:
        applying.apply_event(
            event.id,
            events=self.webhooks,
            processor=self.paypal,
            follow=lambda order_id, facts: follow(order_id, facts, self.tools),
            invoice_prefix="VIT-",
            clock=self.clock,
        )

    def verdict(self, event_id: str) -> tuple[str, str]:
        row = self.database.find("select state, verdict from webhook_events where event_id = :id::text", id=event_id)
        assert row is not None
        return row["state"], row["verdict"]

    def status(self, order: Order) -> tuple[str, str | None]:
        seen = self.orders.get(order.id)
        return seen.status, seen.status_reason

    def capture_of(self, order: Order) -> CaptureFact:
        return next(capture for capture in self.paypal.captures.values() if capture.custom_id == str(order.id))

    def books(self, sku: str) -> tuple[Units, Units, int]:
        """What level, movements and order lines say."""
        level = self.database.find(
            "select coalesce(sum(on_hand), 0)::int as a, coalesce(sum(held), 0)::int as b from stock_levels"
            " where sku = :sku::text",
            sku=sku,
        )
        moved = self.database.find(
            "select coalesce(sum(delta_on_hand), 0)::int as a, coalesce(sum(delta_held), 0)::int as b"
            " from stock_movements where sku = :sku::text",
            sku=sku,
        )
        kept = self.database.find(
            "select coalesce(sum(held + allocated), 0)::int as a from order_lines where sku = :sku::text", sku=sku
        )
        assert level is not None
        assert moved is not None
        assert kept is not None
        return Units(level["a"], level["b"]), Units(moved["a"], moved["b"]), kept["a"]

    def repairs(self, sku: str) -> list[tuple[int, int, str | None, str]]:
        rows = self.database.call(
            """
            select delta_on_hand, delta_held, order_number, reason from stock_movements
            where sku = :sku::text and kind = 'repair' order by id
            """,
            sku=sku,
        )
        return [(row["delta_on_hand"], row["delta_held"], row["order_number"], row["reason"]) for row in rows]


class AwayFrom:
    """PayPal is away from its n-th call on, until `back`."""

    def __init__(self, paypal: ListedPayPal, calls: int) -> None:
        self.left = calls
        self.paypal = paypal
        paypal.while_away = self

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Unavailable(retry_after_s=90)

    def back(self) -> None:
        self.paypal.while_away = lambda: None


def _after(moment: datetime, seconds: float) -> datetime:
    return moment + timedelta(seconds=seconds)
