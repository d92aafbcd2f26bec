"""What search reads, written: copies of products, the vocabulary, the sizes of tiers. Every method is a short step."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from shared.persistence.database import Database, Row, Transaction
from shared.search.projecting import SEEN_LATE, Rebuild

# The most popular so many products are a tier, together with those before it; what is left over is the last.
TIER_SIZES = (2_000, 12_000, 72_000, 432_000)
LAST_TIER = 4
# Up to so many products every text is looked for among all of them.
WITHOUT_TIERS = 32_000
_HASHES = 1 << 23
# Each with its thirty traces at most: far from the statement's timeout.
WORDS_AT_ONCE = 2_000

_PROJECT = "select project_products_v4(:ids::uuid[], :counting::boolean, :now::timestamptz) as changed"

_OUT_OF_DATE = """
select distinct v.product_id from variants v
left join stock_levels l on l.sku = v.sku and l.location = 'main'
left join search_variants s on s.product_id = v.product_id and s.sku = v.sku
where v.sku = any(:skus::text[]) and v.active and coalesce(l.on_hand > l.held, false) <> coalesce(s.in_stock, false)
"""

# Published or not: a copy of what is no longer published is on a list until it is made anew. What was to be published
# since has told nobody: its event came when it was planned, and found nothing to copy.
MISSED_PRODUCTS = """
(select p.id from products p left join search_products s on s.product_id = p.id
where p.updated_at >= :since::timestamptz and case when p.published_at <= :now::timestamptz
    then s.source_updated_at is distinct from p.updated_at else s.tier <= 4 end
order by p.updated_at, p.id limit :limit::int)
union
(select p.id from products p left join search_products s on s.product_id = p.id
where p.published_at > p.updated_at and p.published_at >= :since::timestamptz and p.published_at <= :now::timestamptz
    and s.source_updated_at is distinct from p.updated_at
order by p.published_at, p.id limit :limit::int)
limit :limit::int
"""

_MISSED_STOCK = """
select distinct v.product_id
from (select distinct sku from stock_movements where id > :seen::bigint and location = 'main') m
join variants v on v.sku = m.sku and v.active
join products p on p.id = v.product_id and p.published_at <= :now::timestamptz
left join stock_levels l on l.sku = v.sku and l.location = 'main'
left join search_variants s on s.product_id = v.product_id and s.sku = v.sku
where coalesce(l.on_hand > l.held, false) <> coalesce(s.in_stock, false)
order by v.product_id limit :limit::int
"""

_MARK_SWEPT = """
update search_sweep set products_since = :before::timestamptz, movements_seen = greatest(movements_seen, coalesce(
    (select max(id) from stock_movements where id > movements_seen and at < :before::timestamptz), 0))
where id = 'sweep'
"""

_STEPS = """
select heat_v1(null, popularity_v1(p.popularity, w.weight, :now::timestamptz)) as heat, count(*) as products
from products p
left join (select v.product_id, sum(d.weight) as weight from search_popularity d join variants v on v.sku = d.sku
    group by v.product_id) w on w.product_id = p.id
where p.published_at <= :now::timestamptz group by 1 order by 1 desc
"""

_SET_TIERS = """
insert into search_tiers (tier, standing_from, products)
select tier, standing_from, products
from unnest(:tiers::int[], :standings::int[], :products::bigint[]) as t (tier, standing_from, products)
on conflict (tier) do update set standing_from = excluded.standing_from, products = excluded.products
"""

_BEGIN = """
update search_rebuild
set started_at = :now::timestamptz, finished_at = null, position = null, done = 0, total = :total::bigint,
    words_of = null, words_after = null
where id = 'rebuild'
"""

_REBUILD = """
select started_at, case when words_of = started_at then null else finished_at end as finished_at, position, done, total,
    case when words_of = started_at then words_after end as words_after
from search_rebuild where id = 'rebuild'
"""

# Copies whose product is gone are looked at as well.
_NEXT = """
select id from (
    (select id from products where :after::uuid is null or id > :after::uuid order by id limit :limit::int)
    union
    (select product_id from search_products where :after::uuid is null or product_id > :after::uuid
     order by product_id limit :limit::int)) ids
order by id limit :limit::int
"""

# A row of what is gone has done its work when nobody can have read the product before it went.
_FORGET_GONE = """
delete from search_products s where s.product_id = any(:ids::uuid[]) and s.tier = 9
    and s.projected_at < :before::timestamptz and not exists (select from products p where p.id = s.product_id)
"""

# Code of the version before would use all counts again, those that are used up as well: to it this is finished.
_BEGIN_WORDS = """
update search_rebuild
set position = null, finished_at = :now::timestamptz, words_of = started_at, words_after = ''
where id = 'rebuild'
"""

# In the order in which events take them.
_NEXT_WORDS = """
select word from search_words where word > :after::text order by word limit :limit::int for update
"""

_USE_COUNTS = """
update search_words set names = counted_names, products = counted_products, counted_names = 0, counted_products = 0
where word = any(:words::text[]) and (products > 0 or counted_products > 0)
"""

_DROP_UNUSED_WORDS = (
    """
delete from search_misspellings where word in (
    select word from search_words where word = any(:words::text[]) and names = 0)
