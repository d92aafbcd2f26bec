-- Grants belong to NOLOGIN roles; every deployment's login is a member of one (functions/deployments.yaml says the same).
-- Roles are the cluster's: a second database, or a second migration at the same moment, finds them made.

do $$
declare
    role text;
begin
    foreach role in array array['search', 'checkout', 'payment_jobs', 'webhooks', 'inventory', 'notify'] loop
        begin
            execute format('create role vitrine_%s nologin', role);
        exception when duplicate_object or unique_violation then null;
        end;
    end loop;
end $$;

do $$
declare
    f record;
begin
    -- Extensions keep theirs: pg_trgm's operators must stay usable in queries.
    for f in select p.oid::regprocedure as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace
            and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute format('revoke execute on function %s from public', f.name);
    end loop;
end $$;
alter default privileges revoke execute on functions from public;

-- webhooks: records what vendors tell, and hands it over.
grant select, insert on webhook_events to vitrine_webhooks;
grant select, insert, update on webhook_refusals to vitrine_webhooks;
grant select, insert, update on outbox to vitrine_webhooks;
grant select (id), update (state, next_attempt_at, vendor_message_id, failure, updated_at) on mails to vitrine_webhooks;
grant select, insert on mail_events to vitrine_webhooks;

-- payment_jobs, of webhooks: applies what was recorded.
grant select, update on webhook_events to vitrine_payment_jobs;

-- checkout: carts, placing, the buyer's own captures and cancels.
grant select on sessions, shop_settings, products, variants to vitrine_checkout;
grant select, insert, update on idempotency_keys, carts, orders, order_lines, capture_attempts, refunds, outbox
    to vitrine_checkout;
grant select, insert, update, delete on cart_lines to vitrine_checkout;
grant select, update on stock_levels to vitrine_checkout;
grant insert on stock_movements to vitrine_checkout;
grant select, insert on payment_facts to vitrine_checkout;
grant execute on function refuse_v1, claim_key_v1, store_answer_v1, order_json_v1, cart_json_v1, quote_checkout_v1,
    release_stock_v1, hold_stock_v1, place_order_v1, await_approval_v1, record_facts_v1, allocate_stock_v1,
    take_stock_again_v1 to vitrine_checkout;

-- payment_jobs: what finishes, follows and expires.
grant select, update on carts, orders, order_lines, stock_levels to vitrine_payment_jobs;
grant select, delete on cart_lines to vitrine_payment_jobs;
grant select, update, delete on idempotency_keys to vitrine_payment_jobs;
grant select, insert, update on capture_attempts, refunds, outbox to vitrine_payment_jobs;
grant insert on stock_movements to vitrine_payment_jobs;
grant select, insert on payment_facts to vitrine_payment_jobs;
grant execute on function refuse_v1, order_json_v1, release_stock_v1, hold_stock_v1, record_facts_v1, allocate_stock_v1,
    take_stock_again_v1 to vitrine_payment_jobs;

-- notify: the relay sweeps the outbox of everybody; mails are rows.
grant select, update, delete on outbox to vitrine_notify;
grant select, insert, delete on inbox to vitrine_notify;
grant select, insert, update on mails to vitrine_notify;

-- search: reads the catalogue and what is in stock, nothing else.
grant select on brands, categories, products, slug_history, variants, stock_levels to vitrine_search;
grant execute on function fold_v1 to vitrine_search;

-- inventory, of the catalogue: the import.
grant select on shop_settings, orders, order_lines to vitrine_inventory;
grant select, insert on brands, categories to vitrine_inventory;
grant select, insert, update, delete on products, slug_history to vitrine_inventory;
grant select, insert, update on variants, stock_levels to vitrine_inventory;
grant insert on stock_movements to vitrine_inventory;
grant execute on function fold_v1, product_words_v1 to vitrine_inventory;

-- inventory, of stock and settings: what staff read and change.
grant select on sessions, stock_movements to vitrine_inventory;
grant update on shop_settings to vitrine_inventory;
grant insert on audit_log to vitrine_inventory;
grant select, insert, update on idempotency_keys, outbox to vitrine_inventory;
grant execute on function refuse_v1, claim_key_v1, store_answer_v1 to vitrine_inventory;
