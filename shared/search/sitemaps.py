"""Sitemaps: an index, and files that name the page of every product on sale (sitemaps.org/protocol.html).

A file holds the products whose id begins with its digits. Ids are random (RFC 9562 version 4), so files are of a size,
and a product stays in its own: of files fetched again only those have changed in which a product has. They lie beside
the pages: the protocol takes no page that is not below the file's own directory.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import iso
from shared.search.links import product_url
from shared.search.listing import SitemapNotFound

# Both files of the protocol end there.
MOST_LISTED = 50_000
# How many products a file is meant for. Far from the most: ids are even, but not to the last one.
FULL = 10_000
_MOST_DIGITS = 3
# Read one after another, each in the time that a statement of search has.
_AT_ONCE = 500

_NAMESPACE = "http://www.sitemaps.org/schemas/sitemap/0.9"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_ALL = "all"
_DIGITS = re.compile(r"[0-9a-f]{1,3}")


@dataclass(frozen=True, slots=True)
class PageOnSale:
    id: UUID
    slug: str
    changed_at: datetime


class Products(Protocol):
    """Ranges are by id, both ends included."""

    def count(self, first: UUID, last: UUID, *, most: int) -> int:
        """How many products there are, on sale or not; `most` where there are more."""

    def list_on_sale(self, first: UUID, last: UUID, *, limit: int) -> Sequence[PageOnSale]:
        """Those that are published and have a variant to sell, by id."""


def write_index(products: Products, *, public_url: str, full: int = FULL) -> bytes:
    """The names of all files. Raises SitemapNotFound where no product is on sale: the protocol knows no empty one."""
    digits = _digits(products, full)
    if digits == 0 and not products.list_on_sale(*_range(""), limit=1):
        raise SitemapNotFound
    parts = [f"{number:0{digits}x}" for number in range(16**digits)] if digits else [_ALL]
    urls = [f"{public_url}/products/sitemap-{part}.xml" for part in parts]
    lines = [f"<sitemap><loc>{escape(url)}</loc></sitemap>\n" for url in urls]
    return f'{_HEAD}<sitemapindex xmlns="{_NAMESPACE}">\n{"".join(lines)}</sitemapindex>\n'.encode()


def write_file(part: str, products: Products, *, public_url: str) -> bytes:
    """The products of one file, read a few at a time. Raises SitemapNotFound where it has none, or no such part.

    Whoever has an older index finds what it names, however the products are divided by now.
    """
    if part != _ALL and not _DIGITS.fullmatch(part):
        raise SitemapNotFound
    first, last = _range("" if part == _ALL else part)
    lines: list[str] = []
    while len(lines) < MOST_LISTED:
        found = products.list_on_sale(first, last, limit=_AT_ONCE)
        lines += [_line(page, public_url) for page in found]
        if len(found) < _AT_ONCE or found[-1].id == last:
            break
        first = UUID(int=found[-1].id.int + 1)
    if not lines:
        raise SitemapNotFound
    return f'{_HEAD}<urlset xmlns="{_NAMESPACE}">\n{"".join(lines[:MOST_LISTED])}</urlset>\n'.encode()


def _line(page: PageOnSale, public_url: str) -> str:
    url = escape(product_url(public_url, page.slug))
    return f"<url><loc>{url}</loc><lastmod>{iso(page.changed_at)}</lastmod></url>\n"


def _digits(products: Products, full: int) -> int:
    """So many that the file of zeros is not more than full; the others are like it."""
    for digits in range(_MOST_DIGITS):
        if products.count(*_range("0" * digits), most=full + 1) <= full:
            return digits
    return _MOST_DIGITS


def _range(digits: str) -> tuple[UUID, UUID]:
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))
