"""The catalogue as an import writes it: products and their variants, with what catalog_names and catalog_counts add.

One step writes a batch. Imports take turns (catalog_turn), so two of them never wait for each other's rows, and
stock rows are locked last and in (sku, location) order like everywhere (DESIGN.md rule 13). A step reads what is there,
lets shared.catalog decide what changes, and writes only that.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from shared.catalog.importing import Counts, Describing, Refusal, Written, in_order
from shared.catalog.products import ImportLine, Product, Refused, Variant, products_changed
from shared.inventory.stock import stock_changed
from shared.persistence.catalog_counts import count_stock
from shared.persistence.catalog_names import CATEGORY_NAMES, brand_ids, category_ids
from shared.persistence.catalog_refresh import REFRESH_PRODUCTS
from shared.persistence.catalog_slugs import Named, choose_slugs
from shared.persistence.catalog_turn import take_turn_for_a_batch
from shared.persistence.database import Database, Row, Transaction, as_json

_KNOWN_VARIANTS = """
select v.sku, v.options, v.price_minor, v.currency, v.weight_g, v.tax_class, v.position, v.active,
    v.product_id, p.group_key
from variants v join products p on p.id = v.product_id
where v.sku = any(:skus::text[])
"""

_KNOWN_PRODUCTS = """
select p.id, p.group_key, p.slug, p.name, b.name as brand, p.category_id, p.description, p.attributes,
    to_json(p.image_urls) as image_urls, p.popularity
from products p left join brands b on b.id = p.brand_id
where p.group_key = any(:group_keys::text[])
"""

_SIBLINGS = """
select product_id, sku, price_minor, position from variants where product_id = any(:ids::uuid[]) and active
order by product_id, position, sku
"""

_WRITE_PRODUCTS = """
insert into products as p (id, slug, group_key, name, description, brand_id, category_id, attributes, image_urls,
    popularity, price_minor, currency, published_at, created_at, updated_at, words, search_text)
select w.id, w.slug, w.group_key, w.name, w.description, w.brand_id, w.category_id, w.attributes, w.image_urls,
    w.popularity, w.price_minor, w.currency, :now::timestamptz, :now::timestamptz, :now::timestamptz,
    product_words_v1(w.name, w.brand, w.categories, w.description),
    left(fold_v1(concat_ws(' ', w.name, nullif(w.brand, ''), w.skus)), 8000)
from json_to_recordset(:products::json) as w (id uuid, slug text, group_key text, name text, description text,
    brand text, brand_id uuid, categories text, category_id uuid, attributes jsonb, image_urls text[],
    popularity integer, price_minor bigint, currency text, skus text)
order by w.group_key
on conflict (group_key) do update set
    slug = excluded.slug, name = excluded.name, description = excluded.description, brand_id = excluded.brand_id,
    category_id = excluded.category_id, attributes = excluded.attributes, image_urls = excluded.image_urls,
    popularity = excluded.popularity, price_minor = excluded.price_minor, currency = excluded.currency,
    updated_at = excluded.updated_at, words = excluded.words, search_text = excluded.search_text,
    version = p.version + 1
"""

_WRITE_VARIANTS = """
insert into variants as v (sku, product_id, position, options, price_minor, currency, weight_g, tax_class, updated_at)
select w.sku, w.product_id, w.position, w.options, w.price_minor, w.currency, w.weight_g, w.tax_class,
    :now::timestamptz
from json_to_recordset(:variants::json) as w (sku text, product_id uuid, position integer, options jsonb,
    price_minor bigint, currency text, weight_g integer, tax_class text)
order by w.sku collate "C"
on conflict (sku) do update set
    product_id = excluded.product_id, position = excluded.position, options = excluded.options,
    price_minor = excluded.price_minor, currency = excluded.currency, weight_g = excluded.weight_g,
    tax_class = excluded.tax_class, updated_at = excluded.updated_at
"""

# A product whose variants have all moved ends; whoever has its address finds the product that they moved to.
_END_EMPTY_PRODUCTS = (
    """
update slug_history h set product_id = m.heir
from unnest(:ids::uuid[], :heirs::uuid[]) as m (id, heir)
where h.product_id = m.id and not exists (select from variants v where v.product_id = m.id)
""",
    """
insert into slug_history (slug, product_id)
select p.slug, m.heir from unnest(:ids::uuid[], :heirs::uuid[]) as m (id, heir) join products p on p.id = m.id
where not exists (select from variants v where v.product_id = m.id)
on conflict (slug) do update set product_id = excluded.product_id
""",
    """
