"""The statements of lists: which products match a text, in which order, narrowed by which filters.

A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. A text is looked for among the most popular products first, and among more only where these held too few:
`tier <= n` is an index of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from shared.search.listing import UNSTEERED, Matching, Position, Search, Sort, Steering
from shared.search.texts import MOST_PARTS, Text

# Counting stops here, and the total says so.
COUNTED = 1000
# So many matches among the popular, and no more are looked for: these are ranked, the rest follows by popularity.
ENOUGH = 48
# More than so many are not ranked at all, they come by popularity: reach is NOTHING_RANKED.
RANKED = 8_000
NOTHING_RANKED = -1
LAST_TIER = 4
# So many matches, about, and a list by something else than relevance walks the index of its sort: it sorts nothing.
MANY = 20_000
# So many matches, about, and a list by price goes from one step of prices to the next: it sorts the products of few.
STEPPED = 400
# It gives up after so many products: what is many may all lie at the other end.
WALKED = 5_000
# A range of prices that so few products have is looked for by its lexemes.
RARE = 5_000
# Facets are counted over so many; where there are no tiers, a whole catalogue of usual size.
FACETED = 4_000
FACETED_WITHOUT_TIERS = 20_000
# Parts of one or two characters have no trigrams: they are looked for among so many popular products only.
SCANNED = 1_000
MOST_SKUS = 20

_DEAREST = 2**62
# A place is a tier, and what stands before it there.
_TIER_SHIFT = 32
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

# What staff have said of a text: one look at an index for the whole of it, one for its words, of which it must have all
# that are widened together.
STEERING = """
    (select json_build_object('pinned', pinned, 'buried', buried) from query_rules where query = fold_v1(:typed::text))
        as rule,
    exists (select from synonym_rewrites
        where lexeme = any(tsvector_to_array(to_tsvector('public.shop', :words::text)))
            and to_tsvector('public.shop', :words::text) @@ target) as widened"""

# Where few products have such a price: each lexeme more costs a look at every product that the rest finds. No further
# than there are prices, for steps that nothing has would be looked for as well.
_OF_TIERS = f"from search_products where tier <= {LAST_TIER}"
_PRICES = f"""(case when (select count(*) from (select {_OF_TIERS}
        and price_minor between :price_min::bigint and :price_max::bigint limit {RARE + 1}) few) <= {RARE}
    then price_query_v1(greatest(:price_min::bigint, (select min(price_minor) {_OF_TIERS})),
        least(:price_max::bigint, (select max(price_minor) {_OF_TIERS})))
    else '' end)"""

# How many products the tiers up to one hold; not each catalogue has all of them.
_AMONG = "(select t.products from search_tiers t where t.tier <= {reach} order by t.tier desc limit 1)"

# A large catalogue has them; among fewer products every match is ranked.
TIERED = "exists (select from search_tiers where tier = 0)"

# Whether any product has the words before the last one, if there are any.
_HEAD = "plainto_tsquery('public.shop', :head::text)"
_HEAD_IS_KNOWN = f"""(numnode({_HEAD}) = 0 or exists (
    select from search_products h where h.tier <= {LAST_TIER} and h.words @@ (select {_HEAD})))"""

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
    + case when strpos(p.search_text, {folded}) > 0 then 0.2 else 0 end)
    * p.boost * 1e6)::bigint"""
_DENSITY = "ts_rank_cd('{{0.3, 0.4, 0.4, 1.0}}', p.words, {query}, 1)"
# The words in one field alone.
_IN_FIELD = r"""(select regexp_replace(regexp_replace({query}::text, ''':\*', ''':*{field}', 'g'),
    '''( |$)', ''':{field}\1', 'g')::tsquery)"""
# By the words that were typed; what only synonyms find has nine tenths of what has its words once, in its name or else
# in its description. Density by all of the synonyms takes ten times as long with twenty, sixty times with sixty.
_WIDENED_DENSITY = """greatest({density},
    case when p.words @@ {name} then 0.9 else 0.27 end * ln(2::float8) / ln(length(p.words) + 2::float8))"""

