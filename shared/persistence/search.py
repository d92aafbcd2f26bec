"""Reading the catalogue: lists by keyset, facets, suggestions, pages. A page is one statement, and so is the first of a
text that is found as words; a text that is not costs one more for each other way that is tried.

A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. Lists read search_products alone (shared.search.projecting); a product's own page reads the tables of the shop
and asks for stock when it is made. What is held is not for sale, here as there (S13).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.persistence.database import Database, Row
from shared.persistence.search_matching import AS_WORDS, GOING_ON, LAST_TIER, SOMEHOW
from shared.persistence.search_statements import (
    COUNTED,
    DOUBLED,
    LISTED,
    MANY,
    NOTHING_RANKED,
    RARITIES,
    STEERING,
    STEPPED,
    Statement,
    facets_statement,
    find_statement,
    list_statement,
    rest_statement,
    step_statement,
    walk_statement,
    words_statement,
)
from shared.persistence.search_suggestions import suggestions_statement
from shared.search.listing import (
    UNSTEERED,
    CategoryNotFound,
    CategoryPage,
    Continuation,
    Crumb,
    Facet,
    Facets,
    ListedProduct,
    Matching,
    Moved,
    MovedCategory,
    OfferedVariant,
    Page,
    Position,
    ProductNotFound,
    ProductPage,
    Search,
    Sort,
    Steering,
    Suggestion,
    Total,
)
from shared.search.rarity import Rarity, most_of
from shared.search.spelling import (
    LONG,
    LONGEST,
    MOST_CORRECTED,
    MOST_EDITS,
    MOST_EDITS_OF_LONG,
    SHORTEST,
    Candidate,
    apart,
    choose,
    neighbours,
    replaced,
    traces_of,
)
from shared.search.texts import Text, take_apart

MOST_CATEGORIES = 5000
# So few products are not enough to say that a text was meant as it was typed, where spelt right it finds far more.
FEW, FAR_MORE = 3, 4
# So few products with all words do not fill what a shopper looks at: those with most of the words follow them.
PLENTY = 10
# Words may grow when they are corrected; a cursor has room for so much.
LONGEST_TEXT = 200

# What is offered of a product: the cheapest variant in stock, else the cheapest.
_OFFER = """
select v.sku, v.price_minor, v.currency, coalesce(s.on_hand > s.held, false) as in_stock
from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
where v.product_id = p.id and v.active
order by 4 desc, v.price_minor, v.position, v.sku limit 1"""

_SHOWN = """p.slug, p.name, p.image_urls[1] as image_url, b.name as brand, b.slug as brand_slug,
    c.path as category_path, c.name as category_name, coalesce(o.sku, '') as sku,
    coalesce(o.price_minor, p.price_minor) as price_minor, coalesce(o.currency, p.currency) as currency,
    coalesce(o.in_stock, false) as in_stock"""

# The category and all above it, each by its own path.
_BREADCRUMBS = """(
    select coalesce(json_agg(json_build_array(a.path, a.name) order by length(a.path)), '[]')
    from generate_series(0, cardinality(string_to_array(c.path, '/')) - 1) as below
    join categories a on a.path = array_to_string(trim_array(string_to_array(c.path, '/'), below), '/'))"""

# What staff show beside it, else what is popular in its category: of its first few, so that the look is as short in any
# category. Rows of lists, as lists have them: a product that went, or is not published, has none. OFFSET 0: one by one
# by key, whatever the planner thinks of all of them.
POPULAR_LOOKED_AT, POPULAR_SHOWN = 12, 8
_AS_LISTED = """json_agg(json_build_object('slug', r.slug, 'sku', r.sku, 'name', r.name, 'brand', r.brand_name,
    'brand_slug', r.brand_slug, 'category_path', r.category_path, 'category_name', r.category_name,
    'price_minor', r.offer_minor, 'currency', r.currency, 'in_stock', r.in_stock, 'image_url', r.image_url)
    order by r.in_stock desc, r.rank)"""
_RELATED = f"""coalesce(
    (select {_AS_LISTED} from (
        select s.*, n.position as rank
        from (select related_id, position from related_products where product_id = p.id offset 0) n
        cross join lateral (
            select * from search_products where product_id = n.related_id and tier <= {LAST_TIER} offset 0) s) r),
    (select {_AS_LISTED} from (
        select * from (
            select s.*, s.place as rank from search_products s
            where s.category_id = p.category_id and s.tier <= {LAST_TIER} and s.product_id <> p.id
            order by s.place, s.product_id limit {POPULAR_LOOKED_AT}) popular
        order by in_stock desc, rank limit {POPULAR_SHOWN}) r),
    '[]')"""

_PRODUCT = f"""
select {_SHOWN}, p.description, p.attributes, to_json(p.image_urls) as image_urls,
    (select coalesce(json_agg(json_build_object('sku', v.sku, 'options', v.options, 'price_minor', v.price_minor,
            'currency', v.currency, 'in_stock', coalesce(s.on_hand > s.held, false)) order by v.position, v.sku), '[]')
     from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
     where v.product_id = p.id and v.active) as variants,
    {_BREADCRUMBS} as breadcrumbs, {_RELATED} as related
