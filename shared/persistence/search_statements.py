"""The statements of lists: which products match a text, in which order, narrowed by which filters.

A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. A text is looked for among the most popular products first, and among more only where these held too few:
`tier <= n` is an index of its own. How most texts are found, with their first page, is one function of the database.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.persistence.search_matching import (
    AS_WORDS,
    BROWSED_FEW,
    BY_KEY,
    IN_CATEGORY,
    LAST_TIER,
    OF_BRAND,
    OWN,
    SUBTREE,
    Terms,
    filter_lexemes,
    filters_of,
    found_in,
    is_scan,
    left_by_filters,
    matches_of,
    most_match,
    narrow_of,
    not_of_sku,
    not_whole,
    pinned_products,
    relevance,
    words_of,
)
from shared.search.listing import UNSTEERED, Matching, Position, Search, Sort, Steering
from shared.search.texts import Text

# Counting stops here, and the total says so.
COUNTED = 1000
# So many matches among the popular, and no more are looked for: these are ranked, the rest follows by popularity.
ENOUGH = 48
# The reach of what more than 8,000 products match: these are not ranked, they come by popularity (search_words_v2).
NOTHING_RANKED = -1
# So many matches, about, and a list by something else than relevance walks the index of its sort: it sorts nothing.
MANY = 20_000
# So many matches, about, and a list by price goes from one step of prices to the next: it sorts the products of few.
STEPPED = 400
# Fewer, about, and the steps are whole doublings: of a few thousand products most finer steps have none, and each is a
# look at an index.
DOUBLED = 10_000
# It gives up after so many products: what is many may all lie at the other end.
WALKED = 5_000
# Facets are counted over so many; where there are no tiers, a whole catalogue of usual size.
FACETED = 4_000
FACETED_WITHOUT_TIERS = 20_000
# A place is a tier, and what stands before it there.
_TIER_SHIFT = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Each key is one column of an index that ends in the id; relevance is computed.
_SORT_KEYS = {
    Sort.PRICE_ASC: ("p.price_minor", "asc"),
    Sort.PRICE_DESC: ("p.price_minor", "desc"),
    Sort.NEWEST: ("p.created_at", "desc"),
    Sort.POPULARITY: ("p.place", "asc"),
}

_BY_PRICE = (Sort.PRICE_ASC, Sort.PRICE_DESC)

# What staff have said of a text: one look at an index for the whole of it, one for its words, of which it must have all
# that are widened together.
STEERING = """
    (select json_build_object('pinned', pinned, 'buried', buried) from query_rules where query = fold_v1(:typed::text))
        as rule,
    exists (select from synonym_rewrites
        where lexeme = any(tsvector_to_array(to_tsvector('public.shop', :words::text)))
            and to_tsvector('public.shop', :words::text) @@ target) as widened"""

# How many products the tiers up to one hold; not each catalogue has all of them.
_AMONG = "(select t.products from search_tiers t where t.tier <= {reach} order by t.tier desc limit 1)"

# A large catalogue has them; among fewer products every match is ranked.
TIERED = "exists (select from search_tiers where tier = 0)"

# Whether any product has the words before the last one, if there are any: of words that many have, the popular tell.
_HEAD = "plainto_tsquery('public.shop', :head::text)"
_HAVING_HEAD = f"exists (select from search_products h where h.tier <= {{tier}} and h.words @@ (select {_HEAD}))"
_HEAD_IS_KNOWN = f"(numnode({_HEAD}) = 0 or {' or '.join(_HAVING_HEAD.format(tier=n) for n in (0, 2, LAST_TIER))})"

_BY_KEY = BY_KEY.format("page")

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
# Before a SKU that was typed, in their order.
_PINNED_KEY = "4000000000 - array_position(:pinned::uuid[], p.product_id)::bigint"

# How rare the words of a text are, among the popular where there are tiers, and whether there are such words at all. So
# many products are enough to say that a word is frequent, and one of them that there is such a word: an index reads all
# that has a word to find the first.
_FREQUENT = 2_000
_POPULAR = 1
_HAVING = "from search_products p where p.tier <= {tier} and p.words @@ w.query limit {most}"
RARITIES = f"""
select w.query::text as query, t.products as among, h.products,
    h.products > 0 or exists (select {_HAVING.format(tier=LAST_TIER, most=1)}) as known
