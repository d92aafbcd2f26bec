create table related_products (
    product_id uuid not null,
    position integer not null,
    related_id uuid not null,
    primary key (product_id, position),
    constraint related_products_once unique (product_id, related_id),
    constraint related_products_another check (related_id <> product_id),
    constraint related_products_product foreign key (product_id) references products (id) on delete cascade,
    constraint related_products_related foreign key (related_id) references products (id) on delete cascade
);
create index related_products_related on related_products (related_id);
comment on table related_products is 'what staff show beside a product, in their order; what goes leaves a gap';

grant select, insert, delete on related_products to vitrine_inventory;
grant select on related_products to vitrine_search;
