"""Reading the catalogue: lists by keyset, facets, suggestions, pages of products and categories.

A page of a list is one statement, and so is the first of a text that is found as words (search_finding).
A statement names only the filters that are asked for, so that the planner sees which index serves; those in use stay
prepared. Lists read copies alone (shared.search.projecting).
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.persistence.database import Database, Row
from shared.persistence.search_finding import Finder, Found, counted_total, listed_rows
from shared.persistence.search_matching import LAST_TIER
from shared.persistence.search_pages import CATEGORIES, CATEGORY, MOVED_CATEGORY, MOVED_PRODUCT, PRODUCT
from shared.persistence.search_statements import (
    DOUBLED,
    NOTHING_RANKED,
    Statement,
    facets_statement,
    list_statement,
    rest_statement,
    step_statement,
    walk_statement,
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
    Suggestion,
    Total,
)
from shared.search.texts import take_apart


class CatalogueReader:
    """The catalogue as shoppers see it. A method is one statement, and so is the first page of a text by relevance; by
    another order it is two, and some more where the text is found otherwise than as it was typed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._finder = Finder(database)

    def list_products(self, search: Search, *, limit: int, following: Continuation | None = None) -> Page:
        """The next `limit` products after `following`, in a total order: no product twice, none left out."""
        found = (
            self._finder.find(search, wanted=limit + 1) if following is None else self._finder.resume(search, following)
        )
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
        found = self._finder.find(search)
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
        row = self._database.find(PRODUCT, slug=slug, now=now)
        if row is None:
            moved = self._database.find(MOVED_PRODUCT, slug=slug, now=now)
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
        row = self._database.find(CATEGORY, path=path)
        if row is None:
            moved = self._database.find(MOVED_CATEGORY, path=path)
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
        return [Crumb(row["path"], row["name"]) for row in self._database.call(CATEGORIES)]

    def _rows(self, found: Found, after: Position | None, wanted: int, *, first: bool) -> tuple[list[Row], Total]:
        total = found.total or Total(0, exact=True)
        if found.matching is Matching.EVERYTHING and first:
            sql, parameters = _listing(found, after, counting=True)
            row = self._database.call(sql, **parameters, limit=wanted)[0]
            return listed_rows(row), counted_total(row["total"])
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

    def _ranked(self, found: Found, after: Position | None, wanted: int) -> list[Row]:
        """What is ranked, then the rest by popularity."""
        rows: list[Row] = []
        if found.reach != NOTHING_RANKED and (after is None or after.key >= 0):
            listing = None if found.first is not None else _listing(found, after)
            rows = list(found.first or ()) if listing is None else self._run(listing, wanted)
            after = None
        if found.reach == LAST_TIER or len(rows) == wanted:
            return rows
        return rows + self._rest(found, after, wanted - len(rows))

    def _rest(self, found: Found, after: Position | None, wanted: int) -> list[Row]:
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
        return listed_rows(self._database.call(sql, **parameters, limit=limit)[0])


def _listing(found: Found, after: Position | None, *, counting: bool = False) -> Statement:
    return list_statement(
        found.search,
        found.text,
        found.matching,
        reach=found.reach,
        after=after,
        counting=counting,
        steering=found.steering,
    )


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
