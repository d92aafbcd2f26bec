"""What is kept of products for lists and texts: made again of what they and their variants say."""

# The lowest price of what is sold, words and text; what has nothing for sale any more is not published. Each change has
# a moment of its own: search tells by it that there was one.
REFRESH_PRODUCTS = """
update products p set
    price_minor = coalesce(n.price_minor, p.price_minor),
    published_at = case when n.price_minor is not null then p.published_at end,
    updated_at = greatest(:now::timestamptz, p.updated_at + interval '1 microsecond'),
    version = p.version + 1,
    words = product_words_v1(p.name, n.brand, n.categories, p.description),
    search_text = left(fold_v1(concat_ws(' ', p.name, nullif(n.brand, ''), n.skus)), 8000)
from (
    select o.id, coalesce(b.name, '') as brand, v.skus, v.price_minor,
        coalesce((select string_agg(a.name, ' ' order by length(a.path)) from categories a
                  where c.path = a.path or starts_with(c.path, a.path || '/')), '') as categories
    from products o
    cross join lateral (select left(string_agg(sku, ' ' order by position, sku), 8000) as skus,
                            min(price_minor) as price_minor
                        from variants where product_id = o.id and active) v
    left join brands b on b.id = o.brand_id
    left join categories c on c.id = o.category_id
    where o.id = any(:ids::uuid[])
) n
where p.id = n.id
"""
