-- Steps that must be one round trip. A guard that fails raises VT001 with the error's name as message and its data as detail.
--
-- Where a handful of lines meets a whole catalogue, the function plans nested loops over keys and nothing else (`set
-- enable_hashjoin = off` and its like): PostgreSQL believes that jsonb gives 100 rows, and of a young table anything, and would
-- read every variant and stock level there is for a cart of three. `set plan_cache_mode = force_generic_plan` keeps the plans of a
-- checkout's round trips: planning them anew costs more than running them.

create function refuse_v1(name text, data jsonb default '{}') returns void language plpgsql as $$
begin
    raise exception using errcode = 'VT001', message = name, detail = data::text;
end $$;

-- What full text finds of a product. SKUs are not among it: they share beginnings, so that `ice` would be every product of
-- a shop whose SKUs begin with ICE-; trigrams of products.search_text find them.
create function product_words_v1(name text, brand text, categories text, description text)
returns tsvector language sql immutable parallel safe as $$
    select setweight(to_tsvector('public.shop', name), 'A')
        || setweight(to_tsvector('public.shop', brand), 'B')
        || setweight(to_tsvector('public.shop', categories), 'C')
        || setweight(to_tsvector('public.shop', description), 'D')
$$;

-- Idempotency keys: insert, take over an expired lease, or say what is there (DESIGN.md rule 10).
create function claim_key_v1(
    p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamptz, p_until timestamptz,
    out state text, out answer_status integer, out answer_body text
) language plpgsql as $$
declare
    found_key idempotency_keys;
begin
    insert into idempotency_keys as k (scope, route, key, request_hash, lease_token, leased_until, created_at)
    values (p_scope, p_route, p_key, p_hash, p_token, p_until, p_now)
    on conflict (scope, route, key) do update
        set lease_token = p_token, leased_until = p_until, request_hash = p_hash,
            answer_status = null, answer_body = null,
            created_at = case when k.created_at <= p_now - interval '48 hours' then p_now else k.created_at end
        where k.created_at <= p_now - interval '48 hours'
            or (k.request_hash = p_hash and k.answer_status is null and (k.leased_until is null or k.leased_until <= p_now
                    or k.lease_token = p_token));
    if found then
        state := 'mine';
        return;
    end if;
    select * into found_key from idempotency_keys where scope = p_scope and route = p_route and key = p_key;
    if found_key.request_hash is distinct from p_hash then
        state := 'reused';
    elsif found_key.answer_status is not null then
        state := 'answered';
        answer_status := found_key.answer_status;
        answer_body := found_key.answer_body;
    else
        state := 'in_flight';
    end if;
end $$;

-- The answer is stored by the transaction that has the effect, and only by the lease's owner.
create function store_answer_v1(p_scope text, p_route text, p_key text, p_token uuid, p_status integer, p_body text)
returns void language plpgsql as $$
begin
    update idempotency_keys
        set answer_status = p_status, answer_body = p_body, lease_token = null, leased_until = null
        where scope = p_scope and route = p_route and key = p_key and lease_token = p_token;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
end $$;

-- An order with its lines and refunds, as events freeze it and as the code reads it.
create function order_json_v1(p_id uuid) returns jsonb language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(o) || jsonb_build_object(
        'lines', (select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' order by l.position), '[]')
                  from order_lines l where l.order_id = o.id),
        'refunds', (select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' order by r.requested_at, r.id), '[]')
                    from refunds r where r.order_id = o.id),
        'attempt', (select to_jsonb(a) - 'order_id' from capture_attempts a
                    where a.order_id = o.id order by a.requested_at desc, a.id limit 1))
    from orders o where o.id = p_id);
end $$;

-- A cart as it stands against today's catalogue and stock; what its own open order holds counts as available to it.
create function cart_json_v1(p_id text) returns jsonb language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(c) || jsonb_build_object('lines', coalesce((
        select jsonb_agg(jsonb_build_object(
            'sku', l.sku, 'quantity', l.quantity, 'seen_price_minor', l.seen_price_minor, 'name', l.name,
            'product_name', p.name, 'slug', p.slug, 'options', coalesce(v.options, '{}'), 'price_minor', v.price_minor,
            'currency', v.currency, 'weight_g', v.weight_g, 'tax_class', v.tax_class,
            'sellable', coalesce(v.active and p.published_at is not null, false),
            'available', coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0)) order by l.added_at, l.sku)
        from cart_lines l
        left join variants v on v.sku = l.sku
        left join products p on p.id = v.product_id
        left join stock_levels s on s.sku = l.sku and s.location = 'main'
        left join orders o on o.cart_id = c.id and o.status = 'pending_payment'
        left join order_lines own on own.order_id = o.id and own.sku = l.sku
        where l.cart_id = c.id), '[]'))
    from carts c where c.id = p_id);
