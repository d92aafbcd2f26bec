"""Names are looked at before descriptions: vectors of their own, filled beside the shop's work, and an index a tier."""

from pathlib import Path

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")
# Five hundred at a time, so that nobody waits long behind a row; a copy made meanwhile has them already.
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
        perform 1 from public.search_products where product_id = any (ids) order by product_id for update;
        update public.search_products s set words = s.words || filters,
            named = ts_filter(s.words, '{a,b,c}')
                || public.unspaced_lexemes_v1(concat_ws(' ', s.name, s.brand_name, s.category_name)) || filters
        from public.search_products o
        cross join lateral public.filter_lexemes_v1(o.brand_slug, o.category_path, o.price_minor, o.in_stock) as filters
        where o.product_id = s.product_id and s.product_id = any (ids) and s.tier <= 4 and s.named = '';
        commit;
        after_id := ids[cardinality(ids)];
    end loop;
end $$
"""


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
        for tier in range(5):
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists search_products_named_{tier}")
            op.get_bind().exec_driver_sql(
                f"create index concurrently search_products_named_{tier} on search_products using gin (named)"
                f" with (fastupdate = off) where tier <= {tier}"
            )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
