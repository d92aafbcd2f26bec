-- The tables of one purchase. Money is bigint minor units and char(3) ISO 4217; moments are timestamptz and come from the
-- Clock, never from now(); every invariant that can be a constraint is one.

create extension if not exists pg_trgm;
create extension if not exists unaccent;

create text search configuration shop (copy = english);
alter text search configuration shop
    alter mapping for hword, hword_part, word with unaccent, english_stem;

-- unaccent() is only STABLE, because a dictionary may change; ours is named and does not.
create function fold_v1(words text) returns text language sql immutable strict parallel safe
    return lower(public.unaccent('public.unaccent'::regdictionary, words));

-- Who may call, and what staff did ---------------------------------------------------------------------------------------

create table sessions (
    id uuid primary key,
    kind text not null,
    subject uuid not null,
    permissions text[] not null default '{}',
    created_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    constraint sessions_kind_known check (kind in ('customer', 'staff')),
    constraint sessions_expire_later check (expires_at > created_at)
);

create table audit_log (
    id uuid primary key,
    at timestamptz not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail jsonb not null default '{}'
);
create index audit_log_subject on audit_log (subject, at desc, id);

create table shop_settings (
    id text primary key,
    value jsonb not null,
    version integer not null,
    updated_at timestamptz not null,
    updated_by text not null,
    constraint shop_settings_single check (id = 'shop')
);

insert into shop_settings (id, value, version, updated_at, updated_by) values ('shop', '{
    "name": "Vitrine", "currency": "USD", "locale": "en_US", "orders_open": true, "hold_minutes": 15,
    "shipping_options": [{"id": "standard", "name": "Standard", "amount_minor": 590},
                         {"id": "express", "name": "Express", "amount_minor": 1490}],
    "shipping_tax_class": "standard", "prices_include_tax": false,
    "tax_rates": [{"country": "US", "region": "CA", "tax_class": null, "rate": "0.0725"},
                  {"country": "US", "region": "NY", "tax_class": null, "rate": "0.04"},
                  {"country": "US", "region": "CA", "tax_class": "exempt", "rate": "0"},
                  {"country": "US", "region": "NY", "tax_class": "exempt", "rate": "0"}]
}', 1, '2026-01-01T00:00:00Z', 'migration');

create table idempotency_keys (
    scope text not null,
    route text not null,
    key text not null,
    request_hash bytea not null,
    lease_token uuid,
    leased_until timestamptz,
    answer_status integer,
    answer_body text,
    created_at timestamptz not null,
    primary key (scope, route, key),
    constraint idempotency_keys_leased_or_answered check ((lease_token is null) = (leased_until is null)),
    constraint idempotency_keys_answer_whole check ((answer_status is null) = (answer_body is null))
);
create index idempotency_keys_created on idempotency_keys (created_at);

-- Catalogue ----------------------------------------------------------------------------------------------------------------

create table brands (
    id uuid primary key,
    slug text collate "C" not null,
    name text not null,
    constraint brands_slug_unique unique (slug)
);
-- A feed writes "Sony" and "SONY": one brand.
create unique index brands_name_unique on brands (lower(name));

create table categories (
    id uuid primary key,
    parent_id uuid,
    slug text collate "C" not null,
    path text collate "C" not null,
    name text not null,
    position integer not null default 0,
    constraint categories_path_unique unique (path),
    constraint categories_parent foreign key (parent_id) references categories (id),
    constraint categories_path_ends_in_slug check (path = slug or path like '%/' || slug)
);
create index categories_parent on categories (parent_id, position, path);
-- Subtrees are prefixes of `path`: text_pattern_ops makes LIKE 'a/b/%' a range of a B-tree whatever the collation.
create index categories_path_prefix on categories (path text_pattern_ops);

create table products (
    id uuid primary key,
    slug text collate "C" not null,
    group_key text not null,
    name text not null,
    description text not null default '',
    brand_id uuid,
    category_id uuid,
    attributes jsonb not null default '{}',
    image_urls text[] not null default '{}',
    popularity integer not null default 0,
    price_minor bigint not null,
    currency char(3) not null,
    published_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    words tsvector not null,
    search_text text not null,
    constraint products_slug_unique unique (slug),
    constraint products_group_key_unique unique (group_key),
    constraint products_brand foreign key (brand_id) references brands (id),
    constraint products_category foreign key (category_id) references categories (id),
    constraint products_price_not_negative check (price_minor >= 0)
);
comment on column products.price_minor is 'the lowest price of its variants, kept by whoever writes variants';
comment on column products.group_key is 'what groups variants in an import: its column product, else the SKU';
comment on column products.search_text is 'folded name, brand, SKUs: what trigrams look at';
comment on column products.words is 'product_words_v1 of the product: whoever writes one of its parts writes this too';
create index products_words on products using gin (words) with (fastupdate = off);
create index products_search_text on products using gin (search_text gin_trgm_ops) with (fastupdate = off);
-- Keyset order: both columns go the same way, so that (key, id) < (:key, :id) is one range of the index, read backwards.
create index products_category_price on products (category_id, price_minor, id);
create index products_category_popular on products (category_id, popularity, id);
create index products_category_newest on products (category_id, created_at, id);
create index products_brand_price on products (brand_id, price_minor, id);
create index products_price on products (price_minor, id);
create index products_popular on products (popularity, id);
create index products_newest on products (created_at, id);
-- search_text begins with the folded name: suggestions complete it.
create index products_name_prefix on products ((left(search_text, 60)) collate "C");