from products p
left join brands b on b.id = p.brand_id
left join categories c on c.id = p.category_id
left join lateral ({_OFFER}) o on true
where p.slug = :slug::text and p.published_at <= :now::timestamptz
"""

_MOVED_PRODUCT = """
select p.slug from slug_history h join products p on p.id = h.product_id
where h.slug = :slug::text and p.published_at <= :now::timestamptz
"""

_CATEGORY = f"""
select c.path, c.name,
    {_BREADCRUMBS} as breadcrumbs,
    (select coalesce(json_agg(json_build_array(k.path, k.name) order by k.position, k.path), '[]')
     from categories k where k.parent_id = c.id) as children
from categories c where c.path = :path::text
"""

_MOVED_CATEGORY = """
select c.path from category_history h join categories c on c.id = h.category_id where h.path = :path::text
"""

_CATEGORIES = f"""
select path, name from categories
order by cardinality(string_to_array(path, '/')), position, path limit {MOST_CATEGORIES}
"""

_SPELLINGS = """
select t.n, m.word, v.names
from unnest(:owners::int[], :traces::text[]) as t (n, trace)
join search_misspellings m on m.trace = t.trace
join search_words v on v.word = m.word
where v.names > 0
    and levenshtein_less_equal((:typed::text[])[t.n], m.word, (:edits::int[])[t.n]) <= (:edits::int[])[t.n]
