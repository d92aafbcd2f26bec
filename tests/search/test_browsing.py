"""Lists without a text: what filters leave of a catalogue, in any order, however few and wherever they lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import NamedTuple

import pg8000.native
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.persistence import search_statements
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.search_matching import BROWSED_FEW
from shared.persistence.search_statements import COUNTED, list_statement
from shared.search.listing import Matching, Search, Sort
from shared.search.texts import take_apart
from tests.numbers import PROPERTY_EXAMPLES
from tests.search.connections import as_search
from tests.search.plans import as_it_ran
from tools.bulk import indexed_afterwards
from tools.scratch_database import ScratchServer

PRODUCTS, IN_SMALL_SHOP = 30_000, 1_500
# Of the largest brand is every third product, of the smallest one in five hundred: to the planner, each is as large.
BRANDS = {"huge": 3, "usual": 50, "small": 500}
PATHS = ("home", "home/lamps", "home/lamps/desk", "home/chairs", "garden", "garden/lamps")

_FILL = """
insert into search_products (product_id, slug, sku, name, brand_id, brand_slug, brand_name, category_id, category_path,
    category_name, price_minor, offer_minor, currency, in_stock, created_at, heat, tier, place, words, search_text,
    projected_at)
select md5(n::text)::uuid, 'product-' || n, 'SKU-' || n, 'thing', b.id, b.slug, b.name, c.id, c.path, c.name,
    n * 7919::bigint % 9973, n * 7919::bigint % 9973, 'USD', n % 10 < 4,
    '2026-01-01'::timestamptz + n * 7 % 997 * interval '1 second', 0, tier, (tier::bigint << 32) + n, '', 'thing', now()
from generate_series(1, :products::int) n
cross join lateral (select least(n / 200, 4) as tier) t
left join brands b on b.slug = case when n % 3 = 0 then 'huge' when n % 50 = 0 then 'usual'
        when n % 500 = 1 then 'small' end
left join categories c on c.path = (:paths::text[])[1 + n % 7]
"""
_PLAIN = """
select slug from search_products
where (cast(:category as text) is null or category_path = :category or starts_with(category_path, :category || '/'))
    and (cast(:brand as text) is null or brand_slug = :brand)
    and price_minor between coalesce(cast(:price_min as bigint), 0) and coalesce(cast(:price_max as bigint), 1 << 30)
    and (in_stock or not cast(:in_stock as boolean))
