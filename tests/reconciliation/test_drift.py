"""What is decided about stock that does not add up, without a database."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.inventory.drift import NOTHING, Books, OrderDrift, Units, put_right
from tests.numbers import PROPERTY_EXAMPLES

units = st.builds(Units, st.integers(-20, 20), st.integers(-20, 20))


@st.composite
def books(draw: st.DrawFn) -> Books:
    on_hand = draw(st.integers(0, 20))
    level = Units(on_hand, draw(st.integers(0, on_hand)))
    lacks = draw(st.lists(units.filter(lambda lacks: lacks != NOTHING), max_size=4))
    orders = tuple(OrderDrift(UUID(int=n + 1), f"N{n}", lack) for n, lack in enumerate(lacks))
    return Books("SKU", "main", level, draw(units), draw(st.integers(0, 20)), orders, draw(st.booleans()))


@given(books())
@settings(max_examples=PROPERTY_EXAMPLES * 4)
def test_after_a_repair_level_movements_and_orders_agree_whatever_had_happened(found: Books) -> None:
    repair = put_right(found)

    moved = sum((entry.delta for entry in repair.entries), start=found.moved)
    level = sum((entry.delta for entry in repair.entries if entry.moves_level), start=found.level)
    assert level == moved
    assert 0 <= level.held <= level.on_hand
    assert level.held == found.kept or repair.short
    assert repair.short == (level.on_hand < found.kept)
    for order in found.orders:
        written = [entry.delta for entry in repair.entries if entry.order_id == order.order_id]
        assert sum(written, start=NOTHING) == order.lacks
    assert NOTHING not in [entry.delta for entry in repair.entries]


def test_a_shipment_whose_movement_is_missing_leaves_the_level_alone() -> None:
    order = OrderDrift(UUID(int=7), "N7", Units(-1, -1))

    repair = put_right(Books("SKU", "main", Units(9, 0), Units(10, 1), 0, (order,)))

    assert [(entry.delta, entry.moves_level, entry.order_number) for entry in repair.entries] == [
        (Units(-1, -1), False, "N7")
    ]
    assert repair.orders == ["N7"]


def test_a_log_that_cannot_be_whole_is_completed_by_the_level() -> None:
    repair = put_right(Books("SKU", "main", Units(9, 2), Units(4, 2), 2, (), log_is_whole=False))

    assert [(entry.delta, entry.moves_level) for entry in repair.entries] == [(Units(5, 0), False)]


def test_books_that_agree_need_nothing() -> None:
    found = Books("SKU", "main", Units(9, 2), Units(9, 2), 2)

    assert found.agree
    assert put_right(found).entries == ()
