"""What a full run of reconciliation, the sweep of vouchers and suggestions read by: built beside the writers."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_INDEXES = {
    "orders_not_final": "orders (placed_at, id)"
    " where status = 'pending_payment' or status = 'on_hold' or disputed or pending_minor > 0",
    "webhook_events_stray": "webhook_events (received_at, id)"
    " where state = 'waiting' or (state = 'ignored' and verdict = 'foreign')",
    "orders_let_go_with_voucher": "orders (updated_at)"
    " where voucher_code is not null and status in ('expired', 'cancelled')",
    "brands_folded": 'brands ((fold_v1(name)) collate "C")',
    "categories_folded": 'categories ((fold_v1(name)) collate "C")',
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        for name, what in _INDEXES.items():
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")
            op.get_bind().exec_driver_sql(f"create index concurrently {name} on {what}")
        # Added without a look at the movements there are: this look lets others write.
        for constraint in ("stock_movements_kind_known", "stock_movements_arithmetic"):
            op.get_bind().exec_driver_sql(f"alter table stock_movements validate constraint {constraint}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
