"""The rows of the demo catalogue. Everything follows from one seed: the same rows on every machine, every time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from local.demo_catalogue.vocabulary import (
    BRANDS,
    CARE,
    COLOURS,
    FINISHES,
    KINDS,
    MADE,
    NATURAL,
    PLACES,
    SERIES,
    Kind,
)

PRODUCTS = 2000
SEED = "vitrine demo catalogue, first edition"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that many products may show; `path` is below the base of all pictures."""

    shape: str
    colour: str

    @property
    def path(self) -> str:
        return f"demo/{self.shape.replace('_', '-')}-{self.colour.lower()}.webp"


def rows(count: int = PRODUCTS) -> Iterator[Row]:
    """One row a variant, `count` products in all; the first row of a product describes it."""
    draw = Random(SEED)
    for number, (kind, brand, series, finish) in enumerate(_names(draw, count), start=1):
        yield from _variants(draw, number, kind, brand, series, finish)


def pictures(count: int = PRODUCTS) -> Sequence[Picture]:
    """Every picture that the first `count` products show, once."""
    paths = {path for row in rows(count) for path in row.get("image_url", "").split()}
    known = (Picture(kind.shape, colour) for kind in KINDS for colour in COLOURS)
    return [picture for picture in known if picture.path in paths]


def _names(draw: Random, count: int) -> Iterator[tuple[Kind, str, str, str]]:
    kinds = [kind for kind in KINDS for _ in range(kind.share)]
    taken: set[tuple[str, str, str, str]] = set()
    while len(taken) < count:
        kind = draw.choice(kinds)
        makers = [brand for brand, makes in BRANDS if not makes or _top(kind) in makes]
        name = (kind, draw.choice(makers), draw.choice(SERIES), draw.choice(FINISHES))
        key = (kind.noun, *name[1:])
        if key not in taken:
            taken.add(key)
            yield name


def _top(kind: Kind) -> str:
    return kind.category.partition(" > ")[0]


def _variants(draw: Random, number: int, kind: Kind, brand: str, series: str, finish: str) -> Iterator[Row]:
    material = draw.choice(kind.materials)
    colours = draw.sample(sorted(COLOURS), draw.choice((1, 2, 2, 3))) if kind.coloured else [draw.choice(NATURAL)]
    sizes = kind.sizes[: draw.randint(3, len(kind.sizes))] if kind.sizes else ("",)
    base = "".join(word[0] for word in kind.noun.replace("-", " ").split()).upper().ljust(2, "X")
    product = f"{_letters(brand)}-{base}{number:04d}"
    price = _charming(draw, *kind.price)
    weight_g = draw.randint(*kind.weight_g)
    # A few things are bought by everybody, most by few.
    popularity = int(1000 / (1 + draw.random() * 60))
    described = {
        "name": " ".join(part for part in (brand, series, finish, material, kind.noun) if part),
        "brand": brand,
        "category_path": kind.category,
        "description": _description(draw, kind, series, material),
        "image_url": " ".join(Picture(kind.shape, colour).path for colour in colours),
        "popularity": popularity,
        "material": material,
        "care": CARE[_top(kind)],
    }
    several = len(colours) * len(sizes) > 1
    for colour in colours:
        for size in sizes:
            row: dict[str, Any] = {"sku": product, "product": product} | described
            described = {}
            if several:
                row["sku"] = "-".join(
                    part for part in (product, colour[:3].upper() if kind.coloured else "", size) if part
                )
            if kind.coloured:
                row["option.colour"] = colour
            if size:
                row["option.size"] = size
            yield row | {
                "price": price,
                "currency": "USD",
                "weight_g": weight_g,
                "tax_class": kind.tax_class,
                "on_hand": _on_hand(draw),
            }


def _letters(brand: str) -> str:
    letters = "".join(letter for letter in brand.upper().replace("Ø", "O").replace("É", "E") if "A" <= letter <= "Z")
    return letters[:3]


def _charming(draw: Random, low: int, high: int) -> float:
    """A price as shops write it; cheap things are more frequent than dear ones."""
    whole = low + (high - low) * draw.random() ** 2
    rounded = round(whole) if whole < 50 else round(whole / 5) * 5
    return round(max(rounded, low) - draw.choice((0, 0.01, 0.05, 0.1, 0.5)), 2)


def _on_hand(draw: Random) -> int:
    return draw.choice((0, 1, 2, 3)) if draw.random() < 0.12 else draw.randint(5, 160)


def _description(draw: Random, kind: Kind, series: str, material: str) -> str:
    opening = draw.choice(
        (
            f"{series} {kind.use}.",
            f"In {material.lower()}, and in no hurry: {series} {kind.use}.",
            f"Plain at first sight, and not at second: {series} {kind.use}.",
            f"{series} is what we missed ourselves. It {kind.use}.",
        )
    )
    place = draw.choice(MADE).format(place=draw.choice(PLACES))
    return f"{opening} {material} is chosen for how it ages. {place} {CARE[_top(kind)]}"
