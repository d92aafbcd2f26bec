"""The words of a catalogue that is drawn: those of the real one where it is there, and made-up ones."""

import gzip
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Sequence

from tools.scratch_database import ROOT

SEED = 20_261_122
WORDS = 40_000
REAL = ROOT.parent / "shared" / "catalog" / "icecat_products.jsonl.gz"
# The n-th word is drawn about 1/(n + FLATTENING) as often as all others together are.
FLATTENING = 8
# What full text leaves out; a word that finds nothing would measure nothing.
STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        all and any are both but can down for from has have here how into its just more most not now off only other our
        out over own same such than that the then there these they this through too under until very what when where
        which while who will with you your few some each about after
        """,
    )
)
_SYLLABLES = [c + v for c in "bcdfghklmnprstvz" for v in "aeiou"] + ["ster", "lin", "tron", "max", "ble"]


class Vocabulary:
    """The same words for the same seed and the same real catalogue: those of its names, the most frequent first, then
    some that sound like words."""

    def __init__(self, dice: random.Random, *, real: Sequence[str] = (), words: int = WORDS) -> None:
        drawn = dict.fromkeys(real)
        while len(drawn) < words:
            drawn[made_up(dice)] = None
        self.words = list(drawn)
        self._weights = list(itertools.accumulate(1 / (place + FLATTENING) for place in range(len(drawn))))

    def draw(self, dice: random.Random, count: int) -> list[str]:
        return dice.choices(self.words, cum_weights=self._weights, k=count)


def made_up(dice: random.Random) -> str:
    return "".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(2, 4)))


def read_real_words() -> list[str]:
    """Of the real catalogue's names, the most frequent first; none where it is not there."""
    if not REAL.exists():
        return []
    counted: Counter[str] = Counter()
    with gzip.open(REAL, "rt", encoding="utf-8") as file:
        for line in file:
            counted.update(set(re.findall(r"[a-z]{3,}", json.loads(line)["name"].lower())))
    return sorted(counted.keys() - STOP_WORDS, key=lambda word: (-counted[word], word))
