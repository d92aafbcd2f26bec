"""Products as staff keep them: read, and changed one by one or many at once, every change in the audit log.

Whoever changes them takes the turn of the imports (catalog_turn) first, then products by id, and never a row of stock:
so no edit waits for a checkout, and no two of them for each other's rows. A batch of an import may keep the turn longer
than a session waits for a lock: that is Unavailable, and the same request may be sent again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.editing import (
    Changing,
    KeptProduct,
    KeptVariant,
    ProductStale,
    UnknownProduct,
    differences,
    edit,
)
from shared.catalog.products import products_changed
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.persistence import audit
from shared.persistence.catalog_names import brand_ids
from shared.persistence.catalog_refresh import REFRESH_PRODUCTS
from shared.persistence.catalog_slugs import Named, choose_slugs
from shared.persistence.catalog_turn import take_turn
from shared.persistence.database import Database, Row, Transaction, as_json

# What one call changes is read into memory.
MOST_VARIANTS = 5_000

_COLUMNS = """p.id, p.version, p.group_key, p.slug, p.name, coalesce(b.name, '') as brand, c.path as category_path,
    c.name as category_name, p.description, p.attributes, to_json(p.image_urls) as image_urls, p.popularity,
    p.published_at, p.created_at, p.updated_at"""
_JOINED = "left join brands b on b.id = p.brand_id left join categories c on c.id = p.category_id"

LOCK_PRODUCTS = "select id from products where id = any(:ids::uuid[]) order by id for update"
_PRODUCTS = f"select {_COLUMNS} from products p {_JOINED} where p.id = any(:ids::uuid[])"
_VARIANTS = """
select product_id, sku, options, price_minor, currency, weight_g, tax_class, position, active
from variants where product_id = any(:ids::uuid[]) order by product_id, position, sku limit :limit::int
"""
_OF_SKUS = "select sku, product_id from variants where sku = any(:skus::text[])"

# The newest first, by the index products_newest; what is not asked for is not in the statement.
_LIST = f"""
select {_COLUMNS}, p.price_minor, p.currency, v.variants, v.active_variants
from products p {_JOINED}
cross join lateral (select count(*)::int as variants, (count(*) filter (where active))::int as active_variants
                    from variants where product_id = p.id) v
where (p.created_at, p.id) < (coalesce(:before_at::timestamptz, 'infinity'), :before_id::uuid)
    {{narrowed}}
order by p.created_at desc, p.id desc limit :limit::int
"""
_NARROWED = {
    "sku": "and p.id = (select product_id from variants where sku = :sku::text)",
    "brand": "and p.brand_id = (select id from brands where slug = :brand::text)",
    "category": "and p.category_id in (select id from categories"
    " where path = :category::text or starts_with(path, :category::text || '/'))",
    "published": "and coalesce(p.published_at <= :now::timestamptz, false) = :published::boolean",
    "scheduled": "and coalesce(p.published_at > :now::timestamptz, false) = :scheduled::boolean",
}
_LAST_ID = UUID(int=2**128 - 1)

_CATEGORIES = "select path, id from categories where path = any(:paths::text[])"

_WRITE = """
update products p set slug = w.slug, name = w.name, description = w.description, brand_id = w.brand_id,
    category_id = w.category_id, attributes = w.attributes, image_urls = w.image_urls, published_at = w.published_at
from json_to_recordset(:products::json) as w (id uuid, slug text, name text, description text, brand_id uuid,
    category_id uuid, attributes jsonb, image_urls text[], published_at timestamptz)
where p.id = w.id
"""

_WRITE_VARIANTS = """
update variants v set price_minor = w.price_minor, active = w.active, options = w.options, weight_g = w.weight_g,
    tax_class = w.tax_class, position = w.position, updated_at = :now::timestamptz
from json_to_recordset(:variants::json) as w (sku text, price_minor bigint, active boolean, options jsonb,
    weight_g integer, tax_class text, position integer)
