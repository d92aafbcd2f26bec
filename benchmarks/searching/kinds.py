"""The kinds of search that are measured, and what is asked for in each: drawn from what the shop has, from a seed."""

import csv
import gzip
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import pg8000.native

from benchmarks.searching.catalogue import ACCENTED, TOPS, UNSPACED
from benchmarks.searching.questions import LIMIT, Goal, Kind, Question, Way
from benchmarks.searching.shops import Shop
from benchmarks.searching.vocabulary import SEED, STOP_WORDS
from benchmarks.searching.widening import TERMS, term_of
from shared.persistence.search_matching import LAST_TIER
from shared.search.listing import Continuation, Matching, Position, Search, Sort, Total
from tools.scratch_database import ROOT

ASKED = 200
JUDGMENTS = ROOT.parent / "shared" / "relevance" / "judgments.csv.gz"
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_SHOPPERS = Goal(p50_ms=1.5, p99_ms=10)
_WORDS = Goal(p50_ms=1.5, p99_ms=10, p50_times=25, p99_times=40)
_SUBSTRINGS = Goal(p50_times=25, p99_times=40)
_SORTED = Goal(p50_ms=3, p99_ms=15)
_HOPED = Goal()

_COMMON = "select word, names from search_words where length(word) >= 3 order by names desc, word limit :many::int"
_BETWEEN = """
select word from search_words where names between :low::int and :high::int and word ~ '^[a-z]{5,}$'
order by md5(word) limit :many::int
"""
_PRODUCTS = """
select name, sku, price_minor, split_part(category_path, '/', 1) from search_products
where tier <= 4 order by md5(sku) limit :many::int
"""
PAGES = 20
_KEYS = {Sort.PRICE_ASC: "price_minor", Sort.POPULARITY: "place"}


@dataclass(frozen=True, slots=True)
class _Sold:
    words: Sequence[str]
    sku: str
    price_minor: int
    top: str


