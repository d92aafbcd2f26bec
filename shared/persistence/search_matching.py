"""What of a product matches a text, what the filters leave, and how relevant it is: conditions and keys, as SQL.

A condition names `p`, a row of search_products, or of what stands apart from it and knows as much. No text of a shopper
is part of any SQL: it comes as a parameter, or as quoted lexemes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from shared.search.listing import Matching, Search, Steering
from shared.search.texts import MOST_PARTS, Text

LAST_TIER = 4
# A range of prices that so few products have is looked for by its lexemes.
RARE = 20_000
# So few products that filters leave, up to a tier, are all looked at for a substring; else no more than so many that
# have it, of the popular and of the others.
LEFT = 10_000
LOOKED_AT = 20_000
# So few products that filters leave without a text are read by the filters; of more, the next ones of a page are near
# in any order.
BROWSED_FEW = 3_000
_POPULAR = 2
_LEFT = {0: 100, _POPULAR: 1_000, LAST_TIER: LEFT}
# Parts of one or two characters have no trigrams: they are looked for among so many popular products only.
SCANNED = 1_000
MOST_SKUS = 20

_DEAREST = 2**62

# The copy of each row of what was found, by its key: `offset 0` keeps the planner from joining. It takes a page for a
# tenth of the catalogue, for it knows no limit that is a parameter, and would read all of it.
BY_KEY = "cross join lateral (select * from search_products where product_id = {}.product_id offset 0) p"
_HIGHEST = chr(0x10FFFF)

# A path is the range of its subtree: '/' and what follows it in ASCII, '0'.
SUBTREE = """select id from categories
    where path = :category::text or (path > :category::text || '/' and path < :category::text || '0')"""
OF_BRAND = "p.brand_id = (select id from brands where slug = :brand::text)"
IN_CATEGORY = f"p.category_id = any(array({SUBTREE}))"

# Evaluated once, and not for each row where the rows are walked or ranked; an index serves all the same. What stands
# in one piece or apart may as well stand the other way.
_ALL_WORDS = (
    "(select (plainto_tsquery('public.shop', :words::text) || (to_tsquery('public.shop', :forms::text)"
    " && plainto_tsquery('public.shop', :plain::text))) && :unspaced::tsquery)"
)
_ALL_WIDENED = "((select widened_query_v2(:words::text, false)) && :unspaced::tsquery)"
_PLAIN = {
    Matching.NAMED: _ALL_WORDS,
    Matching.WORDS: _ALL_WORDS,
    Matching.PREFIX: "(select plainto_tsquery('public.shop', :head::text)"
    " && to_tsquery('public.shop', :tail::text || ':*') && :unspaced::tsquery)",
    # Any of them: what a tsquery of all says with & between them, with | instead. Its lexemes hold no operator.
    Matching.SOME: "(select replace(plainto_tsquery('public.shop', :words::text)::text, '&', '|')::tsquery"
    " || replace(:unspaced::text, '&', '|')::tsquery)",
}

# The same with what means the same.
_WIDENED = {
    Matching.NAMED: _ALL_WIDENED,
    Matching.WORDS: _ALL_WIDENED,
    Matching.PREFIX: "((select widened_query_v2(:head::text, false))"
    " && to_tsquery('public.shop', :tail::text || ':*') && :unspaced::tsquery)",
    Matching.SOME: "((select widened_query_v2(:words::text, true)) || replace(:unspaced::text, '&', '|')::tsquery)",
}

# Where few products have such a price: each lexeme more costs a look at every product that the rest finds. Null where
# none has, and then nothing is found. No further than there are prices, for steps that nothing has would be looked for
# as well.
_PRICES = f"""(select case when n = 0 then null when n <= {RARE} then price_query_v1(low, high) else '' end
    from (select count(*) as n, min(price_minor) as low, max(price_minor) as high
        from (select price_minor from search_prices
            where price_minor between :price_min::bigint and :price_max::bigint limit {RARE + 1}) few) prices)"""

# A SKU that somebody has typed, whole or so much of it that few begin like this, goes before whatever has its words.
_SKU = "select product_id from search_variants where folded = fold_v1(:typed::text)"
_BEGUN_SKU = f"""select product_id from search_variants
    where folded >= fold_v1(:typed::text) and folded < fold_v1(:typed::text) || '{_HIGHEST}'
    order by folded limit {MOST_SKUS}"""

# How relevant a product is, as functions of the database: search_words_v2 ranks by them as well.
_RANK = "relevance_v2({density}, p.words, {name}, {description}, {beside}, p.search_text, {folded}, p.boost)"
_DENSITY = "density_v1(p.words, {query})"
# The words in one field alone.
_IN_FIELD = "(select query_in_v1({query}, '{field}'))"
# By the words that were typed; what only synonyms find has nine tenths of what has its words once, in its name or else
# in its description. Density by all of the synonyms takes ten times as long with twenty, sixty times with sixty.
_WIDENED_DENSITY = """greatest({density},
    case when p.words @@ {name} then 0.9 else 0.27 end * ln(2::float8) / ln(length(p.words) + 2::float8))"""

_PARTIAL_RANK = "partial_relevance_v1(p.words, {query}, p.boost)"
# Above every rank by some words, below a SKU.
_ALL_WORDS_KEY = 500_000_000

# Found by the text itself.
OWN = "{row}.product_id <> all(:apart::uuid[])"

# The ways of a text, in the order in which they are tried: as words, with the last one going on, else somehow.
AS_WORDS = (Matching.NAMED, Matching.WORDS)
GOING_ON = (Matching.PREFIX,)
SOMEHOW = (Matching.SUBSTRING, Matching.SOME)


def filters_of(search: Search, *, of_prices: bool = False) -> tuple[list[str], dict[str, Any]]:
    """`of_prices`: of rows of search_prices, which has indexes of them. Until 0040 has run search_products has one too,
    which would be a second, larger set to intersect: `+ 0` hides it."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    if search.category is not None:
        conditions.append(IN_CATEGORY)
        parameters["category"] = search.category
    if search.brand is not None:
        conditions.append(OF_BRAND)
        parameters["brand"] = search.brand
    if search.price_min is not None or search.price_max is not None:
        price = "p.price_minor" if of_prices else "p.price_minor + 0"
        conditions.append(f"{price} between :price_min::bigint and :price_max::bigint")
        parameters["price_min"] = 0 if search.price_min is None else search.price_min
        parameters["price_max"] = _DEAREST if search.price_max is None else search.price_max
    if search.in_stock:
        conditions.append("p.in_stock")
    return conditions, parameters


