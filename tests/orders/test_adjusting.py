"""Stock that staff adjust, at the same moment and beside buyers."""

from functools import partial

from shared.inventory.stock import BelowHeld, Level
from shared.persistence.stock import Stock
from tests.orders.shop import Shop, at_once


def adjust(stock: Stock, sku: str, delta: int) -> Level:
    return stock.adjust(sku, delta, reason="counted again", actor="staff:1")


def sums(shop: Shop, sku: str) -> tuple[int, int, int]:
    """Of the SKU's movements: what they make of stock and of holds, and how many they are."""
    row = shop.database.call(
        """
        select sum(delta_on_hand)::int as on_hand, sum(delta_held)::int as held, count(*)::int as moved
        from stock_movements where sku = :sku::text
        """,
        sku=sku,
    )[0]
    return row["on_hand"], row["held"], row["moved"]


def test_a_hundred_adjustments_at_once_lose_none(shop: Shop) -> None:
    """S3."""
    lamp, stock = shop.make_stock("LAMP", 50), Stock(shop.database, shop.clock)
    deltas = [1, -1] * 50

    done, refused = at_once([partial(adjust, stock, lamp, delta) for delta in deltas])

    assert (len(done), refused) == (100, [])
    assert shop.level(lamp) == (50, 0)
    assert sums(shop, lamp) == (50, 0, 101)


def test_adjustments_at_once_never_take_what_is_held_or_not_there(shop: Shop) -> None:
    """S3: whoever would go below is refused, and leaves no movement."""
    lamp, stock = shop.make_stock("LAMP", 20), Stock(shop.database, shop.clock)
    shop.order({lamp: 5})

    done, refused = at_once([partial(adjust, stock, lamp, -1) for _ in range(100)])

    assert len(done) == 15
    assert [type(error) for error in refused] == [BelowHeld] * 85
    assert shop.level(lamp) == (5, 5)
    assert sums(shop, lamp) == (5, 5, 17)
