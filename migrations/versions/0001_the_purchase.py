"""The tables, functions and roles of one purchase."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    for part in ("the_purchase", "the_purchase_functions", "the_purchase_grants"):
        # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
        op.get_bind().exec_driver_sql((_HERE / f"0001_{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
