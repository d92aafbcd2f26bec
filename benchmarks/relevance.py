"""`make bench-relevance`: how good the first ten are, by people's judgements, and what becomes of misspelt words.

nDCG@10 with gain 2^grade - 1 over all judged queries, unjudged products count nothing; recall is the share of
misspellings (whose right form is in ten names or more) that have a product with the right form in its name among the
first ten. Weights and prices were tuned on one part alone, the other was only looked at to judge: a query, or a right
word, belongs to the part that the last bit of its SHA-256 says. Others' judgements of their own products are judged by
alike: --catalogue is a file that an import reads, --judgments has the columns query, sku and rating_0_3.
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
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

import pg8000.native

from benchmarks import others_rankings
from benchmarks.others_rankings import FIRST, Answer, word_similarity
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


class Query(NamedTuple):
    text: str
    grades: dict[str, int]


class Misspelling(NamedTuple):
    wrong: str
    right: str


def is_set_aside(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[-1] & 1 == 1


def read_queries(judgments: Path) -> list[Query]:
    """Those for which the catalogue has something that is relevant at all."""
    grades: dict[str, dict[str, int]] = defaultdict(dict)
    with _opened(judgments) as file:
        for row in csv.DictReader(file):
            grades[row["query"]][row["sku"]] = int(row["rating_0_3"])
    return [Query(text, graded) for text, graded in sorted(grades.items()) if max(graded.values()) > 0]


def _opened(path: Path) -> TextIO:
    return gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8")


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


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.relevance", description=__doc__)
    parser.add_argument("--misses", action="store_true", help="which of the part that is tuned on go wrong")
    parser.add_argument("--catalogue", type=Path, default=CATALOGUE, metavar="FILE", help="the products to find")
    parser.add_argument("--judgments", type=Path, default=JUDGMENTS, metavar="FILE", help="what people say of them")
    options = parser.parse_args()
    for file in (options.catalogue, options.judgments, MISSPELLINGS):
        if not file.is_file():
            sys.exit(f"{file} is not there: without ../shared beside this checkout there is nothing to judge")
    with tempfile.TemporaryDirectory(prefix="vitrine-relevance-") as folder, scratch_server(Path(folder)) as server:
        shop = server.copy()
        _fill(shop, options.catalogue.resolve())
        connection: pg8000.native.Connection = shop.connect()
        settings = DatabaseSettings("url", 1, server.login(shop, "search").url)
        connect = connector(settings, application="relevance", statement_timeout_ms=300)
        database = Database(connect, size=1, clock=SystemClock())
        try:
            queries = read_queries(options.judgments)
            _judge(connection, CatalogueReader(database), queries, misses=options.misses)
        finally:
            database.close()
            connection.close()


def _fill(shop: Address, catalogue: Path) -> None:
    environment = {**os.environ, "DATABASE_URL": shop.url, "DATABASE_ACCESS": "url", "VITRINE_ENVIRONMENT": "local"}
    commands = (
        ["functions.inventory.cli", "import", str(catalogue), "--default-on-hand", "3", "--quiet"],
        ["functions.search.cli", "rebuild"],
    )
    for command in commands:
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment, check=True)


def _judge(
    connection: pg8000.native.Connection, reader: CatalogueReader, queries: Sequence[Query], *, misses: bool
) -> None:
    names = [row[0] for row in connection.run("select name from search_products where tier <= 4") or ()]
    misspellings = read_misspellings(names)
    tuned = [query for query in queries if not is_set_aside(query.text)]
    unseen = [query for query in queries if is_set_aside(query.text)]
    known = [one for one in misspellings if not is_set_aside(one.right)]
    unknown = [one for one in misspellings if is_set_aside(one.right)]
    if not (tuned and unseen and known and unknown):
        sys.exit("too little to judge by: each half needs a query with a relevant product, and a misspelling")
    print(f"\nnDCG@10: {len(tuned)} queries to tune on, {len(unseen)} set aside")
    rankings: dict[str, Answer | None] = {"ours": ours(reader), **others_rankings.of(connection)}
    for what, answer in rankings.items():
        if answer is None:
            print(f"  {what:<46} not installed")
            continue
        print(f"  {what:<46} {judge(tuned, answer):.3f}   {judge(unseen, answer):.3f}")
    print(f"\na right product in the first 10: {len(known)} misspellings to tune on, {len(unknown)} set aside")
    spellings = {"ours": ours(reader), "similarity, %": others_rankings.similarity(connection)}
    for threshold in (0.6, 0.5, 0.4, 0.3):
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
