"""Stock that was tampered with is found, named and put right by movements; a second run finds nothing."""

import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest

from shared.inventory.drift import Units
from shared.kernel.errors import Unavailable
from shared.orders.findings import Finding, Run
from shared.persistence.stock_drift import StockDrift
from tests.orders.shop import at_once
from tests.reconciliation.kit import ReconciledShop

STOCK_DRIFT = "stock_drift"


def _again(shop: ReconciledShop) -> list[tuple[str, str, str]]:
    return shop.reconcile()


def test_a_shop_in_order_has_an_empty_report(shop: ReconciledShop) -> None:
    """S16, S7: two orders at once, held is two, and reconciliation has nothing to say."""
    lamp, cup = shop.make_stock("LAMP", 5), shop.make_stock("CUP", 0)
    orders, refusals = at_once([lambda: shop.order({lamp: 1}), lambda: shop.paid_order({lamp: 1})])
    assert (len(orders), refusals) == (2, [])
    shop.clock.advance(minutes=6)

    assert shop.reconcile("fresh") == []
    assert shop.reconcile("full") == []
    assert shop.books(lamp) == (Units(5, 2), Units(5, 2), 2)
    assert shop.books(cup) == (Units(0, 0), Units(0, 0), 0)
    assert shop.repairs(lamp) == []


@pytest.mark.parametrize(("on_hand", "held"), [(7, 2), (3, 2), (5, 4), (5, 0), (9, 1)])
def test_a_level_that_was_tampered_with_goes_back_to_what_movements_and_orders_say(
    shop: ReconciledShop, on_hand: int, held: int
) -> None:
    """S16."""
    lamp = shop.make_stock("LAMP", 5)
    shop.paid_order({lamp: 2})
    shop.database.call(
        "update stock_levels set on_hand = :on_hand::int, held = :held::int where sku = :sku::text",
        on_hand=on_hand,
        held=held,
        sku=lamp,
    )

    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert shop.books(lamp) == (Units(5, 2), Units(5, 2), 2)
    assert shop.repairs(lamp) == [
        (on_hand - 5, held - 2, None, "changed without a movement"),
        (5 - on_hand, 2 - held, None, "put back to what movements and orders say"),
    ]
    assert shop.detail(STOCK_DRIFT)["level"] == {"on_hand": on_hand, "held": held}
    assert _again(shop) == []


@pytest.mark.parametrize("kind", ["hold", "receive"])
def test_a_movement_that_is_missing_is_written_again_and_the_level_stays(shop: ReconciledShop, kind: str) -> None:
    lamp = shop.make_stock("LAMP", 5)
    order = shop.paid_order({lamp: 2})
    shop.database.call("delete from stock_movements where sku = :sku::text and kind = :kind::text", sku=lamp, kind=kind)

    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert shop.books(lamp) == (Units(5, 2), Units(5, 2), 2)
    if kind == "hold":
        assert shop.repairs(lamp) == [(0, 2, order.number, "its movement is missing")]
        assert shop.detail(STOCK_DRIFT)["orders"] == [order.number]
    else:
        assert shop.repairs(lamp) == [(5, 0, None, "changed without a movement")]
    assert _again(shop) == []


def test_units_held_for_an_order_that_is_not_there_are_free_again(shop: ReconciledShop) -> None:
    """S16: a hold without its order."""
    lamp = shop.make_stock("LAMP", 5)
    shop.order({lamp: 1})
    shop.database.call("update stock_levels set held = held + 3 where sku = :sku::text", sku=lamp)
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor)
        values (:at::timestamptz, :sku::text, 'main', 'hold', 0, 3, :id::uuid, 'NOSUCHORDR', 'test')
        """,
        at=shop.clock.now(),
        sku=lamp,
        id=uuid4(),
    )

    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert shop.books(lamp) == (Units(5, 1), Units(5, 1), 1)
    assert shop.repairs(lamp) == [(0, -3, "NOSUCHORDR", "held for an order that does not keep it")]
    assert _again(shop) == []


def test_a_level_that_was_deleted_comes_back(shop: ReconciledShop) -> None:
    lamp = shop.make_stock("LAMP", 5)
    shop.paid_order({lamp: 2})
    shop.database.call("delete from stock_levels where sku = :sku::text", sku=lamp)

    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert shop.books(lamp) == (Units(5, 2), Units(5, 2), 2)
    assert _again(shop) == []


def test_more_kept_than_there_is_stays_open_until_somebody_has_counted(shop: ReconciledShop) -> None:
    """Nothing is made up: orders that keep more than lies there are for a person."""
    lamp = shop.make_stock("LAMP", 2)
    order = shop.paid_order({lamp: 2})
    shop.database.call("delete from stock_movements where sku = :sku::text", sku=lamp)
    shop.database.call("update stock_levels set on_hand = 1, held = 1 where sku = :sku::text", sku=lamp)

    first = shop.reconcile()
    second = shop.reconcile()

    assert first == [("stock_short", f"{lamp}/main", "open")]
    assert second == first
    assert shop.books(lamp) == (Units(1, 1), Units(1, 1), 2)
    # Somebody finds the other one.
    shop.database.call("update stock_levels set on_hand = 2 where sku = :sku::text", sku=lamp)
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
        values (:at::timestamptz, :sku::text, 'main', 'count', 1, 0, 'test')
        """,
        at=shop.clock.now(),
        sku=lamp,
    )
    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert shop.found() == [(STOCK_DRIFT, f"{lamp}/main", "repaired"), ("stock_short", f"{lamp}/main", "repaired")]
    assert shop.books(lamp) == (Units(2, 2), Units(2, 2), 2)
    assert shop.orders.get(order.id).status == "paid"


