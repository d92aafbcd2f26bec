"""A catalogue drawn from a seed, line by line as COPY reads it: two runs fill and search the same.

Three levels of categories, each leaf with words of its own, so that words go together as they do in a shop; a few
names in a script without spaces and with accents; popularity of which few have most.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.searching.vocabulary import Vocabulary, made_up

BRANDS = 1_000
TOPS, MIDDLES, LEAVES = 12, 8, 6
# Words of a leaf's own, and how much of a name comes from them.
OWN_WORDS, OWN_SHARE = 60, 0.4
DAYS = 1_000
UNSPACED = (
    "手机",
    "红色",
    "充电器",
    "笔记本电脑",
    "蓝牙",
    "耳机",
    "黒",
    "ケース",
    "カメラ",
    "プリンター",
    "무선",
    "สายไฟ",
)
ACCENTED = ("Crème", "Brûlée", "Größe", "café", "Ångström", "piñata", "Škoda", "naïve", "façade", "œuvre")

COLUMNS = "n, name, description, brand, leaf, price_minor, popularity, born_s, on_hand"


@dataclass(frozen=True, slots=True)
class Leaf:
    """`number` counts the leaves; `path` names the levels by their words."""

    number: int
    path: tuple[str, str, str]
    own_words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What products are drawn from."""

    vocabulary: Vocabulary
    brands: tuple[str, ...]
    leaves: tuple[Leaf, ...]

    @property
    def categories(self) -> list[tuple[str, ...]]:
        """Each level by its words, parents before children."""
        paths = {leaf.path[:depth] for leaf in self.leaves for depth in (1, 2, 3)}
        return sorted(paths, key=lambda path: (len(path), path))


def plan(vocabulary: Vocabulary, dice: random.Random) -> Plan:
    names = iter(dice.sample(vocabulary.words[50:5_000], TOPS * (1 + MIDDLES * (1 + LEAVES))))
    leaves: list[Leaf] = []
    for _ in range(TOPS):
        top = next(names)
        for _ in range(MIDDLES):
            middle = next(names)
            for _ in range(LEAVES):
                own = tuple(vocabulary.draw(dice, OWN_WORDS))
                leaves.append(Leaf(len(leaves), (top, middle, next(names)), own))
    brands: dict[str, None] = {}
    while len(brands) < BRANDS:
        brands[made_up(dice).capitalize()] = None
    return Plan(vocabulary, tuple(brands), tuple(leaves))


def draw(products: int, drawn_from: Plan, dice: random.Random) -> Iterator[str]:
    """Rows of COLUMNS."""
    for n in range(products):
        leaf = drawn_from.leaves[int(len(drawn_from.leaves) * dice.random() ** 2)]
        in_name = 3 + int(9 * dice.random())
        words = drawn_from.vocabulary.draw(dice, in_name + int(max(0.0, dice.gauss(10, 8))))
        name = " ".join(
            dice.choice(leaf.own_words) if dice.random() < OWN_SHARE else word for word in words[:in_name]
        ).capitalize()
        if n % 200 == 0:
            name = f"{''.join(dice.choices(UNSPACED, k=3))} {name}"
        elif n % 50 == 0:
            name = f"{dice.choice(ACCENTED)} {name}"
        brand = int(len(drawn_from.brands) * dice.random() ** 3)
        price, popularity = int(100 + dice.lognormvariate(8, 1)), int(dice.paretovariate(0.8)) - 1
        born_s, on_hand = int(DAYS * 86_400 * dice.random()), max(0, int(12 * dice.random()) - 3)
        yield (
            f"{n}\t{name}\t{' '.join(words[in_name:])}\t{brand}\t{leaf.number}\t{price}\t{min(popularity, 1_000_000)}"
            f"\t{born_s}\t{on_hand}\n"
        )
