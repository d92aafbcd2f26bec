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
        op.execute((_HERE / f"0001_{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
