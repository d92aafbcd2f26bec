"""A checkout reads its own lines and never the catalogue: the cause of its speed, not its time."""

from contextlib import suppress
from typing import Any

from local.database import Address
from shared.persistence.database import Transaction
from tests.orders.shop import Shop

CATALOGUE = 5000


class _Undone(Exception):
    pass


def rows_read(shop: Shop, tx: Transaction, work: Any) -> dict[str, int]:
    """How many rows of which table `work` read by scanning it."""

    def counted() -> dict[str, int]:
        return {
            row["relname"]: row["seq_tup_read"]
            for row in tx.rows(
                """
                select relname::text, seq_tup_read::int from pg_stat_xact_user_tables
                where relname in ('variants', 'products', 'stock_levels')
                """
            )
        }

    before = counted()
    work()
    after = counted()
    return {table: after[table] - before.get(table, 0) for table in after}


def test_a_cart_of_a_large_catalogue_reads_no_other_variants_and_levels(shop: Shop, orders_database: Address) -> None:
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
        read.append(rows_read(shop, tx, lambda: tx.rows("select cart_json_v1(:id::text) as cart", id=cart)))
        raise _Undone

    later = Shop(orders_database.url)  # a session that has planned nothing yet
    with suppress(_Undone):
        later.database.step(step)
    later.database.close()

    assert read == [{"variants": 0, "products": 0, "stock_levels": 0}]
