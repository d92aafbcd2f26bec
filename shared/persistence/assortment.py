"""Products and variants that staff add and remove, one at a time.

All of it in the imports' turn (shared.persistence.catalog_turn), then the product, then its variants by SKU. A variant
that goes is locked before its movements are looked for, and whoever stocks one has it locked as well (`Stock`): so none
goes while its first unit comes. Nothing without movements was ever ordered: an order's holds are movements.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.assortment import HasHistory, LastVariant, NewProduct, ProductTaken, SkuTaken, UnknownVariant
from shared.catalog.editing import KeptProduct, KeptVariant, NothingForSale, ProductStale
from shared.catalog.products import products_changed
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.kernel.ids import new_id
from shared.persistence import audit
from shared.persistence.catalog_names import brand_ids
from shared.persistence.catalog_refresh import REFRESH_PRODUCTS
from shared.persistence.catalog_slugs import Named, choose_slugs
from shared.persistence.catalog_turn import take_turn
from shared.persistence.database import Database, Transaction, as_json
from shared.persistence.products import LOCK_PRODUCTS, category_ids, read_products

MOST_OF_A_PRODUCT = 500

_CURRENCY = "select value ->> 'currency' as currency from shop_settings where id = 'shop'"
_TAKEN_SKUS = 'select sku from variants where sku = any(:skus::text[]) order by sku collate "C"'
_TAKEN_KEY = "select id from products where group_key = :group_key::text"

# What is derived, and the version, is written by the refresh that follows.
_ADD_PRODUCT = """
insert into products (id, slug, group_key, name, description, brand_id, category_id, attributes, image_urls,
    price_minor, currency, published_at, created_at, updated_at, words, search_text, version)
values (:id::uuid, :slug::text, :group_key::text, :name::text, :description::text, :brand_id::uuid, :category_id::uuid,
    :attributes::jsonb, :image_urls::text[], :price_minor::bigint, :currency::text, :published_at::timestamptz,
    :now::timestamptz, :now::timestamptz - interval '1 microsecond', '', '', 0)
"""

_ADD_VARIANTS = """
insert into variants (sku, product_id, position, options, price_minor, currency, weight_g, tax_class, active,
    updated_at)
select w.sku, :product_id::uuid, w.position, w.options, w.price_minor, w.currency, w.weight_g, w.tax_class, w.active,
    :now::timestamptz
from json_to_recordset(:variants::json) as w (sku text, position integer, options jsonb, price_minor bigint,
    currency text, weight_g integer, tax_class text, active boolean)
