"""What is suggested for what was typed so far, as one function."""

from pathlib import Path
from textwrap import indent

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")

# Behind what was found before, for a product of a tier is before all of the next.
_FOUND = """\
select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
    into places, names, keys
    from (
        select p.place, p.name, p.slug from (
            <matching>) p
        where p.product_id <> all (hidden)
        order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;"""

# A statement of its own each: `tier <= n` is an index where the planner sees the number. OFFSET 0 and LIMIT keep it
# from walking all products by popularity, and from asking an index for all words that begin so.
_PIECES = {
    "<tier 0>": "select * from search_products where named @@ going_on and tier <= 0 offset 0",
    "<tier 1>": "select * from search_products where named @@ going_on and tier <= 1 and tier > 0 offset 0",
    "<tier 2>": "select * from search_products where named @@ going_on and tier <= 2 and tier > 1 offset 0",
    "<all tiers>": "select * from search_products where named @@ going_on and tier <= 4 and tier > 0 offset 0",
    "<rest of few>": """\
select * from (
                select * from search_products where named @@ head and tier <= 4 and tier > 1 offset 0) few
            where few.named @@ going_on offset 0""",
    "<rest of many>": """\
select * from (
                select * from search_products where named @@ anywhere and tier <= 4 and tier > 2 limit 2000) many
            where many.named @@ going_on offset 0""",
}


def _function() -> str:
    return "\n".join(_filled(line) for line in _SQL.read_text(encoding="utf-8").splitlines())


def _filled(line: str) -> str:
    """A line that is the name of a piece is that piece, as far from the margin."""
    matching = _PIECES.get(line.strip())
    margin = line[: len(line) - len(line.lstrip())]
    return line if matching is None else indent(_FOUND.replace("<matching>", matching), margin)


def upgrade() -> None:
    # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
    op.get_bind().exec_driver_sql(_function())


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
