-- Invoices and credit notes. A row is owed first, written by the transaction that settles the order, without a number;
-- issue_document_v1 gives it number and content at once, and nothing of it changes afterwards.

create table documents (
    id uuid primary key,
    position bigint generated always as identity,
    order_id uuid not null,
    kind text not null,
    refund_id text,
    amount_minor bigint not null,
    currency char(3) not null,
    owed_at timestamptz not null,
    year integer,
    serial bigint,
    number text,
    issued_at timestamptz,
    content jsonb,
    constraint documents_order foreign key (order_id) references orders (id),
    constraint documents_kind_known check (kind in ('invoice', 'credit_note')),
    constraint documents_credit_notes_name_their_refund check ((kind = 'credit_note') = (refund_id is not null)),
    constraint documents_amount_positive check (amount_minor > 0),
    constraint documents_issued_whole check (num_nonnulls(year, serial, number, issued_at, content) in (0, 5)),
    constraint documents_serial_unique unique (kind, year, serial),
    constraint documents_number_unique unique (kind, number)
);
comment on column documents.refund_id is 'the refund at PayPal that a credit note answers';
create unique index documents_one_invoice on documents (order_id) where kind = 'invoice';
create unique index documents_one_credit_note on documents (refund_id) where kind = 'credit_note';
create index documents_order on documents (order_id, position);
create index documents_owed on documents (position) where number is null;
create index documents_issued on documents (issued_at, id) where number is not null;

create table document_counters (
    kind text not null,
    year integer not null,
    last bigint not null,
    last_issued_at timestamptz not null,
    primary key (kind, year),
    constraint document_counters_last_positive check (last > 0)
);
comment on table document_counters is 'locked last, by issue_document_v1 alone; a sequence would leave gaps where a transaction fails';

create function keep_issued_documents_v1() returns trigger language plpgsql as $$
begin
    raise exception 'document % is issued: it neither changes nor goes', old.number;
end $$;
create trigger documents_frozen before update or delete on documents
    for each row when (old.number is not null) execute function keep_issued_documents_v1();

-- Number and content of one owed document; its number where it is issued already, null unless exactly `p_before` documents
-- of its order are. Locks: the order's documents in their order, then the counter, for nothing but this statement's commit.
create function issue_document_v1(p_id uuid, p_before integer, p_content jsonb, p_prefix text, p_now timestamptz)
returns text language plpgsql as $$
declare
    owed documents;
    drawn document_counters;
    y integer := extract(year from p_now at time zone 'UTC');
begin
    perform 1 from documents where order_id = (select order_id from documents where id = p_id) order by position for update;
    select * into strict owed from documents where id = p_id;
    if owed.number is not null then
        return owed.number;
    end if;
    if (select count(*) from documents where order_id = owed.order_id and number is not null) <> p_before then
        return null;
    end if;
    -- Two clocks may differ by a little; dates never go back where numbers go on.
    insert into document_counters as c (kind, year, last, last_issued_at) values (owed.kind, y, 1, p_now)
        on conflict (kind, year) do update
            set last = c.last + 1, last_issued_at = greatest(c.last_issued_at, excluded.last_issued_at)
        returning * into drawn;
    update documents set year = y, serial = drawn.last, issued_at = drawn.last_issued_at, content = p_content,
            number = p_prefix || y || '-' || lpad(drawn.last::text, greatest(6, length(drawn.last::text)), '0')
        where id = p_id
        returning * into owed;
    return owed.number;
end $$;

-- What was paid before there were documents owes them too: found fact by fact, after this has let go of orders.
create table document_sweep (
    id text primary key,
    facts_seen bigint not null
);
comment on column document_sweep.facts_seen is 'no order of a fact up to here owes a document that is not written down';
insert into document_sweep values ('sweep', 0);

-- Whoever settles an order writes down what it owes; payment_jobs issue it; buyers and staff read it.
grant select, insert on documents to vitrine_checkout, vitrine_desk;
grant select on stock_movements to vitrine_checkout; -- a buyer's timeline
grant select, insert, update on documents to vitrine_payment_jobs;
grant select, insert, update on document_counters to vitrine_payment_jobs;
grant select, update on document_sweep to vitrine_payment_jobs;
grant select on shop_settings to vitrine_payment_jobs;
grant execute on function issue_document_v1 to vitrine_payment_jobs;
