"""How much one client may hold and be refused, and what a frozen line says of its discount and tax."""

from pathlib import Path

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    for part in ("limits_of_a_client", "limits_of_a_client_functions"):
        # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
        op.get_bind().exec_driver_sql((_HERE / f"0007_{part}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
