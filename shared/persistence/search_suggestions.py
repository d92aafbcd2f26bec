"""The statement of suggestions: categories, brands and products whose name goes on from what was typed."""

from typing import Any

from shared.persistence.search_statements import LAST_TIER, quote_lexeme
from shared.search.texts import Text

# Names that begin so: all of the popular, and of the others the first of the alphabet.
_NAMES_THAT_GO_ON = """
select * from (
    select 'product' as kind, p.name, p.slug as key, p.place from search_products p
    where left(p.search_text, 60) collate "C" >= fold_v1(:typed::text)
        and left(p.search_text, 60) collate "C" < fold_v1(:typed::text) || chr(1114111) and p.tier <= {tier}
    order by left(p.search_text, 60) collate "C" limit {most}) names_{tier}
"""

# Names that have a word which goes on so (weight A). An index knows no weights: of what matches anywhere, the most
# popular are looked at, and the less popular only where these are too few.
_WORDS_THAT_GO_ON = """
select 'product', p.name, p.slug, p.place from (
    select * from ({tiers}) matches order by place limit 1000) popular
join search_products p on p.product_id = popular.product_id
where p.words @@ (plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*A')
    && :unspaced::tsquery)
"""
_GO_ON = """(plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*')
    && :unspaced::tsquery)"""
_MATCHING_TIER = f"select p.product_id, p.place from search_products p where p.words @@ {_GO_ON} and p.tier <= {{tier}}"

# Staff have said that the whole text does not find them (shared.search.merchandising).
_BURIED = """
select p.slug from query_rules r join search_products p on p.product_id = any (r.buried)
where r.query = fold_v1(:typed::text) and p.tier <= {tier}
"""

_SUGGESTIONS = """
with found as (
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
    sources = [_NAMES_THAT_GO_ON.format(tier=tier, most=most) for tier, most in ((0, 2000), (LAST_TIER, 300))]
    parameters: dict[str, Any] = {"typed": text.typed}
    if len(text.tail) >= 3:
        tiers = [_MATCHING_TIER.format(tier=tier) for tier in (0, 2, LAST_TIER)]
        few = [f"(select count(*) from ({tier} limit 200) t) < 200" for tier in tiers]
        gated = [tiers[0], f"{tiers[1]} and {few[0]}", f"{tiers[2]} and {few[1]}"]
        sources.append(_WORDS_THAT_GO_ON.format(tiers=" union ".join(gated)))
        unspaced = " & ".join(quote_lexeme(pair) for pair in text.unspaced)
        parameters |= {"head": text.head, "tail": text.tail, "unspaced": unspaced}
    buried = _BURIED.format(tier=LAST_TIER)
    return _SUGGESTIONS.format(products=" union all ".join(sources), buried=buried), parameters