end $$;

-- First round trip of a checkout: the key is claimed, the cart quoted, an order of this cart version found.
create function quote_checkout_v1(
    p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamptz, p_until timestamptz,
    p_cart_id text, p_cart_version integer
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
        'settings', (select value from shop_settings where id = 'shop'),
        'order', (select order_json_v1(o.id) from orders o
                  where o.cart_id = p_cart_id and o.cart_version = p_cart_version and o.status not in ('expired', 'cancelled')
                  order by o.placed_at desc limit 1));
end $$;

-- Give back what the lines of an order hold or have allocated; `p_kind` is release, expire or cancel. The caller holds the
-- order's lock and, where it locks more stock, has taken all of it in (sku, location) order before.
create function release_stock_v1(p_order_id uuid, p_number text, p_kind text, p_actor text, p_reason text, p_now timestamptz)
returns void language plpgsql as $$
declare
    line record;
begin
    for line in
        select sku, location, held + allocated as units from order_lines
        where order_id = p_order_id and held + allocated > 0 order by sku, location
    loop
        update stock_levels set held = held - line.units where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        values (p_now, line.sku, line.location, p_kind, 0, -line.units, p_order_id, p_number, p_actor, p_reason);
    end loop;
    update order_lines set
        expired = expired + case when p_kind = 'expire' then held + allocated else 0 end,
        released = released + case when p_kind = 'expire' then 0 else held + allocated end,
        held = 0, allocated = 0
    where order_id = p_order_id and held + allocated > 0;
end $$;

-- Hold every line of an order, in (sku, location) order; all or OutOfStock naming every short line. `p_lines` is
-- [{"sku", "location", "quantity"}]. The contended rows are taken last in the transaction.
create function hold_stock_v1(p_order_id uuid, p_number text, p_lines jsonb, p_actor text, p_reason text, p_now timestamptz)
returns void language plpgsql as $$
declare
    line record;
    short jsonb;
begin
    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
    select p_now, l.sku, l.location, 'hold', 0, l.quantity, p_order_id, p_number, p_actor, p_reason
    from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer) order by l.sku, l.location;
    for line in
        select l.sku, l.location, l.quantity from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer)
        order by l.sku, l.location
    loop
        update stock_levels set held = held + line.quantity
            where sku = line.sku and location = line.location and on_hand - held >= line.quantity;
        if not found then
            select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity,
                    'available', coalesce(s.on_hand - s.held, 0)) order by l.sku)
            into short
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer)
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.sku >= line.sku and (l.sku = line.sku or coalesce(s.on_hand - s.held, 0) < l.quantity);
            perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
        end if;
    end loop;
end $$;

-- Second round trip of a checkout: cart, prices and stock are guarded, an open order of the cart is replaced, and the order
-- stands with its holds and its event. Locks: key, cart, open order, stock. Returns {"order", "placed"}: placed is false
-- where another request has placed this cart version already.
create function place_order_v1(
    p_scope text, p_route text, p_key text, p_token uuid,
    p_order jsonb, p_lines jsonb, p_event_id uuid, p_cancel_event_id uuid, p_actor text, p_now timestamptz
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
        return jsonb_build_object('order', order_json_v1(open_order.id), 'placed', false);
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
            jsonb_build_object('order', order_json_v1(open_order.id)), p_now);
    end if;

    insert into orders (id, number, cart_id, cart_version, status, email, customer_id, client_network, currency,
            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, placed_at, hold_expires_at, updated_at)
        values (fresh.id, fresh.number, fresh.cart_id, fresh.cart_version, 'pending_payment', fresh.email,
            fresh.customer_id, fresh.client_network, fresh.currency, fresh.subtotal_minor, fresh.discount_minor,
            fresh.shipping_minor, fresh.tax_minor, fresh.total_minor, fresh.shipping_address, fresh.shipping_option,
            fresh.prices_include_tax, fresh.placed_at, fresh.hold_expires_at, p_now);
    insert into order_lines (order_id, sku, location, position, name, options, quantity, unit_price_minor, total_minor,
            tax_minor, tax_class, held)
        select fresh.id, l.sku, l.location, l.position, l.name, l.options, l.quantity, l.unit_price_minor, l.total_minor,
            l.tax_minor, l.tax_class, l.quantity
        from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", position integer, name text, options jsonb,
            quantity integer, unit_price_minor bigint, total_minor bigint, tax_minor bigint, tax_class text);
    -- Nothing but the holds, which everybody wants, comes after this: their rows stay locked for the commit alone.
    placed := order_json_v1(fresh.id);
    insert into outbox (id, destination, name, payload, created_at)
        values (p_event_id, 'topic:orders', 'order.placed', jsonb_build_object('order', placed), p_now);
    perform hold_stock_v1(fresh.id, fresh.number, p_lines, p_actor, 'checkout', p_now);
    return jsonb_build_object('order', placed, 'placed', true);
