"""What sitemaps name: products by ranges of their ids."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.persistence.database import Database
from shared.search.sitemaps import PageOnSale

COUNT = """
select count(*) as n from (
    select from products where id between :first::uuid and :last::uuid limit :most::int) counted
"""

# OFFSET 0: each product's variants are looked up, whatever the planner thinks of all of them.
ON_SALE = """
select p.id, p.slug, greatest(p.updated_at, p.published_at) as changed_at from products p
where p.id between :first::uuid and :last::uuid and p.published_at <= :now::timestamptz
    and exists (select from variants v where v.product_id = p.id and v.active offset 0)
order by p.id limit :limit::int
"""


class ProductsOfSitemaps:
    """shared.search.sitemaps.Products, as they are on sale at the moment `now`."""

    def __init__(self, database: Database, *, now: datetime) -> None:
        self._database = database
        self._now = now

    def count(self, first: UUID, last: UUID, *, most: int) -> int:
        counted: int = self._database.call(COUNT, first=first, last=last, most=most)[0]["n"]
        return counted

    def list_on_sale(self, first: UUID, last: UUID, *, limit: int) -> Sequence[PageOnSale]:
        rows = self._database.call(ON_SALE, first=first, last=last, now=self._now, limit=limit)
        return [PageOnSale(row["id"], row["slug"], row["changed_at"]) for row in rows]
