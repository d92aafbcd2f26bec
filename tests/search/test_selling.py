"""What sells becomes popular: units kept, by the day, decayed; and a sale of what sells anyway moves nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from math import inf
from uuid import UUID, uuid4

import pytest

from shared.persistence.database import SqlError
from shared.persistence.search_projection import _STEPS
from shared.persistence.search_sales import _COUNT, SearchSales
from shared.search import selling
from tests.search.test_projection import NOW, Shop
from tools.scratch_database import ScratchServer


class SellingShop(Shop):
    def __init__(self, postgres: ScratchServer) -> None:
        super().__init__(postgres)
        self.sales = SearchSales(self.database)

    def sell(self, sku: str, units: int, *, at: datetime = NOW, state: str = "allocated") -> UUID:
        """An order whose units are all in one state."""
        order_id = uuid4()
        self.run(
            """
            insert into orders (id, number, cart_id, cart_version, status, email, client_network, currency,
                subtotal_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
                prices_include_tax, placed_at, hold_expires_at, updated_at)
            values (cast(:id as uuid), upper(translate(right(:text, 10), 'ilou', '0000')), :text, 1, 'paid',
                'a@example.com', '192.0.2.0', 'USD', :total, 0, 0, :total, '{}', '{}', true, :at, :at, :at)
            """,
            id=order_id,
            text=order_id.hex,
            total=units * 100,
            at=at,
        )
        self.run(
            f"insert into order_lines (order_id, sku, position, name, quantity, unit_price_minor, total_minor,"
            f" tax_minor, tax_class, {state})"
            " values (cast(:id as uuid), :sku, 1, '', :units, 100, :units * 100, 0, 'standard', :units)",
            id=order_id,
            sku=sku,
            units=units,
        )
        return order_id

    def count(self, *, within_s: float = inf) -> int:
        return selling.count_sales(sales=self.sales, projection=self.projection, clock=self.clock, within_s=within_s)

    def sold(self, sku: str) -> float:
        """Units as they count now."""
        rows = self.run(
            "select popularity_v1(0, weight, :now) from search_popularity where sku = :sku",
            now=self.clock.now(),
            sku=sku,
        )
        return round(rows[0][0], 9) if rows else 0.0

    def heats(self) -> dict[str, int]:
        return {row[0]: row[1] for row in self.run("select name, heat from search_products")}


@pytest.fixture
def shop(postgres: ScratchServer) -> Iterator[SellingShop]:
    made = SellingShop(postgres)
    yield made
    made.close()
    postgres.drop(made.address)


def test_what_sells_goes_before_what_does_not(shop: SellingShop) -> None:
    shop.projection.project([shop.add("lamp"), shop.add("torch"), shop.add("bulb", popularity=3)])
    shop.sell("TORCH", 7)

    moved = shop.count()

    places = shop.run("select name from search_products order by place")
    assert (moved, [row[0] for row in places]) == (1, ["torch", "bulb", "lamp"])
    # 4 log2(1 + 7), 4 log2(1 + 3): a step is a quarter of a doubling.
    assert shop.heats() == {"torch": 12, "bulb": 8, "lamp": 0}


def test_only_units_count_that_buyers_paid_for_and_kept(shop: SellingShop) -> None:
    shop.projection.project([shop.add("lamp")])
    for units, state in ((1, "held"), (2, "allocated"), (4, "consumed"), (8, "released"), (16, "expired")):
        shop.sell("LAMP", units, state=state)
    sent = shop.sell("LAMP", 32, state="consumed")
    shop.run("update order_lines set returned = 30 where order_id = cast(:id as uuid)", id=sent)

    shop.count()

    assert shop.sold("LAMP") == 2 + 4 + 2


def test_units_count_half_after_thirty_days_and_nothing_is_written_for_it(shop: SellingShop) -> None:
    shop.projection.project([shop.add("lamp")])
    shop.sell("LAMP", 7)
    shop.sell("LAMP", 16, at=NOW - timedelta(days=60))
    shop.count()
    written = shop.run("select xmin from search_popularity")

    shop.clock.moment += timedelta(days=30)
    later = shop.sold("LAMP")
    shop.count()

    assert (later, shop.sold("LAMP")) == (11 / 2, 11 / 2)
    assert shop.run("select xmin from search_popularity") == written
    # Overnight the rebuild lets it fall: 4 log2(1 + 11) and 4 log2(1 + 5.5).
    assert shop.heats() == {"lamp": 14}
    shop.projection.begin_rebuild(now=shop.clock.now())
    shop.projection.continue_rebuild(100, now=shop.clock.now())
    assert shop.heats() == {"lamp": 11}


def test_a_sale_of_what_sells_anyway_rewrites_no_row(shop: SellingShop) -> None:
    shop.projection.project([shop.add("lamp", popularity=100), shop.add("torch")])
    before = shop.run("select xmin from search_products order by name")

    moved = []
    for units in (1, 6, 10, 90):
        shop.sell("LAMP", units)
        moved.append(shop.count())

    after = shop.run("select xmin from search_products order by name")
    assert moved == [0, 0, 0, 1]
    assert [then == now for then, now in zip(before, after, strict=True)] == [False, True]


def test_counting_again_changes_nothing_and_what_changes_later_is_made_good(shop: SellingShop) -> None:
    shop.projection.project([shop.add("lamp")])
    shop.sell("LAMP", 3)
    order = shop.sell("LAMP", 5)
    first = (shop.count(), shop.sold("LAMP"))
    again = (shop.count(), shop.sold("LAMP"))

    shop.run("update order_lines set allocated = 0, released = 5 where order_id = cast(:id as uuid)", id=order)
    cancelled = (shop.count(), shop.sold("LAMP"))
    shop.run("update order_lines set allocated = 0, released = quantity")
    shop.count()

    assert (first, again, cancelled) == ((1, 8.0), (0, 8.0), (1, 3.0))
    assert (shop.sold("LAMP"), shop.run("select from search_sales")) == (0, [])


def test_a_day_is_counted_for_two_weeks_more_and_once_at_their_end(shop: SellingShop) -> None:
    shop.add("lamp")
    day = NOW.date()
    order = shop.sell("LAMP", 4)
    shop.count()

    def open_days() -> list[date]:
        return shop.sales.list_open_days(
            since=shop.clock.now().date() - timedelta(days=179), until=shop.clock.now().date()
        )

    shop.clock.moment = datetime(2026, 12, 6, 23, 59, tzinfo=UTC)
    shop.count()
    still = open_days()
    shop.clock.moment = datetime(2026, 12, 7, 0, 0, tzinfo=UTC)
    shop.run("update order_lines set returned = 1, consumed = 4, allocated = 0")
    shop.count()
    closed = open_days(), shop.run("select sku from search_sales")
    shop.run("update order_lines set returned = 4 where order_id = cast(:id as uuid)", id=order)
    # Whoever had listed the day before it was closed counts it no second time.
    assert shop.sales.count_day(day, now=shop.clock.now()) == []

    assert (still, closed) == ([day], ([], []))
    assert shop.sold("LAMP") == round(3 / 2 ** (15 / 30), 9)


def test_days_go_by_utc_and_only_half_a_year_is_counted(shop: SellingShop) -> None:
    shop.add("lamp")
    shop.sell("LAMP", 1, at=datetime(2026, 11, 21, 23, 59, 59, 999999, tzinfo=UTC))
    shop.sell("LAMP", 2, at=datetime(2026, 11, 22, 0, 0, tzinfo=UTC))
    shop.sell("LAMP", 4, at=NOW - timedelta(days=179))
    shop.sell("LAMP", 8, at=NOW - timedelta(days=180))

    shop.count()

    assert shop.run("select day, units from search_sales order by day") == [
        [date(2026, 11, 21), 1],
        [date(2026, 11, 22), 2],
    ]
    assert shop.sold("LAMP") == round(1 / 2 ** (1 / 30) + 2 + 4 / 2 ** (179 / 30), 9)


def test_a_run_that_has_no_time_left_is_gone_on_with(shop: SellingShop) -> None:
    shop.add("lamp")
    for days in (0, 1, 2):
        shop.sell("LAMP", 1, at=NOW - timedelta(days=days))

    moments = iter((0.0, 0.0, 0.5, 2.0))
    selling.count_sales(
        sales=shop.sales, projection=shop.projection, clock=shop.clock, within_s=1, ticks=lambda: next(moments)
    )
    first = shop.run("select day from search_sales_days order by day desc")
    shop.clock.moment += timedelta(hours=1)
    left = shop.sales.list_open_days(since=NOW.date() - timedelta(days=179), until=NOW.date())

    assert first == [[date(2026, 11, 22)], [date(2026, 11, 21)]]
    assert left == [date(2026, 11, 20), date(2026, 11, 22), date(2026, 11, 21)]


def test_a_variant_takes_what_it_has_sold_to_its_new_product(shop: SellingShop) -> None:
    lamp, torch = shop.add("lamp"), shop.add("torch")
    shop.projection.project([lamp, torch])
    shop.sell("TORCH", 7)
    shop.count()

    shop.run("update variants set product_id = cast(:lamp as uuid), position = 1 where sku = 'TORCH'", lamp=lamp)
    shop.run("update products set updated_at = :now", now=NOW + timedelta(seconds=1))
    shop.projection.project([lamp, torch])

    assert shop.heats() == {"lamp": 12, "torch": 0}


def test_two_counts_at_once_take_turns(shop: SellingShop) -> None:
    shop.add("lamp")
    shop.sell("LAMP", 5)
    day = NOW.date()
    first = shop.address.connect()
    first.run("begin")
    first.run("insert into search_sales_days (day, counted_at) values (:day, :now)", day=day, now=NOW)
    first.run("insert into search_sales values (:day, 'LAMP', 5)", day=day)
    first.run("insert into search_popularity values ('LAMP', 5 * sales_weight_v1(:day))", day=day)

    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(shop.sales.count_day, day, now=NOW)
        shop.await_waiting()
        first.run("commit")
        assert second.result() == []
    first.close()

    assert shop.sold("LAMP") == 5


def test_tiers_are_cut_by_what_sells(shop: SellingShop) -> None:
    shop.add("lamp")
    shop.add("torch", popularity=1)
    shop.sell("LAMP", 7)
    shop.count()

    assert [(row["heat"], row["products"]) for row in shop.database.call(_STEPS, now=NOW)] == [(12, 1), (4, 1)]


def test_a_day_is_read_by_when_its_orders_were_placed(shop: SellingShop) -> None:
    plan = shop.run(
        "explain "
        + _COUNT.replace(":day::date", "'2026-11-22'")
        .replace(":begins::timestamptz", "'2026-11-22T00:00Z'")
        .replace(":ends::timestamptz", "'2026-11-23T00:00Z'")
    )

    assert "orders_placed" in str(plan)


def test_who_counts_sales_sees_no_buyer(shop: SellingShop) -> None:
    shop.sell("LAMP", 1)

    with pytest.raises(SqlError) as refused:
        shop.database.call("select email from orders")

    assert refused.value.state == "42501"
