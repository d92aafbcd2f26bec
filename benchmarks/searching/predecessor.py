"""The predecessor's answers to the same questions, from the shop's own tables: a full scan, and indexes of trigrams.

A page of 24 is taken as it comes, where nothing is sorted: whoever sorts pays for all that matches. Deep pages go by
OFFSET, as its did. Words that are misspelt a full scan does not find, trigrams find what is similar; asked for the best
of a text, and not for any that have it, they find all by similar words.
"""

import re

import pg8000.native

from benchmarks.searching.questions import LIMIT, Question, Way
from benchmarks.searching.timing import Unanswered
from shared.search.listing import Sort

_SHOWN = "p.id, p.slug, p.name, p.price_minor, b.name, c.path, p.image_urls[1]"
_FROM = "products p left join brands b on b.id = p.brand_id left join categories c on c.id = p.category_id"
_SORTS = {
    Sort.PRICE_ASC: "p.price_minor, p.id",
    Sort.PRICE_DESC: "p.price_minor desc, p.id",
    Sort.NEWEST: "p.created_at desc, p.id",
    Sort.POPULARITY: "p.popularity desc, p.id",
}
_IN_STOCK = """exists (select from variants v join stock_levels s on s.sku = v.sku
    where v.product_id = p.id and s.on_hand > s.held)"""
_BY_WORD = "word_similarity(:text, p.name) desc, length(p.name), p.id"
_SLOWEST_MS = 20_000


class Predecessor:
    """`scanning`: every row is read, as `UPPER(name) LIKE UPPER('%word%')` makes it; else by indexes, ILIKE. `ranking`:
    the best of a text, by word similarity, as ours are the best of it."""

    def __init__(self, connection: pg8000.native.Connection, *, scanning: bool = False, ranking: bool = False) -> None:
        self._connection = connection
        self._scanning = scanning
        self._ranking = ranking
        for setting in ("enable_bitmapscan", "enable_indexscan", "enable_indexonlyscan"):
            connection.run(f"set {setting} = {'off' if scanning else 'on'}")
        connection.run(f"set enable_seqscan = {'on' if scanning else 'off'}")
        connection.run(f"set statement_timeout = {_SLOWEST_MS}")
        connection.run("set pg_trgm.word_similarity_threshold = 0.5")

    def can(self, question: Question) -> bool:
        if self._ranking:
            # What is misspelt is ranked in any case.
            by_relevance = question.way is Way.LIST and question.search.sorted_by is Sort.RELEVANCE
            return by_relevance and not question.misspelt
        return question.way is not Way.SUGGESTIONS and not (self._scanning and question.misspelt)

    def ask(self, question: Question) -> object:
        """Raises Unanswered."""
        where, parameters = self._where(question)
        try:
            return self._connection.run(self._statement(question, where), **parameters)
        except pg8000.native.DatabaseError as error:
            raise Unanswered from error

    def _where(self, question: Question) -> tuple[str, dict[str, object]]:
        search = question.search
        conditions, parameters = ["p.published_at is not null"], dict[str, object]()
        similar = self._ranking or question.misspelt
        if search.text and similar:
            conditions.append(":text <% p.name")
            parameters["text"] = search.text
        for n, word in enumerate(search.text.split() if not similar else ()):
            pattern = f":w{n}::text"
            conditions.append(f"upper(p.name) like upper({pattern})" if self._scanning else f"p.name ilike {pattern}")
            parameters[f"w{n}"] = "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
        if search.category is not None:
            conditions.append("p.category_id in (select id from categories where path = :path or path like :below)")
            parameters |= {"path": search.category, "below": f"{search.category}/%"}
        if search.brand is not None:
            conditions.append("p.brand_id = (select id from brands where slug = :brand)")
            parameters["brand"] = search.brand
        if search.in_stock:
            conditions.append(_IN_STOCK)
        if search.price_min is not None:
            conditions.append("p.price_minor >= :low::bigint")
            parameters["low"] = search.price_min
        if search.price_max is not None:
            conditions.append("p.price_minor <= :high::bigint")
            parameters["high"] = search.price_max
        return " and ".join(conditions), parameters

    def _statement(self, question: Question, where: str) -> str:
        match question.way:
            case Way.COUNT:
                return f"select count(*) from products p where {where}"
            case Way.FACETS:
                found = f"select p.brand_id, p.category_id, p.price_minor from products p where {where}"
                return (
                    f"with found as materialized ({found})"
                    " select 'brand', brand_id, count(*), min(price_minor) from found group by brand_id union all"
                    " select 'category', category_id, count(*), max(price_minor) from found group by category_id"
                )
        sort = _SORTS.get(question.search.sort) or (_BY_WORD if question.misspelt or self._ranking else None)
        order = f" order by {sort}" if sort is not None else ""
        return f"select {_SHOWN} from {_FROM} where {where}{order} limit {LIMIT} offset {(question.page - 1) * LIMIT}"