class Kinds:
    """Made of a filled shop; the same each time."""

    def __init__(self, shop: Shop, connection: pg8000.native.Connection, *, asked: int = ASKED) -> None:
        self._shop, self._connection, self._asked = shop, connection, asked
        self._dice = random.Random(SEED)
        self.common = [row[0] for row in connection.run(_COMMON, many=asked)]
        # Shares of a million products: 2,000 to 20,000 names, 500 to 5,000, 5 to 200.
        self.trap, self.mid, self.rare = (
            self._between(low, high) for low, high in ((0.002, 0.02), (0.0005, 0.005), (0.000005, 0.0002))
        )
        self._sold = [
            _Sold([word for word in name.lower().split() if word.isascii()], *rest)
            for name, *rest in connection.run(_PRODUCTS, many=asked)
        ]
        # Few, so each is asked for several times.
        self.tops = sorted({leaf.path[0] for leaf in shop.plan.leaves}) * max(1, asked // TOPS)
        self.leaves = ["/".join(leaf.path) for leaf in shop.plan.leaves[:asked]]

    def _between(self, low: float, high: float) -> list[str]:
        low_count, high_count = max(1, round(low * self._shop.products)), max(2, round(high * self._shop.products))
        rows = self._connection.run(_BETWEEN, low=low_count, high=high_count, many=self._asked)
        return [row[0] for row in rows]

    def all(self) -> Iterator[Kind]:
        ways = (
            self._words,
            self._spelt_otherwise,
            self._browsed,
            self._sorted,
            self._counted,
            self._odd,
            self._narrowed,
        )
        for some in ways:
            for kind in some():
                yield replace(kind, questions=kind.questions[: self._asked])

    def _words(self) -> Iterator[Kind]:
        yield _texts("common word", self.common, _WORDS)
        yield _texts("trap word (0.2 to 2 %)", self.trap, _WORDS)
        yield _texts("mid word", self.mid, _WORDS)
        yield _texts("rare word", self.rare, _WORDS)
        yield _texts("two words", self._of_names(2), _WORDS)
        yield _texts("three words", self._of_names(3), _WORDS)
        yield _texts("two common words", self._pairs(), _WORDS)
        yield _texts("word with synonyms", [term_of(word) for word in self._shop.plan.vocabulary.words[:TERMS]], _HOPED)
        yield self._logged("real query", Way.LIST)
        yield _texts("SKU", [sold.sku for sold in self._sold], _SHOPPERS)
        yield _texts("beginning of a SKU", [sold.sku[:-2] for sold in self._sold], _SHOPPERS)

    def _spelt_otherwise(self) -> Iterator[Kind]:
        misspelt = [self._misspell(word) for word in self.mid]
        yield _texts("misspelt word", misspelt, _WORDS, misspelt=True)
        both = [f"{common} {wrong}" for common, wrong in zip(self.common, misspelt, strict=False)]
        yield _texts("misspelt and common word", both, _WORDS, misspelt=True)
        yield _texts("substring", [word[1:] for word in self.mid], _SUBSTRINGS)
        for letters in (2, 3, 4, 5):
            prefixes = sorted({word[:letters] for word in [*self.common, *self.mid] if len(word) > letters})
            yield _texts(f"prefix of {letters}", prefixes[: self._asked], _SHOPPERS, way=Way.SUGGESTIONS)

    def _browsed(self) -> Iterator[Kind]:
        for what, paths in (("top category", self.tops), ("leaf", self.leaves)):
            for sort in (Sort.POPULARITY, Sort.PRICE_ASC, Sort.NEWEST):
                searches = [Search(category=path, sort=sort) for path in paths]
                yield Kind(f"{what}, {sort.value}", [Question(search=search) for search in searches], _SHOPPERS)
        for sort in _KEYS:
            for page in (1, 500, 10_000):
                yield self._page(page, sort)

    def _sorted(self) -> Iterator[Kind]:
        narrowed = [
            Search(
                text=self._dice.choice(sold.words),
                category=sold.top,
                price_min=sold.price_minor // 2,
                price_max=sold.price_minor * 2,
                sort=Sort.PRICE_ASC,
            )
            for sold in self._sold
            if sold.words
        ]
        yield Kind("word, category, price range by price", [Question(search=one) for one in narrowed], _SORTED)
        in_top = [
            Search(text=word, category=self.tops[n % len(self.tops)], sort=Sort.PRICE_ASC)
            for n, word in enumerate(self.common)
        ]
        yield Kind("common word, top category by price", [Question(search=one) for one in in_top], _SORTED)
        for name, texts in (
            ("common word by price", self.common),
            ("trap word by price", self.trap),
            ("two common words by price", self._pairs()),
        ):
            searches = [Search(text=text, sort=Sort.PRICE_ASC) for text in texts]
            yield Kind(name, [Question(search=search) for search in searches], _HOPED)

    def _counted(self) -> Iterator[Kind]:
        yield _texts("facets of a common word", self.common, _HOPED, way=Way.FACETS)
        yield self._logged("facets of a real query", Way.FACETS)
        tops = [Question(search=Search(category=path), way=Way.FACETS) for path in self.tops]
        yield Kind("facets of a top category", tops, _HOPED)
        yield _texts("count of a common word", self.common, _HOPED, way=Way.COUNT)
        tops = [Question(search=Search(category=path), way=Way.COUNT) for path in self.tops]
        yield Kind("count of a top category", tops, _HOPED)

    def _odd(self) -> Iterator[Kind]:
        words = self.mid or self.common
        nothing = ["".join(self._dice.choices("qxzjvwk", k=9)) for _ in range(self._asked)]
        yield _texts("no hit", nothing, _SHOPPERS)
        short = [*_LETTERS[:12], "tv", "hp", "pc", "xl", "4k", "m2", "ab", "of", "7", "42"]
        yield _texts("1-2 characters", short, _SHOPPERS)
        yield _texts("stop words only", [*sorted(STOP_WORDS)[:20], "the and of", "with or without"], _SHOPPERS)
        many = [" ".join(self._dice.choices(words, k=150)) for _ in range(20)]
        yield _texts("200 characters", [text[:200] for text in many], _HOPED)
        yield _texts("1,000 characters", [text[:1000] for text in many], _HOPED)
        yield _texts(
            "diacritics",
            [*ACCENTED, *(f"{each} {word}" for each, word in zip(ACCENTED, words, strict=False))],
            _SHOPPERS,
        )
        signs = [
            "100%",
            "_",
            "%",
            "\\",
            "'",
            '"',
            "!(",
            "a_b",
            "50%_off",
            "o'neil",
            "'; drop table products; --",
            "& | !",
            "*:*",
        ]
        yield _texts("wildcards and quotes", [*signs, *(f'"{word}%' for word in words[:20])], _SHOPPERS)
        scripts = [*UNSPACED, *(first + second for first, second in itertools.pairwise(UNSPACED))]
        yield _texts("CJK", scripts, _HOPED)

    def _narrowed(self) -> Iterator[Kind]:
        """No text: two filters or more, of brands large and small, of prices that many have or hardly any."""
        searches: list[Search] = []
        while len(searches) < self._asked:
            price = self._dice.choice(self._sold).price_minor
            narrowed = Search(
                category=self._dice.choice([None, self._dice.choice(self.tops), self._dice.choice(self.leaves)]),
                brand=self._dice.choice(
                    [None, f"brand-{self._dice.randrange(3)}", f"brand-{self._dice.randrange(500)}"]
                ),
                price_min=self._dice.choice([None, price, price // 2]),
                price_max=self._dice.choice([None, price, price * 2]),
                in_stock=self._dice.random() < 0.2,
                sort=self._dice.choice([Sort.PRICE_ASC, Sort.PRICE_DESC, Sort.NEWEST, Sort.POPULARITY]),
            )
            asked_for = (narrowed.category, narrowed.brand, narrowed.price_min or narrowed.price_max, narrowed.in_stock)
            if sum(bool(each) for each in asked_for) > 1:
                searches.append(narrowed)
        yield Kind("filters without a text", [Question(search=search) for search in searches], _SORTED)

    def _of_names(self, many: int) -> list[str]:
        """Words that stand in one name."""
        long_enough = [sorted(set(sold.words)) for sold in self._sold]
        return [" ".join(self._dice.sample(words, many)) for words in long_enough if len(words) >= many]

    def _pairs(self) -> list[str]:
        return [f"{first} {self.common[(n * 7 + 3) % len(self.common)]}" for n, first in enumerate(self.common)]

    def _misspell(self, word: str) -> str:
        """One letter left out, twice, another, or two in the wrong order; not the first."""
        place = self._dice.randrange(1, len(word) - 1)
        letters = list(word)
        match self._dice.randrange(4):
            case 0:
                del letters[place]
            case 1:
                letters.insert(place, letters[place])
            case 2:
                letters[place] = self._dice.choice(_LETTERS)
            case _:
                letters[place], letters[place + 1] = letters[place + 1], letters[place]
        return "".join(letters)

    def _logged(self, name: str, way: Way) -> Kind:
        if not JUDGMENTS.exists():
            return Kind(name, why_not="the logged queries are not there")
        with gzip.open(JUDGMENTS, "rt", encoding="utf-8") as file:
            texts = sorted({row["query"] for row in csv.DictReader(file)})
        return _texts(name, texts, _HOPED, way=way)

    def _page(self, page: int, sort: Sort) -> Kind:
        """That page and those after it, of the whole catalogue; where it is too small, its last ones."""
        search, key = Search(sort=sort), _KEYS[sort]
        first = min((page - 1) * LIMIT, max(0, self._shop.products - (PAGES + 1) * LIMIT))
        if not first:
            return Kind(f"page 1, {sort.value}", [Question(search=search)] * PAGES, _SHOPPERS)
        rows = self._connection.run(
            f"select {key}, product_id from search_products where tier <= 4 order by {key}, product_id"
            f" limit {PAGES * LIMIT} offset {first - 1}"
        )
        total = Total(self._shop.products, exact=False)
        ends = [Position(end, UUID(str(last))) for end, last in rows[::LIMIT]]
        questions = [
            Question(
                search=search,
                page=first // LIMIT + 1 + n,
                following=Continuation(Matching.EVERYTHING, LAST_TIER, None, total, end),
            )
            for n, end in enumerate(ends)
        ]
        return Kind(f"page {first // LIMIT + 1:,}, {sort.value}", questions, _SHOPPERS)


def _texts(name: str, texts: Sequence[str], goal: Goal, *, way: Way = Way.LIST, misspelt: bool = False) -> Kind:
    questions = [Question(search=Search(text=text), way=way, misspelt=misspelt) for text in texts]
    return Kind(name, questions, goal, "" if questions else "the shop has no such words")
