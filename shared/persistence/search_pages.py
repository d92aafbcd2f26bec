"""The statements of pages: a product with what stands beside it, a category, the tree; and where those went that moved.

A product's page reads the tables of the shop and asks for stock when it is made. What is held is not for sale (S13).
"""

from shared.persistence.search_matching import LAST_TIER

MOST_CATEGORIES = 5000

# What is offered of a product: the cheapest variant in stock, else the cheapest.
_OFFER = """
select v.sku, v.price_minor, v.currency, coalesce(s.on_hand > s.held, false) as in_stock
from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
where v.product_id = p.id and v.active
order by 4 desc, v.price_minor, v.position, v.sku limit 1"""

_SHOWN = """p.slug, p.name, p.image_urls[1] as image_url, b.name as brand, b.slug as brand_slug,
    c.path as category_path, c.name as category_name, coalesce(o.sku, '') as sku,
    coalesce(o.price_minor, p.price_minor) as price_minor, coalesce(o.currency, p.currency) as currency,
    coalesce(o.in_stock, false) as in_stock"""

# The category and all above it, each by its own path.
_BREADCRUMBS = """(
    select coalesce(json_agg(json_build_array(a.path, a.name) order by length(a.path)), '[]')
    from generate_series(0, cardinality(string_to_array(c.path, '/')) - 1) as below
    join categories a on a.path = array_to_string(trim_array(string_to_array(c.path, '/'), below), '/'))"""

# What staff show beside it, else what is popular in its category: of its first few, so that the look is as short in any
# category. Rows of lists, as lists have them: a product that went, or is not published, has none. OFFSET 0: one by one
# by key, whatever the planner thinks of all of them.
POPULAR_LOOKED_AT, POPULAR_SHOWN = 12, 8
_AS_LISTED = """json_agg(json_build_object('slug', r.slug, 'sku', r.sku, 'name', r.name, 'brand', r.brand_name,
    'brand_slug', r.brand_slug, 'category_path', r.category_path, 'category_name', r.category_name,
    'price_minor', r.offer_minor, 'currency', r.currency, 'in_stock', r.in_stock, 'image_url', r.image_url)
    order by r.in_stock desc, r.rank)"""
_RELATED = f"""coalesce(
    (select {_AS_LISTED} from (
        select s.*, n.position as rank
        from (select related_id, position from related_products where product_id = p.id offset 0) n
        cross join lateral (
            select * from search_products where product_id = n.related_id and tier <= {LAST_TIER} offset 0) s) r),
    (select {_AS_LISTED} from (
        select * from (
            select s.*, s.place as rank from search_products s
            where s.category_id = p.category_id and s.tier <= {LAST_TIER} and s.product_id <> p.id
            order by s.place, s.product_id limit {POPULAR_LOOKED_AT}) popular
        order by in_stock desc, rank limit {POPULAR_SHOWN}) r),
    '[]')"""

PRODUCT = f"""
select {_SHOWN}, p.description, p.attributes, to_json(p.image_urls) as image_urls,
    (select coalesce(json_agg(json_build_object('sku', v.sku, 'options', v.options, 'price_minor', v.price_minor,
            'currency', v.currency, 'in_stock', coalesce(s.on_hand > s.held, false)) order by v.position, v.sku), '[]')
     from variants v left join stock_levels s on s.sku = v.sku and s.location = 'main'
     where v.product_id = p.id and v.active) as variants,
    {_BREADCRUMBS} as breadcrumbs, {_RELATED} as related
from products p
left join brands b on b.id = p.brand_id
left join categories c on c.id = p.category_id
left join lateral ({_OFFER}) o on true
where p.slug = :slug::text and p.published_at <= :now::timestamptz
"""

MOVED_PRODUCT = """
select p.slug from slug_history h join products p on p.id = h.product_id
where h.slug = :slug::text and p.published_at <= :now::timestamptz
"""

CATEGORY = f"""
select c.path, c.name,
    {_BREADCRUMBS} as breadcrumbs,
    (select coalesce(json_agg(json_build_array(k.path, k.name) order by k.position, k.path), '[]')
     from categories k where k.parent_id = c.id) as children
from categories c where c.path = :path::text
"""

MOVED_CATEGORY = """
select c.path from category_history h join categories c on c.id = h.category_id where h.path = :path::text
"""

CATEGORIES = f"""
select path, name from categories
order by cardinality(string_to_array(path, '/')), position, path limit {MOST_CATEGORIES}
"""
