"""What a text finds as words, and the first page of it by relevance, as one function."""

from pathlib import Path

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

_SQL = Path(__file__).with_suffix(".sql")
_TIERS = range(5)
_ENOUGH = 48
_RANKED = 8000
# What is not ranked is only counted: two thousand say about how many there are, of all one more than a total tells.
_COUNTED = dict.fromkeys(_TIERS, 2000) | {_TIERS[-1]: 1001}

_RELEVANCE = "relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost)"
_LEFT = """(p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)"""
_LISTED = """p.product_id, p.slug, p.sku, p.name, p.brand_name, p.brand_slug, p.category_path,
                p.category_name, p.offer_minor, p.currency, p.in_stock, p.image_url"""

# Each tier is a statement of its own, made only where those before it held too little: `tier <= n` is an index where
# the planner sees the number. Where a tier has none of it at all, the next is skipped for the one after it.
_TIER = """
    if <gate> then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then <key> else 0 end as key
            from search_products p
            where p.tier <= <tier> and <matches> and p.product_id <> all (begun)
                and <left>
            limit <limit>)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched<besides>;
        if counted >= <enough> then
            matching := '<way>';
            reach := case when <too_many> then -1 else <tier> end;
        end if;
    end if;"""


# What goes on from a word is costly to look for, so not at all beside words that nothing has.
_HEAD_IS_KNOWN = """ and (numnode(head) = 0
            or exists (select from search_products p where p.tier <= 0 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 2 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 4 and p.words @@ head))"""


def _tiers(way: str, *, matches: str, key: str) -> str:
    statements = []
    for tier in (0, 1, 2, 4) if way == "prefix" else _TIERS:
        is_last, counted = tier == _TIERS[-1], f"case when p_limit = 0 then {_COUNTED[tier]}"
        partly = way == "most"
        statements.append(
            _TIER.replace(
                "<gate>",
                "matching = 'nothing'"
                + (" and matched > 0" if tier % 2 else "")
                + (_HEAD_IS_KNOWN if is_last and way == "prefix" else ""),
            )
            .replace("<key>", key)
            .replace("<matches>", matches)
            .replace("<limit>", f"{counted} end" if partly else f"{counted} else {_RANKED + 1} end")
            .replace("<besides>", " + cardinality(first_ids)" if partly or is_last else "")
            .replace("<enough>", str(1 if is_last and way != "named" else _ENOUGH))
            .replace("<too_many>", "false" if partly else f"matched > {_RANKED}")
            .replace("<way>", way)
            .replace("<tier>", str(tier))
        )
    return "".join(statements).lstrip("\n")


def _function() -> str:
    pieces = {
        "<most>": _tiers(
            "most",
            matches="p.words @@ most_narrowed and (p.words @@ narrowed) is not true",
            key="partial_relevance_v1(p.words, any_of, p.boost)",
        ),
        "<named>": _tiers("named", matches="p.named @@ narrowed", key=_RELEVANCE),
        "<words>": _tiers("words", matches="p.words @@ narrowed", key=_RELEVANCE),
        "<prefix>": _tiers("prefix", matches="p.words @@ narrowed", key=_RELEVANCE),
        "<relevance>": _RELEVANCE,
        "<left>": _LEFT,
        "<listed>": _LISTED,
    }
    sql = _SQL.read_text(encoding="utf-8")
    for name, piece in pieces.items():
        sql = sql.replace(name, piece)
    return sql


def upgrade() -> None:
    # The driver's own: op.execute would take a `:name`, even in a comment, for a parameter.
    op.get_bind().exec_driver_sql(_function())


def downgrade() -> None:
    raise RuntimeError("migrations go forward only")