def left_by_filters(search: Search) -> tuple[str, dict[str, Any]]:
    """The rows of search_prices that the filters leave, as what follows FROM. Categories are asked for a brand one by
    one: as one condition they would tempt the planner to read all of the brand."""
    filters, parameters = filters_of(search, of_prices=True)
    if search.category is None or search.brand is None:
        return f"search_prices p where {' and '.join(filters) or 'true'}", parameters
    own = " and ".join(["p.category_id = c.id", *(each for each in filters if each != IN_CATEGORY)])
    return f"({SUBTREE}) c cross join lateral (select * from search_prices p where {own}) p", parameters


@dataclass(frozen=True, slots=True)
class Terms:
    """What a statement asks of each product, as SQL that is evaluated once a scan, or once a statement: the `query` of
    its words as they were typed (`plain`), whether with their synonyms it `asks` for anything, that `narrowed` by the
    filters, in the name alone and in the description alone, what products may go with (`beside`), the text `folded`,
    and the products of the SKU that it is or begins."""

    plain: str
    asks: str
    narrowed: str
    in_name: str
    in_description: str
    beside: str
    folded: str
    whole: str
    begun: str

    def words_match(self, matching: Matching, *, more: str = "") -> str:
        """A text of stop words alone asks for nothing, not for all that the filters leave."""
        query = f"({self.narrowed} && {more})" if more else self.narrowed
        return f"{self.asks} and p.{'named' if matching is Matching.NAMED else 'words'} @@ {query}"

    @classmethod
    def of(cls, search: Search, text: Text, matching: Matching, steering: Steering) -> Self:
        query = (_WIDENED if steering.widened else _PLAIN)[matching]
        return cls(
            plain=f"(select {_PLAIN[matching]})",
            asks=f"(select numnode({query}) > 0)",
            narrowed=f"(select {query} && {narrow_of(search)[0]})",
            in_name=_IN_FIELD.format(query=query, field="A"),
            in_description=_IN_FIELD.format(query=query, field="D"),
            beside="(select beside_v1(:typed::text))",
            folded="(select fold_v1(:typed::text))",
            whole=f"array({_SKU})",
            begun=f"array({_BEGUN_SKU if text.may_begin_sku else _SKU})",
        )