order by {order}
"""
_ORDERS = {
    Sort.PRICE_ASC: "price_minor, product_id",
    Sort.PRICE_DESC: "price_minor desc, product_id desc",
    Sort.NEWEST: "created_at desc, product_id desc",
    Sort.POPULARITY: "place, product_id",
}


class Shop(NamedTuple):
    """What search reads, and what is there."""

    searching: Database
    owner: pg8000.native.Connection

    def plain(self, search: Search) -> list[str]:
        rows = self.owner.run(
            _PLAIN.format(order=_ORDERS[search.sorted_by]),
            category=search.category,
            brand=search.brand,
            price_min=search.price_min,
            price_max=search.price_max,
            in_stock=search.in_stock,
        )
        return [row[0] for row in rows or ()]


@pytest.fixture(scope="module")
def shop(postgres: ScratchServer) -> Iterator[Shop]:
    with _filled(postgres, PRODUCTS) as made:
        yield made


@pytest.fixture(scope="module")
def small_shop(postgres: ScratchServer) -> Iterator[Shop]:
    with _filled(postgres, IN_SMALL_SHOP) as made:
        yield made


@contextmanager
def _filled(postgres: ScratchServer, products: int) -> Iterator[Shop]:
    address = postgres.copy()
    owner = address.connect()
    owner.run(
        "insert into brands select gen_random_uuid(), slug, slug"
        " from unnest(cast(:slugs as text[]) || array(select 'other-' || n from generate_series(1, 1000) n)) as slug",
        slugs=list(BRANDS),
    )
    for path in PATHS:
        owner.run(
            "insert into categories (id, parent_id, slug, path, name) values (gen_random_uuid(),"
            " (select id from categories where path = :above), :slug, :path, :slug)",
            above=path.rpartition("/")[0],
            slug=path.rpartition("/")[2],
            path=path,
        )
    with indexed_afterwards(owner):
        owner.run(
            _FILL.replace(":paths::text[]", f"array{list(PATHS)}::text[]").replace(":products::int", str(products))
        )
    for table in ("search_products", "search_prices"):
        owner.run(f"alter table {table} alter column brand_id set (n_distinct = 1000)")
    owner.run("vacuum analyze")
    with as_search(postgres, address) as searching:
        yield Shop(searching, owner)
    owner.close()


def pages(reader: CatalogueReader, search: Search, *, limit: int) -> tuple[list[str], int]:
    """All of the list, page by page, and the total of the first."""
    page = reader.list_products(search, limit=limit)
    total, slugs = page.total.value, [item.slug for item in page.items]
    while page.next is not None:
        assert len(slugs) < PRODUCTS
        page = reader.list_products(search, limit=limit, following=page.next)
        slugs += [item.slug for item in page.items]
    return slugs, total


_SEARCHES = st.builds(
    Search,
    category=st.none() | st.sampled_from([*PATHS, "nowhere"]),
    brand=st.none() | st.sampled_from([*BRANDS, "other-1", "nobody"]),
    price_min=st.none() | st.integers(0, 10_000),
    price_max=st.none() | st.integers(0, 10_000),
    in_stock=st.booleans(),
    sort=st.sampled_from(list(_ORDERS)),
)


@pytest.mark.parametrize("few", [0, 100, BROWSED_FEW])
@settings(
    max_examples=PROPERTY_EXAMPLES // 2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(search=_SEARCHES, limit=st.integers(30, 90))
def test_pages_are_parts_of_one_list_whether_few_are_sorted_or_many_walked(
    small_shop: Shop, monkeypatch: pytest.MonkeyPatch, few: int, search: Search, limit: int
) -> None:
    monkeypatch.setattr(search_statements, "BROWSED_FEW", few)
    expected = small_shop.plain(search)

    slugs, total = pages(CatalogueReader(small_shop.searching), search, limit=limit)

    assert slugs == expected
    assert total == min(len(expected), COUNTED) or few < COUNTED


@pytest.mark.parametrize("sort", _ORDERS)
@pytest.mark.parametrize(
    "search",
    [
        Search(price_min=9_970),
        Search(price_min=9_970, category="home"),
        Search(in_stock=True),
        Search(in_stock=True, price_max=9_000),
        Search(price_min=100, price_max=9_900),
        Search(price_min=100, price_max=9_900, category="home"),
        Search(category="home", in_stock=True, price_max=5_000),
        *(Search(brand=brand) for brand in (*BRANDS, "nobody")),
        *(Search(brand=brand, category="home") for brand in (*BRANDS, "nobody")),
        *(Search(brand=brand, category="home", in_stock=True, price_max=9_000) for brand in BRANDS),
        *(Search(brand=brand, in_stock=True, price_max=9_000) for brand in BRANDS),
    ],
    ids=lambda search: ",".join(
        f"{name}={value}" for name, value in asdict(search).items() if value and name != "sort"
    ),
)
def test_no_list_reads_more_copies_than_few(shop: Shop, search: Search, sort: Sort) -> None:
    """Wherever in the order what is left lies, and for how many the planner takes it."""
    sorted_so = replace(search, sort=sort)
    sql, parameters = list_statement(sorted_so, take_apart(""), Matching.EVERYTHING, reach=4, after=None, counting=True)

    nodes = as_it_ran(shop.searching, sql, **parameters, limit=25)

    copies = [node for node in nodes if node.get("Relation Name") == "search_products"]
    assert {node["Node Type"] for node in copies} <= {"Index Scan", "Index Only Scan"}
    looked_at = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in copies
    )
    assert looked_at <= 3 * BROWSED_FEW


@pytest.mark.parametrize(
    "search", [Search(price_min=1), Search(price_min=1, price_max=9_900), Search(price_max=9_900), Search()]
)
def test_facets_of_more_than_are_counted_are_of_all_prices_and_categories(shop: Shop, search: Search) -> None:
    """What is counted of very many is no matter of their prices."""
    facets = CatalogueReader(shop.searching).facets(search)

    assert not facets.total.exact
    assert facets.price_max_minor is not None
    assert facets.price_max_minor > 9_800
    assert {facet.key for facet in facets.categories} == set(PATHS)
    assert max(facet.count for facet in facets.categories) < 2 * min(facet.count for facet in facets.categories)


@pytest.mark.parametrize("search", [Search(price_min=9_970), Search(brand="small", in_stock=True)])
def test_facets_of_few_count_them_all(shop: Shop, search: Search) -> None:
    facets = CatalogueReader(shop.searching).facets(search)

    assert (facets.total.value, facets.total.exact) == (len(shop.plain(search)), True)