create table slug_history (
    slug text collate "C" primary key,
    product_id uuid not null,
    constraint slug_history_product foreign key (product_id) references products (id) on delete cascade
);
create index slug_history_product on slug_history (product_id);

create table variants (
    sku text collate "C" primary key,
    product_id uuid not null,
    position integer not null default 0,
    options jsonb not null default '{}',
    price_minor bigint not null,
    currency char(3) not null,
    weight_g integer,
    tax_class text not null default 'standard',
    active boolean not null default true,
    updated_at timestamptz not null,
    constraint variants_product foreign key (product_id) references products (id) on delete cascade,
    constraint variants_sku_clean check (sku <> '' and length(sku) <= 64),
    constraint variants_price_not_negative check (price_minor >= 0),
    constraint variants_weight_not_negative check (weight_g >= 0)
);
create index variants_product on variants (product_id, position, sku);

-- Stock: on_hand and held change only together with a movement ---------------------------------------------------------------

create table locations (
    id text primary key,
    name text not null
);
insert into locations (id, name) values ('main', 'Main');

create table stock_levels (
    sku text collate "C" not null,
    location text collate "C" not null,
    on_hand integer not null,
    held integer not null default 0,
    primary key (sku, location),
    constraint stock_levels_location foreign key (location) references locations (id),
    constraint stock_levels_on_hand_not_negative check (on_hand >= 0),
    constraint stock_levels_held_within check (held between 0 and on_hand)
) with (fillfactor = 50);

create table stock_movements (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    sku text collate "C" not null,
    location text collate "C" not null,
    kind text not null,
    delta_on_hand integer not null,
    delta_held integer not null,
    order_id uuid,
    order_number text,
    actor text not null,
    reason text not null default '',
    constraint stock_movements_kind_known check (
        kind in ('receive', 'adjust', 'count', 'hold', 'allocate', 'release', 'expire', 'cancel', 'ship', 'return')),
    constraint stock_movements_arithmetic check (case kind
        when 'hold' then delta_on_hand = 0 and delta_held > 0
        when 'allocate' then delta_on_hand = 0 and delta_held = 0
        when 'release' then delta_on_hand = 0 and delta_held < 0
        when 'expire' then delta_on_hand = 0 and delta_held < 0
        when 'cancel' then delta_on_hand = 0 and delta_held < 0
        when 'ship' then delta_on_hand < 0 and delta_held = delta_on_hand
        else delta_held = 0 end)
);
create index stock_movements_sku on stock_movements (sku, id desc);
create index stock_movements_order on stock_movements (order_id) where order_id is not null;

-- Carts ------------------------------------------------------------------------------------------------------------------------

create table carts (
    id text primary key,
    version integer not null default 1,
    currency char(3) not null,
    email text,
    shipping_address jsonb,
    shipping_option text,
    customer_id uuid,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    constraint carts_id_has_128_bits check (id ~ '^[0-9a-f]{32}$')
);
create index carts_updated on carts (updated_at);

create table cart_lines (
    cart_id text not null,
    sku text collate "C" not null,
    quantity integer not null,
    seen_price_minor bigint not null,
    name text not null,
    added_at timestamptz not null,
    primary key (cart_id, sku),
    constraint cart_lines_cart foreign key (cart_id) references carts (id) on delete cascade,
    constraint cart_lines_quantity check (quantity between 1 and 999)
);
comment on column cart_lines.seen_price_minor is 'the unit price when the buyer last set the line; another one now is price_changed';

-- Orders -------------------------------------------------------------------------------------------------------------------------

