"""Plans do not flip: every kind of list goes by indexes, whatever is asked for and however many products there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from pg8000.core import CoreConnection

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.persistence.search import CatalogueReader
from shared.persistence.search_finding import SPELLINGS
from shared.persistence.search_matching import AS_WORDS, GOING_ON, SOMEHOW
from shared.persistence.search_pages import PRODUCT
from shared.persistence.search_statements import (
    RARITIES,
    STEERING,
    Statement,
    facets_statement,
    find_statement,
    list_statement,
    rest_statement,
    step_statement,
    words_statement,
)
from shared.persistence.search_suggestions import suggestions_statement
from shared.search.listing import Matching, Search, Sort, Steering
from shared.search.merchandising import MOST_LEXEMES
from shared.search.texts import take_apart
from shared.settings import DatabaseSettings
from tests.numbers import PROVE
from tests.search import plans
from tools.bulk import find_by_filters, indexed_afterwards
from tools.scratch_database import ScratchServer

PRODUCTS = 1_000_000 if PROVE else 1_000
# What search has; among a thousand products nothing takes long, and on a busy machine anything may.
STATEMENT_TIMEOUT_MS = 300 if PROVE else 3000
READ = {"query_rules", "synonym_rewrites"}
READ |= {
    "brands",
    "categories",
    "search_products",
    "search_prices",
    "search_texts",
    "search_variants",
    "search_words",
    "search_misspellings",
}

# `lamp` is in a third of the names, `brassN` in seven, nothing is called a torch.
_FILL = """
insert into search_products (product_id, slug, sku, name, brand_id, brand_slug, category_id, category_path,
    price_minor, offer_minor, currency, in_stock, created_at, heat, tier, place, words, search_text, projected_at)
select md5(n::text)::uuid, 'product-' || n, 'SKU-' || n, p.name, b.id, b.slug, c.id, c.path, n % 9000, n % 9000, 'USD',
    n % 2 = 0, '2026-01-01'::timestamptz + n * interval '1 second', 0, tier, (tier::bigint << 32) + n,
    product_words_v1(p.name, b.name, c.name, '') || array_to_tsvector(array['b:' || b.slug, 'c:home', 'c:' || c.path]),
    lower(p.name), now()
from (select n, n * 1000 / :products::int as share from generate_series(1::bigint, :products::int) as n) numbers
cross join lateral (select
    case n % 3 when 0 then 'lamp' else 'stand' end || ' brass' || n / 7 || ' number ' || n as name,
    case when share < 8 then 0 when share < 32 then 1 when share < 128 then 2 when share < 512 then 3 else 4 end
    as tier) p
join brands b on b.slug = 'brand-' || n % 20
join categories c on c.path = 'home/shelf-' || n % 30
"""


# As many synonyms as an entry may have: `light` means `lamp`, `metal` what is rare, and so does each `wideN`.
_WIDEN = """
with made as (insert into synonyms (id, term, synonyms, one_way, created_at, updated_at)
    select gen_random_uuid(), term, array[means], true, now(), now()
    from (values ('light', 'lamp'), ('metal', 'brass77')) t (term, means)
    union all select gen_random_uuid(), 'wide' || n, array['brass' || n], true, now(), now()
    from generate_series(1, 12) n
    returning id, term, synonyms)
insert into synonym_rewrites select term::tsquery, term, (select string_agg(word, ' | ')
    from unnest(array[term, synonyms[1]] || array(select term || 'x' || n from generate_series(1, :more::int) n)) word
    )::tsquery, id
from made
"""


@dataclass
class Shop:
    """The search function's connections: one that it lists with, and one to ask for plans in the same settings."""

    database: Database
    asking: CoreConnection
    address: Address
    admin: Address


