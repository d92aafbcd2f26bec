"""Products whose publication was still to come when they were last changed, for the sweep of search: few, and what is
changed after it leaves the index. Made beside the shop's work.
"""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("commit")  # over pg8000 the block alone leaves a transaction open (25001)
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.execute("set statement_timeout = 0")
        op.execute("set lock_timeout = 0")
        op.execute("drop index concurrently if exists products_to_come")  # one that was interrupted is invalid
        op.execute(
            "create index concurrently products_to_come on products (published_at, id) where published_at > updated_at"
        )


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
