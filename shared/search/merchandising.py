"""What staff say of searches: products that come first for a text, products that it does not find, words that mean the
same. Stock, filters and sorting stay the shopper's."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.kernel.errors import Conflict, Field, Invalid, NotFound, Stale
from shared.search.texts import clean, take_apart

MOST_PINNED = 20
MOST_BURIED = 100
MOST_SYNONYMS = 20
# Of all words of an entry together: a search looks for each, and for twice as many at most (widened_query_v2); a row of
# the database, 8 kB that it does not cut up, has all of them in it.
MOST_LEXEMES = 60
LARGEST_ENTRY_BYTES = 6000


@dataclass(frozen=True, slots=True)
class RuledProduct:
    slug: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Of one text, the whole of it, folded: case, accents and spaces do not matter, words and their order do.

    Pinned products come first, in this order, whether they have the words or not; where the shopper sorts by something
    else they are in their place there. Buried ones are not found by this text at all, nor suggested where it is typed.
    At the end of a list they would be as good as gone and still be counted, and every page would pay for an order of
    its own; by other words, in their category and at their address they are where they were. Both give way to filters.

    How the text finds its products is as without the rule: where all that has the words is buried, the list is empty,
    and not filled with what has some of them.
    """

    id: UUID
    query: str
    pinned: Sequence[RuledProduct]
    buried: Sequence[RuledProduct]
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Synonym:
    """Each of the words also finds what the others find; `one_way`: the term finds the synonyms, and not the reverse.

    A word is one in all its forms (`sofa`, `sofas`), and may be several words, which a text must have all of, in any
    order. It is in one entry at most that widens it, so what it finds stands in one place.
    """

    id: UUID
    term: str
    synonyms: Sequence[str]
    one_way: bool
    version: int
    created_at: datetime
    updated_at: datetime


class UnknownRule(NotFound):
    sentence = "There is no such rule."


class RuleTaken(Conflict):
    """`query` is the text as it is kept."""

    sentence = "There is a rule for this text already."


class RuleStale(Stale):
    sentence = "The rule has changed since you looked at it."


class UnknownSynonym(NotFound):
    sentence = "There are no such synonyms."


class SynonymTaken(Conflict):
    """`words` are those that another entry widens."""

    sentence = "Another entry has synonyms of this word already."


class SynonymStale(Stale):
    sentence = "The synonyms have changed since you looked at them."


def read_query(typed: str) -> str:
    """As a shopper's text is read. Raises Invalid."""
    query = clean(typed)
    if not take_apart(query).searchable:
        raise Invalid([Field("/query", "A text with a letter or a digit.")])
    return query


def check_products(pinned: Sequence[str], buried: Sequence[str]) -> None:
    """Slugs, each once. Raises Invalid."""
    seen: set[str] = set()
    bad = []
    for name, slugs in (("pinned", pinned), ("buried", buried)):
        for position, slug in enumerate(slugs):
            if slug in seen:
                bad.append(Field(f"/{name}/{position}", "This product is named twice."))
            seen.add(slug)
    if not seen:
        bad.append(Field("", "Pin or bury a product; a rule that does neither can be deleted."))
    if bad:
        raise Invalid(bad)


def read_words(term: str, synonyms: Sequence[str]) -> list[str]:
    """The term and its synonyms as they are kept. Raises Invalid.

    Scripts without spaces are looked for by pairs of letters, which are no words that could be widened.
    """
    named = [("/term", clean(term)), *((f"/synonyms/{n}", clean(word)) for n, word in enumerate(synonyms))]
    bad = []
    for pointer, word in named:
        taken = take_apart(word)
        if taken.unspaced or not taken.words:
            bad.append(Field(pointer, "Words with spaces between them."))
    if bad:
        raise Invalid(bad)
    return [word for _, word in named]
