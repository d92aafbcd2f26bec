-- Who imports the files that staff have sent. Roles are the server's: another database may have made it already.

do $$
begin
    create role vitrine_import_jobs nologin;
exception when duplicate_object or unique_violation then null;
end $$;

grant select on shop_settings to vitrine_import_jobs;
grant select (id, number) on orders to vitrine_import_jobs;
grant select (order_id, sku, location, held, allocated) on order_lines to vitrine_import_jobs;
grant select, insert, update on outbox, variants, stock_levels to vitrine_import_jobs;
grant select, insert, update, delete on products, slug_history to vitrine_import_jobs;
grant select, insert on brands, categories, stock_movements, import_errors to vitrine_import_jobs;
grant select, update, delete on imports to vitrine_import_jobs;
grant select, insert, delete on import_names to vitrine_import_jobs;
grant execute on function fold_v1, parted_v1, product_words_v1 to vitrine_import_jobs;
