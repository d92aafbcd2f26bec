"""Products by their last change, for the sweep of search; made beside the shop's work."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("commit")  # over pg8000 the block alone leaves a transaction open (25001)
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.execute("set statement_timeout = 0")
        op.execute("set lock_timeout = 0")
        op.execute("drop index concurrently if exists products_updated")  # one that was interrupted is invalid
        op.execute("create index concurrently products_updated on products (updated_at, id)")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
