-- Pictures that staff send to storage: announced by inventory, checked and published by media-jobs, shown by a product.

do $$
begin
    create role vitrine_media_jobs nologin;
exception when duplicate_object or unique_violation then null;
end $$;

create table media (
    id uuid primary key,
    state text not null,
    object_name text collate "C" not null,
    content_type text not null,
    size_bytes bigint not null,
    filename text,
    product_id uuid,
    attached boolean not null default false,
    generation bigint,
    width integer,
    height integer,
    paths jsonb not null default '{}',
    reason text,
    attempts integer not null default 0,
    next_attempt_at timestamptz,
    emptied_at timestamptz,
    created_by text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    upload_until timestamptz not null,
    constraint media_object_name_unique unique (object_name),
    constraint media_state_known check (state in ('waiting', 'processing', 'ready', 'refused', 'expired')),
    constraint media_size_positive check (size_bytes > 0),
    constraint media_attempts_not_negative check (attempts >= 0),
    constraint media_processing_has_its_turn check ((state = 'processing') = (next_attempt_at is not null)),
    constraint media_processing_knows_what check (state not in ('processing', 'ready') or generation is not null),
    constraint media_ready_has_pictures
        check ((state = 'ready') = (paths <> '{}') and (state = 'ready') = (width is not null and height is not null)),
    constraint media_refused_says_why check ((state = 'refused') = (reason is not null)),
    constraint media_attached_is_ready check (not attached or (state = 'ready' and product_id is not null))
);
create index media_newest on media (created_at desc, id desc);
create index media_product on media (product_id, created_at desc, id desc) where product_id is not null;
create index media_due on media (next_attempt_at) where state = 'processing';
create index media_waiting on media (upload_until) where state = 'waiting';
create index media_unemptied on media (upload_until) where emptied_at is null and state in ('ready', 'refused', 'expired');
comment on column media.object_name is 'in the private bucket; 128 random bits, so that nobody guesses it';
comment on column media.product_id is 'the product that is to show it; one that is gone shows nothing, so it refers to none';
comment on column media.generation is 'the very content that was there when it was finished: nothing else is read';
comment on column media.attempts is 'counts those that took it up and names the one whose word counts; an orderly end gives its number back';
comment on column media.paths is 'its pictures below MEDIA_URL, by width in pixels';

grant select, insert, update on media to vitrine_inventory;
grant select, update, delete on media to vitrine_media_jobs;
grant select (id, image_urls, version, updated_at), update (image_urls, version, updated_at) on products to vitrine_media_jobs;
grant insert on audit_log to vitrine_media_jobs;
grant select, insert, update on outbox to vitrine_media_jobs;
