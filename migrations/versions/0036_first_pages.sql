-- What a text finds as words, and its first page by relevance, in one call. As one statement it was a scan for each tier of each vector,
-- all of which are made ready and told apart although the first is enough nearly always: that took more than to search and to rank.

-- D, C, B, A: description, category, brand, name; weights and normalisation as the human judgements of the real catalogue like them
-- best (benchmarks/relevance.py).
create function density_v1(words tsvector, asked tsquery) returns real language sql immutable parallel safe
    return ts_rank_cd('{0.3, 0.4, 0.4, 1.0}', words, asked, 1);

-- Somewhat more where the description has all of the words, or the name has them as they were typed. A whole number, so that a
-- cursor's key is exact. `described` is what is asked of the description alone, `folded` the text as fold_v1 makes it.
create function relevance_v1(density double precision, words tsvector, described tsquery, search_text text, folded text, boost real)
returns bigint language sql immutable parallel safe return ((density
    + case when words @@ described then 0.15 else 0 end
    + case when strpos(search_text, folded) > 0 then 0.2 else 0 end)
    * boost * 1e6)::bigint;

-- Of what has not all of the words, by those that it has, each the more the oftener, at less and less.
create function partial_relevance_v1(words tsvector, any_of tsquery, boost real) returns bigint language sql immutable parallel safe
    return (ts_rank('{0.3, 0.4, 0.4, 1.0}', words, any_of, 1) * boost * 1e6)::bigint;

