"""A search engine over the same products: tantivy inside this process, without a wire between, where it is installed.

It has all that ours has to search: name, brand, categories and description, stemmed, all words required, BM25 with the
name first; what is sorted and narrowed goes by its columns. It counts every match. Misspelt words are fuzzy terms.
"""

import importlib.util
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.searching.catalogue import Plan, draw
from benchmarks.searching.filling import say
from benchmarks.searching.questions import LIMIT, Question, Way
from benchmarks.searching.vocabulary import SEED
from shared.search.listing import Sort

if TYPE_CHECKING:
    from tantivy import Document, Index, Query, Schema

WHY_NOT = "tantivy is not installed"
_TEXTS = {"name": 4.0, "brand": 2.0, "categories": 2.0, "description": 1.0}
_SORTS = {
    Sort.PRICE_ASC: ("price", "asc"),
    Sort.PRICE_DESC: ("price", "desc"),
    Sort.NEWEST: ("born", "desc"),
    Sort.POPULARITY: ("popularity", "desc"),
}
_FACETS = {
    "brands": {"terms": {"field": "sold_by", "size": 20}},
    "categories": {"terms": {"field": "category", "size": 20}},
}
_MADE = "made.json"


def is_installed() -> bool:
    return importlib.util.find_spec("tantivy") is not None


class Engine:
    """An index in a folder; made there where it is not."""

    def __init__(self, folder: Path, products: int, drawn_from: Plan) -> None:
        import tantivy

        self._tantivy = tantivy
        self._schema = _schema()
        made = folder / _MADE
        if not made.exists():
            began = time.monotonic()
            folder.mkdir(parents=True, exist_ok=True)
            _make(tantivy.Index(self._schema, str(folder), reuse=False), _documents(products, drawn_from, self._schema))
            made.write_text(json.dumps({"seconds": time.monotonic() - began}))
        self.seconds: float = json.loads(made.read_text())["seconds"]
        self.megabytes = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        self._index: Index = tantivy.Index.open(str(folder))
        self._searcher = self._index.searcher()

    def can(self, question: Question) -> bool:
        return question.way is not Way.SUGGESTIONS and not question.search.in_stock

    def ask(self, question: Question) -> object:
        query = self._query(question)
        if question.way is Way.FACETS:
            return self._searcher.aggregate(query, _FACETS)
        if question.way is Way.COUNT:
            return self._searcher.search(query, limit=1)
        how: dict[str, Any] = {"offset": (question.page - 1) * LIMIT}
        if question.search.sort in _SORTS:
            field, order = _SORTS[question.search.sort]
            how |= {"order_by_field": field, "order": getattr(self._tantivy.Order, order.capitalize())}
        found = self._searcher.search(query, limit=LIMIT, **how)
        return [self._searcher.doc(address)["slug"] for _, address in found.hits]

    def _query(self, question: Question) -> "Query":
        search, occur, query = question.search, self._tantivy.Occur, self._tantivy.Query
        parts: list[tuple[Any, Any]] = []
        if search.text:
            fuzzy = {"fuzzy_fields": {"name": (False, 1, True)}} if question.misspelt else {}
            text, _ = self._index.parse_query_lenient(
                search.text,
                default_field_names=["name"] if question.misspelt else list(_TEXTS),
                field_boosts=_TEXTS,
                conjunction_by_default=True,
                **fuzzy,  # type: ignore[arg-type]
            )
            parts.append((occur.Must, text))
        if search.category is not None:
            parts.append((occur.Must, query.term_query(self._schema, "category", search.category)))
        if search.brand is not None:
            parts.append((occur.Must, query.term_query(self._schema, "sold_by", search.brand)))
        if search.price_min is not None or search.price_max is not None:
            kind = self._tantivy.FieldType.Unsigned
            low, high = search.price_min or 0, search.price_max if search.price_max is not None else 2**62
            parts.append((occur.Must, query.range_query(self._schema, "price", kind, low, high)))
        return query.boolean_query(parts) if parts else query.all_query()


def _schema() -> "Schema":
    import tantivy

    builder = tantivy.SchemaBuilder()
    for name in _TEXTS:
        builder.add_text_field(name, tokenizer_name="en_stem")
    builder.add_text_field("slug", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("category", tokenizer_name="raw", index_option="basic", fast=True)
    builder.add_text_field("sold_by", tokenizer_name="raw", index_option="basic", fast=True)
    for name in ("price", "popularity", "born"):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    return builder.build()


def _make(index: "Index", documents: Iterator["Document"]) -> None:
    writer = index.writer(512_000_000, 2)
    for n, document in enumerate(documents, 1):
        writer.add_document(document)
        if n % 100_000 == 0:
            say(f"{n} products in the search engine")
    writer.commit()
    writer.wait_merging_threads()


def _documents(products: int, drawn_from: Plan, schema: "Schema") -> Iterator["Document"]:
    """Of the rows that the shop was filled with."""
    import tantivy

    for row in draw(products, drawn_from, random.Random(SEED)):
        n, name, description, brand, leaf, price, popularity, born, _ = row.rstrip("\n").split("\t")
        path = drawn_from.leaves[int(leaf)].path
        told = {
            "slug": f"product-{n}",
            "name": name,
            "brand": drawn_from.brands[int(brand)],
            "sold_by": f"brand-{brand}",
            "categories": " ".join(path),
            "category": ["/".join(path[:depth]) for depth in (1, 2, 3)],
            "description": description,
            "price": int(price),
            "popularity": int(popularity),
            "born": int(born),
        }
        yield tantivy.Document.from_dict(told, schema)
