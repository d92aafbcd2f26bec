alter table products add column version integer not null default 1;
comment on column products.version is 'counts changes of the product and its variants; whoever writes one of them counts';
