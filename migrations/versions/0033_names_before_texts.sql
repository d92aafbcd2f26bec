-- Each statement may be run again: what comes after, beside the shop's work, may be broken off, and then all of it is.
-- A word that few names have stands in very many descriptions, and to rank them all takes a hundred times as long as to rank those that
-- are called so. In a large catalogue what has all words in name, brand or categories is looked at first, in vectors of their own,
-- tier by tier; descriptions only where that is not enough. What filters ask for stands in the vectors too, as words that no text can
-- spell: b:<brand> and c:<category> as before, s:1 for what is in stock, and the price in steps.

-- Steps of an eighth of a doubling, in whole numbers: 0 to 7 minor units are steps 0 to 7, 8 and 9 the next, and so on.
create or replace function price_step_v1(price_minor bigint) returns integer language sql immutable parallel safe return
    (length(ltrim((greatest(price_minor, 0) + 8)::bit(64)::text, '0')) - 4) * 8
    + left(ltrim((greatest(price_minor, 0) + 8)::bit(64)::text, '0'), 4)::bit(4)::integer - 8;

-- Prices from `low` to `high` as steps: p: at the ends, whole doublings (q:) between them. A price of it may lie outside, none of them
-- is left out. Null where there are none.
create or replace function price_query_v1(low bigint, high bigint) returns tsquery language sql immutable parallel safe return (
    select string_agg(quote_literal(lexeme), ' | ')::tsquery
    from (
        select case when step / 8 * 8 >= first and step / 8 * 8 + 7 <= last then 'q:' || step / 8 else 'p:' || step end as lexeme
        from (select price_step_v1(low) as first, price_step_v1(high) as last) ends, generate_series(first, last) as step
        group by 1) steps);

-- A tenth of the time of the same in SQL, which is planned for each product.
create or replace function filter_lexemes_v1(brand text, category text, price_minor bigint, in_stock boolean) returns tsvector
language plpgsql immutable parallel safe as $$
declare
    step constant integer := public.price_step_v1(price_minor);
    lexemes text[] := array['p:' || step, 'q:' || step / 8];
    path text := category;
begin
    if brand is not null then
        lexemes := lexemes || ('b:' || brand);
    end if;
    if in_stock then
        lexemes := lexemes || 's:1'::text;
    end if;
    while path <> '' loop
        lexemes := lexemes || ('c:' || path);
        path := substring(path from '^(.*)/');
    end loop;
    return array_to_tsvector(lexemes);
end $$;

alter table search_products add column if not exists named tsvector not null default '';
-- Beside the row and not in a table of its own: each is read to be ranked.
alter table search_products alter column named set storage main;
comment on column search_products.named is 'words of name, brand and categories, and what filters ask for; words has the description as well';

-- As before, and `named`; the version before calls it by its name and fills both. Words are told where they are others, not where the
-- product has changed at all: a price that went up and down again counted them twice, and took most of the time of its copy.
create or replace function project_products_v3(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    told uuid[];
    changed integer;
    gone integer;
begin
    insert into search_products (product_id, projected_at)
        select id, p_now from unnest(p_ids) as id group by id order by id
        on conflict do nothing;
    perform 1 from search_products where product_id = any (p_ids) order by product_id for update;

    delete from search_variants s where s.product_id = any (p_ids) and not exists (
        select from variants v join products p on p.id = v.product_id
        where v.sku = s.sku and v.product_id = s.product_id and v.active and p.published_at <= p_now);
    insert into search_variants as s (product_id, sku, folded, in_stock)
        select v.product_id, v.sku, fold_v1(v.sku), coalesce(l.on_hand > l.held, false)
        from variants v join products p on p.id = v.product_id
        left join stock_levels l on l.sku = v.sku and l.location = 'main'
        where v.product_id = any (p_ids) and v.active and p.published_at <= p_now
        on conflict (product_id, sku) do update set in_stock = excluded.in_stock where s.in_stock <> excluded.in_stock;

    select array_agg(s.product_id) into told from search_products s join products p on p.id = s.product_id
        where s.product_id = any (p_ids) and p.published_at <= p_now
            and (s.tier = 9 or ts_filter(s.words, '{a,b,c,d}') <> p.words);
    with read as (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, o.sku, o.price_minor as offer_minor, o.in_stock,
            heat_v1(s.heat, popularity_v1(p.popularity, w.weight, p_now)) as heat,
            p.words || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description)) || filters as words,
            ts_filter(p.words, '{a,b,c}') || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name)) || filters as named
        from products p
        join search_products s on s.product_id = p.id
        cross join lateral (
            select sum(d.weight) as weight from variants v join search_popularity d on d.sku = v.sku
            where v.product_id = p.id) w
        left join brands b on b.id = p.brand_id
        left join categories c on c.id = p.category_id
        left join lateral (
            select v.sku, v.price_minor, coalesce(l.on_hand > l.held, false) as in_stock
            from variants v left join stock_levels l on l.sku = v.sku and l.location = 'main'
            where v.product_id = p.id and v.active
            order by 3 desc, v.price_minor, v.position, v.sku limit 1) o on true
        cross join lateral filter_lexemes_v1(b.slug, c.path, p.price_minor, coalesce(o.in_stock, false)) as filters
        where p.id = any (p_ids) and p.published_at <= p_now
    ), stood as (
        select read.*, (heat::bigint << 23) + (('x' || right(id::text, 6))::bit(24)::bigint >> 1) as standing from read
    ), ranked as (
        select stood.*, t.tier, (t.tier::bigint << 32) + 2147483647 - standing as place
        from stood, lateral (select min(tier) as tier from search_tiers where standing_from <= standing) t
    )
    update search_products s set
        slug = r.slug, sku = coalesce(r.sku, ''), name = r.name, brand_id = r.brand_id, brand_slug = r.brand_slug,
        brand_name = r.brand_name, category_id = r.category_id, category_path = r.category_path,
        category_name = r.category_name, price_minor = r.price_minor, offer_minor = coalesce(r.offer_minor, r.price_minor),
        currency = r.currency, in_stock = coalesce(r.in_stock, false), image_url = r.image_url, created_at = r.created_at,
        heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words, named = r.named,
        search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
    from ranked r
    where s.product_id = r.id and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.tier, s.place, s.brand_slug,
            s.brand_name, s.category_path, s.category_name, s.words, s.named)
        is distinct from (r.updated_at, coalesce(r.sku, ''), coalesce(r.offer_minor, r.price_minor),
            coalesce(r.in_stock, false), r.tier, r.place, r.brand_slug, r.brand_name, r.category_path, r.category_name,
            r.words, r.named);
    get diagnostics changed = row_count;
    update search_products s set tier = 9, heat = null, words = '', named = '', search_text = '', source_updated_at = null,
            projected_at = p_now
        where s.product_id = any (p_ids) and s.tier <> 9
            and not exists (select from products p where p.id = s.product_id and p.published_at <= p_now);
    get diagnostics gone = row_count;
    if told is not null or p_counting then
        perform learn_words_v1(coalesce(told, '{}'), case when p_counting then p_ids else told end);
    end if;
    return changed + gone;
end $$;

create or replace function project_products_v2(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql as $$
begin
    return project_products_v3(p_ids, p_counting, p_now);
end $$;

grant execute on function price_step_v1, price_query_v1 to vitrine_search;
grant execute on function price_step_v1, filter_lexemes_v1 to vitrine_search_jobs;