# What has not all of the words, by those that it has, each the more the oftener, at less and less (ts_rank of any).
_PARTIAL_RANK = "(ts_rank('{{0.3, 0.4, 0.4, 1.0}}', p.words, {query}, 1) * p.boost * 1e6)::bigint"
# Above every rank by some words, below a SKU.
_ALL_WORDS_KEY = 500_000_000

# Each row of the page by its key: `offset 0` keeps the planner from joining, which takes a page for a tenth of the
# catalogue, for it knows no limit that is a parameter, and would read all of it.
_BY_KEY = "cross join lateral (select * from search_products where product_id = page.product_id offset 0) p"

# What a list shows of a product, by the names that rows have; each row's key comes after them.
LISTED = {
    "product_id": "product_id",
    "slug": "slug",
    "sku": "sku",
    "name": "name",
    "brand": "brand_name",
    "brand_slug": "brand_slug",
    "category_path": "category_path",
    "category_name": "category_name",
    "price_minor": "offer_minor",
    "currency": "currency",
    "in_stock": "in_stock",
    "image_url": "image_url",
}

# Found by the text itself.
_OWN = "{row}.product_id <> all(:apart::uuid[])"
# Before a SKU that was typed, in their order.
_PINNED_KEY = "4000000000 - array_position(:pinned::uuid[], p.product_id)::bigint"

# The ways of a text, in the order in which they are tried: as words, with the last one going on, else somehow.
AS_WORDS = (Matching.NAMED, Matching.WORDS)
GOING_ON = (Matching.PREFIX,)
SOMEHOW = (Matching.SUBSTRING, Matching.SOME)

# How rare the words of a text are, among the popular where there are tiers, and whether there are such words at all. So
# many products are enough to say that a word is frequent.
_FREQUENT = 2_000
_POPULAR = 1
_HAVING = "from search_products p where p.tier <= {tier} and p.words @@ w.query limit {most}"
RARITIES = f"""
select w.query::text as query, t.products as among, case
    when t.tier = {_POPULAR} then (select count(*) from (select {_HAVING.format(tier=_POPULAR, most=_FREQUENT)}) h)
    else (select count(*) from (select {_HAVING.format(tier=LAST_TIER, most=_FREQUENT)}) h) end as products,
    exists (select {_HAVING.format(tier=LAST_TIER, most=1)}) as known
from (select tier, products from search_tiers where tier in ({_POPULAR}, {LAST_TIER}) order by tier limit 1) t
cross join (
    select array_to_tsvector(array[lexeme])::text::tsquery as query
    from unnest(tsvector_to_array(to_tsvector('public.shop', :words::text))) as lexeme) w"""

Statement = tuple[str, dict[str, Any]]


