"""A first page counts prices where they stand apart; what search_words_v1 takes and tells stays.

Only when these are filled and have their indexes: whoever searches meanwhile is told of prices by the copies.
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

_OF_COPIES = "from search_products p where p.tier <= 4 and p.price_minor between low and high limit 20001"
_APART = "from search_prices p where p.price_minor between low and high limit 20001"


def upgrade() -> None:
    # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
    run = op.get_bind().exec_driver_sql
    before, after = run("select pg_get_functiondef('search_words_v1'::regproc)").scalar_one().split(_OF_COPIES)
    run(before + _APART + after)


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