""",
    "update search_words set traced = false where word = any(:words::text[]) and names = 0 and traced",
    "delete from search_words where word = any(:words::text[]) and products = 0",
)

_GO_ON_WITH_WORDS = "update search_rebuild set words_after = :after::text where id = 'rebuild'"

_FINISH = """
update search_rebuild set finished_at = :now::timestamptz, words_of = null, words_after = null where id = 'rebuild'
"""

_GO_ON = "update search_rebuild set position = :position::uuid, done = :done::bigint where id = 'rebuild'"

_OUTGROWN = """
select case when exists (select from search_tiers where tier = 0)
    then (select count(*) from (select from search_products where tier <= 0 limit :most::int) t) >= :most::int
    else (select count(*) from (select from search_products where tier <= 4 limit :untiered::int) t) >= :untiered::int
    end as outgrown
"""


class SearchProjection:
    """shared.search.projecting.Projection. Raises Unavailable as every step does."""

    def __init__(self, database: Database, *, words_at_once: int = WORDS_AT_ONCE) -> None:
        self._database = database
        self._words_at_once = words_at_once

    def project(self, product_ids: Sequence[UUID]) -> int:
        now = self._database.now()
        changed: int = self._database.call(_PROJECT, ids=list(product_ids), counting=False, now=now)[0]["changed"]
        return changed

    def find_products_out_of_date(self, skus: Sequence[str]) -> list[UUID]:
        return [row["product_id"] for row in self._database.call(_OUT_OF_DATE, skus=list(skus))]

    def take_missed_products(self, limit: int, *, now: datetime) -> list[UUID]:
        since = self._database.call("select products_since from search_sweep where id = 'sweep'")[0]["products_since"]
        return [row["id"] for row in self._database.call(MISSED_PRODUCTS, since=since, now=now, limit=limit)]

    def take_missed_stock(self, limit: int, *, now: datetime) -> list[UUID]:
        seen = self._database.call("select movements_seen from search_sweep where id = 'sweep'")[0]["movements_seen"]
        return [row["product_id"] for row in self._database.call(_MISSED_STOCK, seen=seen, now=now, limit=limit)]

    def mark_swept(self, *, now: datetime) -> None:
        self._database.call(_MARK_SWEPT, before=now - SEEN_LATE)

    def begin_rebuild(self, *, now: datetime) -> None:
        def in_one_step(tx: Transaction) -> None:
            tx.rows(f"{_REBUILD} for update")
            steps = [(row["heat"], row["products"]) for row in tx.rows(_STEPS, now=now)]
            tiers = tiers_of(steps)
            tx.rows("delete from search_tiers")
            tx.rows(
                _SET_TIERS,
                tiers=[tier for tier, _, _ in tiers],
                standings=[standing for _, standing, _ in tiers],
                products=[products for _, _, products in tiers],
            )
            tx.rows("update search_words set counted_names = 0, counted_products = 0 where counted_products > 0")
            tx.rows(_BEGIN, now=now, total=sum(products for _, products in steps))

        self._database.step(in_one_step)

    def continue_rebuild(self, limit: int, *, now: datetime) -> Rebuild:
        return self._database.step(lambda tx: self._go_on(tx, limit, now))

    def find_rebuild(self) -> Rebuild:
        return _rebuild(self._database.call(_REBUILD)[0])

    def has_outgrown_its_tiers(self) -> bool:
        row = self._database.call(_OUTGROWN, most=TIER_SIZES[0] * 3, untiered=WITHOUT_TIERS * 2)[0]
        return bool(row["outgrown"])

    def _go_on(self, tx: Transaction, limit: int, now: datetime) -> Rebuild:
        at = tx.one(f"{_REBUILD} for update")
        if not _rebuild(at).under_way:
            return _rebuild(at)
        if at["words_after"] is not None:
            return self._go_on_with_words(tx, at, now)
        ids = [row["id"] for row in tx.rows(_NEXT, after=at["position"], limit=limit)]
        if not ids:
            tx.rows(_BEGIN_WORDS, now=now)
            return _rebuild(at)
        tx.rows(_PROJECT, ids=ids, counting=True, now=now)
        tx.rows(_FORGET_GONE, ids=ids, before=now - SEEN_LATE)
        done = at["done"] + len(ids)
        tx.rows(_GO_ON, position=ids[-1], done=done)
        return _rebuild(at | {"done": done})

    def _go_on_with_words(self, tx: Transaction, at: Row, now: datetime) -> Rebuild:
        """What was counted is what the vocabulary says, word by word; words that nothing has any more go."""
        words = [row["word"] for row in tx.rows(_NEXT_WORDS, after=at["words_after"], limit=self._words_at_once)]
        if not words:
            tx.rows(_FINISH, now=now)
            return _rebuild(at | {"finished_at": now})
        tx.rows(_USE_COUNTS, words=words)
        for statement in _DROP_UNUSED_WORDS:
            tx.rows(statement, words=words)
        tx.rows(_GO_ON_WITH_WORDS, after=words[-1])
        return _rebuild(at)


def tiers_of(steps: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(tier, its lowest standing, how many products it has together with those before it).

    `steps` are (heat, products), the hottest first. Within a step a hash of the id decides, so that a tier takes part
    of a step where all of it would be too many.
    """
    total = sum(products for _, products in steps)
    tiers = []
    if total > WITHOUT_TIERS:
        for tier, size in enumerate(TIER_SIZES):
            if size * 2 > total:
                break
            before = 0
            for heat, products in steps:
                if before + products >= size:
                    part = (size - before) / products
                    tiers.append((tier, (heat << 23) + round(_HASHES * (1 - part)), size))
                    break
                before += products
    return [*tiers, (LAST_TIER, 0, total)]


def _rebuild(row: Row) -> Rebuild:
    return Rebuild(row["done"], row["total"], row["started_at"], row["finished_at"])
