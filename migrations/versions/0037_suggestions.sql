-- What is suggested for what was typed so far, in one call for each letter that is typed. As one statement it was a scan for each tier,
-- all of which were made ready although the first is enough nearly always, and three hundred names were read that were not needed.

-- Brands, then categories whose name begins with all that was typed (three each at most), then products, the most popular first: of those
-- that have a word in their name which goes on from `p_tail`, and all other words, and of the first 300 by alphabet whose name begins with
-- all that was typed. {kind, name, key} as shared/persistence/search_suggestions.py has them. Reads only.
--
-- More than the first tier is looked at only where that has too few, and then where there are three letters to go by: of one or two all
-- the words of a large catalogue are too many. In the last tier 2,000 of what has such words anywhere are looked at, whichever these are:
-- a brand that is a tenth of the catalogue would take as long as all else.
create function suggest_v1(p_typed text, p_head text, p_tail text, p_unspaced tsquery, p_limit integer)
returns table (kind text, name text, key text) language plpgsql stable as $$
#variable_conflict use_column
declare
    typed constant text := fold_v1(p_typed);
    beyond constant text := typed || chr(1114111);
    hidden uuid[];
    wanted integer;
    head tsquery;
    anywhere tsquery;
    going_on tsquery;
    all_go_on boolean;
    places bigint[] := '{}';
    names text[] := '{}';
    keys text[] := '{}';
begin
    return query
        (select 'brand', b.name, b.slug from (
            select * from brands b
            where fold_v1(b.name) collate "C" >= typed and fold_v1(b.name) collate "C" < beyond
            order by fold_v1(b.name) collate "C" limit 20) b
        order by length(b.name), b.name collate "C", b.slug limit 3)
        union all
        (select 'category', c.name, c.path from (
            select * from categories c
            where fold_v1(c.name) collate "C" >= typed and fold_v1(c.name) collate "C" < beyond
            order by fold_v1(c.name) collate "C" limit 20) c
        order by length(c.name), c.name collate "C", c.path limit 3)
        limit p_limit;
    get diagnostics wanted = row_count;
    wanted := p_limit - wanted;
    if wanted <= 0 then
        return;
    end if;
    -- Staff have said that the whole text does not find them (shared.search.merchandising).
    select r.buried into hidden from query_rules r where r.query = typed;
    hidden := coalesce(hidden, '{}');

    if p_tail <> '' then
        head := plainto_tsquery('public.shop', p_head) && p_unspaced;
        anywhere := head && to_tsquery('public.shop', p_tail || ':*');
        going_on := head && to_tsquery('public.shop', p_tail || ':*A');
    end if;
    if numnode(going_on) > 0 then
        if length(p_typed) <= 2 then
            -- So little is in so many names that the first few hundred products nearly always have enough of them.
            select array_agg(best.name), array_agg(best.slug), bool_and(best.goes_on) into names, keys, all_go_on
            from (
                select p.name, p.slug, p.named @@ going_on as goes_on
                from (select * from search_products p where p.tier <= 4 order by p.place limit 200) p
                where p.product_id <> all (hidden) and (p.named @@ going_on
                    or left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond)
                limit wanted) best;
            if all_go_on and cardinality(keys) = wanted then
                return query select 'product', unnest(names), unnest(keys);
                return;
            end if;
            names := '{}';
            keys := '{}';
        end if;

        <tier 0>
        if cardinality(keys) < wanted and not exists (select from search_tiers t where t.tier = 0) then
            <all tiers>
        elsif cardinality(keys) < wanted and length(p_tail) >= 3 then
            <tier 1>
            -- A prefix costs as much as all words that begin so: where few products have the words before it, these are looked at.
            if cardinality(keys) < wanted and numnode(head) > 0 and (
                select count(*) <= 40 from (
                    select from search_products p where p.named @@ head and p.tier <= 2 limit 41) few)
            then
                <rest of few>
            elsif cardinality(keys) < wanted then
                <tier 2>
                if cardinality(keys) < wanted then
                    <rest of many>
                end if;
            end if;
        end if;
    end if;

    -- The names themselves add nothing where none that begins so is more popular than what was found: the index tells, without a product.
    if cardinality(keys) < wanted or length(p_typed) = 1 or exists (
        select from search_products p
        where left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond and p.tier <= 4
            and p.place < places[wanted] and p.slug <> all (keys))
    then
        select array_agg(best.name), array_agg(best.key) into names, keys
        from (
            select once.name, once.key
            from (
                select distinct on (found.key) found.place, found.name, found.key
                from (
                    select unnest(places) as place, unnest(names) as name, unnest(keys) as key
                    union all
                    select begun.place, begun.name, begun.slug from (
                        select * from search_products p
                        where left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond and p.tier <= 4
                        order by left(p.search_text, 60) collate "C" limit 300) begun
                    where begun.product_id <> all (hidden)) found
                order by found.key, found.place) once
            order by once.place, length(once.name), once.name collate "C", once.key limit wanted) best;
    end if;
    return query select 'product', unnest(names), unnest(keys);
end $$;

grant execute on function suggest_v1 to vitrine_search;
