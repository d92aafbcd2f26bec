-- A moment of publication may be still to come: a product is for sale, and found, from then on. These are the functions of before
-- with that one condition, by the clock of whoever asks.

comment on column products.published_at is 'it is sold from then on, and that may be still to come; null is not at all';

-- A cart as it stands against today's catalogue and stock; what its own open order holds counts as available to it.
create function cart_json_v2(p_id text, p_now timestamptz) returns jsonb language plpgsql stable
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off set plan_cache_mode = force_generic_plan as $$
begin return (
    select to_jsonb(c) || jsonb_build_object('lines', coalesce((
        select jsonb_agg(jsonb_build_object(
            'sku', l.sku, 'quantity', l.quantity, 'seen_price_minor', l.seen_price_minor, 'name', l.name,
            'product_name', p.name, 'slug', p.slug, 'options', coalesce(v.options, '{}'), 'price_minor', v.price_minor,
            'currency', v.currency, 'weight_g', v.weight_g, 'tax_class', v.tax_class,
            'sellable', coalesce(v.active and p.published_at <= p_now, false),
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

-- First round trip of a checkout: the key is claimed, the cart quoted, an order of this cart version found, and whether
-- this buyer has to wait.
create function quote_checkout_v3(
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
        'cart', cart_json_v2(p_cart_id, p_now),
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
create function place_order_v3(
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
                case when v.active and p.published_at <= p_now
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

-- Copies products as they are now; returns how many rows have changed. Whoever has locked a product's row here reads the product
-- after that, so events may come late, twice or in any order: the last writer has read last. A product that is gone keeps a row
-- of tier 9 for a while, or a reader of before could bring it back. `p_counting`: all their words are counted, by a rebuild.
create function project_products_v3(p_ids uuid[], p_counting boolean, p_now timestamptz) returns integer language plpgsql
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
    told uuid[];
    changed integer;
    gone integer;
begin
    insert into search_products (product_id, projected_at)
        select id, p_now from unnest(p_ids) as id group by id order by id
        on conflict do nothing;
    perform 1 from search_products where product_id = any (p_ids) order by product_id for update;

    delete from search_variants s where s.product_id = any (p_ids) and not exists (
        select from variants v join products p on p.id = v.product_id
        where v.sku = s.sku and v.product_id = s.product_id and v.active and p.published_at <= p_now);
    insert into search_variants as s (product_id, sku, folded, in_stock)
        select v.product_id, v.sku, fold_v1(v.sku), coalesce(l.on_hand > l.held, false)
        from variants v join products p on p.id = v.product_id
        left join stock_levels l on l.sku = v.sku and l.location = 'main'
        where v.product_id = any (p_ids) and v.active and p.published_at <= p_now
        on conflict (product_id, sku) do update set in_stock = excluded.in_stock where s.in_stock <> excluded.in_stock;

    select array_agg(s.product_id) into told from search_products s join products p on p.id = s.product_id
        where s.product_id = any (p_ids) and p.published_at <= p_now
            and (s.tier = 9 or s.source_updated_at is distinct from p.updated_at);
    with read as (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, o.sku, o.price_minor as offer_minor, o.in_stock,
            heat_v1(s.heat, popularity_v1(p.popularity, w.weight, p_now)) as heat,
            p.words || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description))
                || array_to_tsvector(array_remove(array['b:' || b.slug], null)
                    || coalesce((select array_agg('c:' || array_to_string(trim_array(levels, below), '/'))
                        from string_to_array(c.path, '/') as levels,
                            generate_series(0, cardinality(levels) - 1) as below), '{}')) as words
        from products p
        join search_products s on s.product_id = p.id
        cross join lateral (
            select sum(d.weight) as weight from variants v join search_popularity d on d.sku = v.sku
            where v.product_id = p.id) w
        left join brands b on b.id = p.brand_id
        left join categories c on c.id = p.category_id
        left join lateral (
            select v.sku, v.price_minor, coalesce(l.on_hand > l.held, false) as in_stock
            from variants v left join stock_levels l on l.sku = v.sku and l.location = 'main'
            where v.product_id = p.id and v.active
            order by 3 desc, v.price_minor, v.position, v.sku limit 1) o on true
        where p.id = any (p_ids) and p.published_at <= p_now
    ), stood as (
        select read.*, (heat::bigint << 23) + (('x' || right(id::text, 6))::bit(24)::bigint >> 1) as standing from read
    ), ranked as (
        select stood.*, t.tier, (t.tier::bigint << 32) + 2147483647 - standing as place
        from stood, lateral (select min(tier) as tier from search_tiers where standing_from <= standing) t
    )
    update search_products s set
        slug = r.slug, sku = coalesce(r.sku, ''), name = r.name, brand_id = r.brand_id, brand_slug = r.brand_slug,
        brand_name = r.brand_name, category_id = r.category_id, category_path = r.category_path,
        category_name = r.category_name, price_minor = r.price_minor, offer_minor = coalesce(r.offer_minor, r.price_minor),
        currency = r.currency, in_stock = coalesce(r.in_stock, false), image_url = r.image_url, created_at = r.created_at,
        heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words,
        search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
    from ranked r
    where s.product_id = r.id and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.tier, s.place, s.brand_slug,
            s.brand_name, s.category_path, s.category_name, s.words)
        is distinct from (r.updated_at, coalesce(r.sku, ''), coalesce(r.offer_minor, r.price_minor),
            coalesce(r.in_stock, false), r.tier, r.place, r.brand_slug, r.brand_name, r.category_path, r.category_name,
            r.words);
    get diagnostics changed = row_count;
    update search_products s set tier = 9, heat = null, words = '', search_text = '', source_updated_at = null,
            projected_at = p_now
        where s.product_id = any (p_ids) and s.tier <> 9
            and not exists (select from products p where p.id = s.product_id and p.published_at <= p_now);
    get diagnostics gone = row_count;
    if told is not null or p_counting then
        perform learn_words_v1(coalesce(told, '{}'), case when p_counting then p_ids else told end);
    end if;
    return changed + gone;
end $$;

grant execute on function cart_json_v2, quote_checkout_v3, place_order_v3 to vitrine_checkout;
grant execute on function project_products_v3 to vitrine_search_jobs;