order by w.sku collate "C"
"""

_LOCK_VARIANTS = "select sku from variants where product_id = :id::uuid order by sku for update"
_STOCKED = """
select sku from unnest(:skus::text[]) as w (sku)
where exists (select from stock_movements m where m.sku = w.sku) order by sku collate "C"
"""


class Assortment:
    """Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def create(
        self, make: Callable[[str], NewProduct], *, actor: str, answering: Answering[KeptProduct] | None = None
    ) -> KeptProduct:
        """What `make` makes of the shop's currency. Raises what it raises, SkuTaken, ProductTaken, NothingForSale, and
        Invalid for an unknown category."""

        def in_one_step(tx: Transaction) -> KeptProduct:
            take_turn(tx)
            new, product_id, now = make(tx.one(_CURRENCY)["currency"]), new_id(), self._clock.now()
            _refuse_taken(tx, new.variants)
            if tx.rows(_TAKEN_KEY, group_key=new.group_key):
                raise ProductTaken(product=new.group_key)
            if not new.sells:
                raise NothingForSale(product_ids=[])
            slugs = choose_slugs(tx, [Named(product_id, "", new.name, new.group_key)])
            tx.rows(
                _ADD_PRODUCT,
                id=product_id,
                slug=slugs[product_id],
                group_key=new.group_key,
                name=new.name,
                description=new.description,
                brand_id=brand_ids(tx, [new.brand]).get(new.brand),
                category_id=category_ids(tx, [new.category_path]).get(new.category_path),
                attributes=as_json(new.attributes),
                image_urls=list(new.image_urls),
                price_minor=min(variant.price_minor for variant in new.variants),
                currency=new.variants[0].currency,
                published_at=new.published_at,
                now=now,
            )
            self._add(tx, product_id, new.variants, now=now)
            detail = {"name": new.name, "slug": slugs[product_id], "skus": [variant.sku for variant in new.variants]}
            self._tell(tx, product_id, actor, "product.created", detail | {"published_at": new.published_at})
            return tx.answer(answering, read_products(tx, [product_id])[0])

        return self._database.step(in_one_step)

    def delete(self, product_id: UUID, *, actor: str, if_match: int | None) -> None:
        """With its variants and all its addresses. Raises UnknownProduct, ProductStale, HasHistory."""

        def in_one_step(tx: Transaction) -> None:
            product = self._lock(tx, product_id, if_match)
            _refuse_stocked(tx, product_id, [variant.sku for variant in product.variants])
            tx.rows("delete from products where id = :id::uuid", id=product_id)
            detail = {"name": product.name, "slug": product.slug, "skus": [each.sku for each in product.variants]}
            self._tell(tx, product_id, actor, "product.deleted", detail)

        self._database.step(in_one_step)

    def add_variant(
        self,
        product_id: UUID,
        make: Callable[[KeptProduct], KeptVariant],
        *,
        actor: str,
        answering: Answering[KeptProduct] | None = None,
    ) -> KeptProduct:
        """The product with what `make` makes of it. Raises what it raises, UnknownProduct, SkuTaken, and Invalid where
        the product has as many as fit."""

        def in_one_step(tx: Transaction) -> KeptProduct:
            product = self._lock(tx, product_id, None)
            variant = make(product)
            _refuse_taken(tx, [variant])
            if len(product.variants) >= MOST_OF_A_PRODUCT:
                raise Invalid([Field("", f"No more than {MOST_OF_A_PRODUCT} variants of a product fit.")])
            self._add(tx, product_id, [variant], now=self._clock.now())
            detail = {"variants": {variant.sku: {"created": {"price_minor": variant.price_minor}}}}
            self._tell(tx, product_id, actor, "product.changed", detail)
            return tx.answer(answering, read_products(tx, [product_id])[0])

        return self._database.step(in_one_step)

    def delete_variant(self, product_id: UUID, sku: str, *, actor: str, if_match: int | None) -> None:
        """Raises UnknownProduct, ProductStale, UnknownVariant, HasHistory, LastVariant, NothingForSale."""

        def in_one_step(tx: Transaction) -> None:
            product = self._lock(tx, product_id, if_match)
            others = [variant for variant in product.variants if variant.sku != sku]
            if len(others) == len(product.variants):
                raise UnknownVariant
            _refuse_stocked(tx, product_id, [sku])
            if not others:
                raise LastVariant
            if product.published_at is not None and not any(variant.active for variant in others):
                raise NothingForSale(product_ids=[product_id])
            tx.rows("delete from variants where sku = :sku::text", sku=sku)
            tx.rows(REFRESH_PRODUCTS, ids=[product_id], now=self._clock.now())
            self._tell(tx, product_id, actor, "product.changed", {"variants": {sku: {"deleted": True}}})

        self._database.step(in_one_step)

    def _lock(self, tx: Transaction, product_id: UUID, if_match: int | None) -> KeptProduct:
        take_turn(tx)
        tx.rows(LOCK_PRODUCTS, ids=[product_id])
        [product] = read_products(tx, [product_id])
        if if_match is not None and if_match != product.version:
            raise ProductStale(version=product.version)
        return product

    def _add(self, tx: Transaction, product_id: UUID, variants: Sequence[KeptVariant], *, now: datetime) -> None:
        written = [
            {
                "sku": variant.sku,
                "position": variant.position,
                "options": variant.options,
                "price_minor": variant.price_minor,
                "currency": variant.currency,
                "weight_g": variant.weight_g,
                "tax_class": variant.tax_class,
                "active": variant.active,
            }
            for variant in variants
        ]
        tx.rows(_ADD_VARIANTS, product_id=product_id, variants=as_json(written), now=now)
        tx.rows(REFRESH_PRODUCTS, ids=[product_id], now=now)

    def _tell(self, tx: Transaction, product_id: UUID, actor: str, action: str, detail: Mapping[str, object]) -> None:
        audit.append_all(tx, [Entry(self._clock.now(), actor, action, f"product:{product_id}", detail)])
        tx.emit(products_changed([product_id]))


def _refuse_taken(tx: Transaction, variants: Sequence[KeptVariant]) -> None:
    taken = [row["sku"] for row in tx.rows(_TAKEN_SKUS, skus=[variant.sku for variant in variants])]
    if taken:
        raise SkuTaken(skus=taken)


def _refuse_stocked(tx: Transaction, product_id: UUID, skus: Sequence[str]) -> None:
    """Their rows stay locked."""
    tx.rows(_LOCK_VARIANTS, id=product_id)
    stocked = [row["sku"] for row in tx.rows(_STOCKED, skus=list(skus))]
    if stocked:
        raise HasHistory(skus=stocked)
