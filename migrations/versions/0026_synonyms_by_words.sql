-- To search a word of staff's is its lexemes, whatever their order and however often: `lamp red` is `red lamp`, and has one entry.

-- As a tsvector writes them: each once, in one order, quoted.
create function word_query_v1(p_words text) returns tsquery language sql stable as $$
    select replace(strip(to_tsvector('public.shop', p_words))::text, ''' ''', ''' & ''')::tsquery
$$;
comment on function word_query_v1 is 'all lexemes of a text, each once and in one order: equal words are equal queries';

-- Of words that become equal the oldest entry keeps its own; what another entry is widened by no more stands in its audit log.
create temporary table canonical on commit drop as
select r.target, r.synonym_id, q.query,
    first_value(r.synonym_id) over kept as kept_by, row_number() over kept as place
from synonym_rewrites r
join synonyms s on s.id = r.synonym_id
cross join lateral (
    select replace(replace(r.target::text, ''' & ''', ''' ''')::tsvector::text, ''' ''', ''' & ''')::tsquery as query) q
window kept as (partition by q.query order by s.created_at, s.id, r.target);

insert into audit_log (id, at, actor, action, subject, detail)
select gen_random_uuid(), now(), 'migration:0026', 'synonyms.narrowed', 'synonyms:' || synonym_id,
    jsonb_build_object('word', target::text, 'widened_by', 'synonyms:' || kept_by)
from canonical where synonym_id <> kept_by;

delete from synonym_rewrites r using canonical c where c.target = r.target and c.place > 1;
update synonym_rewrites r set target = c.query from canonical c where c.target = r.target and c.target <> c.query;

-- All words, or any of them; each or what means the same. Of entries that share a word the one of the longest target is taken, and
-- what it has is widened by no other; an entry counts once, whichever of its words a text has. What a synonym brings in is looked for
-- as it is, and by any of the words is still found by all that it is made of. Of a text all entries together have room for twice what
-- the largest may have: an entry that goes beyond that says nothing.
create function widened_query_v2(p_words text, p_any boolean) returns tsquery language plpgsql stable as $$
declare
    typed constant tsvector := to_tsvector('public.shop', p_words);
    words tsquery := public.word_query_v1(p_words);
    without tsquery;
    rewrite record;
    entries uuid[] := '{}';
    substitutes text[] := '{}';
    room int := 120;
begin
    for rewrite in
        select target, substitute, synonym_id from public.synonym_rewrites
        where lexeme = any (tsvector_to_array(typed)) and typed @@ target
        order by numnode(target) desc, target
    loop
        without := ts_rewrite(words, rewrite.target, '');
        continue when without = words;
        if rewrite.synonym_id <> all (entries) then
            continue when room < (numnode(rewrite.substitute) + 1) / 2;
            room := room - (numnode(rewrite.substitute) + 1) / 2;
            entries := entries || rewrite.synonym_id;
            substitutes := substitutes || format('( %s )', rewrite.substitute);
        end if;
        words := without;
    end loop;
    if p_any then
        return replace(public.word_query_v1(p_words)::text, '&', '|')::tsquery
            || array_to_string(substitutes, ' | ')::tsquery;
    end if;
    return words && array_to_string(substitutes, ' & ')::tsquery;
end $$;

grant execute on function word_query_v1 to vitrine_inventory;
grant execute on function word_query_v1, widened_query_v2 to vitrine_search;