from (select tier, products from search_tiers where tier in ({_POPULAR}, {LAST_TIER}) order by tier limit 1) t
cross join (
    select array_to_tsvector(array[lexeme])::text::tsquery as query
    from unnest(tsvector_to_array(to_tsvector('public.shop', :words::text))) as lexeme) w
cross join lateral (select case
    when t.tier = {_POPULAR} then (select count(*) from (select {_HAVING.format(tier=_POPULAR, most=_FREQUENT)}) found)
    else (select count(*) from (select {_HAVING.format(tier=LAST_TIER, most=_FREQUENT)}) found) end as products
    offset 0) h"""

_WORDS = """
select * from search_words_v2(:typed::text, :words::text, :forms::text, :plain::text, :head::text, :tail::text,
    :unspaced::tsquery, :partly::tsquery, :is_sku::boolean, :begins_sku::boolean, :narrow::tsquery,
    :category::text, :brand::text, :price_min::bigint, :price_max::bigint, :in_stock::boolean, :wanted::integer)"""

Statement = tuple[str, dict[str, Any]]


def find_statement(
    search: Search, text: Text, ways: Sequence[Matching], *, steering: Steering = UNSTEERED
) -> Statement:
    """How the text finds anything among what the filters leave: {matching, reach, counted, pinned, among, everything}.

    Ways are tried in turn, a way tier by tier until it has enough: a condition that names no row gates each scan. What
    is pinned or buried opens no weaker way by that: it has its part in what a way finds, and none in what is `counted`.
    `among` is how many products the tiers up to `reach` hold, `everything` how many there are, `pinned` how many of the
    pinned.
    """
    filters, parameters = filters_of(search)
    each, counting = "", "count(*) as n, count(*) as own"
    if steering.apart:
        each, counting = "p.product_id", f"count(*) as n, count(*) filter (where {OWN.format(row='m')}) as own"
        parameters["apart"] = steering.apart
    scans: list[str] = []
    cases, reaches, counts = [], [], []
    for scan in _scans(text, ways):
        source, matches, more = found_in(
            search, text, scan.way, scan.tier, steering, own=False, skus=scan.tier == LAST_TIER, whole_rows=False
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
        pinned = f"(select count(*) from {pinned_products(filters)})"
        parameters["pinned"] = list(steering.pinned)
    sql = f"""
        select case {" ".join(cases)} else 'nothing' end as matching,
            case {" ".join(reaches)} else {LAST_TIER} end as reach, case {" ".join(counts)} else 0 end as counted,
            {_AMONG.format(reach=f"case {' '.join(reaches)} else {LAST_TIER} end")} as among,
            (select products from search_tiers t where t.tier = {LAST_TIER}) as everything,
            {pinned} as pinned
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


def _scans(text: Text, ways: Sequence[Matching]) -> Iterator[_Scan]:
    """In the order in which they are made."""
    missed: list[str] = []
    for way in ways:
        named = way is Matching.NAMED
        gates = [*missed, *([TIERED] if named else [])]
        for tier in _tiers(text, way):
            found = f"{way.value}_{tier}.n"
            if way is Matching.PREFIX and tier == LAST_TIER:
                gates.append(_HEAD_IS_KNOWN)
            enough = ENOUGH if named or tier < LAST_TIER else 1
            yield _Scan(way, tier, " and ".join(gates) or "true", enough)
            gates.append(f"{found} < {ENOUGH}")
            missed.append(f"{found} < {ENOUGH if named else 1}")


def _tiers(text: Text, way: Matching) -> Sequence[int]:
    """The tiers that are looked at for a way. What is costly to look for, what goes on from a word or has a substring,
    is looked for among all where the most popular do not have enough."""
    if is_scan(text, way):
        return (LAST_TIER,)
    if way is Matching.PREFIX:
        return (0, 1, 2, LAST_TIER)
    return (0, 2, LAST_TIER) if way is Matching.SUBSTRING else range(LAST_TIER + 1)


