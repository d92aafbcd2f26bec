"""What search reads follows the catalogue: whatever the order of events, whatever was lost."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pg8000.native import to_statement

from functions.inventory import cli
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search_projection import MISSED_PRODUCTS, SearchProjection, tiers_of
from shared.persistence.stock import Stock
from shared.search import projecting
from shared.search.projecting import ProductsChanged
from shared.settings import DatabaseSettings
from tests.numbers import PROPERTY_EXAMPLES
from tools.scratch_database import ScratchServer

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class StandingClock:
    def __init__(self) -> None:
        self.moment = NOW

    def now(self) -> datetime:
        return self.moment


class Shop:
    """A catalogue of its own, changed behind the projection's back, and what the projection says of it."""

    def __init__(self, postgres: ScratchServer) -> None:
        self.address = postgres.copy()
        self.clock = StandingClock()
        self.sql = self.address.connect()
        login = postgres.login(self.address, "search_jobs")
        self.database = Database(
            connector(DatabaseSettings("url", 2, login.url), application="test"), size=2, clock=self.clock
        )
        self.projection = SearchProjection(self.database)

    def run(self, sql: str, **parameters: Any) -> list[list[Any]]:
        rows: list[list[Any]] = self.sql.run(sql, **parameters)
        return rows

    def add(self, name: str, *, on_hand: int = 1, popularity: int = 0, price_minor: int = 1000) -> UUID:
        """A product of one variant whose SKU is its name in capitals."""
        product_id = uuid4()
        self.run(
            """
            insert into products (id, slug, group_key, name, popularity, price_minor, currency, published_at,
                created_at, updated_at, words, search_text)
            values (cast(:id as uuid), :slug, :slug, :name, :popularity, :price_minor, 'USD', :now, :now, :now,
                product_words_v1(:name, '', '', ''), fold_v1(:name))
            """,
            id=product_id,
            slug=name,
            name=name,
            popularity=popularity,
            price_minor=price_minor,
            now=self.clock.now(),
        )
        self.run(
            "insert into variants (sku, product_id, price_minor, currency, updated_at)"
            " values (:sku, cast(:id as uuid), :price_minor, 'USD', :now)",
            sku=name.upper(),
            id=product_id,
            price_minor=price_minor,
            now=self.clock.now(),
        )
        self.run("insert into stock_levels values (:sku, 'main', :on_hand, 0)", sku=name.upper(), on_hand=on_hand)
        return product_id

    def rename(self, product_id: UUID, name: str) -> None:
        self.clock.moment += timedelta(seconds=1)
        self.run(
            "update products set name = :name, words = product_words_v1(:name, '', '', ''),"
            " search_text = fold_v1(:name), updated_at = :now where id = cast(:id as uuid)",
            name=name,
            now=self.clock.now(),
            id=product_id,
        )

    def price(self, product_id: UUID, price_minor: int) -> None:
        self.clock.moment += timedelta(seconds=1)
        self.run(
            "update variants set price_minor = :price_minor where product_id = cast(:id as uuid)",
            price_minor=price_minor,
            id=product_id,
        )
        self.run(
            "update products set price_minor = :price_minor, updated_at = :now where id = cast(:id as uuid)",
            price_minor=price_minor,
            now=self.clock.now(),
            id=product_id,
        )

    def stock(self, sku: str, on_hand: int) -> None:
        """As every change of stock: with its movement."""
        self.run("update stock_levels set on_hand = :on_hand where sku = :sku", on_hand=on_hand, sku=sku)
        self.run(
            "insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)"
            " values (:now, :sku, 'main', 'count', 0, 0, 'test')",
            now=self.clock.now(),
            sku=sku,
        )

    def unpublish(self, product_id: UUID) -> None:
        self.clock.moment += timedelta(seconds=1)
        self.run(
            "update products set published_at = null, updated_at = :now where id = cast(:id as uuid)",
            now=self.clock.now(),
            id=product_id,
        )

    def schedule(self, product_id: UUID, published_at: datetime) -> None:
        self.clock.moment += timedelta(seconds=1)
        self.run(
            "update products set published_at = :published_at, updated_at = :now where id = cast(:id as uuid)",
            published_at=published_at,
            now=self.clock.now(),
            id=product_id,
        )

    def sweep(self) -> int:
        return projecting.sweep(projection=self.projection, clock=self.clock, within_s=10)

    def delete(self, product_id: UUID) -> None:
        self.run("delete from products where id = cast(:id as uuid)", id=product_id)

    def listed(self, among: Sequence[UUID] | None = None) -> dict[str, tuple[bool, int]]:
        """What is on lists, or what of some products: name, whether it is in stock, its price."""
        rows = self.run(
            "select name, in_stock, offer_minor from search_products where tier <= 4"
            " and (cast(:among as uuid[]) is null or product_id = any(cast(:among as uuid[])))",
            among=among,
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def truth(self, among: Sequence[UUID] | None = None) -> dict[str, tuple[bool, int]]:
        rows = self.run(
            "select p.name, coalesce(bool_or(s.on_hand > s.held), false), min(v.price_minor) from products p"
            " join variants v on v.product_id = p.id left join stock_levels s on s.sku = v.sku"
            " where p.published_at <= :now"
            " and (cast(:among as uuid[]) is null or p.id = any(cast(:among as uuid[]))) group by p.id",
            among=among,
            now=self.clock.now(),
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def await_waiting(self) -> None:
        """Until somebody waits for a lock of another."""
        deadline = time.monotonic() + 10
        while not self.run("select from pg_locks where not granted"):
            assert time.monotonic() < deadline

    def close(self) -> None:
        self.database.close()
        self.sql.close()


@pytest.fixture
def shop(postgres: ScratchServer) -> Iterator[Shop]:
    made = Shop(postgres)
    yield made
    made.close()
    postgres.drop(made.address)


def test_a_product_is_copied_once_and_again_only_when_it_differs(shop: Shop) -> None:
    lamp, torch = shop.add("lamp"), shop.add("torch", on_hand=0)

    assert shop.projection.project([lamp, torch, lamp]) == 2
    assert shop.projection.project([torch, lamp]) == 0
    assert shop.listed() == {"lamp": (True, 1000), "torch": (False, 1000)}


def test_an_event_of_what_was_never_there_leaves_nothing_on_a_list(shop: Shop) -> None:
    assert shop.projection.project([uuid4()]) == 0

    assert shop.listed() == {}


def test_a_late_reader_reads_after_the_one_before_it(shop: Shop, postgres: ScratchServer) -> None:
    """A projector that waited for another one sees what changed while it waited: it read after it had the row."""
    lamp = shop.add("lamp")
    first = shop.address.connect()
    first.run("begin")
    first.run("select project_products_v4(array[cast(:id as uuid)], false, :now)", id=lamp, now=NOW)
    late = threading.Thread(target=lambda: shop.projection.project([lamp]))
    late.start()
    shop.await_waiting()
    shop.rename(lamp, "brass lamp")
    first.run("commit")
    late.join()
    first.close()

    assert list(shop.listed()) == ["brass lamp"]


def test_a_reader_of_before_does_not_bring_back_what_is_gone(shop: Shop) -> None:
    """The first copy of a product is under way when the product goes: its event waits for that copy."""
    lamp = shop.add("lamp")
    first = shop.address.connect()
    first.run("begin")
    first.run("select project_products_v4(array[cast(:id as uuid)], false, :now)", id=lamp, now=NOW)
    shop.delete(lamp)
    gone = threading.Thread(target=lambda: shop.projection.project([lamp]))
    gone.start()
    shop.await_waiting()
    first.run("commit")
    gone.join()
    first.close()

    assert shop.listed() == {}


def test_a_copy_knows_what_its_product_goes_with_and_no_list_of_words_does(shop: Shop) -> None:
    product_id = shop.add("notebook sleeve")

    def goes_with() -> list[str]:
        shop.projection.project([product_id])
        rows = shop.run("select unnest(tsvector_to_array(words)) from search_products")
        return [lexeme for (lexeme,) in rows if lexeme.startswith(":g:")]

    first = goes_with()
    shop.price(product_id, 2000)
    dearer = goes_with()
    shop.rename(product_id, "notebook with sleeve")
    renamed = goes_with()

    assert (first, dearer, renamed) == ([":g:notebook"], [":g:notebook"], [])
    assert {word for (word,) in shop.run("select word from search_words")} == {"notebook", "sleeve", "with"}


Change = Callable[[Shop, UUID], None]
CHANGES: list[Change] = [
    lambda shop, product_id: shop.rename(product_id, f"{uuid4()}"),
    lambda shop, product_id: shop.stock(_sku_of(shop, product_id), 0),
    lambda shop, product_id: shop.stock(_sku_of(shop, product_id), 7),
    lambda shop, product_id: shop.price(product_id, 1_001),
    lambda shop, product_id: shop.price(product_id, 90_000),
    lambda shop, product_id: shop.unpublish(product_id),
    lambda shop, product_id: shop.schedule(product_id, shop.clock.now() + timedelta(days=1)),
    lambda shop, product_id: shop.delete(product_id),
]


def _sku_of(shop: Shop, product_id: UUID) -> str:
    rows = shop.run("select sku from variants where product_id = cast(:id as uuid)", id=product_id)
    return str(rows[0][0]) if rows else "gone"


@settings(
    max_examples=PROPERTY_EXAMPLES // 5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_events_in_any_order_twice_or_late_end_in_the_same_copy(shop: Shop, data: st.DataObject) -> None:
    """Each change is told once its transaction is over; events are shuffled, repeated, and mixed with later changes."""
    ids = [shop.add(f"{uuid4()}") for _ in range(3)]
    waiting: list[UUID] = list(ids)
    for _ in range(data.draw(st.integers(1, 8))):
        product_id = data.draw(st.sampled_from(ids))
        data.draw(st.sampled_from(CHANGES))(shop, product_id)
        waiting += [product_id] * data.draw(st.integers(1, 2))
        if data.draw(st.booleans()):
            told = waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            projecting.follow_products(ProductsChanged((told,)), projection=shop.projection)
    for told in data.draw(st.permutations(waiting)):
        projecting.follow_products(ProductsChanged((told,)), projection=shop.projection)

    # What hypothesis gave up in the middle of an example waits for ever.
    assert shop.listed(ids) == shop.truth(ids)


def test_stock_is_told_only_when_the_last_unit_goes_or_the_first_comes(shop: Shop) -> None:
    shop.projection.project([shop.add("lamp", on_hand=2)])

    shop.stock("LAMP", 1)
    one_left = projecting.follow_stock(["LAMP"], projection=shop.projection)
    shop.stock("LAMP", 0)
    sold_out = projecting.follow_stock(["LAMP", "unknown"], projection=shop.projection)

    assert (one_left, sold_out) == (0, 1)
    assert shop.listed() == {"lamp": (False, 1000)}


def test_the_sweep_catches_what_no_event_told(shop: Shop) -> None:
    ids = [shop.add(name) for name in ("lamp", "torch", "stand", "case")]
    ever = projecting.sweep(projection=shop.projection, clock=shop.clock, within_s=10)
    shop.rename(ids[0], "brass lamp")
    shop.stock("TORCH", 0)
    shop.unpublish(ids[2])
    shop.add("new")

    missed = projecting.sweep(projection=shop.projection, clock=shop.clock, within_s=10)
    again = projecting.sweep(projection=shop.projection, clock=shop.clock, within_s=10)

    assert (ever, missed, again) == (4, 4, 0)
    assert shop.listed() == shop.truth()
    assert sorted(shop.listed()) == ["brass lamp", "case", "new", "torch"]


def test_what_is_to_come_is_on_no_list_before_its_moment_and_on_all_with_the_next_sweep(shop: Shop) -> None:
    """Its event came when it was planned, and nothing tells of the moment itself."""
    lamp, sold = shop.add("lamp"), shop.add("torch")
    due = shop.clock.now() + timedelta(days=3)
    shop.schedule(lamp, due)
    projecting.follow_products(ProductsChanged((lamp, sold)), projection=shop.projection)
    shop.stock("LAMP", 0)
    shop.stock("LAMP", 7)
    projecting.follow_stock(["LAMP"], projection=shop.projection)

    looks = []
    for moment in (due - timedelta(days=1), due - timedelta(microseconds=1), due, due + timedelta(minutes=1)):
        shop.clock.moment = moment
        looks.append((shop.sweep(), sorted(shop.listed())))

    assert looks == [(0, ["torch"]), (0, ["torch"]), (1, ["lamp", "torch"]), (0, ["lamp", "torch"])]


def test_what_came_while_nobody_swept_is_found_afterwards(shop: Shop) -> None:
    lamp = shop.add("lamp")
    due = shop.clock.now() + timedelta(days=1)
    shop.schedule(lamp, due)
    shop.sweep()
    shop.clock.moment = due + timedelta(days=9)

    assert (shop.sweep(), list(shop.listed())) == (1, ["lamp"])


def test_a_publication_that_is_moved_or_taken_back_counts_as_it_is_now(shop: Shop) -> None:
    earlier, later, never, moved = (shop.add(name) for name in ("earlier", "later", "never", "moved"))
    shop.sweep()
    now = shop.clock.now()
    for product in (earlier, later, never, moved):
        shop.schedule(product, now + timedelta(hours=2))
    taken = shop.sweep()
    shop.schedule(earlier, now + timedelta(hours=1))
    shop.schedule(later, now + timedelta(hours=3))
    shop.unpublish(never)
    shop.rename(moved, "moved on")

    looks = []
    for hours in (0.5, 1, 2, 3):
        shop.clock.moment = now + timedelta(hours=hours)
        shop.sweep()
        looks.append(sorted(shop.listed()))

    assert taken == 4
    assert looks == [[], ["earlier"], ["earlier", "moved on"], ["earlier", "later", "moved on"]]


def test_a_rebuild_copies_what_is_published_when_it_comes_by(shop: Shop) -> None:
    lamp = shop.add("lamp")
    due = shop.clock.now() + timedelta(hours=1)
    shop.schedule(lamp, due)
    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)
    before = shop.listed()
    shop.clock.moment = due

    done = projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)

    assert (before, done.total, shop.listed()) == ({}, 1, {"lamp": (True, 1000)})


def test_the_sweep_reads_what_was_changed_and_what_is_due_and_no_other_product(shop: Shop) -> None:
    shop.run(
        """
        insert into products (id, slug, group_key, name, price_minor, currency, published_at, created_at, updated_at,
            words, search_text)
        select gen_random_uuid(), 'p' || n, 'p' || n, 'p', 1, 'USD', :then, :then, :then, '', ''
        from generate_series(1, 2000) n
        """,
        then=shop.clock.now() - timedelta(days=9),
    )
    shop.run("analyze products")
    statement, _ = to_statement(MISSED_PRODUCTS)

    plan = "\n".join(str(row[0]) for row in shop.run(f"explain (generic_plan) {statement}"))

    assert sorted(set(re.findall(r"Scan using (products_\w+)", plan))) == ["products_to_come", "products_updated"], plan
    assert "Seq Scan on products" not in plan, plan


def test_the_sweep_looks_at_the_last_minutes_only(shop: Shop) -> None:
    shop.projection.project([shop.add("lamp")])
    shop.stock("LAMP", 0)
    shop.clock.moment += timedelta(hours=1)
    projecting.sweep(projection=shop.projection, clock=shop.clock, within_s=10)

    swept = shop.run("select products_since, movements_seen = (select max(id) from stock_movements) from search_sweep")

    assert swept == [[shop.clock.now() - timedelta(minutes=10), True]]
    assert shop.listed() == {"lamp": (False, 1000)}


def test_an_interrupted_rebuild_goes_on_where_it_was_and_ends_with_the_truth(shop: Shop) -> None:
    for number in range(10):
        shop.add(f"lamp {number}")
    ghost = shop.add("ghost")
    shop.projection.project([ghost])
    shop.delete(ghost)
    shop.projection.begin_rebuild(now=shop.clock.now())
    first = shop.projection.continue_rebuild(4, now=shop.clock.now())

    told: list[int] = []
    done = projecting.rebuild(
        projection=shop.projection, clock=shop.clock, anew=False, progress=lambda at: told.append(at.done)
    )

    assert (first.done, first.total, first.under_way) == (4, 10, True)
    assert told[0] > 4
    assert (done.done, done.under_way) == (11, False)
    assert shop.listed() == shop.truth()
    assert len(shop.listed()) == 10


def test_a_rebuild_counts_the_words_of_the_catalogue(shop: Shop) -> None:
    lamp = shop.add("brass lamp")
    shop.add("copper lamp")
    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)
    shop.rename(lamp, "brass torch")
    shop.projection.project([lamp])
    before = shop.run("select word, names from search_words order by 1")

    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)

    after = shop.run("select word, names, products from search_words order by 1")
    traces = shop.run("select distinct word from search_misspellings order by 1")
    assert before == [["brass", 2], ["copper", 1], ["lamp", 2], ["torch", 1]]
    assert after == [["brass", 1, 1], ["copper", 1, 1], ["lamp", 1, 1], ["torch", 1, 1]]
    assert traces == [["brass"], ["copper"], ["lamp"], ["torch"]]
    assert shop.run("select trace from search_misspellings where word = 'lamp' order by 1") == [
        ["amp"], ["lam"], ["lamp"], ["lap"], ["lmp"],
    ]  # fmt: skip


