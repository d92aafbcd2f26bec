"""What search read before it had a projection: most of an import's time went into two indexes that nobody reads."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_INDEXES = ("products_search_text", "products_words")


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
