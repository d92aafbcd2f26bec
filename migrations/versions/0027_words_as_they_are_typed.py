"""Words end where whoever types them has them end: the words of every product are made again, beside the shop's work.

Until the next rebuild of search (nightly, or `python -m functions.search.cli rebuild`) it finds by substrings what it
will find by words.
"""

from pathlib import Path

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")
# A thousand at a time, so that nobody waits long behind a row.
_AGAIN = """
do $$
declare
    after_id uuid := '00000000-0000-0000-0000-000000000000';
    ids uuid[];
begin
    loop
        select array_agg(id order by id) into ids
            from (select id from public.products where id > after_id order by id limit 1000) as thousand;
        exit when ids is null;
        perform 1 from public.products where id = any (ids) order by id for update;
        update public.products p set words = n.words
        from (
            select o.id, public.product_words_v1(o.name, coalesce(b.name, ''),
                coalesce((select string_agg(a.name, ' ' order by length(a.path)) from public.categories a
                          where c.path = a.path or starts_with(c.path, a.path || '/')), ''), o.description) as words
            from public.products o
            left join public.brands b on b.id = o.brand_id
            left join public.categories c on c.id = o.category_id
            where o.id = any (ids)
        ) n
        where p.id = n.id and p.words <> n.words;
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
        op.get_bind().exec_driver_sql(_AGAIN)


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
