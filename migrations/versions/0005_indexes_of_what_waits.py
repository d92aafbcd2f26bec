"""The audit log by time, webhooks by their order, mails that failed: built beside the writers of what only grows."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_INDEXES = {
    "audit_log_at": "audit_log (at desc, id)",
    "webhook_events_orders": "webhook_events using gin (order_ids)",
    "mails_failed": "mails (created_at, id) where state = 'failed'",
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        for name, definition in _INDEXES.items():
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")
            op.get_bind().exec_driver_sql(f"create index concurrently {name} on {definition}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
