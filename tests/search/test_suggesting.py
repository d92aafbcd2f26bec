"""What is suggested is the same whether a catalogue has tiers or not and however little of it was looked at: what a
plain look at every product says."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from shared.persistence.database import Database, Transaction
from shared.persistence.search import CatalogueReader
from shared.persistence.search_suggestions import suggestions_statement
from shared.search.texts import take_apart
from tests.search.connections import as_search
from tools.scratch_database import ScratchServer

# By popularity: 200, 400 and 600 products of the first tiers, and 5,400 others. Half of all are lamps, each 40th a
# lantern, four of each brass number. 2,600 of the last are of a brand called Wideband, one of these is called so.
_FILL = """
insert into search_products (product_id, slug, name, brand_name, tier, place, words, named, search_text, projected_at)
select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'product-' || n, name, brand,
    tier, (tier::bigint << 32) + n, w.words, w.words || unspaced_lexemes_v1(name), fold_v1(name), now()
from generate_series(1, 6600) as n
cross join lateral (select
    case when not :tiered::boolean then 4 when n <= 200 then 0 when n <= 600 then 1 when n <= 1200 then 2 else 4 end
        as tier,
    case when n > 4000 then 'Wideband' when n % 3 = 0 then 'O''Brian & Søn' else 'Lampert' end as brand,
    case n
        when 7 then 'Running Shoe' when 8 then 'runnimede' when 9 then 'The Lathe' when 10 then '100% Cotton_Towel'
        when 11 then '小米手机 红色' when 900 then '手机 case' when 901 then 'odd zyther' when 902 then 'O''Brian lamp'
        when 903 then 'brass3 lantern' when 3000 then 'zyzzyva' when 6500 then 'Widescreen'
        else case when n % 40 = 0 then 'Lantern' when n % 2 = 0 then 'Lamp' else 'Café stand' end
            || ' brass' || n % 1500 || case when n % 7 = 0 then ' Lamplight' else '' end
    end as name) p
cross join lateral (select product_words_v1(name, brand, '', '') as words) w
"""


# Of what is not counted for all to see yet: in one transaction only what is read there comes to it.
_READ_SO_FAR = """
select coalesce(sum(idx_tup_fetch), 0)::bigint as products
from pg_stat_xact_user_tables where relname = 'search_products'
"""


@dataclass
class Catalogue:
    tiered: bool
    database: Database
    reader: CatalogueReader

    def suggest(self, typed: str, *, limit: int = 8) -> list[tuple[str, str]]:
        return [(found.kind, found.key) for found in self.reader.suggest(typed, limit=limit)]

    def products_read(self, typed: str) -> int:
        """How many rows it takes from the table, however it finds them."""
        sql, parameters = suggestions_statement(take_apart(typed), limit=8)

        def read(tx: Transaction) -> int:
            before = tx.one(_READ_SO_FAR)["products"]
            tx.rows(sql, **parameters)
            return int(tx.one(_READ_SO_FAR)["products"] - before)

        return self.database.step(read)


def _make(postgres: ScratchServer, *, tiered: bool) -> Iterator[Catalogue]:
    address = postgres.copy()
    connection = address.connect()
    connection.run(_FILL, tiered=tiered)
    connection.run("delete from search_tiers")
    tiers = [(0, 200), (1, 600), (2, 1200), (4, 6600)] if tiered else [(4, 6600)]
    for tier, products in tiers:
        connection.run(f"insert into search_tiers values ({tier}, {4 - tier}, {products})")
    for name in [
        "Lampert",
        "Lampex & Co",
        "Wideband",
        "O'Brian",
        *(f"Lab {chr(97 + n)}{'x' * (30 - n)}" for n in range(25)),
    ]:
        slug = name.lower().replace(" ", "-").replace("'", "").replace("&", "and")
        connection.run("insert into brands values (gen_random_uuid(), :slug, :name)", slug=slug, name=name)
    for name in ("Lamps", "Lanterns", "Ladders", "La", "手机"):
        connection.run(
            "insert into categories (id, slug, path, name) values (gen_random_uuid(), :slug, :slug, :name)",
            slug="phones" if name == "手机" else name.lower(),
            name=name,
        )
    buried = "select array_agg(product_id) from search_products where slug = any (array['product-4', 'product-2'])"
    connection.run(
        "insert into query_rules (id, query, buried, created_at, updated_at)"
        f" values (gen_random_uuid(), 'lamp', ({buried}), now(), now())"
    )
    connection.run("vacuum analyze")
    connection.close()
    with as_search(postgres, address) as database:
        yield Catalogue(tiered, database, CatalogueReader(database))


@pytest.fixture(scope="module")
def tiered(postgres: ScratchServer) -> Iterator[Catalogue]:
    yield from _make(postgres, tiered=True)


@pytest.fixture(scope="module")
def untiered(postgres: ScratchServer) -> Iterator[Catalogue]:
    yield from _make(postgres, tiered=False)


_EVERY = """
with asked as (select fold_v1(:typed::text) as typed, case when :tail::text <> '' then
    plainto_tsquery('public.shop', :head::text) && to_tsquery('public.shop', :tail::text || ':*A') && :unspaced::tsquery
    else '' end as query),