def test_a_price_that_changes_counts_no_word_again(shop: Shop) -> None:
    lamp = shop.add("brass lamp")
    shop.projection.project([lamp])
    for _ in range(3):
        shop.clock.moment += timedelta(seconds=1)
        shop.run(
            "update products set price_minor = price_minor + 1, updated_at = :now where id = cast(:id as uuid)",
            now=shop.clock.now(),
            id=lamp,
        )
        assert shop.projection.project([lamp]) == 1

    assert shop.run("select word, names, products from search_words order by 1") == [["brass", 1, 1], ["lamp", 1, 1]]


def test_the_vocabulary_is_put_to_use_a_few_words_at_a_time(shop: Shop) -> None:
    """A rebuild that is interrupted there goes on with the next words, and uses no count twice."""
    for name in ("alpha beta", "beta gamma", "delta"):
        shop.add(name)
    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)
    shop.run("update search_words set names = 7, products = 8")  # what only grows between rebuilds
    shop.run("insert into search_words (word, names, products, traced) values ('aaa', 1, 1, true), ('zzz', 1, 1, true)")
    shop.run("insert into search_misspellings (trace, word) values ('aa', 'aaa'), ('zz', 'zzz')")
    words = "select word, names, products from search_words order by 1"
    stale = [[word, 7, 8] for word in ("alpha", "beta", "delta", "gamma")]
    shop.projection.begin_rebuild(now=shop.clock.now())
    shop.projection.continue_rebuild(100, now=shop.clock.now())
    shop.projection.continue_rebuild(100, now=shop.clock.now())

    looks = []
    for _step in range(3):
        again = SearchProjection(shop.database, words_at_once=2)
        under_way = again.continue_rebuild(100, now=shop.clock.now()).under_way
        looks.append((under_way, again.find_rebuild().under_way, shop.run(words)))
    finished = SearchProjection(shop.database, words_at_once=2).continue_rebuild(100, now=shop.clock.now())

    counted = [["alpha", 1, 1], ["beta", 2, 2], ["delta", 1, 1], ["gamma", 1, 1]]
    assert looks == [
        (True, True, [counted[0], *stale[1:], ["zzz", 1, 1]]),
        (True, True, [*counted[:3], stale[3], ["zzz", 1, 1]]),
        (True, True, counted),
    ]
    assert (finished.under_way, finished.finished_at) == (False, shop.clock.now())
    assert shop.run("select word from search_misspellings where word in ('aaa', 'zzz')") == []
    assert not shop.projection.find_rebuild().under_way