def words_statement(search: Search, text: Text, *, wanted: int | None, going_on: bool = False) -> Statement:
    """What find_statement tells of a text that is looked for as words (NAMED, then WORDS, then, where it may be
    `going_on`, PREFIX), or by those that say most (MOST) where it has them; with the best `wanted` rows (`listed`),
    none where so many are found that they are not ranked (reach NOTHING_RANKED). Where staff have said something of the
    text nothing is looked for, and that is told: {rule, widened}; nor where no product has such a price: {unpriced}."""
    parameters = words_of(text, Matching.WORDS) | {
        "typed": text.typed,
        "head": text.head,
        "tail": text.tail if going_on else "",
        "partly": text.most,
        "is_sku": text.may_be_sku,
        "begins_sku": text.may_begin_sku,
        "narrow": filter_lexemes(search),
        "category": search.category,
        "brand": search.brand,
        "price_min": search.price_min,
        "price_max": search.price_max,
        "in_stock": search.in_stock,
        "wanted": wanted or 0,
    }
    return _WORDS, parameters


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
    if matching is Matching.EVERYTHING:
        return _browsing_statement(search, after=after, counting=counting)
    filters, parameters = filters_of(search)
    matches, more = matches_of(search, text, matching, steering)
    parameters |= more
    sort = search.sorted_by
    if sort is Sort.RELEVANCE:
        key, direction = relevance(search, text, matching, steering), "desc"
        parameters |= {} if matching in (Matching.SUBSTRING, Matching.NOTHING) else {"typed": text.typed}
    else:
        key, direction = _SORT_KEYS[sort]
        reach = LAST_TIER
    beyond, following = _beyond(sort, direction, after)
    parameters |= following
    conditions = " and ".join([*matches, *filters])
    # OFFSET 0 keeps the planner from walking the sort key's index past everything that does not match.
    beyond = "where " + beyond.format(key="m.key", id="m.product_id") if beyond else ""
    whole_rows = sort not in (Sort.RELEVANCE, Sort.POPULARITY)
    source, matches, more = found_in(search, text, matching, reach, steering, own=True, whole_rows=whole_rows)
    parameters |= more
    wanted = " and ".join([*matches, *filters]) or "true"
    found = f"select p.product_id, {key} as key from {source} where {wanted} offset 0"
    if steering.pinned:
        place = _PINNED_KEY if sort is Sort.RELEVANCE else key
        found = f"""({found}) union all
            select p.product_id, {place} as key from {pinned_products(filters)}"""
        parameters["pinned"] = list(steering.pinned)
    page = f"""select m.product_id, m.key from ({found}) m {beyond}
        order by m.key {direction}, m.product_id {direction} limit :limit::int"""
    total = ""
    if counting:
        counted = f"select from search_products p where p.tier <= {LAST_TIER} and {conditions} limit {COUNTED + 1}"
        total = f", (select count(*) from ({counted}) t) as total"
    order = f"page.key {direction}, page.product_id {direction}"
    return _with_rows(page, _number(sort), order, total), parameters


