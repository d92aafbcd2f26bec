"""Prices and texts stand apart from the words of products: filled beside the shop's work, then an index each."""

from pathlib import Path

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")
# Five hundred at a time, so that nobody waits long behind a row; what is written meanwhile is there already.
_FILL = """
do $$
declare
    after_id uuid := '00000000-0000-0000-0000-000000000000';
    ids uuid[];
begin
    loop
        select array_agg(product_id order by product_id) into ids
            from (select product_id from public.search_products where product_id > after_id
                order by product_id limit 500) as next;
        exit when ids is null;
        perform 1 from public.search_products where product_id = any (ids) order by product_id for share;
        insert into public.search_prices (product_id, category_id, brand_id, price_minor, in_stock)
            select product_id, category_id, brand_id, price_minor, in_stock from public.search_products
            where product_id = any (ids) and tier <= 4
            on conflict do nothing;
        insert into public.search_texts (product_id, tier, place, search_text)
            select product_id, tier, place, search_text from public.search_products
            where product_id = any (ids) and tier <= 4
            on conflict do nothing;
        commit;
        after_id := ids[cardinality(ids)];
    end loop;
end $$
"""
# How many filters leave, up to some, is told by an index alone. Substrings are looked for among the most popular, among
# more, and among all.
_INDEXES = {
    "search_prices_price": "search_prices (price_minor, product_id) include (in_stock)",
    "search_prices_category": "search_prices (category_id, price_minor, product_id) include (in_stock)",
    "search_prices_brand": "search_prices (brand_id, price_minor, product_id) include (in_stock)",
    "search_prices_brand_category": "search_prices (brand_id, category_id, price_minor, product_id) include (in_stock)",
    "search_prices_in_stock": "search_prices (product_id, price_minor) where in_stock",
} | {
    f"search_texts_{tier}": f"search_texts using gin (search_text gin_trgm_ops) with (fastupdate = off)"
    f" where tier <= {tier}"
    for tier in (0, 2, 4)
}


def upgrade() -> None:
    # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
    op.get_bind().exec_driver_sql(_SQL.read_text(encoding="utf-8"))
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        op.get_bind().exec_driver_sql(_FILL)
        for name, definition in _INDEXES.items():
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")
            op.get_bind().exec_driver_sql(f"create index concurrently {name} on {definition}")
        op.get_bind().exec_driver_sql("analyze search_prices, search_texts")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