def test_code_of_the_version_before_uses_no_count_a_second_time(shop: Shop) -> None:
    shop.add("alpha")
    shop.projection.begin_rebuild(now=shop.clock.now())
    under_way = "select started_at is not null and finished_at is null from search_rebuild"
    before = shop.run(under_way)

    shop.projection.continue_rebuild(100, now=shop.clock.now())
    shop.projection.continue_rebuild(100, now=shop.clock.now())

    assert (before, shop.run(under_way)) == ([[True]], [[False]])
    assert shop.projection.find_rebuild().under_way
    # It begins one of its own and knows nothing of words: from the first product on.
    shop.run("update search_rebuild set started_at = now(), finished_at = null, position = null, done = 0")
    assert shop.projection.continue_rebuild(100, now=shop.clock.now()).done == 1
    assert shop.run("select word, counted_names from search_words") == [["alpha", 2]]


def test_the_traces_of_a_word_are_found_by_the_word(shop: Shop) -> None:
    shop.run("insert into search_misspellings select 't' || n, 'w' || n from generate_series(1, 5000) as n")
    shop.run("analyze search_misspellings")

    plan = shop.run("explain delete from search_misspellings where word = any('{w1,w2}'::text[])")

    assert "search_misspellings_word" in str(plan)


def test_popularity_moves_a_product_only_when_it_has_left_its_step(shop: Shop) -> None:
    lamp = shop.add("lamp", popularity=100)
    shop.projection.project([lamp])

    moved = []
    for popularity in (101, 107, 95, 120, 200):
        shop.clock.moment += timedelta(seconds=1)
        before = shop.run("select place from search_products")
        shop.run("update products set popularity = :p, updated_at = :now", p=popularity, now=shop.clock.now())
        shop.projection.project([lamp])
        moved.append(shop.run("select place from search_products") != before)

    assert moved == [False, False, False, False, True]