def test_what_a_running_transaction_explains_is_not_repaired(shop: ReconciledShop) -> None:
    """The list has seen drift; by the time the level is ours, somebody has put it right: nothing is written."""
    lamp = shop.make_stock("LAMP", 5)
    holding, go = threading.Event(), threading.Event()

    def put_right_by_hand() -> None:
        def step(tx: object) -> None:
            tx.rows("update stock_levels set on_hand = 5 where sku = :sku::text", sku=lamp)  # type: ignore[attr-defined]
            holding.set()
            assert go.wait(10)

        shop.database.step(step)

    shop.database.call("update stock_levels set on_hand = 6 where sku = :sku::text", sku=lamp)
    hand = threading.Thread(target=put_right_by_hand)
    hand.start()
    assert holding.wait(10)
    drifted, _last = shop.tools.shelves.list_drifted(after="", limit=100)
    threading.Timer(0.3, go.set).start()
    shop.begin()
    run = shop.tools.runs.take_turn("full", at=shop.clock.now())
    assert run is not None

    finding = shop.tools.shelves.put_right(lamp, "main", run=run)
    hand.join()

    assert drifted == [(lamp, "main")]
    assert finding is None
    assert shop.repairs(lamp) == []
    assert shop.found() == []


class _Meeting:
    """A clock at which two meet who are both about to write; one that comes alone waits a moment for the other."""

    def __init__(self, shop: ReconciledShop) -> None:
        self._shop = shop
        self._place = threading.Barrier(2)

    def now(self) -> datetime:
        with suppress(threading.BrokenBarrierError):
            self._place.wait(0.5)
        return self._shop.clock.now()


def test_two_runs_put_a_level_right_once(shop: ReconciledShop) -> None:
    """A night's run and one of every few minutes see the same drift; the second waits for the lock and looks again."""
    lamp = shop.make_stock("LAMP", 5)
    shop.database.call("update stock_levels set on_hand = 6 where sku = :sku::text", sku=lamp)
    shelves = StockDrift(shop.database, _Meeting(shop))
    shop.begin()
    run = shop.tools.runs.take_turn("full", at=shop.clock.now())
    assert run is not None

    found, refusals = at_once([lambda: shelves.put_right(lamp, "main", run=run)] * 2)

    assert refusals == []
    assert sorted(finding is None for finding in found) == [False, True]
    assert shop.books(lamp) == (Units(5, 0), Units(5, 0), 0)
    assert len(shop.repairs(lamp)) == 2


