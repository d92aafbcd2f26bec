-- What staff say of searches: products that come first for a text or not at all, and words that mean the same. Search reads it when
-- it finds how a text matches, so a change counts from its commit on.

create table query_rules (
    id uuid primary key,
    query text collate "C" not null,
    pinned uuid[] not null default '{}',
    buried uuid[] not null default '{}',
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint query_rules_query_unique unique (query),
    constraint query_rules_query_not_empty check (query <> ''),
    constraint query_rules_say_something check (cardinality(pinned) + cardinality(buried) > 0),
    constraint query_rules_one_or_the_other check (not pinned && buried)
);
create index query_rules_newest on query_rules (created_at desc, id);
comment on column query_rules.query is 'fold_v1 of the whole text that is typed';
comment on column query_rules.pinned is 'products in the order in which they come first; one that is gone is on no list and in no way';

create table synonyms (
    id uuid primary key,
    term text not null,
    synonyms text[] not null,
    one_way boolean not null,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint synonyms_not_empty check (cardinality(synonyms) > 0)
);
create index synonyms_newest on synonyms (created_at desc, id);
comment on column synonyms.one_way is 'the term finds its synonyms as well, and they do not find it';

-- What a search with one of the words looks for instead; made of synonyms by whoever writes that.
create table synonym_rewrites (
    target tsquery primary key,
    lexeme text collate "C" not null,
    substitute tsquery not null,
    synonym_id uuid not null,
    constraint synonym_rewrites_synonym foreign key (synonym_id) references synonyms (id) on delete cascade
);
comment on table synonym_rewrites is 'the key says: a word, as search stems it, is widened in one way';
comment on column synonym_rewrites.lexeme is 'one of the target: what a text has none of has nothing to widen';
create index synonym_rewrites_lexeme on synonym_rewrites (lexeme);
create index synonym_rewrites_synonym on synonym_rewrites (synonym_id);

-- All words, each or what means the same; of targets that share a word the longest. Each is marked first and the marks are replaced
-- then: what a synonym brings in is looked for as it is, or a text that has many words of one entry would double with each.
create function widened_query_v1(p_words text) returns tsquery language plpgsql stable as $$
declare
    widened tsquery := plainto_tsquery('public.shop', p_words);
    rewrite record;
    marks tsquery[] := '{}';
    substitutes tsquery[] := '{}';
begin
    for rewrite in
        select target, substitute from public.synonym_rewrites
        where lexeme = any (tsvector_to_array(to_tsvector('public.shop', p_words)))
        order by numnode(target) desc, target
    loop
        -- No text has such a lexeme: the parser takes control characters for spaces.
        marks := marks || format(E'\'\x01%s\'', cardinality(marks))::tsquery;
        substitutes := substitutes || rewrite.substitute;
        widened := ts_rewrite(widened, rewrite.target, marks[cardinality(marks)]);
    end loop;
    for n in 1 .. cardinality(marks) loop
        widened := ts_rewrite(widened, marks[n], substitutes[n]);
    end loop;
    return widened;
end $$;

grant select on query_rules, synonym_rewrites to vitrine_search;
grant execute on function widened_query_v1 to vitrine_search;
grant select, insert, update, delete on query_rules, synonyms to vitrine_inventory;
grant select, insert, delete on synonym_rewrites to vitrine_inventory;