def test_tiers_hold_the_most_popular_and_share_a_step_out_where_it_is_too_large() -> None:
    assert tiers_of([]) == [(4, 0, 0)]
    assert tiers_of([(3, 32_000)]) == [(4, 0, 32_000)]
    assert tiers_of([(9, 4_000), (2, 8_000), (0, 88_000)]) == [
        (0, (9 << 23) + (1 << 22), 2_000),
        (1, 2 << 23, 12_000),
        (4, 0, 100_000),
    ]
    assert [tier for tier, _, _ in tiers_of([(0, 800_000)])] == [0, 1, 2, 4]
    assert [tier for tier, _, _ in tiers_of([(0, 5_000_000)])] == [0, 1, 2, 3, 4]


def events(shop: Shop) -> list[tuple[str, Any]]:
    rows = shop.run("select name, payload from outbox where destination = 'topic:catalog' order by position")
    shop.run("delete from outbox")
    return [(row[0], row[1]) for row in rows]


def import_rows(shop: Shop, folder: Path, rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", shop.address.url)
        patch.delenv("DATABASE_ACCESS", raising=False)
        assert cli.main(["import", str(file), "--quiet"]) == 0
    # The command goes by the machine's time, and publishes what is new.
    shop.clock.moment = max(shop.clock.moment, SystemClock().now())
    return events(shop)


def test_an_import_tells_of_its_products_batch_by_batch_and_a_repeated_one_nothing(shop: Shop, tmp_path: Path) -> None:
    rows = [{"sku": f"S{number}", "name": f"Thing {number}", "price": 1, "on_hand": 1} for number in range(1200)]

    first = import_rows(shop, tmp_path, rows)
    again = import_rows(shop, tmp_path, rows)

    assert [(name, len(payload["product_ids"])) for name, payload in first] == [
        ("product.changed", 500), ("product.changed", 500), ("product.changed", 200),
    ]  # fmt: skip
    assert again == []
    for _, payload in first:
        changed = ProductsChanged(tuple(UUID(product_id) for product_id in payload["product_ids"]))
        projecting.follow_products(changed, projection=shop.projection)
    assert shop.listed() == shop.truth()
    assert len(shop.listed()) == 1200


def test_an_import_of_counts_tells_of_stock_that_crosses_zero_and_of_no_other(shop: Shop, tmp_path: Path) -> None:
    import_rows(shop, tmp_path, [{"sku": sku, "name": sku, "price": 1, "on_hand": 3} for sku in ("A", "B", "C", "D")])
    shop.run("update stock_levels set held = 2 where sku = 'D'")

    counts = [{"sku": "A", "on_hand": 0}, {"sku": "B", "on_hand": 2}, {"sku": "C", "on_hand": 3}]
    told = import_rows(shop, tmp_path, [*counts, {"sku": "D", "on_hand": 2}])

    assert told == [("stock.changed", {"skus": ["A", "D"]})]


def test_variants_that_move_tell_of_both_products(shop: Shop, tmp_path: Path) -> None:
    import_rows(shop, tmp_path, [{"sku": "S", "name": "Small", "price": 1}, {"sku": "L", "name": "Large", "price": 1}])
    ids = {str(row[0]) for row in shop.run("select id from products")}
    projecting.rebuild(projection=shop.projection, clock=shop.clock, anew=True)

    told = import_rows(shop, tmp_path, [{"sku": "L", "product": "S"}])

    assert [(name, set(payload["product_ids"])) for name, payload in told] == [("product.changed", ids)]
    for product_id in ids:
        shop.projection.project([UUID(product_id)])
    assert list(shop.listed()) == ["Small"]


def test_staff_tell_of_stock_that_crosses_zero_and_of_no_other(shop: Shop, postgres: ScratchServer) -> None:
    shop.add("lamp", on_hand=5)
    login = postgres.login(shop.address, "inventory")
    database = Database(
        connector(DatabaseSettings("url", 1, login.url), application="staff"), size=1, clock=SystemClock()
    )
    stock = Stock(database, SystemClock())

    told = []
    for change in (-2, -3, 1):
        stock.adjust("LAMP", change, reason="test", actor="staff:1")
        told.append(events(shop))
    stock.count("LAMP", 0, reason="test", actor="staff:1")
    told.append(events(shop))
    database.close()

    crossed = [("stock.changed", {"skus": ["LAMP"]})]
    assert told == [[], crossed, crossed, crossed]


def test_nobody_who_moves_stock_may_write_what_search_reads(shop: Shop) -> None:
    """DESIGN.md rule 3: sorted SKUs do not sort products, so a copy in a stock transaction deadlocks."""
    writers = shop.run(
        "select distinct grantee from information_schema.role_table_grants where table_name like 'search\\_%'"
        " and privilege_type <> 'SELECT' and grantee like 'vitrine\\_%' and grantee not like 'vitrine\\_test%'"
    )

    assert writers == [["vitrine_search_jobs"]]


def test_two_projectors_of_many_products_in_any_order_do_not_deadlock(shop: Shop) -> None:
    ids = [shop.add(f"{word} lamp {number}") for number, word in enumerate(["brass", "copper", "steel"] * 10)]

    with ThreadPoolExecutor(2) as projectors:
        counts = list(projectors.map(shop.projection.project, [ids, ids[::-1]] * 5))

    assert sum(counts) == 30
    assert shop.listed() == shop.truth()
    deadlocks = shop.run("select deadlocks from pg_stat_database where datname = current_database()")
    assert deadlocks == [[0]]