def matches_of(search: Search, text: Text, matching: Matching, steering: Steering) -> tuple[list[str], dict[str, Any]]:
    """What is found by the text itself: the pinned have a place of their own, and the buried none."""
    if matching is Matching.EVERYTHING:
        return [], {}
    if matching is Matching.NOTHING:
        return ["false"], {}
    matches, parameters = _matches_alone(search, text, matching, steering)
    if steering.apart:
        matches.append(OWN.format(row="p"))
        parameters["apart"] = steering.apart
    return matches, parameters


def pinned_products(filters: Sequence[str]) -> str:
    """Found by their ids, then narrowed: OFFSET 0 keeps the planner from reading a whole category for a few of it."""
    pinned = f"(select * from search_products where product_id = any(:pinned::uuid[]) and tier <= {LAST_TIER} offset 0)"
    return f"{pinned} p where {' and '.join(filters) or 'true'}"


def _matches_alone(
    search: Search, text: Text, matching: Matching, steering: Steering
) -> tuple[list[str], dict[str, Any]]:
    """The condition of the text first."""
    if matching is Matching.SUBSTRING:
        parts = [*text.long_parts, *(part for part in text.parts if part not in text.long_parts)]
        parts += [parts[-1]] * (MOST_PARTS - len(parts))
        names = [f"part{number}" for number in range(MOST_PARTS)]
        return [f"p.search_text like {_contains(name)}" for name in names], dict(zip(names, parts, strict=True))
    if matching is Matching.MOST:
        [whole], parameters = _matches_alone(search, text, Matching.WORDS, steering)
        parameters["most"] = text.most
        return [f"({most_match(search)} or {whole})"], parameters
    terms = Terms.of(search, text, matching, steering)
    parameters, matches = words_of(text, matching) | narrow_of(search)[1], terms.words_match(matching)
    if matching in AS_WORDS and text.may_be_sku:
        matches = f"({matches} or p.product_id = any({terms.begun}))"
        parameters["typed"] = text.typed
    return [matches], parameters


def most_match(search: Search) -> str:
    most = f"(select :most::tsquery && :unspaced::tsquery && {narrow_of(search)[0]})"
    return f"(select numnode(:most::tsquery) > 0) and p.words @@ {most}"


def not_of_sku(search: Search, text: Text, matching: Matching, steering: Steering) -> str:
    """The products of a SKU that was typed are ranked, in whatever tier."""
    return f"p.product_id <> all({Terms.of(search, text, matching, steering).begun})"


def not_whole(search: Search, text: Text, steering: Steering) -> str:
    """What has all words is ranked, in whatever tier."""
    return f"not ({_matches_alone(search, text, Matching.WORDS, steering)[0][0]})"


def narrow_of(search: Search) -> tuple[str, dict[str, Any]]:
    """What the filters ask for is words as well, which no text can spell: what they leave is found without reading the
    rest. A price is in a step of prices: the filters check what lies at its ends."""
    query, parameters = ":narrow::tsquery", {"narrow": filter_lexemes(search)}
    if search.price_min is not None or search.price_max is not None:
        query = f"({query} && {_PRICES})"
    return query, parameters


def filter_lexemes(search: Search) -> str:
    """What the filters but that of prices ask for, as a tsquery."""
    narrow = [f"b:{search.brand}"] if search.brand is not None else []
    narrow += [f"c:{search.category}"] if search.category is not None else []
    narrow += ["s:1"] if search.in_stock else []
    return _quoted(narrow)


def words_of(text: Text, matching: Matching) -> dict[str, Any]:
    unspaced = {"unspaced": _quoted(text.unspaced)}
    if matching is Matching.PREFIX:
        return {"head": text.head, "tail": text.tail} | unspaced
    forms = " & ".join(f"({_quoted([''.join(form)])} | {_quoted(form)})" for form in text.forms)
    return {"words": text.words, "plain": text.plain, "forms": forms} | unspaced


