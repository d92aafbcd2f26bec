"""What a shopper typed, taken apart for the database. No text of a shopper is ever query language."""

import re
from dataclasses import dataclass

# Word characters without the underscore, in any script.
_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060\ufeff\ud800-\udfff]")
MOST_WORDS = 12
MOST_PARTS = 4


@dataclass(frozen=True, slots=True)
class Text:
    """`typed` is the whole text, which may be a SKU. `words` are joined by spaces: they are searched for as words, all
    of them; `head` are all but the last, `tail` the last one. `parts` stood between spaces: substrings."""

    typed: str
    words: str
    head: str
    tail: str
    parts: tuple[str, ...]

    @property
    def searchable(self) -> bool:
        return bool(self.tail)

    @property
    def has_long_part(self) -> bool:
        """Whether an index of trigrams has anything to go by."""
        return any(len(word) >= 3 for part in self.parts for word in _WORD.findall(part))


def clean(typed: str) -> str:
    """Control and invisible characters are spaces, runs of spaces one."""
    return " ".join(_INVISIBLE.sub(" ", typed).split())


def take_apart(text: str) -> Text:
    spans = list(_WORD.finditer(text))[:MOST_WORDS]
    if not spans:
        return Text(text, "", "", "", ())
    end = spans[-1].end()
    parts = [part for part in text.split(" ") if _WORD.search(part)]
    return Text(
        typed=text,
        words=text[:end],
        head=text[: spans[-1].start()],
        tail=spans[-1].group(),
        parts=tuple(parts[:MOST_PARTS]),
    )
