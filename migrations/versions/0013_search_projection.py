"""Search: a projection of the catalogue of its own, one row per product, and its vocabulary."""

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    op.get_bind().exec_driver_sql((_HERE / "0013_search_projection.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
