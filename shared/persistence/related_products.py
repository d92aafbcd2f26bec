"""What staff show beside a product, in SQL. A list is replaced as a whole, in the imports' turn, as a change of its
product: nobody's edit of the product is lost by it, and no product goes while it is named."""

from collections.abc import Sequence
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.editing import ProductStale, UnknownProduct
from shared.catalog.products import products_changed
from shared.catalog.relating import Related, RelatedProduct, check_related
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.persistence import audit
from shared.persistence.catalog_turn import take_turn
from shared.persistence.database import Database, Transaction

_LOCK = "select version from products where id = :id::uuid for update"
_KNOWN = "select id from products where id = any(:ids::uuid[])"
_RELATED = """
select p.id, p.slug, p.name, p.published_at
from related_products r join products p on p.id = r.related_id
where r.product_id = :id::uuid order by r.position
"""
_FORGET = "delete from related_products where product_id = :id::uuid"
_KEEP = """
insert into related_products (product_id, position, related_id)
select :id::uuid, n - 1, related_id from unnest(:related::uuid[]) with ordinality as r (related_id, n)
"""
# As every change of a product: search tells by the moment that there was one.
_COUNT = """
update products set version = version + 1,
    updated_at = greatest(:now::timestamptz, updated_at + interval '1 microsecond')
where id = :id::uuid returning version
"""


class RelatedProducts:
    """Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, product_id: UUID) -> Related:
        """Published or not. Raises UnknownProduct."""

        def in_one_step(tx: Transaction) -> Related:
            product = tx.find("select version from products where id = :id::uuid", id=product_id)
            if product is None:
                raise UnknownProduct
            return Related(product["version"], _read(tx, product_id))

        return self._database.step(in_one_step)

    def replace(self, product_id: UUID, related: Sequence[UUID], *, actor: str, if_match: int | None) -> Related:
        """These, in this order; none of them leaves it to what sells. Raises UnknownProduct, ProductStale, Invalid."""
        check_related(product_id, related)

        def in_one_step(tx: Transaction) -> Related:
            take_turn(tx)
            product = tx.find(_LOCK, id=product_id)
            if product is None:
                raise UnknownProduct
            if if_match is not None and if_match != product["version"]:
                raise ProductStale(version=product["version"])
            known = {row["id"] for row in tx.rows(_KNOWN, ids=list(related))}
            unknown = [n for n, each in enumerate(related) if each not in known]
            if unknown:
                raise Invalid([Field(f"/product_ids/{n}", "is no product") for n in unknown])
            was = _read(tx, product_id)
            if [each.id for each in was] == list(related):
                return Related(product["version"], was)
            tx.rows(_FORGET, id=product_id)
            tx.rows(_KEEP, id=product_id, related=list(related))
            now = self._clock.now()
            version = tx.one(_COUNT, id=product_id, now=now)["version"]
            became = _read(tx, product_id)
            detail = {"related": {"was": [each.slug for each in was], "now": [each.slug for each in became]}}
            audit.append_all(tx, [Entry(now, actor, "product.changed", f"product:{product_id}", detail)])
            tx.emit(products_changed([product_id]))
            return Related(version, became)

        return self._database.step(in_one_step)


def _read(tx: Transaction, product_id: UUID) -> list[RelatedProduct]:
    return [RelatedProduct(**row) for row in tx.rows(_RELATED, id=product_id)]
