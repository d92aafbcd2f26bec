-- Placing counts a client's open orders, and every reader of an order is told what its lines gave of the discount.

-- What readers of the version before know of a line: they take nothing else.
create or replace function order_json_v1(p_id uuid) returns jsonb language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(o) || jsonb_build_object(
        'lines', (select coalesce(jsonb_agg(to_jsonb(l) - array['order_id', 'discount_minor', 'tax_rate'] order by l.position), '[]')
                  from order_lines l where l.order_id = o.id),
        'refunds', (select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' order by r.requested_at, r.id), '[]')
                    from refunds r where r.order_id = o.id),
        'attempt', (select to_jsonb(a) - 'order_id' from capture_attempts a
                    where a.order_id = o.id order by a.requested_at desc, a.id limit 1))
    from orders o where o.id = p_id);
end $$;

-- An order with its lines, refunds and shipments, as events freeze it and as the code reads it.
create or replace function order_json_v2(p_id uuid) returns jsonb language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(o) || jsonb_build_object(
        'shipping_tax_rate', o.shipping_tax_rate::text,
        'lines', (select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' || jsonb_build_object('tax_rate', l.tax_rate::text)
                    order by l.position), '[]')
                  from order_lines l where l.order_id = o.id),
        'refunds', (select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' order by r.requested_at, r.id), '[]')
                    from refunds r where r.order_id = o.id),
        'attempt', (select to_jsonb(a) - 'order_id' from capture_attempts a
                    where a.order_id = o.id order by a.requested_at desc, a.id limit 1),
        'shipments', (select coalesce(jsonb_agg(jsonb_build_object(
                'id', s.id, 'order_id', s.order_id, 'state', s.state, 'carrier', s.carrier,
                'tracking_number', s.tracking_number, 'created_at', s.created_at, 'shipped_at', s.shipped_at,
                'delivered_at', s.delivered_at,
                'lines', (select coalesce(jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity) order by l.sku), '[]')
                          from shipment_lines l where l.shipment_id = s.id)) order by s.created_at, s.id), '[]')
            from shipments s where s.order_id = o.id))
    from orders o where o.id = p_id);
end $$;

-- Until when a buyer with too many refused payments waits: the longest of cart, e-mail and network. Null: no longer, or never.
create function checkout_locked_until_v1(p_cart_id text, p_email text, p_network text, p_now timestamptz)
returns timestamptz language plpgsql stable set plan_cache_mode = force_generic_plan as $$
begin return (
    select max(locked_until) from checkout_lockouts
    where (kind, subject) in (('cart', p_cart_id), ('email', lower(p_email)), ('network', p_network))
        and locked_until > p_now);
end $$;

-- One more open order for this client, or CheckoutLocked, or TooManyOpenOrders. Whoever places for the same e-mail or network waits here until the
-- other has committed, and then counts what that one has placed; the locks end with the transaction. `p_replaces` is the open
-- order that the new one takes the place of.
create function admit_open_order_v1(
    p_cart_id text, p_email text, p_network text, p_replaces uuid, p_per_email integer, p_per_network integer, p_now timestamptz
) returns void language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    open_orders bigint;
    first_free timestamptz;
    locked_until timestamptz := checkout_locked_until_v1(p_cart_id, p_email, p_network, p_now);
begin
    if locked_until is not null then
        perform refuse_v1('CheckoutLocked',
            jsonb_build_object('retry_after_s', greatest(1, ceil(extract(epoch from locked_until - p_now)))::int));
    end if;
    -- Classes of their own, always e-mail before network: 7201 and 7202 name them, nothing else takes these numbers.
    perform pg_advisory_xact_lock(7201, hashtext(lower(p_email)));
    perform pg_advisory_xact_lock(7202, hashtext(p_network));
    select count(*), min(hold_expires_at) into open_orders, first_free from orders
        where lower(email) = lower(p_email) and id is distinct from p_replaces
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'));
    if open_orders >= p_per_email then
        perform refuse_v1('TooManyOpenOrders', jsonb_build_object('per', 'email', 'limit', p_per_email,
            'retry_after_s', greatest(1, ceil(extract(epoch from first_free - p_now)))::int));
    end if;
    select count(*), min(hold_expires_at) into open_orders, first_free from orders
        where client_network = p_network and id is distinct from p_replaces
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'));
    if open_orders >= p_per_network then
        perform refuse_v1('TooManyOpenOrders', jsonb_build_object('per', 'network', 'limit', p_per_network,
            'retry_after_s', greatest(1, ceil(extract(epoch from first_free - p_now)))::int));
    end if;
end $$;

