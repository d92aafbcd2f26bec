"""Shipments in SQL: drafted, handed over and delivered under the locks of order, shipment and stock, in that order."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.errors import ShopError
from shared.kernel.idempotency import Answering
from shared.kernel.messages import Event
from shared.orders import order as order_values
from shared.orders.fulfilling import Fulfilment, ListedShipment, NotAllocated, NotShippable, Outcome
from shared.orders.order import Order, OrderNotFound
from shared.payments.tasks import tracking_task
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction, as_json
from shared.shipping import shipments as shipment_values
from shared.shipping.shipments import Shipment, ShipmentNotFound

GUARDS: Mapping[str, Callable[[Mapping[str, Any]], ShopError]] = {
    "NotShippable": lambda data: NotShippable(**data),
    "NotAllocated": lambda data: NotAllocated(data["lines"]),
}

_SHIPMENTS = """
select s.id, o.id as order_id, o.number as order_number, order_json_v2(o.id) as found
from shipments s join orders o on o.id = s.order_id
"""

_LIST = """
select o.number as order_number, o.status as order_status, to_jsonb(s) || jsonb_build_object('lines', (
    select jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity) order by l.sku)
    from shipment_lines l where l.shipment_id = s.id)) as shipment
from shipments s join orders o on o.id = s.order_id
where {narrowed}
order by s.created_at desc, s.id desc limit :limit::int
"""


class Fulfilments:
    """Implements shared.orders.fulfilling.Store and TrackingStore."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # Steps ----------------------------------------------------------------------------------------

    def draft(
        self,
        order_number: str,
        decide: Callable[[Order, datetime], Outcome],
        *,
        actor: str,
        answering: Answering[Fulfilment] | None = None,
    ) -> Fulfilment:
        def in_one_step(tx: Transaction) -> Fulfilment:
            now = self._clock.now()
            outcome = decide(lock_order(tx, number=order_number), now)
            _insert(tx, outcome.shipment, actor)
            _log(tx, outcome, actor, now)
            return tx.answer(answering, Fulfilment(outcome.order, outcome.shipment))

        return self._database.step(in_one_step)

    def move(
        self,
        shipment_id: UUID,
        decide: Callable[[Order, Shipment, datetime], Outcome],
        *,
        actor: str,
        answering: Answering[Fulfilment] | None = None,
    ) -> Fulfilment:
        def in_one_step(tx: Transaction) -> Fulfilment:
            now = self._clock.now()
            of = tx.find("select order_id from shipments where id = :id::uuid", id=shipment_id)
            if of is None:
                raise ShipmentNotFound
            before = lock_order(tx, order_id=of["order_id"])
            tx.rows("select 1 as locked from shipments where id = :id::uuid for update", id=shipment_id)
            shipment = next(known for known in before.shipments if known.id == shipment_id)
            outcome = decide(before, shipment, now)
            if outcome.shipment != shipment:
                self._write(tx, before, outcome, actor, now)
            return tx.answer(answering, Fulfilment(outcome.order, outcome.shipment))

        return self._database.step(in_one_step)

    def close(
        self,
        order_number: str,
        decide: Callable[[Order], Order],
        *,
        actor: str,
        answering: Answering[Order] | None = None,
    ) -> Order:
        def in_one_step(tx: Transaction) -> Order:
            now = self._clock.now()
            before = lock_order(tx, number=order_number)
            order = decide(before)
            if order.status != before.status:
                set_status(tx, order, now)
                audit.append(tx, Entry(now, actor, "fulfilment.closed", f"order:{order.number}"))
            return tx.answer(answering, order)

        return self._database.step(in_one_step)

    def _write(self, tx: Transaction, before: Order, outcome: Outcome, actor: str, now: datetime) -> None:
        order, shipment = outcome.order, outcome.shipment
        is_shipped = outcome.action == "shipment.shipped"
        _update(tx, shipment, paypal_is_due=is_shipped, now=now)
        _log(tx, outcome, actor, now)
        if is_shipped:
            # Stock comes late: its rows are the contended ones. The status comes after: the guard looks at the old one.
            tx.rows(
                "select ship_stock_v1(:id::uuid, :lines::jsonb, :actor::text, :reason::text, :now::timestamptz)",
                id=order.id,
                lines=_lines_json(shipment),
                actor=actor,
                reason=f"{shipment.carrier} {shipment.tracking_number}",
                now=now,
            )
        if order.status != before.status:
            set_status(tx, order, now)
        if is_shipped:
            frozen = tx.one("select order_json_v2(:id::uuid) as frozen", id=order.id)["frozen"]
            told = next(known for known in frozen["shipments"] if known["id"] == str(shipment.id))
            tx.emit(
                Event("orders", "order.shipped", {"order": frozen, "shipment": told}),
                tracking_task(shipment.id),
            )

    # Reading --------------------------------------------------------------------------------------

    def get(self, shipment_id: UUID) -> Fulfilment:
        found = self._database.find(f"{_SHIPMENTS} where s.id = :id::uuid", id=shipment_id)
        if found is None:
            raise ShipmentNotFound
        return _fulfilment(found)

    def list_shipments(
        self, order_number: str | None, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> Sequence[ListedShipment]:
        """The newest first, those before the one of that moment and id."""
        given: Row = {}
        narrowed = ["true"]
        if order_number is not None:
            narrowed.append("o.number = :number::text")
            given["number"] = order_number
        if before is not None:
            narrowed.append("(s.created_at, s.id) < (:before_at::timestamptz, :before_id::uuid)")
            given |= {"before_at": before[0], "before_id": before[1]}
        # One of four texts: each has its own plan, and its own index to read backwards.
        rows = self._database.call(_LIST.format(narrowed=" and ".join(narrowed)), limit=limit, **given)
        return [
            ListedShipment(row["order_number"], row["order_status"], shipment_values.from_json(row["shipment"]))
            for row in rows
        ]

    # Telling PayPal -------------------------------------------------------------------------------

    def find_untold(self, shipment_id: UUID) -> Fulfilment | None:
        found = self._database.find(f"{_SHIPMENTS} where s.id = :id::uuid and s.paypal_state = 'due'", id=shipment_id)
        return _fulfilment(found) if found else None

    def record_told(self, shipment_id: UUID, refusal: str | None) -> None:
        self._database.call(
            """
            update shipments set paypal_state = case when :refusal::text is null then 'told' else 'refused' end,
                paypal_refusal = :refusal::text, updated_at = :now::timestamptz
            where id = :id::uuid and paypal_state = 'due'
            """,
            id=shipment_id,
            refusal=refusal,
            now=self._clock.now(),
        )

    def take_untold(self, before: datetime, limit: int) -> Sequence[UUID]:
        """Stamps what it gives, so that whoever comes next begins with others."""
        rows = self._database.call(
            """
            update shipments set paypal_looked_at = :now::timestamptz where id in (
                select id from shipments where paypal_state = 'due' and paypal_looked_at <= :before::timestamptz
                order by paypal_looked_at limit :limit::int for update skip locked)
            returning id
            """,
            before=before,
            limit=limit,
            now=self._clock.now(),
        )
        return [row["id"] for row in rows]


def lock_order(tx: Transaction, *, order_id: UUID | None = None, number: str | None = None) -> Order:
    """The order with its shipments, locked until the transaction ends. Raises OrderNotFound."""
    locked = tx.find(
        "select id from orders where id = :id::uuid or number = :number::text for update", id=order_id, number=number
    )
    if locked is None:
        raise OrderNotFound
    # Its own statement: one that waited for the lock would read its lines as they were before.
    return order_values.from_json(tx.one("select order_json_v2(:id::uuid) as found", id=locked["id"])["found"])


def set_status(tx: Transaction, order: Order, now: datetime) -> None:
    tx.rows(
        """
        update orders set status = :status::text, status_reason = :reason::text, updated_at = :now::timestamptz
        where id = :id::uuid
        """,
        id=order.id,
        status=order.status,
        reason=order.status_reason,
        now=now,
    )


def _fulfilment(row: Row) -> Fulfilment:
    order = order_values.from_json(row["found"])
    return Fulfilment(order, next(known for known in order.shipments if known.id == row["id"]))


def _insert(tx: Transaction, shipment: Shipment, actor: str) -> None:
    tx.rows(
        """
        insert into shipments (id, order_id, state, created_at, created_by, updated_at)
        values (:id::uuid, :order_id::uuid, 'draft', :at::timestamptz, :actor::text, :at::timestamptz)
        """,
        id=shipment.id,
        order_id=shipment.order_id,
        at=shipment.created_at,
        actor=actor,
    )
    # The guard of what was decided: a plan never counts units that are not here, or are in another plan.
    planned = tx.rows(
        """
        insert into shipment_lines (shipment_id, order_id, sku, quantity)
        select :id::uuid, l.order_id, l.sku, w.quantity
        from jsonb_to_recordset(:lines::jsonb) as w (sku text collate "C", quantity integer)
        join order_lines l on l.order_id = :order_id::uuid and l.sku = w.sku
        where w.quantity <= l.allocated - (
            select coalesce(sum(p.quantity), 0) from shipment_lines p join shipments s on s.id = p.shipment_id
            where p.order_id = l.order_id and p.sku = l.sku
                and s.state in ('draft', 'label_requested', 'label_purchased'))
        returning sku
        """,
        id=shipment.id,
        order_id=shipment.order_id,
        lines=_lines_json(shipment),
    )
    if len(planned) < len(shipment.lines):
        raise NotAllocated([])


def _update(tx: Transaction, shipment: Shipment, *, paypal_is_due: bool, now: datetime) -> None:
    tx.rows(
        """
        update shipments set state = :state::text, carrier = :carrier::text, tracking_number = :number::text,
            shipped_at = :shipped_at::timestamptz, delivered_at = :delivered_at::timestamptz,
            paypal_state = case when :due::boolean then 'due' else paypal_state end,
            paypal_looked_at = case when :due::boolean then :now::timestamptz else paypal_looked_at end,
            updated_at = :now::timestamptz
        where id = :id::uuid
        """,
        id=shipment.id,
        state=shipment.state,
        carrier=shipment.carrier,
        number=shipment.tracking_number,
        shipped_at=shipment.shipped_at,
        delivered_at=shipment.delivered_at,
        due=paypal_is_due,
        now=now,
    )


def _log(tx: Transaction, outcome: Outcome, actor: str, now: datetime) -> None:
    shipment = outcome.shipment
    detail = {
        "shipment": str(shipment.id),
        "lines": [{"sku": at.sku, "quantity": at.quantity} for at in shipment.lines],
    }
    if outcome.action == "shipment.shipped":
        detail |= {"carrier": shipment.carrier or "", "tracking_number": shipment.tracking_number or ""}
    audit.append(tx, Entry(now, actor, outcome.action, f"order:{outcome.order.number}", detail))


def _lines_json(shipment: Shipment) -> str:
    return as_json([{"sku": line.sku, "quantity": line.quantity} for line in shipment.lines])