def find_statement(
    search: Search, text: Text, ways: Sequence[Matching], *, steering: Steering | None = UNSTEERED
) -> Statement:
    """How the text finds anything among what the filters leave: {matching, reach, counted, pinned, among, everything,
    tiered}.

    Ways are tried in turn, a way tier by tier until it has enough: a condition that names no row gates each scan. What
    is pinned or buried opens no weaker way by that: it has its part in what a way finds, and none in what is `counted`.
    `among` is how many products the tiers up to `reach` hold, `everything` how many there are, `pinned` how many of the
    pinned, `tiered` whether there are tiers at all. Where nobody knows yet what staff have said (steering None), it is
    told as well: {rule, widened}.
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
    scans: list[str] = []
    cases, reaches, counts = [], [], []
    for scan in _scans(text, ways):
        source, matches, more = _found_in(
            search, text, scan.way, scan.tier, steering, own=False, skus=scan.tier == LAST_TIER
        )
        parameters |= more
        limit = (COUNTED + 1 if scan.tier == LAST_TIER else COUNTED * 2) + len(steering.apart)
        wanted = " and ".join([scan.gate, *matches, *filters])
        some = f"select {each} from {source} where {wanted} limit {limit}"
        scans.append(f"lateral (select {counting} from ({some}) m) {scan.name}")
        enough = f"{scan.name}.n >= {scan.enough}"
        cases.append(f"when {enough} then '{scan.way.value}'")
        reaches.append(f"when {enough} then {scan.tier}")
        counts.append(f"when {enough} then {scan.name}.own")
    pinned = "0"
    if steering.pinned:
        pinned = f"(select count(*) from {_pinned(filters)})"
        parameters["pinned"] = list(steering.pinned)
    sql = f"""
        select case {" ".join(cases)} else 'nothing' end as matching,
            case {" ".join(reaches)} else {LAST_TIER} end as reach, case {" ".join(counts)} else 0 end as counted,
            {_AMONG.format(reach=f"case {' '.join(reaches)} else {LAST_TIER} end")} as among,
            (select products from search_tiers t where t.tier = {LAST_TIER}) as everything,
            {pinned} as pinned, {TIERED} as tiered{asking}
        from {", ".join(scans)}"""
    return sql, parameters


@dataclass(frozen=True, slots=True)
class _Scan:
    """A tier that is looked at for a way, where those before it hold too little: `gate` says so of their counts."""

    way: Matching
    tier: int
    gate: str
    enough: int

    @property
    def name(self) -> str:
        return f"{self.way.value}_{self.tier}"


def _scans(text: Text, ways: Sequence[Matching], *, count: str = "{name}.n") -> Iterator[_Scan]:
    """In the order in which they are made; `count` is how a statement says how many rows the scan of a name has."""
    missed: list[str] = []
    for way in ways:
        named = way is Matching.NAMED
        gates = [*missed, *([TIERED] if named else [])]
        for tier in _tiers(text, way):
            found = count.format(name=f"{way.value}_{tier}")
            if way is Matching.PREFIX and tier == LAST_TIER:
                gates.append(_HEAD_IS_KNOWN)
            enough = ENOUGH if named or tier < LAST_TIER else 1
            yield _Scan(way, tier, " and ".join(gates) or "true", enough)
            gates.append(f"{found} < {ENOUGH}")
            missed.append(f"{found} < {ENOUGH if named else 1}")


def _tiers(text: Text, way: Matching) -> Sequence[int]:
    """The tiers that are looked at for a way. What is costly to look for, what goes on from a word or has a substring,
    is looked for among all where the most popular do not have enough."""
    if _is_scan(text, way):
        return (LAST_TIER,)
    if way is Matching.PREFIX:
        return (0, 1, 2, LAST_TIER)
    return (0, 2, LAST_TIER) if way is Matching.SUBSTRING else range(LAST_TIER + 1)


def first_statement(search: Search, text: Text, way: Matching) -> Statement:
    """The first page by relevance where the text is found as words, of which staff have said nothing, in one: what
    find_statement tells of it, and its rows. No rows where so many are found that
    they are not ranked."""
    filters, parameters = _filters(search)
    parameters |= {"typed": text.typed, "words": text.words} | _words(text, way) | _narrow(search)[1]
    table, terms = _Terms.of(search, text, way, UNSTEERED).asked_once()
    rows, pages = [table], []
    if text.may_be_sku:
        rows.append(f"""skus as materialized (
            select p.product_id, {_of_sku(_rank(way, UNSTEERED, terms), terms)} as key from asked, search_products p
            where {" and ".join([f"p.product_id = any({terms.begun}) and p.tier <= {LAST_TIER}", *filters])})""")
    counts, cases, reaches, counted = [], [], [], []
    for scan in _scans(text, [way], count="(select count(*) from {name})"):
        conditions = [scan.gate, f"p.tier <= {scan.tier}", terms.words_match(way), *filters]
        many = f"(select count(*) from {scan.name})"
        page = f"select product_id, key from {scan.name}"
        if text.may_be_sku:
            conditions.append(f"p.product_id <> all({terms.begun})")
            page = f"({page} union all select product_id, key from skus)"
            many += " + (select count(*) from skus)" if scan.tier == LAST_TIER else ""
        rows.append(f"""{scan.name} as materialized (
            select p.product_id, {_rank(way, UNSTEERED, terms)} as key from asked, search_products p
            where {" and ".join(conditions)} limit {RANKED + 1})""")
        pages.append(f"""(select product_id, key from ({page}) ranked where (select reach from found) = {scan.tier}
            order by key desc, product_id desc limit :limit::int)""")
        counts.append(f"{many} as {scan.name}")
        enough = f"{scan.name} >= {scan.enough}"
        cases.append(f"when {enough} then '{way.value}'")
        reaches.append(f"when {scan.name} > {RANKED} then {NOTHING_RANKED} when {enough} then {scan.tier}")
        counted.append(f"when {enough} then {scan.name}")
    sql = f"""
        with {", ".join(rows)},
        found as materialized (select case {" ".join(cases)} else 'nothing' end as matching,
            case {" ".join(reaches)} else {LAST_TIER} end as reach, case {" ".join(counted)} else 0 end as counted
            from (select {", ".join(counts)}) counts),
        page as materialized ({" union all ".join(pages)})
        select found.matching, found.reach, found.counted, {STEERING}, {TIERED} as tiered,
            {_AMONG.format(reach="found.reach")} as among,
            (select products from search_tiers t where t.tier = {LAST_TIER}) as everything,
            (select {_rows("page.key", "page.key desc, page.product_id desc")}
             from page {_BY_KEY}) as listed
        from found"""
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
        key, direction = _relevance(search, text, matching, steering), "desc"
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
        source, matches, _ = _found_in(search, text, matching, reach, steering, own=True)
        wanted = " and ".join([*matches, *filters]) or "true"
        found = f"select p.product_id, {key} as key from {source} where {wanted} offset 0"
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
    return _with_rows(page, _number(sort), order, total), parameters


def step_statement(search: Search, text: Text, matching: Matching, *, after: Position | None) -> Statement:
    """The same page of what is found as words, by price, where many match: steps of prices are looked at one by one, by
    the lexemes that products have of them, until the page is full."""
    filters, parameters = _filters(search)
    sort, terms = search.sorted_by, _Terms.of(search, text, matching, UNSTEERED)
    key, direction = _SORT_KEYS[sort]
    parameters |= {"typed": text.typed} | _words(text, matching) | _narrow(search)[1]
    following, more = _beyond(sort, direction, after)
    parameters |= more
    checked = [*filters, *([following.format(key=key, id="p.product_id")] if following else [])]
    products = f"select {{}} from search_products p where p.tier <= {LAST_TIER}"
    words = terms.words_match(matching, more="quote_literal('p:' || step)::tsquery")
    source = f"{products.format('p.*')} and {words}"
    if matching in AS_WORDS and text.may_be_sku:
        source += f""" and p.product_id <> all({terms.begun}) union all {products.format("p.*")}
            and p.product_id = any({terms.begun}) and price_step_v1(p.price_minor) = step"""
    cheapest, dearest = (f"({products.format(f'{end}(p.price_minor)')})" for end in ("min", "max"))
    start = cheapest if sort is Sort.PRICE_ASC else dearest
    first = f"price_step_v1({':after_key::bigint' if after is not None else start})"
    last = f"price_step_v1({dearest if sort is Sort.PRICE_ASC else cheapest})"
    steps = f"generate_series({first}, {last}, {1 if sort is Sort.PRICE_ASC else -1}) step"
    page = f"""select m.product_id, m.key from {steps}
        cross join lateral (select p.product_id, {key} as key from ({source}) p where {" and ".join(checked) or "true"}
            order by {key} {direction}, p.product_id {direction} limit :limit::int) m
        limit :limit::int"""
    return _with_rows(page, "page.key", f"page.key {direction}, page.product_id {direction}", ""), parameters


def walk_statement(
    search: Search,
    text: Text,
    matching: Matching,
    *,
    after: Position | None,
    beyond: int | None = None,
    steering: Steering = UNSTEERED,
) -> Statement:
    """The same page where very many match and the sort is not relevance: the next WALKED products of the sort's index
    are looked at in order. Fewer rows than were asked for say nothing: these were too few, or the list ends. `beyond`:
    what lies beyond these tiers, as rest_statement says it, of a list by popularity."""
    filters, parameters = _filters(search)
    matches, more = _matches(search, text, matching, steering)
    key, direction = _SORT_KEYS[search.sorted_by]
    following, where_to = _beyond(search.sorted_by, direction, after)
    parameters |= more | where_to
    walked = [f"p.tier <= {LAST_TIER}"]
    if following:
        walked.append(following.format(key=key, id="p.product_id"))
    elif beyond is not None:
        walked.append(f"p.place >= {(beyond + 1) << _TIER_SHIFT}::bigint")
    if matching is Matching.MOST and beyond is not None:
        matches.append(_not_whole(search, text, steering))
    if beyond is not None and beyond != NOTHING_RANKED and matching in AS_WORDS and text.may_be_sku:
        matches.append(_not_of_sku(search, text, matching, steering))
    matched = " and ".join(matches)
    if steering.pinned and beyond is None:
        matched = f"({matched} or p.product_id = any(:pinned::uuid[]))"
        parameters["pinned"] = list(steering.pinned)
    page = f"""select p.product_id, p.key from (
            select p.*, {key} as key from search_products p where {" and ".join(walked)}
            order by {key} {direction}, p.product_id {direction} limit {WALKED}) p
        where {" and ".join([matched, *filters])}
        order by p.key {direction}, p.product_id {direction} limit :limit::int"""
    shown = _number(search.sorted_by) if beyond is None else "-page.key"
    return _with_rows(page, shown, f"page.key {direction}, page.product_id {direction}", ""), parameters


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
    if matching is Matching.MOST:
        conditions += [_most(search), _not_whole(search, text, steering)]
        conditions.remove(matches[0])
    if matching in AS_WORDS and text.may_be_sku and reach != NOTHING_RANKED:
        conditions.append(_not_of_sku(search, text, matching, steering))
    if after is not None:
        conditions.append("(p.place, p.product_id) > (:after_place::bigint, :after_id::uuid)")
        parameters |= {"after_place": -after.key, "after_id": after.id}
    page = f"""select p.product_id, p.place as key from search_products p where {" and ".join(conditions)}
        order by p.place, p.product_id limit :limit::int"""
    return _with_rows(page, "-page.key", "page.key, page.product_id", ""), parameters


def facets_statement(
    search: Search, text: Text, matching: Matching, *, reach: int, steering: Steering = UNSTEERED
) -> Statement:
    """Counts over what is found, the first so many (`most`): {total, brands, categories, low, high, most}."""
    filters, parameters = _filters(search)
    source, matches, more = _found_in(search, text, matching, reach, steering, own=True)
    conditions = " and ".join([*matches, *filters]) or "true"
    if steering.pinned:
        source = f"""(select p.* from {source} where {conditions}
            union all select p.* from {_pinned(filters)}) p"""
        conditions = "true"
        more["pinned"] = list(steering.pinned)
    sql = _FACETS.format(source=source, filters=conditions, tiered=TIERED, some=FACETED, many=FACETED_WITHOUT_TIERS)
    return sql, parameters | more


def _beyond(sort: Sort, direction: str, after: Position | None) -> tuple[str, dict[str, Any]]:
    """What lies after a position, of a {key} and an {id}; nothing for the first page."""
    if after is None:
        return "", {}
    kind = "timestamptz" if sort is Sort.NEWEST else "bigint"
    key = _EPOCH + after.key * _MICROSECOND if sort is Sort.NEWEST else after.key
    condition = f"({{key}}, {{id}}) {'>' if direction == 'asc' else '<'} (:after_key::{kind}, :after_id::uuid)"
    return condition, {"after_key": key, "after_id": after.id}


def _number(sort: Sort) -> str:
    """A page's key as a whole number."""
    return "(extract(epoch from page.key) * 1000000)::bigint" if sort is Sort.NEWEST else "page.key"


