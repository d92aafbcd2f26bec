-- Reconciliation: runs that go on where they stopped, what they find, and the movements that put stock right.

create table reconciliation_runs (
    id uuid primary key,
    kind text not null,
    asked_by text not null,
    started_at timestamptz not null,
    since timestamptz not null,
    step text not null,
    cursor text not null default '',
    counts jsonb not null default '{}',
    lease_token uuid,
    leased_until timestamptz,
    not_before timestamptz,
    finished_at timestamptz,
    constraint reconciliation_runs_kind_known check (kind in ('fresh', 'full')),
    constraint reconciliation_runs_leased check ((lease_token is null) = (leased_until is null))
);
comment on column reconciliation_runs.since is 'from when on PayPal''s list of events is read';
comment on column reconciliation_runs.not_before is 'PayPal did not answer: the run waits until then';
create unique index reconciliation_runs_one_open on reconciliation_runs (kind) where finished_at is null;
create index reconciliation_runs_finished on reconciliation_runs (kind, finished_at desc) where finished_at is not null;
create index reconciliation_runs_started on reconciliation_runs (started_at);

create table reconciliation_findings (
    id uuid primary key,
    kind text not null,
    subject text not null,
    detail jsonb not null default '{}',
    state text not null,
    order_id uuid,
    run_id uuid not null,
    found_at timestamptz not null,
    seen_at timestamptz not null,
    closed_at timestamptz,
    closed_by text,
    reason text,
    constraint reconciliation_findings_run foreign key (run_id) references reconciliation_runs (id),
    constraint reconciliation_findings_state_known check (state in ('open', 'repaired', 'explained')),
    constraint reconciliation_findings_closed_says_why check (
        (state = 'open') = (closed_at is null) and (state = 'open') = (closed_by is null)
        and (state = 'open') = (reason is null))
);
comment on column reconciliation_findings.id is 'of a payment without an order also the PayPal-Request-Id of its refund';
create unique index reconciliation_findings_one_open on reconciliation_findings (kind, subject) where state = 'open';
create index reconciliation_findings_subject on reconciliation_findings (kind, subject);
create index reconciliation_findings_listed on reconciliation_findings (state, found_at desc, id desc);

-- A repair may say anything but nothing. Added without a look at the movements there are, which others go on writing: 0016
-- looks, and builds what a full run reads by.
alter table stock_movements drop constraint stock_movements_kind_known;
alter table stock_movements drop constraint stock_movements_arithmetic;
alter table stock_movements
    add constraint stock_movements_kind_known check (kind in ('receive', 'adjust', 'count', 'hold', 'allocate', 'release',
        'expire', 'cancel', 'ship', 'return', 'repair')) not valid,
    add constraint stock_movements_arithmetic check (case kind
        when 'hold' then delta_on_hand = 0 and delta_held > 0
        when 'allocate' then delta_on_hand = 0 and delta_held = 0
        when 'release' then delta_on_hand = 0 and delta_held < 0
        when 'expire' then delta_on_hand = 0 and delta_held < 0
        when 'cancel' then delta_on_hand = 0 and delta_held < 0
        when 'ship' then delta_on_hand < 0 and delta_held = delta_on_hand
        when 'repair' then delta_on_hand <> 0 or delta_held <> 0
        else delta_held = 0 end) not valid;

-- payment_jobs reconciles: the same objects, secrets and steps as its sweep.
grant select, insert, update on reconciliation_runs, reconciliation_findings to vitrine_payment_jobs;
grant insert on webhook_events, stock_levels to vitrine_payment_jobs;
grant select on stock_movements to vitrine_payment_jobs;

-- desk: the report, a run now, and the reason why something is as it is.
grant select, insert on reconciliation_runs to vitrine_desk;
grant select, update on reconciliation_findings to vitrine_desk;
