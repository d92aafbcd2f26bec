-- Vouchers, and which orders have redeemed them.

create table vouchers (
    id uuid primary key,
    code text collate "C" not null,
    kind text not null,
    currency char(3) not null,
    percent numeric(5, 2),
    amount_minor bigint,
    minimum_minor bigint not null default 0,
    starts_at timestamptz,
    ends_at timestamptz,
    total_limit integer,
    per_customer_limit integer,
    active boolean not null,
    redeemed integer not null default 0,
    version integer not null default 1,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint vouchers_code_unique unique (code),
    constraint vouchers_code_folded check (code ~ '^[0-9A-Z][0-9A-Z_-]{0,39}$'),
    constraint vouchers_kind_known check (kind in ('percent', 'amount', 'free_shipping')),
    constraint vouchers_percent check ((kind = 'percent') = (percent is not null) and percent > 0 and percent <= 100),
    constraint vouchers_amount check ((kind = 'amount') = (amount_minor is not null) and amount_minor > 0),
    constraint vouchers_minimum_not_negative check (minimum_minor >= 0),
    constraint vouchers_end_later check (ends_at > starts_at),
    constraint vouchers_limits_positive check (total_limit > 0 and per_customer_limit > 0),
    constraint vouchers_redeemed_not_negative check (redeemed >= 0)
) with (fillfactor = 50);
comment on column vouchers.redeemed is 'redemptions that stand; more than total_limit only where money came late, or staff lowered the limit';
comment on column vouchers.version is 'of its terms: staff change it, a redemption does not';

create table voucher_redemptions (
    order_id uuid primary key,
    voucher_id uuid not null,
    email text not null,
    customer_id uuid,
    state text not null,
    redeemed_at timestamptz not null,
    updated_at timestamptz not null,
    constraint voucher_redemptions_order foreign key (order_id) references orders (id),
    constraint voucher_redemptions_voucher foreign key (voucher_id) references vouchers (id),
    constraint voucher_redemptions_state_known check (state in ('redeemed', 'released'))
);
comment on column voucher_redemptions.email is 'folded: with customer_id, who the customer is';
create index voucher_redemptions_voucher on voucher_redemptions (voucher_id);
create index voucher_redemptions_email on voucher_redemptions (voucher_id, email) where state = 'redeemed';
create index voucher_redemptions_customer on voucher_redemptions (voucher_id, customer_id)
    where state = 'redeemed' and customer_id is not null;

alter table carts add column voucher_code text;
alter table orders
    add column voucher_code text,
    add column voucher_over_limit boolean not null default false;
comment on column orders.voucher_over_limit is 'its money came after the voucher had been released, and the voucher was used up meanwhile';

-- How often a customer has redeemed a voucher; `p_without` is an order that does not count.
create function voucher_uses_v1(p_voucher_id uuid, p_email text, p_customer_id uuid, p_without uuid) returns bigint
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin return (
    select count(*) from (
        select order_id from voucher_redemptions
            where voucher_id = p_voucher_id and state = 'redeemed' and email = lower(p_email)
        union
        select order_id from voucher_redemptions
            where voucher_id = p_voucher_id and state = 'redeemed' and customer_id = p_customer_id) r
    where order_id is distinct from p_without);
end $$;

-- A voucher as the code reads it; what an order that is to be replaced has redeemed does not count.
create function voucher_json_v1(p_code text, p_email text, p_customer_id uuid, p_without uuid) returns jsonb
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(v) || jsonb_build_object(
        'percent', v.percent::text,
        'redeemed', v.redeemed - (select count(*) from voucher_redemptions r
            where r.order_id = p_without and r.voucher_id = v.id and r.state = 'redeemed'),
        'used_by_customer', voucher_uses_v1(v.id, p_email, p_customer_id, p_without))
    from vouchers v where v.code = p_code);
end $$;

-- The voucher in a cart, as it is to whoever places the cart; null where there is none.
create function cart_voucher_v1(p_cart_id text, p_email text, p_customer_id uuid) returns jsonb
language plpgsql stable set plan_cache_mode = force_generic_plan as $$
declare
    cart carts;
