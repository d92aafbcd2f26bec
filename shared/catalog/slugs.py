"""Slugs: what a name looks like in an address. Any script becomes ASCII; what cannot, falls back."""

import hashlib

from slugify import slugify

# Long enough for a name that people read, short enough for every address bar and index.
MAX_LENGTH = 80


def slug_of(name: str, *, fallback: str = "product") -> str:
    """The name in lower-case ASCII words joined by hyphens, never empty: `fallback` where nothing of it is left."""
    # Ten times what is kept is looked at: the rest of a name of 100,000 characters cannot change the answer.
    slug: str = slugify(name[: MAX_LENGTH * 10], max_length=MAX_LENGTH, word_boundary=True, save_order=True)
    return slug or fallback


def product_slugs(name: str, group_key: str) -> tuple[str, ...]:
    """The slugs a product may have, the best first: its name, then the name and its own key, then one nobody else has.

    The suffix comes from the product, not from a counter: a repeated import, or another order of lines, ends alike.
    """
    plain = slug_of(name, fallback="")
    key = slug_of(group_key, fallback="")
    mark = hashlib.sha256(group_key.encode()).hexdigest()[:12]
    with_key = "-".join(part for part in (plain, key) if part)
    with_mark = "-".join(part for part in (plain or "product", mark) if part)
    return tuple(dict.fromkeys(slug for slug in (plain, with_key, with_mark) if slug))


def numbered(slug: str, number: int) -> str:
    """The slug of the second, third ... of a name: `lamps`, `lamps-2`, `lamps-3`."""
    return slug if number < 2 else f"{slug}-{number}"