group by t.n, m.word, v.names
"""

_FOLDED = """
select fold_v1(typed) as folded, coalesce(v.names, 0) as names, coalesce(v.products, 0) as products
from unnest(:typed::text[]) with ordinality as t (typed, n) left join search_words v on v.word = fold_v1(typed)
order by n
"""


class CatalogueReader:
    """The catalogue as shoppers see it. A method is one statement, and so is the first page of a text by relevance; by
    another order it is two, and some more where the text is found otherwise than as it was typed."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_products(self, search: Search, *, limit: int, following: Continuation | None = None) -> Page:
        """The next `limit` products after `following`, in a total order: no product twice, none left out."""
        found = self._find(search, wanted=limit + 1) if following is None else self._resume(search, following)
        if found.is_empty:
            return Page((), Total(0, exact=True), None, None)
        after = following.after if following is not None else None
        rows, total = self._rows(found, after, limit + 1, first=following is None)
        items = tuple(_listed(row) for row in rows[:limit])
        rest = None
        if len(rows) > limit:
            last = Position(rows[limit - 1]["key"], UUID(rows[limit - 1]["product_id"]))
            steered = found.steering is not UNSTEERED
            rest = Continuation(found.matching, found.reach, found.corrected, total, last, steered)
        return Page(items, total, rest, found.corrected)

    def facets(self, search: Search) -> Facets:
        found = self._find(search)
        if found.is_empty:
            nothing = Total(0, exact=True)
            return Facets(
                total=nothing, brands=(), categories=(), price_min_minor=None, price_max_minor=None, currency=None
            )
        sql, parameters = facets_statement(
            found.search, found.text, found.matching, reach=found.reach, steering=found.steering
        )
        row = self._database.call(sql, **parameters)[0]
        counted_all = found.reach == LAST_TIER and row["total"] <= row["most"]
        return Facets(
            total=Total(row["total"], exact=True)
            if counted_all
            else Total(min(row["total"], row["most"]), exact=False),
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
        sql, parameters = suggestions_statement(text, limit=limit)
        rows = self._database.call(sql, **parameters)
        return [Suggestion(row["kind"], row["name"], row["key"]) for row in rows]

    def get_product(self, slug: str, *, now: datetime) -> ProductPage | Moved:
        """As it is sold at that moment. Raises ProductNotFound."""
        row = self._database.find(_PRODUCT, slug=slug, now=now)
        if row is None:
            moved = self._database.find(_MOVED_PRODUCT, slug=slug, now=now)
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
            related=[_listed(each) for each in row["related"]],
        )

    def get_category(self, path: str) -> CategoryPage | MovedCategory:
        """Raises CategoryNotFound."""
        row = self._database.find(_CATEGORY, path=path)
        if row is None:
            moved = self._database.find(_MOVED_CATEGORY, path=path)
            if moved is None:
                raise CategoryNotFound
            return MovedCategory(moved["path"])
        return CategoryPage(
            path=row["path"],
            name=row["name"],
            breadcrumbs=[Crumb(*crumb) for crumb in row["breadcrumbs"]],
            children=[Crumb(*crumb) for crumb in row["children"]],
        )

    def list_categories(self) -> list[Crumb]:
        """All of them, parents before children."""
        return [Crumb(row["path"], row["name"]) for row in self._database.call(_CATEGORIES)]

    def _find(self, search: Search, *, wanted: int | None = None) -> "_Found":
        """How the text finds anything among what the filters leave: as it is, else spelt right, else somehow, part
        numbers with a space between letters and digits before any of the words; with the first `wanted` rows where they
        come by the way. Of what staff have steered nobody doubts that it was meant, even where they leave nothing of
        what it finds."""
        text = take_apart(search.text)
        if not search.text:
            return _Found(search, text, Matching.EVERYTHING, LAST_TIER, None, None)
        if not text.searchable:
            return _Found(search, text, Matching.NOTHING, LAST_TIER, None, None)
        if search.sorted_by is not Sort.RELEVANCE:
            wanted = None
        as_typed = self._try_words(search, text, corrected=None, wanted=wanted, going_on=True)
        if (
            as_typed.hopeless
            or as_typed.matching is Matching.NAMED
            or (as_typed.matching is Matching.WORDS and as_typed.counted > FEW)
        ):
            return self._completed(as_typed, wanted)
        # Where staff have said nothing it was tried by the way.
        if as_typed.matching is Matching.NOTHING and text.tail and as_typed.steering is not UNSTEERED:
            as_typed = self._try(search, text, GOING_ON, steering=as_typed.steering)
        found_none = as_typed.matching is Matching.NOTHING and as_typed.counted == 0
        doubted = found_none or as_typed.steering is UNSTEERED
        joining = as_typed.matching is not Matching.NOTHING  # else each of them is a part of the whole: substrings
        meant = self._correct(text, joining=joining) if search.correct and doubted else None
        if meant is not None:
            corrected = self._try_words(replace(search, text=meant), take_apart(meant), corrected=meant, wanted=wanted)
            if corrected.counted > as_typed.counted * FAR_MORE:
                return self._completed(corrected, wanted)
        if as_typed.matching is not Matching.NOTHING:
            return self._completed(as_typed, wanted)
        somehow = self._somehow(search, text, as_typed.steering, wanted)
        if somehow.matching is Matching.SUBSTRING or not (search.correct and doubted):
            return somehow
        meant = apart(text.typed, text.spans)
        if meant != text.typed and len(meant) <= LONGEST_TEXT:
            corrected = self._try_words(replace(search, text=meant), take_apart(meant), corrected=meant, wanted=wanted)
            if corrected.counted > 0:
                return self._completed(corrected, wanted)
        return somehow

    def _somehow(self, search: Search, text: Text, steering: Steering, wanted: int | None) -> "_Found":
        """By substrings, else by the words that say most, else by any."""
        if steering is UNSTEERED:
            text = self._weighed(text)
        if not text.most:
            return self._try(search, text, SOMEHOW, steering=steering)
        found = self._try(search, text, (Matching.SUBSTRING,), steering=steering)
        if found.matching is Matching.NOTHING:
            found = self._try_words(search, text, corrected=None, wanted=wanted)
        if found.matching is not Matching.NOTHING:
            return found
        return self._try(search, text, (Matching.SOME,), steering=steering)

    def _completed(self, found: "_Found", wanted: int | None) -> "_Found":
        """With what has most of the words where few products have them all, in a list by relevance: by price the
        cheapest of these would be first. What staff have steered is as they want it."""
        if found.matching is not Matching.WORDS or found.counted >= PLENTY or found.steering is not UNSTEERED:
            return found
        if found.search.sorted_by is not Sort.RELEVANCE or not found.search.correct:
            return found
        text = self._weighed(found.text)
        if not text.most:
            return found
        more = self._try_words(found.search, text, corrected=found.corrected, wanted=wanted)
        return more if more.counted > found.counted else found

    def _weighed(self, text: Text) -> Text:
        """With `most`, where it has words to choose from: RTX-4090, without a space, is one to whoever typed it."""
        if len(text.parts) < 2 or not text.words:
            return text
        rows = self._database.call(RARITIES, words=text.words)
        rarities = [Rarity(row["query"], row["products"] if row["known"] else None, row["among"]) for row in rows]
        return replace(text, most=" | ".join(" & ".join(words) for words in most_of(rarities)))

    def _try_words(
        self, search: Search, text: Text, *, corrected: str | None, wanted: int | None, going_on: bool = False
    ) -> "_Found":
        """As words, of which the last may be `going_on`, or by those that say most where the text has such; with the
        first `wanted` rows, where staff have said nothing of the text."""
        sql, parameters = words_statement(search, text, wanted=wanted, going_on=going_on)
        row = self._database.call(sql, **parameters)[0]
        steering = _steering(row)
        if steering is not UNSTEERED:
            return self._try(search, text, AS_WORDS, corrected=corrected, steering=steering)
        return _Found(
            search,
            text,
            Matching(row["matching"]),
            row["reach"],
            corrected,
            _estimate(row),
            first=None if wanted is None else _rows(row),
            hopeless=row["unpriced"],
        )

    def _try(
        self,
        search: Search,
        text: Text,
        ways: Sequence[Matching],
        *,
        corrected: str | None = None,
        steering: Steering,
    ) -> "_Found":
        sql, parameters = find_statement(search, text, ways, steering=steering)
        row = self._database.call(sql, **parameters)[0]
        return _Found(search, text, Matching(row["matching"]), row["reach"], corrected, _estimate(row), steering)

    def _resume(self, search: Search, following: Continuation) -> "_Found":
        """What staff have said may have changed since the first page: what they say now counts."""
        asked = search if following.corrected is None else replace(search, text=following.corrected)
        text = take_apart(asked.text)
        matching = following.matching
        if search.text and (not text.searchable or (matching is Matching.PREFIX and not text.tail)):
            matching = Matching.NOTHING
        if matching is Matching.MOST:
            text = self._weighed(text)
        steering = UNSTEERED
        if following.steered and text.searchable:
            steering = _steering(self._database.call(f"select {STEERING}", typed=text.typed, words=text.words)[0])
        return _Found(asked, text, matching, following.reach, following.corrected, following.total, steering)

    def _correct(self, text: Text, *, joining: bool) -> str | None:
        """The text with its unknown words as the catalogue would spell them, and in one word what it writes so; None
        where there is nothing to correct. A word that no name has, and hardly a description, may be a description's
        mistake."""
        spans = [span for span in text.spans if SHORTEST <= len(span[2]) <= LONGEST and span[2].isalpha()]
        joined = neighbours(text.typed, text.spans) if joining else []
        if not spans and not joined:
            return None
        known = self._database.call(_FOLDED, typed=[word for _, _, word in [*spans, *joined]])
        changes: list[tuple[int, int, str]] = []
        for (start, stop, _), row in zip(joined, known[len(spans) :], strict=True):
            if row["names"] > FEW and (not changes or changes[-1][1] < start):
                changes.append((start, stop, row["folded"]))
        unknown = [
            (span, row["folded"])
            for span, row in zip(spans, known, strict=False)
            if row["names"] == 0
            and row["products"] <= FEW
            and not any(start <= span[0] and span[1] <= stop for start, stop, _ in changes)
        ][:MOST_CORRECTED]
        if unknown:
            changes += self._spelt_right(unknown)
        meant = replaced(text.typed, changes)
        return meant if changes and len(meant) <= LONGEST_TEXT else None

    def _spelt_right(self, unknown: Sequence[tuple[tuple[int, int, str], str]]) -> list[tuple[int, int, str]]:
        """Each word with its place in the text, and folded."""
        traced = [(n, trace) for n, (_, word) in enumerate(unknown, 1) for trace in traces_of(word)]
        rows = self._database.call(
            _SPELLINGS,
            owners=[n for n, _ in traced],
            traces=[trace for _, trace in traced],
            typed=[word for _, word in unknown],
            edits=[MOST_EDITS if len(word) < LONG else MOST_EDITS_OF_LONG for _, word in unknown],
        )
        changes = []
        for n, ((start, stop, _), word) in enumerate(unknown, 1):
            meant = choose(word, [Candidate(row["word"], row["names"]) for row in rows if row["n"] == n])
            if meant is not None:
                changes.append((start, stop, meant))
        return changes

    def _rows(self, found: "_Found", after: Position | None, wanted: int, *, first: bool) -> tuple[list[Row], Total]:
        total = found.total or Total(0, exact=True)
        if found.matching is Matching.EVERYTHING and first:
            sql, parameters = _listing(found, after, counting=True)
            row = self._database.call(sql, **parameters, limit=wanted)[0]
            return _rows(row), counted_total(row["total"])
        if found.search.sorted_by is Sort.RELEVANCE:
            return self._ranked(found, after, wanted), total
        if found.is_stepped:
            many = found.counted >= DOUBLED
            stepped = step_statement(found.search, found.text, found.matching, after=after, many=many)
            return self._run(stepped, wanted), total
        if found.matches_many:
            walked = walk_statement(found.search, found.text, found.matching, after=after, steering=found.steering)
            rows = self._run(walked, wanted)
            if len(rows) == wanted:
                return rows, total
        return self._run(_listing(found, after), wanted), total

    def _ranked(self, found: "_Found", after: Position | None, wanted: int) -> list[Row]:
        """What is ranked, then the rest by popularity."""
        rows: list[Row] = []
        if found.reach != NOTHING_RANKED and (after is None or after.key >= 0):
            listing = None if found.first is not None else _listing(found, after)
            rows = list(found.first or ()) if listing is None else self._run(listing, wanted)
            after = None
        if found.reach == LAST_TIER or len(rows) == wanted:
            return rows
        return rows + self._rest(found, after, wanted - len(rows))

    def _rest(self, found: "_Found", after: Position | None, wanted: int) -> list[Row]:
        text, matching, steering = found.text, found.matching, found.steering
        if found.matches_many:
            place = None if after is None else Position(-after.key, after.id)
            popular = replace(found.search, sort=Sort.POPULARITY)
            walk = walk_statement(popular, text, matching, after=place, beyond=found.reach, steering=steering)
            rows = self._run(walk, wanted)
            if len(rows) == wanted:
                return rows
        rest = rest_statement(found.search, text, matching, reach=found.reach, after=after, steering=steering)
        return self._run(rest, wanted)

    def _run(self, statement: Statement, limit: int) -> list[Row]:
        sql, parameters = statement
        return _rows(self._database.call(sql, **parameters, limit=limit)[0])


