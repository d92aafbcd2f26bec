-- An import as a thing of its own: its file, how far it has come, and what it did.

create table imports (
    id uuid primary key,
    filename text not null,
    object_name text,
    version text,
    size_bytes bigint not null,
    default_on_hand integer,
    state text not null,
    position_bytes bigint not null default 0,
    position_line integer not null default 0,
    bytes_read bigint not null default 0,
    new_lines integer not null default 0,
    changed_lines integer not null default 0,
    unchanged_lines integer not null default 0,
    refused integer not null default 0,
    failure text,
    asked_by text not null,
    created_at timestamptz not null,
    started_at timestamptz,
    progressed_at timestamptz not null,
    finished_at timestamptz,
    lease_token uuid,
    leased_until timestamptz,
    idle_turns integer not null default 0,
    constraint imports_object_name_unique unique (object_name),
    constraint imports_state_known check (state in ('waiting', 'running', 'finished', 'failed', 'cancelled')),
    constraint imports_begin_with_a_version check (state in ('waiting', 'cancelled') or version is not null),
    constraint imports_end_once check ((finished_at is not null) = (state in ('finished', 'failed', 'cancelled'))),
    constraint imports_failed_for_a_reason check (state <> 'failed' or failure is not null),
    constraint imports_counts_not_negative check (least(size_bytes, default_on_hand, position_bytes, position_line, bytes_read,
        new_lines, changed_lines, unchanged_lines, refused, idle_turns) >= 0),
    constraint imports_lease_whole check ((lease_token is null) = (leased_until is null)),
    constraint imports_leased_while_running check (lease_token is null or state = 'running')
);
comment on column imports.object_name is 'in the bucket of uploads; null where a shell reads its own file';
comment on column imports.version is 'what names the content that it began with: an object''s generation';
comment on column imports.position_bytes is 'of the file, unpacked, behind the last batch: between two rows';
comment on column imports.progressed_at is 'of the last batch, or of the start';
comment on column imports.idle_turns is 'turns taken since the last batch';
create index imports_newest on imports (created_at desc, id);
create index imports_open on imports (progressed_at) where state in ('waiting', 'running', 'failed');
create index imports_over on imports (finished_at) where finished_at is not null;

create table import_errors (
    import_id uuid not null,
    number integer not null,
    line integer not null,
    sku text not null,
    reason text not null,
    constraint import_errors_pkey primary key (import_id, number),
    constraint import_errors_import foreign key (import_id) references imports (id) on delete cascade,
    constraint import_errors_bounded check (number between 1 and 10000)
);
comment on column import_errors.number is 'in the order of batches; imports.refused counts those beyond the bound too';

create table import_names (
    import_id uuid not null,
    line integer not null,
    names text not null,
    constraint import_names_pkey primary key (import_id, line),
    constraint import_names_import foreign key (import_id) references imports (id) on delete cascade
);
comment on table import_names is 'what each batch of an import that is not over has named: SKUs and products by line, as JSON';
comment on column import_names.line is 'the last line of the batch';

grant select, insert, update on imports to vitrine_inventory;
grant select, insert on import_errors to vitrine_inventory;
grant select, insert, delete on import_names to vitrine_inventory;
