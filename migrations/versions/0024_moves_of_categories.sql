create table category_history (
    path text collate "C" primary key,
    category_id uuid not null,
    constraint category_history_category foreign key (category_id) references categories (id) on delete cascade
);
create index category_history_category on category_history (category_id);
comment on table category_history is 'paths that led to a category before it moved; one that is a category''s again leads there';

grant update on categories to vitrine_inventory;
grant select, insert, update, delete on category_history to vitrine_inventory;
grant select on category_history to vitrine_search;
