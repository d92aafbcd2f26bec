"""Returns in SQL: asked for, decided and received under the order's lock; stock comes last."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.audit.entries import Entry
from shared.kernel.clock import Clock
from shared.kernel.errors import ShopError
from shared.kernel.idempotency import Answering
from shared.kernel.messages import Event
from shared.orders import order as order_values
from shared.orders import returns as return_values
from shared.orders.order import Order, OrderNotFound
from shared.orders.returning import AskReturnRefund, refund_return
from shared.orders.returns import (
    Action,
    ListedReturn,
    NotReturnable,
    Return,
    Returning,
    ReturnNotFound,
)
from shared.persistence import audit
from shared.persistence.database import Database, Row, Transaction, as_json, fields_of
from shared.persistence.desk import do_command
from shared.persistence.fulfilment import lock_order, set_status
from shared.shop import settings as shop_values
from shared.shop.settings import ShopSettings

GUARDS: Mapping[str, Callable[[Mapping[str, Any]], ShopError]] = {
    "NotReturnable": lambda data: NotReturnable(data["lines"]),
}

_RETURNS = """
select r.id, order_json_v2(o.id) as found, returns_json_v1(o.id) as returns
from returns r join orders o on o.id = r.order_id
"""

_LIST = """
select o.number as order_number, o.status as order_status, to_jsonb(r) || jsonb_build_object(
    'lines', (select jsonb_agg(to_jsonb(l) order by l.sku) from return_lines l where l.return_id = r.id),
    'receipts', (select coalesce(jsonb_agg(to_jsonb(c) order by c.position), '[]')
                 from return_receipts c where c.return_id = r.id)) as goods
