-- Where a word ends for whoever types it and not for PostgreSQL's parser, which takes RTX-4090 for a negative number, black/white for
-- a path of files, StarTech.com for a host, and wants all-in-one itself of whatever has it beside its parts. A point between digits
-- parts nothing.
create or replace function parted_v1(words text) returns text language sql immutable parallel safe
    return regexp_replace(words, '[-/~+]|\.(?=[A-Za-z])|(?<=[A-Za-z])\.', ' ', 'g');

-- What full text finds of a product. SKUs are not among it: they share beginnings, so that `ice` would be every product of
-- a shop whose SKUs begin with ICE-; trigrams of products.search_text find them.
create or replace function product_words_v1(name text, brand text, categories text, description text)
returns tsvector language sql immutable parallel safe as $$
    select setweight(to_tsvector('public.shop', parted_v1(name)), 'A')
        || setweight(to_tsvector('public.shop', parted_v1(brand)), 'B')
        || setweight(to_tsvector('public.shop', parted_v1(categories)), 'C')
        || setweight(to_tsvector('public.shop', parted_v1(description)), 'D')
$$;

-- The words of products as people write them, each once a product; `named`: it stands in name, brand or category.
create or replace function words_of_products_v1(p_ids uuid[]) returns table (product_id uuid, word text, named boolean)
language sql stable as $$
    select s.product_id, t.token, bool_or(t.named)
    from search_products s join products p on p.id = s.product_id,
    lateral (
        select token, true as named
            from ts_parse('default', parted_v1(fold_v1(concat_ws(' ', s.name, s.brand_name, s.category_name))))
            where tokid in (1, 2, 10, 11)
        union all
        select token, false from ts_parse('default', parted_v1(fold_v1(left(p.description, 1000))))
            where tokid in (1, 2, 10, 11)
    ) t
    where s.product_id = any (p_ids) and s.tier <= 4 and length(t.token) between 3 and 30
        and t.token !~ '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]'
    group by 1, 2
$$;

grant execute on function parted_v1 to vitrine_inventory, vitrine_search_jobs;

-- Words that staff named as synonyms are parted like others. Where that makes two equal, the older entry keeps the word.
create temporary table parted on commit drop as
select id, array[term] || synonyms as words, one_way, created_at from synonyms
where parted_v1(array_to_string(term || synonyms, ' ')) <> array_to_string(term || synonyms, ' ');

delete from synonym_rewrites r using parted p where p.id = r.synonym_id;

with said as (
    select p.id, p.one_way, p.created_at, min(n) as n, query, min(lexeme collate "C") as lexeme
    from parted p, unnest(p.words) with ordinality as t (word, n),
        word_query_v1(parted_v1(word)) as query, unnest(to_tsvector('public.shop', parted_v1(word))) as l (lexeme)
    group by p.id, p.one_way, p.created_at, query
)
insert into synonym_rewrites (target, lexeme, substitute, synonym_id)
select s.query, s.lexeme,
    (select string_agg('( ' || o.query::text || ' )', ' | ' order by o.n)::tsquery from said o where o.id = s.id), s.id
from said s where not s.one_way or s.n = 1
order by s.created_at, s.id, s.n
on conflict (target) do nothing;
