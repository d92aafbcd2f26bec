-- What sells is popular: units that buyers paid for and kept, by the day their order was placed, counted by search-jobs. Half of a
-- day's units count 30 days later. Nothing here is a fact: emptied, all three are counted anew from the orders of half a year.

create table search_sales_days (
    day date primary key,
    counted_at timestamptz not null
);
comment on table search_sales_days is 'UTC''s days; each is counted again until buyers have had two weeks to give back, then never';

create table search_sales (
    day date not null,
    sku text collate "C" not null,
    units integer not null,
    primary key (day, sku),
    constraint search_sales_units_positive check (units > 0)
);
comment on table search_sales is 'of days that are counted again: what of them is in search_popularity already';

create table search_popularity (
    sku text collate "C" primary key,
    weight double precision not null
);
comment on column search_popularity.weight is
    'sum of units by sales_weight_v1 of their day: what is sold later weighs more, so that nothing that was sold is written again to decay';

create function sales_weight_v1(p_day date) returns double precision language sql immutable parallel safe as $$
    select 2::float8 ^ ((p_day - date '2026-01-01') / 30::float8)
$$;

-- What an import says, about the units sold in six weeks, and what this shop has sold, as of p_now.
create function popularity_v1(p_imported integer, p_weight double precision, p_now timestamptz) returns double precision
language sql immutable parallel safe as $$
    select greatest(p_imported, 0) + greatest(coalesce(p_weight, 0), 0) / sales_weight_v1((p_now at time zone 'UTC')::date)
$$;

-- Quarters of a doubling; it stays what it was until popularity has left its step by a margin.
create function heat_v1(p_heat smallint, p_popularity double precision) returns smallint
language sql immutable parallel safe as $$
    select case when abs(step - p_heat) < 0.8 then p_heat else round(step)::smallint end
    from (select 4 * ln(1 + p_popularity) / ln(2::float8) as step) steps
$$;

-- Copies products as they are now; returns how many rows have changed. Whoever has locked a product's row here reads the product
-- after that, so events may come late, twice or in any order: the last writer has read last. A product that is gone keeps a row
-- of tier 9 for a while, or a reader of before could bring it back. `p_counting`: all their words are counted, by a rebuild.
create function project_products_v2(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql
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
        where v.sku = s.sku and v.product_id = s.product_id and v.active and p.published_at is not null);
    insert into search_variants as s (product_id, sku, folded, in_stock)
        select v.product_id, v.sku, fold_v1(v.sku), coalesce(l.on_hand > l.held, false)
        from variants v join products p on p.id = v.product_id
        left join stock_levels l on l.sku = v.sku and l.location = 'main'
        where v.product_id = any (p_ids) and v.active and p.published_at is not null
        on conflict (product_id, sku) do update set in_stock = excluded.in_stock where s.in_stock <> excluded.in_stock;

    select array_agg(s.product_id) into told from search_products s join products p on p.id = s.product_id
        where s.product_id = any (p_ids) and p.published_at is not null
            and (s.tier = 9 or s.source_updated_at is distinct from p.updated_at);
    with read as (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, o.sku, o.price_minor as offer_minor, o.in_stock,
            heat_v1(s.heat, popularity_v1(p.popularity, w.weight, p_now)) as heat,
            p.words || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description))
                || array_to_tsvector(array_remove(array['b:' || b.slug], null)
                    || coalesce((select array_agg('c:' || array_to_string(trim_array(levels, below), '/'))
                        from string_to_array(c.path, '/') as levels,
                            generate_series(0, cardinality(levels) - 1) as below), '{}')) as words
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
        where p.id = any (p_ids) and p.published_at is not null
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
        heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words,
        search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
    from ranked r
    where s.product_id = r.id and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.tier, s.place, s.brand_slug,
            s.brand_name, s.category_path, s.category_name, s.words)
        is distinct from (r.updated_at, coalesce(r.sku, ''), coalesce(r.offer_minor, r.price_minor),
            coalesce(r.in_stock, false), r.tier, r.place, r.brand_slug, r.brand_name, r.category_path, r.category_name,
            r.words);
    get diagnostics changed = row_count;
    update search_products s set tier = 9, heat = null, words = '', search_text = '', source_updated_at = null,
            projected_at = p_now
        where s.product_id = any (p_ids) and s.tier <> 9
            and not exists (select from products p where p.id = s.product_id and p.published_at is not null);
    get diagnostics gone = row_count;
    if told is not null or p_counting then
        perform learn_words_v1(coalesce(told, '{}'), case when p_counting then p_ids else told end);
    end if;
    return changed + gone;
end $$;

grant select (id, placed_at) on orders to vitrine_search_jobs;
grant select (order_id, sku, allocated, consumed, returned) on order_lines to vitrine_search_jobs;
grant select, insert, update on search_sales_days, search_popularity to vitrine_search_jobs;
grant select, insert, update, delete on search_sales to vitrine_search_jobs;
grant execute on function sales_weight_v1, popularity_v1, heat_v1, project_products_v2 to vitrine_search_jobs;