@dataclass(frozen=True, slots=True)
class _Found:
    """How a list's text finds its products: what is searched for in the end, among how many tiers it is ranked, what
    staff have said of it, and its first rows where they came with that; `hopeless`: whatever its text, nothing is left
    of it."""

    search: Search
    text: Text
    matching: Matching
    reach: int
    corrected: str | None
    total: Total | None
    steering: Steering = UNSTEERED
    first: Sequence[Row] | None = None
    hopeless: bool = False

    @property
    def matches_many(self) -> bool:
        """So many that sorting them takes longer than looking at what comes first."""
        many = self.reach == NOTHING_RANKED or (self.total is not None and self.total.value >= MANY)
        return many and self.text.searchable

    @property
    def is_stepped(self) -> bool:
        """So many that going through their prices step by step takes less than sorting them."""
        by_price = self.search.sorted_by in (Sort.PRICE_ASC, Sort.PRICE_DESC) and self.steering is UNSTEERED
        return by_price and self.matching in (*AS_WORDS, *GOING_ON) and self.counted >= STEPPED

    @property
    def counted(self) -> int:
        return self.total.value if self.total is not None else 0

    @property
    def is_empty(self) -> bool:
        return self.matching is Matching.NOTHING and not self.steering.pinned


# Rows -----------------------------------------------------------------------------------------------------------------