def _browsing_statement(search: Search, *, after: Position | None, counting: bool) -> Statement:
    """All that the filters leave: the index of the sort is walked and they are checked on the way. What few products
    have may lie at its other end: where the filters ask for more than an index of the sort knows, and no more than
    BROWSED_FEW are left, these are read by the filters and sorted instead."""
    sort = search.sorted_by
    key, direction = _SORT_KEYS[sort]
    by_price = sort in _BY_PRICE
    left, parameters = left_by_filters(search)
    filters, _ = filters_of(search, of_prices=by_price)
    beyond, following = _beyond(sort, direction, after)
    parameters |= following
    beyond = " and " + beyond.format(key=key, id="p.product_id") if beyond else ""
    order = f"order by {key} {direction}, p.product_id {direction} limit :limit::int"
    # Each index of a sort knows a category or a brand; those of prices know both, and prices.
    of_brand = search.brand is not None and not by_price
    known = {OF_BRAND} if of_brand else {IN_CATEGORY}
    may_be_few = search.in_stock or not (by_price or set(filters) <= known)
    gate, counted = "", f"select from {left} limit {COUNTED + 1}"
    few = f"few as materialized (select p.product_id, p.price_minor from {left} limit {BROWSED_FEW + 1}), "
    if may_be_few:
        gate, counted = f" and (select count(*) > {BROWSED_FEW} from few)", f"select from few limit {COUNTED + 1}"
        if not by_price:
            # What the planner takes for rare it would read whole, by an index of that, and sort.
            filters = [each if each in known else f"coalesce({each}, false)" for each in filters]
    walk = f"select p.product_id, {key} as key from {_walked(sort)} and {{conditions}}{beyond}{gate} {order}"
    if search.category is None or of_brand:
        page = walk.format(conditions=" and ".join(filters) or "true")
    else:
        # Each category of the subtree has its own sorted range of an index: their first rows are merged. As one
        # condition it would tempt the planner to walk the whole catalogue in order until enough of it fit.
        own = " and ".join(["p.category_id = c.id", *(each for each in filters if each != IN_CATEGORY)])
        page = f"""select m.product_id, m.key from ({SUBTREE}) c
            cross join lateral ({walk.format(conditions=own)}) m
            order by m.key {direction}, m.product_id {direction} limit :limit::int"""
    if may_be_few:
        source = "few p" if by_price else f"few page {_BY_KEY}"
        page = f"""(select p.product_id, {key} as key from {source}
                where (select count(*) <= {BROWSED_FEW} from few){beyond} {order})
            union all ({page})"""
    total = f", (select count(*) from ({counted}) t) as total" if counting else ""
    in_order = f"page.key {direction}, page.product_id {direction}"
    return _with_rows(page, _number(sort), in_order, total, few if may_be_few else ""), parameters