@pytest.fixture(scope="module")
def shop(postgres: ScratchServer) -> Iterator[Shop]:
    address = postgres.copy()
    connection = address.connect(timeout_s=1500)
    for number in range(30):
        connection.run(f"insert into brands values (gen_random_uuid(), 'brand-{number}', 'Brand {number}')")
    connection.run(
        "insert into categories (id, slug, path, name)"
        " values ('00000000-0000-4000-8000-000000000000', 'home', 'home', 'Home')"
    )
    for number in range(30):
        connection.run(
            "insert into categories (id, parent_id, slug, path, name) values (gen_random_uuid(),"
            f" '00000000-0000-4000-8000-000000000000', 'shelf-{number}', 'home/shelf-{number}', 'Shelf {number}')"
        )
    with indexed_afterwards(connection):
        connection.run(_FILL.replace(":products::int", str(PRODUCTS)))
        find_by_filters(connection)
    connection.run("delete from search_tiers")
    for tier, thousandth in enumerate((8, 32, 128, 512, 1000)):
        connection.run(f"insert into search_tiers values ({tier}, {4 - tier}, {PRODUCTS * thousandth // 1000})")
    connection.run("insert into search_variants select product_id, sku, lower(sku), in_stock from search_products")
    connection.run(
        "insert into search_words (word, names, products) select 'word' || n, 1, 1 from generate_series(1, 2000) n"
    )
    connection.run("insert into search_misspellings select left(word, 3) || right(word, 3), word from search_words")
    connection.run(
        "insert into query_rules (id, query, pinned, created_at, updated_at)"
        " select gen_random_uuid(), 'text ' || n, array[gen_random_uuid()], now(), now() from generate_series(1, 500) n"
    )
    connection.run(
        "with made as (insert into synonyms (id, term, synonyms, one_way, created_at, updated_at)"
        " values (gen_random_uuid(), 'a', '{b}', true, now(), now()) returning id)"
        " insert into synonym_rewrites select ('word' || n)::tsquery, 'word' || n, 'other'::tsquery, id"
        " from made, generate_series(1, 500) n"
    )
    connection.run(_WIDEN.replace(":more::int", str(MOST_LEXEMES - 2)))
    # To the planner each brand and each category is a thousandth of the catalogue, as in a large one.
    for column in ("brand_id", "category_id"):
        connection.run(f"alter table search_products alter column {column} set (n_distinct = 1000)")
    connection.run("vacuum analyze")
    connection.close()
    settings = DatabaseSettings("url", 1, postgres.login(address, "search").url)
    connect = connector(settings, application="test", statement_timeout_ms=STATEMENT_TIMEOUT_MS, planning=BY_INDEXES)
    made = Database(connect, size=1, clock=SystemClock())
    asking = connect()
    yield Shop(made, asking, address, postgres.admin)
    asking.close()
    made.close()


def plan_of(shop: Shop, statement: str) -> tuple[set[str], set[str]]:
    """The indexes of the plan that is kept for all parameters, and the tables that it reads whole."""
    plan = plans.plan_of(shop.asking, statement)
    return plan.indexes, plan.whole


def kinds() -> dict[str, tuple[Search, str]]:
    """Every kind of list, and the index that it goes by."""
    found: dict[str, tuple[Search, str]] = {
        "everything": (Search(), "search_products_place"),
        "everything in stock": (Search(in_stock=True), "search_products_place"),
        "prices": (Search(sort=Sort.PRICE_ASC), "search_prices_price"),
        "prices down": (Search(sort=Sort.PRICE_DESC, price_min=500), "search_prices_price"),
        "newest": (Search(sort=Sort.NEWEST), "search_products_newest"),
        "category": (Search(category="home"), "search_products_category_place"),
        "category by price": (Search(category="home/shelf-3", sort=Sort.PRICE_ASC), "search_prices_category"),
        "category newest": (Search(category="home", sort=Sort.NEWEST), "search_products_category_newest"),
        "brand": (Search(brand="brand-3"), "search_products_brand_place"),
        "brand by price": (Search(brand="brand-3", sort=Sort.PRICE_DESC), "search_prices_brand"),
        "brand newest": (Search(brand="brand-3", sort=Sort.NEWEST), "search_products_brand_newest"),
        "brand in category": (Search(category="home", brand="brand-3"), "search_products_brand_place"),
        "brand in category newest": (
            Search(category="home", brand="brand-3", sort=Sort.NEWEST),
            "search_products_brand_newest",
        ),
        "brand in category by price": (
            Search(category="home", brand="brand-3", sort=Sort.PRICE_ASC),
            "search_prices_brand_category",
        ),
        "some prices": (Search(price_min=500, price_max=900), "search_products_place"),
        "some prices newest": (Search(price_min=500, price_max=900, sort=Sort.NEWEST), "search_products_newest"),
        "few of some prices": (Search(price_min=500, price_max=900), "search_prices_price"),
        "few in stock": (Search(in_stock=True), "search_prices_in_stock"),
    }
    for what, text in {"common": "lamp", "rare": "brass77", "absent": "torch", "two": "lamp brass77"}.items():
        found[f"{what} word"] = (Search(text=text), "search_products_words_4")
        found[f"{what} word by price"] = (Search(text=text, sort=Sort.PRICE_ASC), "search_products_words_4")
        found[f"{what} word, all filters"] = (
            Search(text=text, category="home", brand="brand-3", price_max=5000, in_stock=True, sort=Sort.NEWEST),
            "search_products_words_4",
        )
    for what, text in {"common": "light", "rare": "metal", "two": "light metal"}.items():
        found[f"{what} widened word"] = (Search(text=text), "search_products_words_4")
    for what, text in {"common": "lamp", "rare": "brass77", "common widened": "light"}.items():
        found[f"{what} word and one that nothing has"] = (Search(text=f"{text} zzzz"), "search_products_words_4")
    found["rare widened word by price"] = (Search(text="metal", sort=Sort.PRICE_ASC), "search_products_words_4")
    found["widened words of twelve entries"] = (
        Search(text=" ".join(f"wide{n}" for n in range(1, 13))),
        "search_products_words_4",
    )
    return found


