-- Each statement may be run again: what comes after, beside the shop's work, may be broken off, and then all of it is.
-- A new price or stock made a new row of search_products, and a new entry of each of its words and trigrams in up to
-- fifteen indexes. What lists by price walk, and what substrings are looked for in, stand in tables of their own; where
-- no index of search_products has a price, most new prices and stocks write none of its indexes (a heap-only tuple).

create table if not exists search_prices (
    product_id uuid primary key,
    category_id uuid,
    brand_id uuid,
    price_minor bigint not null,
    in_stock boolean not null
);
comment on table search_prices is 'what lists by price walk: the products of search_products that are on lists, and what filters ask of them';

create table if not exists search_texts (
    product_id uuid primary key,
    tier smallint not null,
    place bigint not null,
    search_text text not null
);
comment on table search_texts is 'what substrings are looked for in: the products of search_products that are on lists';

-- Room on each page for the next row of what is there: else it goes to another page, and its indexes with it.
alter table search_products set (fillfactor = 80);
alter table search_prices set (fillfactor = 90);

grant select on search_prices, search_texts to vitrine_search;
grant select, insert, update, delete on search_prices, search_texts to vitrine_search_jobs;

-- By triggers, so that what the version before writes is there as well. Whoever writes a copy has locked its row.
create or replace function copy_price_v1() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or new.tier = 9 then
        delete from search_prices where product_id = case tg_op when 'DELETE' then old.product_id else new.product_id end;
    elsif tg_op = 'INSERT' or old.tier = 9 or (new.category_id, new.brand_id, new.price_minor, new.in_stock)
            is distinct from (old.category_id, old.brand_id, old.price_minor, old.in_stock) then
        insert into search_prices (product_id, category_id, brand_id, price_minor, in_stock)
            values (new.product_id, new.category_id, new.brand_id, new.price_minor, new.in_stock)
            on conflict (product_id) do update set category_id = excluded.category_id, brand_id = excluded.brand_id,
                price_minor = excluded.price_minor, in_stock = excluded.in_stock;
    end if;
    return null;
end $$;

create or replace function copy_text_v1() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' or new.tier = 9 then
        delete from search_texts where product_id = case tg_op when 'DELETE' then old.product_id else new.product_id end;
    elsif tg_op = 'INSERT' or (new.tier, new.place, new.search_text) is distinct from (old.tier, old.place, old.search_text) then
        insert into search_texts (product_id, tier, place, search_text)
            values (new.product_id, new.tier, new.place, new.search_text)
            on conflict (product_id) do update set tier = excluded.tier, place = excluded.place,
                search_text = excluded.search_text;
    end if;
    return null;
end $$;

create or replace trigger search_products_prices after insert or update or delete on search_products
    for each row execute function copy_price_v1();
create or replace trigger search_products_texts after insert or update or delete on search_products
    for each row execute function copy_text_v1();

-- As the version before, but for this: what a new price or stock changes alone is written alone, so that nothing that has
-- an index is touched; and a product that was in stock keeps s:1 among what filters ask for until the next rebuild, so
-- that sold out and there again are two short writes. Whether it is in stock its row says to whoever asks. Letters of
-- unspaced_lexemes_v1 are looked for before it is called, for a call takes as long as all the rest.
create or replace function project_products_v4(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql
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
    with read as materialized (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, coalesce(o.sku, '') as sku,
            coalesce(o.price_minor, p.price_minor) as offer_minor, coalesce(o.in_stock, false) as in_stock,
            heat_v1(s.heat, popularity_v1(p.popularity, w.weight, p_now)) as heat,
            p.words || filters || case when unspaced
                then unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description)) else '' end as words,
            ts_filter(p.words, '{a,b,c}') || filters || case when unspaced
                then unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name)) else '' end as named
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
        cross join lateral filter_lexemes_v1(b.slug, c.path, p.price_minor,
            coalesce(o.in_stock, false) or not p_counting and s.words @@ '''s:1''') as filters
        cross join lateral (select concat_ws(' ', p.name, b.name, c.name, p.description)
            ~ '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]' as unspaced offset 0) scripts
        where p.id = any (p_ids) and p.published_at <= p_now
    ), stood as materialized (
        select read.*, (heat::bigint << 23) + (('x' || right(id::text, 6))::bit(24)::bigint >> 1) as standing from read
    ), ranked as (
        select stood.*, t.tier, (t.tier::bigint << 32) + 2147483647 - standing as place
        from stood, lateral (select min(tier) as tier from search_tiers where standing_from <= standing) t
    ), compared as materialized (
        select r.*,
            (s.tier, s.place, s.brand_id, s.category_id, s.created_at, s.search_text, s.words, s.named)
                is distinct from (r.tier, r.place, r.brand_id, r.category_id, r.created_at, r.search_text, r.words, r.named)
                as anew
        from ranked r join search_products s on s.product_id = r.id
    ), written_lightly as (
        update search_products s set
            slug = r.slug, sku = r.sku, name = r.name, brand_slug = r.brand_slug, brand_name = r.brand_name,
            category_path = r.category_path, category_name = r.category_name, price_minor = r.price_minor,
            offer_minor = r.offer_minor, currency = r.currency, in_stock = r.in_stock, image_url = r.image_url,
            source_updated_at = r.updated_at, projected_at = p_now
        from compared r
        where s.product_id = r.id and not r.anew and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.brand_slug,
                s.brand_name, s.category_path, s.category_name)
            is distinct from (r.updated_at, r.sku, r.offer_minor, r.in_stock, r.brand_slug, r.brand_name, r.category_path,
                r.category_name)
        returning 1
    ), written_anew as (
        update search_products s set
            slug = r.slug, sku = r.sku, name = r.name, brand_id = r.brand_id, brand_slug = r.brand_slug,
            brand_name = r.brand_name, category_id = r.category_id, category_path = r.category_path,
            category_name = r.category_name, price_minor = r.price_minor, offer_minor = r.offer_minor,
            currency = r.currency, in_stock = r.in_stock, image_url = r.image_url, created_at = r.created_at,
            heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words,
            named = r.named, search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
        from compared r
        where s.product_id = r.id and r.anew
        returning 1
    )
    select (select count(*) from written_lightly) + (select count(*) from written_anew) into changed;
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

create or replace function project_products_v3(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql as $$
begin
    return project_products_v4(p_ids, p_counting, p_now);
end $$;

create or replace function project_products_v2(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql as $$
begin
    return project_products_v4(p_ids, p_counting, p_now);
end $$;

grant execute on function project_products_v4 to vitrine_search_jobs;