def _quoted(words: Sequence[str]) -> str:
    return " & ".join(quote_lexeme(word) for word in words)


def quote_lexeme(word: str) -> str:
    """One word of a tsquery, whatever is in it: PostgreSQL, datatype-textsearch: quotes and backslashes are doubled."""
    return "'" + word.replace("\\", "\\\\").replace("'", "''")[:500] + "'"


def _contains(name: str) -> str:
    """A pattern for LIKE without wildcards of the shopper's; escaped after folding, which makes a % of a ％. Made once,
    and not for each row."""
    return rf"(select '%' || regexp_replace(fold_v1(:{name}::text), '([\\%_])', '\\\1', 'g') || '%')"


def is_scan(text: Text, matching: Matching) -> bool:
    return matching is Matching.SUBSTRING and not text.long_parts


def found_in(
    search: Search,
    text: Text,
    matching: Matching,
    reach: int,
    steering: Steering,
    *,
    own: bool,
    skus: bool = True,
    whole_rows: bool = True,
) -> tuple[str, list[str], dict[str, Any]]:
    """Where what matches is read from, up to a tier, and what is still to be checked of each. `own`: without the pinned
    and the buried; `skus`: with the products of a SKU that was typed, of any tier. They are read beside the others: one
    condition for both would look at the words of each product once more. `whole_rows`: with all columns of the copies,
    and not only what search_texts has of them where no filter asks for more. OFFSET 0 keeps the filters out of it: what
    a brand sells is a thousandth of a catalogue to the planner, and may be a tenth."""
    matches, parameters = (matches_of if own else _matches_alone)(search, text, matching, steering)
    if is_scan(text, matching):
        return (
            f"(select * from search_products where tier <= {LAST_TIER} order by place limit {SCANNED}) p",
            matches,
            parameters,
        )
    if matching is Matching.SUBSTRING:
        has_short_parts = set(text.parts) != set(text.long_parts)
        indexed = len(text.long_parts) if has_short_parts else MOST_PARTS
        parts, short_parts = (" and ".join(each) or "true" for each in (matches[:indexed], matches[indexed:MOST_PARTS]))
        if search.is_filtered:
            source, more = _having_few_or_some(search, parts, short_parts, reach)
            return f"({source}) p", matches[MOST_PARTS:], parameters | more
        source = _having(reach, parts, short_parts, limited=has_short_parts, whole_rows=whole_rows)
        return f"({source}) p", matches[MOST_PARTS:], parameters
    if matching is Matching.MOST:
        # The few that have all words are found in whatever tier; beside the others, for an index serves either alone.
        whole, *_ = found_in(search, text, Matching.WORDS, LAST_TIER, steering, own=own)
        source = f"""select * from {whole} union all select p.* from search_products p
            where p.tier <= {reach} and {most_match(search)} and {not_whole(search, text, steering)}"""
        return f"({source} offset 0) p", matches[1:], parameters
    if matching is Matching.EVERYTHING and search.is_filtered:
        # Few are read by the filters. Of more only some are counted: in the order of an index of prices, the cheapest.
        left, more = left_by_filters(search)
        few = f"few as materialized (select p.product_id from {left} limit {BROWSED_FEW + 1})"
        source = f"""(with {few}
            select p.* from few {BY_KEY.format("few")} where (select count(*) <= {BROWSED_FEW} from few)
            union all
            select p.* from search_products p
            where p.tier <= {reach} and (select count(*) > {BROWSED_FEW} from few)) p"""
        return source, matches, parameters | more
    if matching is Matching.EVERYTHING:
        return f"(select * from search_products where tier <= {reach} order by place offset 0) p", matches, parameters
    if not matches or matching is Matching.NOTHING:
        return f"(select * from search_products where tier <= {reach}) p", matches, parameters
    if matching not in AS_WORDS:
        source = f"select p.* from search_products p where p.tier <= {reach} and {matches[0]} offset 0"
        return f"({source}) p", matches[1:], parameters
    terms = Terms.of(search, text, matching, steering)
    source = f"select p.* from search_products p where p.tier <= {reach} and {terms.words_match(matching)}"
    if text.may_be_sku:
        source += f" and p.product_id <> all({terms.begun})"
        if skus:
            source += f""" union all select p.* from search_products p
                where p.tier <= {LAST_TIER} and p.product_id = any({terms.begun})"""
    return f"({source} offset 0) p", matches[1:], parameters


