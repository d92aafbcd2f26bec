"""Which of our rows reconciliation looks at: lists by place, so that each batch is a range of an index."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from shared.kernel.clock import parse_iso
from shared.orders import order as order_values
from shared.orders.findings import Run
from shared.orders.order import OrderNotFound
from shared.orders.reconciliation import IN_FLIGHT, PAID_WINDOW, UNPAID_WINDOW, OrderBooks
from shared.payments import ledger
from shared.payments.applying import Verdict
from shared.payments.webhooks import PROVIDER, WebhookEvent
from shared.persistence.database import Database, Row

# What nobody paid is asked for a few times more, and then by the night: PayPal wants to tell, not to be asked.
_JUST_PLACED = timedelta(hours=2)
_JUST_OVER = timedelta(minutes=30)

# A full run looks at all that is not final; a fresh one leaves out what has its own sweep or waits for people.
_OPEN = """
select id, placed_at from (
    select id, placed_at from orders
        where (status = 'pending_payment' or status = 'on_hold' or disputed or pending_minor > 0)
            and (:full::boolean or status = 'pending_payment' or status_reason = 'capture_pending')
    union
    select id, placed_at from orders
        where placed_at >= :just_placed::timestamptz and updated_at >= :just_over::timestamptz
            and status in ('expired', 'cancelled')
    union
    select o.id, o.placed_at from refunds r join orders o on o.id = r.order_id
        where :full::boolean and r.state in ('requested', 'pending')
    union
    select o.id, o.placed_at from reconciliation_findings f join orders o on o.id = f.order_id where f.state = 'open'
) q
where placed_at <= :settled::timestamptz and (placed_at, id) > (:after_at::timestamptz, :after_id::uuid)
order by placed_at, id limit :limit::int
"""

_WINDOW = """
select id, placed_at from orders
where placed_at >= :since::timestamptz and placed_at <= :settled::timestamptz
    and (placed_at, id) > (:after_at::timestamptz, :after_id::uuid) and paypal_order_id is not null
    and (placed_at >= :unpaid_since::timestamptz or captured_minor > 0 or bound_capture_id is not null)
order by placed_at, id limit :limit::int
"""

_STRAYS = """
select id, transmission_id, event_id, event_type, body, received_at, state, verdict from webhook_events
where provider = :provider::text and (received_at, id) > (:after_at::timestamptz, :after_id::uuid)
    and ((state = 'waiting' and received_at <= :before::timestamptz)
        or (state = 'ignored' and verdict = 'foreign' and received_at >= :since::timestamptz))
order by received_at, id limit :limit::int
"""

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class Registry:
    """Provides orders.reconciliation.Registry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_open_orders(self, run: Run, *, after: str, limit: int, at: datetime) -> Sequence[tuple[UUID, str]]:
        return self._list(
            _OPEN,
            after,
            full=run.kind == "full",
            just_placed=run.started_at - _JUST_PLACED,
            just_over=run.started_at - _JUST_OVER,
            settled=at - IN_FLIGHT,
            limit=limit,
        )

    def list_orders_of_window(self, run: Run, *, after: str, limit: int, at: datetime) -> Sequence[tuple[UUID, str]]:
        return self._list(
            _WINDOW,
            after,
            since=run.started_at - PAID_WINDOW,
            unpaid_since=run.started_at - UNPAID_WINDOW,
            settled=at - IN_FLIGHT,
            limit=limit,
        )

    def _list(self, sql: str, after: str, **parameters: Any) -> list[tuple[UUID, str]]:
        after_at, after_id = _read_place(after)
        rows = self._database.call(sql, after_at=after_at, after_id=after_id, **parameters)
        return [(row["id"], _place(row["placed_at"], row["id"])) for row in rows]

    def get_books(self, order_id: UUID) -> OrderBooks:
        found = self._database.find(
            """
            select order_json_v2(:id::uuid) as found, (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                from payment_facts f where f.order_id = :id::uuid) as facts
            """,
            id=order_id,
        )
        if found is None or found["found"] is None:
            raise OrderNotFound
        names = ledger.FactRow.__dataclass_fields__
        facts = tuple(ledger.from_json({name: fact[name] for name in names}) for fact in found["facts"])
        return OrderBooks(order_values.from_json(found["found"]), facts)

    def find_order_named(self, custom_id: str | None, number: str) -> UUID | None:
        found = self._database.find(
            """
            select id from orders where id = :id::uuid or number = :number::text order by id = :id::uuid desc limit 1
            """,
            id=_uuid(custom_id),
            number=number,
        )
        return None if found is None else found["id"]

    def list_stray_events(
        self, run: Run, *, after: str, limit: int, before: datetime
    ) -> Sequence[tuple[WebhookEvent, str]]:
        after_at, after_id = _read_place(after)
        rows = self._database.call(
            _STRAYS,
            provider=PROVIDER,
            after_at=after_at,
            after_id=after_id,
            before=before,
            since=run.since,
            limit=limit,
        )
        return [(_event(row), _place(row["received_at"], row["id"])) for row in rows]

    def find_unheard(self, event_ids: Sequence[str]) -> dict[str, UUID | None]:
        rows = self._database.call(
            """
            select u.event_id, e.id from unnest(:ids::text[]) as u (event_id)
            left join webhook_events e on e.provider = :provider::text and e.event_id = u.event_id
            where e.id is null or (e.state = 'received' and e.transmission_id = 'list:' || e.event_id)
            """,
            ids=list(event_ids),
            provider=PROVIDER,
        )
        return {row["event_id"]: row["id"] for row in rows}

    def find_verdict(self, event_id: UUID) -> tuple[str, str]:
        row = self._database.call("select state, verdict from webhook_events where id = :id::uuid", id=event_id)[0]
        return row["state"], row["verdict"] or ""

    def conclude_stray(self, event_id: UUID, verdict: Verdict, *, at: datetime) -> None:
        self._database.call(
            """
            update webhook_events set state = :state::text, verdict = :verdict::text, applied_at = :at::timestamptz,
                order_ids = :order_ids::uuid[]
            where id = :id::uuid and (state = 'waiting' or verdict = 'foreign')
            """,
            id=event_id,
            state=verdict.state,
            verdict=verdict.reason,
            order_ids=list(verdict.order_ids),
            at=at,
        )


def _place(moment: datetime, row_id: UUID) -> str:
    return f"{moment.isoformat()} {row_id}"


def _read_place(place: str) -> tuple[datetime, UUID]:
    moment, _, row_id = place.partition(" ")
    return (parse_iso(moment), UUID(row_id)) if row_id else (_BEGINNING, UUID(int=0))


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text or "")
    except ValueError:
        return None


def _event(row: Row) -> WebhookEvent:
    return WebhookEvent(**row)
