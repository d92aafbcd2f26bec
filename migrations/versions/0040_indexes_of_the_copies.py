"""What nobody reads since prices and texts stand apart: it took most of a new price's time.

The version before 0038 reads these. Whoever runs that deploys the version with 0039 first and this one after it, or
lists by price and substrings are refused (503) until the last instance is replaced.
"""

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

_INDEXES = (
    *(f"search_products_{each}" for each in ("price", "category_price", "brand_price")),
    *(f"search_products_text_{tier}" for tier in range(5)),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        for name in _INDEXES:
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