def step_statement(search: Search, text: Text, matching: Matching, *, after: Position | None, many: bool) -> Statement:
    """The same page of what is found as words, by price, where many match: steps of prices are looked at one by one, by
    the lexemes that products have of them, until the page is full. Steps of an eighth of a doubling where as `many` as
    DOUBLED match, else whole doublings; what is listed is the same."""
    filters, parameters = filters_of(search)
    sort = search.sorted_by
    # The steps are those of its prices already.
    terms = Terms.of(replace(search, price_min=None, price_max=None), text, matching, UNSTEERED)
    key, direction = _SORT_KEYS[sort]
    parameters |= {"typed": text.typed} | words_of(text, matching) | narrow_of(search)[1]
    following, more = _beyond(sort, direction, after)
    parameters |= more
    lexeme, step_of = ("p:", "price_step_v1({})") if many else ("q:", "(price_step_v1({}) / 8)")
    checked = [*filters, *([following.format(key=key, id="p.product_id")] if following else [])]
    products = f"select {{}} from search_products p where p.tier <= {LAST_TIER}"
    words = terms.words_match(matching, more=f"quote_literal('{lexeme}' || step)::tsquery")
    source = f"{products.format('p.*')} and {words}"
    if matching in AS_WORDS and text.may_be_sku:
        source += f""" and p.product_id <> all({terms.begun}) union all {products.format("p.*")}
            and p.product_id = any({terms.begun}) and {step_of.format("p.price_minor")} = step"""
    cheapest, dearest = (f"(select {end}(price_minor) from search_prices)" for end in ("min", "max"))
    if "price_min" in parameters:
        cheapest, dearest = f"greatest(:price_min::bigint, {cheapest})", f"least(:price_max::bigint, {dearest})"
    start, end = (cheapest, dearest) if sort is Sort.PRICE_ASC else (dearest, cheapest)
    first = step_of.format(":after_key::bigint" if after is not None else start)
    steps = f"generate_series({first}, {step_of.format(end)}, {1 if sort is Sort.PRICE_ASC else -1}) step"
    page = f"""select m.product_id, m.key from {steps}
        cross join lateral (select p.product_id, {key} as key from ({source} offset 0) p
            where {" and ".join(checked) or "true"}
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
    filters, parameters = filters_of(search)
    matches, more = matches_of(search, text, matching, steering)
    key, direction = _SORT_KEYS[search.sorted_by]
    following, where_to = _beyond(search.sorted_by, direction, after)
    parameters |= more | where_to
    walked = []
    if following:
        walked.append(following.format(key=key, id="p.product_id"))
    elif beyond is not None:
        walked.append(f"p.place >= {(beyond + 1) << _TIER_SHIFT}::bigint")
    if matching is Matching.MOST and beyond is not None:
        matches.append(not_whole(search, text, steering))
    if beyond is not None and beyond != NOTHING_RANKED and matching in AS_WORDS and text.may_be_sku:
        matches.append(not_of_sku(search, text, matching, steering))
    matched = " and ".join(matches)
    if steering.pinned and beyond is None:
        matched = f"({matched} or p.product_id = any(:pinned::uuid[]))"
        parameters["pinned"] = list(steering.pinned)
    by_price = search.sorted_by in _BY_PRICE
    looked_at = f"""select {"p.product_id" if by_price else "p.*"}, {key} as key
        from {" and ".join([_walked(search.sorted_by), *walked])}
        order by {key} {direction}, p.product_id {direction} limit {WALKED}"""
    if by_price:
        looked_at = f"select p.*, page.key from ({looked_at}) page {_BY_KEY}"
    page = f"""select p.product_id, p.key from ({looked_at}) p
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
    filters, parameters = filters_of(search)
    matches, more = matches_of(search, text, matching, steering)
    following = [f"p.tier > {reach}", *filters]
    if matching is Matching.SUBSTRING:
        source, matches, more = found_in(search, text, matching, LAST_TIER, steering, own=True, whole_rows=False)
        following += matches
    else:
        conditions = [f"p.tier <= {LAST_TIER}", f"p.tier > {reach}", *matches]
        if matching is Matching.MOST:
            conditions += [most_match(search), not_whole(search, text, steering)]
            conditions.remove(matches[0])
        if matching in AS_WORDS and text.may_be_sku and reach != NOTHING_RANKED:
            conditions.append(not_of_sku(search, text, matching, steering))
        # OFFSET 0 as in found_in.
        source = f"(select p.* from search_products p where {' and '.join(conditions)} offset 0) p"
    parameters |= more
    if after is not None:
        following.append("(p.place, p.product_id) > (:after_place::bigint, :after_id::uuid)")
        parameters |= {"after_place": -after.key, "after_id": after.id}
    page = f"""select p.product_id, p.place as key from {source} where {" and ".join(following)}
        order by p.place, p.product_id limit :limit::int"""
    return _with_rows(page, "-page.key", "page.key, page.product_id", ""), parameters


def facets_statement(
    search: Search, text: Text, matching: Matching, *, reach: int, steering: Steering = UNSTEERED
) -> Statement:
    """Counts over what is found, the first so many (`most`): {total, brands, categories, low, high, most}."""
    filters, parameters = filters_of(search)
    source, matches, more = found_in(search, text, matching, reach, steering, own=True)
    conditions = " and ".join([*matches, *filters]) or "true"
    if steering.pinned:
        source = f"""(select p.* from {source} where {conditions}
            union all select p.* from {pinned_products(filters)}) p"""
        conditions = "true"
        more["pinned"] = list(steering.pinned)
    sql = _FACETS.format(source=source, filters=conditions, tiered=TIERED, some=FACETED, many=FACETED_WITHOUT_TIERS)
    return sql, parameters | more


def _walked(sort: Sort) -> str:
    """What has an index of the sort's key."""
    return "search_prices p where true" if sort in _BY_PRICE else f"search_products p where p.tier <= {LAST_TIER}"


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


def _with_rows(page: str, key: str, order: str, total: str, before: str = "") -> str:
    return f"""
        with {before}page as materialized ({page})
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
