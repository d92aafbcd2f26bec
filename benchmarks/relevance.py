"""`make bench-relevance`: how good the first ten are, by people's judgements, and what becomes of misspelt words.

nDCG@10 with gain 2^grade - 1 over all judged queries, unjudged products count nothing; recall is the share of
misspellings (whose right form is in ten names or more) that have a product with the right form in its name among the
first ten. Weights and prices were tuned on one part alone, the other was only looked at to judge: a query, or a right
word, belongs to the part that the last bit of its SHA-256 says.
"""

import argparse
import csv
import gzip
import hashlib
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pg8000.native

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.search.listing import Search
from shared.search.texts import clean
from shared.settings import DatabaseSettings
from tools.scratch_database import ROOT, scratch_server

SHARED = ROOT.parent / "shared"
CATALOGUE = SHARED / "catalog" / "icecat_products.jsonl.gz"
JUDGMENTS = SHARED / "relevance" / "judgments.csv.gz"
MISSPELLINGS = SHARED / "typos" / "misspellings.tsv"
NAMES_WITH_THE_RIGHT_WORD = 10
FIRST = 10

# A search: the SKUs and names of its first ten.
Answer = Callable[[str], Sequence[tuple[str, str]]]


class Query(NamedTuple):
    text: str
    grades: dict[str, int]


class Misspelling(NamedTuple):
    wrong: str
    right: str


def is_set_aside(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[-1] & 1 == 1


def read_queries() -> list[Query]:
    """Those for which the catalogue has something that is relevant at all."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    with gzip.open(JUDGMENTS, "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            grades[row["query"]][row["sku"]] = int(row["rating_0_3"])
    return [Query(text, graded) for text, graded in sorted(grades.items()) if max(graded.values()) > 0]


def read_misspellings(names: Sequence[str]) -> list[Misspelling]:
    """Single words whose right form stands in ten names or more; a wrong form that a name has is spelt right here."""
    in_names: dict[str, int] = defaultdict(int)
    for name in names:
        for word in set(re.findall(r"[a-z]+", name.lower())):
            in_names[word] += 1
    with MISSPELLINGS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [
        Misspelling(row["wrong"].lower(), row["right"].lower())
        for row in rows
        if re.fullmatch(r"[a-z]+", row["wrong"].lower()) and in_names[row["right"].lower()] >= NAMES_WITH_THE_RIGHT_WORD
    ]


def ndcg(found: Sequence[str], grades: dict[str, int]) -> float:
    def gained(ranked: Sequence[int]) -> float:
        return math.fsum((2.0**grade - 1) / math.log2(place + 2) for place, grade in enumerate(ranked[:FIRST]))

    ideal = gained(sorted(grades.values(), reverse=True))
    return gained([grades.get(sku, 0) for sku in found]) / ideal if ideal else 0.0


def judge(queries: Sequence[Query], answer: Answer) -> float:
    return statistics.fmean(ndcg([sku for sku, _ in answer(query.text)], query.grades) for query in queries)


def recall(misspellings: Sequence[Misspelling], answer: Answer) -> float:
    def finds(one: Misspelling) -> bool:
        return any(re.search(rf"\b{one.right}\b", name.lower()) for _, name in answer(one.wrong))

    return statistics.fmean(finds(one) for one in misspellings)


def ours(reader: CatalogueReader) -> Answer:
    def answer(text: str) -> list[tuple[str, str]]:
        return [(item.sku, item.name) for item in reader.list_products(Search(text=clean(text)), limit=FIRST).items]

    return answer


def word_similarity(connection: pg8000.native.Connection, *, threshold: float) -> Answer:
    """The predecessor's trigram answer: names by word_similarity, the shorter name first among equals."""

    def answer(text: str) -> list[tuple[str, str]]:
        connection.run(f"set pg_trgm.word_similarity_threshold = {threshold}")
        rows = connection.run(
            "select s.sku, s.name from search_texts t join search_products s on s.product_id = t.product_id"
            " where t.tier <= 4 and :text <% t.search_text"
            " order by word_similarity(:text, t.search_text) desc, length(s.name), s.sku limit 10",
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
    """BM25 (k1 1.2, b 0.75) over name, category and description, all words required, as search engines rank."""
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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relevance", description=__doc__)
    parser.add_argument("--misses", action="store_true", help="which of the part that is tuned on go wrong")
    options = parser.parse_args()
    if not CATALOGUE.is_file():
        sys.exit("../shared is not beside this checkout: there is nothing to judge")
    with tempfile.TemporaryDirectory(prefix="vitrine-relevance-") as folder, scratch_server(Path(folder)) as server:
        shop = server.copy()
        _fill(shop)
        connection: pg8000.native.Connection = shop.connect()
        settings = DatabaseSettings("url", 1, server.login(shop, "search").url)
        connect = connector(settings, application="relevance", statement_timeout_ms=300)
        database = Database(connect, size=1, clock=SystemClock())
        try:
            _judge(connection, CatalogueReader(database), misses=options.misses)
        finally:
            database.close()
            connection.close()


def _fill(shop: Address) -> None:
    environment = {**os.environ, "DATABASE_URL": shop.url, "DATABASE_ACCESS": "url", "VITRINE_ENVIRONMENT": "local"}
    commands = (
        ["functions.inventory.cli", "import", str(CATALOGUE), "--default-on-hand", "3", "--quiet"],
        ["functions.search.cli", "rebuild"],
    )
    for command in commands:
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True)


def _judge(connection: pg8000.native.Connection, reader: CatalogueReader, *, misses: bool) -> None:
    names = [row[0] for row in connection.run("select name from search_products where tier <= 4") or ()]
    queries, misspellings = read_queries(), read_misspellings(names)
    tuned = [query for query in queries if not is_set_aside(query.text)]
    unseen = [query for query in queries if is_set_aside(query.text)]
    known = [one for one in misspellings if not is_set_aside(one.right)]
    unknown = [one for one in misspellings if is_set_aside(one.right)]
    print(f"\nnDCG@10: {len(tuned)} queries to tune on, {len(unseen)} set aside")
    rankings: dict[str, Answer] = {
        "ours": ours(reader),
        "word_similarity, shorter name first": word_similarity(connection, threshold=0.6),
        "ILIKE all words, name and description": all_words_anywhere(connection),
        "tsvector, name A, description D, ts_rank_cd": full_text(connection),
        "BM25, all fields, all words": bm25(connection),
    }
    for what, answer in rankings.items():
        print(f"  {what:<46} {judge(tuned, answer):.3f}   {judge(unseen, answer):.3f}")
    print(f"\na right product in the first 10: {len(known)} misspellings to tune on, {len(unknown)} set aside")
    spellings = {"ours": ours(reader)}
    for threshold in (0.6, 0.5, 0.4):
        spellings[f"word_similarity, threshold {threshold}"] = word_similarity(connection, threshold=threshold)
    for what, answer in spellings.items():
        began = time.monotonic()
        parts = recall(known, answer), recall(unknown, answer)
        each_ms = (time.monotonic() - began) * 1000 / max(len(misspellings), 1)
        print(f"  {what:<46} {parts[0]:.3f}   {parts[1]:.3f}   {each_ms:.1f} ms each")
    if misses:
        answer = ours(reader)
        for query in tuned:
            print(f"  {ndcg([sku for sku, _ in answer(query.text)], query.grades):.2f} {query.text}")
        for one in known:
            if not recall([one], answer):
                print(
                    f"  {one.wrong} for {one.right}: {reader.list_products(Search(text=one.wrong), limit=1).corrected}"
                )


if __name__ == "__main__":
    main()