KINDS = kinds()
EVERYTHING = Search()
FILTERED = Search(category="home", brand="brand-3", price_max=5000, in_stock=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_goes_by_its_index(shop: Shop, kind: str) -> None:
    search, index = KINDS[kind]
    matching = Matching.WORDS if search.text else Matching.EVERYTHING
    steering = Steering(widened="widened" in kind)
    sql, _ = list_statement(
        search, take_apart(search.text), matching, reach=4, after=None, counting=False, steering=steering
    )

    indexes, whole = plan_of(shop, sql)

    assert index in indexes
    assert not whole & READ


@pytest.mark.parametrize("kind", ["everything", "prices", "category", "brand", "common word"])
def test_the_rows_of_a_page_are_read_by_key_however_many_the_planner_takes_a_page_for(shop: Shop, kind: str) -> None:
    """It takes a limit that is a parameter for a tenth of the catalogue, and would join that otherwise."""
    search, _ = KINDS[kind]
    matching = Matching.WORDS if search.text else Matching.EVERYTHING
    sql, _ = list_statement(search, take_apart(search.text), matching, reach=4, after=None, counting=True)
    shop.asking.execute_simple("set enable_nestloop = off")
    try:
        _, whole = plan_of(shop, sql)
    finally:
        shop.asking.execute_simple("reset enable_nestloop")

    assert "search_products" not in whole


@pytest.mark.parametrize(
    ("matching", "index"),
    [
        (Matching.WORDS, "search_products_words_4"),
        (Matching.PREFIX, "search_products_words_4"),
        (Matching.SUBSTRING, "search_texts_4"),
        (Matching.MOST, "search_products_words_4"),
        (Matching.SOME, "search_products_words_4"),
    ],
)
@pytest.mark.parametrize("text", ["lamp", "brass77", "torch", "lamp brass77 number"])
def test_a_way_goes_by_its_index(shop: Shop, matching: Matching, index: str, text: str) -> None:
    search, taken = Search(text=text), replace(take_apart(text), most="'brass77'")
    statements: list[Statement] = [
        list_statement(search, taken, matching, reach=4, after=None, counting=False),
        facets_statement(search, taken, matching, reach=4),
    ]

    for sql, _ in statements:
        indexes, whole = plan_of(shop, sql)
        assert index in indexes
        assert not whole & READ


@pytest.mark.parametrize("tier", range(4))
def test_each_tier_has_an_index_of_its_own(shop: Shop, tier: int) -> None:
    search, text = Search(text="lamp"), take_apart("lamp")
    sql, _ = list_statement(search, text, Matching.WORDS, reach=tier, after=None, counting=False)

    indexes, whole = plan_of(shop, sql)

    used = [int(name[-1]) for name in indexes if name.startswith("search_products_words_")]
    # Among a thousand products they are all of a size.
    assert used == [tier] if PROVE else len(used) == 1 and used[0] >= tier
    assert not whole & READ


def test_finding_the_rest_and_spelling_read_no_table_whole(shop: Shop) -> None:
    search, text = Search(text="lamp"), replace(take_apart("lamp"), most="'lamp'")
    statements = [
        find_statement(search, text, AS_WORDS, steering=Steering(widened=True))[0],
        find_statement(search, text, GOING_ON, steering=Steering(widened=True))[0],
        find_statement(search, text, SOMEHOW)[0],
        rest_statement(search, text, Matching.WORDS, reach=0, after=None)[0],
        rest_statement(search, text, Matching.MOST, reach=0, after=None)[0],
        list_statement(search, text, Matching.MOST, reach=0, after=None, counting=False)[0],
        RARITIES,
        SPELLINGS,
    ]

    assert [plan_of(shop, sql)[1] & READ for sql in statements] == [set()] * len(statements)


@pytest.mark.parametrize(
    "narrowed", [Search(), Search(category="home", brand="brand-3", price_max=5000, in_stock=True)]
)
@pytest.mark.parametrize(
    ("typed", "most", "vectors"),
    [("brass77", "", ("named", "words")), ("torch", "", ("named", "words")), ("SKU-77", "", ("named", "words")),
     ("brass77 torch", "'brass77'", ("words",)), ("brass77 numb", "", ("named", "words"))],
)  # fmt: skip
def test_a_first_page_goes_by_the_index_of_each_tier(
    shop: Shop, narrowed: Search, typed: str, most: str, vectors: Sequence[str]
) -> None:
    """None has enough of it, so the last is looked at as well."""
    search, text = replace(narrowed, text=typed), replace(take_apart(typed), most=most)
    asked = plans.plans_inside(shop.address, shop.admin, [words_statement(search, text, wanted=24, going_on=True)])

    used = {name for name in asked.indexes if name.startswith(("search_products_words_", "search_products_named_"))}
    assert {name.rpartition("_")[0] for name in used} == {f"search_products_{vector}" for vector in vectors}
    if PROVE:  # Among a thousand products they are all of a size.
        assert {f"search_products_{vector}_4" for vector in vectors} <= used
        assert len(used) >= 3 * len(vectors)
    assert not asked.whole & READ


@pytest.mark.parametrize("filters", [Search(brand="brand-3"), Search(category="home/shelf-3")])
@pytest.mark.parametrize(
    "matching", [Matching.NAMED, Matching.WORDS, Matching.PREFIX, Matching.SUBSTRING, Matching.MOST, Matching.SOME]
)
def test_a_text_is_found_by_itself_however_few_the_planner_takes_a_brand_for(
    shop: Shop, filters: Search, matching: Matching
) -> None:
    """A brand may be a tenth of a million products, all of which would be read to look for a word."""
    search, text = replace(filters, text="lamp brass77"), replace(take_apart("lamp brass77"), most="'brass77'")
    by_price = replace(search, sort=Sort.PRICE_ASC)
    statements: list[Statement] = [
        find_statement(search, text, [matching]),
        list_statement(search, text, matching, reach=4, after=None, counting=False),
        list_statement(by_price, text, matching, reach=4, after=None, counting=False),
        rest_statement(search, text, matching, reach=0, after=None),
        facets_statement(search, text, matching, reach=4),
    ]
    if matching in (*AS_WORDS, *GOING_ON):
        statements.append(step_statement(by_price, text, matching, after=None, many=True))

    for sql, _ in statements:
        indexes, _ = plan_of(shop, sql)
        assert not {index for index in indexes if index.startswith(("search_products_brand", "search_products_cat"))}


@pytest.mark.parametrize(
    ("typed", "tiers"),
    [("z", "0"), ("lamp zz", "0"), ("tor", "0124"), ("brass7 tor", "0124"), ("lamp tor", "0124")],
)
def test_suggestions_go_by_the_index_of_each_tier(shop: Shop, typed: str, tiers: str) -> None:
    """None has enough of it, so all are looked at, but of one or two letters the first alone."""
    asked = plans.plans_inside(shop.address, shop.admin, [suggestions_statement(take_apart(typed), limit=8)])

    named = {name[-1] for name in asked.indexes if name.startswith("search_products_named_")}
    if PROVE:
        assert named == set(tiers)
    else:  # Among a thousand products they are all of a size.
        assert len(named) > 0
    assert {"brands_folded", "categories_folded", "query_rules_query_unique", "search_products_name"} <= asked.indexes
    assert not asked.whole & READ


def test_suggestions_for_one_letter_go_by_popularity(shop: Shop) -> None:
    asked = plans.plans_inside(shop.address, shop.admin, [suggestions_statement(take_apart("n"), limit=8)])

    of_products = {name for name in asked.indexes if name.startswith("search_products_")}
    assert of_products == {"search_products_place"}
    assert not asked.whole & READ


@pytest.mark.parametrize(
    ("matching", "index"),
    [
        (Matching.WORDS, "search_products_words_4"),
        (Matching.PREFIX, "search_products_words_4"),
        (Matching.SUBSTRING, "search_texts_4"),
        (Matching.SOME, "search_products_words_4"),
    ],
)
@pytest.mark.parametrize("sort", [Sort.RELEVANCE, Sort.PRICE_ASC])
def test_what_staff_say_of_a_text_leaves_it_its_index(shop: Shop, matching: Matching, index: str, sort: Sort) -> None:
    search, text = Search(text="lamp brass77", sort=sort, category="home"), take_apart("lamp brass77")
    steering = Steering([UUID(int=1)], [UUID(int=2)], widened=True)
    statements: list[Statement] = [
        list_statement(search, text, matching, reach=4, after=None, counting=False, steering=steering),
        facets_statement(search, text, matching, reach=4, steering=steering),
    ]

    for sql, _ in statements:
        indexes, whole = plan_of(shop, sql)
        assert {index, "search_products_pkey"} <= indexes
        assert not whole & READ


def test_what_staff_say_is_looked_up_by_two_indexes(shop: Shop) -> None:
    search, text = Search(text="lamp"), take_apart("lamp")

    for asked in (
        plans.plan_of(shop.asking, f"select {STEERING}"),
        plans.plans_inside(shop.address, shop.admin, [words_statement(search, text, wanted=None)]),
    ):
        assert {"query_rules_query_unique", "synonym_rewrites_lexeme"} <= asked.indexes
        assert not asked.whole & READ
    # Of a text that has something to say it need not be asked again.
    indexes, whole = plan_of(shop, find_statement(search, text, AS_WORDS, steering=Steering([UUID(int=1)]))[0])
    assert not indexes & {"query_rules_query_unique", "synonym_rewrites_lexeme"}
    assert not whole & READ


def test_a_product_and_what_stands_beside_it_are_read_by_keys(shop: Shop) -> None:
    indexes, whole = plan_of(shop, PRODUCT)

    assert {"search_products_pkey", "search_products_category_place"} <= indexes
    assert indexes & {"related_products_pkey", "related_products_once"}
    assert whole == set()


@pytest.mark.parametrize("kind", KINDS)
def test_a_list_keeps_its_time(shop: Shop, kind: str) -> None:
    """300 ms, and then PostgreSQL would end it: first page and second, whatever is asked for."""
    search, _ = KINDS[kind]
    reader = CatalogueReader(shop.database)

    first = reader.list_products(search, limit=24)
    following = reader.list_products(search, limit=24, following=first.next) if first.next else None

    assert len(first.items) <= 24
    assert following is None or not {item.slug for item in first.items} & {item.slug for item in following.items}


@pytest.mark.parametrize(
    "text", ["x" * 200, "a " * 100, "%" * 200, "l", "la", "'" * 200, "\\" * 200, "手" * 200, "the and or", "9" * 200,
             "(((" * 60, ":*" * 100, "lamp " * 40, "lamp-" * 40],
)  # fmt: skip
def test_no_text_takes_longer_than_its_time(shop: Shop, text: str) -> None:
    reader = CatalogueReader(shop.database)

    page = reader.list_products(Search(text=text), limit=24)
    facets = reader.facets(Search(text=text))
    suggestions = reader.suggest(text[:100], limit=8)

    assert len(page.items) <= 24
    assert (facets.total.value == 0) == (page.total.value == 0)
    assert len(suggestions) <= 8