def counted_total(counted: int) -> Total:
    return Total(min(counted, COUNTED), counted <= COUNTED)


def _listing(found: _Found, after: Position | None, *, counting: bool = False) -> Statement:
    return list_statement(
        found.search,
        found.text,
        found.matching,
        reach=found.reach,
        after=after,
        counting=counting,
        steering=found.steering,
    )


def _steering(row: Row) -> Steering:
    """UNSTEERED itself where staff have said nothing."""
    rule, widened = row["rule"], row["widened"]
    if rule is None:
        return Steering(widened=True) if widened else UNSTEERED
    return Steering([UUID(each) for each in rule["pinned"]], [UUID(each) for each in rule["buried"]], widened)


def _estimate(row: Row) -> Total:
    """Counted where all tiers were looked at; else as many as if the others had as many of a kind, in two digits. The
    pinned are counted in any tier."""
    if row["reach"] == LAST_TIER or not row["among"]:
        return counted_total(row["counted"] + row.get("pinned", 0))
    about = row["counted"] * row["everything"] / row["among"]
    return Total(int(float(f"{about:.2g}")), exact=False)


def _rows(row: Row) -> list[Row]:
    """What the statement's row tells of products."""
    return [dict(zip((*LISTED, "key"), each, strict=True)) for each in row["listed"]]


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