def _having(reach: int, parts: str, short_parts: str, *, limited: bool, whole_rows: bool, gate: str = "true") -> str:
    """What has parts that an index finds, and then the others. Where it is `limited`, because most of what was found
    would be left out, no more than LOOKED_AT of the popular and of the others are looked at."""
    tiers = [f"p.tier <= {reach}"]
    if limited and reach == LAST_TIER:
        tiers = [f"p.tier <= {_POPULAR}", f"p.tier > {_POPULAR} and p.tier <= {LAST_TIER}"]
    found = " union all ".join(
        f"""(select p.* from search_texts p
            where {gate} and {tier} and {parts} {f"limit {LOOKED_AT}" if limited else "offset 0"})"""
        for tier in tiers
    )
    having = f"select p.* from ({found}) p where {short_parts}"
    if not whole_rows:
        return having
    return f"select p.* from ({having} offset 0) found {BY_KEY.format('found')}"


def _having_few_or_some(search: Search, parts: str, short_parts: str, reach: int) -> tuple[str, dict[str, Any]]:
    """What has the substrings, before the filters: where the filters leave few, these are read instead of all that an
    index finds."""
    narrow, parameters = narrow_of(search)
    left = max(most for tier, most in _LEFT.items() if tier <= max(reach, 0))
    having = """(select count(*) from (
        select from search_products where tier <= {} and words @@ asked.narrow limit {}) n)"""
    many = " ".join(
        f"when {having.format(tier, most + 1)} > {most} then false" for tier, most in _LEFT.items() if tier < reach
    )
    # OFFSET 0: by what the filters ask for, whatever the planner thinks of the substrings.
    few = f"""select * from search_products where filters.leave_few and tier <= {reach} and words @@ asked.narrow
        offset 0"""
    some = _having(reach, parts, short_parts, limited=True, whole_rows=True, gate="not filters.leave_few")
    return (
        f"""select p.* from (select {narrow} as narrow offset 0) asked
        cross join lateral (select case when numnode(asked.narrow) = 0 then false {many}
            else {having.format(reach, left + 1)} <= {left} end as leave_few offset 0) filters
        cross join lateral (select p.* from ({few}) p where {parts} and {short_parts} union all ({some})) p""",
        parameters,
    )


def relevance(search: Search, text: Text, matching: Matching, steering: Steering) -> str:
    if matching is Matching.NOTHING:
        return "0::bigint"
    if matching is Matching.SUBSTRING:
        # The shorter the text, the larger the part of it that was typed.
        return "(1000000 / (1 + length(p.search_text)))::bigint"
    if matching is Matching.MOST:
        [whole], _ = _matches_alone(search, text, Matching.WORDS, steering)
        partial = _PARTIAL_RANK.format(query=f"(select {_PLAIN[Matching.SOME]})")
        by_words = relevance(search, text, Matching.WORDS, steering)
        return f"(case when {whole} then {_ALL_WORDS_KEY} + {by_words} else {partial} end)"
    terms = Terms.of(search, text, matching, steering)
    rank = _rank_by(matching, steering, terms)
    return _first_of_sku(rank, terms) if matching in AS_WORDS and text.may_be_sku else rank


def _rank_by(matching: Matching, steering: Steering, terms: Terms) -> str:
    density = _DENSITY.format(query=terms.plain)
    if steering.widened:
        density = _WIDENED_DENSITY.format(density=density, name=terms.in_name)
    return _RANK.format(
        density=density,
        name=terms.in_name,
        description=terms.in_description,
        beside=terms.beside,
        folded=terms.folded,
    )


def _first_of_sku(rank: str, terms: Terms) -> str:
    """The product of the SKU itself, then those of SKUs that go on from it, then the others."""
    whole, begun = f"p.product_id = any({terms.whole})", f"p.product_id = any({terms.begun})"
    return f"(case when {whole} then 2000000000 when {begun} then 1000000000 else 0 end + {rank})"
