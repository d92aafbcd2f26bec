"""Stock that does not add up, in SQL: found in batches of SKUs, put right one SKU at a time under its level's lock."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from shared.inventory.drift import Books, OrderDrift, Repair, Units, put_right
from shared.kernel.clock import Clock
from shared.orders.findings import Finding, Run
from shared.persistence.database import Database, Row, Transaction
from shared.persistence.reconciliation import report

# One statement sees one moment: what it finds is no half of somebody's step. A SKU may have movements or lines and no
# level, so each of the three gives keys; the batch ends where its SKUs end.
_LIST_DRIFTED = """
with batch as materialized (
    select max(sku) as last, count(*) as size from (
        select sku from (
            (select distinct sku from stock_levels where sku > :after::text order by sku limit :limit::int)
            union
            (select distinct sku from order_lines where held + allocated > 0 and sku > :after::text
                order by sku limit :limit::int)
        ) keys order by sku limit :limit::int
    ) first_keys
), bounds as materialized (
    -- The last batch has no end: what sorts behind every SKU stands for it.
    select case when size < :limit::int then chr(1114111) else last end as high from batch
), levels as (
    select sku, location, on_hand, held from stock_levels
    where sku > :after::text and sku <= (select high from bounds)
), moved as (
    select sku, location, sum(delta_on_hand)::bigint as on_hand, sum(delta_held)::bigint as held from stock_movements
    where sku > :after::text and sku <= (select high from bounds) group by sku, location
), kept as (
    select sku, location, sum(held + allocated)::bigint as units from order_lines
    where held + allocated > 0 and sku > :after::text and sku <= (select high from bounds) group by sku, location
)
select (select case when size < :limit::int then null else last end from batch) as last,
    coalesce(jsonb_agg(jsonb_build_array(sku, location) order by sku, location) filter (where sku is not null), '[]')
        as drifted
from (
    select sku, location from levels full join moved using (sku, location) full join kept using (sku, location)
    where coalesce(levels.on_hand, 0) <> coalesce(moved.on_hand, 0)
        or coalesce(levels.held, 0) <> coalesce(moved.held, 0)
        or coalesce(levels.held, 0) <> coalesce(kept.units, 0)
) d
"""

_NEXT_SKU = """
select min(sku) as sku from (
    (select sku from stock_levels where sku > :after::text order by sku limit 1)
    union all
    (select sku from order_lines where held + allocated > 0 and sku > :after::text order by sku limit 1)
) keys
"""

_LOCK = """
select on_hand, held from stock_levels where sku = :sku::text and location = :location::text for update
"""

_BOOKS = """
select s.on_hand, s.held, coalesce(m.on_hand, 0) as moved_on_hand, coalesce(m.held, 0) as moved_held,
    coalesce(m.is_whole, s.on_hand = 0) as log_is_whole,
    (select coalesce(sum(l.held + l.allocated), 0)::int from order_lines l
     where l.sku = s.sku and l.location = s.location and l.held + l.allocated > 0) as kept
from stock_levels s left join lateral (
    select sum(delta_on_hand)::int as on_hand, sum(delta_held)::int as held,
        bool_and(so_far_on_hand >= so_far_held and so_far_held >= 0) as is_whole
    from (
        select delta_on_hand, delta_held, sum(delta_on_hand) over w as so_far_on_hand,
            sum(delta_held) over w as so_far_held
        from stock_movements where sku = s.sku and location = s.location
        window w as (order by id)
    ) log having count(*) > 0
) m on true
where s.sku = :sku::text and s.location = :location::text
"""

# On hand, an order's movements are its shipments: whether goods that came back were restocked is a choice, not a count.
_ORDERS = """
select coalesce(l.order_id, m.order_id) as order_id, coalesce(o.number, m.order_number) as number,
    (-coalesce(l.consumed, 0) - coalesce(m.shipped, 0))::int as lacks_on_hand,
    (coalesce(l.kept, 0) - coalesce(m.held, 0))::int as lacks_held