-- First round trip of a checkout: the key is claimed, the cart quoted, an order of this cart version found, and whether
-- this buyer has to wait.
create function quote_checkout_v2(
    p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamptz, p_until timestamptz,
    p_cart_id text, p_cart_version integer, p_email text, p_network text, p_customer_id uuid
) returns jsonb language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    claim record;
begin
    select * into claim from claim_key_v1(p_scope, p_route, p_key, p_hash, p_token, p_now, p_until);
    if claim.state <> 'mine' then
        return jsonb_build_object('claim', to_jsonb(claim));
    end if;
    return jsonb_build_object(
        'claim', to_jsonb(claim),
        'cart', cart_json_v1(p_cart_id),
        'voucher', cart_voucher_v1(p_cart_id, p_email, p_customer_id),
        'locked_until', checkout_locked_until_v1(p_cart_id, p_email, p_network, p_now),
        'settings', (select value from shop_settings where id = 'shop'),
        'order', (select order_json_v2(o.id) from orders o
                  where o.cart_id = p_cart_id and o.cart_version = p_cart_version and o.status not in ('expired', 'cancelled')
                  order by o.placed_at desc limit 1));
end $$;

-- Second round trip of a checkout: cart, prices and stock are guarded, an open order of the cart is replaced, and the order
-- stands with its holds and its event. Locks: key, cart, open order, the client's e-mail and network, vouchers by id, stock.
-- `p_voucher_version` is that of the terms by which the order was priced. Returns {"order", "placed"}: placed is false where another request has placed this cart version already.
create function place_order_v2(
    p_scope text, p_route text, p_key text, p_token uuid,
    p_order jsonb, p_lines jsonb, p_event_id uuid, p_cancel_event_id uuid, p_actor text,
    p_open_per_email integer, p_open_per_network integer, p_voucher_id uuid, p_voucher_version integer, p_now timestamptz
) returns jsonb language plpgsql
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off set plan_cache_mode = force_generic_plan as $$
declare
    fresh orders;
    open_order orders;
    cart carts;
    changed jsonb;
    short jsonb;
    placed jsonb;
begin
    perform 1 from idempotency_keys where scope = p_scope and route = p_route and key = p_key and lease_token = p_token for update;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
    fresh := jsonb_populate_record(null::orders, p_order);
    select * into cart from carts where id = fresh.cart_id for update;
    if not found or cart.version <> fresh.cart_version then
        perform refuse_v1('CartChanged', jsonb_build_object('version', cart.version));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id and cart_version = fresh.cart_version and status not in ('expired', 'cancelled');
    if found then
        return jsonb_build_object('order', order_json_v2(open_order.id), 'placed', false);
    end if;
    -- The quote has looked as well, and much may have happened since: a bot check, another's turn.
    if not (select (value ->> 'orders_open')::boolean from shop_settings where id = 'shop') then
        perform refuse_v1('OrdersClosed');
    end if;

    -- Unlocked and cheap: a sold-out flash sale is refused before anything is written. What is no longer sold is not there.
    select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity, 'available', l.available) order by l.sku)
            filter (where l.available < l.quantity),
        jsonb_agg(jsonb_build_object('sku', l.sku, 'was', l.unit_price_minor, 'now', l.price_minor) order by l.sku)
            filter (where l.price_minor <> l.unit_price_minor or l.currency <> fresh.currency)
        into short, changed
        from (
            select l.sku, l.quantity, l.unit_price_minor, v.price_minor, v.currency,
                case when v.active and p.published_at is not null
                    then coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0) else 0 end as available
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer,
                unit_price_minor bigint)
            left join variants v on v.sku = l.sku
            left join products p on p.id = v.product_id
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            left join order_lines own on own.sku = l.sku and own.location = l.location and own.order_id = (
                select o.id from orders o where o.cart_id = fresh.cart_id and o.status = 'pending_payment')
        ) l;
    if short is not null then
        perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
    end if;
    if changed is not null then
        perform refuse_v1('PriceChanged', jsonb_build_object('lines', changed));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'))
        for update;
    if found then
        if open_order.status = 'on_hold' or exists (
            select 1 from capture_attempts where order_id = open_order.id and state in ('requested', 'pending', 'completed')) then
            perform refuse_v1('PaymentInProgress', jsonb_build_object('order_id', open_order.id));
        end if;
    end if;
    -- Here, because what comes next writes, and locks stock: nobody who waits for a client's turn keeps a row of stock.
    perform admit_open_order_v1(fresh.cart_id, fresh.email, fresh.client_network, open_order.id, p_open_per_email,
        p_open_per_network, p_now);
    if p_voucher_id is not null or open_order.voucher_code is not null then
        perform lock_vouchers_v1(open_order.id, p_voucher_id);
        perform release_voucher_v1(open_order.id, p_now);
        perform redeem_voucher_v1(p_voucher_id, p_voucher_version, fresh.email, fresh.customer_id, p_now);
    end if;
    if open_order.id is not null then
        -- One pass over both orders' stock in lock order, before either is touched.
        perform 1 from stock_levels s
            where (s.sku, s.location) in (
                select sku, location from order_lines where order_id = open_order.id
                union select l.sku, l.location from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C"))
            order by s.sku, s.location for update;
        perform release_stock_v1(open_order.id, open_order.number, 'cancel', p_actor, 'cart placed again', p_now);
        update orders set status = 'cancelled', status_reason = 'replaced', updated_at = p_now where id = open_order.id;
        insert into outbox (id, destination, name, payload, created_at)
        values (p_cancel_event_id, 'topic:orders', 'order.cancelled',
            jsonb_build_object('order', order_json_v2(open_order.id)), p_now);
    end if;

    insert into orders (id, number, cart_id, cart_version, status, email, customer_id, client_network, currency,
            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, shipping_tax_rate, voucher_code, placed_at, hold_expires_at, updated_at)
        values (fresh.id, fresh.number, fresh.cart_id, fresh.cart_version, 'pending_payment', fresh.email,
            fresh.customer_id, fresh.client_network, fresh.currency, fresh.subtotal_minor, fresh.discount_minor,
            fresh.shipping_minor, fresh.tax_minor, fresh.total_minor, fresh.shipping_address, fresh.shipping_option,
            fresh.prices_include_tax, fresh.shipping_tax_rate, fresh.voucher_code, fresh.placed_at, fresh.hold_expires_at,
            p_now);
    insert into order_lines (order_id, sku, location, position, name, options, quantity, unit_price_minor, total_minor,
            discount_minor, tax_minor, tax_class, tax_rate, held)
        select fresh.id, l.sku, l.location, l.position, l.name, l.options, l.quantity, l.unit_price_minor, l.total_minor,
            l.discount_minor, l.tax_minor, l.tax_class, l.tax_rate, l.quantity
        from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", position integer, name text, options jsonb,
            quantity integer, unit_price_minor bigint, total_minor bigint, discount_minor bigint, tax_minor bigint,
            tax_class text, tax_rate numeric);
    if p_voucher_id is not null then
        insert into voucher_redemptions (order_id, voucher_id, email, customer_id, state, redeemed_at, updated_at)
            values (fresh.id, p_voucher_id, lower(fresh.email), fresh.customer_id, 'redeemed', p_now, p_now);
    end if;
    -- Nothing but the holds, which everybody wants, comes after this: their rows stay locked for the commit alone.
    placed := order_json_v2(fresh.id);
    insert into outbox (id, destination, name, payload, created_at)
        values (p_event_id, 'topic:orders', 'order.placed', jsonb_build_object('order', placed), p_now);
    perform hold_stock_v1(fresh.id, fresh.number, p_lines, p_actor, 'checkout', p_now);
    return jsonb_build_object('order', placed, 'placed', true);
