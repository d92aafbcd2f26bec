"""Stock in SQL: levels, movements, holds, and the staff's own changes, each of them one guarded step."""

from collections.abc import Sequence

from shared.inventory.stock import BelowHeld, Hold, Level, Movement, NothingChanges, UnknownSku, stock_changed
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.persistence.database import Database, Row, Transaction

_LEVEL = """
select v.sku, 'main' as location, coalesce(s.on_hand, 0) as on_hand, coalesce(s.held, 0) as held
from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
"""


# What a PostgreSQL integer holds, and a shop ever will.
MOST_UNITS = 1_000_000_000


class Stock:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get_level(self, sku: str) -> Level:
        """Raises UnknownSku."""
        found = self._database.find(f"{_LEVEL} where v.sku = :sku::text", sku=sku)
        if found is None:
            raise UnknownSku
        return _level(found)

    def list_levels(self, *, after: str, limit: int) -> Sequence[Level]:
        """By SKU (C collation), those behind `after`."""
        rows = self._database.call(
            f"{_LEVEL} where v.sku > :after::text order by v.sku limit :limit::int", after=after, limit=limit
        )
        return [_level(row) for row in rows]

    def list_movements(self, sku: str | None, *, before: int | None, limit: int) -> Sequence[tuple[int, Movement]]:
        """The newest first, each with its place in the log; those before the place `before`."""
        rows = self._database.call(
            """
            select id, at, kind, sku, location, delta_on_hand, delta_held, order_number, actor, reason
            from stock_movements
            where (:sku::text is null or sku = :sku::text) and (:before::bigint is null or id < :before::bigint)
            order by id desc limit :limit::int
            """,
            sku=sku,
            before=before,
            limit=limit,
        )
        return [(row.pop("id"), Movement(**row)) for row in rows]

    def list_holds(self, sku: str | None, *, after: tuple[str, str] | None, limit: int) -> Sequence[Hold]:
        """What orders keep, by SKU and order number; those behind `after`."""
        after_sku, after_number = after or ("", "")
        rows = self._database.call(
            """
            select l.sku, l.location, l.held, l.allocated, o.number as order_number, o.status as order_status
            from order_lines l join orders o on o.id = l.order_id
            where l.held + l.allocated > 0 and (:sku::text is null or l.sku = :sku::text)
                and (l.sku, o.number collate "C") > (:after_sku::text, :after_number::text)
            order by l.sku, o.number collate "C" limit :limit::int
            """,
            sku=sku,
            after_sku=after_sku,
            after_number=after_number,
            limit=limit,
        )
        return [Hold(**row) for row in rows]

    def adjust(
        self, sku: str, delta: int, *, reason: str, actor: str, answering: Answering[Level] | None = None
    ) -> Level:
        """So many units more or fewer, for a reason. Raises UnknownSku, BelowHeld, NothingChanges."""
        if delta == 0:
            raise NothingChanges([Field("/delta", NothingChanges.sentence)])

        def in_one_step(tx: Transaction) -> Level:
            level = self._lock(tx, sku)
            return tx.answer(answering, self._change(tx, level, delta, "adjust", reason, actor))

        return self._database.step(in_one_step)

    def count(
        self, sku: str, counted: int, *, reason: str, actor: str, answering: Answering[Level] | None = None
    ) -> Level:
        """So many units lie there: the difference is a movement, and a count that agrees one of zero.

        Raises UnknownSku, BelowHeld where open orders hold more than was counted.
        """

        def in_one_step(tx: Transaction) -> Level:
            level = self._lock(tx, sku)
            return tx.answer(answering, self._change(tx, level, counted - level.on_hand, "count", reason, actor))

        return self._database.step(in_one_step)

    def _lock(self, tx: Transaction, sku: str) -> Level:
        """The level's row, locked; a SKU that was never stocked gets its row now."""
        # Locked, so that nobody removes the variant as one that was never stocked (shared.persistence.assortment).
        if tx.find("select 1 as known from variants where sku = :sku::text for key share", sku=sku) is None:
            raise UnknownSku
        tx.rows(
            """
            insert into stock_levels (sku, location, on_hand) values (:sku::text, 'main', 0)
            on conflict (sku, location) do nothing
            """,
            sku=sku,
        )
        return _level(
            tx.one(
                """
                select sku, location, on_hand, held from stock_levels
                where sku = :sku::text and location = 'main' for update
                """,
                sku=sku,
            )
        )

    def _change(self, tx: Transaction, level: Level, delta: int, kind: str, reason: str, actor: str) -> Level:
        if level.on_hand + delta > MOST_UNITS:
            raise Invalid([Field("/delta", f"No more than {MOST_UNITS} units of a SKU fit.")])
        if level.on_hand + delta < level.held:
            raise BelowHeld(level.sku, level.held, _orders_holding(tx, level.sku))
        tx.rows(
            """
            update stock_levels set on_hand = on_hand + :delta::int
            where sku = :sku::text and location = :location::text and on_hand + :delta::int >= held
            """,
            sku=level.sku,
            location=level.location,
            delta=delta,
        )
        tx.rows(
            """
            insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor, reason)
            values (:now::timestamptz, :sku::text, :location::text, :kind::text, :delta::int, 0, :actor::text,
                :reason::text)
            """,
            now=self._clock.now(),
            sku=level.sku,
            location=level.location,
            kind=kind,
            delta=delta,
            actor=actor,
            reason=reason,
        )
        changed = Level(level.sku, level.location, level.on_hand + delta, level.held)
        if (changed.available > 0) != (level.available > 0):
            tx.emit(stock_changed([level.sku]))
        return changed


def _orders_holding(tx: Transaction, sku: str) -> list[str]:
    """The first hundred orders that hold units of a SKU."""
    rows = tx.rows(
        """
        select o.number from order_lines l join orders o on o.id = l.order_id
        where l.sku = :sku::text and l.held + l.allocated > 0 order by o.number collate "C" limit 100
        """,
        sku=sku,
    )
    return [row["number"] for row in rows]


def _level(row: Row) -> Level:
    return Level(row["sku"], row["location"], row["on_hand"], row["held"])