where v.sku = w.sku
"""


class Products:
    """Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, product_id: UUID) -> KeptProduct:
        """Raises UnknownProduct."""
        return self._database.step(lambda tx: read_products(tx, [product_id])[0])

    def list_products(
        self,
        *,
        sku: str | None,
        brand: str | None,
        category: str | None,
        published: bool | None,
        scheduled: bool | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> list[Row]:
        """Flat rows with counts of variants; `brand` is a slug, `category` a path whose subtree is meant.
        What is published is sold now, what is scheduled later."""
        asked = {"sku": sku, "brand": brand, "category": category, "published": published, "scheduled": scheduled}
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        before_at, before_id = before or (None, _LAST_ID)
        statement = _LIST.format(narrowed=" ".join(_NARROWED[name] for name in given))
        if published is not None or scheduled is not None:
            given["now"] = self._clock.now()
        return self._database.call(statement, **given, before_at=before_at, before_id=before_id, limit=limit)

    def change(self, product_id: UUID, changing: Changing, *, actor: str, if_match: int | None) -> KeptProduct:
        """The product after `changing`. Raises what it raises, UnknownProduct, ProductStale, NothingForSale."""

        def in_one_step(tx: Transaction) -> KeptProduct:
            take_turn(tx)
            tx.rows(LOCK_PRODUCTS, ids=[product_id])
            [before] = read_products(tx, [product_id])
            if if_match is not None and if_match != before.version:
                raise ProductStale(version=before.version)
            self._write(tx, edit([before], changing), actor)
            return read_products(tx, [product_id])[0]

        return self._database.step(in_one_step)

    def change_many(
        self,
        changing: Changing,
        *,
        product_ids: Sequence[UUID] = (),
        skus: Sequence[str] = (),
        actor: str,
        answering: Answering[Mapping[UUID, int]] | None = None,
    ) -> Mapping[UUID, int]:
        """All of these products, or those of these SKUs, after `changing`, or none. Gives the versions of those that it
        has changed. Raises what `changing` raises, NothingForSale, Invalid where one is not known."""

        def in_one_step(tx: Transaction) -> Mapping[UUID, int]:
            take_turn(tx)
            ids = sorted(set(product_ids) | _products_of(tx, skus))
            locked = {row["id"] for row in tx.rows(LOCK_PRODUCTS, ids=ids)}
            unknown = [n for n, product_id in enumerate(product_ids) if product_id not in locked]
            if unknown:
                raise Invalid([Field(f"/product_ids/{n}", "is no product") for n in unknown])
            before = read_products(tx, ids, most_variants=MOST_VARIANTS)
            if sum(len(product.variants) for product in before) > MOST_VARIANTS:
                named = "/product_ids" if product_ids else "/skus"
                raise Invalid([Field(named, f"have more than {MOST_VARIANTS} variants together; select fewer")])
            pairs = edit(before, changing)
            self._write(tx, pairs, actor)
            return tx.answer(answering, {before.id: before.version + 1 for before, _after in pairs})

        return self._database.step(in_one_step)

    def _write(self, tx: Transaction, pairs: Sequence[tuple[KeptProduct, KeptProduct]], actor: str) -> None:
        if not pairs:
            return
        now, ids = self._clock.now(), [after.id for _before, after in pairs]
        chosen = choose_slugs(
            tx,
            [
                Named(after.id, after.slug, after.name, after.group_key)
                for old, after in pairs
                if old.name != after.name
            ],
        )
        brands = brand_ids(tx, [after.brand for _before, after in pairs])
        categories = category_ids(tx, [after.category_path for _before, after in pairs])
        tx.rows(
            _WRITE,
            products=as_json(
                [
                    {
                        "id": after.id,
                        "slug": chosen.get(after.id, after.slug),
                        "name": after.name,
                        "description": after.description,
                        "brand_id": brands.get(after.brand),
                        "category_id": categories.get(after.category_path),
                        "attributes": after.attributes,
                        "image_urls": after.image_urls,
                        "published_at": after.published_at,
                    }
                    for _before, after in pairs
                ]
            ),
        )
        variants = [
            {
                "sku": new.sku,
                "price_minor": new.price_minor,
                "active": new.active,
                "options": new.options,
                "weight_g": new.weight_g,
                "tax_class": new.tax_class,
                "position": new.position,
            }
            for before, after in pairs
            for old, new in zip(before.variants, after.variants, strict=True)
            if old != new
        ]
        if variants:
            tx.rows(_WRITE_VARIANTS, variants=as_json(variants), now=now)
        tx.rows(REFRESH_PRODUCTS, ids=ids, now=now)
        audit.append_all(
            tx,
            [
                Entry(now, actor, "product.changed", f"product:{before.id}", _detail(before, after, chosen))
                for before, after in pairs
            ],
        )
        tx.emit(products_changed(sorted(ids)))


def _detail(before: KeptProduct, after: KeptProduct, chosen: Mapping[UUID, str]) -> Mapping[str, object]:
    slug = chosen.get(after.id, before.slug)
    return differences(before, after) | ({"slug": {"was": before.slug, "now": slug}} if slug != before.slug else {})


def _products_of(tx: Transaction, skus: Sequence[str]) -> set[UUID]:
    if not skus:
        return set()
    found = {row["sku"]: row["product_id"] for row in tx.rows(_OF_SKUS, skus=list(skus))}
    unknown = [n for n, sku in enumerate(skus) if sku not in found]
    if unknown:
        raise Invalid([Field(f"/skus/{n}", "is no SKU of this shop") for n in unknown])
    return set(found.values())


def category_ids(tx: Transaction, paths: Iterable[str | None]) -> dict[str | None, UUID]:
    """Those of these paths. Raises Invalid where one is no category's."""
    wanted = {path for path in paths if path is not None}
    found: dict[str | None, UUID] = {}
    if wanted:
        found = {row["path"]: row["id"] for row in tx.rows(_CATEGORIES, paths=sorted(wanted))}
    if wanted - found.keys():
        raise Invalid([Field("/category", "is no category of this shop")])
    return found


def read_products(tx: Transaction, ids: Sequence[UUID], *, most_variants: int | None = None) -> list[KeptProduct]:
    """In the order of `ids`, with all their variants, or one more than so many. Raises UnknownProduct."""
    rows = {row["id"]: row for row in tx.rows(_PRODUCTS, ids=list(ids))}
    if len(rows) < len(ids):
        raise UnknownProduct
    variants: dict[UUID, list[KeptVariant]] = {product_id: [] for product_id in ids}
    for row in tx.rows(_VARIANTS, ids=list(ids), limit=None if most_variants is None else most_variants + 1):
        variants[row.pop("product_id")].append(KeptVariant(**row))
    return [_product(rows[product_id], variants[product_id]) for product_id in ids]


def _product(row: Mapping[str, Any], variants: Sequence[KeptVariant]) -> KeptProduct:
    return KeptProduct(**{**row, "image_urls": tuple(row["image_urls"])}, variants=tuple(variants))