delete from products p using unnest(:ids::uuid[], :heirs::uuid[]) as m (id, heir)
where p.id = m.id and not exists (select from variants v where v.product_id = m.id)
""",
)

# Whoever does not own the tables gets a warning instead; autovacuum comes a minute later anyway.
_ANALYZE = "analyze brands, categories, products, variants, stock_levels"

_SHOP_CURRENCY = "select value->>'currency' as currency from shop_settings where id = 'shop'"


def find_currency(database: Database) -> str | None:
    """The currency of the shop, if it has its settings yet."""
    row = database.find(_SHOP_CURRENCY)
    return row["currency"] if row else None


def analyze(database: Database) -> None:
    """Tell the planner about what is there now: a page right after a large import needs it."""
    database.call(_ANALYZE)


def write_lines(
    tx: Transaction, lines: Sequence[ImportLine], *, describing: Describing, default_on_hand: int | None, reason: str
) -> Written:
    """A batch; a line that cannot go in is a refusal, the others go in. `reason` stands in every movement of stock."""
    return _Batch(tx, describing, reason).write(lines, default_on_hand) if lines else Written(Counts())


@dataclass(slots=True)
class _Sold:
    """A variant in a batch: as it was, as it will be, and where it belonged."""

    line: ImportLine
    variant: Variant
    before: Variant | None
    left: UUID | None = None


@dataclass(slots=True)
class _Described:
    """A product in a batch, as it was and as it will be, with its variants as they will be."""

    product: Product
    before: Product | None
    prices: dict[str, int] = field(default_factory=dict)
    next_position: int = 0
    sold: list[_Sold] = field(default_factory=list)

    @property
    def price_minor(self) -> int:
        """The lowest of what is sold; of a product that is not sold at all, of what it was told."""
        return min(self.prices.values() or [sold.variant.price_minor for sold in self.sold])

    @property
    def changed(self) -> bool:
        return self.product != self.before or any(sold.variant != sold.before or sold.left for sold in self.sold)


class _Batch:
    """One batch in its transaction."""

    def __init__(self, tx: Transaction, describing: Describing, reason: str) -> None:
        self._tx = tx
        self._describing = describing
        self._reason = reason
        self._refusals: list[Refusal] = []

    def write(self, lines: Sequence[ImportLine], default_on_hand: int | None) -> Written:
        take_turn_for_a_batch(self._tx)
        variants = {row["sku"]: row for row in self._tx.rows(_KNOWN_VARIANTS, skus=[line.sku for line in lines])}
        group_keys = {line.sku: _group_key(line, variants.get(line.sku)) for line in lines}
        products = self._known_products(set(group_keys.values()))

        counts = Counts()
        for line in lines:
            try:
                self._tell(line, group_keys[line.sku], products, variants.get(line.sku))
            except Refused as reason:
                self._refusals.append(Refusal(line.line, line.sku, str(reason)))
        told = [described for described in products.values() if described.sold]
        changed = [described for described in told if described.changed]
        self._write_products(changed)
        counted = count_stock(
            self._tx,
            [sold.line for described in told for sold in described.sold],
            default_on_hand=default_on_hand,
            reason=self._reason,
        )
        self._refusals += counted.refusals

        for described in told:
            described_anew = described.product != described.before
            for sold in described.sold:
                if sold.before is None:
                    counts.new += 1
                elif sold.variant != sold.before or sold.left or described_anew or sold.line.sku in counted.changed:
                    counts.changed += 1
                else:
                    counts.unchanged += 1
        self._emit(changed, told, counted.crossed_zero)
        counts.refused = len(self._refusals)
        return Written(counts, in_order(self._refusals))

    # Reading and deciding ---------------------------------------------------------------------------------------------

    def _known_products(self, group_keys: Collection[str]) -> dict[str, _Described]:
        rows = self._tx.rows(_KNOWN_PRODUCTS, group_keys=sorted(group_keys))
        category_ids = {row["category_id"] for row in rows if row["category_id"] is not None}
        names = {}
        if category_ids:
            trails = self._tx.rows(CATEGORY_NAMES, ids=sorted(category_ids))
            names = {row["leaf"]: tuple(row["names"]) for row in trails}
        known = {}
        by_id = {}
        for row in rows:
            product = _product(row, names.get(row["category_id"], ()))
            known[product.group_key] = by_id[product.id] = _Described(product, before=product)
        if by_id:
            for row in self._tx.rows(_SIBLINGS, ids=sorted(by_id)):
                described = by_id[row["product_id"]]
                described.prices[row["sku"]] = row["price_minor"]
                described.next_position = row["position"] + 1
        return known

    def _tell(self, line: ImportLine, group_key: str, products: dict[str, _Described], known: Row | None) -> None:
        """Work the line into its variant and, where it is the product's first in this file, into the product."""
        described = products.get(group_key)
        moved = known is not None and known["group_key"] != group_key
        if known is None or moved:
            position = described.next_position if described else 0
        else:
            position = known["position"]
        before = _variant(known) if known is not None else None
        if before is None:
            variant = Variant.made_by(line, position=position)
        else:
            variant = replace(before.told(line), position=position)

        if described is None:
            made = Product.made_by(line, group_key=group_key)
            described = products[group_key] = _Described(made, before=None)
            self._describing.claim(group_key, line.line)
        elif described.before is not None and self._describing.claim(group_key, line.line):
            described.product = described.product.told(line)
        left = known["product_id"] if known is not None and moved else None
        described.sold.append(_Sold(line, variant, before, left))
        if known is None or known["active"]:
            described.prices[variant.sku] = variant.price_minor
        described.next_position = max(described.next_position, variant.position + 1)

    # Writing ----------------------------------------------------------------------------------------------------------

    def _write_products(self, changed: Sequence[_Described]) -> None:
        if not changed:
            return
        brands = brand_ids(self._tx, [described.product.brand for described in changed])
        categories = category_ids(self._tx, [described.product.category for described in changed])
        self._choose_slugs(changed)
        now = self._tx.clock.now()
        self._tx.rows(
            _WRITE_PRODUCTS,
            products=as_json(
                [
                    {
                        "id": described.product.id,
                        "slug": described.product.slug,
                        "group_key": described.product.group_key,
                        "name": described.product.name,
                        "description": described.product.description,
                        "brand": described.product.brand,
                        "brand_id": brands.get(described.product.brand),
                        "categories": " ".join(described.product.category),
                        "category_id": categories.get(described.product.category),
                        "attributes": described.product.attributes,
                        "image_urls": described.product.image_urls,
                        "popularity": described.product.popularity,
                        "price_minor": described.price_minor,
                        "currency": described.sold[0].variant.currency,
                        "skus": " ".join(described.prices)[:8000],
                    }
                    for described in changed
                ]
            ),
            now=now,
        )
        sold = [(described.product.id, sold) for described in changed for sold in described.sold]
        moved = {one.left: product_id for product_id, one in sold if one.left is not None}
        sold = [(product_id, one) for product_id, one in sold if one.variant != one.before or one.left]
        if sold:
            self._tx.rows(_WRITE_VARIANTS, variants=as_json([_variant_json(*one) for one in sold]), now=now)
        if moved:
            for statement in _END_EMPTY_PRODUCTS:
                self._tx.rows(statement, ids=list(moved), heirs=list(moved.values()))
            self._tx.rows(REFRESH_PRODUCTS, ids=list(moved), now=now)

    def _choose_slugs(self, changed: Iterable[_Described]) -> None:
        """Give new and renamed products their slug."""
        named = [
            Named(described.product.id, described.product.slug, described.product.name, described.product.group_key)
            for described in changed
            if described.before is None or described.product.name != described.before.name
        ]
        chosen = choose_slugs(self._tx, named)
        for described in changed:
            if described.product.id in chosen:
                described.product = replace(described.product, slug=chosen[described.product.id])

    def _emit(self, changed: Sequence[_Described], told: Sequence[_Described], crossed_zero: set[str]) -> None:
        """One event of all products that changed, and one of stock that crossed zero where nothing else did."""
        product_ids = {described.product.id for described in changed}
        product_ids |= {sold.left for described in changed for sold in described.sold if sold.left is not None}
        if product_ids:
            self._tx.emit(products_changed(sorted(product_ids)))
        skus = {
            sold.line.sku for described in told if described.product.id not in product_ids for sold in described.sold
        }
        if crossed := skus & crossed_zero:
            self._tx.emit(stock_changed(sorted(crossed)))


