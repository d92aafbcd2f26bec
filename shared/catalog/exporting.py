"""Writing the catalogue as CSV that an import reads: a line for each variant, and nothing changes when it comes back.

The columns are always the same, so that no row need be known before the first is written: options and attributes are
a JSON object each; pictures are separated by spaces, or a JSON array where an address has a space in it. Whether a line
is sold is not in it: an import leaves that as it is. `on_hand` is written only where it is asked for: a file that comes
back a day later would otherwise count the stock as it was then.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TextIO
from uuid import UUID

from shared.catalog.formulas import marked
from shared.kernel.money import Money

COLUMNS = (
    "sku", "product", "name", "brand", "category_path", "description", "price", "currency", "options", "weight_g",
    "tax_class", "image_url", "popularity", "attributes",
)  # fmt: skip
ON_HAND = "on_hand"
BATCH = 500

# Where a batch ended: product, position and SKU of its last variant.
Place = tuple[UUID, int, str]


class Listing(Protocol):
    """The catalogue as shared.persistence.catalog_export reads it."""

    def list_variants(self, *, after: Place | None, limit: int) -> Sequence[Mapping[str, Any]]:
        """The next variants, those of a product one after the other in their order."""


def export_catalogue(
    file: TextIO,
    *,
    catalogue: Listing,
    on_hand: bool,
    after: Place | None = None,
    most: int | None = None,
    full: Callable[[], bool] = lambda: False,
) -> tuple[int, Place | None]:
    """Header and lines behind `after` into `file`: all of them, or until there are `most` or the file is `full`.

    How many lines were written, and where to go on: None at the end. A batch is in memory at a time. The header begins
    with a byte order mark: without it spreadsheets take UTF-8 for the code page of their country.
    """
    file.write("\ufeff")
    writer = csv.writer(file)
    writer.writerow([*COLUMNS, *([ON_HAND] if on_hand else [])])
    written = 0
    while True:
        wanted = BATCH if most is None else min(BATCH, most - written)
        rows = catalogue.list_variants(after=after, limit=wanted)
        writer.writerows(_cells(row, on_hand=on_hand) for row in rows)
        written += len(rows)
        if len(rows) < wanted:
            return written, None
        after = place_of(rows[-1])
        if written == most or full():
            return written, after if catalogue.list_variants(after=after, limit=1) else None


def place_of(row: Mapping[str, Any]) -> Place:
    return row["product_id"], row["position"], row["sku"]


def _cells(row: Mapping[str, Any], *, on_hand: bool) -> list[str]:
    cells = [
        row["sku"],
        row["group_key"],
        row["name"],
        row["brand"] or "",
        " > ".join(row["category"]),
        row["description"],
        f"{Money(row['price_minor'], row['currency']).major():f}",
        row["currency"],
        _object(row["options"]),
        _number(row["weight_g"]),
        row["tax_class"],
        _images(row["image_urls"]),
        str(row["popularity"]),
        _object(row["attributes"]),
    ]
    if on_hand:
        cells.append(_number(row["on_hand"]))
    return [marked(cell) for cell in cells]


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _object(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) if value else ""


def _images(urls: Sequence[str]) -> str:
    text = " ".join(urls)
    return text if text.split() == list(urls) and not text.startswith("[") else json.dumps(urls, ensure_ascii=False)
