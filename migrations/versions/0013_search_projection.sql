-- What search reads: one row per product with all that a list shows, written by search-jobs from events, a sweep and the
-- rebuild, never in a transaction of stock. It may be dropped and made again: nothing here is a fact.

create extension if not exists fuzzystrmatch;

do $$
begin
    create role vitrine_search_jobs nologin;
exception when duplicate_object or unique_violation then null;
end $$;

create table search_products (
    product_id uuid primary key,
    slug text collate "C" not null default '',
    sku text collate "C" not null default '',
    name text not null default '',
    brand_id uuid,
    brand_slug text collate "C",
    brand_name text,
    category_id uuid,
    category_path text collate "C",
    category_name text,
    price_minor bigint not null default 0,
    offer_minor bigint not null default 0,
    currency char(3) not null default '',
    in_stock boolean not null default false,
    image_url text,
    created_at timestamptz not null default '-infinity',
    heat smallint,
    boost real not null default 1,
    tier smallint not null default 9,
    place bigint not null default 0,
    words tsvector not null default '',
    search_text text not null default '',
    source_updated_at timestamptz,
    projected_at timestamptz not null,
    constraint search_products_tier_known check (tier between 0 and 4 or tier = 9)
);
comment on table search_products is 'a copy for lists; whoever locks its row first reads the product after it, so the last writer has read last';
comment on column search_products.tier is '0 the most popular, 4 the rest; 9 is on no list: not published, gone, or not read yet';
comment on column search_products.place is 'ascending is most popular first: tier, then popularity in steps, then a hash of the id';
comment on column search_products.heat is 'popularity in quarters of a doubling; it moves only when popularity has left its step by a margin';
comment on column search_products.price_minor is 'the lowest price of its variants: sorts and filters';
comment on column search_products.offer_minor is 'the price of the SKU that is shown: the cheapest in stock, else the cheapest';
-- A rank of many rows reads their words: not from another table.
alter table search_products alter column words set storage main;

-- The indexes of texts come in sizes: the most popular 8,000 products, 32,000 and so on. A text is looked for in the smallest
-- first, and in the next only if that held too few (shared/persistence/search.py), so that a word which a tenth of a large
-- catalogue has costs no more than a rare one.
create index search_products_words_0 on search_products using gin (words) with (fastupdate = off) where tier <= 0;
create index search_products_words_1 on search_products using gin (words) with (fastupdate = off) where tier <= 1;
create index search_products_words_2 on search_products using gin (words) with (fastupdate = off) where tier <= 2;
create index search_products_words_3 on search_products using gin (words) with (fastupdate = off) where tier <= 3;
create index search_products_words_4 on search_products using gin (words) with (fastupdate = off) where tier <= 4;
create index search_products_text_0 on search_products using gin (search_text gin_trgm_ops) with (fastupdate = off)
    where tier <= 0;
create index search_products_text_1 on search_products using gin (search_text gin_trgm_ops) with (fastupdate = off)
    where tier <= 1;
create index search_products_text_2 on search_products using gin (search_text gin_trgm_ops) with (fastupdate = off)
    where tier <= 2;
create index search_products_text_3 on search_products using gin (search_text gin_trgm_ops) with (fastupdate = off)
    where tier <= 3;
create index search_products_text_4 on search_products using gin (search_text gin_trgm_ops) with (fastupdate = off)
    where tier <= 4;
-- Keyset order: both columns go the same way, so that (key, id) > (:key, :id) is one range of the index.
create index search_products_place on search_products (place, product_id) where tier <= 4;
create index search_products_price on search_products (price_minor, product_id) where tier <= 4;
create index search_products_newest on search_products (created_at, product_id) where tier <= 4;
create index search_products_category_place on search_products (category_id, place, product_id) where tier <= 4;
create index search_products_category_price on search_products (category_id, price_minor, product_id) where tier <= 4;
create index search_products_category_newest on search_products (category_id, created_at, product_id) where tier <= 4;
create index search_products_brand_place on search_products (brand_id, place, product_id) where tier <= 4;
create index search_products_brand_price on search_products (brand_id, price_minor, product_id) where tier <= 4;
-- search_text begins with the folded name: suggestions complete it.
create index search_products_name on search_products ((left(search_text, 60)) collate "C", place) where tier <= 4;

create table search_variants (
    product_id uuid not null,
    sku text collate "C" not null,
    folded text collate "C" not null,
    in_stock boolean not null,
    primary key (product_id, sku)
);
comment on table search_variants is 'what is for sale of a product, by its product so that the lock of search_products covers it';
create index search_variants_folded on search_variants (folded, product_id);

create table search_tiers (
    tier smallint primary key,
    standing_from integer not null,
    products bigint not null,
    constraint search_tiers_known check (tier between 0 and 4)
);
comment on column search_tiers.products is 'how many products this tier and those before it had at the last rebuild';
insert into search_tiers (tier, standing_from, products) values (4, 0, 0);

-- The catalogue's own vocabulary: what is spelt right here, and what a misspelt word may have meant.
create table search_words (
    word text collate "C" primary key,
    names integer not null default 0,
    products integer not null default 0,
    counted_names integer not null default 0,
    counted_products integer not null default 0,
    traced boolean not null default false
) with (fillfactor = 80);
comment on column search_words.names is 'products with the word in name, brand or category, about: counted exactly by a rebuild';
comment on column search_words.products is 'products with the word anywhere, about';
create index search_words_untraced on search_words (word) where names > 0 and not traced;
comment on column search_words.traced is 'its traces are in search_misspellings';

