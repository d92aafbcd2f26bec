"""The statement of suggestions: categories, brands and products whose name goes on from what was typed."""

from typing import Any

from shared.persistence.search_matching import LAST_TIER, quote_lexeme
from shared.persistence.search_statements import TIERED
from shared.search.texts import Text

# Names that begin so, the first of the alphabet: the whole of what was typed may be more than words say of it.
_NAMES_THAT_GO_ON = f"""
select * from (
    select 'product' as kind, p.name, p.slug as key, p.place from search_products p
    where left(p.search_text, 60) collate "C" >= fold_v1(:typed::text)
        and left(p.search_text, 60) collate "C" < fold_v1(:typed::text) || chr(1114111) and p.tier <= {LAST_TIER}
    order by left(p.search_text, 60) collate "C" limit 300) names
"""

# Names that have a word which goes on so (weight A), among the most popular products, and among more where these are
# too few. OFFSET 0 keeps the planner from walking all products by popularity until enough of them have it.
_GO_ON = """(select plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*A')
    && :unspaced::tsquery)"""
_MATCHING_TIER = f"""tier_{{tier}} as materialized (
    select * from (
        select p.product_id, p.place from search_products p where p.named @@ {_GO_ON} and p.tier <= {{tier}}{{gate}}
        offset 0) p
    order by place limit {{most}})"""
_WORDS_THAT_GO_ON = """
select 'product', p.name, p.slug, p.place
from ({tiers}) matches join search_products p on p.product_id = matches.product_id
"""
_MOST = 50

# Staff have said that the whole text does not find them (shared.search.merchandising).
_BURIED = """
select p.slug from query_rules r join search_products p on p.product_id = any (r.buried)
where r.query = fold_v1(:typed::text) and p.tier <= {tier}
"""

_SUGGESTIONS = """
with {tiers}found as (
    (select 'category' as kind, c.name, c.path as key, 0::bigint as place from categories c
     where fold_v1(c.name) collate "C" >= fold_v1(:typed::text)
        and fold_v1(c.name) collate "C" < fold_v1(:typed::text) || chr(1114111)
     order by fold_v1(c.name) collate "C" limit 20)
    union all
    (select 'brand', b.name, b.slug, 0 from brands b
     where fold_v1(b.name) collate "C" >= fold_v1(:typed::text)
        and fold_v1(b.name) collate "C" < fold_v1(:typed::text) || chr(1114111)
     order by fold_v1(b.name) collate "C" limit 20)
    union all
    {products}
), best as (
    select distinct on (kind, key) kind, name, key, place from found
    where kind <> 'product' or key <> all (array({buried}))
    order by kind, key, place
), ranked as (
    select *, row_number() over (partition by kind order by place, length(name), name collate "C", key) as position
    from best
)
select kind, name, key from ranked
where position <= case kind when 'product' then :limit::int else 3 end
order by kind = 'product', kind, position limit :limit::int
"""


def suggestions_statement(text: Text) -> tuple[str, dict[str, Any]]:
    parameters: dict[str, Any] = {"typed": text.typed, "head": text.head, "tail": text.tail}
    parameters["unspaced"] = " & ".join(quote_lexeme(pair) for pair in text.unspaced)
    short = len(text.tail) < 3
    tiers = (0, LAST_TIER) if short else (0, 1, 2, LAST_TIER)
    sources, scans, gate = [_NAMES_THAT_GO_ON], "", ""
    if text.tail:
        for tier in tiers:
            if short and tier == LAST_TIER:
                # Of one or two letters all the words of a large catalogue are too many.
                gate += f" and not {TIERED}"
            scans += _MATCHING_TIER.format(tier=tier, gate=gate, most=_MOST) + ",\n"
            gate += f" and (select count(*) from tier_{tier}) < {_MOST}"
        among = " union ".join(f"select * from tier_{tier}" for tier in tiers)
        sources.append(_WORDS_THAT_GO_ON.format(tiers=among))
    buried = _BURIED.format(tier=LAST_TIER)
    return _SUGGESTIONS.format(tiers=scans, products=" union all ".join(sources), buried=buried), parameters
