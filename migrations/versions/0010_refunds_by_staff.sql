-- Refunds that staff ask for: what they are for, which failed one they take up again, and the guard of their amount.

alter table refunds
    add column lines jsonb not null default '[]',
    add column shipping_minor bigint not null default 0,
    add column retries uuid,
    add constraint refunds_retries foreign key (retries) references refunds (id) not valid,
    add constraint refunds_shipping_within check (shipping_minor between 0 and amount_minor) not valid;
comment on column refunds.lines is '[{sku, quantity, amount_minor, tax_minor, restock}]; what of the amount is in no line and not shipping is free';

create table order_notes (
    id uuid primary key,
    order_id uuid not null,
    at timestamptz not null,
    author text not null,
    words text not null,
    constraint order_notes_order foreign key (order_id) references orders (id),
    constraint order_notes_not_empty check (words <> '')
);
create index order_notes_order on order_notes (order_id, at, id);

-- What of a capture neither went back nor is on its way, by the ledger's facts and our own open rows.
create function refundable_v1(p_capture_id text) returns bigint language sql stable as $$
    select coalesce((
            select max(f.amount_minor) from payment_facts f
            where f.provider = 'paypal' and f.kind = 'capture' and f.object_id = p_capture_id
                and f.status in ('COMPLETED', 'PARTIALLY_REFUNDED', 'REFUNDED')), 0)
        - coalesce((
            select sum(g.amount) from (
                select max(f.amount_minor) as amount, bool_or(f.status = 'COMPLETED') as done,
                    bool_or(f.status in ('FAILED', 'CANCELLED')) as ended,
                    bool_or(exists (select 1 from refunds r where r.id = f.ours)) as is_ours
                from payment_facts f where f.kind = 'refund' and f.capture_id = p_capture_id group by f.object_id) g
            where g.done or not (g.ended or g.is_ours)), 0)
        - coalesce((
            select sum(r.amount_minor) from refunds r
            where r.capture_id = p_capture_id and r.state in ('requested', 'pending') and not exists (
                select 1 from payment_facts f where f.kind = 'refund' and f.capture_id = p_capture_id and f.ours = r.id
                    and f.status = 'COMPLETED')), 0)
$$;

-- A refund's row, as jsonb of its columns; the caller holds the order's lock. Where somebody asks for it, it may not exceed
-- what is left of the capture: RefundTooLarge.
create function request_refund_v1(p_refund jsonb, p_guarded boolean, p_now timestamptz) returns void
language plpgsql as $$
declare
    asked refunds;
    left_minor bigint;
begin
    asked := jsonb_populate_record(null::refunds, p_refund);
    if p_guarded then
        left_minor := refundable_v1(asked.capture_id);
        if asked.amount_minor > left_minor then
            perform refuse_v1('RefundTooLarge', jsonb_build_object('left_minor', greatest(left_minor, 0)));
        end if;
    end if;
    insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, requested_at, requested_by,
            updated_at, lines, shipping_minor, retries)
        values (asked.id, asked.order_id, asked.capture_id, asked.kind, asked.amount_minor, asked.currency, asked.reason,
            'requested', p_now, asked.requested_by, p_now, asked.lines, asked.shipping_minor, asked.retries);
end $$;

-- Units that an order gives up: `p_lines` is [{"sku", "released", "returned"}]. Released ones were still here, and are free;
-- returned ones had left, and are on the shelf again. The caller holds the order's lock; stock goes by (sku, location).
create function restock_v1(
    p_order_id uuid, p_number text, p_lines jsonb, p_actor text, p_reason text, p_now timestamptz
) returns void language plpgsql as $$
declare
    line record;
begin
    for line in
        select o.sku, o.location, w.released, w.returned
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", released integer, returned integer)
        join order_lines o on o.order_id = p_order_id and o.sku = w.sku
        order by o.sku, o.location
    loop
        update order_lines set
            held = held - greatest(line.released - allocated, 0),
            allocated = allocated - least(line.released, allocated),
            released = released + line.released,
            returned = returned + line.returned
        where order_id = p_order_id and sku = line.sku;
        update stock_levels set held = held - line.released, on_hand = on_hand + line.returned
            where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        select p_now, line.sku, line.location, m.kind, m.on_hand, m.held, p_order_id, p_number, p_actor, p_reason
        from (values ('release', 0, -line.released), ('return', line.returned, 0)) as m (kind, on_hand, held)
        where m.on_hand <> 0 or m.held <> 0;
    end loop;
end $$;

-- An order as settling sees it, for those who have no facts to tell. Locks: cart, order, and of an order on hold that would
-- have to take its stock again, its voucher and that stock by (sku, location).
create function lock_order_v1(p_order_id uuid) returns jsonb language plpgsql as $$
declare
    locked orders;
    stock_is_there boolean := false;
begin
    perform 1 from carts where id = (select cart_id from orders where id = p_order_id) for update;
    select * into locked from orders where id = p_order_id for update;
    if not found then
        return null;
    end if;
    if locked.status = 'on_hold' and exists (
            select 1 from order_lines where order_id = p_order_id and held + allocated + consumed < quantity) then
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
        'locked_until', null);
end $$;

-- The desk: it reads all of an order, and moves its money and stock by the functions that guard them; facts it cannot write.
grant select on payment_facts, capture_attempts to vitrine_desk;
grant select, update on carts, orders, order_lines, stock_levels to vitrine_desk;
grant select, delete on cart_lines to vitrine_desk;
grant update on checkout_lockouts to vitrine_desk;
grant select, insert on refunds, stock_movements, order_notes to vitrine_desk;
grant execute on function order_json_v1, lock_order_v1, refundable_v1, request_refund_v1, restock_v1, release_stock_v1,
    hold_stock_v1, allocate_stock_v1, take_stock_again_v1 to vitrine_desk;

-- Whoever settles asks for refunds.
grant execute on function refundable_v1, request_refund_v1 to vitrine_checkout, vitrine_payment_jobs;
