"""The counts of stock in an import: levels and their movements, never below what orders hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.catalog.importing import Refusal
from shared.catalog.products import ImportLine
from shared.persistence.database import Transaction

LOCATION = "main"

_LEVELS = "select sku, on_hand from stock_levels where sku = any(:skus::text[]) and location = :location::text"

# A level of stock and its movements in one statement: one never changes without the other.
_RECEIVE_STOCK = """
with made as (
    insert into stock_levels (sku, location, on_hand)
    select sku, :location::text, on_hand from unnest(:skus::text[], :on_hand::int[]) as w (sku, on_hand)
    order by sku collate "C"
    on conflict do nothing
    returning sku, on_hand
), moved as (
    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor, reason)
    select :now::timestamptz, sku, :location::text, 'receive', on_hand, 0, 'import', :reason::text
    from made where on_hand <> 0 order by sku
)
select sku from made
"""

_LOCK_LEVELS = """
select sku, on_hand, held from stock_levels where sku = any(:skus::text[]) and location = :location::text
order by sku, location for update
"""

_COUNT_STOCK = """
with counted as (
    update stock_levels s set on_hand = w.on_hand
    from unnest(:skus::text[], :on_hand::int[]) as w (sku, on_hand)
    where s.sku = w.sku and s.location = :location::text and s.held <= w.on_hand
    returning s.sku
)
insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor, reason)
select :now::timestamptz, w.sku, :location::text, 'count', w.delta, 0, 'import', :reason::text
from unnest(:skus::text[], :deltas::int[]) as w (sku, delta) join counted using (sku)
order by w.sku collate "C"
"""

_HOLDING_ORDERS = """
select l.sku, array_agg(o.number order by o.number) as numbers
from order_lines l join orders o on o.id = l.order_id
where l.sku = any(:skus::text[]) and l.location = :location::text and l.held + l.allocated > 0
group by l.sku
"""


@dataclass(slots=True)
class Counted:
    """The SKUs whose stock is another now, which of them sold out or came back, and the counts that were refused."""

    changed: set[str] = field(default_factory=set)
    crossed_zero: set[str] = field(default_factory=set)
    refusals: list[Refusal] = field(default_factory=list)


def count_stock(tx: Transaction, lines: Sequence[ImportLine], *, default_on_hand: int | None, reason: str) -> Counted:
    """New SKUs receive what the file has of them, or the default; the others are counted.

    Stock rows are locked in (sku, location) order, and last of all; `reason` stands in every movement.
    """
    result = Counted()
    levels = {
        row["sku"]: row["on_hand"] for row in tx.rows(_LEVELS, skus=[line.sku for line in lines], location=LOCATION)
    }
    wanted: dict[str, int] = {}
    line_of: dict[str, int] = {}
    for line in lines:
        on_hand = line.on_hand
        if on_hand is None and line.sku not in levels:
            on_hand = default_on_hand
        if on_hand is not None and levels.get(line.sku) != on_hand:
            wanted[line.sku], line_of[line.sku] = on_hand, line.line
    new = sorted(wanted.keys() - levels.keys())
    if new:
        made = tx.rows(
            _RECEIVE_STOCK,
            skus=new,
            on_hand=[wanted[sku] for sku in new],
            location=LOCATION,
            now=tx.clock.now(),
            reason=reason,
        )
        result.changed |= {row["sku"] for row in made}
        result.crossed_zero |= {sku for sku in result.changed if wanted[sku] > 0}
    wanted = {sku: on_hand for sku, on_hand in wanted.items() if sku not in result.changed}
    if not wanted:
        return result
    locked = tx.rows(_LOCK_LEVELS, skus=sorted(wanted), location=LOCATION)
    short = {row["sku"]: row["held"] for row in locked if wanted[row["sku"]] < row["held"]}
    counted = [row for row in locked if row["sku"] not in short and row["on_hand"] != wanted[row["sku"]]]
    if counted:
        tx.rows(
            _COUNT_STOCK,
            skus=[row["sku"] for row in counted],
            on_hand=[wanted[row["sku"]] for row in counted],
            deltas=[wanted[row["sku"]] - row["on_hand"] for row in counted],
            location=LOCATION,
            now=tx.clock.now(),
            reason=reason,
        )
        result.changed |= {row["sku"] for row in counted}
        result.crossed_zero |= {
            row["sku"] for row in counted if (row["on_hand"] > row["held"]) != (wanted[row["sku"]] > row["held"])
        }
    if short:
        result.refusals = _refuse_counts(tx, short, wanted, line_of)
    return result


def _refuse_counts(
    tx: Transaction, short: Mapping[str, int], wanted: Mapping[str, int], line_of: Mapping[str, int]
) -> list[Refusal]:
    orders = {
        row["sku"]: ", ".join(row["numbers"][:5])
        for row in tx.rows(_HOLDING_ORDERS, skus=sorted(short), location=LOCATION)
    }
    return [
        Refusal(
            line_of[sku],
            sku,
            f"on_hand {wanted[sku]} is below the {held} that open orders hold ({orders.get(sku, 'unknown')}):"
            " not counted, the rest of the line went in",
        )
        for sku, held in short.items()
    ]
