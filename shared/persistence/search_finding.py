"""How a text finds anything: as it is, else spelt right, else somehow; and what the first look tells of it.

Most texts are found by one statement, with their first page; one that is not costs one more for each other way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from shared.persistence.database import Database, Row
from shared.persistence.search_matching import AS_WORDS, GOING_ON, LAST_TIER, SOMEHOW
from shared.persistence.search_statements import (
    COUNTED,
    LISTED,
    MANY,
    NOTHING_RANKED,
    RARITIES,
    STEERING,
    STEPPED,
    find_statement,
    words_statement,
)
from shared.search.listing import UNSTEERED, Continuation, Matching, Search, Sort, Steering, Total
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
)
from shared.search.texts import Text, take_apart

# So few products are not enough to say that a text was meant as it was typed, where spelt right it finds far more.
FEW, FAR_MORE = 3, 4
# So few products with all words do not fill what a shopper looks at: those with most of the words follow them.
PLENTY = 10
# Words may grow when they are corrected; a cursor has room for so much.
LONGEST_TEXT = 200

# Which words the catalogue knows, folded, and for those that it does not and that stand `alone` what they may have
# meant: [word, names], those with few enough edits that share a trace. OFFSET 0: by keys, however many traces the
# planner takes a word for.
SPELLINGS = f"""
with told as materialized (
    select t.n, fold_v1(t.typed) as folded, t.alone
    from unnest(:typed::text[], :alone::boolean[]) with ordinality as t (typed, alone, n)
), known as materialized (
    select t.*, coalesce(v.names, 0) as names, coalesce(v.products, 0) as products
    from told t left join search_words v on v.word = t.folded
), unknown as materialized (
    select n, folded, case when length(folded) < {LONG} then {MOST_EDITS} else {MOST_EDITS_OF_LONG} end as edits
    from known where alone and names = 0 and products <= {FEW}
), meant as materialized (
    select distinct u.n, m.word, v.names
    from unknown u
    cross join lateral misspelling_traces_v1(u.folded) as t (trace)
    cross join lateral (select word from search_misspellings where trace = t.trace offset 0) m
    cross join lateral (select names from search_words where word = m.word offset 0) v
    where v.names > 0 and levenshtein_less_equal(u.folded, m.word, u.edits) <= u.edits
)
select k.folded, k.names, k.products,
    (select json_agg(json_build_array(m.word, m.names)) from meant m where m.n = k.n) as meant
from known k order by k.n"""


@dataclass(frozen=True, slots=True)
class Found:
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


class Finder:
    """Whoever reads lists asks it first."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, search: Search, *, wanted: int | None = None) -> Found:
        """How the text finds anything among what the filters leave: as it is, else spelt right, else somehow, part
        numbers with a space between letters and digits before any of the words; with the first `wanted` rows where they
        come by the way. Of what staff have steered nobody doubts that it was meant, even where they leave nothing of
        what it finds."""
        text = take_apart(search.text)
        if not search.text:
            return Found(search, text, Matching.EVERYTHING, LAST_TIER, None, None)
        if not text.searchable:
            return Found(search, text, Matching.NOTHING, LAST_TIER, None, None)
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

    def _somehow(self, search: Search, text: Text, steering: Steering, wanted: int | None) -> Found:
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

    def _completed(self, found: Found, wanted: int | None) -> Found:
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
    ) -> Found:
        """As words, of which the last may be `going_on`, or by those that say most where the text has such; with the
        first `wanted` rows, where staff have said nothing of the text."""
        sql, parameters = words_statement(search, text, wanted=wanted, going_on=going_on)
        row = self._database.call(sql, **parameters)[0]
        steering = _steering(row)
        if steering is not UNSTEERED:
            return self._try(search, text, AS_WORDS, corrected=corrected, steering=steering)
        return Found(
            search,
            text,
            Matching(row["matching"]),
            row["reach"],
            corrected,
            _estimate(row),
            first=None if wanted is None else listed_rows(row),
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
    ) -> Found:
        sql, parameters = find_statement(search, text, ways, steering=steering)
        row = self._database.call(sql, **parameters)[0]
        return Found(search, text, Matching(row["matching"]), row["reach"], corrected, _estimate(row), steering)

    def resume(self, search: Search, following: Continuation) -> Found:
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
        return Found(asked, text, matching, following.reach, following.corrected, following.total, steering)

    def _correct(self, text: Text, *, joining: bool) -> str | None:
        """The text with its unknown words as the catalogue would spell them, and in one word what it writes so; None
        where there is nothing to correct. A word that no name has, and hardly a description, may be a description's
        mistake."""
        spans = [span for span in text.spans if SHORTEST <= len(span[2]) <= LONGEST and span[2].isalpha()]
        joined = neighbours(text.typed, text.spans) if joining else []
        if not spans and not joined:
            return None
        known = self._database.call(
            SPELLINGS,
            typed=[word for _, _, word in [*spans, *joined]],
            alone=[True] * len(spans) + [False] * len(joined),
        )
        changes: list[tuple[int, int, str]] = []
        for (start, stop, _), row in zip(joined, known[len(spans) :], strict=True):
            if row["names"] > FEW and (not changes or changes[-1][1] < start):
                changes.append((start, stop, row["folded"]))
        unknown = [
            (start, stop, row)
            for (start, stop, _), row in zip(spans, known, strict=False)
            if row["names"] == 0
            and row["products"] <= FEW
            and not any(begin <= start and stop <= end for begin, end, _ in changes)
        ][:MOST_CORRECTED]
        for start, stop, row in unknown:
            meant = choose(row["folded"], [Candidate(word, names) for word, names in row["meant"] or ()])
            if meant is not None:
                changes.append((start, stop, meant))
        whole = replaced(text.typed, changes)
        return whole if changes and len(whole) <= LONGEST_TEXT else None


def listed_rows(row: Row) -> list[Row]:
    """What the statement's row tells of products."""
    return [dict(zip((*LISTED, "key"), each, strict=True)) for each in row["listed"]]


def counted_total(counted: int) -> Total:
    return Total(min(counted, COUNTED), counted <= COUNTED)


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
