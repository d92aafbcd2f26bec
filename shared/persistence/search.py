"""Reading the catalogue: lists by keyset, facets, suggestions, pages. A page is one statement, a text's first page two.

A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. Lists read search_products alone (shared.search.projecting); a product's own page reads the tables of the shop
and asks for stock when it is made. What is held is not for sale, here as there (S13).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.persistence.database import Database, Row
from shared.search.listing import (
    CategoryNotFound,
    CategoryPage,
    Continuation,
    Crumb,
    Facet,
    Facets,
    ListedProduct,
    Matching,
    Moved,
    OfferedVariant,
    Page,
    Position,
    ProductNotFound,
    ProductPage,
    Search,
    Sort,
    Suggestion,
    Total,
)
from shared.search.texts import MOST_PARTS, Text, take_apart

# Counting stops here, and the total says so.
COUNTED = 1000
FACETED = 20_000
MOST_CATEGORIES = 5000
# Parts of one or two characters have no trigrams: they are looked for among so many popular products only.
SCANNED = 5_000

_DEAREST = 2**62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

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

_WORDS_QUERY = "plainto_tsquery('public.shop', :words::text)"
_PREFIX_QUERY = "(plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*'))"

# A SKU that somebody has typed whole is found whatever its words are, and goes before all others.
_TYPED_SKU = "p.product_id = any(array(select product_id from search_variants where folded = fold_v1(:typed::text)))"

# D, C, B, A: description, category, brand, name; weights and normalisation as the human judgements of the real
# catalogue like them best. Whole numbers, so that a cursor's key is exact.
_RANK = """(ts_rank_cd('{{0.1, 0.4, 0.4, 1.0}}', p.words, {query}, 1)
    * p.boost * 1e6)::bigint"""

# What is offered of a product: the cheapest variant in stock, else the cheapest.
_OFFER = """
select v.sku, v.price_minor, v.currency, coalesce(s.on_hand > s.held, false) as in_stock
from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
where v.product_id = p.id and v.active
order by 4 desc, v.price_minor, v.position, v.sku limit 1"""

_LISTED = """p.slug, p.sku, p.name, p.brand_name as brand, p.brand_slug, p.category_path, p.category_name,
    p.offer_minor as price_minor, p.currency, p.in_stock, p.image_url"""

# The same of a product's own page.
_SHOWN = """p.slug, p.name, p.image_urls[1] as image_url, b.name as brand, b.slug as brand_slug,
    c.path as category_path, c.name as category_name, coalesce(o.sku, '') as sku,
    coalesce(o.price_minor, p.price_minor) as price_minor, coalesce(o.currency, p.currency) as currency,
    coalesce(o.in_stock, false) as in_stock"""

# The category and all above it, each by its own path.
_BREADCRUMBS = """(
    select coalesce(json_agg(json_build_array(a.path, a.name) order by length(a.path)), '[]')
    from generate_series(0, cardinality(string_to_array(c.path, '/')) - 1) as below
    join categories a on a.path = array_to_string(trim_array(string_to_array(c.path, '/'), below), '/'))"""

_PRODUCT = f"""
select {_SHOWN}, p.description, p.attributes, to_json(p.image_urls) as image_urls,
    (select coalesce(json_agg(json_build_object('sku', v.sku, 'options', v.options, 'price_minor', v.price_minor,
            'currency', v.currency, 'in_stock', coalesce(s.on_hand > s.held, false)) order by v.position, v.sku), '[]')
     from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
     where v.product_id = p.id and v.active) as variants,
    {_BREADCRUMBS} as breadcrumbs
from products p
left join brands b on b.id = p.brand_id
left join categories c on c.id = p.category_id
left join lateral ({_OFFER}) o on true
where p.slug = :slug::text and p.published_at is not null
"""

_MOVED_PRODUCT = """
select p.slug from slug_history h join products p on p.id = h.product_id
where h.slug = :slug::text and p.published_at is not null
"""

_CATEGORY = f"""
select c.path, c.name,
    {_BREADCRUMBS} as breadcrumbs,
    (select coalesce(json_agg(json_build_array(k.path, k.name) order by k.position, k.path), '[]')
     from categories k where k.parent_id = c.id) as children