create table search_misspellings (
    trace text collate "C" not null,
    word text collate "C" not null,
    primary key (trace, word)
);
comment on table search_misspellings is 'the first seven letters of a word with none, one or two of them left out: two spellings of a word share a trace';

create table search_sweep (
    id text primary key,
    products_since timestamptz not null,
    movements_seen bigint not null,
    constraint search_sweep_single check (id = 'sweep')
);
insert into search_sweep (id, products_since, movements_seen) values ('sweep', '-infinity', 0);

create table search_rebuild (
    id text primary key,
    started_at timestamptz,
    finished_at timestamptz,
    position uuid,
    done bigint not null default 0,
    total bigint not null default 0,
    constraint search_rebuild_single check (id = 'rebuild')
);
insert into search_rebuild (id) values ('rebuild');

-- Scripts that put no spaces between words: their letters and pairs of letters, in order, are what is looked for. Han, kana, Thai,
-- Lao, Burmese, Khmer.
create function unspaced_lexemes_v1(words text) returns tsvector language sql immutable parallel safe as $$
    select coalesce(string_agg(format('%L:%sA', substr(run[1], n, size), n), ' '), '')::tsvector
    from (select run from regexp_matches(left(words, 1000), '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]+', 'g') as run limit 50) runs,
        generate_series(1, least(length(run[1]), 200)) as n, (values (1), (2)) as sizes (size)
    where n + size - 1 <= length(run[1]);
$$;

-- The traces of a word; shared.search.spelling makes the same of what was typed.
create function misspelling_traces_v1(word text) returns setof text language sql immutable parallel safe as $$
    with start as (select left(word, 7) as letters)
    select letters from start
    union
    select overlay(letters placing '' from n for 1) from start, generate_series(1, length(letters)) as n
    union
    select overlay(overlay(letters placing '' from m for 1) placing '' from n for 1)
    from start, generate_series(1, length(letters)) as n, generate_series(n + 1, length(letters)) as m
    where length(letters) > 4
$$;

-- The words of products as people write them, each once a product; `named`: it stands in name, brand or category.
create function words_of_products_v1(p_ids uuid[]) returns table (product_id uuid, word text, named boolean)
language sql stable as $$
    select s.product_id, t.token, bool_or(t.named)
    from search_products s join products p on p.id = s.product_id,
    lateral (
        select token, true as named from ts_parse('default', fold_v1(concat_ws(' ', s.name, s.brand_name, s.category_name)))
            where tokid in (1, 2, 10, 11)
        union all
        select token, false from ts_parse('default', fold_v1(left(p.description, 1000))) where tokid in (1, 2, 10, 11)
    ) t
    where s.product_id = any (p_ids) and s.tier <= 4 and length(t.token) between 3 and 30
        and t.token !~ '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]'
    group by 1, 2
$$;

-- Adds the words of products that were told anew to the vocabulary, in the order of words. These counts only grow; a rebuild counts
-- beside them (`p_counted`: all it has come by, and whatever is told meanwhile) and puts its own in their place.
create function learn_words_v1(p_told uuid[], p_counted uuid[]) returns void language plpgsql
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
    insert into search_words as w (word, names, products, counted_names, counted_products)
        select word, count(*) filter (where named and product_id = any (p_told)),
            count(*) filter (where product_id = any (p_told)),
            count(*) filter (where named and product_id = any (p_counted)),
            count(*) filter (where product_id = any (p_counted))
        from words_of_products_v1(p_told || p_counted)
        group by word order by word collate "C"
        on conflict (word) do update set names = w.names + excluded.names, products = w.products + excluded.products,
            counted_names = w.counted_names + excluded.counted_names,
            counted_products = w.counted_products + excluded.counted_products;
    with untraced as (
        update search_words set traced = true where names > 0 and not traced returning word
    )
    insert into search_misspellings (trace, word)
        select trace, word from untraced, misspelling_traces_v1(word) as trace order by trace, word
        on conflict do nothing;
end $$;

-- The plans of both are kept and go by keys whatever the statistics say: planning for each event takes three times as long as
-- copying a product.

-- Copies products as they are now; returns how many rows have changed. Whoever has locked a product's row here reads the product
-- after that, so events may come late, twice or in any order: the last writer has read last. A product that is gone keeps a row
-- of tier 9 for a while, or a reader of before could bring it back. `p_counting`: all their words are counted, by a rebuild.
create function project_products_v1(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql
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
            case when abs(step - s.heat) < 0.8 then s.heat else round(step)::smallint end as heat,
            p.words || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description))
                || array_to_tsvector(array_remove(array['b:' || b.slug], null)
                    || coalesce((select array_agg('c:' || array_to_string(trim_array(levels, below), '/'))
                        from string_to_array(c.path, '/') as levels,
                            generate_series(0, cardinality(levels) - 1) as below), '{}')) as words
        from products p
        join search_products s on s.product_id = p.id
        cross join lateral (select 4 * ln(1 + greatest(p.popularity, 0)::float8) / ln(2::float8) as step) steps
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

grant select on search_products, search_variants, search_words, search_misspellings, search_tiers to vitrine_search;
grant execute on function unspaced_lexemes_v1 to vitrine_search;

grant select on brands, categories, products, variants, stock_levels, stock_movements to vitrine_search_jobs;
grant select, insert, update, delete on search_products, search_variants, search_tiers, search_words, search_misspellings
    to vitrine_search_jobs;
grant select, update on search_sweep, search_rebuild to vitrine_search_jobs;
grant execute on function fold_v1, unspaced_lexemes_v1, misspelling_traces_v1, words_of_products_v1, learn_words_v1,
    project_products_v1 to vitrine_search_jobs;
