"""What was sold by the day, and what of it makes a product popular. It reads orders without their buyers."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from shared.persistence.database import Database, Transaction
from shared.search.selling import FINAL_AFTER

_OPEN_DAYS = """
select d.day
from (select :since::date + n as day from generate_series(0, :until::date - :since::date) as n) d
left join search_sales_days c on c.day = d.day
where (c.counted_at is null or c.counted_at < (d.day + :final_after_days::int)::timestamp at time zone 'UTC')
    and exists (select from orders o where o.placed_at >= d.day::timestamp at time zone 'UTC'
        and o.placed_at < (d.day + 1)::timestamp at time zone 'UTC')
order by c.counted_at nulls first, d.day desc
"""

# Whoever counts a day holds its row until the commit; a day that was counted when it was final is left alone.
_TAKE_DAY = """
insert into search_sales_days as d (day, counted_at) values (:day::date, :now::timestamptz)
on conflict (day) do update set counted_at = greatest(d.counted_at, excluded.counted_at)
where d.counted_at < :final_at::timestamptz
returning day
"""

# Units that are held are not paid yet, released and expired ones never were, or went back to stock.
_COUNT = """
with sold as (
    select l.sku, sum(l.allocated + l.consumed - l.returned)::int as units
    from orders o join order_lines l on l.order_id = o.id
    where o.placed_at >= :begins::timestamptz and o.placed_at < :ends::timestamptz
    group by l.sku having sum(l.allocated + l.consumed - l.returned) > 0
), changed as (
    select sku, coalesce(s.units, 0) as units, coalesce(s.units, 0) - coalesce(k.units, 0) as more
    from sold s full join (select sku, units from search_sales where day = :day::date) k using (sku)
    where s.units is distinct from k.units
), kept as (
    insert into search_sales (day, sku, units) select :day::date, sku, units from changed where units > 0 order by sku
    on conflict (day, sku) do update set units = excluded.units
), gone as (
    delete from search_sales where day = :day::date and sku in (select sku from changed where units = 0)
)
insert into search_popularity as p (sku, weight)
select sku, more * sales_weight_v1(:day::date) from changed order by sku
on conflict (sku) do update set weight = greatest(p.weight + excluded.weight, 0)
returning sku
"""

_MOVED = """
select p.id
from (select distinct product_id from variants where sku = any(:skus::text[])) sold
join products p on p.id = sold.product_id and p.published_at <= :now::timestamptz
join search_products s on s.product_id = p.id
cross join lateral (
    select sum(d.weight) as weight from variants v join search_popularity d on d.sku = v.sku
    where v.product_id = p.id) w
where heat_v1(s.heat, popularity_v1(p.popularity, w.weight, :now::timestamptz)) is distinct from s.heat
"""


class SearchSales:
    """shared.search.selling.Sales. Raises Unavailable as every step does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_open_days(self, *, since: date, until: date) -> list[date]:
        rows = self._database.call(_OPEN_DAYS, since=since, until=until, final_after_days=FINAL_AFTER.days)
        return [row["day"] for row in rows]

    def count_day(self, day: date, *, now: datetime) -> list[str]:
        """Rows are taken in the order day, its sales, weights by SKU."""

        def in_one_step(tx: Transaction) -> list[str]:
            begins = datetime.combine(day, time(), UTC)
            final_at = begins + FINAL_AFTER
            if not tx.rows(_TAKE_DAY, day=day, now=now, final_at=final_at):
                return []
            rows = tx.rows(_COUNT, day=day, begins=begins, ends=begins + timedelta(days=1))
            if now >= final_at:
                tx.rows("delete from search_sales where day = :day::date", day=day)
            return [row["sku"] for row in rows]

        return self._database.step(in_one_step)

    def list_products_that_moved(self, skus: Sequence[str], *, now: datetime) -> list[UUID]:
        return [row["id"] for row in self._database.call(_MOVED, skus=list(skus), now=now)] if skus else []
