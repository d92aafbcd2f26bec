"""Open orders by e-mail and by network, looked up by every checkout: built beside the writers of a large table."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OPEN = "status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending')"
_INDEXES = {"orders_open_of_email": "lower(email)", "orders_open_of_network": "client_network"}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # pg8000 began a transaction when Alembic asked for the isolation level that it sets aside.
        op.get_bind().exec_driver_sql("commit")
        # Nobody waits behind this: it may take its time. env.py sets the limits of what follows.
        op.get_bind().exec_driver_sql("set statement_timeout = 0")
        op.get_bind().exec_driver_sql("set lock_timeout = 0")
        for name, columns in _INDEXES.items():
            # A run that was broken off leaves an invalid index behind, which would be taken for a finished one.
            op.get_bind().exec_driver_sql(f"drop index concurrently if exists {name}")
            op.get_bind().exec_driver_sql(f"create index concurrently {name} on orders ({columns}) where {_OPEN}")
        # Added without a look at the lines there are: this look lets others write.
        op.get_bind().exec_driver_sql("alter table order_lines validate constraint order_lines_discount_within")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