end $$;

-- Facts join the ledger, and whoever settles sees the whole situation. Locks: cart, order, and where the order would have to
-- take its stock again, its voucher and that stock by (sku, location). `p_facts` is a list of payment_facts rows; none is ever refused.
create function record_facts_v2(p_order_id uuid, p_facts jsonb, p_source text, p_now timestamptz) returns jsonb
language plpgsql as $$
declare
    locked orders;
    stock_is_there boolean := false;
begin
    perform 1 from carts where id = (select cart_id from orders where id = p_order_id) for update;
    select * into locked from orders where id = p_order_id for update;
    if not found then
        return null;
    end if;
    insert into payment_facts (kind, object_id, status, update_time, order_id, capture_id, amount_minor, currency,
            reversal, ours, occurred_at, recorded_at, source)
        select f.kind, f.object_id, f.status, f.update_time, p_order_id, f.capture_id, f.amount_minor, f.currency,
            f.reversal, f.ours, f.occurred_at, p_now, p_source
        from jsonb_to_recordset(p_facts) as f (kind text, object_id text, status text, update_time text, capture_id text,
            amount_minor bigint, currency text, reversal boolean, ours uuid, occurred_at timestamptz)
        on conflict on constraint payment_facts_unique do nothing;
    if locked.status = 'expired' or (locked.status = 'pending_payment' and exists (
            select 1 from order_lines where order_id = p_order_id and held < quantity)) then
        perform lock_vouchers_v1(p_order_id, null);
        perform 1 from stock_levels s join order_lines l on l.sku = s.sku and l.location = s.location
            where l.order_id = p_order_id order by s.sku, s.location for update of s;
        select coalesce(bool_and(coalesce(s.on_hand - s.held, 0) >= l.quantity - l.held), false) into stock_is_there
            from order_lines l left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.order_id = p_order_id;
    end if;
    return jsonb_build_object(
        'order', order_json_v2(p_order_id),
        'attempts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]')
                     from capture_attempts a where a.order_id = p_order_id),
        'facts', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                  from payment_facts f where f.order_id = p_order_id),
        'cart_is_taken', exists (
            select 1 from orders o where o.cart_id = locked.cart_id and o.id <> p_order_id
                and o.status not in ('expired', 'cancelled')),
        'stock_is_there', stock_is_there,
        'locked_until', checkout_locked_until_v1(locked.cart_id, locked.email, locked.client_network, p_now));
end $$;

grant execute on function checkout_locked_until_v1, admit_open_order_v1, quote_checkout_v2, place_order_v2, record_facts_v2
    to vitrine_checkout;
grant execute on function checkout_locked_until_v1, record_facts_v2 to vitrine_payment_jobs;