from returns r join orders o on o.id = r.order_id
where {narrowed}
order by r.requested_at desc, r.id desc limit :limit::int
"""
_NARROWED = {"state": "r.state = :state::text", "number": "o.number = :number::text"}


class Returns:
    """Implements shared.orders.returning.Store, and reads for pages."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # Steps ----------------------------------------------------------------------------------------

    def ask(
        self,
        order_number: str,
        decide: Callable[[Order, Sequence[Return], ShopSettings, datetime], Return],
        *,
        actor: str,
        answering: Answering[Returning] | None = None,
    ) -> Returning:
        def in_one_step(tx: Transaction) -> Returning:
            now = self._clock.now()
            order = lock_order(tx, number=order_number)
            row = tx.one("select value, version from shop_settings where id = 'shop'")
            settings = shop_values.from_json(row["value"], row["version"])
            goods = decide(order, returns_of(tx, order.id), settings, now)
            _insert(tx, goods)
            _tell(tx, order, goods, "return.requested", actor, now)
            return tx.answer(answering, Returning(order, goods))

        return self._database.step(in_one_step)

    def move(
        self,
        return_id: UUID,
        decide: Callable[[Order, Return, datetime], tuple[Order, Return]],
        action: Action,
        *,
        actor: str,
        answering: Answering[Returning] | None = None,
    ) -> Returning:
        def in_one_step(tx: Transaction) -> Returning:
            now = self._clock.now()
            before, known = lock_return(tx, return_id)
            order, goods = decide(before, known, now)
            if goods != known:
                if order.status != before.status:
                    set_status(tx, order, now)
                _update(tx, goods, now)
                if action == "return.received":
                    _receive(tx, goods, actor, now)
                _tell(tx, order, goods, action, actor, now)
            return tx.answer(answering, Returning(order, goods))

        return self._database.step(in_one_step)

    def refund(
        self,
        return_id: UUID,
        asked: AskReturnRefund,
        *,
        answering: Callable[[Returning], Answering[Returning] | None] = lambda _settled: None,
    ) -> Returning:
        """Ask for the refund of what was received, as every refund is asked for: under the locks of cart and order.

        What was free makes none: then the return has no refund, or still the one that PayPal has refused.

        Raises ReturnNotFound, and what `refund_return` does.
        """

        def in_one_step(tx: Transaction) -> Returning:
            now = self._clock.now()
            of = tx.find("select order_id from returns where id = :id::uuid", id=return_id)
            if of is None:
                raise ReturnNotFound
            locked = tx.one("select lock_order_v1(:id::uuid) as situation", id=of["order_id"])
            goods = next(known for known in returns_of(tx, of["order_id"]) if known.id == return_id)
            order = do_command(tx, locked, refund_return(goods, asked), now)
            settled = Returning(order, goods)
            if any(refund.id == asked.refund_id for refund in order.refunds):
                tx.rows(
                    """
                    update returns set refund_id = :refund_id::uuid, updated_at = :now::timestamptz where id = :id::uuid
                    """,
                    id=return_id,
                    refund_id=asked.refund_id,
                    now=now,
                )
                settled = Returning(order, replace(goods, refund_id=asked.refund_id))
            return tx.answer(answering(settled), settled)

        return self._database.step(in_one_step)

    # Reading --------------------------------------------------------------------------------------

    def get(self, return_id: UUID) -> Returning:
        """Raises ReturnNotFound."""
        found = self._database.find(f"{_RETURNS} where r.id = :id::uuid", id=return_id)
        if found is None:
            raise ReturnNotFound
        return _returning(found)

    def find_order(self, order_number: str) -> UUID | None:
        found = self._database.find("select id from orders where number = :number::text", number=order_number)
        return found["id"] if found else None

    def show(self, order_number: str) -> tuple[Order, list[Return], ShopSettings]:
        """An order, its returns, the oldest first, and the shop's rules for new ones. Raises OrderNotFound."""
        found = self._database.find(
            """
            select order_json_v2(o.id) as found, returns_json_v1(o.id) as returns, s.value, s.version
            from orders o join shop_settings s on s.id = 'shop' where o.number = :number::text
            """,
            number=order_number,
        )
        if found is None:
            raise OrderNotFound
        returns = [return_values.from_json(value) for value in found["returns"]]
        return order_values.from_json(found["found"]), returns, shop_values.from_json(found["value"], found["version"])

    def list_returns(
        self,
        *,
        state: str | None,
        order_number: str | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[ListedReturn]:
        """The newest first, those before the one of that moment and id."""
        given: Row = {name: value for name, value in (("state", state), ("number", order_number)) if value is not None}
        narrowed = ["true", *(_NARROWED[name] for name in given)]
        if before is not None:
            narrowed.append("(r.requested_at, r.id) < (:before_at::timestamptz, :before_id::uuid)")
            given |= {"before_at": before[0], "before_id": before[1]}
        # One of eight texts: each has its own plan, and its own index to read backwards.
        rows = self._database.call(_LIST.format(narrowed=" and ".join(narrowed)), limit=limit, **given)
        return [
            ListedReturn(row["order_number"], row["order_status"], return_values.from_json(row["goods"]))
            for row in rows
        ]


def lock_return(tx: Transaction, return_id: UUID) -> tuple[Order, Return]:
    """The return and its order, whose lock is the return's as well. Raises ReturnNotFound."""
    of = tx.find("select order_id from returns where id = :id::uuid", id=return_id)
    if of is None:
        raise ReturnNotFound
    order = lock_order(tx, order_id=of["order_id"])
    return order, next(known for known in returns_of(tx, order.id) if known.id == return_id)


def returns_of(tx: Transaction, order_id: UUID) -> list[Return]:
    found = tx.one("select returns_json_v1(:id::uuid) as returns", id=order_id)["returns"]
    return [return_values.from_json(value) for value in found]


def _returning(row: Row) -> Returning:
    goods = next(value for value in row["returns"] if value["id"] == str(row["id"]))
    return Returning(order_values.from_json(row["found"]), return_values.from_json(goods))


def _insert(tx: Transaction, goods: Return) -> None:
    tx.rows(
        """
        insert into returns (id, order_id, state, note, requested_at, requested_by, updated_at)
        values (:id::uuid, :order_id::uuid, 'requested', :note::text, :at::timestamptz, :actor::text, :at::timestamptz)
        """,
        id=goods.id,
        order_id=goods.order_id,
        note=goods.note,
        at=goods.requested_at,
        actor=goods.requested_by,
    )
    # The guard of what was decided: no unit is in two open returns, or comes back twice.
    asked = tx.rows(
        """
        insert into return_lines (return_id, order_id, sku, quantity, reason)
        select :id::uuid, l.order_id, l.sku, w.quantity, w.reason
        from jsonb_to_recordset(:lines::jsonb) as w (sku text collate "C", quantity integer, reason text)
        join order_lines l on l.order_id = :order_id::uuid and l.sku = w.sku
        where w.quantity <= l.consumed - l.returned - (
            select coalesce(sum(e.quantity), 0) from return_lines e join returns r on r.id = e.return_id
            where e.order_id = l.order_id and e.sku = l.sku and r.state in ('requested', 'approved'))
        returning sku
        """,
        id=goods.id,
        order_id=goods.order_id,
        lines=as_json([fields_of(line) for line in goods.lines]),
    )
    if len(asked) < len(goods.lines):
        raise NotReturnable([])


def _update(tx: Transaction, goods: Return, now: datetime) -> None:
    tx.rows(
        """
        update returns set state = :state::text, decided_at = :decided_at::timestamptz, rejection = :rejection::text,
            received_at = :received_at::timestamptz, closed_at = :closed_at::timestamptz, updated_at = :now::timestamptz
        where id = :id::uuid
        """,
        id=goods.id,
        state=goods.state,
        decided_at=goods.decided_at,
        rejection=goods.rejection,
        received_at=goods.received_at,
        closed_at=goods.closed_at,
        now=now,
    )


def _receive(tx: Transaction, goods: Return, actor: str, now: datetime) -> None:
    lines = as_json([fields_of(receipt) for receipt in goods.receipts])
    tx.rows(
        """
        insert into return_receipts (return_id, position, sku, quantity, condition, restock)
        select :id::uuid, c.position, c.line ->> 'sku', (c.line ->> 'quantity')::int, c.line ->> 'condition',
            (c.line ->> 'restock')::boolean
        from jsonb_array_elements(:lines::jsonb) with ordinality as c (line, position)
        """,
        id=goods.id,
        lines=lines,
    )
    tx.rows(
        "select receive_stock_v1(:id::uuid, :lines::jsonb, :actor::text, :reason::text, :now::timestamptz)",
        id=goods.order_id,
        lines=lines,
        actor=actor,
        reason=f"return {goods.id}",
        now=now,
    )


def _tell(tx: Transaction, order: Order, goods: Return, action: Action, actor: str, now: datetime) -> None:
    detail: dict[str, object] = {"return": str(goods.id)}
    if action == "return.requested":
        detail["lines"] = [fields_of(line) for line in goods.lines]
    if action == "return.received":
        detail["lines"] = [fields_of(receipt) for receipt in goods.receipts]
    audit.append(tx, Entry(now, actor, action, f"order:{order.number}", detail))
    frozen = tx.one("select order_json_v2(:id::uuid) as frozen", id=order.id)["frozen"]
    told = {
        "id": str(goods.id),
        "lines": [fields_of(line) for line in goods.lines],
        "receipts": [fields_of(receipt) for receipt in goods.receipts],
        "rejection": goods.rejection,
    }
    tx.emit(Event("orders", action, {"order": frozen, "goods": told}))
