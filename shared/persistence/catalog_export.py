"""The catalogue as an export reads it: variants behind a place, in the order of the index variants_product."""

from collections.abc import Sequence
from uuid import UUID

from shared.catalog.exporting import Place
from shared.persistence.catalog_names import CATEGORY_NAMES
from shared.persistence.database import Database, Row

# Before every product, position and SKU: the first page is the same range of the index as all others.
_BEFORE_ALL: Place = (UUID(int=0), -(2**31), "")

_VARIANTS = """
select v.product_id, v.position, v.sku, p.group_key, p.name, b.name as brand, p.category_id, p.description,
    v.price_minor, v.currency, v.options, v.weight_g, v.tax_class, to_json(p.image_urls) as image_urls, p.popularity,
    p.attributes, l.on_hand
from variants v
join products p on p.id = v.product_id
left join brands b on b.id = p.brand_id
left join stock_levels l on l.sku = v.sku and l.location = 'main'
where (v.product_id, v.position, v.sku) > (:product_id::uuid, :position::int, :sku::text)
order by v.product_id, v.position, v.sku limit :limit::int
"""


class CatalogueExport:
    """shared.catalog.exporting.Listing for one export: categories are read once. Each batch is a statement of its own,
    so what changes meanwhile is in it or not.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._categories: dict[UUID | None, Sequence[str]] = {None: ()}

    def list_variants(self, *, after: Place | None, limit: int) -> list[Row]:
        product_id, position, sku = after or _BEFORE_ALL
        rows = self._database.call(_VARIANTS, product_id=product_id, position=position, sku=sku, limit=limit)
        unknown = {row["category_id"] for row in rows} - self._categories.keys()
        if unknown:
            for trail in self._database.call(CATEGORY_NAMES, ids=sorted(unknown)):
                self._categories[trail["leaf"]] = trail["names"]
        return [row | {"category": self._categories[row["category_id"]]} for row in rows]
