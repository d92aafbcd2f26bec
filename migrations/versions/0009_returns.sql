-- Returns: units that left come back. Their rows are written under the order's lock.

do $$
begin
    create role vitrine_support nologin;
exception when duplicate_object or unique_violation then null;
end $$;

create table returns (
    id uuid primary key,
    order_id uuid not null,
    state text not null,
    note text not null default '',
    requested_at timestamptz not null,
    requested_by text not null,
    decided_at timestamptz,
    rejection text,
    received_at timestamptz,
    closed_at timestamptz,
    refund_id uuid,
    updated_at timestamptz not null,
    constraint returns_order foreign key (order_id) references orders (id),
    constraint returns_refund foreign key (refund_id) references refunds (id),
    constraint returns_refund_unique unique (refund_id),
    constraint returns_state_known check (state in ('requested', 'approved', 'rejected', 'received', 'closed')),
    constraint returns_decided_at check ((state = 'requested') = (decided_at is null)),
    constraint returns_rejected_say_why check ((state = 'rejected') = (rejection is not null)),
    constraint returns_received_at check ((state in ('received', 'closed')) = (received_at is not null)),
    constraint returns_closed_at check ((state = 'closed') = (closed_at is not null)),
    constraint returns_refund_what_came check (refund_id is null or received_at is not null),
    constraint returns_of_order unique (id, order_id)
);
create index returns_order on returns (order_id);
create index returns_newest on returns (requested_at, id);
create index returns_state on returns (state, requested_at, id);

create table return_lines (
    return_id uuid not null,
    order_id uuid not null,
    sku text collate "C" not null,
    quantity integer not null,
    reason text not null,
    primary key (return_id, sku),
    constraint return_lines_return foreign key (return_id, order_id) references returns (id, order_id),
    constraint return_lines_order_line foreign key (order_id, sku) references order_lines (order_id, sku),
    constraint return_lines_quantity_positive check (quantity > 0)
);
create index return_lines_order_line on return_lines (order_id, sku);

create table return_receipts (
    return_id uuid not null,
    position integer not null,
    sku text collate "C" not null,
    quantity integer not null,
    condition text not null,
    restock boolean not null,
    primary key (return_id, position),
    constraint return_receipts_line foreign key (return_id, sku) references return_lines (return_id, sku),
    constraint return_receipts_quantity_positive check (quantity > 0)
);

-- The returns of an order, the oldest first.
create function returns_json_v1(p_order_id uuid) returns jsonb language plpgsql stable as $$
begin return (
    select coalesce(jsonb_agg(to_jsonb(r) || jsonb_build_object(
            'lines', (select coalesce(jsonb_agg(to_jsonb(l) - 'return_id' - 'order_id' order by l.sku), '[]')
                      from return_lines l where l.return_id = r.id),
            'receipts', (select coalesce(jsonb_agg(to_jsonb(c) - 'return_id' - 'position' order by c.position), '[]')
                         from return_receipts c where c.return_id = r.id)) order by r.requested_at, r.id), '[]')
    from returns r where r.order_id = p_order_id);
end $$;

-- Units are back: counted with their line, and on the shelf again where they are to be sold. `p_lines` is [{"sku",
-- "quantity", "restock"}]. The caller has locked the order; stock is taken by (sku, location).
create function receive_stock_v1(p_order_id uuid, p_lines jsonb, p_actor text, p_reason text, p_now timestamptz)
returns void language plpgsql as $$
declare
    locked orders;
    over jsonb;
    line record;
begin
    select * into locked from orders where id = p_order_id for update;
    select jsonb_agg(jsonb_build_object('sku', w.sku, 'wanted', w.quantity,
            'returnable', coalesce(l.consumed - l.returned, 0)) order by w.sku)
        into over
        from (select sku, sum(quantity)::int as quantity
              from jsonb_to_recordset(p_lines) as e (sku text collate "C", quantity integer) group by sku) w
        left join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        where coalesce(l.consumed - l.returned, 0) < w.quantity;
    if over is not null then
        perform refuse_v1('NotReturnable', jsonb_build_object('lines', over));
    end if;
    for line in
        select l.sku, l.location, sum(w.quantity)::int as units,
            coalesce(sum(w.quantity) filter (where w.restock), 0)::int as restocked
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer, restock boolean)
        join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        group by l.sku, l.location order by l.sku, l.location
    loop
        update order_lines set returned = returned + line.units where order_id = p_order_id and sku = line.sku;
        if line.restocked > 0 then
            update stock_levels set on_hand = on_hand + line.restocked where sku = line.sku and location = line.location;
            insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor,
                reason)
            values (p_now, line.sku, line.location, 'return', line.restocked, 0, p_order_id, locked.number, p_actor,
                p_reason);
        end if;
    end loop;
end $$;

-- support, of buyers: they ask for a return of what they hold the order's token of.
grant select on shop_settings, order_lines, refunds, capture_attempts, shipments, shipment_lines, return_receipts
    to vitrine_support;
grant select, update (updated_at) on orders to vitrine_support; -- to lock the row takes a column
grant select, insert, update on idempotency_keys, outbox to vitrine_support;
grant select, insert on returns, return_lines to vitrine_support;
grant insert on audit_log to vitrine_support;
grant execute on function refuse_v1, claim_key_v1, store_answer_v1, order_json_v1, order_json_v2, returns_json_v1
    to vitrine_support;

-- desk, of returns: decided, received, refunded.
grant select on refunds, capture_attempts, return_lines to vitrine_desk;
grant select, update on orders, order_lines, stock_levels, returns to vitrine_desk;
grant select, insert on stock_movements, return_receipts to vitrine_desk;
grant execute on function order_json_v1, returns_json_v1, receive_stock_v1 to vitrine_desk;
