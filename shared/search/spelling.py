"""What a misspelt word may have meant: words of the catalogue that are nearly the same, the likeliest first.

The database finds candidates by traces (a word's first seven letters with none, one or two left out: SymSpell's idea),
here they are weighed by how people misspell: vowels are confused, letters doubled or forgotten to be, neighbours
swapped, and the first letter is seldom wrong.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import log

SHORTEST, LONGEST = 4, 30
MOST_CORRECTED = 5

_PART_NUMBER = re.compile(r"([^\W\d_]{2,})([0-9].*)")
_VOWELS = frozenset("aeiouy")
# Letters that sound alike somewhere; each stands for the other at less than the price of any letter.
_ALIKE = {frozenset(pair) for pair in ("ck", "sc", "sz", "gj", "fv", "mn", "td", "bp", "kq", "xz", "iy", "vw")}
_FIRST_LETTER = 0.6
_DEAREST, _DEAREST_OF_SHORT = 2.6, 1.4
# Letters left out, added or changed, in a short word and in a long one; two that were swapped count twice.
MOST_EDITS, MOST_EDITS_OF_LONG, LONG = 2, 3, 8
_COMMON = 0.16  # what a word gains by each e-fold of products


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word of the catalogue, and about how many products have it in name, brand or category."""

    word: str
    products: int


def choose(typed: str, candidates: Iterable[Candidate]) -> str | None:
    """The word that was most likely meant; the same candidates choose the same word whatever their order."""
    dearest = _DEAREST_OF_SHORT if len(typed) <= SHORTEST else _DEAREST
    priced = [(price(typed, one.word), one) for one in candidates]
    weighed = [
        (dear - _COMMON * log(max(one.products, 1)), -one.products, one.word) for dear, one in priced if dear <= dearest
    ]
    return min(weighed)[2] if weighed else None


def price(typed: str, meant: str) -> float:
    """How unlikely it is to write the one for the other: edits, each at its price (optimal string alignment)."""
    before: list[float] = []
    last = [0.0]
    for column in range(1, len(meant) + 1):
        last.append(last[-1] + _left_out(meant, column - 1))
    for row in range(1, len(typed) + 1):
        current = [last[0] + _left_out(typed, row - 1)]
        for column in range(1, len(meant) + 1):
            a, b = typed[row - 1], meant[column - 1]
            best = min(
                last[column - 1] + _swapped(a, b),
                last[column] + _left_out(typed, row - 1),
                current[column - 1] + _left_out(meant, column - 1),
            )
            if row > 1 and column > 1 and a == meant[column - 2] and typed[row - 2] == b and a != b:
                best = min(best, before[column - 2] + 0.7)
            current.append(best)
        before, last = last, current
    begins_otherwise = typed[:1] != meant[:1] and typed[:2] != meant[1::-1]
    return last[-1] + (_FIRST_LETTER if begins_otherwise else 0.0)


def _swapped(a: str, b: str) -> float:
    if a == b:
        return 0.0
    if a in _VOWELS and b in _VOWELS:
        return 0.6
    return 0.7 if frozenset((a, b)) in _ALIKE else 1.0


def _left_out(word: str, place: int) -> float:
    """One of two that are the same is easily forgotten, and easily added; so are a silent e, a vowel, an h."""
    letter = word[place]
    if letter in (word[place - 1 : place], word[place + 1 : place + 2]):
        return 0.5
    return 0.8 if letter in _VOWELS or letter == "h" else 1.0


def neighbours(text: str, spans: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Words with a space between them as one: of `key board` keyboard."""
    return [
        (start, stop, word + following)
        for (start, end, word), (begin, stop, following) in pairwise(spans)
        if text[end:begin] == " " and SHORTEST <= len(word + following) <= LONGEST and (word + following).isalpha()
    ]


def apart(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with its part numbers as they may be written elsewhere: of `wh1000xm4` wh 1000xm4."""
    parts = [(start, stop, _PART_NUMBER.match(word)) for start, stop, word in spans]
    return replaced(text, [(start, stop, " ".join(found.groups())) for start, stop, found in parts if found])


def replaced(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    """The text with other words in these places; what stands between them stays as it was typed."""
    parts, end = [], 0
    for start, stop, word in sorted(spans):
        parts += [text[end:start], word]
        end = stop
    return "".join([*parts, text[end:]])
