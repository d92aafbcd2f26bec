-- Shipments: units of an order that travel together. The states of a label are there for those who buy one.

create table shipments (
    id uuid primary key,
    order_id uuid not null,
    state text not null,
    carrier text,
    tracking_number text,
    created_at timestamptz not null,
    created_by text not null,
    shipped_at timestamptz,
    delivered_at timestamptz,
    updated_at timestamptz not null,
    paypal_state text,
    paypal_refusal text,
    paypal_looked_at timestamptz,
    constraint shipments_order foreign key (order_id) references orders (id),
    constraint shipments_state_known check (state in ('draft', 'label_requested', 'label_purchased', 'voided',
        'in_transit', 'delivered', 'exception', 'returned', 'cancelled')),
    constraint shipments_handed_over_at check (
        (state in ('in_transit', 'delivered', 'exception', 'returned')) = (shipped_at is not null)),
    constraint shipments_handed_over_by_number check (
        shipped_at is null or (carrier is not null and tracking_number is not null)),
    constraint shipments_delivered_at check ((state = 'delivered') = (delivered_at is not null)),
    constraint shipments_paypal_state_known check (paypal_state in ('due', 'told', 'refused')),
    constraint shipments_paypal_knows_the_handed_over check ((shipped_at is null) = (paypal_state is null)),
    constraint shipments_paypal_looked_at check ((paypal_state is null) = (paypal_looked_at is null)),
    constraint shipments_of_order unique (id, order_id)
);
comment on column shipments.paypal_state is 'of the tracking number: due to be told to PayPal, told, or refused by it for good';
comment on column shipments.paypal_looked_at is 'when its task was last woken: a sweep begins with others';
create index shipments_order on shipments (order_id);
create index shipments_newest on shipments (created_at, id);
create index shipments_untold on shipments (paypal_looked_at) where paypal_state = 'due';

create table shipment_lines (
    shipment_id uuid not null,
    order_id uuid not null,
    sku text collate "C" not null,
    quantity integer not null,
    primary key (shipment_id, sku),
    constraint shipment_lines_shipment foreign key (shipment_id, order_id) references shipments (id, order_id),
    constraint shipment_lines_order_line foreign key (order_id, sku) references order_lines (order_id, sku),
    constraint shipment_lines_quantity_positive check (quantity > 0)
);
create index shipment_lines_order_line on shipment_lines (order_id, sku);

-- order_json_v1 and the order's shipments, oldest first.
create function order_json_v2(p_id uuid) returns jsonb language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
begin return order_json_v1(p_id) || jsonb_build_object(
    'shipments', (select coalesce(jsonb_agg(jsonb_build_object(
            'id', s.id, 'order_id', s.order_id, 'state', s.state, 'carrier', s.carrier,
            'tracking_number', s.tracking_number, 'created_at', s.created_at, 'shipped_at', s.shipped_at,
            'delivered_at', s.delivered_at,
            'lines', (select coalesce(jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity) order by l.sku), '[]')
                      from shipment_lines l where l.shipment_id = s.id)) order by s.created_at, s.id), '[]')
        from shipments s where s.order_id = p_id));
end $$;

-- Units leave the house: on_hand and held fall in one movement. `p_lines` is [{"sku", "quantity"}]. Locks: order, stock by
-- (sku, location); whoever has locked the order before, and the shipment after it, keeps the one order of locks.
create function ship_stock_v1(p_order_id uuid, p_lines jsonb, p_actor text, p_reason text, p_now timestamptz)
returns void language plpgsql as $$
declare
    locked orders;
    short jsonb;
    line record;
begin
    select * into locked from orders where id = p_order_id for update;
    if locked.status not in ('paid', 'fulfilling') then
        perform refuse_v1('NotShippable', jsonb_build_object('status', locked.status));
    end if;
    select jsonb_agg(jsonb_build_object('sku', w.sku, 'wanted', w.quantity, 'available', coalesce(l.allocated, 0))
            order by w.sku)
        into short
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        left join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        where coalesce(l.allocated, 0) < w.quantity;
    if short is not null then
        perform refuse_v1('NotAllocated', jsonb_build_object('lines', short));
    end if;
    update order_lines l set allocated = l.allocated - w.quantity, consumed = l.consumed + w.quantity
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        where l.order_id = p_order_id and l.sku = w.sku;
    for line in
        select l.sku, l.location, w.quantity
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        order by l.sku, l.location
    loop
        update stock_levels set on_hand = on_hand - line.quantity, held = held - line.quantity
            where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        values (p_now, line.sku, line.location, 'ship', -line.quantity, -line.quantity, p_order_id, locked.number,
            p_actor, p_reason);
    end loop;
end $$;

-- A buyer sees what is on its way; a cancelled order takes its drafts with it.
grant select, update on shipments to vitrine_checkout;
grant select on shipment_lines to vitrine_checkout;
grant execute on function order_json_v2 to vitrine_checkout;

-- payment_jobs tells PayPal the number, too.
grant select, update on shipments to vitrine_payment_jobs;
grant select on shipment_lines to vitrine_payment_jobs;
grant execute on function order_json_v2 to vitrine_payment_jobs;

-- inventory hands over.
grant select on refunds, capture_attempts to vitrine_inventory;
grant update on orders, order_lines to vitrine_inventory;
grant select, insert, update on shipments to vitrine_inventory;
grant select, insert on shipment_lines to vitrine_inventory;
grant execute on function order_json_v1, order_json_v2, ship_stock_v1 to vitrine_inventory;

-- The desk sees what left, and cancels the drafts of an order that it cancels.
grant select, update on shipments to vitrine_desk;
grant select on shipment_lines to vitrine_desk;
grant execute on function order_json_v2 to vitrine_desk;