def _with_rows(page: str, key: str, order: str, total: str) -> str:
    return f"""
        with page as materialized ({page})
        select {_rows(key, order)} as listed{total}
        from page {_BY_KEY}"""


def _rows(key: str, order: str) -> str:
    """All rows as one value, in the order of LISTED: each value of its own would cost the driver as much as the search
    costs the database."""
    columns = ", ".join(f"p.{each}" for each in LISTED.values())
    return f"coalesce(json_agg(json_build_array({columns}, {key}) order by {order}), '[]')"


_FACETS = """
with most as (select case when {tiered} then {some} else {many} end as n),
m as materialized (
    select p.brand_slug, p.brand_name, p.category_path, p.category_name, p.price_minor, p.currency from {source}
    where {filters} limit (select n + 1 from most)
)
select (select count(*) from m) as total, (select n from most) as most, low, high, currency,
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


@dataclass(frozen=True, slots=True)
class _Terms:
    """What a statement asks of each product, as SQL that is evaluated once a scan, or once a statement: the `query` of
    its words as they were typed (`plain`), whether with their synonyms it `asks` for anything, that `narrowed` by the
    filters, in the name alone and in the description alone, the text `folded`, and the products of the SKU that it is
    or begins."""

    plain: str
    asks: str
    narrowed: str
    in_name: str
    in_description: str
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
            narrowed=f"(select {query} && {_narrow(search)[0]})",
            in_name=_IN_FIELD.format(query=query, field="A"),
            in_description=_IN_FIELD.format(query=query, field="D"),
            folded="(select fold_v1(:typed::text))",
            whole=f"array({_SKU})",
            begun=f"array({_BEGUN_SKU if text.may_begin_sku else _SKU})",
        )

    def asked_once(self) -> tuple[str, "_Terms"]:
        """A table `asked` of all of them with one row, and the terms that read it."""
        columns = ", ".join(f"{getattr(self, each.name)} as {each.name}" for each in fields(self))
        return f"asked as materialized (select {columns})", _Terms(
            **{each.name: f"asked.{each.name}" for each in fields(self)}
        )


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
    """The condition of the text first."""
    if matching is Matching.SUBSTRING:
        parts = [*text.parts, *[text.parts[-1]] * (MOST_PARTS - len(text.parts))]
        names = [f"part{number}" for number in range(MOST_PARTS)]
        return [f"p.search_text like {_contains(name)}" for name in names], dict(zip(names, parts, strict=True))
    if matching is Matching.MOST:
        [whole], parameters = _matches_alone(search, text, Matching.WORDS, steering)
        parameters["most"] = text.most
        return [f"({_most(search)} or {whole})"], parameters
    terms = _Terms.of(search, text, matching, steering)
    parameters, matches = _words(text, matching) | _narrow(search)[1], terms.words_match(matching)
    if matching in AS_WORDS and text.may_be_sku:
        matches = f"({matches} or p.product_id = any({terms.begun}))"
        parameters["typed"] = text.typed
    return [matches], parameters


def _most(search: Search) -> str:
    most = f"(select :most::tsquery && :unspaced::tsquery && {_narrow(search)[0]})"
    return f"(select numnode(:most::tsquery) > 0) and p.words @@ {most}"


def _not_of_sku(search: Search, text: Text, matching: Matching, steering: Steering) -> str:
    """The products of a SKU that was typed are ranked, in whatever tier."""
    return f"p.product_id <> all({_Terms.of(search, text, matching, steering).begun})"


def _not_whole(search: Search, text: Text, steering: Steering) -> str:
    """What has all words is ranked, in whatever tier."""
    return f"not ({_matches_alone(search, text, Matching.WORDS, steering)[0][0]})"


def _narrow(search: Search) -> tuple[str, dict[str, Any]]:
    """What the filters ask for is words as well, which no text can spell: what they leave is found without reading the
    rest. A price is in a step of prices: the filters check what lies at its ends."""
    narrow = [f"b:{search.brand}"] if search.brand is not None else []
    narrow += [f"c:{search.category}"] if search.category is not None else []
    narrow += ["s:1"] if search.in_stock else []
    query, parameters = ":narrow::tsquery", {"narrow": _quoted(narrow)}
    if search.price_min is not None or search.price_max is not None:
        query = f"({query} && {_PRICES})"
    return query, parameters


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


def _contains(name: str) -> str:
    """A pattern for LIKE without wildcards of the shopper's; escaped after folding, which makes a % of a ％. Made once,
    and not for each row."""
    return rf"(select '%' || regexp_replace(fold_v1(:{name}::text), '([\\%_])', '\\\1', 'g') || '%')"


def _is_scan(text: Text, matching: Matching) -> bool:
    return matching is Matching.SUBSTRING and not text.has_long_part


def _found_in(
    search: Search, text: Text, matching: Matching, reach: int, steering: Steering, *, own: bool, skus: bool = True
) -> tuple[str, list[str], dict[str, Any]]:
    """Where what matches is read from, up to a tier, and what is still to be checked of each. `own`: without the pinned
    and the buried; `skus`: with the products of a SKU that was typed, of any tier. They are read beside the others: one
    condition for both would look at the words of each product once more."""
    matches, parameters = (_matches if own else _matches_alone)(search, text, matching, steering)
    if _is_scan(text, matching):
        return (
            f"(select * from search_products where tier <= {LAST_TIER} order by place limit {SCANNED}) p",
            matches,
            parameters,
        )
    if matching is Matching.MOST:
        # The few that have all words are found in whatever tier; beside the others, for an index serves either alone.
        whole, *_ = _found_in(search, text, Matching.WORDS, LAST_TIER, steering, own=own)
        source = f"""select * from {whole} union all select p.* from search_products p
            where p.tier <= {reach} and {_most(search)} and {_not_whole(search, text, steering)}"""
        return f"({source}) p", matches[1:], parameters
    if matching not in AS_WORDS:
        return f"(select * from search_products where tier <= {reach}) p", matches, parameters
    terms = _Terms.of(search, text, matching, steering)
    source = f"select p.* from search_products p where p.tier <= {reach} and {terms.words_match(matching)}"
    if text.may_be_sku:
        source += f" and p.product_id <> all({terms.begun})"
        if skus:
            source += f""" union all select p.* from search_products p
                where p.tier <= {LAST_TIER} and p.product_id = any({terms.begun})"""
    return f"({source}) p", matches[1:], parameters


def _relevance(search: Search, text: Text, matching: Matching, steering: Steering) -> str:
    if matching is Matching.NOTHING:
        return "0::bigint"
    if matching is Matching.SUBSTRING:
        # The shorter the text, the larger the part of it that was typed.
        return "(1000000 / (1 + length(p.search_text)))::bigint"
    if matching is Matching.MOST:
        [whole], _ = _matches_alone(search, text, Matching.WORDS, steering)
        partial = _PARTIAL_RANK.format(query=f"(select {_PLAIN[Matching.SOME]})")
        by_words = _relevance(search, text, Matching.WORDS, steering)
        return f"(case when {whole} then {_ALL_WORDS_KEY} + {by_words} else {partial} end)"
    terms = _Terms.of(search, text, matching, steering)
    rank = _rank(matching, steering, terms)
    return _of_sku(rank, terms) if matching in AS_WORDS and text.may_be_sku else rank


def _rank(matching: Matching, steering: Steering, terms: _Terms) -> str:
    density = _DENSITY.format(query=terms.plain)
    if steering.widened:
        density = _WIDENED_DENSITY.format(density=density, name=terms.in_name)
    return _RANK.format(density=density, description=terms.in_description, folded=terms.folded)


def _of_sku(rank: str, terms: _Terms) -> str:
    """The product of the SKU itself, then those of SKUs that go on from it, then the others."""
    whole, begun = f"p.product_id = any({terms.whole})", f"p.product_id = any({terms.begun})"
    return f"(case when {whole} then 2000000000 when {begun} then 1000000000 else 0 end + {rank})"
