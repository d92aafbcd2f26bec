"""A checkout reads its own lines and never the catalogue: the cause of its speed, not its time."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from local.database import Address
from shared.persistence.database import Database, Row, Transaction
from shared.persistence.desk import Desk
from tests.orders.shop import Shop

CATALOGUE = 5000


class _Undone(Exception):
    pass


class _Within(Database):
    """Reads within a transaction that is undone."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def call(self, sql: str, **parameters: Any) -> list[Row]:
        return self._tx.rows(sql, **parameters)


def rows_read(shop: Shop, tx: Transaction, work: Any, *tables: str) -> dict[str, int]:
    """How many rows of which table `work` read by scanning it."""

    def counted() -> dict[str, int]:
        return {
            row["relname"]: row["seq_tup_read"]
            for row in tx.rows(
                """
                select relname::text, seq_tup_read::int from pg_stat_xact_user_tables
                where relname = any (:tables::text[])
                """,
                tables=list(tables or ("variants", "products", "stock_levels")),
            )
        }

    before = counted()
    work()
    after = counted()
    return {table: after[table] - before.get(table, 0) for table in after}


def test_a_cart_of_a_large_catalogue_reads_no_other_variants_and_levels(shop: Shop, module_database: Address) -> None:
    cart = shop.make_cart({shop.make_stock(name, 5): 1 for name in ("LAMP", "DESK", "RUG")})
    read: list[dict[str, int]] = []

    def step(tx: Transaction) -> None:
        # Nobody has analyzed these: the planner guesses, as it does on the first day of a shop.
        for table, columns, values in (
            (
                "products",
                "id, slug, group_key, name, price_minor, currency, created_at, updated_at, words, search_text",
                "gen_random_uuid(), 'p-' || n, 'p-' || n, 'p', 1, 'USD', now(), now(), '', ''",
            ),
            ("stock_levels", "sku, location, on_hand", "'many-' || n, 'main', 1"),
        ):
            tx.rows(
                f"insert into {table} ({columns}) select {values} from generate_series(1, :many::int) as n",
                many=CATALOGUE,
            )
        tx.rows(
            """
            insert into variants (sku, product_id, price_minor, currency, updated_at)
            select 'many-' || n, p.id, 1, 'USD', now()
            from generate_series(1, :many::int) as n join products p on p.slug = 'p-' || n
            """,
            many=CATALOGUE,
        )
        tx.rows(
            """
            insert into carts (id, currency, created_at, updated_at)
            select md5('cart ' || n), 'USD', now(), now() from generate_series(1, :many::int) as n
            """,
            many=CATALOGUE,
        )
        tx.rows(
            """
            insert into cart_lines (cart_id, sku, quantity, seen_price_minor, name, added_at)
            select md5('cart ' || n), 'many-' || line, 1, 1, 'p', now()
            from generate_series(1, :many::int) as n, generate_series(1, 4) as line
            """,
            many=CATALOGUE,
        )
        read.append(rows_read(shop, tx, lambda: tx.rows("select cart_json_v2(:id::text, now()) as cart", id=cart)))
        raise _Undone

    later = Shop(module_database.url)  # a session that has planned nothing yet
    with suppress(_Undone):
        later.database.step(step)
    later.database.close()

    assert read == [{"variants": 0, "products": 0, "stock_levels": 0}]


def test_the_desk_reads_an_order_and_a_page_of_them_by_their_keys(shop: Shop, module_database: Address) -> None:
    """S56: among five thousand orders that nobody has analyzed."""
    order = shop.paid_order({shop.make_stock("LAMP", 5): 1})
    asked = shop.ask_refund(order, amount_minor=1)
    read: list[dict[str, int]] = []
    looks: list[Callable[[Desk], object]] = [
        lambda desk: desk.show(order.number),
        lambda desk: desk.list_orders(limit=24),
        lambda desk: desk.list_orders(status="paid", before=(order.placed_at, order.id), limit=24),
        lambda desk: desk.list_orders(email=order.email, limit=24),
        lambda desk: desk.list_orders(number=order.number, limit=24),
        lambda desk: desk.list_orders(disputed=True, limit=24),
        lambda desk: desk.list_orders(failed_refunds=True, limit=24),
    ]

    def step(tx: Transaction) -> None:
        own = "md5('many ' || n)::uuid"
        for table, copied, more in (
            (
                "orders",
                asked.id,
                "'number', lpad(n::text, 10, '0'), 'cart_id', md5(n::text), 'paypal_order_id', n::text",
            ),
            ("refunds", asked.refunds[0].id, f"'order_id', {own}, 'capture_id', n::text"),
        ):
            tx.rows(
                f"""
                insert into {table} select made.* from {table} t, generate_series(1, :many::int) as n,
                    jsonb_populate_record(null::{table}, to_jsonb(t) || jsonb_build_object('id', {own}, {more})) as made
                where t.id = :id::uuid
                """,
                many=CATALOGUE,
                id=copied,
            )
        desk = Desk(_Within(tx), shop.clock)
        for look in looks:
            read.append(rows_read(shop, tx, partial(look, desk), "orders", "refunds"))
        raise _Undone

    later = Shop(module_database.url)
    with suppress(_Undone):
        later.database.step(step)
    later.database.close()

    assert read == [{"orders": 0, "refunds": 0}] * len(looks)