buried as (select unnest(r.buried) as id from query_rules r, asked where r.query = asked.typed),
every as (
    select 'category' as kind, path as key, name, 0 as tier, 0 as place, fold_v1(name) as folded,
        null::tsvector as named
    from categories
    union all
    select 'brand', slug, name, 0, 0, fold_v1(name), null from brands
    union all
    select 'product', slug, name, tier, place, left(search_text, 60), named from search_products
    where product_id not in (select id from buried)
)
select kind, key, name, tier, place, folded, starts_with(folded, typed) as begun, named @@ query as words
from every, asked where starts_with(folded, typed) or named @@ query
"""


def plainly(catalogue: Catalogue, typed: str, limit: int) -> list[tuple[str, str]]:
    """What to suggest, of every product there is."""
    text = take_apart(typed)
    if not text.searchable:
        return []
    _, parameters = suggestions_statement(text, limit=limit)
    del parameters["limit"]
    rows = catalogue.database.call(_EVERY, **parameters)

    def by_alphabet(row: dict[str, Any]) -> tuple[str, int]:
        return row["folded"], row["place"]

    found: list[tuple[str, str]] = []
    for kind in ("brand", "category"):
        begun = sorted((row for row in rows if row["kind"] == kind), key=by_alphabet)[:20]
        shortest = sorted(begun, key=lambda row: (len(row["name"]), row["name"], row["key"]))[:3]
        found += [(kind, row["key"]) for row in shortest]
    products = [row for row in rows if row["kind"] == "product"]
    names = sorted((row for row in products if row["begun"]), key=by_alphabet)[:300]
    # Of one or two letters all the words of a large catalogue are too many.
    last = 0 if catalogue.tiered and len(text.tail) < 3 else 4
    words = [row for row in products if row["words"] and row["tier"] <= last]
    best = sorted({(row["place"], row["key"]) for row in names + words})
    return [*found, *(("product", key) for _, key in best)][:limit]


TYPED = [
    "l", "L", "la", "lam", "lamp", "Lamp", "lampl", "lant", "lamp b", "lamp br", "lamp brass", "lamp brass1",
    "brass12 lam", "brass3 lan", "brass3", "brass1499", "c", "ca", "caf", "Café s", "cafe stand brass77", "the",
    "the la", "The Lat", "a", "and or", "run", "runni", "running", "running s", "zy", "zyz", "zyth", "odd z",
    "odd zyt", "手", "手机", "小米", "小米 红", "手机 cas", "o", "o'", "O'Br", "o'brian la", "lamp'", "''", "1",
    "100", "100%", "100%  co", "cotton_t", "%", "_", "l%", "la_", "zzz", "zzz la", "lamp zzz", "brass lamp",
    "lampert la", "lampert brass12", "x" * 90,
]  # fmt: skip


@pytest.mark.parametrize("limit", [1, 20])
@pytest.mark.parametrize("catalogue", ["tiered", "untiered"])
def test_what_is_suggested_is_what_a_look_at_every_product_says(
    catalogue: str, limit: int, request: pytest.FixtureRequest
) -> None:
    made: Catalogue = request.getfixturevalue(catalogue)

    found = {typed: made.suggest(typed, limit=limit) for typed in TYPED}

    assert found == {typed: plainly(made, typed, limit) for typed in TYPED}


def test_brands_and_categories_come_first_then_the_most_popular(tiered: Catalogue) -> None:
    brands = [("brand", "lampert"), ("brand", "lampex-and-co")]
    category = ("category", "lamps")

    assert tiered.suggest("lamp", limit=1) == brands[:1]
    # Two are not to be found by this text.
    assert tiered.suggest("lamp", limit=6) == [*brands, category, ("product", "product-6"), ("product", "product-12"),
                                               ("product", "product-14")]  # fmt: skip
    assert tiered.suggest("lam", limit=5) == [*brands, category, ("product", "product-2"), ("product", "product-4")]
    # The shortest of the first twenty by alphabet.
    assert tiered.suggest("lab") == [
        ("brand", f"lab-{end}") for end in ("txxxxxxxxxxx", "sxxxxxxxxxxxx", "rxxxxxxxxxxxxx")
    ]


def test_a_more_popular_name_goes_before_what_has_such_a_word(tiered: Catalogue) -> None:
    """The stem of running does not begin with runni."""
    assert tiered.suggest("runni", limit=1) == [("product", "product-7")]
    assert tiered.suggest("runni", limit=8) == [("product", "product-7"), ("product", "product-8")]
    assert tiered.suggest("runnim", limit=8) == [("product", "product-8")]


def test_of_two_letters_a_large_catalogue_is_asked_for_its_most_popular_alone(
    tiered: Catalogue, untiered: Catalogue
) -> None:
    assert tiered.suggest("zy") == [("product", "product-3000")]
    assert untiered.suggest("zy") == [("product", "product-901"), ("product", "product-3000")]
    assert tiered.suggest("zyt") == [("product", "product-901")]


def test_as_few_products_are_read_as_what_was_typed_allows(tiered: Catalogue) -> None:
    # By popularity, until there are eight: the last is the nineteenth.
    assert tiered.products_read("c") == 19
    # 97 of the first tier have such a word; seven more popular than the last that is suggested begin so, and are known.
    assert tiered.products_read("caf") == 97 + 7
    # What has the rare word before it, whatever begins like the last one.
    assert tiered.products_read("brass1499 caf") == 4
    # No more of a large brand, and the one name.
    assert tiered.products_read("wide") == 2000 + 1