end $$;

-- Third round trip of a checkout: PayPal's order is written down and the answer stored; events that this request has
-- published meanwhile are marked in passing. The answer was made from an order of that status with that PayPal order, so
-- it is stored only while both are so: what was replaced or cancelled meanwhile is OrderMoved.
create function await_approval_v1(
    p_scope text, p_route text, p_key text, p_token uuid, p_status integer, p_body text,
    p_order_id uuid, p_order_status text, p_replaces text, p_paypal_order_id text, p_approve_url text, p_published uuid[],
    p_now timestamptz
) returns void language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
    locked orders;
begin
    perform store_answer_v1(p_scope, p_route, p_key, p_token, p_status, p_body);
    select * into locked from orders where id = p_order_id for update;
    if locked.status <> p_order_status or (locked.paypal_order_id is distinct from p_replaces
            and locked.paypal_order_id is distinct from p_paypal_order_id) then
        perform refuse_v1('OrderMoved', jsonb_build_object('status', locked.status));
    end if;
    if (locked.paypal_order_id, locked.approve_url) is distinct from (p_paypal_order_id, p_approve_url) then
        update orders set paypal_order_id = p_paypal_order_id, approve_url = p_approve_url, updated_at = p_now
            where id = p_order_id;
    end if;
    update outbox set published_at = p_now where id = any (p_published) and published_at is null;
end $$;

-- Facts join the ledger, and whoever settles sees the whole situation. Locks: cart, order, and where the order would have to
-- take its stock again, that stock by (sku, location). `p_facts` is a list of payment_facts rows; none is ever refused.
create function record_facts_v1(p_order_id uuid, p_facts jsonb, p_source text, p_now timestamptz) returns jsonb
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
        perform 1 from stock_levels s join order_lines l on l.sku = s.sku and l.location = s.location
            where l.order_id = p_order_id order by s.sku, s.location for update of s;
        select coalesce(bool_and(coalesce(s.on_hand - s.held, 0) >= l.quantity - l.held), false) into stock_is_there
            from order_lines l left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.order_id = p_order_id;
    end if;
    return jsonb_build_object(
        'order', order_json_v1(p_order_id),
        'attempts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]')
                     from capture_attempts a where a.order_id = p_order_id),
        'facts', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                  from payment_facts f where f.order_id = p_order_id),
        'cart_is_taken', exists (
            select 1 from orders o where o.cart_id = locked.cart_id and o.id <> p_order_id
                and o.status not in ('expired', 'cancelled')),
        'stock_is_there', stock_is_there);
end $$;

-- What an order holds becomes what it will ship; held does not move, the movement says when and for whom.
create function allocate_stock_v1(p_order_id uuid, p_number text, p_now timestamptz) returns void language plpgsql as $$
begin
    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        select p_now, sku, location, 'allocate', 0, 0, p_order_id, p_number, 'paypal', 'paid'
        from order_lines where order_id = p_order_id and held > 0 order by sku, location;
    update order_lines set allocated = allocated + held, held = 0 where order_id = p_order_id and held > 0;
end $$;

-- An expired order whose money came after all takes its stock again; the caller has locked it and seen that it is there.
create function take_stock_again_v1(p_order_id uuid, p_number text, p_now timestamptz) returns void language plpgsql as $$
begin
    perform hold_stock_v1(p_order_id, p_number,
        (select jsonb_agg(jsonb_build_object('sku', sku, 'location', location, 'quantity', quantity - held))
         from order_lines where order_id = p_order_id and held < quantity),
        'paypal', 'paid late', p_now);
    update order_lines set held = quantity, expired = 0, released = 0 where order_id = p_order_id;
    perform allocate_stock_v1(p_order_id, p_number, p_now);
end $$;