def _group_key(line: ImportLine, known: Row | None) -> str:
    """The product that the line names; without one, the product the SKU is in already, or one of its own."""
    return line.group_key or (known["group_key"] if known is not None else line.sku)


def _variant(row: Mapping[str, Any]) -> Variant:
    return Variant(
        sku=row["sku"],
        options=row["options"],
        price_minor=row["price_minor"],
        currency=row["currency"],
        weight_g=row["weight_g"],
        tax_class=row["tax_class"],
        position=row["position"],
    )


def _variant_json(product_id: UUID, sold: _Sold) -> dict[str, Any]:
    variant = sold.variant
    return {
        "sku": variant.sku,
        "product_id": product_id,
        "position": variant.position,
        "options": variant.options,
        "price_minor": variant.price_minor,
        "currency": variant.currency,
        "weight_g": variant.weight_g,
        "tax_class": variant.tax_class,
    }


def _product(row: Mapping[str, Any], category: tuple[str, ...]) -> Product:
    return Product(
        id=row["id"],
        group_key=row["group_key"],
        slug=row["slug"],
        name=row["name"],
        brand=row["brand"] or "",
        category=category,
        description=row["description"],
        attributes=row["attributes"],
        image_urls=tuple(row["image_urls"]),
        popularity=row["popularity"],
    )
