"""A catalogue, and carts that are ready to be placed, written in bulk."""

import json

import pg8000.native

from local.database import Address

LINES = 3
PRICE_MINOR = 1990
_FIRST = 100_000  # SKUs of one length: their order as text is their order as numbers
ADDRESS = {
    "name": "Ada Buyer",
    "line1": "1 Main St",
    "line2": "",
    "city": "Los Angeles",
    "region": "CA",
    "postal_code": "90001",
    "country": "US",
    "phone": "",
}

_CATALOGUE = """
create temporary table made as
    select n, 'S' || (:first::int + n) as sku, gen_random_uuid() as id, now() as at,
        'Brass lamp of series ' || n as name,
        'A lamp of solid brass with a linen shade, number ' || n || ' of its series, for quiet corners.' as told
    from generate_series(0, :many::int - 1) as n;
insert into products (id, slug, group_key, name, description, price_minor, currency, published_at, created_at,
        updated_at, words, search_text)
    select id, 'lamp-' || n, sku, name, told, :price::bigint, 'USD', at, at, at,
        to_tsvector('public.shop', name), fold_v1(name || ' ' || sku)
    from made;
insert into variants (sku, product_id, price_minor, currency, weight_g, updated_at)
    select sku, id, :price::bigint, 'USD', 1200, at from made;
insert into stock_levels (sku, location, on_hand) select sku, 'main', 1000000 from made;
insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, actor)
    select at, sku, 'main', 'receive', 1000000, 0, 'benchmark' from made;
drop table made;
update shop_settings set value = value || '{"open_orders_per_email": 1000000, "open_orders_per_network": 1000000}';
"""

_CARTS = """
insert into carts (id, currency, email, shipping_address, shipping_option, created_at, updated_at)
    select md5(:batch::text || '/' || n), 'USD', 'ada@example.com', :address::jsonb, 'standard', now(), now()
    from generate_series(1, :many::int) as n;
insert into cart_lines (cart_id, sku, quantity, seen_price_minor, name, added_at)
    select md5(:batch::text || '/' || n), 'S' || (:first::int + part * :each::int + floor(random() * :each::int)::int),
        1 + part, :price::bigint, 'Brass lamp', now()
    from generate_series(1, :many::int) as n, generate_series(0, :lines::int - 1) as part;
"""


def sku_of(number: int) -> str:
    return f"S{_FIRST + number}"


def fill(shop: Address, skus: int) -> None:
    """So many products of one variant, a million units of each; all buyers may come from one network."""
    _run(shop, _CATALOGUE, first=_FIRST, many=skus, price=PRICE_MINOR)
    analyze(shop)


def analyze(shop: Address) -> None:
    """As autovacuum does within the first minutes of a shop's life."""
    connection = shop.connect()
    connection.run("analyze")
    connection.close()


def make_carts(shop: Address, batch: str, many: int, *, among: int) -> list[str]:
    """Carts of LINES different SKUs each, drawn from the first `among`; their ids."""
    _run(
        shop,
        _CARTS,
        batch=batch,
        many=many,
        lines=LINES,
        each=among // LINES,
        first=_FIRST,
        price=PRICE_MINOR,
        address=json.dumps(ADDRESS),
    )
    return _ids(shop, batch, many)


def make_carts_of(shop: Address, batch: str, many: int, *, sku: str, free: int) -> list[str]:
    """Carts of one unit of this SKU, of which so many units are free. Raises RuntimeError for an unknown one."""
    connection = shop.connect()
    told = connection.run(
        "update stock_levels set on_hand = held + :n::int where sku = :sku::text returning sku", n=free, sku=sku
    )
    connection.close()
    if not told:
        raise RuntimeError(f"there is no SKU {sku}")
    _run(
        shop,
        _CARTS.replace("'S' || (:first::int + part * :each::int + floor(random() * :each::int)::int)", ":sku::text"),
        batch=batch,
        many=many,
        lines=1,
        sku=sku,
        price=PRICE_MINOR,
        address=json.dumps(ADDRESS),
    )
    return _ids(shop, batch, many)


def _ids(shop: Address, batch: str, many: int) -> list[str]:
    connection = shop.connect()
    rows = connection.run(
        "select md5(:batch::text || '/' || n) from generate_series(1, :many::int) as n", batch=batch, many=many
    )
    connection.close()
    return [row[0] for row in rows]


def _run(shop: Address, statements: str, **parameters: object) -> None:
    connection: pg8000.native.Connection = shop.connect()
    connection.run("begin")
    for statement in statements.split(";"):
        if statement.strip():
            used = {name: value for name, value in parameters.items() if f":{name}::" in statement}
            connection.run(statement, **used)
    connection.run("commit")
    connection.close()
