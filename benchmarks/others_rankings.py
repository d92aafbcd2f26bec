"""How others rank the products of a shop: the rows of FINDINGS.md B11, each as a function of a text."""

import importlib.util
import math
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pg8000.native

FIRST = 10

# A search: the SKUs and names of its first ten.
Answer = Callable[[str], Sequence[tuple[str, str]]]


def of(connection: pg8000.native.Connection) -> dict[str, Answer | None]:
    """All of them; None where what ranks is not installed."""
    boosted = {"name": 4.0, "brand": 2.0, "category": 2.0, "description": 1.0}
    return {
        "similarity, %": similarity(connection),
        "word_similarity": word_similarity(connection, threshold=0.6, shorter_first=False),
        "word_similarity, shorter name first": word_similarity(connection, threshold=0.6),
        "ILIKE all words, name and description": all_words_anywhere(connection),
        "tsvector, name A, description D, ts_rank_cd": full_text(connection),
        "BM25, all fields as one, all words": bm25(connection),
        "tantivy, name, any word": engine(connection, {"name": 1.0}, all_words=False),
        "tantivy, all fields boosted, any word": engine(connection, boosted, all_words=False),
        "tantivy, all fields, all words": engine(connection, dict.fromkeys(boosted, 1.0), all_words=True),
    }


def similarity(connection: pg8000.native.Connection) -> Answer:
    """Names that are similar as a whole, by pg_trgm's % at its own threshold."""

    def answer(text: str) -> list[tuple[str, str]]:
        rows = connection.run(
            "select sku, name from search_products where tier <= 4 and lower(name) % :text"
            " order by similarity(lower(name), :text) desc, sku limit 10",
            text=text.lower(),
        )
        return [(row[0], row[1]) for row in rows or ()]

    return answer


def word_similarity(connection: pg8000.native.Connection, *, threshold: float, shorter_first: bool = True) -> Answer:
    """The predecessor's trigram answer: names by word_similarity, the shorter name first among equals or any."""
    among_equals = "length(s.name), " if shorter_first else ""

    def answer(text: str) -> list[tuple[str, str]]:
        connection.run(f"set pg_trgm.word_similarity_threshold = {threshold}")
        rows = connection.run(
            "select s.sku, s.name from search_texts t join search_products s on s.product_id = t.product_id"
            " where t.tier <= 4 and :text <% t.search_text"
            f" order by word_similarity(:text, t.search_text) desc, {among_equals}s.sku limit 10",
            text=text.lower(),
        )
        return [(row[0], row[1]) for row in rows or ()]

    return answer


def all_words_anywhere(connection: pg8000.native.Connection) -> Answer:
    """ILIKE of every word over name and description, the shorter name first."""

    def answer(text: str) -> list[tuple[str, str]]:
        words = [re.sub(r"([\\%_])", r"\\\1", word) for word in text.split()]
        wanted = " and ".join(f"(p.name ilike :w{n} or p.description ilike :w{n})" for n in range(len(words)))
        rows = connection.run(
            "select s.sku, p.name from products p join search_products s on s.product_id = p.id"
            f" where {wanted} order by length(p.name), s.sku limit 10",
            **{f"w{n}": f"%{word}%" for n, word in enumerate(words)},
        )
        return [(row[0], row[1]) for row in rows or ()]

    return answer


def full_text(connection: pg8000.native.Connection) -> Answer:
    """PostgreSQL's full text as most use it: name A, description D, all words, ts_rank_cd."""

    def answer(text: str) -> list[tuple[str, str]]:
        rows = connection.run(
            "select s.sku, p.name from products p join search_products s on s.product_id = p.id,"
            " plainto_tsquery('public.shop', :text) q where p.words @@ q"
            " order by ts_rank_cd(p.words, q) desc, s.sku limit 10",
            text=text,
        )
        return [(row[0], row[1]) for row in rows or ()]

    return answer


def bm25(connection: pg8000.native.Connection) -> Answer:
    """BM25 (k1 1.2, b 0.75) over name, brand, category and description as one field, all words required."""
    names: dict[str, str] = {}
    counts: dict[str, dict[str, int]] = {}
    lengths: dict[str, int] = {}
    postings: dict[str, set[str]] = defaultdict(set)
    rows = connection.run(
        "select s.sku, s.name, to_tsvector('public.shop', concat_ws(' ', s.name, s.brand_name, s.category_name,"
        " p.description))::text from search_products s join products p on p.id = s.product_id where s.tier <= 4"
    )
    for sku, name, words in rows or ():
        found = {lexeme: places.count(",") + 1 for lexeme, places in re.findall(r"'((?:[^']|'')+)':([\d,]+)", words)}
        names[sku], counts[sku], lengths[sku] = name, found, sum(found.values())
        for lexeme in found:
            postings[lexeme].add(sku)
    average = statistics.fmean(lengths.values())

    def answer(text: str) -> list[tuple[str, str]]:
        lexemes = [row[0] for row in connection.run(
            "select unnest(tsvector_to_array(to_tsvector('public.shop', :text)))", text=text) or ()]  # fmt: skip
        matching = set.intersection(*(postings.get(lexeme, set()) for lexeme in lexemes)) if lexemes else set()

        def weight(sku: str) -> float:
            total = 0.0
            for lexeme in lexemes:
                rarity = math.log(1 + (len(names) - len(postings[lexeme]) + 0.5) / (len(postings[lexeme]) + 0.5))
                times = counts[sku][lexeme]
                total += rarity * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * lengths[sku] / average))
            return total

        best = sorted(matching, key=lambda sku: (-weight(sku), sku))[:FIRST]
        return [(sku, names[sku]) for sku in best]

    return answer


def engine(connection: pg8000.native.Connection, fields: dict[str, float], *, all_words: bool) -> Answer | None:
    """BM25 by tantivy over these fields with their boosts (name, brand, category, description); None where it is not
    installed."""
    if importlib.util.find_spec("tantivy") is None:
        return None
    import tantivy

    builder = tantivy.SchemaBuilder()
    for field in fields:
        builder.add_text_field(field, tokenizer_name="en_stem")
    for field in ("sku", "shown"):
        builder.add_text_field(field, stored=True, tokenizer_name="raw", index_option="basic")
    index = tantivy.Index(builder.build())
    writer = index.writer(128_000_000, 1)
    rows = connection.run(
        "select s.sku, s.name, coalesce(s.brand_name, ''), coalesce(s.category_name, ''), coalesce(p.description, '')"
        " from search_products s join products p on p.id = s.product_id where s.tier <= 4"
    )
    for sku, *texts in rows or ():
        known: dict[str, Any] = dict(zip(("name", "brand", "category", "description"), texts, strict=True))
        writer.add_document(tantivy.Document(sku=sku, shown=known["name"], **{field: known[field] for field in fields}))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()

    def answer(text: str) -> list[tuple[str, str]]:
        query, _ = index.parse_query_lenient(
            re.sub(r"[^\w]+", " ", text),
            default_field_names=list(fields),
            field_boosts=fields,
            conjunction_by_default=all_words,
        )
        found = [searcher.doc(address) for _, address in searcher.search(query, limit=FIRST).hits]
        return [(document["sku"][0], document["shown"][0]) for document in found]

    return answer
