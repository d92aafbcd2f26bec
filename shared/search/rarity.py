"""What is found beside the few products that have all words of a text: those with the words that say most.

A word says the more the fewer products have it: of `nintendo switch` the first finds what was meant, not the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import log

# Nearly half of what all words say together: of two that are about as rare either is enough.
SHARE = 0.45
# The rarest so many words are weighed; what the others say makes no difference.
MOST_WEIGHED = 5


@dataclass(frozen=True, slots=True)
class Rarity:
    """A word as the database asks for it, and how many of `among` products have it, about; None: nowhere."""

    query: str
    products: int | None
    among: int


def most_of(text: Sequence[Rarity]) -> list[tuple[str, ...]]:
    """The smallest sets of words that say enough: a product that has all of any of them has most of the text."""
    weighed = [(log(1 + word.among / max(word.products, 1)), word.query) for word in text if word.products is not None]
    weighed = sorted(weighed, key=lambda one: (-one[0], one[1]))[:MOST_WEIGHED]
    enough = SHARE * sum(weight for weight, _ in weighed)
    sets: list[tuple[str, ...]] = []
    for size in range(1, len(weighed) + 1):
        for some in combinations(weighed, size):
            words = tuple(query for _, query in some)
            if sum(weight for weight, _ in some) >= enough and not any(set(each) <= set(words) for each in sets):
                sets.append(words)
    return sets