create table orders (
    id uuid primary key,
    number text not null,
    cart_id text not null,
    cart_version integer not null,
    status text not null,
    status_reason text,
    resume_status text,
    email text not null,
    customer_id uuid,
    client_network text not null,
    currency char(3) not null,
    subtotal_minor bigint not null,
    discount_minor bigint not null default 0,
    shipping_minor bigint not null,
    tax_minor bigint not null,
    total_minor bigint not null,
    shipping_address jsonb not null,
    shipping_option jsonb not null,
    prices_include_tax boolean not null,
    placed_at timestamptz not null,
    hold_expires_at timestamptz not null,
    paid_at timestamptz,
    paypal_order_id text,
    approve_url text,
    bound_capture_id text,
    late boolean not null default false,
    disputed boolean not null default false,
    captured_minor bigint not null default 0,
    refunded_minor bigint not null default 0,
    reversed_minor bigint not null default 0,
    pending_minor bigint not null default 0,
    updated_at timestamptz not null,
    constraint orders_number_unique unique (number),
    constraint orders_paypal_order_unique unique (paypal_order_id),
    constraint orders_number_is_crockford check (number ~ '^[0-9A-HJKMNP-TV-Z]{10}$'),
    constraint orders_status_known check (status in
        ('pending_payment', 'paid', 'on_hold', 'fulfilling', 'completed', 'cancelled', 'expired')),
    constraint orders_on_hold_says_why check (status <> 'on_hold' or status_reason is not null),
    constraint orders_amounts_not_negative check (subtotal_minor >= 0 and discount_minor >= 0 and shipping_minor >= 0
        and tax_minor >= 0 and total_minor > 0),
    constraint orders_parts_make_the_total check (
        subtotal_minor - discount_minor + shipping_minor + case when prices_include_tax then 0 else tax_minor end = total_minor)
);
create unique index orders_one_open_per_cart on orders (cart_id)
    where status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending');
create index orders_cart on orders (cart_id, cart_version);
create index orders_due on orders (hold_expires_at) where status = 'pending_payment';
create index orders_waiting_for_capture on orders (updated_at) where status = 'on_hold' and status_reason = 'capture_pending';
create index orders_email on orders (email, placed_at desc);
create index orders_placed on orders (placed_at desc, id);

create table order_lines (
    order_id uuid not null,
    sku text collate "C" not null,
    location text collate "C" not null default 'main',
    position integer not null,
    name text not null,
    options jsonb not null default '{}',
    quantity integer not null,
    unit_price_minor bigint not null,
    total_minor bigint not null,
    tax_minor bigint not null,
    tax_class text not null,
    held integer not null default 0,
    allocated integer not null default 0,
    consumed integer not null default 0,
    released integer not null default 0,
    expired integer not null default 0,
    returned integer not null default 0,
    primary key (order_id, sku),
    constraint order_lines_order foreign key (order_id) references orders (id),
    constraint order_lines_counts_not_negative check (held >= 0 and allocated >= 0 and consumed >= 0 and released >= 0
        and expired >= 0 and returned >= 0 and returned <= consumed),
    constraint order_lines_units_are_somewhere check (held + allocated + consumed + released + expired = quantity),
    constraint order_lines_quantity_positive check (quantity > 0),
    constraint order_lines_total check (total_minor = unit_price_minor * quantity)
);
create index order_lines_stock_in_use on order_lines (sku, location) where held + allocated > 0;

-- Payments: attempts are what we ask, facts are what PayPal says -------------------------------------------------------------

create table capture_attempts (
    id uuid primary key,
    order_id uuid not null,
    state text not null,
    requested_at timestamptz not null,
    looked_at timestamptz not null,
    closed_at timestamptz,
    capture_id text,
    refusal text,
    constraint capture_attempts_order foreign key (order_id) references orders (id),
    constraint capture_attempts_state_known check (state in ('requested', 'pending', 'completed', 'refused'))
);
comment on column capture_attempts.id is 'also the PayPal-Request-Id of the capture call';
create unique index capture_attempts_one_open on capture_attempts (order_id)
    where state in ('requested', 'pending', 'completed');
create index capture_attempts_unanswered on capture_attempts (looked_at) where state = 'requested';
create index capture_attempts_order on capture_attempts (order_id);

create table payment_facts (
    id bigint generated always as identity primary key,
    provider text not null default 'paypal',
    kind text not null,
    object_id text not null,
    status text not null,
    update_time text not null default '',
    order_id uuid,
    capture_id text,
    amount_minor bigint,
    currency char(3),
    reversal boolean not null default false,
    ours uuid,
    occurred_at timestamptz,
    recorded_at timestamptz not null,
    source text not null,
    constraint payment_facts_kind_known check (kind in ('order', 'capture', 'refund', 'dispute')),
    constraint payment_facts_source_known check (source in ('reply', 'webhook', 'poll')),
    constraint payment_facts_unique unique nulls not distinct
        (provider, kind, object_id, status, update_time, capture_id)
);
comment on table payment_facts is 'append-only; captures and refunds leave update_time empty, orders and disputes fill it; a dispute about several captures is a fact of each';
comment on column payment_facts.capture_id is 'of a refund or dispute: the capture it takes money from';
comment on column payment_facts.ours is 'of a refund: our refund row, as PayPal gives its id back in custom_id';
create index payment_facts_order on payment_facts (order_id, id);
create index payment_facts_capture on payment_facts (capture_id) where capture_id is not null;

