"""The newest of a brand, beside what it has of the most popular: a brand is walked in either order."""

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

_NAME = "search_products_brand_newest"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        op.get_bind().exec_driver_sql(
            f"drop index concurrently if exists {_NAME}"
        )  # one that was interrupted is invalid
        op.get_bind().exec_driver_sql(
            f"create index concurrently {_NAME} on search_products (brand_id, created_at, product_id) where tier <= 4"
        )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