-- The same words, asked of one field (A to D) alone.
create function query_in_v1(asked tsquery, field text) returns tsquery language sql immutable parallel safe return
    regexp_replace(regexp_replace(asked::text, ''':\*', ''':*' || field, 'g'), '''( |$)', ''':' || field || '\1', 'g')::tsquery;

-- How a text finds anything as words, or as words of which the last goes on (`p_tail`, where it is not empty; `p_head` are those before
-- it), among what the filters leave: {matching, reach, counted} as shared/persistence/search_statements.py has them, with the best
-- `p_limit` of it, each as the array that lists show (LISTED there, and the key). None where so many match that they are not ranked
-- (reach -1), or where none are asked for. Where staff have said something of the text (`rule`, `widened`), it looks for nothing, nor
-- where no product at all has such a price (`unpriced`). Reads only. `p_forms` are those of the words that may stand in one piece,
-- `p_plain` the others; `p_partly`, where it is not empty, are the words that say most: what has these is found, and first of it what
-- has all words. `p_narrow` is what the filters ask for, as words that no text can spell.
create function search_words_v1(
    p_typed text, p_words text, p_forms text, p_plain text, p_head text, p_tail text, p_unspaced tsquery, p_partly tsquery,
    p_is_sku boolean, p_begins_sku boolean, p_narrow tsquery, p_category text, p_brand text, p_price_min bigint, p_price_max bigint,
    p_in_stock boolean, p_limit integer,
    out matching text, out reach integer, out counted integer, out among bigint, out everything bigint, out rule json,
    out widened boolean, out unpriced boolean, out listed json)
language plpgsql stable as $$
declare
    typed constant text := fold_v1(p_typed);
    lexemes constant tsvector := to_tsvector('public.shop', p_words);
    asked tsquery;
    head tsquery;
    narrow tsquery := p_narrow;
    narrowed tsquery;
    most_narrowed tsquery;
    described tsquery;
    any_of tsquery;
    low constant bigint := coalesce(p_price_min, 0);
    high constant bigint := coalesce(p_price_max, 9223372036854775807);
    cheapest bigint;
    dearest bigint;
    priced integer;
    categories uuid[];
    brand uuid;
    whole uuid[] := '{}';
    begun uuid[] := '{}';
    matched integer;
    ids uuid[];
    keys bigint[];
    first_ids uuid[] := '{}';
    first_keys bigint[] := '{}';
begin
    matching := 'nothing';
    reach := 4;
    counted := 0;
    unpriced := false;
    listed := '[]';
    select json_build_object('pinned', r.pinned, 'buried', r.buried) into rule from query_rules r where r.query = typed;
    widened := exists (
        select from synonym_rewrites r where r.lexeme = any (tsvector_to_array(lexemes)) and lexemes @@ r.target);
    if rule is not null or widened then
        return;
    end if;
    asked := (plainto_tsquery('public.shop', p_words)
        || (to_tsquery('public.shop', p_forms) && plainto_tsquery('public.shop', p_plain))) && p_unspaced;

    -- Prices that few products have are asked for as words; each of these costs a look at all that the others find.
    if p_price_min is not null or p_price_max is not null then
        select count(*), min(few.price_minor), max(few.price_minor) into priced, cheapest, dearest
            from (select p.price_minor from search_products p where p.tier <= 4 and p.price_minor between low and high limit 20001) few;
        unpriced := priced = 0;
        if unpriced then
            return;
        end if;
        if priced <= 20000 then
            narrow := narrow && price_query_v1(cheapest, dearest);
        end if;
    end if;
    if p_category is not null then
        categories := array(select c.id from categories c
            where c.path = p_category or (c.path > p_category || '/' and c.path < p_category || '0'));
    end if;
    if p_brand is not null then
        select b.id into brand from brands b where b.slug = p_brand;
    end if;
    -- What asks for nothing finds nothing, not all that the filters leave.
    most_narrowed := p_partly && p_unspaced && narrow;
    narrowed := case when numnode(asked) > 0 then asked && narrow end;
    described := query_in_v1(asked, 'D');

    -- A SKU that was typed, whole or so much of it that few begin like this, goes before whatever has its words, from any tier.
    if p_is_sku then
        whole := array(select v.product_id from search_variants v where v.folded = typed);
        begun := whole;
    end if;
    if p_begins_sku then
        begun := array(select v.product_id from search_variants v
            where v.folded >= typed and v.folded < typed || chr(1114111) order by v.folded limit 20);
    end if;
    if begun <> '{}' then
        select coalesce(array_agg(p.product_id), '{}'), coalesce(array_agg(
                case when p.product_id = any (whole) then 2000000000 else 1000000000 end + <relevance>), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.product_id = any (begun) and <left>;
    end if;

    if numnode(p_partly) > 0 then
        -- The few that have all words are found in whatever tier.
        select first_ids || coalesce(array_agg(p.product_id), '{}'), first_keys || coalesce(array_agg(<relevance>), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun) and <left>;
        first_keys := array(select 500000000 + f.key from unnest(first_keys) with ordinality as f (key, n) order by f.n);
        any_of := replace(plainto_tsquery('public.shop', p_words)::text, '&', '|')::tsquery
            || replace(p_unspaced::text, '&', '|')::tsquery;
<most>
    else
        if exists (select from search_tiers t where t.tier = 0) then
<named>
        end if;
<words>
        if matching = 'nothing' and p_tail <> '' then
            head := plainto_tsquery('public.shop', p_head);
            asked := head && to_tsquery('public.shop', p_tail || ':*') && p_unspaced;
            narrowed := case when numnode(asked) > 0 then asked && narrow end;
            described := query_in_v1(asked, 'D');
<prefix>
        end if;
    end if;

    if matching = 'nothing' then
        counted := 0;
        reach := 4;
    end if;
    select t.products into among from search_tiers t where t.tier <= reach order by t.tier desc limit 1;
    select t.products into everything from search_tiers t where t.tier = 4;
    if matching <> 'nothing' and reach >= 0 and p_limit > 0 then
        -- By key, each: as a join it would be planned for a tenth of the catalogue.
        select json_agg(json_build_array(<listed>, page.key) order by page.key desc, page.product_id desc) into listed
        from (
            select f.product_id, f.key from unnest(first_ids || ids, first_keys || keys) as f (product_id, key)
            order by f.key desc, f.product_id desc limit p_limit) page
        cross join lateral (select * from search_products s where s.product_id = page.product_id offset 0) p;
    end if;
end $$;

grant execute on function density_v1, relevance_v1, partial_relevance_v1, query_in_v1, search_words_v1 to vitrine_search;