from (
    select order_id, consumed, held + allocated as kept from order_lines
    where sku = :sku::text and location = :location::text
) l full join (
    select order_id, max(order_number) as order_number, sum(delta_held) as held,
        coalesce(sum(delta_on_hand) filter (where kind in ('ship', 'repair')), 0) as shipped
    from stock_movements
    where sku = :sku::text and location = :location::text and order_id is not null group by order_id
) m on m.order_id = l.order_id
left join orders o on o.id = coalesce(l.order_id, m.order_id)
where coalesce(l.kept, 0) <> coalesce(m.held, 0) or -coalesce(l.consumed, 0) <> coalesce(m.shipped, 0)
order by number collate "C" limit 100
"""

_MOVE = """
insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
values (:at::timestamptz, :sku::text, :location::text, 'repair', :on_hand::int, :held::int, :order_id::uuid,
    :order_number::text, 'shop', :reason::text)
"""


class StockDrift:
    """Provides orders.reconciliation.Shelves."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def list_drifted(self, *, after: str, limit: int) -> tuple[Sequence[tuple[str, str]], str | None]:
        row = self._database.call(_LIST_DRIFTED, after=after, limit=limit)[0]
        return [(sku, location) for sku, location in row["drifted"]], row["last"]

    def find_next_sku(self, *, after: str) -> str | None:
        sku: str | None = self._database.call(_NEXT_SKU, after=after)[0]["sku"]
        return sku

    def put_right(self, sku: str, location: str, *, run: Run) -> Finding | None:
        """Nothing else is locked with the level, and whoever changes it waits for us and then sees what we wrote.

        Raises Unavailable where the level is busy.
        """

        def in_one_step(tx: Transaction) -> Finding | None:
            tx.rows(
                """
                insert into stock_levels (sku, location, on_hand) values (:sku::text, :location::text, 0)
                on conflict (sku, location) do nothing
                """,
                sku=sku,
                location=location,
            )
            tx.rows(_LOCK, sku=sku, location=location)
            # A statement of its own: it sees what was committed while we waited for the lock.
            books = _books(sku, location, tx.one(_BOOKS, sku=sku, location=location), tx)
            if books.agree:
                return None
            repair = put_right(books)
            for entry in repair.entries:
                _write(tx, books, entry.delta, entry.reason, entry.order_id, entry.order_number, self._clock)
            moved = sum((entry.delta for entry in repair.entries if entry.moves_level), start=Units())
            if moved != Units():
                tx.rows(
                    """
                    update stock_levels set on_hand = on_hand + :on_hand::int, held = held + :held::int
                    where sku = :sku::text and location = :location::text
                    """,
                    sku=sku,
                    location=location,
                    on_hand=moved.on_hand,
                    held=moved.held,
                )
            finding = _finding(books, repair)
            at = self._clock.now()
            if repair.short:
                report(tx, run, finding, at=at, state="open", reason="")
            else:
                report(tx, run, finding, at=at, state="repaired", reason="by movements of the kind repair")
            return finding

        return self._database.step(in_one_step)


def _books(sku: str, location: str, row: Row, tx: Transaction) -> Books:
    level, moved = Units(row["on_hand"], row["held"]), Units(row["moved_on_hand"], row["moved_held"])
    books = Books(sku, location, level, moved, row["kept"], (), row["log_is_whole"])
    if books.agree:
        return books
    orders = tuple(
        OrderDrift(order["order_id"], order["number"], Units(order["lacks_on_hand"], order["lacks_held"]))
        for order in tx.rows(_ORDERS, sku=sku, location=location)
    )
    return Books(sku, location, level, moved, row["kept"], orders, row["log_is_whole"])


def _write(
    tx: Transaction,
    books: Books,
    delta: Units,
    reason: str,
    order_id: UUID | None,
    order_number: str | None,
    clock: Clock,
) -> None:
    tx.rows(
        _MOVE,
        at=clock.now(),
        sku=books.sku,
        location=books.location,
        on_hand=delta.on_hand,
        held=delta.held,
        order_id=order_id,
        order_number=order_number,
        reason=reason,
    )


def _finding(books: Books, repair: Repair) -> Finding:
    detail: dict[str, Any] = {
        "level": asdict(books.level),
        "movements": asdict(books.moved),
        "orders_keep": books.kept,
        "orders": repair.orders,
        "repairs": [
            {**asdict(entry.delta), "reason": entry.reason, "order": entry.order_number} for entry in repair.entries
        ],
    }
    subject = f"{books.sku}/{books.location}"
    return Finding("stock_short" if repair.short else "stock_drift", subject, detail)
