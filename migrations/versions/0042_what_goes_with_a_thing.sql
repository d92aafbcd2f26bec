-- Beside letters and digits PostgreSQL's parser takes `a5._` for one word; underscores part words like hyphens.
create or replace function parted_v1(words text) returns text language sql immutable parallel safe
    return regexp_replace(words, '[-/~+_]|\.(?=[A-Za-z])|(?<=[A-Za-z])\.', ' ', 'g');

-- What goes with a thing and is not the thing, as stems.
create function accessories_v1() returns text[] language sql immutable parallel safe return
    '{accessori,backpack,bag,bracket,case,cover,dock,filter,guard,holder,lock,mount,pad,pouch,protector,replac,rest,sleev,spare,stand,strap,tray}'::text[];

-- What a name says that the product goes with: the one or two words before `case` or `wrist rest` wherever it has them (a notebook with
-- a notebook sleeve is a notebook), and those that stand after `for` alone. As lexemes that no text can spell or begin, `:g:` and `:f:`
-- before the word. English, as the stems are; nothing in other languages. `words` are the product's (product_words_v1). Names have 500
-- characters at most: of many words each is compared with each.
create function goes_with_v1(name text, words tsvector) returns tsvector language plpgsql immutable parallel safe as $$
declare
    thing constant text := split_part(lower(name), ' for ', 1);
begin
    -- Most names say nothing of the kind, and this is asked with each new price.
    if thing = lower(name) and not words @@ (array_to_string(accessories_v1(), ':A|') || ':A')::tsquery then
        return '';
    end if;
    return (
        with said as (
            select s.part, w.lexeme, place
            from regexp_split_to_table(thing, '[,;:|(+]| - ') with ordinality as s (name, part),
                unnest(to_tsvector('public.shop', parted_v1(s.name))) w, unnest(w.positions) as place
        ), beside as (
            -- The second word before it too, where no stop word stands between; but `shirt long sleeve` is a shirt.
            select s.lexeme from said s where s.lexeme <> all (accessories_v1())
            group by s.lexeme having bool_and(exists (
                select from said a where a.part = s.part and a.lexeme = any (accessories_v1())
                    and (a.place = s.place + 1 or a.place = s.place + 2 and a.lexeme <> 'sleev' and exists (
                        select from said b where b.part = s.part and b.place = s.place + 1))))
        ), told as (
            select ':g:' || lexeme as lexeme from beside
            union all
            select ':f:' || w.lexeme from unnest(to_tsvector('public.shop', parted_v1(substr(lower(name), length(thing) + 5)))) w
            where w.lexeme not in (select lexeme from said)
        )
        -- A lexeme has 2 kB at most.
        select coalesce(array_to_tsvector(array_agg(lexeme)), '') from told where length(lexeme) < 256);
end $$;

-- What a product may go with, and not be, where this text is searched for: its last word, which names the thing, or all of them where it
-- is for that. Nothing where what goes with something is asked for.
create function beside_v1(typed text) returns tsquery language sql immutable parallel safe as $$
    select case
        when typed ~* '\mfor\M' or coalesce(bool_or(w.lexeme = any (accessories_v1())), true) then ''::tsquery
        else array_to_tsvector(array[':g:' || (array_agg(w.lexeme order by w.positions[1] desc))[1]])::text::tsquery
            || replace(array_to_tsvector(array_agg(':f:' || w.lexeme))::text, ''' ''', ''' & ''')::tsquery
    end
    from unnest(to_tsvector('public.shop', parted_v1(typed))) w
$$;

-- What was asked for counts less the oftener it is said (1.5 at most); somewhat more where the name has all of the words, or the
-- description (`in_name` and `in_description` ask it of these alone), and more where the name, brand or SKU has them as they were typed
-- as well, one or many; all of it less where the product only goes with what was asked for (`beside`, beside_v1). A whole number, so
-- that a cursor's key is exact. `folded` is the text as fold_v1 makes it. `density` stands here once: else PostgreSQL would call this
-- for each row instead of reading it into the statement.
create function relevance_v2(density double precision, words tsvector, in_name tsquery, in_description tsquery, beside tsquery,
    search_text text, folded text, boost real)
returns bigint language sql immutable parallel safe return ((1.5 - 0.75 / (density + 0.5)
    + case when not words @@ in_name then 0
        when strpos(' ' || search_text, ' ' || rtrim(folded, 's')) > 0 then 0.55 else 0.15 end
    + case when words @@ in_description then 0.15 else 0 end)
    * case when words @@ beside then 0.5 else 1 end
    * boost * 1e6)::bigint;

grant execute on function accessories_v1, parted_v1, beside_v1, relevance_v2 to vitrine_search;
grant execute on function accessories_v1, goes_with_v1 to vitrine_search_jobs;
-- What a word may have meant is found in one statement.
grant execute on function misspelling_traces_v1 to vitrine_search;