from categories c where c.path = :path::text
"""

_CATEGORIES = f"""
select path, name from categories
order by cardinality(string_to_array(path, '/')), position, path limit {MOST_CATEGORIES}
"""

_FACETS = f"""
with m as materialized (
    select p.brand_slug, p.brand_name, p.category_path, p.category_name, p.price_minor, p.currency from {{source}}
    where {{filters}} limit {FACETED + 1}
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

_NAMES_THAT_GO_ON = """
select * from (
    select 'product' as kind, p.name, p.slug as key, p.place from search_products p
    where left(p.search_text, 60) collate "C" >= fold_v1(:typed::text)
        and left(p.search_text, 60) collate "C" < fold_v1(:typed::text) || chr(1114111)
        and p.tier <= 4
    order by left(p.search_text, 60) collate "C" limit 500) names
"""

# Of names only (weight A). An index knows no weights: among what matches anywhere, the most popular are looked at.
_WORDS_THAT_GO_ON = f"""
select 'product', p.name, p.slug, p.place
from (
    select * from (
        select p.product_id, p.place from search_products p
        where p.words @@ {_PREFIX_QUERY} and p.tier <= 4 offset 0) matches
    order by place limit 1000) popular
join search_products p on p.product_id = popular.product_id
where p.words @@ (plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*A'))
"""

_SUGGESTIONS = """
with found as (
    select 'category' as kind, c.name, c.path as key, 0::bigint as place from categories c
    where starts_with(fold_v1(c.name), fold_v1(:typed::text))
    union all
    select 'brand', b.name, b.slug, 0 from brands b where starts_with(fold_v1(b.name), fold_v1(:typed::text))
    union all
    {products}
), best as (
    select distinct on (kind, key) kind, name, key, place from found order by kind, key, place
), ranked as (
    select *, row_number() over (partition by kind order by place, length(name), name collate "C", key) as position
    from best
)
select kind, name, key from ranked
where position <= case kind when 'product' then :limit::int else 3 end
order by kind = 'product', kind, position limit :limit::int
"""


class CatalogueReader:
    """The catalogue as shoppers see it. A method is one statement; a text needs one more, to find how it matches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_products(self, search: Search, *, limit: int, following: Continuation | None = None) -> Page:
        """The next `limit` products after `following`, in a total order: no product twice, none left out."""
        text = take_apart(search.text)
        if following is not None:
            matching, total = following.matching, following.total
        else:
            matching, counted = self._find_matching(search, text)
            total = counted or Total(0, exact=True)
        if matching is Matching.NOTHING or (search.text and not text.searchable):
            return Page((), Total(0, exact=True), None)
        after = following.after if following is not None else None
        counting = matching is Matching.EVERYTHING and following is None
        sql, parameters = _list_statement(search, text, matching, after, counting=counting)
        rows = self._database.call(sql, **parameters, limit=limit + 1)
        if counting:
            total = _total(rows[0]["total"] if rows else 0)
        items = tuple(_listed(row) for row in rows[:limit])
        last = rows[limit - 1] if len(rows) > limit else None
        rest = (
            Continuation(matching, total, Position(_key(last["key"]), last["product_id"])) if last is not None else None
        )
        return Page(items, total, rest)

    def facets(self, search: Search) -> Facets:
        text = take_apart(search.text)
        matching, _ = self._find_matching(search, text)
        if matching is Matching.NOTHING:
            nothing = Total(0, exact=True)
            return Facets(
                total=nothing, brands=(), categories=(), price_min_minor=None, price_max_minor=None, currency=None
            )
        filters, parameters = _filters(search)
        matches, more = _matches(text, matching)
        sql = _FACETS.format(source=_source(text, matching), filters=" and ".join([*matches, *filters]))
        row = self._database.call(sql, **parameters, **more)[0]
        return Facets(
            total=Total(min(row["total"], FACETED), row["total"] <= FACETED),
            brands=[Facet(*facet) for facet in row["brands"]],
            categories=[Facet(*facet) for facet in row["categories"]],
            price_min_minor=row["low"],
            price_max_minor=row["high"],
            currency=row["currency"],
        )

    def suggest(self, typed: str, *, limit: int) -> list[Suggestion]:
        """Categories, brands and products whose name goes on from what was typed, or has a word that does."""
        text = take_apart(typed)
        if not text.searchable:
            return []
        sources, parameters = [_NAMES_THAT_GO_ON], {"typed": typed}
        if len(text.tail) >= 3:
            sources.append(_WORDS_THAT_GO_ON)
            parameters |= {"head": text.head, "tail": text.tail}
        sql = _SUGGESTIONS.format(products=" union all ".join(sources))
        rows = self._database.call(sql, **parameters, limit=limit)
        return [Suggestion(row["kind"], row["name"], row["key"]) for row in rows]

    def get_product(self, slug: str) -> ProductPage | Moved:
        """Raises ProductNotFound."""
        row = self._database.find(_PRODUCT, slug=slug)
        if row is None:
            moved = self._database.find(_MOVED_PRODUCT, slug=slug)
            if moved is None:
                raise ProductNotFound
            return Moved(moved["slug"])
        return ProductPage(
            listed=_listed(row),
            description=row["description"],
            attributes=row["attributes"],
            images=row["image_urls"],
            variants=[OfferedVariant(**variant) for variant in row["variants"]],
            breadcrumbs=[Crumb(*crumb) for crumb in row["breadcrumbs"]],
        )

    def get_category(self, path: str) -> CategoryPage:
        """Raises CategoryNotFound."""
        row = self._database.find(_CATEGORY, path=path)
        if row is None:
            raise CategoryNotFound
        return CategoryPage(
            path=row["path"],
            name=row["name"],
            breadcrumbs=[Crumb(*crumb) for crumb in row["breadcrumbs"]],
            children=[Crumb(*crumb) for crumb in row["children"]],
        )

    def list_categories(self) -> list[Crumb]:
        """All of them, parents before children."""
        return [Crumb(row["path"], row["name"]) for row in self._database.call(_CATEGORIES)]

    def _find_matching(self, search: Search, text: Text) -> tuple[Matching, Total | None]:
        """How the text finds anything among what the filters leave, and how much."""
        if not search.text:
            return Matching.EVERYTHING, None
        if not text.searchable:
            return Matching.NOTHING, None
        sql, parameters = _matching_statement(search, text)
        row = self._database.call(sql, **parameters)[0]
        return Matching(row["matching"]), _total(row["total"])


# Statements -----------------------------------------------------------------------------------------------------------


def _matching_statement(search: Search, text: Text) -> tuple[str, dict[str, Any]]:
    """Each way is tried only where the one before it finds nothing: a condition that names no row gates its scan."""
    filters, parameters = _filters(search)
    ways = (Matching.WORDS, Matching.PREFIX, Matching.SUBSTRING)
    counts, found = [], "0"
    for way in ways:
        matches, more = _matches(text, way)
        parameters |= more
        wanted = " and ".join([f"{found} = 0", *matches, *filters])
        counts.append(
            f"lateral (select count(*) as n from ("
            f"select from {_source(text, way)} where {wanted} limit {COUNTED + 1}) m) as {way.value}"
        )
        found = f"{found} + {way.value}.n"
    cases = " ".join(f"when {way.value}.n > 0 then '{way.value}'" for way in ways)
    return f"select case {cases} else 'nothing' end as matching, {found} as total from {', '.join(counts)}", parameters


def _list_statement(
    search: Search, text: Text, matching: Matching, after: Position | None, *, counting: bool
) -> tuple[str, dict[str, Any]]:
    filters, parameters = _filters(search)
    matches, more = _matches(text, matching)
    parameters |= more
    conditions = " and ".join([*matches, *filters])
    sort = search.sorted_by
    if sort is Sort.RELEVANCE:
        key, direction = _relevance(matching), "desc"
    else:
        key, direction = _SORT_KEYS[sort]
    beyond = ""
    if after is not None:
        parameters |= {"after_key": _EPOCH + after.key * _MICROSECOND if sort is Sort.NEWEST else after.key}
        parameters["after_id"] = after.id
        kind = "timestamptz" if sort is Sort.NEWEST else "bigint"
        beyond = f"({{key}}, {{id}}) {'>' if direction == 'asc' else '<'} (:after_key::{kind}, :after_id::uuid)"
    if matching is Matching.EVERYTHING:
        # The index of the sort key is walked and the filters are checked on the way.
        beyond = " and " + beyond.format(key=key, id="p.product_id") if beyond else ""
        page = f"""select p.product_id, {key} as key from search_products p where {{conditions}}{beyond}
            order by {key} {direction}, p.product_id {direction} limit :limit::int"""
        if search.category is None:
            page = page.format(conditions=conditions)
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
        page = f"""select m.product_id, m.key from (
                select p.product_id, {key} as key from {_source(text, matching)} where {conditions} offset 0) m {beyond}
            order by m.key {direction}, m.product_id {direction} limit :limit::int"""
    total = ""
    if counting:
        counted = f"select from search_products p where {conditions} limit {COUNTED + 1}"
        total = f", (select count(*) from ({counted}) t) as total"
    sql = f"""
        with page as materialized ({page})
        select {_LISTED}, page.key, page.product_id{total}
        from page join search_products p on p.product_id = page.product_id
        order by page.key {direction}, page.product_id {direction}"""
    return sql, parameters


def _filters(search: Search) -> tuple[list[str], dict[str, Any]]:
    conditions = ["p.tier <= 4"]
    parameters: dict[str, Any] = {}
    # With a text, an index on the price would only be a second, larger set to intersect: `+ 0` hides it.
    price = "p.price_minor + 0" if search.text else "p.price_minor"
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


def _matches(text: Text, matching: Matching) -> tuple[list[str], dict[str, Any]]:
    if matching is Matching.WORDS:
        return [f"(p.words @@ {_WORDS_QUERY} or {_TYPED_SKU})"], {"words": text.words, "typed": text.typed}
    if matching is Matching.PREFIX:
        return [f"p.words @@ {_PREFIX_QUERY}"], {"head": text.head, "tail": text.tail}
    if matching is Matching.SUBSTRING:
        parts = [*text.parts, *[text.parts[-1]] * (MOST_PARTS - len(text.parts))]
        names = [f"part{number}" for number in range(MOST_PARTS)]
        return [f"p.search_text like {_contains(name)}" for name in names], dict(zip(names, parts, strict=True))
    return [], {}


def _contains(name: str) -> str:
    """A pattern for LIKE without wildcards of the shopper's; escaped after folding, which makes a % of a ％."""
    return rf"'%' || regexp_replace(fold_v1(:{name}::text), '([\\%_])', '\\\1', 'g') || '%'"


def _source(text: Text, matching: Matching) -> str:
    if matching is Matching.SUBSTRING and not text.has_long_part:
        return f"(select * from search_products where tier <= 4 order by place limit {SCANNED}) p"
    return "search_products p"


def _relevance(matching: Matching) -> str:
    if matching is Matching.WORDS:
        return f"(case when {_TYPED_SKU} then 1000000000 else 0 end + {_RANK.format(query=_WORDS_QUERY)})"
    if matching is Matching.PREFIX:
        return _RANK.format(query=_PREFIX_QUERY)
    # The shorter the text, the larger the part of it that was typed.
    return "(1000000 / (1 + length(p.search_text)))::bigint"


# Rows -----------------------------------------------------------------------------------------------------------------


def _total(counted: int) -> Total:
    return Total(min(counted, COUNTED), counted <= COUNTED)


def _key(value: int | datetime) -> int:
    return (value - _EPOCH) // _MICROSECOND if isinstance(value, datetime) else value


def _listed(row: Row | Mapping[str, Any]) -> ListedProduct:
    return ListedProduct(
        slug=row["slug"],
        sku=row["sku"],
        name=row["name"],
        brand=row["brand"],
        brand_slug=row["brand_slug"],
        category_path=row["category_path"],
        category_name=row["category_name"],
        price_minor=row["price_minor"],
        currency=row["currency"],
        in_stock=row["in_stock"],
        image_url=row["image_url"],
    )
