"""Text that strangers typed, made fit to stand among ours."""

import re
import unicodedata

# Line and paragraph ends, control characters, halves of surrogate pairs; and what turns the direction of writing round,
# so that one thing looks like another (CVE-2021-42574).
_DISRUPTIVE = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: str) -> str:
    """Without anything that ends a line or turns its direction; one space for several."""
    kept = "".join(" " if _is_disruptive(character) else character for character in text)
    return re.sub(r" {2,}", " ", kept).strip()


def _is_disruptive(character: str) -> bool:
    return unicodedata.category(character) in _DISRUPTIVE or character in _TURNING
