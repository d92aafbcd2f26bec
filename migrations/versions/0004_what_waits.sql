-- What staff look after: webhooks that were stored, messages that no consumer took, rows that stay open.

alter table webhook_events
    add column order_ids uuid[] not null default '{}',
    add column replays integer not null default 0;
comment on column webhook_events.order_ids is 'the orders that it was found to be about when it was applied';
comment on column webhook_events.replays is 'how often staff had it applied again: then its object is read back whatever the ledger has';

create table dead_letters (
    id uuid primary key,
    subscription text not null,
    message_id text not null,
    topic text not null,
    event_id uuid,
    name text,
    schema_version integer,
    payload text not null,
    attempts integer,
    received_at timestamptz not null,
    state text not null,
    replays integer not null default 0,
    closed_at timestamptz,
    reason text,
    constraint dead_letters_once unique (subscription, message_id),
    constraint dead_letters_state_known check (state in ('open', 'replayed', 'discarded')),
    constraint dead_letters_are_discarded_for_a_reason check ((state = 'discarded') = (reason is not null)),
    constraint dead_letters_open_until_closed check ((state = 'open') = (closed_at is null))
);
comment on column dead_letters.event_id is 'null where the message is none of our events';
comment on column dead_letters.attempts is 'how often the consumer was given it, as Pub/Sub counts';
create index dead_letters_received on dead_letters (received_at desc, id);

grant insert on dead_letters to vitrine_notify;
grant select, update on dead_letters to vitrine_desk;
grant select on webhook_refusals, orders, capture_attempts, refunds to vitrine_desk;
grant select (id, provider, transmission_id, event_id, event_type, body, received_at, state, verdict, applied_at, attempts,
        next_attempt_at, order_ids, replays),
    update (state, applied_at, replays, next_attempt_at) on webhook_events to vitrine_desk;
-- What a mail says, and to whom, is not the desk's.
grant select (id, template, order_id, state, created_at, next_attempt_at, attempts, failure),
    update (state, next_attempt_at, updated_at) on mails to vitrine_desk;
grant select (mail_id) on mail_events to vitrine_desk;
