"""What reconciling works with: what it needs of the database and of PayPal, and how one thing of many is tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Unavailable
from shared.kernel.logs import Log
from shared.orders import capturing
from shared.orders.findings import Finding, Run, RunKind, State
from shared.orders.order import Order
from shared.payments import applying
from shared.payments.applying import Verdict
from shared.payments.ledger import FactRow
from shared.payments.past_events import EventHistory
from shared.payments.processor import Fact, Processor
from shared.payments.webhooks import WebhookEvent

log = Log(__name__)

# Notices take a moment; what is younger is the webhooks' business.
IN_FLIGHT = timedelta(minutes=5)
# Lists overlap, because two clocks never agree; a full run reads as far back as PayPal repeats a notice (three days).
OVERLAP = timedelta(hours=1)
FULL_OVERLAP = timedelta(days=3)
PAID_WINDOW = timedelta(days=30)
UNPAID_WINDOW = timedelta(days=2)
# So often a run waits before one and the same thing; then it leaves it out, and says so.
MOST_WAITS = 3
FIRST_STEP = "stock"


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

    def keep_open(self, subject: str, *, at: datetime) -> None:
        """What could not be looked at: open findings of it, of its order or of a SKU's levels count as seen."""
        ...

    def close(self, finding_id: UUID, *, at: datetime, state: State, reason: str, more: dict[str, Any]) -> None: ...

    def close_named(self, kind: str, subject: str, *, at: datetime, reason: str) -> None:
        """The open one of that kind and subject, if there is any, is repaired."""
        ...

    def find_open(self, kind: str, subject: str) -> Mapping[str, Any] | None:
        """The detail of the open one, None where there is none."""
        ...

    def is_known(self, kind: str, subject: str) -> bool: ...

    def list_subjects(self, kind: str, *, seen_before: datetime, after: str, limit: int) -> Sequence[str]:
        """Of the open ones of a kind, the next that were not seen since; a subject is open once."""
        ...

    def count_since(self, kind: str, at: datetime) -> int: ...


class Shelves(Protocol):
    """Stock in SQL (shared.persistence.stock_drift)."""

    def list_drifted(self, *, after: str, limit: int) -> tuple[Sequence[tuple[str, str]], str | None]:
        """SKUs and locations that do not add up among the next `limit` SKUs, and the last SKU looked at."""
        ...

    def find_next_sku(self, *, after: str) -> str | None:
        """The SKU that `list_drifted` with the limit 1 looks at; None where it looks at what has no level."""
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


def attempt(work: Callable[[Run, Tools], None], subject: str, run: Run, tools: Tools) -> None:
    """One thing of many. What cannot be read however often it is tried must not keep all the others from their turn."""
    try:
        work(run, tools)
    except Unavailable:
        if run.counts.get("waits", 0) < MOST_WAITS:
            run.count("waits")
            raise
        tools.findings.report(run, Finding("unreachable", subject, {"step": run.step}), at=tools.clock.now())
        tools.findings.keep_open(subject, at=tools.clock.now())
    except Exception as error:  # noqa: BLE001 - a row that always fails must not stop all the others for good
        log.error("reconciliation_failed", exc=error, step=run.step, subject=subject)
        tools.findings.keep_open(subject, at=tools.clock.now())
    run.counts.pop("waits", None)


def found(run: Run, tools: Tools, finding: Finding) -> UUID | None:
    known = tools.findings.is_known(finding.kind, finding.subject)
    reported = tools.findings.report(run, finding, at=tools.clock.now())
    if reported is not None and not known:
        run.count(f"found_{finding.kind}")
    return reported


def follow(order_id: UUID, facts: Sequence[Fact], tools: Tools) -> Order:
    return capturing.follow_facts(order_id, facts, source="poll", store=tools.orders, processor=tools.paypal)
