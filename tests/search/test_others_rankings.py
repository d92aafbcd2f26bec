"""That what ours is judged beside is no straw man: each ranking finds a product by its name, and puts it first."""

from benchmarks import others_rankings
from tools.scratch_database import ScratchServer

_FILL = """
with given as (
    select n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid as id, name, description
    from (values (1, 'copper lamp', 'glows'), (2, 'zinc bucket', 'beside a copper lamp, a lamp of brass and a torch'),
        (3, 'brass torch', 'shines')) as v (n, name, description)
), made as (
    insert into products (id, slug, group_key, name, description, price_minor, currency, published_at, created_at,
        updated_at, words, search_text)
    select id, 'p-' || n, 'P' || n, name, description, 1000, 'USD', now(), now(), now(),
        product_words_v1(name, '', '', description), name
    from given
)
insert into search_products (product_id, slug, sku, name, price_minor, offer_minor, currency, in_stock, created_at,
    heat, tier, place, words, search_text, projected_at)
select id, 'p-' || n, 'P' || n, name, 1000, 1000, 'USD', true, now(), 0, 4, (4::bigint << 32) + n,
    product_words_v1(name, '', '', description), name, now()
from given
"""


def test_each_ranking_puts_the_product_that_is_called_so_first(postgres: ScratchServer) -> None:
    shop = postgres.copy()
    connection = shop.connect()
    connection.run(_FILL)

    rankings = others_rankings.of(connection)
    found = {what: answer("copper lamp") for what, answer in rankings.items() if answer is not None}
    none = {what: answer("unheard") for what, answer in rankings.items() if answer is not None}
    connection.close()

    assert len(found) >= 6
    assert {answer[0] for answer in found.values()} == {("P1", "copper lamp")}
    assert not any(none.values())