def test_a_thousand_skus_are_looked_at_in_batches_and_every_fault_is_found(shop: ReconciledShop) -> None:
    shop.database.call(
        """
        insert into stock_levels (sku, location, on_hand)
        select 'S' || lpad(n::text, 5, '0'), 'main', 1 from generate_series(1, 1000) n
        """
    )
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
        select :at::timestamptz, sku, location, 'receive', 1, 0, 'test' from stock_levels
        """,
        at=shop.clock.now(),
    )
    faulty = ["S00001", "S00200", "S00201", "S01000"]
    shop.database.call("update stock_levels set on_hand = 2 where sku = any (:skus::text[])", skus=faulty)
    # Movements of a SKU that has no level, behind the last one that has.
    shop.database.call(
        """
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
        values (:at::timestamptz, 'T1', 'main', 'receive', 4, 0, 'test')
        """,
        at=shop.clock.now(),
    )

    found = shop.reconcile()

    assert found == [(STOCK_DRIFT, f"{sku}/main", "repaired") for sku in [*faulty, "T1"]]
    assert shop.level("T1") == (4, 0)
    assert shop.reconcile() == []


def test_the_log_of_movements_is_summed_at_night_and_not_every_few_minutes(shop: ReconciledShop) -> None:
    """It only grows: whoever summed it every five minutes would do little else."""
    lamp = shop.make_stock("LAMP", 5)
    shop.database.call("update stock_levels set on_hand = 6 where sku = :sku::text", sku=lamp)

    assert shop.reconcile("fresh") == []
    assert shop.books(lamp) == (Units(6, 0), Units(5, 0), 0)
    assert shop.reconcile("full") == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]


class _TooSlow(StockDrift):
    """The statement is stopped for its time where SKUs that are too much for it are among those it sums."""

    def __init__(self, shop: ReconciledShop, *skus: str, at_most: int = 200) -> None:
        super().__init__(shop.database, shop.clock)
        self.skus = skus
        self.at_most = at_most
        self.asked: list[int] = []

    def list_drifted(self, *, after: str, limit: int) -> tuple[Sequence[tuple[str, str]], str | None]:
        self.asked.append(limit)
        drifted, last = super().list_drifted(after=after, limit=limit)
        if limit > self.at_most or any(after < sku and (last is None or sku <= last) for sku in self.skus):
            raise Unavailable
        return drifted, last


def _four_of_which_two_drifted(shop: ReconciledShop) -> list[str]:
    skus = [shop.make_stock(f"SKU{n}", 5) for n in range(4)]
    drifted = [skus[0], skus[3]]
    shop.database.call("update stock_levels set on_hand = 6 where sku = any (:skus::text[])", skus=drifted)
    return skus


def test_what_is_too_much_for_one_statement_is_summed_in_several(shop: ReconciledShop) -> None:
    skus = _four_of_which_two_drifted(shop)
    slow = _TooSlow(shop, at_most=3)
    shop.tools = replace(shop.tools, shelves=slow)

    assert shop.reconcile() == [(STOCK_DRIFT, f"{sku}/main", "repaired") for sku in (skus[0], skus[3])]
    assert slow.asked == [200, 25, 3, 24, 3]


def test_a_sku_that_takes_too_long_to_sum_is_named_and_keeps_nothing_else_from_its_turn(shop: ReconciledShop) -> None:
    """Least of all the money: the steps behind this one are reached."""
    skus = _four_of_which_two_drifted(shop)
    order = shop.order({skus[2]: 1})
    capture = shop.paypal.make_capture(order.paypal_order_id)
    shop.clock.advance(minutes=6)
    shop.tools = replace(shop.tools, shelves=_TooSlow(shop, skus[1]))

    assert shop.reconcile() == [
        ("fact_missed", capture.id, "repaired"),
        (STOCK_DRIFT, f"{skus[0]}/main", "repaired"),
        (STOCK_DRIFT, f"{skus[3]}/main", "repaired"),
        ("unreachable", skus[1], "open"),
    ]
    assert shop.status(order) == ("paid", None)


def test_while_the_database_is_away_the_run_waits_and_skips_nothing(shop: ReconciledShop) -> None:
    skus = _four_of_which_two_drifted(shop)
    slow = _TooSlow(shop, *skus)
    whole, shop.tools = shop.tools, replace(shop.tools, shelves=slow)

    def away(*, after: str) -> str | None:
        raise Unavailable(retry_after_s=5)

    slow.find_next_sku = away  # type: ignore[method-assign]
    shop.begin()
    assert not shop.go_on()
    assert shop.found() == [("unreachable", "database", "open")]
    shop.tools = whole
    shop.clock.advance(minutes=2)
    assert shop.go_on()

    assert shop.found() == [
        *((STOCK_DRIFT, f"{sku}/main", "repaired") for sku in (skus[0], skus[3])),
        ("unreachable", "database", "repaired"),
    ]


def test_the_sku_to_skip_is_the_one_that_a_batch_of_one_looks_at(shop: ReconciledShop) -> None:
    lamp, cup = shop.make_stock("LAMP", 5), shop.make_stock("CUP", 5)
    shop.paid_order({lamp: 2})
    shop.database.call("delete from stock_levels where sku = :sku::text", sku=lamp)
    shelves = shop.tools.shelves

    named, after = [], ""
    while (sku := shelves.find_next_sku(after=after)) is not None:
        assert shelves.list_drifted(after=after, limit=1)[1] == sku
        named.append(sku)
        after = sku
    assert named == sorted([cup, lamp])
    assert shelves.list_drifted(after=after, limit=1) == ([], None)
    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]


def test_shortage_of_a_sku_that_could_not_be_looked_at_stays_open(shop: ReconciledShop) -> None:
    """Neither a level that is busy nor a log that is too long says that anything was put right."""
    lamp = shop.make_stock("LAMP", 2)
    shop.paid_order({lamp: 2})
    shop.database.call("delete from stock_movements where sku = :sku::text", sku=lamp)
    shop.database.call("update stock_levels set on_hand = 1, held = 1 where sku = :sku::text", sku=lamp)
    whole, short = shop.tools, ("stock_short", f"{lamp}/main", "open")
    assert shop.reconcile() == [short]
    shop.clock.advance(days=1)

    def busy(sku: str, location: str, *, run: Run) -> Finding | None:
        raise Unavailable

    shop.tools = replace(whole, shelves=StockDrift(shop.database, shop.clock))
    shop.tools.shelves.put_right = busy  # type: ignore[method-assign]
    assert shop.reconcile() == [short]
    shop.clock.advance(days=1)
    shop.tools = replace(whole, shelves=_TooSlow(shop, lamp))
    assert shop.reconcile() == [short, ("unreachable", lamp, "open")]
    shop.clock.advance(days=1)
    shop.tools = whole
    assert shop.reconcile() == [short]
    # Somebody finds the other one.
    shop.database.call("update stock_levels set on_hand = 2 where sku = :sku::text", sku=lamp)
    assert shop.reconcile() == [(STOCK_DRIFT, f"{lamp}/main", "repaired")]
    assert (*short[:2], "repaired") in shop.found()
