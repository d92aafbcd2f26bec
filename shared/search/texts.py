"""What a shopper typed, taken apart for the database. No text of a shopper is ever query language."""

import re
from dataclasses import dataclass

# Word characters without the underscore, in any script.
_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff\ud800-\udfff]")
# What PostgreSQL's parser would join or take for a sign: RTX-4090, black/white, StarTech.com, all-in-one; parted_v1 of
# the migrations has the same.
_PARTING = re.compile(r"[-/~+_]|\.(?=[A-Za-z])|(?<=[A-Za-z])\.")
# What is the same in one piece and in several, a number with its unit or what hyphens join: 500GB and 500 GB, cat5e for
# whoever types cat-5e; 1-5 is not 15.
_UNITS = (
    "awg|cm|db|dpi|ft|g|gb|gbps|ghz|hz|kb|kg|khz|km|kva|kw|l|lbs?|m|mah|mb|mbps|mhz|ml|mm|mp|oz|ppm|rpm|tb|u|v|va|w|wh"
)
_IN_ONE_OR_APART = re.compile(
    rf"(?<![\w.,-])(?:([0-9]{{1,5}})[ -]?({_UNITS})(?![\w-])"
    r"|(?=[0-9-]*[^\W\d_])[^\W_]+(?:-[^\W_]+){1,3}(?![\w-]|\.\w))",
    re.IGNORECASE,
)
# The sign of an inch is no word, so its name is none after a number.
_INCHES = re.compile(r"(?<=[0-9])[ -]?inch(?:es)?(?!\w)", re.IGNORECASE)
# Scripts that put no spaces between words; the migration's unspaced_lexemes_v1 has the same.
_UNSPACED = re.compile(
    "[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e01-\u0e5b\u0e81-\u0edf\u1000-\u109f\u1780-\u17ff]+"
)
MOST_WORDS = 12
MOST_PARTS = 4
MOST_UNSPACED = 24
# A SKU is looked for by its beginning where so much of it was typed, with a digit in it.
SHORTEST_SKU = 4
LONGEST_SKU = 64


@dataclass(frozen=True, slots=True)
class Text:
    """`typed` is the whole text, which may be a SKU. `words` are joined by spaces: they are searched for as words, all
    of them; `head` are all but the last, `tail` the last one. `unspaced` are letters and pairs of letters of scripts
    without spaces, all of them as well. `parts` stood between spaces: substrings. `forms` are those of
    the words that may be written in one piece, `plain` the others, if there are such forms. `most` are the sets of
    words that say most (shared.search.rarity) as a tsquery, empty where nobody has asked."""

    typed: str
    words: str
    head: str
    tail: str
    unspaced: tuple[str, ...]
    parts: tuple[str, ...]
    plain: str = ""
    forms: tuple[tuple[str, ...], ...] = ()
    most: str = ""

    @property
    def searchable(self) -> bool:
        return bool(self.parts)

    @property
    def may_be_sku(self) -> bool:
        return len(self.typed) <= LONGEST_SKU

    @property
    def may_begin_sku(self) -> bool:
        return (
            SHORTEST_SKU <= len(self.typed) <= LONGEST_SKU
            and len(self.parts) == 1
            and any(letter.isdigit() for letter in self.typed)
        )

    @property
    def long_parts(self) -> tuple[str, ...]:
        """The parts of which an index of trigrams has anything to go by."""
        return tuple(part for part in self.parts if any(len(word) >= 3 for word in _WORD.findall(part)))

    @property
    def spans(self) -> list[tuple[int, int, str]]:
        """The words with their places in `typed`."""
        return [(span.start(), span.end(), span.group()) for span in _words_of(self.typed)]


def clean(typed: str) -> str:
    """Control and invisible characters are spaces, runs of spaces one."""
    return " ".join(_INVISIBLE.sub(" ", typed).split())


def take_apart(text: str) -> Text:
    parts = tuple(part for part in text.split(" ") if _WORD.search(part))[:MOST_PARTS]
    read = _INCHES.sub(_blank, _UNSPACED.sub(_blank, text))
    spaced = _PARTING.sub(" ", read)
    spans = _words_of(spaced)
    unspaced = tuple(dict.fromkeys(pair for run in _UNSPACED.findall(text) for pair in _pairs(run)))
    if not spans:
        return Text(text, "", "", "", unspaced[:MOST_UNSPACED], parts)
    end = spans[-1].end()
    several = [found for found in _IN_ONE_OR_APART.finditer(read) if found.end() <= end]
    plain = spaced[:end] if several else ""
    for found in several:
        plain = plain[: found.start()] + _blank(found) + plain[found.end() :]
    return Text(
        typed=text,
        words=spaced[:end],
        head=spaced[: spans[-1].start()],
        tail=spans[-1].group(),
        unspaced=unspaced[:MOST_UNSPACED],
        parts=parts,
        plain=plain,
        forms=tuple(
            dict.fromkeys(tuple(filter(None, found.groups())) or tuple(found.group().split("-")) for found in several)
        ),
    )


def _blank(found: re.Match[str]) -> str:
    return " " * len(found.group())


def _words_of(text: str) -> list[re.Match[str]]:
    return list(_WORD.finditer(text))[:MOST_WORDS]


def _pairs(run: str) -> list[str]:
    return [run[place : place + 2] for place in range(len(run) - 1)] or [run]
