-- Who had payments refused, and until when nothing of theirs is taken any more.

create table checkout_lockouts (
    id uuid primary key,
    kind text not null,
    subject text not null,
    refused_at timestamptz[] not null default '{}',
    times integer not null default 0,
    locked_until timestamptz,
    updated_at timestamptz not null,
    constraint checkout_lockouts_once unique (kind, subject),
    constraint checkout_lockouts_kind_known check (kind in ('cart', 'email', 'network')),
    constraint checkout_lockouts_times_not_negative check (times >= 0)
);
comment on column checkout_lockouts.subject is 'a cart''s id, a folded e-mail address, or a network';
comment on column checkout_lockouts.refused_at is 'the refusals of the last hour, the oldest first';
comment on column checkout_lockouts.times is 'how often it was locked in a row: the wait doubles each time';
create index checkout_lockouts_locked on checkout_lockouts (locked_until, id) where locked_until is not null;
create index checkout_lockouts_updated on checkout_lockouts (updated_at);

-- What a line gives of the order's discount, and the rate of its tax: so a refund by lines gives back what was paid.
alter table order_lines
    add column discount_minor bigint not null default 0,
    add column tax_rate numeric(7, 6),
    add constraint order_lines_discount_within check (discount_minor between 0 and total_minor) not valid;
comment on column order_lines.discount_minor is 'its share of the order''s discount';
comment on column order_lines.tax_minor is 'the tax of what is left after the discount';
comment on column order_lines.tax_rate is '0.0725 is 7.25 %; null in orders that are older than this column';
alter table orders add column shipping_tax_rate numeric(7, 6);

grant select, insert, update, delete on checkout_lockouts to vitrine_checkout, vitrine_payment_jobs;
grant select on shop_settings to vitrine_payment_jobs;
-- The desk: who waits, and whom staff let go on.
grant select, delete on checkout_lockouts to vitrine_desk;
