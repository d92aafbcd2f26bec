"""What staff list orders by, and refunds that failed: built beside the writers of large tables."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_INDEXES = {
    "refunds_retried_once": ("unique", "refunds (retries) where retries is not null"),
    "refunds_capture": ("", "refunds (capture_id)"),
    "refunds_failed": ("", "refunds (order_id) where state in ('failed', 'cancelled')"),
    # orders_placed has the same order, of all of them.
    "orders_status_placed": ("", "orders (status, placed_at desc, id)"),
    "orders_disputed": ("", "orders (placed_at desc, id) where disputed"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        for name, (kind, what) in _INDEXES.items():
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")
            op.get_bind().exec_driver_sql(f"create {kind} index concurrently {name} on {what}")
        # Added without a look at the refunds there are: this look lets others write.
        for constraint in ("refunds_retries", "refunds_shipping_within"):
            op.get_bind().exec_driver_sql(f"alter table refunds validate constraint {constraint}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
