"""The statements of lists: which products match a text, in which order, narrowed by which filters.

A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. A text is looked for among the most popular products first, and among more only where these held too few:
`tier <= n` is an index of its own.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.search.listing import UNSTEERED, Matching, Position, Search, Sort, Steering
from shared.search.texts import MOST_PARTS, Text

# Counting stops here, and the total says so.
COUNTED = 1000
# So many matches among the popular, and no more are looked for: these are ranked, the rest follows by popularity.
ENOUGH = 400
LAST_TIER = 4
# So many matches, about, and a list by something else than relevance walks the index of its sort: it sorts nothing.
MANY = 20_000
# It gives up after so many products: what is many may all lie at the other end.
WALKED = 5_000
# Parts of one or two characters have no trigrams: they are looked for among so many popular products only.
SCANNED = 5_000
MOST_SKUS = 20

_DEAREST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_HIGHEST = chr(0x10FFFF)

# Each key is one column of an index that ends in the id; relevance is computed.
_SORT_KEYS = {
    Sort.PRICE_ASC: ("p.price_minor", "asc"),
    Sort.PRICE_DESC: ("p.price_minor", "desc"),
    Sort.NEWEST: ("p.created_at", "desc"),
    Sort.POPULARITY: ("p.place", "asc"),
}

# A path is the range of its subtree: '/' and what follows it in ASCII, '0'.
_SUBTREE = """select id from categories
    where path = :category::text or (path > :category::text || '/' and path < :category::text || '0')"""
_IN_CATEGORY = f"p.category_id = any(array({_SUBTREE}))"

# Evaluated once, and not for each row where the rows are walked or ranked; an index serves all the same.
_PLAIN = {
    # Whatever stands in one piece or apart may as well stand the other way.
    Matching.WORDS: "(select (plainto_tsquery('public.shop', :words::text) || (to_tsquery('public.shop', :forms::text)"
    " && plainto_tsquery('public.shop', :plain::text))) && :unspaced::tsquery)",
    Matching.PREFIX: "(select plainto_tsquery('public.shop', :head::text)"
    " && to_tsquery('public.shop', :tail::text || ':*') && :unspaced::tsquery)",
    # Any of them: what a tsquery of all says with & between them, with | instead. Its lexemes hold no operator.
    Matching.SOME: "(select replace(plainto_tsquery('public.shop', :words::text)::text, '&', '|')::tsquery"
    " || replace(:unspaced::text, '&', '|')::tsquery)",
}

# The same with what means the same.
_WIDENED = {
    Matching.WORDS: "((select widened_query_v2(:words::text, false)) && :unspaced::tsquery)",
    Matching.PREFIX: "((select widened_query_v2(:head::text, false))"
    " && to_tsquery('public.shop', :tail::text || ':*') && :unspaced::tsquery)",
    Matching.SOME: "((select widened_query_v2(:words::text, true)) || replace(:unspaced::text, '&', '|')::tsquery)",
}

# What staff have said of a text: one look at an index for the whole of it, one for its words, of which it must have all
# that are widened together.
STEERING = """
    (select json_build_object('pinned', pinned, 'buried', buried) from query_rules where query = fold_v1(:typed::text))
        as rule,
    exists (select from synonym_rewrites
        where lexeme = any(tsvector_to_array(to_tsvector('public.shop', :words::text)))
            and to_tsvector('public.shop', :words::text) @@ target) as widened"""

# A SKU that somebody has typed, whole or so much of it that few begin like this, goes before whatever has its words.
_SKU = "select product_id from search_variants where folded = fold_v1(:typed::text)"
_BEGUN_SKU = f"""select product_id from search_variants
    where folded >= fold_v1(:typed::text) and folded < fold_v1(:typed::text) || '{_HIGHEST}'
    order by folded limit {MOST_SKUS}"""

# D, C, B, A: description, category, brand, name; weights, normalisation, and what it adds that the description has all
# of the words or the name has them as they were typed, as the human judgements of the real catalogue like them best
# (benchmarks/relevance.py). Whole numbers, so that a cursor's key is exact.
_RANK = r"""(({density}
    + case when p.words @@ {description} then 0.15 else 0 end
    + case when strpos(p.search_text, (select fold_v1(:typed::text))) > 0 then 0.2 else 0 end)
    * p.boost * 1e6)::bigint"""
_DENSITY = "ts_rank_cd('{{0.3, 0.4, 0.4, 1.0}}', p.words, {query}, 1)"
# The words in one field alone.
_IN_FIELD = r"""(select regexp_replace(regexp_replace({query}::text, ''':\*', ''':*{field}', 'g'),
    '''( |$)', ''':{field}\1', 'g')::tsquery)"""
# By the words that were typed; what only synonyms find has nine tenths of what has its words once, in its name or else
# in its description. Density by all of the synonyms takes ten times as long with twenty, sixty times with sixty.
_WIDENED_DENSITY = """greatest({density},
    case when p.words @@ {name} then 0.9 else 0.27 end * ln(2::float8) / ln(length(p.words) + 2::float8))"""

_LISTED = """p.slug, p.sku, p.name, p.brand_name as brand, p.brand_slug, p.category_path, p.category_name,
    p.offer_minor as price_minor, p.currency, p.in_stock, p.image_url"""

# Found by the text itself.
_OWN = "{row}.product_id <> all(:apart::uuid[])"
# Before a SKU that was typed, in their order.
_PINNED_KEY = "4000000000 - array_position(:pinned::uuid[], p.product_id)::bigint"

# The ways of a text, in the order in which they are tried.
WAYS = (Matching.WORDS, Matching.PREFIX, Matching.SUBSTRING, Matching.SOME)

Statement = tuple[str, dict[str, Any]]


def find_statement(
    search: Search, text: Text, ways: Sequence[Matching], *, steering: Steering | None = UNSTEERED
) -> Statement:
    """How the text finds anything among what the filters leave: {matching, reach, counted, pinned, among, everything}.

    Ways are tried in turn, a way tier by tier until it has enough: a condition that names no row gates each scan. What
    is pinned or buried opens no weaker way by that: it has its part in what a way finds, and none in what is `counted`.
    `among` is how many products the tiers up to `reach` hold, `everything` how many there are, `pinned` how many of the
    pinned. Where nobody knows yet what staff have said (steering None), it is told as well: {rule, widened}.
    """
    filters, parameters = _filters(search)
    asking = ""
    if steering is None:
        steering, asking = UNSTEERED, f", {STEERING}"
        parameters |= {"typed": text.typed, "words": text.words}
    each, counting = "", "count(*) as n, count(*) as own"
    if steering.apart:
        each, counting = "p.product_id", f"count(*) as n, count(*) filter (where {_OWN.format(row='m')}) as own"
        parameters["apart"] = steering.apart
    scans, earlier = [], "0"
    cases, reaches, counts = [], [], []
    for way in ways:
        matches, more = _matches_alone(search, text, way, steering)
        parameters |= more
        tiers = range(LAST_TIER + 1)
        if _is_scan(text, way):
            tiers = range(LAST_TIER, LAST_TIER + 1)
        before = "0"
        for tier in tiers:
            name = f"{way.value}_{tier}"
            limit = (COUNTED + 1 if tier == LAST_TIER else COUNTED * 2) + len(steering.apart)
            wanted = " and ".join([f"{earlier} = 0", f"{before} < {ENOUGH}", *matches, *filters])
            source = _source(text, way, tier)
            some = f"select {each} from {source} where {wanted} limit {limit}"
            scans.append(f"lateral (select {counting} from ({some}) m) {name}")
            before = f"greatest({before}, {name}.n)"
            reached = f"{name}.n >= {ENOUGH}" if tier < LAST_TIER else f"{name}.n > 0"
            cases.append(f"when {reached} then '{way.value}'")
            reaches.append(f"when {reached} then {tier}")
            counts.append(f"when {reached} then {name}.own")
        earlier = f"{earlier} + {way.value}_{LAST_TIER}.n" + "".join(f" + {way.value}_{t}.n" for t in tiers[:-1])
    pinned = "0"
    if steering.pinned:
        pinned = f"(select count(*) from {_pinned(filters)})"
        parameters["pinned"] = list(steering.pinned)
    sql = f"""
        select case {" ".join(cases)} else 'nothing' end as matching,
            case {" ".join(reaches)} else {LAST_TIER} end as reach, case {" ".join(counts)} else 0 end as counted,
            (select products from search_tiers t where t.tier = case {" ".join(reaches)} else {LAST_TIER} end) as among,
            (select products from search_tiers t where t.tier = {LAST_TIER}) as everything,
            {pinned} as pinned{asking}
        from {", ".join(scans)}"""
    return sql, parameters


def list_statement(
    search: Search,
    text: Text,
    matching: Matching,
    *,
    reach: int,
    after: Position | None,
    counting: bool,
    steering: Steering = UNSTEERED,
) -> Statement:
    """A page's rows, with their `key` and the total where it is counted. Relevance ranks what the tiers up to `reach`
    hold, all of it, so that no page's order depends on another's. Pinned products have the highest keys of all."""
    filters, parameters = _filters(search)
    matches, more = _matches(search, text, matching, steering)
    parameters |= more
    sort = search.sorted_by
    if sort is Sort.RELEVANCE:
        key, direction = _relevance(text, matching, steering), "desc"
        parameters |= {} if matching in (Matching.SUBSTRING, Matching.NOTHING) else {"typed": text.typed}
    else:
        key, direction = _SORT_KEYS[sort]
        reach = LAST_TIER
    beyond, following = _beyond(sort, direction, after)
    parameters |= following
    conditions = " and ".join([*matches, *filters])
    if matching is Matching.EVERYTHING:
        # The index of the sort key is walked and the filters are checked on the way.
        beyond = " and " + beyond.format(key=key, id="p.product_id") if beyond else ""
        page = f"""select p.product_id, {key} as key from search_products p
            where p.tier <= {LAST_TIER} and {{conditions}}{beyond}
            order by {key} {direction}, p.product_id {direction} limit :limit::int"""
        if search.category is None:
            page = page.format(conditions=conditions or "true")
        else:
            # Each category of the subtree has its own sorted range of an index: their first rows are merged. As one
            # condition it would tempt the planner to walk the whole catalogue in order until enough of it fit.
            own = " and ".join(["p.category_id = c.id", *(each for each in filters if each != _IN_CATEGORY)])
            page = f"""select m.product_id, m.key from ({_SUBTREE}) c
                cross join lateral ({page.format(conditions=own)}) m
                order by m.key {direction}, m.product_id {direction} limit :limit::int"""
    else:
        # OFFSET 0 keeps the planner from walking the sort key's index past everything that does not match.
        beyond = "where " + beyond.format(key="m.key", id="m.product_id") if beyond else ""
        source = _source(text, matching, reach)
        found = f"select p.product_id, {key} as key from {source} where {conditions} offset 0"
        if steering.pinned:
            place = _PINNED_KEY if sort is Sort.RELEVANCE else key
            found = f"""({found}) union all
                select p.product_id, {place} as key from {_pinned(filters)}"""
            parameters["pinned"] = list(steering.pinned)
        page = f"""select m.product_id, m.key from ({found}) m {beyond}
            order by m.key {direction}, m.product_id {direction} limit :limit::int"""
    total = ""
    if counting:
        counted = (
            f"select from search_products p where p.tier <= {LAST_TIER} and {conditions or 'true'} limit {COUNTED + 1}"
        )
        total = f", (select count(*) from ({counted}) t) as total"
    order = f"page.key {direction}, page.product_id {direction}"
    return _with_rows(page, "page.key", order, total), parameters


def walk_statement(
    search: Search, text: Text, matching: Matching, *, after: Position | None, steering: Steering = UNSTEERED
) -> Statement:
    """The same page where very many match and the sort is not relevance: the next WALKED products of the sort's index
    are looked at in order. Fewer rows than were asked for say nothing: these were too few, or the list ends."""
    filters, parameters = _filters(search)
    matches, more = _matches(search, text, matching, steering)
    key, direction = _SORT_KEYS[search.sorted_by]
    beyond, following = _beyond(search.sorted_by, direction, after)
    parameters |= more | following
    beyond = " and " + beyond.format(key=key, id="p.product_id") if beyond else ""
    matched = " and ".join(matches)
    if steering.pinned:
        matched = f"({matched} or p.product_id = any(:pinned::uuid[]))"
        parameters["pinned"] = list(steering.pinned)
    page = f"""select p.product_id, p.key from (
            select p.*, {key} as key from search_products p where p.tier <= {LAST_TIER}{beyond}
            order by {key} {direction}, p.product_id {direction} limit {WALKED}) p
        where {" and ".join([matched, *filters])}
        order by p.key {direction}, p.product_id {direction} limit :limit::int"""
    return _with_rows(page, "page.key", f"page.key {direction}, page.product_id {direction}", ""), parameters


def rest_statement(
    search: Search,
    text: Text,
    matching: Matching,
    *,
    reach: int,
    after: Position | None,
    steering: Steering = UNSTEERED,
) -> Statement:
    """What matches beyond the tiers that were ranked, by popularity. Its keys are negative: -place."""
    filters, parameters = _filters(search)
    matches, more = _matches(search, text, matching, steering)
    parameters |= more
    conditions = [f"p.tier <= {LAST_TIER}", f"p.tier > {reach}", *matches, *filters]
    if after is not None:
        conditions.append("(p.place, p.product_id) > (:after_place::bigint, :after_id::uuid)")
        parameters |= {"after_place": -after.key, "after_id": after.id}
    page = f"""select p.product_id, p.place as key from search_products p where {" and ".join(conditions)}
        order by p.place, p.product_id limit :limit::int"""
    return _with_rows(page, "-page.key", "page.key, page.product_id", ""), parameters


def facets_statement(
    search: Search, text: Text, matching: Matching, *, reach: int, most: int, steering: Steering = UNSTEERED
) -> Statement:
    filters, parameters = _filters(search)
    matches, more = _matches(search, text, matching, steering)
    source, conditions = _source(text, matching, reach), " and ".join([*matches, *filters]) or "true"
    if steering.pinned:
        source = f"""(select p.* from {source} where {conditions}
            union all select p.* from {_pinned(filters)}) p"""
        conditions = "true"
        more["pinned"] = list(steering.pinned)
    sql = _FACETS.format(source=source, filters=conditions, most=most + 1)
    return sql, parameters | more


def _beyond(sort: Sort, direction: str, after: Position | None) -> tuple[str, dict[str, Any]]:
    """What lies after a position, of a {key} and an {id}; nothing for the first page."""
    if after is None:
        return "", {}
    kind = "timestamptz" if sort is Sort.NEWEST else "bigint"
    key = _EPOCH + after.key * _MICROSECOND if sort is Sort.NEWEST else after.key
    condition = f"({{key}}, {{id}}) {'>' if direction == 'asc' else '<'} (:after_key::{kind}, :after_id::uuid)"
    return condition, {"after_key": key, "after_id": after.id}


def _with_rows(page: str, key: str, order: str, total: str) -> str:
    """Each row of the page by its key: `offset 0` keeps the planner from joining, which takes a page for a tenth of the
    catalogue, for it knows no limit that is a parameter, and would read all of it."""
    return f"""
        with page as materialized ({page})
        select {_LISTED}, {key} as key, page.product_id{total}
        from page cross join lateral (
            select * from search_products where product_id = page.product_id offset 0) p
        order by {order}"""


_FACETS = """
with m as materialized (
    select p.brand_slug, p.brand_name, p.category_path, p.category_name, p.price_minor, p.currency from {source}
    where {filters} limit {most}
)
select (select count(*) from m) as total, low, high, currency,
    (select coalesce(json_agg(json_build_array(f.slug, f.name, f.n) order by f.n desc, f.slug), '[]')
     from (select brand_slug as slug, min(brand_name) as name, count(*) as n from m where brand_slug is not null
           group by 1 order by n desc, 1 limit 50) f) as brands,
    (select coalesce(json_agg(json_build_array(f.path, f.name, f.n) order by f.n desc, f.path), '[]')
     from (select category_path as path, min(category_name) as name, count(*) as n from m
           where category_path is not null group by 1 order by n desc, 1 limit 100) f) as categories
from (select min(price_minor) as low, max(price_minor) as high, min(currency) as currency from m) prices
"""


def _filters(search: Search) -> tuple[list[str], dict[str, Any]]:
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    # Only a list by price walks an index of prices; else it would be a second, larger set to intersect: `+ 0` hides it.
    by_price = not search.text and search.sorted_by in (Sort.PRICE_ASC, Sort.PRICE_DESC)
    price = "p.price_minor" if by_price else "p.price_minor + 0"
    if search.category is not None:
        conditions.append(_IN_CATEGORY)
        parameters["category"] = search.category
    if search.brand is not None:
        conditions.append("p.brand_id = (select id from brands where slug = :brand::text)")
        parameters["brand"] = search.brand
    if search.price_min is not None or search.price_max is not None:
        conditions.append(f"{price} between :price_min::bigint and :price_max::bigint")
        parameters["price_min"] = 0 if search.price_min is None else search.price_min
        parameters["price_max"] = _DEAREST if search.price_max is None else search.price_max
    if search.in_stock:
        conditions.append("p.in_stock")
    return conditions, parameters


def _matches(search: Search, text: Text, matching: Matching, steering: Steering) -> tuple[list[str], dict[str, Any]]:
    """What is found by the text itself: the pinned have a place of their own, and the buried none."""
    if matching is Matching.EVERYTHING:
        return [], {}
    if matching is Matching.NOTHING:
        return ["false"], {}
    matches, parameters = _matches_alone(search, text, matching, steering)
    if steering.apart:
        matches.append(_OWN.format(row="p"))
        parameters["apart"] = steering.apart
    return matches, parameters


def _pinned(filters: Sequence[str]) -> str:
    """Found by their ids, then narrowed: OFFSET 0 keeps the planner from reading a whole category for a few of it."""
    pinned = f"(select * from search_products where product_id = any(:pinned::uuid[]) and tier <= {LAST_TIER} offset 0)"
    return f"{pinned} p where {' and '.join(filters) or 'true'}"


def _matches_alone(
    search: Search, text: Text, matching: Matching, steering: Steering
) -> tuple[list[str], dict[str, Any]]:
    if matching is Matching.SUBSTRING:
        parts = [*text.parts, *[text.parts[-1]] * (MOST_PARTS - len(text.parts))]
        names = [f"part{number}" for number in range(MOST_PARTS)]
        return [f"p.search_text like {_contains(name)}" for name in names], dict(zip(names, parts, strict=True))
    query, parameters = _query(matching, steering), _words(text, matching)
    # Brand and category are words as well, which no text can spell: what they leave is found without reading the rest.
    narrow = [f"b:{search.brand}"] if search.brand is not None else []
    narrow += [f"c:{search.category}"] if search.category is not None else []
    parameters["narrow"] = _quoted(narrow)
    # A text of stop words alone asks for nothing, not for all that the filters leave.
    matches = f"numnode({query}) > 0 and p.words @@ ({query} && :narrow::tsquery)"
    if matching is Matching.WORDS and text.may_be_sku:
        matches = f"({matches} or {_typed_sku(text)})"
        parameters["typed"] = text.typed
    return [matches], parameters


def _query(matching: Matching, steering: Steering) -> str:
    return (_WIDENED if steering.widened else _PLAIN)[matching]


def _words(text: Text, matching: Matching) -> dict[str, Any]:
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


def _typed_sku(text: Text) -> str:
    return f"p.product_id = any(array({_BEGUN_SKU if text.may_begin_sku else _SKU}))"


def _contains(name: str) -> str:
    """A pattern for LIKE without wildcards of the shopper's; escaped after folding, which makes a % of a ％."""
    return rf"'%' || regexp_replace(fold_v1(:{name}::text), '([\\%_])', '\\\1', 'g') || '%'"


def _is_scan(text: Text, matching: Matching) -> bool:
    return matching is Matching.SUBSTRING and not text.has_long_part


def _source(text: Text, matching: Matching, reach: int) -> str:
    if _is_scan(text, matching):
        return f"(select * from search_products where tier <= {LAST_TIER} order by place limit {SCANNED}) p"
    return f"(select * from search_products where tier <= {reach}) p"


def _relevance(text: Text, matching: Matching, steering: Steering) -> str:
    if matching is Matching.NOTHING:
        return "0::bigint"
    if matching is Matching.SUBSTRING:
        # The shorter the text, the larger the part of it that was typed.
        return "(1000000 / (1 + length(p.search_text)))::bigint"
    query = _query(matching, steering)
    density = _DENSITY.format(query=_PLAIN[matching])
    if steering.widened:
        density = _WIDENED_DENSITY.format(density=density, name=_IN_FIELD.format(query=query, field="A"))
    rank = _RANK.format(density=density, description=_IN_FIELD.format(query=query, field="D"))
    if matching is Matching.WORDS and text.may_be_sku:
        whole = f"p.product_id = any(array({_SKU}))"
        return f"""(case when {whole} then 2000000000 when {_typed_sku(text)} then 1000000000 else 0 end + {rank})"""
    return rank