begin
    select * into cart from carts where id = p_cart_id;
    if cart.voucher_code is null then
        return null;
    end if;
    return voucher_json_v1(cart.voucher_code, coalesce(p_email, cart.email), coalesce(p_customer_id, cart.customer_id),
        (select o.id from orders o where o.cart_id = p_cart_id and o.status = 'pending_payment'));
end $$;

-- The voucher of an order, and another one, in one pass by id.
create function lock_vouchers_v1(p_order_id uuid, p_voucher_id uuid) returns void language plpgsql as $$
begin
    perform 1 from vouchers
        where id = p_voucher_id or id = (select voucher_id from voucher_redemptions where order_id = p_order_id)
        order by id for update;
end $$;

-- An order takes a voucher, or VoucherNotApplicable; the order's row says so once it is there. The limit is guarded in the
-- statement; the customer's uses are counted behind it, while nobody else can redeem this voucher.
create function redeem_voucher_v1(p_voucher_id uuid, p_version integer, p_email text, p_customer_id uuid, p_now timestamptz)
returns void language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    taken vouchers;
begin
    if p_voucher_id is null then
        return;
    end if;
    update vouchers set redeemed = redeemed + 1
        where id = p_voucher_id and active and version = p_version and (starts_at is null or starts_at <= p_now)
            and (ends_at is null or p_now < ends_at) and (total_limit is null or redeemed < total_limit)
        returning * into taken;
    if not found then
        select * into taken from vouchers where id = p_voucher_id;
        perform refuse_v1('VoucherNotApplicable', jsonb_build_object('code', taken.code, 'problem', case
            when taken.active is not true then 'unknown'
            when taken.version <> p_version then 'changed'
            when taken.starts_at > p_now then 'not_yet'
            when taken.ends_at <= p_now then 'ended'
            else 'used_up' end));
    end if;
    if voucher_uses_v1(p_voucher_id, p_email, p_customer_id, null) >= taken.per_customer_limit then
        perform refuse_v1('VoucherNotApplicable', jsonb_build_object('code', taken.code, 'problem', 'used_by_customer'));
    end if;
end $$;

-- What an order has redeemed can be redeemed again by anybody; a second time nothing happens.
create function release_voucher_v1(p_order_id uuid, p_now timestamptz) returns void language plpgsql as $$
declare
    released uuid;
begin
    perform lock_vouchers_v1(p_order_id, null);
    update voucher_redemptions set state = 'released', updated_at = p_now
        where order_id = p_order_id and state = 'redeemed' returning voucher_id into released;
    if found then
        update vouchers set redeemed = redeemed - 1 where id = released;
    end if;
end $$;

-- An expired order was paid after all: its discount was given, so it counts again, whatever the limits say. True where that
-- is more than they allow.
create function redeem_voucher_again_v1(p_order_id uuid, p_now timestamptz) returns boolean language plpgsql as $$
declare
    taken voucher_redemptions;
    counted vouchers;
begin
    perform lock_vouchers_v1(p_order_id, null);
    update voucher_redemptions set state = 'redeemed', updated_at = p_now
        where order_id = p_order_id and state = 'released' returning * into taken;
    if not found then
        return false;
    end if;
    update vouchers set redeemed = redeemed + 1 where id = taken.voucher_id returning * into counted;
    return coalesce(counted.redeemed > counted.total_limit, false)
        or coalesce(voucher_uses_v1(counted.id, taken.email, taken.customer_id, null) > counted.per_customer_limit, false);
end $$;

-- checkout: carts with vouchers, placing; whoever settles releases, and counts again.
grant select, update (redeemed) on vouchers to vitrine_checkout, vitrine_payment_jobs, vitrine_desk;
grant select, insert, update on voucher_redemptions to vitrine_checkout;
grant execute on function voucher_uses_v1, voucher_json_v1, cart_voucher_v1, lock_vouchers_v1, redeem_voucher_v1,
    release_voucher_v1, redeem_voucher_again_v1 to vitrine_checkout;
grant select, update on voucher_redemptions to vitrine_payment_jobs, vitrine_desk;
grant execute on function voucher_uses_v1, lock_vouchers_v1, release_voucher_v1, redeem_voucher_again_v1
    to vitrine_payment_jobs, vitrine_desk;

-- inventory, of vouchers: what staff set.
grant select, insert, update, delete on vouchers to vitrine_inventory;
grant select on voucher_redemptions to vitrine_inventory;