create table refunds (
    id uuid primary key,
    order_id uuid not null,
    capture_id text not null,
    kind text not null,
    amount_minor bigint not null,
    currency char(3) not null,
    reason text not null,
    state text not null,
    paypal_refund_id text,
    failure text,
    requested_at timestamptz not null,
    requested_by text not null,
    updated_at timestamptz not null,
    constraint refunds_order foreign key (order_id) references orders (id),
    constraint refunds_amount_positive check (amount_minor > 0),
    constraint refunds_state_known check (state in ('requested', 'pending', 'completed', 'failed', 'cancelled')),
    constraint refunds_kind_known check (kind in ('duplicate', 'late', 'cancelled', 'staff'))
);
comment on column refunds.id is 'also the PayPal-Request-Id and the custom_id of the refund call';
create unique index refunds_one_for_a_whole_capture on refunds (capture_id) where kind in ('duplicate', 'late');
create index refunds_order on refunds (order_id);
create index refunds_open on refunds (updated_at) where state in ('requested', 'pending');

create table webhook_events (
    id uuid primary key,
    provider text not null,
    transmission_id text not null,
    event_id text not null,
    event_type text not null,
    body text not null,
    received_at timestamptz not null,
    state text not null,
    verdict text,
    applied_at timestamptz,
    attempts integer not null default 0,
    next_attempt_at timestamptz not null,
    constraint webhook_events_transmission_unique unique (provider, transmission_id),
    constraint webhook_events_event_unique unique (provider, event_id),
    constraint webhook_events_state_known check (state in ('received', 'applied', 'ignored', 'waiting'))
);
create index webhook_events_open on webhook_events (next_attempt_at) where state in ('received', 'waiting');
create index webhook_events_received on webhook_events (received_at desc, id);

create table webhook_refusals (
    provider text not null,
    reason text not null,
    day date not null,
    count bigint not null,
    primary key (provider, reason, day)
);

-- After the commit -----------------------------------------------------------------------------------------------------------

create table outbox (
    id uuid primary key,
    position bigint generated always as identity,
    destination text not null,
    name text not null,
    payload jsonb not null,
    created_at timestamptz not null,
    not_before timestamptz,
    leased_until timestamptz,
    published_at timestamptz,
    constraint outbox_destination_named check (destination ~ '^(topic|queue):[a-z][a-z0-9-]*$')
);
comment on column outbox.name is 'of an event its name, of a task the path it is posted to';
comment on column outbox.leased_until is 'a relay publishes it now; one that dies leaves it to the next relay from then on';
create index outbox_unpublished on outbox (position) where published_at is null;
create index outbox_published on outbox (published_at) where published_at is not null;

create table inbox (
    consumer text not null,
    event_id uuid not null,
    recorded_at timestamptz not null,
    primary key (consumer, event_id)
);
create index inbox_recorded on inbox (recorded_at);

create table mails (
    id uuid primary key,
    event_id uuid not null,
    template text not null,
    recipient text not null,
    order_id uuid,
    subject text not null,
    text_body text not null,
    html_body text not null,
    state text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    unanswered integer not null default 0,
    vendor_message_id text,
    failure text,
    constraint mails_once unique (event_id, template, recipient),
    constraint mails_state_known check (state in ('queued', 'sending', 'accepted', 'delivered', 'failed')),
    constraint mails_open_have_a_time check ((state in ('queued', 'sending')) = (next_attempt_at is not null))
);
comment on column mails.state is 'sending: asked for, no answer yet; an event of the vendor settles it, or next_attempt_at passes and it is repeated';
comment on column mails.unanswered is 'how many attempts ended without any answer';
create index mails_open on mails (next_attempt_at, id) where state in ('queued', 'sending');
create index mails_order on mails (order_id) where order_id is not null;

create table mail_events (
    id text primary key,
    mail_id uuid not null,
    event text not null,
    vendor_message_id text not null,
    at timestamptz not null,
    reason text,
    recorded_at timestamptz not null,
    constraint mail_events_mail foreign key (mail_id) references mails (id),
    constraint mail_events_once unique (vendor_message_id, event, at)
);
comment on column mail_events.id is 'sg_event_id, which may change when SendGrid repeats an event: hence mail_events_once';
create index mail_events_mail on mail_events (mail_id);
