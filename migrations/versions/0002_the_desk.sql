-- The desk: where staff see orders and what waits to be looked at, and move money back.

do $$
begin
    create role vitrine_desk nologin;
exception when duplicate_object or unique_violation then null;
end $$;

grant select on sessions to vitrine_desk;
grant select, insert, update on idempotency_keys, outbox to vitrine_desk;
grant select, insert on audit_log to vitrine_desk;
grant execute on function refuse_v1, claim_key_v1, store_answer_v1 to vitrine_desk;
