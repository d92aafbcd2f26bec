-- Written by `make schema` from what the migrations make; `make check` compares. Not to be edited or run.

create extension fuzzystrmatch;
create extension pg_trgm;
create extension unaccent;

create text search configuration shop;
alter text search configuration shop alter mapping for asciihword, asciiword, hword_asciipart with english_stem;
alter text search configuration shop alter mapping for email, file, float, host, hword_numpart, int, numhword, numword, sfloat, uint, url, url_path, version with simple;
alter text search configuration shop alter mapping for hword, hword_part, word with unaccent, english_stem;

create table audit_log (
    id uuid not null,
    at timestamp with time zone not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail jsonb not null default '{}'::jsonb,
    constraint audit_log_pkey PRIMARY KEY (id)
);
CREATE INDEX audit_log_at ON public.audit_log USING btree (at DESC, id);
CREATE INDEX audit_log_subject ON public.audit_log USING btree (subject, at DESC, id);
grant insert, select on audit_log to vitrine_desk;
grant insert on audit_log to vitrine_inventory;
grant insert on audit_log to vitrine_media_jobs;
grant insert on audit_log to vitrine_support;

create table brands (
    id uuid not null,
    slug text collate "C" not null,
    name text not null,
    constraint brands_pkey PRIMARY KEY (id),
    constraint brands_slug_unique UNIQUE (slug)
);
CREATE INDEX brands_folded ON public.brands USING btree (fold_v1(name) COLLATE "C");
CREATE UNIQUE INDEX brands_name_unique ON public.brands USING btree (lower(name));
grant insert, select on brands to vitrine_import_jobs;
grant insert, select on brands to vitrine_inventory;
grant select on brands to vitrine_search;
grant select on brands to vitrine_search_jobs;

create table capture_attempts (
    id uuid not null,
    order_id uuid not null,
    state text not null,
    requested_at timestamp with time zone not null,
    looked_at timestamp with time zone not null,
    closed_at timestamp with time zone,
    capture_id text,
    refusal text,
    constraint capture_attempts_pkey PRIMARY KEY (id),
    constraint capture_attempts_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint capture_attempts_state_known CHECK ((state = ANY (ARRAY['requested'::text, 'pending'::text, 'completed'::text, 'refused'::text])))
);
comment on column capture_attempts.id is 'also the PayPal-Request-Id of the capture call';
CREATE UNIQUE INDEX capture_attempts_one_open ON public.capture_attempts USING btree (order_id) WHERE (state = ANY (ARRAY['requested'::text, 'pending'::text, 'completed'::text]));
CREATE INDEX capture_attempts_order ON public.capture_attempts USING btree (order_id);
CREATE INDEX capture_attempts_unanswered ON public.capture_attempts USING btree (looked_at) WHERE (state = 'requested'::text);
grant insert, select, update on capture_attempts to vitrine_checkout;
grant select on capture_attempts to vitrine_desk;
grant select on capture_attempts to vitrine_inventory;
grant insert, select, update on capture_attempts to vitrine_payment_jobs;
grant select on capture_attempts to vitrine_support;

create table cart_lines (
    cart_id text not null,
    sku text collate "C" not null,
    quantity integer not null,
    seen_price_minor bigint not null,
    name text not null,
    added_at timestamp with time zone not null,
    constraint cart_lines_pkey PRIMARY KEY (cart_id, sku),
    constraint cart_lines_cart FOREIGN KEY (cart_id) REFERENCES carts(id) ON DELETE CASCADE,
    constraint cart_lines_quantity CHECK (((quantity >= 1) AND (quantity <= 999)))
);
comment on column cart_lines.seen_price_minor is 'the unit price when the buyer last set the line; another one now is price_changed';
grant delete, insert, select, update on cart_lines to vitrine_checkout;
grant delete, select on cart_lines to vitrine_desk;
grant delete, select on cart_lines to vitrine_payment_jobs;

create table carts (
    id text not null,
    version integer not null default 1,
    currency character(3) not null,
    email text,
    shipping_address jsonb,
    shipping_option text,
    customer_id uuid,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    voucher_code text,
    constraint carts_pkey PRIMARY KEY (id),
    constraint carts_id_has_128_bits CHECK ((id ~ '^[0-9a-f]{32}$'::text))
);
CREATE INDEX carts_updated ON public.carts USING btree (updated_at);
grant insert, select, update on carts to vitrine_checkout;
grant select, update on carts to vitrine_desk;
grant select, update on carts to vitrine_payment_jobs;

create table categories (
    id uuid not null,
    parent_id uuid,
    slug text collate "C" not null,
    path text collate "C" not null,
    name text not null,
    position integer not null default 0,
    constraint categories_pkey PRIMARY KEY (id),
    constraint categories_path_unique UNIQUE (path),
    constraint categories_parent FOREIGN KEY (parent_id) REFERENCES categories(id),
    constraint categories_path_ends_in_slug CHECK (((path = slug) OR (path ~~ ('%/'::text || slug))))
);
CREATE INDEX categories_folded ON public.categories USING btree (fold_v1(name) COLLATE "C");
CREATE INDEX categories_parent ON public.categories USING btree (parent_id, "position", path);
CREATE INDEX categories_path_prefix ON public.categories USING btree (path text_pattern_ops);
grant insert, select on categories to vitrine_import_jobs;
grant insert, select, update on categories to vitrine_inventory;
grant select on categories to vitrine_search;
grant select on categories to vitrine_search_jobs;

create table category_history (
    path text collate "C" not null,
    category_id uuid not null,
    constraint category_history_pkey PRIMARY KEY (path),
    constraint category_history_category FOREIGN KEY (category_id) REFERENCES categories(id) ON DELETE CASCADE
);
comment on table category_history is 'paths that led to a category before it moved; one that is a category''s again leads there';
CREATE INDEX category_history_category ON public.category_history USING btree (category_id);
grant delete, insert, select, update on category_history to vitrine_inventory;
grant select on category_history to vitrine_search;

create table checkout_lockouts (
    id uuid not null,
    kind text not null,
    subject text not null,
    refused_at timestamp with time zone[] not null default '{}'::timestamp with time zone[],
    times integer not null default 0,
    locked_until timestamp with time zone,
    updated_at timestamp with time zone not null,
    constraint checkout_lockouts_pkey PRIMARY KEY (id),
    constraint checkout_lockouts_once UNIQUE (kind, subject),
    constraint checkout_lockouts_kind_known CHECK ((kind = ANY (ARRAY['cart'::text, 'email'::text, 'network'::text]))),
    constraint checkout_lockouts_times_not_negative CHECK ((times >= 0))
);
comment on column checkout_lockouts.refused_at is 'the refusals of the last hour, the oldest first';
comment on column checkout_lockouts.subject is 'a cart''s id, a folded e-mail address, or a network';
comment on column checkout_lockouts.times is 'how often it was locked in a row: the wait doubles each time';
CREATE INDEX checkout_lockouts_locked ON public.checkout_lockouts USING btree (locked_until, id) WHERE (locked_until IS NOT NULL);
CREATE INDEX checkout_lockouts_updated ON public.checkout_lockouts USING btree (updated_at);
grant delete, insert, select, update on checkout_lockouts to vitrine_checkout;
grant delete, select, update on checkout_lockouts to vitrine_desk;
grant delete, insert, select, update on checkout_lockouts to vitrine_payment_jobs;

create table dead_letters (
    id uuid not null,
    subscription text not null,
    message_id text not null,
    topic text not null,
    event_id uuid,
    name text,
    schema_version integer,
    payload text not null,
    attempts integer,
    received_at timestamp with time zone not null,
    state text not null,
    replays integer not null default 0,
    closed_at timestamp with time zone,
    reason text,
    constraint dead_letters_pkey PRIMARY KEY (id),
    constraint dead_letters_once UNIQUE (subscription, message_id),
    constraint dead_letters_are_discarded_for_a_reason CHECK (((state = 'discarded'::text) = (reason IS NOT NULL))),
    constraint dead_letters_open_until_closed CHECK (((state = 'open'::text) = (closed_at IS NULL))),
    constraint dead_letters_state_known CHECK ((state = ANY (ARRAY['open'::text, 'replayed'::text, 'discarded'::text])))
);
comment on column dead_letters.attempts is 'how often the consumer was given it, as Pub/Sub counts';
comment on column dead_letters.event_id is 'null where the message is none of our events';
CREATE INDEX dead_letters_received ON public.dead_letters USING btree (received_at DESC, id);
grant select, update on dead_letters to vitrine_desk;
grant insert on dead_letters to vitrine_notify;

create table document_counters (
    kind text not null,
    year integer not null,
    last bigint not null,
    last_issued_at timestamp with time zone not null,
    constraint document_counters_pkey PRIMARY KEY (kind, year),
    constraint document_counters_last_positive CHECK ((last > 0))
);
comment on table document_counters is 'locked last, by issue_document_v1 alone; a sequence would leave gaps where a transaction fails';
grant insert, select, update on document_counters to vitrine_payment_jobs;

create table document_sweep (
    id text not null,
    facts_seen bigint not null,
    taxes_until date,
    constraint document_sweep_pkey PRIMARY KEY (id)
);
comment on column document_sweep.facts_seen is 'no order of a fact up to here owes a document that is not written down';
comment on column document_sweep.taxes_until is 'days before this one are in document_tax_sums; null where none is yet';
grant select on document_sweep to vitrine_desk;
grant select, update on document_sweep to vitrine_payment_jobs;

create table document_tax_sums (
    day date not null,
    kind text not null,
    currency character(3) not null,
    rate text not null,
    documents bigint not null,
    net_minor bigint not null,
    tax_minor bigint not null,
    gross_minor bigint not null,
    constraint document_tax_sums_pkey PRIMARY KEY (day, kind, currency, rate),
    constraint document_tax_sums_documents_positive CHECK ((documents > 0)),
    constraint document_tax_sums_kind_known CHECK ((kind = ANY (ARRAY['invoice'::text, 'credit_note'::text])))
);
grant select on document_tax_sums to vitrine_desk;
grant insert, select on document_tax_sums to vitrine_payment_jobs;

create table documents (
    id uuid not null,
    position bigint not null generated always as identity,
    order_id uuid not null,
    kind text not null,
    refund_id text,
    amount_minor bigint not null,
    currency character(3) not null,
    owed_at timestamp with time zone not null,
    year integer,
    serial bigint,
    number text,
    issued_at timestamp with time zone,
    content jsonb,
    constraint documents_pkey PRIMARY KEY (id),
    constraint documents_number_unique UNIQUE (kind, number),
    constraint documents_serial_unique UNIQUE (kind, year, serial),
    constraint documents_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint documents_amount_positive CHECK ((amount_minor > 0)),
    constraint documents_credit_notes_name_their_refund CHECK (((kind = 'credit_note'::text) = (refund_id IS NOT NULL))),
    constraint documents_issued_whole CHECK ((num_nonnulls(year, serial, number, issued_at, content) = ANY (ARRAY[0, 5]))),
    constraint documents_kind_known CHECK ((kind = ANY (ARRAY['invoice'::text, 'credit_note'::text])))
);
comment on column documents.refund_id is 'the refund at PayPal that a credit note answers';
CREATE INDEX documents_issued ON public.documents USING btree (issued_at, id) WHERE (number IS NOT NULL);
CREATE UNIQUE INDEX documents_one_credit_note ON public.documents USING btree (refund_id) WHERE (kind = 'credit_note'::text);
CREATE UNIQUE INDEX documents_one_invoice ON public.documents USING btree (order_id) WHERE (kind = 'invoice'::text);
CREATE INDEX documents_order ON public.documents USING btree (order_id, "position");
CREATE INDEX documents_owed ON public.documents USING btree ("position") WHERE (number IS NULL);
CREATE TRIGGER documents_frozen BEFORE DELETE OR UPDATE ON public.documents FOR EACH ROW WHEN ((old.number IS NOT NULL)) EXECUTE FUNCTION keep_issued_documents_v1();
grant insert, select on documents to vitrine_checkout;
grant insert, select on documents to vitrine_desk;
grant insert, select, update on documents to vitrine_payment_jobs;

create table idempotency_keys (
    scope text not null,
    route text not null,
    key text not null,
    request_hash bytea not null,
    lease_token uuid,
    leased_until timestamp with time zone,
    answer_status integer,
    answer_body text,
    created_at timestamp with time zone not null,
    constraint idempotency_keys_pkey PRIMARY KEY (scope, route, key),
    constraint idempotency_keys_answer_whole CHECK (((answer_status IS NULL) = (answer_body IS NULL))),
    constraint idempotency_keys_leased_or_answered CHECK (((lease_token IS NULL) = (leased_until IS NULL)))
);
CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING btree (created_at);
grant insert, select, update on idempotency_keys to vitrine_checkout;
grant insert, select, update on idempotency_keys to vitrine_desk;
grant insert, select, update on idempotency_keys to vitrine_inventory;
grant delete, select, update on idempotency_keys to vitrine_payment_jobs;
grant insert, select, update on idempotency_keys to vitrine_support;

create table import_errors (
    import_id uuid not null,
    number integer not null,
    line integer not null,
    sku text not null,
    reason text not null,
    constraint import_errors_pkey PRIMARY KEY (import_id, number),
    constraint import_errors_import FOREIGN KEY (import_id) REFERENCES imports(id) ON DELETE CASCADE,
    constraint import_errors_bounded CHECK (((number >= 1) AND (number <= 10000)))
);
comment on column import_errors.number is 'in the order of batches; imports.refused counts those beyond the bound too';
grant insert, select on import_errors to vitrine_import_jobs;
grant insert, select on import_errors to vitrine_inventory;

create table import_names (
    import_id uuid not null,
    line integer not null,
    names text not null,
    constraint import_names_pkey PRIMARY KEY (import_id, line),
    constraint import_names_import FOREIGN KEY (import_id) REFERENCES imports(id) ON DELETE CASCADE
);
comment on table import_names is 'what each batch of an import that is not over has named: SKUs and products by line, as JSON';
comment on column import_names.line is 'the last line of the batch';
grant delete, insert, select on import_names to vitrine_import_jobs;
grant delete, insert, select on import_names to vitrine_inventory;

create table imports (
    id uuid not null,
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
    created_at timestamp with time zone not null,
    started_at timestamp with time zone,
    progressed_at timestamp with time zone not null,
    finished_at timestamp with time zone,
    lease_token uuid,
    leased_until timestamp with time zone,
    idle_turns integer not null default 0,
    constraint imports_pkey PRIMARY KEY (id),
    constraint imports_object_name_unique UNIQUE (object_name),
    constraint imports_begin_with_a_version CHECK (((state = ANY (ARRAY['waiting'::text, 'cancelled'::text])) OR (version IS NOT NULL))),
    constraint imports_counts_not_negative CHECK ((LEAST(size_bytes, (default_on_hand)::bigint, position_bytes, (position_line)::bigint, bytes_read, (new_lines)::bigint, (changed_lines)::bigint, (unchanged_lines)::bigint, (refused)::bigint, (idle_turns)::bigint) >= 0)),
    constraint imports_end_once CHECK (((finished_at IS NOT NULL) = (state = ANY (ARRAY['finished'::text, 'failed'::text, 'cancelled'::text])))),
    constraint imports_failed_for_a_reason CHECK (((state <> 'failed'::text) OR (failure IS NOT NULL))),
    constraint imports_lease_whole CHECK (((lease_token IS NULL) = (leased_until IS NULL))),
    constraint imports_leased_while_running CHECK (((lease_token IS NULL) OR (state = 'running'::text))),
    constraint imports_state_known CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'finished'::text, 'failed'::text, 'cancelled'::text])))
);
comment on column imports.idle_turns is 'turns taken since the last batch';
comment on column imports.object_name is 'in the bucket of uploads; null where a shell reads its own file';
comment on column imports.position_bytes is 'of the file, unpacked, behind the last batch: between two rows';
comment on column imports.progressed_at is 'of the last batch, or of the start';
comment on column imports.version is 'what names the content that it began with: an object''s generation';
CREATE INDEX imports_newest ON public.imports USING btree (created_at DESC, id);
CREATE INDEX imports_open ON public.imports USING btree (progressed_at) WHERE (state = ANY (ARRAY['waiting'::text, 'running'::text, 'failed'::text]));
CREATE INDEX imports_over ON public.imports USING btree (finished_at) WHERE (finished_at IS NOT NULL);
grant delete, select, update on imports to vitrine_import_jobs;
grant insert, select, update on imports to vitrine_inventory;

create table inbox (
    consumer text not null,
    event_id uuid not null,
    recorded_at timestamp with time zone not null,
    constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_recorded ON public.inbox USING btree (recorded_at);
grant delete, insert, select on inbox to vitrine_notify;

create table locations (
    id text not null,
    name text not null,
    constraint locations_pkey PRIMARY KEY (id)
);

create table mail_events (
    id text not null,
    mail_id uuid not null,
    event text not null,
    vendor_message_id text not null,
    at timestamp with time zone not null,
    reason text,
    recorded_at timestamp with time zone not null,
    constraint mail_events_pkey PRIMARY KEY (id),
    constraint mail_events_once UNIQUE (vendor_message_id, event, at),
    constraint mail_events_mail FOREIGN KEY (mail_id) REFERENCES mails(id)
);
comment on column mail_events.id is 'sg_event_id, which may change when SendGrid repeats an event: hence mail_events_once';
CREATE INDEX mail_events_mail ON public.mail_events USING btree (mail_id);
grant insert, select on mail_events to vitrine_webhooks;
grant select (mail_id) on mail_events to vitrine_desk;

create table mails (
    id uuid not null,
    event_id uuid not null,
    template text not null,
    recipient text not null,
    order_id uuid,
    subject text not null,
    text_body text not null,
    html_body text not null,
    state text not null,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    next_attempt_at timestamp with time zone,
    attempts integer not null default 0,
    unanswered integer not null default 0,
    vendor_message_id text,
    failure text,
    constraint mails_pkey PRIMARY KEY (id),
    constraint mails_once UNIQUE (event_id, template, recipient),
    constraint mails_open_have_a_time CHECK (((state = ANY (ARRAY['queued'::text, 'sending'::text])) = (next_attempt_at IS NOT NULL))),
    constraint mails_state_known CHECK ((state = ANY (ARRAY['queued'::text, 'sending'::text, 'accepted'::text, 'delivered'::text, 'failed'::text])))
);
comment on column mails.state is 'sending: asked for, no answer yet; an event of the vendor settles it, or next_attempt_at passes and it is repeated';
comment on column mails.unanswered is 'how many attempts ended without any answer';
CREATE INDEX mails_failed ON public.mails USING btree (created_at, id) WHERE (state = 'failed'::text);
CREATE INDEX mails_open ON public.mails USING btree (next_attempt_at, id) WHERE (state = ANY (ARRAY['queued'::text, 'sending'::text]));
CREATE INDEX mails_order ON public.mails USING btree (order_id) WHERE (order_id IS NOT NULL);
grant insert, select, update on mails to vitrine_notify;
grant select (attempts, created_at, failure, id, next_attempt_at, order_id, state, template) on mails to vitrine_desk;
grant update (next_attempt_at, state, updated_at) on mails to vitrine_desk;
grant select (id) on mails to vitrine_webhooks;
grant update (failure, next_attempt_at, state, updated_at, vendor_message_id) on mails to vitrine_webhooks;

create table media (
    id uuid not null,
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
    paths jsonb not null default '{}'::jsonb,
    reason text,
    attempts integer not null default 0,
    next_attempt_at timestamp with time zone,
    emptied_at timestamp with time zone,
    created_by text not null,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    upload_until timestamp with time zone not null,
    constraint media_pkey PRIMARY KEY (id),
    constraint media_object_name_unique UNIQUE (object_name),
    constraint media_attached_is_ready CHECK (((NOT attached) OR ((state = 'ready'::text) AND (product_id IS NOT NULL)))),
    constraint media_attempts_not_negative CHECK ((attempts >= 0)),
    constraint media_processing_has_its_turn CHECK (((state = 'processing'::text) = (next_attempt_at IS NOT NULL))),
    constraint media_processing_knows_what CHECK (((state <> ALL (ARRAY['processing'::text, 'ready'::text])) OR (generation IS NOT NULL))),
    constraint media_ready_has_pictures CHECK ((((state = 'ready'::text) = (paths <> '{}'::jsonb)) AND ((state = 'ready'::text) = ((width IS NOT NULL) AND (height IS NOT NULL))))),
    constraint media_refused_says_why CHECK (((state = 'refused'::text) = (reason IS NOT NULL))),
    constraint media_size_positive CHECK ((size_bytes > 0)),
    constraint media_state_known CHECK ((state = ANY (ARRAY['waiting'::text, 'processing'::text, 'ready'::text, 'refused'::text, 'expired'::text])))
);
comment on column media.attempts is 'counts those that took it up and names the one whose word counts; an orderly end gives its number back';
comment on column media.generation is 'the very content that was there when it was finished: nothing else is read';
comment on column media.object_name is 'in the private bucket; 128 random bits, so that nobody guesses it';
comment on column media.paths is 'its pictures below MEDIA_URL, by width in pixels';
comment on column media.product_id is 'the product that is to show it; one that is gone shows nothing, so it refers to none';
CREATE INDEX media_due ON public.media USING btree (next_attempt_at) WHERE (state = 'processing'::text);
CREATE INDEX media_newest ON public.media USING btree (created_at DESC, id DESC);
CREATE INDEX media_product ON public.media USING btree (product_id, created_at DESC, id DESC) WHERE (product_id IS NOT NULL);
CREATE INDEX media_unemptied ON public.media USING btree (upload_until) WHERE ((emptied_at IS NULL) AND (state = ANY (ARRAY['ready'::text, 'refused'::text, 'expired'::text])));
CREATE INDEX media_waiting ON public.media USING btree (upload_until) WHERE (state = 'waiting'::text);
grant insert, select, update on media to vitrine_inventory;
grant delete, select, update on media to vitrine_media_jobs;

create table order_lines (
    order_id uuid not null,
    sku text collate "C" not null,
    location text collate "C" not null default 'main'::text,
    position integer not null,
    name text not null,
    options jsonb not null default '{}'::jsonb,
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
    discount_minor bigint not null default 0,
    tax_rate numeric(7,6),
    constraint order_lines_pkey PRIMARY KEY (order_id, sku),
    constraint order_lines_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint order_lines_counts_not_negative CHECK (((held >= 0) AND (allocated >= 0) AND (consumed >= 0) AND (released >= 0) AND (expired >= 0) AND (returned >= 0) AND (returned <= consumed))),
    constraint order_lines_discount_within CHECK (((discount_minor >= 0) AND (discount_minor <= total_minor))),
    constraint order_lines_quantity_positive CHECK ((quantity > 0)),
    constraint order_lines_total CHECK ((total_minor = (unit_price_minor * quantity))),
    constraint order_lines_units_are_somewhere CHECK ((((((held + allocated) + consumed) + released) + expired) = quantity))
);
comment on column order_lines.discount_minor is 'its share of the order''s discount';
comment on column order_lines.tax_minor is 'the tax of what is left after the discount';
comment on column order_lines.tax_rate is '0.0725 is 7.25 %; null in orders that are older than this column';
CREATE INDEX order_lines_stock_in_use ON public.order_lines USING btree (sku, location) WHERE ((held + allocated) > 0);
grant insert, select, update on order_lines to vitrine_checkout;
grant select, update on order_lines to vitrine_desk;
grant select, update on order_lines to vitrine_inventory;
grant select, update on order_lines to vitrine_payment_jobs;
grant select on order_lines to vitrine_support;
grant select (allocated, held, location, order_id, sku) on order_lines to vitrine_import_jobs;
grant select (allocated, consumed, order_id, returned, sku) on order_lines to vitrine_search_jobs;

create table order_notes (
    id uuid not null,
    order_id uuid not null,
    at timestamp with time zone not null,
    author text not null,
    words text not null,
    constraint order_notes_pkey PRIMARY KEY (id),
    constraint order_notes_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint order_notes_not_empty CHECK ((words <> ''::text))
);
CREATE INDEX order_notes_order ON public.order_notes USING btree (order_id, at, id);
grant insert, select on order_notes to vitrine_desk;

create table orders (
    id uuid not null,
    number text not null,
    cart_id text not null,
    cart_version integer not null,
    status text not null,
    status_reason text,
    resume_status text,
    email text not null,
    customer_id uuid,
    client_network text not null,
    currency character(3) not null,
    subtotal_minor bigint not null,
    discount_minor bigint not null default 0,
    shipping_minor bigint not null,
    tax_minor bigint not null,
    total_minor bigint not null,
    shipping_address jsonb not null,
    shipping_option jsonb not null,
    prices_include_tax boolean not null,
    placed_at timestamp with time zone not null,
    hold_expires_at timestamp with time zone not null,
    paid_at timestamp with time zone,
    paypal_order_id text,
    approve_url text,
    bound_capture_id text,
    late boolean not null default false,
    disputed boolean not null default false,
    captured_minor bigint not null default 0,
    refunded_minor bigint not null default 0,
    reversed_minor bigint not null default 0,
    pending_minor bigint not null default 0,
    updated_at timestamp with time zone not null,
    shipping_tax_rate numeric(7,6),
    voucher_code text,
    voucher_over_limit boolean not null default false,
    constraint orders_pkey PRIMARY KEY (id),
    constraint orders_number_unique UNIQUE (number),
    constraint orders_paypal_order_unique UNIQUE (paypal_order_id),
    constraint orders_amounts_not_negative CHECK (((subtotal_minor >= 0) AND (discount_minor >= 0) AND (shipping_minor >= 0) AND (tax_minor >= 0) AND (total_minor > 0))),
    constraint orders_number_is_crockford CHECK ((number ~ '^[0-9A-HJKMNP-TV-Z]{10}$'::text)),
    constraint orders_on_hold_says_why CHECK (((status <> 'on_hold'::text) OR (status_reason IS NOT NULL))),
    constraint orders_parts_make_the_total CHECK (((((subtotal_minor - discount_minor) + shipping_minor) +
CASE
    WHEN prices_include_tax THEN (0)::bigint
    ELSE tax_minor
END) = total_minor)),
    constraint orders_status_known CHECK ((status = ANY (ARRAY['pending_payment'::text, 'paid'::text, 'on_hold'::text, 'fulfilling'::text, 'completed'::text, 'cancelled'::text, 'expired'::text])))
);
comment on column orders.voucher_over_limit is 'its money came after the voucher had been released, and the voucher was used up meanwhile';
CREATE INDEX orders_cart ON public.orders USING btree (cart_id, cart_version);
CREATE INDEX orders_disputed ON public.orders USING btree (placed_at DESC, id) WHERE disputed;
CREATE INDEX orders_due ON public.orders USING btree (hold_expires_at) WHERE (status = 'pending_payment'::text);
CREATE INDEX orders_email ON public.orders USING btree (email, placed_at DESC);
CREATE INDEX orders_let_go_with_voucher ON public.orders USING btree (updated_at) WHERE ((voucher_code IS NOT NULL) AND (status = ANY (ARRAY['expired'::text, 'cancelled'::text])));
CREATE INDEX orders_not_final ON public.orders USING btree (placed_at, id) WHERE ((status = 'pending_payment'::text) OR (status = 'on_hold'::text) OR disputed OR (pending_minor > 0));
CREATE UNIQUE INDEX orders_one_open_per_cart ON public.orders USING btree (cart_id) WHERE ((status = 'pending_payment'::text) OR ((status = 'on_hold'::text) AND (status_reason = 'capture_pending'::text)));
CREATE INDEX orders_open_of_email ON public.orders USING btree (lower(email)) WHERE ((status = 'pending_payment'::text) OR ((status = 'on_hold'::text) AND (status_reason = 'capture_pending'::text)));
CREATE INDEX orders_open_of_network ON public.orders USING btree (client_network) WHERE ((status = 'pending_payment'::text) OR ((status = 'on_hold'::text) AND (status_reason = 'capture_pending'::text)));
CREATE INDEX orders_placed ON public.orders USING btree (placed_at DESC, id);
CREATE INDEX orders_status_placed ON public.orders USING btree (status, placed_at DESC, id);
CREATE INDEX orders_waiting_for_capture ON public.orders USING btree (updated_at) WHERE ((status = 'on_hold'::text) AND (status_reason = 'capture_pending'::text));
grant insert, select, update on orders to vitrine_checkout;
grant select, update on orders to vitrine_desk;
grant select, update on orders to vitrine_inventory;
grant select, update on orders to vitrine_payment_jobs;
grant select on orders to vitrine_support;
grant select (id, number) on orders to vitrine_import_jobs;
grant select (id, placed_at) on orders to vitrine_search_jobs;
grant update (updated_at) on orders to vitrine_support;

create table outbox (
    id uuid not null,
    position bigint not null generated always as identity,
    destination text not null,
    name text not null,
    payload jsonb not null,
    created_at timestamp with time zone not null,
    not_before timestamp with time zone,
    leased_until timestamp with time zone,
    published_at timestamp with time zone,
    constraint outbox_pkey PRIMARY KEY (id),
    constraint outbox_destination_named CHECK ((destination ~ '^(topic|queue):[a-z][a-z0-9-]*$'::text))
);
comment on column outbox.leased_until is 'a relay publishes it now; one that dies leaves it to the next relay from then on';
comment on column outbox.name is 'of an event its name, of a task the path it is posted to';
CREATE INDEX outbox_published ON public.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);
CREATE INDEX outbox_unpublished ON public.outbox USING btree ("position") WHERE (published_at IS NULL);
grant insert, select, update on outbox to vitrine_checkout;
grant insert, select, update on outbox to vitrine_desk;
grant insert, select, update on outbox to vitrine_import_jobs;
grant insert, select, update on outbox to vitrine_inventory;
grant insert, select, update on outbox to vitrine_media_jobs;
grant delete, select, update on outbox to vitrine_notify;
grant insert, select, update on outbox to vitrine_payment_jobs;
grant insert, select, update on outbox to vitrine_support;
grant insert, select, update on outbox to vitrine_webhooks;

create table payment_facts (
    id bigint not null generated always as identity,
    provider text not null default 'paypal'::text,
    kind text not null,
    object_id text not null,
    status text not null,
    update_time text not null default ''::text,
    order_id uuid,
    capture_id text,
    amount_minor bigint,
    currency character(3),
    reversal boolean not null default false,
    ours uuid,
    occurred_at timestamp with time zone,
    recorded_at timestamp with time zone not null,
    source text not null,
    constraint payment_facts_pkey PRIMARY KEY (id),
    constraint payment_facts_unique UNIQUE NULLS NOT DISTINCT (provider, kind, object_id, status, update_time, capture_id),
    constraint payment_facts_kind_known CHECK ((kind = ANY (ARRAY['order'::text, 'capture'::text, 'refund'::text, 'dispute'::text]))),
    constraint payment_facts_source_known CHECK ((source = ANY (ARRAY['reply'::text, 'webhook'::text, 'poll'::text])))
);
comment on table payment_facts is 'append-only; captures and refunds leave update_time empty, orders and disputes fill it; a dispute about several captures is a fact of each';
comment on column payment_facts.capture_id is 'of a refund or dispute: the capture it takes money from';
comment on column payment_facts.ours is 'of a refund: our refund row, as PayPal gives its id back in custom_id';
CREATE INDEX payment_facts_capture ON public.payment_facts USING btree (capture_id) WHERE (capture_id IS NOT NULL);
CREATE INDEX payment_facts_order ON public.payment_facts USING btree (order_id, id);
grant insert, select on payment_facts to vitrine_checkout;
grant select on payment_facts to vitrine_desk;
grant insert, select on payment_facts to vitrine_payment_jobs;

create table products (
    id uuid not null,
    slug text collate "C" not null,
    group_key text not null,
    name text not null,
    description text not null default ''::text,
    brand_id uuid,
    category_id uuid,
    attributes jsonb not null default '{}'::jsonb,
    image_urls text[] not null default '{}'::text[],
    popularity integer not null default 0,
    price_minor bigint not null,
    currency character(3) not null,
    published_at timestamp with time zone,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    words tsvector not null,
    search_text text not null,
    version integer not null default 1,
    constraint products_pkey PRIMARY KEY (id),
    constraint products_group_key_unique UNIQUE (group_key),
    constraint products_slug_unique UNIQUE (slug),
    constraint products_brand FOREIGN KEY (brand_id) REFERENCES brands(id),
    constraint products_category FOREIGN KEY (category_id) REFERENCES categories(id),
    constraint products_price_not_negative CHECK ((price_minor >= 0))
);
comment on column products.group_key is 'what groups variants in an import: its column product, else the SKU';
comment on column products.price_minor is 'the lowest price of its variants, kept by whoever writes variants';
comment on column products.published_at is 'it is sold from then on, and that may be still to come; null is not at all';
comment on column products.search_text is 'folded name, brand, SKUs: what trigrams look at';
comment on column products.version is 'counts changes of the product and its variants; whoever writes one of them counts';
comment on column products.words is 'product_words_v1 of the product: whoever writes one of its parts writes this too';
CREATE INDEX products_brand_price ON public.products USING btree (brand_id, price_minor, id);
CREATE INDEX products_category_newest ON public.products USING btree (category_id, created_at, id);
CREATE INDEX products_category_popular ON public.products USING btree (category_id, popularity, id);
CREATE INDEX products_category_price ON public.products USING btree (category_id, price_minor, id);
CREATE INDEX products_name_prefix ON public.products USING btree ("left"(search_text, 60) COLLATE "C");
CREATE INDEX products_newest ON public.products USING btree (created_at, id);
CREATE INDEX products_popular ON public.products USING btree (popularity, id);
CREATE INDEX products_price ON public.products USING btree (price_minor, id);
CREATE INDEX products_to_come ON public.products USING btree (published_at, id) WHERE (published_at > updated_at);
CREATE INDEX products_updated ON public.products USING btree (updated_at, id);
grant select on products to vitrine_checkout;
grant delete, insert, select, update on products to vitrine_import_jobs;
grant delete, insert, select, update on products to vitrine_inventory;
grant select on products to vitrine_search;
grant select on products to vitrine_search_jobs;
grant select (id, image_urls, updated_at, version) on products to vitrine_media_jobs;
grant update (image_urls, updated_at, version) on products to vitrine_media_jobs;

create table query_rules (
    id uuid not null,
    query text collate "C" not null,
    pinned uuid[] not null default '{}'::uuid[],
    buried uuid[] not null default '{}'::uuid[],
    version integer not null default 1,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    constraint query_rules_pkey PRIMARY KEY (id),
    constraint query_rules_query_unique UNIQUE (query),
    constraint query_rules_one_or_the_other CHECK ((NOT (pinned && buried))),
    constraint query_rules_query_not_empty CHECK ((query <> ''::text)),
    constraint query_rules_say_something CHECK (((cardinality(pinned) + cardinality(buried)) > 0))
);
comment on column query_rules.pinned is 'products in the order in which they come first; one that is gone is on no list and in no way';
comment on column query_rules.query is 'fold_v1 of the whole text that is typed';
CREATE INDEX query_rules_newest ON public.query_rules USING btree (created_at DESC, id);
grant delete, insert, select, update on query_rules to vitrine_inventory;
grant select on query_rules to vitrine_search;

create table reconciliation_findings (
    id uuid not null,
    kind text not null,
    subject text not null,
    detail jsonb not null default '{}'::jsonb,
    state text not null,
    order_id uuid,
    run_id uuid not null,
    found_at timestamp with time zone not null,
    seen_at timestamp with time zone not null,
    closed_at timestamp with time zone,
    closed_by text,
    reason text,
    constraint reconciliation_findings_pkey PRIMARY KEY (id),
    constraint reconciliation_findings_run FOREIGN KEY (run_id) REFERENCES reconciliation_runs(id),
    constraint reconciliation_findings_closed_says_why CHECK ((((state = 'open'::text) = (closed_at IS NULL)) AND ((state = 'open'::text) = (closed_by IS NULL)) AND ((state = 'open'::text) = (reason IS NULL)))),
    constraint reconciliation_findings_state_known CHECK ((state = ANY (ARRAY['open'::text, 'repaired'::text, 'explained'::text])))
);
comment on column reconciliation_findings.id is 'of a payment without an order also the PayPal-Request-Id of its refund';
CREATE INDEX reconciliation_findings_listed ON public.reconciliation_findings USING btree (state, found_at DESC, id DESC);
CREATE UNIQUE INDEX reconciliation_findings_one_open ON public.reconciliation_findings USING btree (kind, subject) WHERE (state = 'open'::text);
CREATE INDEX reconciliation_findings_subject ON public.reconciliation_findings USING btree (kind, subject);
grant select, update on reconciliation_findings to vitrine_desk;
grant insert, select, update on reconciliation_findings to vitrine_payment_jobs;

create table reconciliation_runs (
    id uuid not null,
    kind text not null,
    asked_by text not null,
    started_at timestamp with time zone not null,
    since timestamp with time zone not null,
    step text not null,
    cursor text not null default ''::text,
    counts jsonb not null default '{}'::jsonb,
    lease_token uuid,
    leased_until timestamp with time zone,
    not_before timestamp with time zone,
    finished_at timestamp with time zone,
    constraint reconciliation_runs_pkey PRIMARY KEY (id),
    constraint reconciliation_runs_kind_known CHECK ((kind = ANY (ARRAY['fresh'::text, 'full'::text]))),
    constraint reconciliation_runs_leased CHECK (((lease_token IS NULL) = (leased_until IS NULL)))
);
comment on column reconciliation_runs.not_before is 'PayPal did not answer: the run waits until then';
comment on column reconciliation_runs.since is 'from when on PayPal''s list of events is read';
CREATE INDEX reconciliation_runs_finished ON public.reconciliation_runs USING btree (kind, finished_at DESC) WHERE (finished_at IS NOT NULL);
CREATE UNIQUE INDEX reconciliation_runs_one_open ON public.reconciliation_runs USING btree (kind) WHERE (finished_at IS NULL);
CREATE INDEX reconciliation_runs_started ON public.reconciliation_runs USING btree (started_at);
grant insert, select on reconciliation_runs to vitrine_desk;
grant insert, select, update on reconciliation_runs to vitrine_payment_jobs;

create table refunds (
    id uuid not null,
    order_id uuid not null,
    capture_id text not null,
    kind text not null,
    amount_minor bigint not null,
    currency character(3) not null,
    reason text not null,
    state text not null,
    paypal_refund_id text,
    failure text,
    requested_at timestamp with time zone not null,
    requested_by text not null,
    updated_at timestamp with time zone not null,
    lines jsonb not null default '[]'::jsonb,
    shipping_minor bigint not null default 0,
    retries uuid,
    constraint refunds_pkey PRIMARY KEY (id),
    constraint refunds_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint refunds_retries FOREIGN KEY (retries) REFERENCES refunds(id),
    constraint refunds_amount_positive CHECK ((amount_minor > 0)),
    constraint refunds_kind_known CHECK ((kind = ANY (ARRAY['duplicate'::text, 'late'::text, 'cancelled'::text, 'staff'::text]))),
    constraint refunds_shipping_within CHECK (((shipping_minor >= 0) AND (shipping_minor <= amount_minor))),
    constraint refunds_state_known CHECK ((state = ANY (ARRAY['requested'::text, 'pending'::text, 'completed'::text, 'failed'::text, 'cancelled'::text])))
);
comment on column refunds.id is 'also the PayPal-Request-Id and the custom_id of the refund call';
comment on column refunds.lines is '[{sku, quantity, amount_minor, tax_minor, restock}]; what of the amount is in no line and not shipping is free';
CREATE INDEX refunds_capture ON public.refunds USING btree (capture_id);
CREATE INDEX refunds_failed ON public.refunds USING btree (order_id) WHERE (state = ANY (ARRAY['failed'::text, 'cancelled'::text]));
CREATE UNIQUE INDEX refunds_one_for_a_whole_capture ON public.refunds USING btree (capture_id) WHERE (kind = ANY (ARRAY['duplicate'::text, 'late'::text]));
CREATE INDEX refunds_open ON public.refunds USING btree (updated_at) WHERE (state = ANY (ARRAY['requested'::text, 'pending'::text]));
CREATE INDEX refunds_order ON public.refunds USING btree (order_id);
CREATE UNIQUE INDEX refunds_retried_once ON public.refunds USING btree (retries) WHERE (retries IS NOT NULL);
grant insert, select, update on refunds to vitrine_checkout;
grant insert, select on refunds to vitrine_desk;
grant select on refunds to vitrine_inventory;
grant insert, select, update on refunds to vitrine_payment_jobs;
grant select on refunds to vitrine_support;

create table related_products (
    product_id uuid not null,
    position integer not null,
    related_id uuid not null,
    constraint related_products_pkey PRIMARY KEY (product_id, "position"),
    constraint related_products_once UNIQUE (product_id, related_id),
    constraint related_products_product FOREIGN KEY (product_id) REFERENCES products(id) ON DELETE CASCADE,
    constraint related_products_related FOREIGN KEY (related_id) REFERENCES products(id) ON DELETE CASCADE,
    constraint related_products_another CHECK ((related_id <> product_id))
);
comment on table related_products is 'what staff show beside a product, in their order; what goes leaves a gap';
CREATE INDEX related_products_related ON public.related_products USING btree (related_id);
grant delete, insert, select on related_products to vitrine_inventory;
grant select on related_products to vitrine_search;

create table return_lines (
    return_id uuid not null,
    order_id uuid not null,
    sku text collate "C" not null,
    quantity integer not null,
    reason text not null,
    constraint return_lines_pkey PRIMARY KEY (return_id, sku),
    constraint return_lines_order_line FOREIGN KEY (order_id, sku) REFERENCES order_lines(order_id, sku),
    constraint return_lines_return FOREIGN KEY (return_id, order_id) REFERENCES returns(id, order_id),
    constraint return_lines_quantity_positive CHECK ((quantity > 0))
);
CREATE INDEX return_lines_order_line ON public.return_lines USING btree (order_id, sku);
grant select on return_lines to vitrine_desk;
grant insert, select on return_lines to vitrine_support;

create table return_receipts (
    return_id uuid not null,
    position integer not null,
    sku text collate "C" not null,
    quantity integer not null,
    condition text not null,
    restock boolean not null,
    constraint return_receipts_pkey PRIMARY KEY (return_id, "position"),
    constraint return_receipts_line FOREIGN KEY (return_id, sku) REFERENCES return_lines(return_id, sku),
    constraint return_receipts_quantity_positive CHECK ((quantity > 0))
);
grant insert, select on return_receipts to vitrine_desk;
grant select on return_receipts to vitrine_support;

create table returns (
    id uuid not null,
    order_id uuid not null,
    state text not null,
    note text not null default ''::text,
    requested_at timestamp with time zone not null,
    requested_by text not null,
    decided_at timestamp with time zone,
    rejection text,
    received_at timestamp with time zone,
    closed_at timestamp with time zone,
    refund_id uuid,
    updated_at timestamp with time zone not null,
    constraint returns_pkey PRIMARY KEY (id),
    constraint returns_of_order UNIQUE (id, order_id),
    constraint returns_refund_unique UNIQUE (refund_id),
    constraint returns_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint returns_refund FOREIGN KEY (refund_id) REFERENCES refunds(id),
    constraint returns_closed_at CHECK (((state = 'closed'::text) = (closed_at IS NOT NULL))),
    constraint returns_decided_at CHECK (((state = 'requested'::text) = (decided_at IS NULL))),
    constraint returns_received_at CHECK (((state = ANY (ARRAY['received'::text, 'closed'::text])) = (received_at IS NOT NULL))),
    constraint returns_refund_what_came CHECK (((refund_id IS NULL) OR (received_at IS NOT NULL))),
    constraint returns_rejected_say_why CHECK (((state = 'rejected'::text) = (rejection IS NOT NULL))),
    constraint returns_state_known CHECK ((state = ANY (ARRAY['requested'::text, 'approved'::text, 'rejected'::text, 'received'::text, 'closed'::text])))
);
CREATE INDEX returns_newest ON public.returns USING btree (requested_at, id);
CREATE INDEX returns_order ON public.returns USING btree (order_id);
CREATE INDEX returns_state ON public.returns USING btree (state, requested_at, id);
grant select, update on returns to vitrine_desk;
grant insert, select on returns to vitrine_support;

create table search_misspellings (
    trace text collate "C" not null,
    word text collate "C" not null,
    constraint search_misspellings_pkey PRIMARY KEY (trace, word)
);
comment on table search_misspellings is 'the first seven letters of a word with none, one or two of them left out: two spellings of a word share a trace';
CREATE INDEX search_misspellings_word ON public.search_misspellings USING btree (word);
grant select on search_misspellings to vitrine_search;
grant delete, insert, select, update on search_misspellings to vitrine_search_jobs;

create table search_popularity (
    sku text collate "C" not null,
    weight double precision not null,
    constraint search_popularity_pkey PRIMARY KEY (sku)
);
comment on column search_popularity.weight is 'sum of units by sales_weight_v1 of their day: what is sold later weighs more, so that nothing that was sold is written again to decay';
grant insert, select, update on search_popularity to vitrine_search_jobs;

create table search_prices (
    product_id uuid not null,
    category_id uuid,
    brand_id uuid,
    price_minor bigint not null,
    in_stock boolean not null,
    constraint search_prices_pkey PRIMARY KEY (product_id)
) with (fillfactor=90);
comment on table search_prices is 'what lists by price walk: the products of search_products that are on lists, and what filters ask of them';
CREATE INDEX search_prices_brand ON public.search_prices USING btree (brand_id, price_minor, product_id) INCLUDE (in_stock);
CREATE INDEX search_prices_brand_category ON public.search_prices USING btree (brand_id, category_id, price_minor, product_id) INCLUDE (in_stock);
CREATE INDEX search_prices_category ON public.search_prices USING btree (category_id, price_minor, product_id) INCLUDE (in_stock);
CREATE INDEX search_prices_in_stock ON public.search_prices USING btree (product_id, price_minor) WHERE in_stock;
CREATE INDEX search_prices_price ON public.search_prices USING btree (price_minor, product_id) INCLUDE (in_stock);
grant select on search_prices to vitrine_search;
grant delete, insert, select, update on search_prices to vitrine_search_jobs;

create table search_products (
    product_id uuid not null,
    slug text collate "C" not null default ''::text,
    sku text collate "C" not null default ''::text,
    name text not null default ''::text,
    brand_id uuid,
    brand_slug text collate "C",
    brand_name text,
    category_id uuid,
    category_path text collate "C",
    category_name text,
    price_minor bigint not null default 0,
    offer_minor bigint not null default 0,
    currency character(3) not null default ''::bpchar,
    in_stock boolean not null default false,
    image_url text,
    created_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
    heat smallint,
    boost real not null default 1,
    tier smallint not null default 9,
    place bigint not null default 0,
    words tsvector not null default ''::tsvector,
    search_text text not null default ''::text,
    source_updated_at timestamp with time zone,
    projected_at timestamp with time zone not null,
    named tsvector not null default ''::tsvector,
    constraint search_products_pkey PRIMARY KEY (product_id),
    constraint search_products_tier_known CHECK ((((tier >= 0) AND (tier <= 4)) OR (tier = 9)))
) with (fillfactor=80);
comment on table search_products is 'a copy for lists; whoever locks its row first reads the product after it, so the last writer has read last';
comment on column search_products.heat is 'popularity in quarters of a doubling; it moves only when popularity has left its step by a margin';
comment on column search_products.named is 'words of name, brand and categories, and what filters ask for; words has the description as well';
comment on column search_products.offer_minor is 'the price of the SKU that is shown: the cheapest in stock, else the cheapest';
comment on column search_products.place is 'ascending is most popular first: tier, then popularity in steps, then a hash of the id';
comment on column search_products.price_minor is 'the lowest price of its variants: sorts and filters';
comment on column search_products.tier is '0 the most popular, 4 the rest; 9 is on no list: not published, gone, or not read yet';
CREATE INDEX search_products_brand_newest ON public.search_products USING btree (brand_id, created_at, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_brand_place ON public.search_products USING btree (brand_id, place, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_category_newest ON public.search_products USING btree (category_id, created_at, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_category_place ON public.search_products USING btree (category_id, place, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_name ON public.search_products USING btree ("left"(search_text, 60) COLLATE "C", place) WHERE (tier <= 4);
CREATE INDEX search_products_named_0 ON public.search_products USING gin (named) WITH (fastupdate=off) WHERE (tier <= 0);
CREATE INDEX search_products_named_1 ON public.search_products USING gin (named) WITH (fastupdate=off) WHERE (tier <= 1);
CREATE INDEX search_products_named_2 ON public.search_products USING gin (named) WITH (fastupdate=off) WHERE (tier <= 2);
CREATE INDEX search_products_named_3 ON public.search_products USING gin (named) WITH (fastupdate=off) WHERE (tier <= 3);
CREATE INDEX search_products_named_4 ON public.search_products USING gin (named) WITH (fastupdate=off) WHERE (tier <= 4);
CREATE INDEX search_products_newest ON public.search_products USING btree (created_at, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_place ON public.search_products USING btree (place, product_id) WHERE (tier <= 4);
CREATE INDEX search_products_words_0 ON public.search_products USING gin (words) WITH (fastupdate=off) WHERE (tier <= 0);
CREATE INDEX search_products_words_1 ON public.search_products USING gin (words) WITH (fastupdate=off) WHERE (tier <= 1);
CREATE INDEX search_products_words_2 ON public.search_products USING gin (words) WITH (fastupdate=off) WHERE (tier <= 2);
CREATE INDEX search_products_words_3 ON public.search_products USING gin (words) WITH (fastupdate=off) WHERE (tier <= 3);
CREATE INDEX search_products_words_4 ON public.search_products USING gin (words) WITH (fastupdate=off) WHERE (tier <= 4);
CREATE TRIGGER search_products_prices AFTER INSERT OR DELETE OR UPDATE ON public.search_products FOR EACH ROW EXECUTE FUNCTION copy_price_v1();
CREATE TRIGGER search_products_texts AFTER INSERT OR DELETE OR UPDATE ON public.search_products FOR EACH ROW EXECUTE FUNCTION copy_text_v1();
grant select on search_products to vitrine_search;
grant delete, insert, select, update on search_products to vitrine_search_jobs;

create table search_rebuild (
    id text not null,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    position uuid,
    done bigint not null default 0,
    total bigint not null default 0,
    words_of timestamp with time zone,
    words_after text collate "C",
    constraint search_rebuild_pkey PRIMARY KEY (id),
    constraint search_rebuild_single CHECK ((id = 'rebuild'::text))
);
comment on column search_rebuild.words_after is 'the vocabulary up to this word says what was counted';
comment on column search_rebuild.words_of is 'started_at of the rebuild whose counts are being put to use; it is under way until then';
grant select, update on search_rebuild to vitrine_search_jobs;

create table search_sales (
    day date not null,
    sku text collate "C" not null,
    units integer not null,
    constraint search_sales_pkey PRIMARY KEY (day, sku),
    constraint search_sales_units_positive CHECK ((units > 0))
);
comment on table search_sales is 'of days that are counted again: what of them is in search_popularity already';
grant delete, insert, select, update on search_sales to vitrine_search_jobs;

create table search_sales_days (
    day date not null,
    counted_at timestamp with time zone not null,
    constraint search_sales_days_pkey PRIMARY KEY (day)
);
comment on table search_sales_days is 'UTC''s days; each is counted again until buyers have had two weeks to give back, then never';
grant insert, select, update on search_sales_days to vitrine_search_jobs;

create table search_sweep (
    id text not null,
    products_since timestamp with time zone not null,
    movements_seen bigint not null,
    constraint search_sweep_pkey PRIMARY KEY (id),
    constraint search_sweep_single CHECK ((id = 'sweep'::text))
);
grant select, update on search_sweep to vitrine_search_jobs;

create table search_texts (
    product_id uuid not null,
    tier smallint not null,
    place bigint not null,
    search_text text not null,
    constraint search_texts_pkey PRIMARY KEY (product_id)
);
comment on table search_texts is 'what substrings are looked for in: the products of search_products that are on lists';
CREATE INDEX search_texts_0 ON public.search_texts USING gin (search_text gin_trgm_ops) WITH (fastupdate=off) WHERE (tier <= 0);
CREATE INDEX search_texts_2 ON public.search_texts USING gin (search_text gin_trgm_ops) WITH (fastupdate=off) WHERE (tier <= 2);
CREATE INDEX search_texts_4 ON public.search_texts USING gin (search_text gin_trgm_ops) WITH (fastupdate=off) WHERE (tier <= 4);
grant select on search_texts to vitrine_search;
grant delete, insert, select, update on search_texts to vitrine_search_jobs;

create table search_tiers (
    tier smallint not null,
    standing_from integer not null,
    products bigint not null,
    constraint search_tiers_pkey PRIMARY KEY (tier),
    constraint search_tiers_known CHECK (((tier >= 0) AND (tier <= 4)))
);
comment on column search_tiers.products is 'how many products this tier and those before it had at the last rebuild';
grant select on search_tiers to vitrine_search;
grant delete, insert, select, update on search_tiers to vitrine_search_jobs;

create table search_variants (
    product_id uuid not null,
    sku text collate "C" not null,
    folded text collate "C" not null,
    in_stock boolean not null,
    constraint search_variants_pkey PRIMARY KEY (product_id, sku)
);
comment on table search_variants is 'what is for sale of a product, by its product so that the lock of search_products covers it';
CREATE INDEX search_variants_folded ON public.search_variants USING btree (folded, product_id);
grant select on search_variants to vitrine_search;
grant delete, insert, select, update on search_variants to vitrine_search_jobs;

create table search_words (
    word text collate "C" not null,
    names integer not null default 0,
    products integer not null default 0,
    counted_names integer not null default 0,
    counted_products integer not null default 0,
    traced boolean not null default false,
    constraint search_words_pkey PRIMARY KEY (word)
) with (fillfactor=80);
comment on column search_words.names is 'products with the word in name, brand or category, about: counted exactly by a rebuild';
comment on column search_words.products is 'products with the word anywhere, about';
comment on column search_words.traced is 'its traces are in search_misspellings';
CREATE INDEX search_words_untraced ON public.search_words USING btree (word) WHERE ((names > 0) AND (NOT traced));
grant select on search_words to vitrine_search;
grant delete, insert, select, update on search_words to vitrine_search_jobs;

create table sessions (
    id uuid not null,
    kind text not null,
    subject uuid not null,
    permissions text[] not null default '{}'::text[],
    created_at timestamp with time zone not null,
    expires_at timestamp with time zone not null,
    revoked_at timestamp with time zone,
    constraint sessions_pkey PRIMARY KEY (id),
    constraint sessions_expire_later CHECK ((expires_at > created_at)),
    constraint sessions_kind_known CHECK ((kind = ANY (ARRAY['customer'::text, 'staff'::text])))
);
grant select on sessions to vitrine_checkout;
grant select on sessions to vitrine_desk;
grant select on sessions to vitrine_inventory;

create table shipment_lines (
    shipment_id uuid not null,
    order_id uuid not null,
    sku text collate "C" not null,
    quantity integer not null,
    constraint shipment_lines_pkey PRIMARY KEY (shipment_id, sku),
    constraint shipment_lines_order_line FOREIGN KEY (order_id, sku) REFERENCES order_lines(order_id, sku),
    constraint shipment_lines_shipment FOREIGN KEY (shipment_id, order_id) REFERENCES shipments(id, order_id),
    constraint shipment_lines_quantity_positive CHECK ((quantity > 0))
);
CREATE INDEX shipment_lines_order_line ON public.shipment_lines USING btree (order_id, sku);
grant select on shipment_lines to vitrine_checkout;
grant select on shipment_lines to vitrine_desk;
grant insert, select on shipment_lines to vitrine_inventory;
grant select on shipment_lines to vitrine_payment_jobs;
grant select on shipment_lines to vitrine_support;

create table shipments (
    id uuid not null,
    order_id uuid not null,
    state text not null,
    carrier text,
    tracking_number text,
    created_at timestamp with time zone not null,
    created_by text not null,
    shipped_at timestamp with time zone,
    delivered_at timestamp with time zone,
    updated_at timestamp with time zone not null,
    paypal_state text,
    paypal_refusal text,
    paypal_looked_at timestamp with time zone,
    constraint shipments_pkey PRIMARY KEY (id),
    constraint shipments_of_order UNIQUE (id, order_id),
    constraint shipments_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint shipments_delivered_at CHECK (((state = 'delivered'::text) = (delivered_at IS NOT NULL))),
    constraint shipments_handed_over_at CHECK (((state = ANY (ARRAY['in_transit'::text, 'delivered'::text, 'exception'::text, 'returned'::text])) = (shipped_at IS NOT NULL))),
    constraint shipments_handed_over_by_number CHECK (((shipped_at IS NULL) OR ((carrier IS NOT NULL) AND (tracking_number IS NOT NULL)))),
    constraint shipments_paypal_knows_the_handed_over CHECK (((shipped_at IS NULL) = (paypal_state IS NULL))),
    constraint shipments_paypal_looked_at CHECK (((paypal_state IS NULL) = (paypal_looked_at IS NULL))),
    constraint shipments_paypal_state_known CHECK ((paypal_state = ANY (ARRAY['due'::text, 'told'::text, 'refused'::text]))),
    constraint shipments_state_known CHECK ((state = ANY (ARRAY['draft'::text, 'label_requested'::text, 'label_purchased'::text, 'voided'::text, 'in_transit'::text, 'delivered'::text, 'exception'::text, 'returned'::text, 'cancelled'::text])))
);
comment on column shipments.paypal_looked_at is 'when its task was last woken: a sweep begins with others';
comment on column shipments.paypal_state is 'of the tracking number: due to be told to PayPal, told, or refused by it for good';
CREATE INDEX shipments_newest ON public.shipments USING btree (created_at, id);
CREATE INDEX shipments_order ON public.shipments USING btree (order_id);
CREATE INDEX shipments_untold ON public.shipments USING btree (paypal_looked_at) WHERE (paypal_state = 'due'::text);
grant select, update on shipments to vitrine_checkout;
grant select, update on shipments to vitrine_desk;
grant insert, select, update on shipments to vitrine_inventory;
grant select, update on shipments to vitrine_payment_jobs;
grant select on shipments to vitrine_support;

create table shop_settings (
    id text not null,
    value jsonb not null,
    version integer not null,
    updated_at timestamp with time zone not null,
    updated_by text not null,
    constraint shop_settings_pkey PRIMARY KEY (id),
    constraint shop_settings_single CHECK ((id = 'shop'::text))
);
grant select on shop_settings to vitrine_checkout;
grant select on shop_settings to vitrine_import_jobs;
grant select, update on shop_settings to vitrine_inventory;
grant select on shop_settings to vitrine_notify;
grant select on shop_settings to vitrine_payment_jobs;
grant select on shop_settings to vitrine_support;

create table slug_history (
    slug text collate "C" not null,
    product_id uuid not null,
    constraint slug_history_pkey PRIMARY KEY (slug),
    constraint slug_history_product FOREIGN KEY (product_id) REFERENCES products(id) ON DELETE CASCADE
);
CREATE INDEX slug_history_product ON public.slug_history USING btree (product_id);
grant delete, insert, select, update on slug_history to vitrine_import_jobs;
grant delete, insert, select, update on slug_history to vitrine_inventory;
grant select on slug_history to vitrine_search;

create table stock_levels (
    sku text collate "C" not null,
    location text collate "C" not null,
    on_hand integer not null,
    held integer not null default 0,
    constraint stock_levels_pkey PRIMARY KEY (sku, location),
    constraint stock_levels_location FOREIGN KEY (location) REFERENCES locations(id),
    constraint stock_levels_held_within CHECK (((held >= 0) AND (held <= on_hand))),
    constraint stock_levels_on_hand_not_negative CHECK ((on_hand >= 0))
) with (fillfactor=50);
grant select, update on stock_levels to vitrine_checkout;
grant select, update on stock_levels to vitrine_desk;
grant insert, select, update on stock_levels to vitrine_import_jobs;
grant insert, select, update on stock_levels to vitrine_inventory;
grant insert, select, update on stock_levels to vitrine_payment_jobs;
grant select on stock_levels to vitrine_search;
grant select on stock_levels to vitrine_search_jobs;

create table stock_movements (
    id bigint not null generated always as identity,
    at timestamp with time zone not null,
    sku text collate "C" not null,
    location text collate "C" not null,
    kind text not null,
    delta_on_hand integer not null,
    delta_held integer not null,
    order_id uuid,
    order_number text,
    actor text not null,
    reason text not null default ''::text,
    constraint stock_movements_pkey PRIMARY KEY (id),
    constraint stock_movements_arithmetic CHECK (
CASE kind
    WHEN 'hold'::text THEN ((delta_on_hand = 0) AND (delta_held > 0))
    WHEN 'allocate'::text THEN ((delta_on_hand = 0) AND (delta_held = 0))
    WHEN 'release'::text THEN ((delta_on_hand = 0) AND (delta_held < 0))
    WHEN 'expire'::text THEN ((delta_on_hand = 0) AND (delta_held < 0))
    WHEN 'cancel'::text THEN ((delta_on_hand = 0) AND (delta_held < 0))
    WHEN 'ship'::text THEN ((delta_on_hand < 0) AND (delta_held = delta_on_hand))
    WHEN 'repair'::text THEN ((delta_on_hand <> 0) OR (delta_held <> 0))
    ELSE (delta_held = 0)
END),
    constraint stock_movements_kind_known CHECK ((kind = ANY (ARRAY['receive'::text, 'adjust'::text, 'count'::text, 'hold'::text, 'allocate'::text, 'release'::text, 'expire'::text, 'cancel'::text, 'ship'::text, 'return'::text, 'repair'::text])))
);
CREATE INDEX stock_movements_order ON public.stock_movements USING btree (order_id) WHERE (order_id IS NOT NULL);
CREATE INDEX stock_movements_sku ON public.stock_movements USING btree (sku, id DESC);
grant insert, select on stock_movements to vitrine_checkout;
grant insert, select on stock_movements to vitrine_desk;
grant insert, select on stock_movements to vitrine_import_jobs;
grant insert, select on stock_movements to vitrine_inventory;
grant insert, select on stock_movements to vitrine_payment_jobs;
grant select on stock_movements to vitrine_search_jobs;

create table synonym_rewrites (
    target tsquery not null,
    lexeme text collate "C" not null,
    substitute tsquery not null,
    synonym_id uuid not null,
    constraint synonym_rewrites_pkey PRIMARY KEY (target),
    constraint synonym_rewrites_synonym FOREIGN KEY (synonym_id) REFERENCES synonyms(id) ON DELETE CASCADE
);
comment on table synonym_rewrites is 'the key says: a word, as search stems it, is widened in one way';
comment on column synonym_rewrites.lexeme is 'one of the target: what a text has none of has nothing to widen';
CREATE INDEX synonym_rewrites_lexeme ON public.synonym_rewrites USING btree (lexeme);
CREATE INDEX synonym_rewrites_synonym ON public.synonym_rewrites USING btree (synonym_id);
grant delete, insert, select on synonym_rewrites to vitrine_inventory;
grant select on synonym_rewrites to vitrine_search;

create table synonyms (
    id uuid not null,
    term text not null,
    synonyms text[] not null,
    one_way boolean not null,
    version integer not null default 1,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    constraint synonyms_pkey PRIMARY KEY (id),
    constraint synonyms_not_empty CHECK ((cardinality(synonyms) > 0))
);
comment on column synonyms.one_way is 'the term finds its synonyms as well, and they do not find it';
CREATE INDEX synonyms_newest ON public.synonyms USING btree (created_at DESC, id);
grant delete, insert, select, update on synonyms to vitrine_inventory;

create table variants (
    sku text collate "C" not null,
    product_id uuid not null,
    position integer not null default 0,
    options jsonb not null default '{}'::jsonb,
    price_minor bigint not null,
    currency character(3) not null,
    weight_g integer,
    tax_class text not null default 'standard'::text,
    active boolean not null default true,
    updated_at timestamp with time zone not null,
    constraint variants_pkey PRIMARY KEY (sku),
    constraint variants_product FOREIGN KEY (product_id) REFERENCES products(id) ON DELETE CASCADE,
    constraint variants_price_not_negative CHECK ((price_minor >= 0)),
    constraint variants_sku_clean CHECK (((sku <> ''::text) AND (length(sku) <= 64))),
    constraint variants_weight_not_negative CHECK ((weight_g >= 0))
);
CREATE INDEX variants_product ON public.variants USING btree (product_id, "position", sku);
grant select on variants to vitrine_checkout;
grant insert, select, update on variants to vitrine_import_jobs;
grant delete, insert, select, update on variants to vitrine_inventory;
grant select on variants to vitrine_search;
grant select on variants to vitrine_search_jobs;

create table voucher_redemptions (
    order_id uuid not null,
    voucher_id uuid not null,
    email text not null,
    customer_id uuid,
    state text not null,
    redeemed_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    constraint voucher_redemptions_pkey PRIMARY KEY (order_id),
    constraint voucher_redemptions_order FOREIGN KEY (order_id) REFERENCES orders(id),
    constraint voucher_redemptions_voucher FOREIGN KEY (voucher_id) REFERENCES vouchers(id),
    constraint voucher_redemptions_state_known CHECK ((state = ANY (ARRAY['redeemed'::text, 'released'::text])))
);
comment on column voucher_redemptions.email is 'folded: with customer_id, who the customer is';
CREATE INDEX voucher_redemptions_customer ON public.voucher_redemptions USING btree (voucher_id, customer_id) WHERE ((state = 'redeemed'::text) AND (customer_id IS NOT NULL));
CREATE INDEX voucher_redemptions_email ON public.voucher_redemptions USING btree (voucher_id, email) WHERE (state = 'redeemed'::text);
CREATE INDEX voucher_redemptions_voucher ON public.voucher_redemptions USING btree (voucher_id);
grant insert, select, update on voucher_redemptions to vitrine_checkout;
grant select, update on voucher_redemptions to vitrine_desk;
grant select on voucher_redemptions to vitrine_inventory;
grant select, update on voucher_redemptions to vitrine_payment_jobs;

create table vouchers (
    id uuid not null,
    code text collate "C" not null,
    kind text not null,
    currency character(3) not null,
    percent numeric(5,2),
    amount_minor bigint,
    minimum_minor bigint not null default 0,
    starts_at timestamp with time zone,
    ends_at timestamp with time zone,
    total_limit integer,
    per_customer_limit integer,
    active boolean not null,
    redeemed integer not null default 0,
    version integer not null default 1,
    created_at timestamp with time zone not null,
    updated_at timestamp with time zone not null,
    constraint vouchers_pkey PRIMARY KEY (id),
    constraint vouchers_code_unique UNIQUE (code),
    constraint vouchers_amount CHECK ((((kind = 'amount'::text) = (amount_minor IS NOT NULL)) AND (amount_minor > 0))),
    constraint vouchers_code_folded CHECK ((code ~ '^[0-9A-Z][0-9A-Z_-]{0,39}$'::text)),
    constraint vouchers_end_later CHECK ((ends_at > starts_at)),
    constraint vouchers_kind_known CHECK ((kind = ANY (ARRAY['percent'::text, 'amount'::text, 'free_shipping'::text]))),
    constraint vouchers_limits_positive CHECK (((total_limit > 0) AND (per_customer_limit > 0))),
    constraint vouchers_minimum_not_negative CHECK ((minimum_minor >= 0)),
    constraint vouchers_percent CHECK ((((kind = 'percent'::text) = (percent IS NOT NULL)) AND (percent > (0)::numeric) AND (percent <= (100)::numeric))),
    constraint vouchers_redeemed_not_negative CHECK ((redeemed >= 0))
) with (fillfactor=50);
comment on column vouchers.redeemed is 'redemptions that stand; more than total_limit only where money came late, or staff lowered the limit';
comment on column vouchers.version is 'of its terms: staff change it, a redemption does not';
grant select on vouchers to vitrine_checkout;
grant select on vouchers to vitrine_desk;
grant delete, insert, select, update on vouchers to vitrine_inventory;
grant select on vouchers to vitrine_payment_jobs;
grant update (redeemed) on vouchers to vitrine_checkout;
grant update (redeemed) on vouchers to vitrine_desk;
grant update (redeemed) on vouchers to vitrine_payment_jobs;

create table webhook_events (
    id uuid not null,
    provider text not null,
    transmission_id text not null,
    event_id text not null,
    event_type text not null,
    body text not null,
    received_at timestamp with time zone not null,
    state text not null,
    verdict text,
    applied_at timestamp with time zone,
    attempts integer not null default 0,
    next_attempt_at timestamp with time zone not null,
    order_ids uuid[] not null default '{}'::uuid[],
    replays integer not null default 0,
    constraint webhook_events_pkey PRIMARY KEY (id),
    constraint webhook_events_event_unique UNIQUE (provider, event_id),
    constraint webhook_events_transmission_unique UNIQUE (provider, transmission_id),
    constraint webhook_events_state_known CHECK ((state = ANY (ARRAY['received'::text, 'applied'::text, 'ignored'::text, 'waiting'::text])))
);
comment on column webhook_events.order_ids is 'the orders that it was found to be about when it was applied';
comment on column webhook_events.replays is 'how often staff had it applied again: then its object is read back whatever the ledger has';
CREATE INDEX webhook_events_open ON public.webhook_events USING btree (next_attempt_at) WHERE (state = ANY (ARRAY['received'::text, 'waiting'::text]));
CREATE INDEX webhook_events_orders ON public.webhook_events USING gin (order_ids);
CREATE INDEX webhook_events_received ON public.webhook_events USING btree (received_at DESC, id);
CREATE INDEX webhook_events_stray ON public.webhook_events USING btree (received_at, id) WHERE ((state = 'waiting'::text) OR ((state = 'ignored'::text) AND (verdict = 'foreign'::text)));
grant insert, select, update on webhook_events to vitrine_payment_jobs;
grant insert, select on webhook_events to vitrine_webhooks;
grant select (applied_at, attempts, body, event_id, event_type, id, next_attempt_at, order_ids, provider, received_at, replays, state, transmission_id, verdict) on webhook_events to vitrine_desk;
grant update (applied_at, next_attempt_at, replays, state) on webhook_events to vitrine_desk;

create table webhook_refusals (
    provider text not null,
    reason text not null,
    day date not null,
    count bigint not null,
    constraint webhook_refusals_pkey PRIMARY KEY (provider, reason, day)
);
grant select on webhook_refusals to vitrine_desk;
grant insert, select, update on webhook_refusals to vitrine_webhooks;

CREATE OR REPLACE FUNCTION public.accessories_v1()
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN '{accessori,backpack,bag,bracket,case,cover,dock,filter,guard,holder,lock,mount,pad,pouch,protector,replac,rest,sleev,spare,stand,strap,tray}'::text[];
grant execute on function accessories_v1() to vitrine_search;
grant execute on function accessories_v1() to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.admit_open_order_v1(p_cart_id text, p_email text, p_network text, p_replaces uuid, p_per_email integer, p_per_network integer, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    open_orders bigint;
    first_free timestamptz;
    locked_until timestamptz := checkout_locked_until_v1(p_cart_id, p_email, p_network, p_now);
begin
    if locked_until is not null then
        perform refuse_v1('CheckoutLocked',
            jsonb_build_object('retry_after_s', greatest(1, ceil(extract(epoch from locked_until - p_now)))::int));
    end if;
    -- Classes of their own, always e-mail before network: 7201 and 7202 name them, nothing else takes these numbers.
    perform pg_advisory_xact_lock(7201, hashtext(lower(p_email)));
    perform pg_advisory_xact_lock(7202, hashtext(p_network));
    select count(*), min(hold_expires_at) into open_orders, first_free from orders
        where lower(email) = lower(p_email) and id is distinct from p_replaces
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'));
    if open_orders >= p_per_email then
        perform refuse_v1('TooManyOpenOrders', jsonb_build_object('per', 'email', 'limit', p_per_email,
            'retry_after_s', greatest(1, ceil(extract(epoch from first_free - p_now)))::int));
    end if;
    select count(*), min(hold_expires_at) into open_orders, first_free from orders
        where client_network = p_network and id is distinct from p_replaces
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'));
    if open_orders >= p_per_network then
        perform refuse_v1('TooManyOpenOrders', jsonb_build_object('per', 'network', 'limit', p_per_network,
            'retry_after_s', greatest(1, ceil(extract(epoch from first_free - p_now)))::int));
    end if;
end $function$;
grant execute on function admit_open_order_v1(text,text,text,uuid,integer,integer,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.allocate_stock_v1(p_order_id uuid, p_number text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        select p_now, sku, location, 'allocate', 0, 0, p_order_id, p_number, 'paypal', 'paid'
        from order_lines where order_id = p_order_id and held > 0 order by sku, location;
    update order_lines set allocated = allocated + held, held = 0 where order_id = p_order_id and held > 0;
end $function$;
grant execute on function allocate_stock_v1(uuid,text,timestamp with time zone) to vitrine_checkout;
grant execute on function allocate_stock_v1(uuid,text,timestamp with time zone) to vitrine_desk;
grant execute on function allocate_stock_v1(uuid,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.await_approval_v1(p_scope text, p_route text, p_key text, p_token uuid, p_status integer, p_body text, p_order_id uuid, p_order_status text, p_replaces text, p_paypal_order_id text, p_approve_url text, p_published uuid[], p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    locked orders;
begin
    perform store_answer_v1(p_scope, p_route, p_key, p_token, p_status, p_body);
    select * into locked from orders where id = p_order_id for update;
    if locked.status <> p_order_status or (locked.paypal_order_id is distinct from p_replaces
            and locked.paypal_order_id is distinct from p_paypal_order_id) then
        perform refuse_v1('OrderMoved', jsonb_build_object('status', locked.status));
    end if;
    if (locked.paypal_order_id, locked.approve_url) is distinct from (p_paypal_order_id, p_approve_url) then
        update orders set paypal_order_id = p_paypal_order_id, approve_url = p_approve_url, updated_at = p_now
            where id = p_order_id;
    end if;
    update outbox set published_at = p_now where id = any (p_published) and published_at is null;
end $function$;
grant execute on function await_approval_v1(text,text,text,uuid,integer,text,uuid,text,text,text,text,uuid[],timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.beside_v1(typed text)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select case
        when typed ~* '\mfor\M' or coalesce(bool_or(w.lexeme = any (accessories_v1())), true) then ''::tsquery
        else array_to_tsvector(array[':g:' || (array_agg(w.lexeme order by w.positions[1] desc))[1]])::text::tsquery
            || replace(array_to_tsvector(array_agg(':f:' || w.lexeme))::text, ''' ''', ''' & ''')::tsquery
    end
    from unnest(to_tsvector('public.shop', parted_v1(typed))) w
$function$;
grant execute on function beside_v1(text) to vitrine_search;

CREATE OR REPLACE FUNCTION public.cart_json_v1(p_id text)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_material TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select to_jsonb(c) || jsonb_build_object('lines', coalesce((
        select jsonb_agg(jsonb_build_object(
            'sku', l.sku, 'quantity', l.quantity, 'seen_price_minor', l.seen_price_minor, 'name', l.name,
            'product_name', p.name, 'slug', p.slug, 'options', coalesce(v.options, '{}'), 'price_minor', v.price_minor,
            'currency', v.currency, 'weight_g', v.weight_g, 'tax_class', v.tax_class,
            'sellable', coalesce(v.active and p.published_at is not null, false),
            'available', coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0)) order by l.added_at, l.sku)
        from cart_lines l
        left join variants v on v.sku = l.sku
        left join products p on p.id = v.product_id
        left join stock_levels s on s.sku = l.sku and s.location = 'main'
        left join orders o on o.cart_id = c.id and o.status = 'pending_payment'
        left join order_lines own on own.order_id = o.id and own.sku = l.sku
        where l.cart_id = c.id), '[]'))
    from carts c where c.id = p_id);
end $function$;
grant execute on function cart_json_v1(text) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.cart_json_v2(p_id text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_material TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select to_jsonb(c) || jsonb_build_object('lines', coalesce((
        select jsonb_agg(jsonb_build_object(
            'sku', l.sku, 'quantity', l.quantity, 'seen_price_minor', l.seen_price_minor, 'name', l.name,
            'product_name', p.name, 'slug', p.slug, 'options', coalesce(v.options, '{}'), 'price_minor', v.price_minor,
            'currency', v.currency, 'weight_g', v.weight_g, 'tax_class', v.tax_class,
            'sellable', coalesce(v.active and p.published_at <= p_now, false),
            'available', coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0)) order by l.added_at, l.sku)
        from cart_lines l
        left join variants v on v.sku = l.sku
        left join products p on p.id = v.product_id
        left join stock_levels s on s.sku = l.sku and s.location = 'main'
        left join orders o on o.cart_id = c.id and o.status = 'pending_payment'
        left join order_lines own on own.order_id = o.id and own.sku = l.sku
        where l.cart_id = c.id), '[]'))
    from carts c where c.id = p_id);
end $function$;
grant execute on function cart_json_v2(text,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.cart_voucher_v1(p_cart_id text, p_email text, p_customer_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    cart carts;
begin
    select * into cart from carts where id = p_cart_id;
    if cart.voucher_code is null then
        return null;
    end if;
    return voucher_json_v1(cart.voucher_code, coalesce(p_email, cart.email), coalesce(p_customer_id, cart.customer_id),
        (select o.id from orders o where o.cart_id = p_cart_id and o.status = 'pending_payment'));
end $function$;
grant execute on function cart_voucher_v1(text,text,uuid) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.checkout_locked_until_v1(p_cart_id text, p_email text, p_network text, p_now timestamp with time zone)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select max(locked_until) from checkout_lockouts
    where (kind, subject) in (('cart', p_cart_id), ('email', lower(p_email)), ('network', p_network))
        and locked_until > p_now);
end $function$;
grant execute on function checkout_locked_until_v1(text,text,text,timestamp with time zone) to vitrine_checkout;
grant execute on function checkout_locked_until_v1(text,text,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.claim_key_v1(p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamp with time zone, p_until timestamp with time zone, OUT state text, OUT answer_status integer, OUT answer_body text)
 RETURNS record
 LANGUAGE plpgsql
AS $function$
declare
    found_key idempotency_keys;
begin
    insert into idempotency_keys as k (scope, route, key, request_hash, lease_token, leased_until, created_at)
    values (p_scope, p_route, p_key, p_hash, p_token, p_until, p_now)
    on conflict (scope, route, key) do update
        set lease_token = p_token, leased_until = p_until, request_hash = p_hash,
            answer_status = null, answer_body = null,
            created_at = case when k.created_at <= p_now - interval '48 hours' then p_now else k.created_at end
        where k.created_at <= p_now - interval '48 hours'
            or (k.request_hash = p_hash and k.answer_status is null and (k.leased_until is null or k.leased_until <= p_now
                    or k.lease_token = p_token));
    if found then
        state := 'mine';
        return;
    end if;
    select * into found_key from idempotency_keys where scope = p_scope and route = p_route and key = p_key;
    if found_key.request_hash is distinct from p_hash then
        state := 'reused';
    elsif found_key.answer_status is not null then
        state := 'answered';
        answer_status := found_key.answer_status;
        answer_body := found_key.answer_body;
    else
        state := 'in_flight';
    end if;
end $function$;
grant execute on function claim_key_v1(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone) to vitrine_checkout;
grant execute on function claim_key_v1(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone) to vitrine_desk;
grant execute on function claim_key_v1(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone) to vitrine_inventory;
grant execute on function claim_key_v1(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone) to vitrine_support;

CREATE OR REPLACE FUNCTION public.copy_price_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    if tg_op = 'DELETE' or new.tier = 9 then
        delete from search_prices where product_id = case tg_op when 'DELETE' then old.product_id else new.product_id end;
    elsif tg_op = 'INSERT' or old.tier = 9 or (new.category_id, new.brand_id, new.price_minor, new.in_stock)
            is distinct from (old.category_id, old.brand_id, old.price_minor, old.in_stock) then
        insert into search_prices (product_id, category_id, brand_id, price_minor, in_stock)
            values (new.product_id, new.category_id, new.brand_id, new.price_minor, new.in_stock)
            on conflict (product_id) do update set category_id = excluded.category_id, brand_id = excluded.brand_id,
                price_minor = excluded.price_minor, in_stock = excluded.in_stock;
    end if;
    return null;
end $function$;

CREATE OR REPLACE FUNCTION public.copy_text_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    if tg_op = 'DELETE' or new.tier = 9 then
        delete from search_texts where product_id = case tg_op when 'DELETE' then old.product_id else new.product_id end;
    elsif tg_op = 'INSERT' or (new.tier, new.place, new.search_text) is distinct from (old.tier, old.place, old.search_text) then
        insert into search_texts (product_id, tier, place, search_text)
            values (new.product_id, new.tier, new.place, new.search_text)
            on conflict (product_id) do update set tier = excluded.tier, place = excluded.place,
                search_text = excluded.search_text;
    end if;
    return null;
end $function$;

CREATE OR REPLACE FUNCTION public.density_v1(words tsvector, asked tsquery)
 RETURNS real
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ts_rank_cd('{0.3,0.4,0.4,1}'::real[], words, asked, 1);
grant execute on function density_v1(tsvector,tsquery) to vitrine_search;

CREATE OR REPLACE FUNCTION public.filter_lexemes_v1(brand text, category text, price_minor bigint, in_stock boolean)
 RETURNS tsvector
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
declare
    step constant integer := public.price_step_v1(price_minor);
    lexemes text[] := array['p:' || step, 'q:' || step / 8];
    path text := category;
begin
    if brand is not null then
        lexemes := lexemes || ('b:' || brand);
    end if;
    if in_stock then
        lexemes := lexemes || 's:1'::text;
    end if;
    while path <> '' loop
        lexemes := lexemes || ('c:' || path);
        path := substring(path from '^(.*)/');
    end loop;
    return array_to_tsvector(lexemes);
end $function$;
grant execute on function filter_lexemes_v1(text,text,bigint,boolean) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.fold_v1(words text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN lower(unaccent('unaccent'::regdictionary, words));
grant execute on function fold_v1(text) to vitrine_import_jobs;
grant execute on function fold_v1(text) to vitrine_inventory;
grant execute on function fold_v1(text) to vitrine_search;
grant execute on function fold_v1(text) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.goes_with_v1(name text, words tsvector)
 RETURNS tsvector
 LANGUAGE plpgsql
 IMMUTABLE PARALLEL SAFE
AS $function$
declare
    thing constant text := split_part(lower(name), ' for ', 1);
begin
    -- Most names say nothing of the kind, and this is asked with each new price.
    if thing = lower(name) and not words @@ (array_to_string(accessories_v1(), ':A|') || ':A')::tsquery then
        return '';
    end if;
    return (
        with said as (
            select s.part, w.lexeme, place
            from regexp_split_to_table(thing, '[,;:|(+]| - ') with ordinality as s (name, part),
                unnest(to_tsvector('public.shop', parted_v1(s.name))) w, unnest(w.positions) as place
        ), beside as (
            -- The second word before it too, where no stop word stands between; but `shirt long sleeve` is a shirt.
            select s.lexeme from said s where s.lexeme <> all (accessories_v1())
            group by s.lexeme having bool_and(exists (
                select from said a where a.part = s.part and a.lexeme = any (accessories_v1())
                    and (a.place = s.place + 1 or a.place = s.place + 2 and a.lexeme <> 'sleev' and exists (
                        select from said b where b.part = s.part and b.place = s.place + 1))))
        ), told as (
            select ':g:' || lexeme as lexeme from beside
            union all
            select ':f:' || w.lexeme from unnest(to_tsvector('public.shop', parted_v1(substr(lower(name), length(thing) + 5)))) w
            where w.lexeme not in (select lexeme from said)
        )
        -- A lexeme has 2 kB at most.
        select coalesce(array_to_tsvector(array_agg(lexeme)), '') from told where length(lexeme) < 256);
end $function$;
grant execute on function goes_with_v1(text,tsvector) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.heat_v1(p_heat smallint, p_popularity double precision)
 RETURNS smallint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select case when abs(step - p_heat) < 0.8 then p_heat else round(step)::smallint end
    from (select 4 * ln(1 + p_popularity) / ln(2::float8) as step) steps
$function$;
grant execute on function heat_v1(smallint,double precision) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.hold_stock_v1(p_order_id uuid, p_number text, p_lines jsonb, p_actor text, p_reason text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    line record;
    short jsonb;
begin
    insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
    select p_now, l.sku, l.location, 'hold', 0, l.quantity, p_order_id, p_number, p_actor, p_reason
    from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer) order by l.sku, l.location;
    for line in
        select l.sku, l.location, l.quantity from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer)
        order by l.sku, l.location
    loop
        update stock_levels set held = held + line.quantity
            where sku = line.sku and location = line.location and on_hand - held >= line.quantity;
        if not found then
            select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity,
                    'available', coalesce(s.on_hand - s.held, 0)) order by l.sku)
            into short
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer)
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.sku >= line.sku and (l.sku = line.sku or coalesce(s.on_hand - s.held, 0) < l.quantity);
            perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
        end if;
    end loop;
end $function$;
grant execute on function hold_stock_v1(uuid,text,jsonb,text,text,timestamp with time zone) to vitrine_checkout;
grant execute on function hold_stock_v1(uuid,text,jsonb,text,text,timestamp with time zone) to vitrine_desk;
grant execute on function hold_stock_v1(uuid,text,jsonb,text,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.issue_document_v1(p_id uuid, p_before integer, p_content jsonb, p_prefix text, p_now timestamp with time zone)
 RETURNS text
 LANGUAGE plpgsql
AS $function$
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
end $function$;
grant execute on function issue_document_v1(uuid,integer,jsonb,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.keep_issued_documents_v1()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    raise exception 'document % is issued: it neither changes nor goes', old.number;
end $function$;

CREATE OR REPLACE FUNCTION public.learn_words_v1(p_told uuid[], p_counted uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin
    insert into search_words as w (word, names, products, counted_names, counted_products)
        select word, count(*) filter (where named and product_id = any (p_told)),
            count(*) filter (where product_id = any (p_told)),
            count(*) filter (where named and product_id = any (p_counted)),
            count(*) filter (where product_id = any (p_counted))
        from words_of_products_v1(p_told || p_counted)
        group by word order by word collate "C"
        on conflict (word) do update set names = w.names + excluded.names, products = w.products + excluded.products,
            counted_names = w.counted_names + excluded.counted_names,
            counted_products = w.counted_products + excluded.counted_products;
    with untraced as (
        update search_words set traced = true where names > 0 and not traced returning word
    )
    insert into search_misspellings (trace, word)
        select trace, word from untraced, misspelling_traces_v1(word) as trace order by trace, word
        on conflict do nothing;
end $function$;
grant execute on function learn_words_v1(uuid[],uuid[]) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.lock_order_v1(p_order_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
declare
    locked orders;
    stock_is_there boolean := false;
begin
    perform 1 from carts where id = (select cart_id from orders where id = p_order_id) for update;
    select * into locked from orders where id = p_order_id for update;
    if not found then
        return null;
    end if;
    if locked.status = 'on_hold' and exists (
            select 1 from order_lines where order_id = p_order_id and held + allocated + consumed < quantity) then
        perform lock_vouchers_v1(p_order_id, null);
        perform 1 from stock_levels s join order_lines l on l.sku = s.sku and l.location = s.location
            where l.order_id = p_order_id order by s.sku, s.location for update of s;
        select coalesce(bool_and(coalesce(s.on_hand - s.held, 0) >= l.quantity - l.held), false) into stock_is_there
            from order_lines l left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.order_id = p_order_id;
    end if;
    return jsonb_build_object(
        'order', order_json_v2(p_order_id),
        'attempts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]')
                     from capture_attempts a where a.order_id = p_order_id),
        'facts', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                  from payment_facts f where f.order_id = p_order_id),
        'cart_is_taken', exists (
            select 1 from orders o where o.cart_id = locked.cart_id and o.id <> p_order_id
                and o.status not in ('expired', 'cancelled')),
        'stock_is_there', stock_is_there,
        'locked_until', null);
end $function$;
grant execute on function lock_order_v1(uuid) to vitrine_desk;

CREATE OR REPLACE FUNCTION public.lock_vouchers_v1(p_order_id uuid, p_voucher_id uuid)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    perform 1 from vouchers
        where id = p_voucher_id or id = (select voucher_id from voucher_redemptions where order_id = p_order_id)
        order by id for update;
end $function$;
grant execute on function lock_vouchers_v1(uuid,uuid) to vitrine_checkout;
grant execute on function lock_vouchers_v1(uuid,uuid) to vitrine_desk;
grant execute on function lock_vouchers_v1(uuid,uuid) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.misspelling_traces_v1(word text)
 RETURNS SETOF text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    with start as (select left(word, 7) as letters)
    select letters from start
    union
    select overlay(letters placing '' from n for 1) from start, generate_series(1, length(letters)) as n
    union
    select overlay(overlay(letters placing '' from m for 1) placing '' from n for 1)
    from start, generate_series(1, length(letters)) as n, generate_series(n + 1, length(letters)) as m
    where length(letters) > 4
$function$;
grant execute on function misspelling_traces_v1(text) to vitrine_search;
grant execute on function misspelling_traces_v1(text) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.order_json_v1(p_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select to_jsonb(o) || jsonb_build_object(
        'lines', (select coalesce(jsonb_agg(to_jsonb(l) - array['order_id', 'discount_minor', 'tax_rate'] order by l.position), '[]')
                  from order_lines l where l.order_id = o.id),
        'refunds', (select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' order by r.requested_at, r.id), '[]')
                    from refunds r where r.order_id = o.id),
        'attempt', (select to_jsonb(a) - 'order_id' from capture_attempts a
                    where a.order_id = o.id order by a.requested_at desc, a.id limit 1))
    from orders o where o.id = p_id);
end $function$;
grant execute on function order_json_v1(uuid) to vitrine_checkout;
grant execute on function order_json_v1(uuid) to vitrine_desk;
grant execute on function order_json_v1(uuid) to vitrine_inventory;
grant execute on function order_json_v1(uuid) to vitrine_payment_jobs;
grant execute on function order_json_v1(uuid) to vitrine_support;

CREATE OR REPLACE FUNCTION public.order_json_v2(p_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select to_jsonb(o) || jsonb_build_object(
        'shipping_tax_rate', o.shipping_tax_rate::text,
        'lines', (select coalesce(jsonb_agg(to_jsonb(l) - 'order_id' || jsonb_build_object('tax_rate', l.tax_rate::text)
                    order by l.position), '[]')
                  from order_lines l where l.order_id = o.id),
        'refunds', (select coalesce(jsonb_agg(to_jsonb(r) - 'order_id' order by r.requested_at, r.id), '[]')
                    from refunds r where r.order_id = o.id),
        'attempt', (select to_jsonb(a) - 'order_id' from capture_attempts a
                    where a.order_id = o.id order by a.requested_at desc, a.id limit 1),
        'shipments', (select coalesce(jsonb_agg(jsonb_build_object(
                'id', s.id, 'order_id', s.order_id, 'state', s.state, 'carrier', s.carrier,
                'tracking_number', s.tracking_number, 'created_at', s.created_at, 'shipped_at', s.shipped_at,
                'delivered_at', s.delivered_at,
                'lines', (select coalesce(jsonb_agg(jsonb_build_object('sku', l.sku, 'quantity', l.quantity) order by l.sku), '[]')
                          from shipment_lines l where l.shipment_id = s.id)) order by s.created_at, s.id), '[]')
            from shipments s where s.order_id = o.id))
    from orders o where o.id = p_id);
end $function$;
grant execute on function order_json_v2(uuid) to vitrine_checkout;
grant execute on function order_json_v2(uuid) to vitrine_desk;
grant execute on function order_json_v2(uuid) to vitrine_inventory;
grant execute on function order_json_v2(uuid) to vitrine_payment_jobs;
grant execute on function order_json_v2(uuid) to vitrine_support;

CREATE OR REPLACE FUNCTION public.parted_v1(words text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN regexp_replace(words, '[-/~+_]|\.(?=[A-Za-z])|(?<=[A-Za-z])\.'::text, ' '::text, 'g'::text);
grant execute on function parted_v1(text) to vitrine_import_jobs;
grant execute on function parted_v1(text) to vitrine_inventory;
grant execute on function parted_v1(text) to vitrine_search;
grant execute on function parted_v1(text) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.partial_relevance_v1(words tsvector, any_of tsquery, boost real)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (((ts_rank('{0.3,0.4,0.4,1}'::real[], words, any_of, 1) * boost) * ('1000000'::numeric)::double precision))::bigint;
grant execute on function partial_relevance_v1(tsvector,tsquery,real) to vitrine_search;

CREATE OR REPLACE FUNCTION public.place_order_v1(p_scope text, p_route text, p_key text, p_token uuid, p_order jsonb, p_lines jsonb, p_event_id uuid, p_cancel_event_id uuid, p_actor text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_material TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    fresh orders;
    open_order orders;
    cart carts;
    changed jsonb;
    short jsonb;
    placed jsonb;
begin
    perform 1 from idempotency_keys where scope = p_scope and route = p_route and key = p_key and lease_token = p_token for update;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
    fresh := jsonb_populate_record(null::orders, p_order);
    select * into cart from carts where id = fresh.cart_id for update;
    if not found or cart.version <> fresh.cart_version then
        perform refuse_v1('CartChanged', jsonb_build_object('version', cart.version));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id and cart_version = fresh.cart_version and status not in ('expired', 'cancelled');
    if found then
        return jsonb_build_object('order', order_json_v1(open_order.id), 'placed', false);
    end if;

    -- Unlocked and cheap: a sold-out flash sale is refused before anything is written. What is no longer sold is not there.
    select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity, 'available', l.available) order by l.sku)
            filter (where l.available < l.quantity),
        jsonb_agg(jsonb_build_object('sku', l.sku, 'was', l.unit_price_minor, 'now', l.price_minor) order by l.sku)
            filter (where l.price_minor <> l.unit_price_minor or l.currency <> fresh.currency)
        into short, changed
        from (
            select l.sku, l.quantity, l.unit_price_minor, v.price_minor, v.currency,
                case when v.active and p.published_at is not null
                    then coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0) else 0 end as available
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer,
                unit_price_minor bigint)
            left join variants v on v.sku = l.sku
            left join products p on p.id = v.product_id
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            left join order_lines own on own.sku = l.sku and own.location = l.location and own.order_id = (
                select o.id from orders o where o.cart_id = fresh.cart_id and o.status = 'pending_payment')
        ) l;
    if short is not null then
        perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
    end if;
    if changed is not null then
        perform refuse_v1('PriceChanged', jsonb_build_object('lines', changed));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'))
        for update;
    if found then
        if open_order.status = 'on_hold' or exists (
            select 1 from capture_attempts where order_id = open_order.id and state in ('requested', 'pending', 'completed')) then
            perform refuse_v1('PaymentInProgress', jsonb_build_object('order_id', open_order.id));
        end if;
        -- One pass over both orders' stock in lock order, before either is touched.
        perform 1 from stock_levels s
            where (s.sku, s.location) in (
                select sku, location from order_lines where order_id = open_order.id
                union select l.sku, l.location from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C"))
            order by s.sku, s.location for update;
        perform release_stock_v1(open_order.id, open_order.number, 'cancel', p_actor, 'cart placed again', p_now);
        update orders set status = 'cancelled', status_reason = 'replaced', updated_at = p_now where id = open_order.id;
        insert into outbox (id, destination, name, payload, created_at)
        values (p_cancel_event_id, 'topic:orders', 'order.cancelled',
            jsonb_build_object('order', order_json_v1(open_order.id)), p_now);
    end if;

    insert into orders (id, number, cart_id, cart_version, status, email, customer_id, client_network, currency,
            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, placed_at, hold_expires_at, updated_at)
        values (fresh.id, fresh.number, fresh.cart_id, fresh.cart_version, 'pending_payment', fresh.email,
            fresh.customer_id, fresh.client_network, fresh.currency, fresh.subtotal_minor, fresh.discount_minor,
            fresh.shipping_minor, fresh.tax_minor, fresh.total_minor, fresh.shipping_address, fresh.shipping_option,
            fresh.prices_include_tax, fresh.placed_at, fresh.hold_expires_at, p_now);
    insert into order_lines (order_id, sku, location, position, name, options, quantity, unit_price_minor, total_minor,
            tax_minor, tax_class, held)
        select fresh.id, l.sku, l.location, l.position, l.name, l.options, l.quantity, l.unit_price_minor, l.total_minor,
            l.tax_minor, l.tax_class, l.quantity
        from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", position integer, name text, options jsonb,
            quantity integer, unit_price_minor bigint, total_minor bigint, tax_minor bigint, tax_class text);
    -- Nothing but the holds, which everybody wants, comes after this: their rows stay locked for the commit alone.
    placed := order_json_v1(fresh.id);
    insert into outbox (id, destination, name, payload, created_at)
        values (p_event_id, 'topic:orders', 'order.placed', jsonb_build_object('order', placed), p_now);
    perform hold_stock_v1(fresh.id, fresh.number, p_lines, p_actor, 'checkout', p_now);
    return jsonb_build_object('order', placed, 'placed', true);
end $function$;
grant execute on function place_order_v1(text,text,text,uuid,jsonb,jsonb,uuid,uuid,text,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.place_order_v2(p_scope text, p_route text, p_key text, p_token uuid, p_order jsonb, p_lines jsonb, p_event_id uuid, p_cancel_event_id uuid, p_actor text, p_open_per_email integer, p_open_per_network integer, p_voucher_id uuid, p_voucher_version integer, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_material TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    fresh orders;
    open_order orders;
    cart carts;
    changed jsonb;
    short jsonb;
    placed jsonb;
begin
    perform 1 from idempotency_keys where scope = p_scope and route = p_route and key = p_key and lease_token = p_token for update;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
    fresh := jsonb_populate_record(null::orders, p_order);
    select * into cart from carts where id = fresh.cart_id for update;
    if not found or cart.version <> fresh.cart_version then
        perform refuse_v1('CartChanged', jsonb_build_object('version', cart.version));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id and cart_version = fresh.cart_version and status not in ('expired', 'cancelled');
    if found then
        return jsonb_build_object('order', order_json_v2(open_order.id), 'placed', false);
    end if;
    -- The quote has looked as well, and much may have happened since: a bot check, another's turn.
    if not (select (value ->> 'orders_open')::boolean from shop_settings where id = 'shop') then
        perform refuse_v1('OrdersClosed');
    end if;

    -- Unlocked and cheap: a sold-out flash sale is refused before anything is written. What is no longer sold is not there.
    select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity, 'available', l.available) order by l.sku)
            filter (where l.available < l.quantity),
        jsonb_agg(jsonb_build_object('sku', l.sku, 'was', l.unit_price_minor, 'now', l.price_minor) order by l.sku)
            filter (where l.price_minor <> l.unit_price_minor or l.currency <> fresh.currency)
        into short, changed
        from (
            select l.sku, l.quantity, l.unit_price_minor, v.price_minor, v.currency,
                case when v.active and p.published_at is not null
                    then coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0) else 0 end as available
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer,
                unit_price_minor bigint)
            left join variants v on v.sku = l.sku
            left join products p on p.id = v.product_id
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            left join order_lines own on own.sku = l.sku and own.location = l.location and own.order_id = (
                select o.id from orders o where o.cart_id = fresh.cart_id and o.status = 'pending_payment')
        ) l;
    if short is not null then
        perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
    end if;
    if changed is not null then
        perform refuse_v1('PriceChanged', jsonb_build_object('lines', changed));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'))
        for update;
    if found then
        if open_order.status = 'on_hold' or exists (
            select 1 from capture_attempts where order_id = open_order.id and state in ('requested', 'pending', 'completed')) then
            perform refuse_v1('PaymentInProgress', jsonb_build_object('order_id', open_order.id));
        end if;
    end if;
    -- Here, because what comes next writes, and locks stock: nobody who waits for a client's turn keeps a row of stock.
    perform admit_open_order_v1(fresh.cart_id, fresh.email, fresh.client_network, open_order.id, p_open_per_email,
        p_open_per_network, p_now);
    if p_voucher_id is not null or open_order.voucher_code is not null then
        perform lock_vouchers_v1(open_order.id, p_voucher_id);
        perform release_voucher_v1(open_order.id, p_now);
        perform redeem_voucher_v1(p_voucher_id, p_voucher_version, fresh.email, fresh.customer_id, p_now);
    end if;
    if open_order.id is not null then
        -- One pass over both orders' stock in lock order, before either is touched.
        perform 1 from stock_levels s
            where (s.sku, s.location) in (
                select sku, location from order_lines where order_id = open_order.id
                union select l.sku, l.location from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C"))
            order by s.sku, s.location for update;
        perform release_stock_v1(open_order.id, open_order.number, 'cancel', p_actor, 'cart placed again', p_now);
        update orders set status = 'cancelled', status_reason = 'replaced', updated_at = p_now where id = open_order.id;
        insert into outbox (id, destination, name, payload, created_at)
        values (p_cancel_event_id, 'topic:orders', 'order.cancelled',
            jsonb_build_object('order', order_json_v2(open_order.id)), p_now);
    end if;

    insert into orders (id, number, cart_id, cart_version, status, email, customer_id, client_network, currency,
            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, shipping_tax_rate, voucher_code, placed_at, hold_expires_at, updated_at)
        values (fresh.id, fresh.number, fresh.cart_id, fresh.cart_version, 'pending_payment', fresh.email,
            fresh.customer_id, fresh.client_network, fresh.currency, fresh.subtotal_minor, fresh.discount_minor,
            fresh.shipping_minor, fresh.tax_minor, fresh.total_minor, fresh.shipping_address, fresh.shipping_option,
            fresh.prices_include_tax, fresh.shipping_tax_rate, fresh.voucher_code, fresh.placed_at, fresh.hold_expires_at,
            p_now);
    insert into order_lines (order_id, sku, location, position, name, options, quantity, unit_price_minor, total_minor,
            discount_minor, tax_minor, tax_class, tax_rate, held)
        select fresh.id, l.sku, l.location, l.position, l.name, l.options, l.quantity, l.unit_price_minor, l.total_minor,
            l.discount_minor, l.tax_minor, l.tax_class, l.tax_rate, l.quantity
        from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", position integer, name text, options jsonb,
            quantity integer, unit_price_minor bigint, total_minor bigint, discount_minor bigint, tax_minor bigint,
            tax_class text, tax_rate numeric);
    if p_voucher_id is not null then
        insert into voucher_redemptions (order_id, voucher_id, email, customer_id, state, redeemed_at, updated_at)
            values (fresh.id, p_voucher_id, lower(fresh.email), fresh.customer_id, 'redeemed', p_now, p_now);
    end if;
    -- Nothing but the holds, which everybody wants, comes after this: their rows stay locked for the commit alone.
    placed := order_json_v2(fresh.id);
    insert into outbox (id, destination, name, payload, created_at)
        values (p_event_id, 'topic:orders', 'order.placed', jsonb_build_object('order', placed), p_now);
    perform hold_stock_v1(fresh.id, fresh.number, p_lines, p_actor, 'checkout', p_now);
    return jsonb_build_object('order', placed, 'placed', true);
end $function$;
grant execute on function place_order_v2(text,text,text,uuid,jsonb,jsonb,uuid,uuid,text,integer,integer,uuid,integer,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.place_order_v3(p_scope text, p_route text, p_key text, p_token uuid, p_order jsonb, p_lines jsonb, p_event_id uuid, p_cancel_event_id uuid, p_actor text, p_open_per_email integer, p_open_per_network integer, p_voucher_id uuid, p_voucher_version integer, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET enable_hashjoin TO 'off'
 SET enable_mergejoin TO 'off'
 SET enable_material TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    fresh orders;
    open_order orders;
    cart carts;
    changed jsonb;
    short jsonb;
    placed jsonb;
begin
    perform 1 from idempotency_keys where scope = p_scope and route = p_route and key = p_key and lease_token = p_token for update;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
    fresh := jsonb_populate_record(null::orders, p_order);
    select * into cart from carts where id = fresh.cart_id for update;
    if not found or cart.version <> fresh.cart_version then
        perform refuse_v1('CartChanged', jsonb_build_object('version', cart.version));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id and cart_version = fresh.cart_version and status not in ('expired', 'cancelled');
    if found then
        return jsonb_build_object('order', order_json_v2(open_order.id), 'placed', false);
    end if;
    -- The quote has looked as well, and much may have happened since: a bot check, another's turn.
    if not (select (value ->> 'orders_open')::boolean from shop_settings where id = 'shop') then
        perform refuse_v1('OrdersClosed');
    end if;

    -- Unlocked and cheap: a sold-out flash sale is refused before anything is written. What is no longer sold is not there.
    select jsonb_agg(jsonb_build_object('sku', l.sku, 'wanted', l.quantity, 'available', l.available) order by l.sku)
            filter (where l.available < l.quantity),
        jsonb_agg(jsonb_build_object('sku', l.sku, 'was', l.unit_price_minor, 'now', l.price_minor) order by l.sku)
            filter (where l.price_minor <> l.unit_price_minor or l.currency <> fresh.currency)
        into short, changed
        from (
            select l.sku, l.quantity, l.unit_price_minor, v.price_minor, v.currency,
                case when v.active and p.published_at <= p_now
                    then coalesce(s.on_hand - s.held, 0) + coalesce(own.held, 0) else 0 end as available
            from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", quantity integer,
                unit_price_minor bigint)
            left join variants v on v.sku = l.sku
            left join products p on p.id = v.product_id
            left join stock_levels s on s.sku = l.sku and s.location = l.location
            left join order_lines own on own.sku = l.sku and own.location = l.location and own.order_id = (
                select o.id from orders o where o.cart_id = fresh.cart_id and o.status = 'pending_payment')
        ) l;
    if short is not null then
        perform refuse_v1('OutOfStock', jsonb_build_object('lines', short));
    end if;
    if changed is not null then
        perform refuse_v1('PriceChanged', jsonb_build_object('lines', changed));
    end if;

    select * into open_order from orders
        where cart_id = fresh.cart_id
            and (status = 'pending_payment' or (status = 'on_hold' and status_reason = 'capture_pending'))
        for update;
    if found then
        if open_order.status = 'on_hold' or exists (
            select 1 from capture_attempts where order_id = open_order.id and state in ('requested', 'pending', 'completed')) then
            perform refuse_v1('PaymentInProgress', jsonb_build_object('order_id', open_order.id));
        end if;
    end if;
    -- Here, because what comes next writes, and locks stock: nobody who waits for a client's turn keeps a row of stock.
    perform admit_open_order_v1(fresh.cart_id, fresh.email, fresh.client_network, open_order.id, p_open_per_email,
        p_open_per_network, p_now);
    if p_voucher_id is not null or open_order.voucher_code is not null then
        perform lock_vouchers_v1(open_order.id, p_voucher_id);
        perform release_voucher_v1(open_order.id, p_now);
        perform redeem_voucher_v1(p_voucher_id, p_voucher_version, fresh.email, fresh.customer_id, p_now);
    end if;
    if open_order.id is not null then
        -- One pass over both orders' stock in lock order, before either is touched.
        perform 1 from stock_levels s
            where (s.sku, s.location) in (
                select sku, location from order_lines where order_id = open_order.id
                union select l.sku, l.location from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C"))
            order by s.sku, s.location for update;
        perform release_stock_v1(open_order.id, open_order.number, 'cancel', p_actor, 'cart placed again', p_now);
        update orders set status = 'cancelled', status_reason = 'replaced', updated_at = p_now where id = open_order.id;
        insert into outbox (id, destination, name, payload, created_at)
        values (p_cancel_event_id, 'topic:orders', 'order.cancelled',
            jsonb_build_object('order', order_json_v2(open_order.id)), p_now);
    end if;

    insert into orders (id, number, cart_id, cart_version, status, email, customer_id, client_network, currency,
            subtotal_minor, discount_minor, shipping_minor, tax_minor, total_minor, shipping_address, shipping_option,
            prices_include_tax, shipping_tax_rate, voucher_code, placed_at, hold_expires_at, updated_at)
        values (fresh.id, fresh.number, fresh.cart_id, fresh.cart_version, 'pending_payment', fresh.email,
            fresh.customer_id, fresh.client_network, fresh.currency, fresh.subtotal_minor, fresh.discount_minor,
            fresh.shipping_minor, fresh.tax_minor, fresh.total_minor, fresh.shipping_address, fresh.shipping_option,
            fresh.prices_include_tax, fresh.shipping_tax_rate, fresh.voucher_code, fresh.placed_at, fresh.hold_expires_at,
            p_now);
    insert into order_lines (order_id, sku, location, position, name, options, quantity, unit_price_minor, total_minor,
            discount_minor, tax_minor, tax_class, tax_rate, held)
        select fresh.id, l.sku, l.location, l.position, l.name, l.options, l.quantity, l.unit_price_minor, l.total_minor,
            l.discount_minor, l.tax_minor, l.tax_class, l.tax_rate, l.quantity
        from jsonb_to_recordset(p_lines) as l (sku text collate "C", location text collate "C", position integer, name text, options jsonb,
            quantity integer, unit_price_minor bigint, total_minor bigint, discount_minor bigint, tax_minor bigint,
            tax_class text, tax_rate numeric);
    if p_voucher_id is not null then
        insert into voucher_redemptions (order_id, voucher_id, email, customer_id, state, redeemed_at, updated_at)
            values (fresh.id, p_voucher_id, lower(fresh.email), fresh.customer_id, 'redeemed', p_now, p_now);
    end if;
    -- Nothing but the holds, which everybody wants, comes after this: their rows stay locked for the commit alone.
    placed := order_json_v2(fresh.id);
    insert into outbox (id, destination, name, payload, created_at)
        values (p_event_id, 'topic:orders', 'order.placed', jsonb_build_object('order', placed), p_now);
    perform hold_stock_v1(fresh.id, fresh.number, p_lines, p_actor, 'checkout', p_now);
    return jsonb_build_object('order', placed, 'placed', true);
end $function$;
grant execute on function place_order_v3(text,text,text,uuid,jsonb,jsonb,uuid,uuid,text,integer,integer,uuid,integer,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.popularity_v1(p_imported integer, p_weight double precision, p_now timestamp with time zone)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select greatest(p_imported, 0) + greatest(coalesce(p_weight, 0), 0) / sales_weight_v1((p_now at time zone 'UTC')::date)
$function$;
grant execute on function popularity_v1(integer,double precision,timestamp with time zone) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.price_query_v1(low bigint, high bigint)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (SELECT (string_agg(quote_literal(steps.lexeme), ' | '::text))::tsquery AS string_agg FROM (SELECT CASE WHEN ((((step.step / 8) * 8) >= ends.first) AND ((((step.step / 8) * 8) + 7) <= ends.last)) THEN ('q:'::text || (step.step / 8)) ELSE ('p:'::text || step.step) END AS lexeme FROM (SELECT price_step_v1(price_query_v1.low) AS first, price_step_v1(price_query_v1.high) AS last) ends, LATERAL generate_series(ends.first, ends.last) step(step) GROUP BY CASE WHEN ((((step.step / 8) * 8) >= ends.first) AND ((((step.step / 8) * 8) + 7) <= ends.last)) THEN ('q:'::text || (step.step / 8)) ELSE ('p:'::text || step.step) END) steps);
grant execute on function price_query_v1(bigint,bigint) to vitrine_search;

CREATE OR REPLACE FUNCTION public.price_step_v1(price_minor bigint)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ((((length(ltrim((((GREATEST(price_minor, (0)::bigint) + 8))::bit(64))::text, '0'::text)) - 4) * 8) + (("left"(ltrim((((GREATEST(price_minor, (0)::bigint) + 8))::bit(64))::text, '0'::text), 4))::bit(4))::integer) - 8);
grant execute on function price_step_v1(bigint) to vitrine_search;
grant execute on function price_step_v1(bigint) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.product_words_v1(name text, brand text, categories text, description text)
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select setweight(to_tsvector('public.shop', parted_v1(name)), 'A')
        || setweight(to_tsvector('public.shop', parted_v1(brand)), 'B')
        || setweight(to_tsvector('public.shop', parted_v1(categories)), 'C')
        || setweight(to_tsvector('public.shop', parted_v1(description)), 'D')
$function$;
grant execute on function product_words_v1(text,text,text,text) to vitrine_import_jobs;
grant execute on function product_words_v1(text,text,text,text) to vitrine_inventory;

CREATE OR REPLACE FUNCTION public.project_products_v1(p_ids uuid[], p_counting boolean, p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    told uuid[];
    changed integer;
    gone integer;
begin
    insert into search_products (product_id, projected_at)
        select id, p_now from unnest(p_ids) as id group by id order by id
        on conflict do nothing;
    perform 1 from search_products where product_id = any (p_ids) order by product_id for update;

    delete from search_variants s where s.product_id = any (p_ids) and not exists (
        select from variants v join products p on p.id = v.product_id
        where v.sku = s.sku and v.product_id = s.product_id and v.active and p.published_at is not null);
    insert into search_variants as s (product_id, sku, folded, in_stock)
        select v.product_id, v.sku, fold_v1(v.sku), coalesce(l.on_hand > l.held, false)
        from variants v join products p on p.id = v.product_id
        left join stock_levels l on l.sku = v.sku and l.location = 'main'
        where v.product_id = any (p_ids) and v.active and p.published_at is not null
        on conflict (product_id, sku) do update set in_stock = excluded.in_stock where s.in_stock <> excluded.in_stock;

    select array_agg(s.product_id) into told from search_products s join products p on p.id = s.product_id
        where s.product_id = any (p_ids) and p.published_at is not null
            and (s.tier = 9 or s.source_updated_at is distinct from p.updated_at);
    with read as (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, o.sku, o.price_minor as offer_minor, o.in_stock,
            case when abs(step - s.heat) < 0.8 then s.heat else round(step)::smallint end as heat,
            p.words || unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description))
                || array_to_tsvector(array_remove(array['b:' || b.slug], null)
                    || coalesce((select array_agg('c:' || array_to_string(trim_array(levels, below), '/'))
                        from string_to_array(c.path, '/') as levels,
                            generate_series(0, cardinality(levels) - 1) as below), '{}')) as words
        from products p
        join search_products s on s.product_id = p.id
        cross join lateral (select 4 * ln(1 + greatest(p.popularity, 0)::float8) / ln(2::float8) as step) steps
        left join brands b on b.id = p.brand_id
        left join categories c on c.id = p.category_id
        left join lateral (
            select v.sku, v.price_minor, coalesce(l.on_hand > l.held, false) as in_stock
            from variants v left join stock_levels l on l.sku = v.sku and l.location = 'main'
            where v.product_id = p.id and v.active
            order by 3 desc, v.price_minor, v.position, v.sku limit 1) o on true
        where p.id = any (p_ids) and p.published_at is not null
    ), stood as (
        select read.*, (heat::bigint << 23) + (('x' || right(id::text, 6))::bit(24)::bigint >> 1) as standing from read
    ), ranked as (
        select stood.*, t.tier, (t.tier::bigint << 32) + 2147483647 - standing as place
        from stood, lateral (select min(tier) as tier from search_tiers where standing_from <= standing) t
    )
    update search_products s set
        slug = r.slug, sku = coalesce(r.sku, ''), name = r.name, brand_id = r.brand_id, brand_slug = r.brand_slug,
        brand_name = r.brand_name, category_id = r.category_id, category_path = r.category_path,
        category_name = r.category_name, price_minor = r.price_minor, offer_minor = coalesce(r.offer_minor, r.price_minor),
        currency = r.currency, in_stock = coalesce(r.in_stock, false), image_url = r.image_url, created_at = r.created_at,
        heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words,
        search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
    from ranked r
    where s.product_id = r.id and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.tier, s.place, s.brand_slug,
            s.brand_name, s.category_path, s.category_name, s.words)
        is distinct from (r.updated_at, coalesce(r.sku, ''), coalesce(r.offer_minor, r.price_minor),
            coalesce(r.in_stock, false), r.tier, r.place, r.brand_slug, r.brand_name, r.category_path, r.category_name,
            r.words);
    get diagnostics changed = row_count;
    update search_products s set tier = 9, heat = null, words = '', search_text = '', source_updated_at = null,
            projected_at = p_now
        where s.product_id = any (p_ids) and s.tier <> 9
            and not exists (select from products p where p.id = s.product_id and p.published_at is not null);
    get diagnostics gone = row_count;
    if told is not null or p_counting then
        perform learn_words_v1(coalesce(told, '{}'), case when p_counting then p_ids else told end);
    end if;
    return changed + gone;
end $function$;
grant execute on function project_products_v1(uuid[],boolean,timestamp with time zone) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.project_products_v2(p_ids uuid[], p_counting boolean, p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
begin
    return project_products_v4(p_ids, p_counting, p_now);
end $function$;
grant execute on function project_products_v2(uuid[],boolean,timestamp with time zone) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.project_products_v3(p_ids uuid[], p_counting boolean, p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
AS $function$
begin
    return project_products_v4(p_ids, p_counting, p_now);
end $function$;
grant execute on function project_products_v3(uuid[],boolean,timestamp with time zone) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.project_products_v4(p_ids uuid[], p_counting boolean, p_now timestamp with time zone)
 RETURNS integer
 LANGUAGE plpgsql
 SET enable_seqscan TO 'off'
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    told uuid[];
    changed integer;
    gone integer;
begin
    insert into search_products (product_id, projected_at)
        select id, p_now from unnest(p_ids) as id group by id order by id
        on conflict do nothing;
    perform 1 from search_products where product_id = any (p_ids) order by product_id for update;

    delete from search_variants s where s.product_id = any (p_ids) and not exists (
        select from variants v join products p on p.id = v.product_id
        where v.sku = s.sku and v.product_id = s.product_id and v.active and p.published_at <= p_now);
    insert into search_variants as s (product_id, sku, folded, in_stock)
        select v.product_id, v.sku, fold_v1(v.sku), coalesce(l.on_hand > l.held, false)
        from variants v join products p on p.id = v.product_id
        left join stock_levels l on l.sku = v.sku and l.location = 'main'
        where v.product_id = any (p_ids) and v.active and p.published_at <= p_now
        on conflict (product_id, sku) do update set in_stock = excluded.in_stock where s.in_stock <> excluded.in_stock;

    select array_agg(s.product_id) into told from search_products s join products p on p.id = s.product_id
        where s.product_id = any (p_ids) and p.published_at <= p_now
            and (s.tier = 9 or ts_filter(s.words, '{a,b,c,d}') <> p.words);
    with read as materialized (
        select p.id, p.slug, p.name, p.brand_id, b.slug as brand_slug, b.name as brand_name, p.category_id,
            c.path as category_path, c.name as category_name, p.price_minor, p.currency, p.image_urls[1] as image_url,
            p.created_at, p.updated_at, p.search_text, coalesce(o.sku, '') as sku,
            coalesce(o.price_minor, p.price_minor) as offer_minor, coalesce(o.in_stock, false) as in_stock,
            heat_v1(s.heat, popularity_v1(p.popularity, w.weight, p_now)) as heat,
            p.words || goes_with_v1(p.name, p.words) || filters || case when unspaced
                then unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name, p.description)) else '' end as words,
            ts_filter(p.words, '{a,b,c}') || filters || case when unspaced
                then unspaced_lexemes_v1(concat_ws(' ', p.name, b.name, c.name)) else '' end as named
        from products p
        join search_products s on s.product_id = p.id
        cross join lateral (
            select sum(d.weight) as weight from variants v join search_popularity d on d.sku = v.sku
            where v.product_id = p.id) w
        left join brands b on b.id = p.brand_id
        left join categories c on c.id = p.category_id
        left join lateral (
            select v.sku, v.price_minor, coalesce(l.on_hand > l.held, false) as in_stock
            from variants v left join stock_levels l on l.sku = v.sku and l.location = 'main'
            where v.product_id = p.id and v.active
            order by 3 desc, v.price_minor, v.position, v.sku limit 1) o on true
        cross join lateral filter_lexemes_v1(b.slug, c.path, p.price_minor,
            coalesce(o.in_stock, false) or not p_counting and s.words @@ '''s:1''') as filters
        cross join lateral (select concat_ws(' ', p.name, b.name, c.name, p.description)
            ~ '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]' as unspaced offset 0) scripts
        where p.id = any (p_ids) and p.published_at <= p_now
    ), stood as materialized (
        select read.*, (heat::bigint << 23) + (('x' || right(id::text, 6))::bit(24)::bigint >> 1) as standing from read
    ), ranked as (
        select stood.*, t.tier, (t.tier::bigint << 32) + 2147483647 - standing as place
        from stood, lateral (select min(tier) as tier from search_tiers where standing_from <= standing) t
    ), compared as materialized (
        select r.*,
            (s.tier, s.place, s.brand_id, s.category_id, s.created_at, s.search_text, s.words, s.named)
                is distinct from (r.tier, r.place, r.brand_id, r.category_id, r.created_at, r.search_text, r.words, r.named)
                as anew
        from ranked r join search_products s on s.product_id = r.id
    ), written_lightly as (
        update search_products s set
            slug = r.slug, sku = r.sku, name = r.name, brand_slug = r.brand_slug, brand_name = r.brand_name,
            category_path = r.category_path, category_name = r.category_name, price_minor = r.price_minor,
            offer_minor = r.offer_minor, currency = r.currency, in_stock = r.in_stock, image_url = r.image_url,
            source_updated_at = r.updated_at, projected_at = p_now
        from compared r
        where s.product_id = r.id and not r.anew and (s.source_updated_at, s.sku, s.offer_minor, s.in_stock, s.brand_slug,
                s.brand_name, s.category_path, s.category_name)
            is distinct from (r.updated_at, r.sku, r.offer_minor, r.in_stock, r.brand_slug, r.brand_name, r.category_path,
                r.category_name)
        returning 1
    ), written_anew as (
        update search_products s set
            slug = r.slug, sku = r.sku, name = r.name, brand_id = r.brand_id, brand_slug = r.brand_slug,
            brand_name = r.brand_name, category_id = r.category_id, category_path = r.category_path,
            category_name = r.category_name, price_minor = r.price_minor, offer_minor = r.offer_minor,
            currency = r.currency, in_stock = r.in_stock, image_url = r.image_url, created_at = r.created_at,
            heat = r.heat, boost = 1 + r.heat * ln(2::float8) / 40, tier = r.tier, place = r.place, words = r.words,
            named = r.named, search_text = r.search_text, source_updated_at = r.updated_at, projected_at = p_now
        from compared r
        where s.product_id = r.id and r.anew
        returning 1
    )
    select (select count(*) from written_lightly) + (select count(*) from written_anew) into changed;
    update search_products s set tier = 9, heat = null, words = '', named = '', search_text = '', source_updated_at = null,
            projected_at = p_now
        where s.product_id = any (p_ids) and s.tier <> 9
            and not exists (select from products p where p.id = s.product_id and p.published_at <= p_now);
    get diagnostics gone = row_count;
    if told is not null or p_counting then
        perform learn_words_v1(coalesce(told, '{}'), case when p_counting then p_ids else told end);
    end if;
    return changed + gone;
end $function$;
grant execute on function project_products_v4(uuid[],boolean,timestamp with time zone) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.query_in_v1(asked tsquery, field text)
 RETURNS tsquery
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (regexp_replace(regexp_replace((asked)::text, ''':\*'::text, (''':*'::text || field), 'g'::text), '''( |$)'::text, ((''':'::text || field) || '\1'::text), 'g'::text))::tsquery;
grant execute on function query_in_v1(tsquery,text) to vitrine_search;

CREATE OR REPLACE FUNCTION public.quote_checkout_v1(p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamp with time zone, p_until timestamp with time zone, p_cart_id text, p_cart_version integer)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    claim record;
begin
    select * into claim from claim_key_v1(p_scope, p_route, p_key, p_hash, p_token, p_now, p_until);
    if claim.state <> 'mine' then
        return jsonb_build_object('claim', to_jsonb(claim));
    end if;
    return jsonb_build_object(
        'claim', to_jsonb(claim),
        'cart', cart_json_v1(p_cart_id),
        'settings', (select value from shop_settings where id = 'shop'),
        'order', (select order_json_v1(o.id) from orders o
                  where o.cart_id = p_cart_id and o.cart_version = p_cart_version and o.status not in ('expired', 'cancelled')
                  order by o.placed_at desc limit 1));
end $function$;
grant execute on function quote_checkout_v1(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone,text,integer) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.quote_checkout_v2(p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamp with time zone, p_until timestamp with time zone, p_cart_id text, p_cart_version integer, p_email text, p_network text, p_customer_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    claim record;
begin
    select * into claim from claim_key_v1(p_scope, p_route, p_key, p_hash, p_token, p_now, p_until);
    if claim.state <> 'mine' then
        return jsonb_build_object('claim', to_jsonb(claim));
    end if;
    return jsonb_build_object(
        'claim', to_jsonb(claim),
        'cart', cart_json_v1(p_cart_id),
        'voucher', cart_voucher_v1(p_cart_id, p_email, p_customer_id),
        'locked_until', checkout_locked_until_v1(p_cart_id, p_email, p_network, p_now),
        'settings', (select value from shop_settings where id = 'shop'),
        'order', (select order_json_v2(o.id) from orders o
                  where o.cart_id = p_cart_id and o.cart_version = p_cart_version and o.status not in ('expired', 'cancelled')
                  order by o.placed_at desc limit 1));
end $function$;
grant execute on function quote_checkout_v2(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone,text,integer,text,text,uuid) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.quote_checkout_v3(p_scope text, p_route text, p_key text, p_hash bytea, p_token uuid, p_now timestamp with time zone, p_until timestamp with time zone, p_cart_id text, p_cart_version integer, p_email text, p_network text, p_customer_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    claim record;
begin
    select * into claim from claim_key_v1(p_scope, p_route, p_key, p_hash, p_token, p_now, p_until);
    if claim.state <> 'mine' then
        return jsonb_build_object('claim', to_jsonb(claim));
    end if;
    return jsonb_build_object(
        'claim', to_jsonb(claim),
        'cart', cart_json_v2(p_cart_id, p_now),
        'voucher', cart_voucher_v1(p_cart_id, p_email, p_customer_id),
        'locked_until', checkout_locked_until_v1(p_cart_id, p_email, p_network, p_now),
        'settings', (select value from shop_settings where id = 'shop'),
        'order', (select order_json_v2(o.id) from orders o
                  where o.cart_id = p_cart_id and o.cart_version = p_cart_version and o.status not in ('expired', 'cancelled')
                  order by o.placed_at desc limit 1));
end $function$;
grant execute on function quote_checkout_v3(text,text,text,bytea,uuid,timestamp with time zone,timestamp with time zone,text,integer,text,text,uuid) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.receive_stock_v1(p_order_id uuid, p_lines jsonb, p_actor text, p_reason text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
end $function$;
grant execute on function receive_stock_v1(uuid,jsonb,text,text,timestamp with time zone) to vitrine_desk;

CREATE OR REPLACE FUNCTION public.record_facts_v1(p_order_id uuid, p_facts jsonb, p_source text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
declare
    locked orders;
    stock_is_there boolean := false;
begin
    perform 1 from carts where id = (select cart_id from orders where id = p_order_id) for update;
    select * into locked from orders where id = p_order_id for update;
    if not found then
        return null;
    end if;
    insert into payment_facts (kind, object_id, status, update_time, order_id, capture_id, amount_minor, currency,
            reversal, ours, occurred_at, recorded_at, source)
        select f.kind, f.object_id, f.status, f.update_time, p_order_id, f.capture_id, f.amount_minor, f.currency,
            f.reversal, f.ours, f.occurred_at, p_now, p_source
        from jsonb_to_recordset(p_facts) as f (kind text, object_id text, status text, update_time text, capture_id text,
            amount_minor bigint, currency text, reversal boolean, ours uuid, occurred_at timestamptz)
        on conflict on constraint payment_facts_unique do nothing;
    if locked.status = 'expired' or (locked.status = 'pending_payment' and exists (
            select 1 from order_lines where order_id = p_order_id and held < quantity)) then
        perform 1 from stock_levels s join order_lines l on l.sku = s.sku and l.location = s.location
            where l.order_id = p_order_id order by s.sku, s.location for update of s;
        select coalesce(bool_and(coalesce(s.on_hand - s.held, 0) >= l.quantity - l.held), false) into stock_is_there
            from order_lines l left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.order_id = p_order_id;
    end if;
    return jsonb_build_object(
        'order', order_json_v1(p_order_id),
        'attempts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]')
                     from capture_attempts a where a.order_id = p_order_id),
        'facts', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                  from payment_facts f where f.order_id = p_order_id),
        'cart_is_taken', exists (
            select 1 from orders o where o.cart_id = locked.cart_id and o.id <> p_order_id
                and o.status not in ('expired', 'cancelled')),
        'stock_is_there', stock_is_there);
end $function$;
grant execute on function record_facts_v1(uuid,jsonb,text,timestamp with time zone) to vitrine_checkout;
grant execute on function record_facts_v1(uuid,jsonb,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.record_facts_v2(p_order_id uuid, p_facts jsonb, p_source text, p_now timestamp with time zone)
 RETURNS jsonb
 LANGUAGE plpgsql
AS $function$
declare
    locked orders;
    stock_is_there boolean := false;
begin
    perform 1 from carts where id = (select cart_id from orders where id = p_order_id) for update;
    select * into locked from orders where id = p_order_id for update;
    if not found then
        return null;
    end if;
    insert into payment_facts (kind, object_id, status, update_time, order_id, capture_id, amount_minor, currency,
            reversal, ours, occurred_at, recorded_at, source)
        select f.kind, f.object_id, f.status, f.update_time, p_order_id, f.capture_id, f.amount_minor, f.currency,
            f.reversal, f.ours, f.occurred_at, p_now, p_source
        from jsonb_to_recordset(p_facts) as f (kind text, object_id text, status text, update_time text, capture_id text,
            amount_minor bigint, currency text, reversal boolean, ours uuid, occurred_at timestamptz)
        on conflict on constraint payment_facts_unique do nothing;
    if locked.status = 'expired' or (locked.status = 'pending_payment' and exists (
            select 1 from order_lines where order_id = p_order_id and held < quantity)) then
        perform lock_vouchers_v1(p_order_id, null);
        perform 1 from stock_levels s join order_lines l on l.sku = s.sku and l.location = s.location
            where l.order_id = p_order_id order by s.sku, s.location for update of s;
        select coalesce(bool_and(coalesce(s.on_hand - s.held, 0) >= l.quantity - l.held), false) into stock_is_there
            from order_lines l left join stock_levels s on s.sku = l.sku and s.location = l.location
            where l.order_id = p_order_id;
    end if;
    return jsonb_build_object(
        'order', order_json_v2(p_order_id),
        'attempts', (select coalesce(jsonb_agg(to_jsonb(a) order by a.requested_at, a.id), '[]')
                     from capture_attempts a where a.order_id = p_order_id),
        'facts', (select coalesce(jsonb_agg(to_jsonb(f) order by f.id), '[]')
                  from payment_facts f where f.order_id = p_order_id),
        'cart_is_taken', exists (
            select 1 from orders o where o.cart_id = locked.cart_id and o.id <> p_order_id
                and o.status not in ('expired', 'cancelled')),
        'stock_is_there', stock_is_there,
        'locked_until', checkout_locked_until_v1(locked.cart_id, locked.email, locked.client_network, p_now));
end $function$;
grant execute on function record_facts_v2(uuid,jsonb,text,timestamp with time zone) to vitrine_checkout;
grant execute on function record_facts_v2(uuid,jsonb,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.redeem_voucher_again_v1(p_order_id uuid, p_now timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
declare
    taken voucher_redemptions;
    counted vouchers;
begin
    perform lock_vouchers_v1(p_order_id, null);
    update voucher_redemptions set state = 'redeemed', updated_at = p_now
        where order_id = p_order_id and state = 'released' returning * into taken;
    if not found then
        return false;
    end if;
    update vouchers set redeemed = redeemed + 1 where id = taken.voucher_id returning * into counted;
    return coalesce(counted.redeemed > counted.total_limit, false)
        or coalesce(voucher_uses_v1(counted.id, taken.email, taken.customer_id, null) > counted.per_customer_limit, false);
end $function$;
grant execute on function redeem_voucher_again_v1(uuid,timestamp with time zone) to vitrine_checkout;
grant execute on function redeem_voucher_again_v1(uuid,timestamp with time zone) to vitrine_desk;
grant execute on function redeem_voucher_again_v1(uuid,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.redeem_voucher_v1(p_voucher_id uuid, p_version integer, p_email text, p_customer_id uuid, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
declare
    taken vouchers;
begin
    if p_voucher_id is null then
        return;
    end if;
    update vouchers set redeemed = redeemed + 1
        where id = p_voucher_id and active and version = p_version and (starts_at is null or starts_at <= p_now)
            and (ends_at is null or p_now < ends_at) and (total_limit is null or redeemed < total_limit)
        returning * into taken;
    if not found then
        select * into taken from vouchers where id = p_voucher_id;
        perform refuse_v1('VoucherNotApplicable', jsonb_build_object('code', taken.code, 'problem', case
            when taken.active is not true then 'unknown'
            when taken.version <> p_version then 'changed'
            when taken.starts_at > p_now then 'not_yet'
            when taken.ends_at <= p_now then 'ended'
            else 'used_up' end));
    end if;
    if voucher_uses_v1(p_voucher_id, p_email, p_customer_id, null) >= taken.per_customer_limit then
        perform refuse_v1('VoucherNotApplicable', jsonb_build_object('code', taken.code, 'problem', 'used_by_customer'));
    end if;
end $function$;
grant execute on function redeem_voucher_v1(uuid,integer,text,uuid,timestamp with time zone) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.refundable_v1(p_capture_id text)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
    select coalesce((
            select max(f.amount_minor) from payment_facts f
            where f.provider = 'paypal' and f.kind = 'capture' and f.object_id = p_capture_id
                and f.status in ('COMPLETED', 'PARTIALLY_REFUNDED', 'REFUNDED')), 0)
        - coalesce((
            select sum(g.amount) from (
                select max(f.amount_minor) as amount, bool_or(f.status = 'COMPLETED') as done,
                    bool_or(f.status in ('FAILED', 'CANCELLED')) as ended,
                    bool_or(exists (select 1 from refunds r where r.id = f.ours)) as is_ours
                from payment_facts f where f.kind = 'refund' and f.capture_id = p_capture_id group by f.object_id) g
            where g.done or not (g.ended or g.is_ours)), 0)
        - coalesce((
            select sum(r.amount_minor) from refunds r
            where r.capture_id = p_capture_id and r.state in ('requested', 'pending') and not exists (
                select 1 from payment_facts f where f.kind = 'refund' and f.capture_id = p_capture_id and f.ours = r.id
                    and f.status = 'COMPLETED')), 0)
$function$;
grant execute on function refundable_v1(text) to vitrine_checkout;
grant execute on function refundable_v1(text) to vitrine_desk;
grant execute on function refundable_v1(text) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.refuse_v1(name text, data jsonb DEFAULT '{}'::jsonb)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    raise exception using errcode = 'VT001', message = name, detail = data::text;
end $function$;
grant execute on function refuse_v1(text,jsonb) to vitrine_checkout;
grant execute on function refuse_v1(text,jsonb) to vitrine_desk;
grant execute on function refuse_v1(text,jsonb) to vitrine_inventory;
grant execute on function refuse_v1(text,jsonb) to vitrine_payment_jobs;
grant execute on function refuse_v1(text,jsonb) to vitrine_support;

CREATE OR REPLACE FUNCTION public.release_stock_v1(p_order_id uuid, p_number text, p_kind text, p_actor text, p_reason text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    line record;
begin
    for line in
        select sku, location, held + allocated as units from order_lines
        where order_id = p_order_id and held + allocated > 0 order by sku, location
    loop
        update stock_levels set held = held - line.units where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        values (p_now, line.sku, line.location, p_kind, 0, -line.units, p_order_id, p_number, p_actor, p_reason);
    end loop;
    update order_lines set
        expired = expired + case when p_kind = 'expire' then held + allocated else 0 end,
        released = released + case when p_kind = 'expire' then 0 else held + allocated end,
        held = 0, allocated = 0
    where order_id = p_order_id and held + allocated > 0;
end $function$;
grant execute on function release_stock_v1(uuid,text,text,text,text,timestamp with time zone) to vitrine_checkout;
grant execute on function release_stock_v1(uuid,text,text,text,text,timestamp with time zone) to vitrine_desk;
grant execute on function release_stock_v1(uuid,text,text,text,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.release_voucher_v1(p_order_id uuid, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    released uuid;
begin
    perform lock_vouchers_v1(p_order_id, null);
    update voucher_redemptions set state = 'released', updated_at = p_now
        where order_id = p_order_id and state = 'redeemed' returning voucher_id into released;
    if found then
        update vouchers set redeemed = redeemed - 1 where id = released;
    end if;
end $function$;
grant execute on function release_voucher_v1(uuid,timestamp with time zone) to vitrine_checkout;
grant execute on function release_voucher_v1(uuid,timestamp with time zone) to vitrine_desk;
grant execute on function release_voucher_v1(uuid,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.relevance_v1(density double precision, words tsvector, described tsquery, search_text text, folded text, boost real)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN (((((density + (CASE WHEN (words @@ described) THEN 0.15 ELSE (0)::numeric END)::double precision) + (CASE WHEN (strpos(search_text, folded) > 0) THEN 0.2 ELSE (0)::numeric END)::double precision) * boost) * ('1000000'::numeric)::double precision))::bigint;
grant execute on function relevance_v1(double precision,tsvector,tsquery,text,text,real) to vitrine_search;

CREATE OR REPLACE FUNCTION public.relevance_v2(density double precision, words tsvector, in_name tsquery, in_description tsquery, beside tsquery, search_text text, folded text, boost real)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN ((((((((1.5)::double precision - ((0.75)::double precision / (density + (0.5)::double precision))) + (CASE WHEN (NOT (words @@ in_name)) THEN (0)::numeric WHEN (strpos((' '::text || search_text), (' '::text || rtrim(folded, 's'::text))) > 0) THEN 0.55 ELSE 0.15 END)::double precision) + (CASE WHEN (words @@ in_description) THEN 0.15 ELSE (0)::numeric END)::double precision) * (CASE WHEN (words @@ beside) THEN 0.5 ELSE (1)::numeric END)::double precision) * boost) * ('1000000'::numeric)::double precision))::bigint;
grant execute on function relevance_v2(double precision,tsvector,tsquery,tsquery,tsquery,text,text,real) to vitrine_search;

CREATE OR REPLACE FUNCTION public.request_refund_v1(p_refund jsonb, p_guarded boolean, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    asked refunds;
    left_minor bigint;
begin
    asked := jsonb_populate_record(null::refunds, p_refund);
    if p_guarded then
        left_minor := refundable_v1(asked.capture_id);
        if asked.amount_minor > left_minor then
            perform refuse_v1('RefundTooLarge', jsonb_build_object('left_minor', greatest(left_minor, 0)));
        end if;
    end if;
    insert into refunds (id, order_id, capture_id, kind, amount_minor, currency, reason, state, requested_at, requested_by,
            updated_at, lines, shipping_minor, retries)
        values (asked.id, asked.order_id, asked.capture_id, asked.kind, asked.amount_minor, asked.currency, asked.reason,
            'requested', p_now, asked.requested_by, p_now, asked.lines, asked.shipping_minor, asked.retries);
end $function$;
grant execute on function request_refund_v1(jsonb,boolean,timestamp with time zone) to vitrine_checkout;
grant execute on function request_refund_v1(jsonb,boolean,timestamp with time zone) to vitrine_desk;
grant execute on function request_refund_v1(jsonb,boolean,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.restock_v1(p_order_id uuid, p_number text, p_lines jsonb, p_actor text, p_reason text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    line record;
begin
    for line in
        select o.sku, o.location, w.released, w.returned
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", released integer, returned integer)
        join order_lines o on o.order_id = p_order_id and o.sku = w.sku
        order by o.sku, o.location
    loop
        update order_lines set
            held = held - greatest(line.released - allocated, 0),
            allocated = allocated - least(line.released, allocated),
            released = released + line.released,
            returned = returned + line.returned
        where order_id = p_order_id and sku = line.sku;
        update stock_levels set held = held - line.released, on_hand = on_hand + line.returned
            where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        select p_now, line.sku, line.location, m.kind, m.on_hand, m.held, p_order_id, p_number, p_actor, p_reason
        from (values ('release', 0, -line.released), ('return', line.returned, 0)) as m (kind, on_hand, held)
        where m.on_hand <> 0 or m.held <> 0;
    end loop;
end $function$;
grant execute on function restock_v1(uuid,text,jsonb,text,text,timestamp with time zone) to vitrine_desk;

CREATE OR REPLACE FUNCTION public.returns_json_v1(p_order_id uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
AS $function$
begin return (
    select coalesce(jsonb_agg(to_jsonb(r) || jsonb_build_object(
            'lines', (select coalesce(jsonb_agg(to_jsonb(l) - 'return_id' - 'order_id' order by l.sku), '[]')
                      from return_lines l where l.return_id = r.id),
            'receipts', (select coalesce(jsonb_agg(to_jsonb(c) - 'return_id' - 'position' order by c.position), '[]')
                         from return_receipts c where c.return_id = r.id)) order by r.requested_at, r.id), '[]')
    from returns r where r.order_id = p_order_id);
end $function$;
grant execute on function returns_json_v1(uuid) to vitrine_desk;
grant execute on function returns_json_v1(uuid) to vitrine_support;

CREATE OR REPLACE FUNCTION public.sales_weight_v1(p_day date)
 RETURNS double precision
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select 2::float8 ^ ((p_day - date '2026-01-01') / 30::float8)
$function$;
grant execute on function sales_weight_v1(date) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.search_words_v1(p_typed text, p_words text, p_forms text, p_plain text, p_head text, p_tail text, p_unspaced tsquery, p_partly tsquery, p_is_sku boolean, p_begins_sku boolean, p_narrow tsquery, p_category text, p_brand text, p_price_min bigint, p_price_max bigint, p_in_stock boolean, p_limit integer, OUT matching text, OUT reach integer, OUT counted integer, OUT among bigint, OUT everything bigint, OUT rule json, OUT widened boolean, OUT unpriced boolean, OUT listed json)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
    typed constant text := fold_v1(p_typed);
    lexemes constant tsvector := to_tsvector('public.shop', p_words);
    asked tsquery;
    head tsquery;
    narrow tsquery := p_narrow;
    narrowed tsquery;
    most_narrowed tsquery;
    described tsquery;
    any_of tsquery;
    low constant bigint := coalesce(p_price_min, 0);
    high constant bigint := coalesce(p_price_max, 9223372036854775807);
    cheapest bigint;
    dearest bigint;
    priced integer;
    categories uuid[];
    brand uuid;
    whole uuid[] := '{}';
    begun uuid[] := '{}';
    matched integer;
    ids uuid[];
    keys bigint[];
    first_ids uuid[] := '{}';
    first_keys bigint[] := '{}';
begin
    matching := 'nothing';
    reach := 4;
    counted := 0;
    unpriced := false;
    listed := '[]';
    select json_build_object('pinned', r.pinned, 'buried', r.buried) into rule from query_rules r where r.query = typed;
    widened := exists (
        select from synonym_rewrites r where r.lexeme = any (tsvector_to_array(lexemes)) and lexemes @@ r.target);
    if rule is not null or widened then
        return;
    end if;
    asked := (plainto_tsquery('public.shop', p_words)
        || (to_tsquery('public.shop', p_forms) && plainto_tsquery('public.shop', p_plain))) && p_unspaced;

    -- Prices that few products have are asked for as words; each of these costs a look at all that the others find.
    if p_price_min is not null or p_price_max is not null then
        select count(*), min(few.price_minor), max(few.price_minor) into priced, cheapest, dearest
            from (select p.price_minor from search_prices p where p.price_minor between low and high limit 20001) few;
        unpriced := priced = 0;
        if unpriced then
            return;
        end if;
        if priced <= 20000 then
            narrow := narrow && price_query_v1(cheapest, dearest);
        end if;
    end if;
    if p_category is not null then
        categories := array(select c.id from categories c
            where c.path = p_category or (c.path > p_category || '/' and c.path < p_category || '0'));
    end if;
    if p_brand is not null then
        select b.id into brand from brands b where b.slug = p_brand;
    end if;
    -- What asks for nothing finds nothing, not all that the filters leave.
    most_narrowed := p_partly && p_unspaced && narrow;
    narrowed := case when numnode(asked) > 0 then asked && narrow end;
    described := query_in_v1(asked, 'D');

    -- A SKU that was typed, whole or so much of it that few begin like this, goes before whatever has its words, from any tier.
    if p_is_sku then
        whole := array(select v.product_id from search_variants v where v.folded = typed);
        begun := whole;
    end if;
    if p_begins_sku then
        begun := array(select v.product_id from search_variants v
            where v.folded >= typed and v.folded < typed || chr(1114111) order by v.folded limit 20);
    end if;
    if begun <> '{}' then
        select coalesce(array_agg(p.product_id), '{}'), coalesce(array_agg(
                case when p.product_id = any (whole) then 2000000000 else 1000000000 end + relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost)), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.product_id = any (begun) and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock);
    end if;

    if numnode(p_partly) > 0 then
        -- The few that have all words are found in whatever tier.
        select first_ids || coalesce(array_agg(p.product_id), '{}'), first_keys || coalesce(array_agg(relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost)), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun) and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock);
        first_keys := array(select 500000000 + f.key from unnest(first_keys) with ordinality as f (key, n) order by f.n);
        any_of := replace(plainto_tsquery('public.shop', p_words)::text, '&', '|')::tsquery
            || replace(p_unspaced::text, '&', '|')::tsquery;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'most';
            reach := case when false then -1 else 4 end;
        end if;
    end if;
    else
        if exists (select from search_tiers t where t.tier = 0) then
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        if matching = 'nothing' and p_tail <> '' then
            head := plainto_tsquery('public.shop', p_head);
            asked := head && to_tsquery('public.shop', p_tail || ':*') && p_unspaced;
            narrowed := case when numnode(asked) > 0 then asked && narrow end;
            described := query_in_v1(asked, 'D');
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and (numnode(head) = 0
            or exists (select from search_products p where p.tier <= 0 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 2 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 4 and p.words @@ head)) then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v1(density_v1(p.words, asked), p.words, described, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        end if;
    end if;

    if matching = 'nothing' then
        counted := 0;
        reach := 4;
    end if;
    select t.products into among from search_tiers t where t.tier <= reach order by t.tier desc limit 1;
    select t.products into everything from search_tiers t where t.tier = 4;
    if matching <> 'nothing' and reach >= 0 and p_limit > 0 then
        -- By key, each: as a join it would be planned for a tenth of the catalogue.
        select json_agg(json_build_array(p.product_id, p.slug, p.sku, p.name, p.brand_name, p.brand_slug, p.category_path,
                p.category_name, p.offer_minor, p.currency, p.in_stock, p.image_url, page.key) order by page.key desc, page.product_id desc) into listed
        from (
            select f.product_id, f.key from unnest(first_ids || ids, first_keys || keys) as f (product_id, key)
            order by f.key desc, f.product_id desc limit p_limit) page
        cross join lateral (select * from search_products s where s.product_id = page.product_id offset 0) p;
    end if;
end $function$;
grant execute on function search_words_v1(text,text,text,text,text,text,tsquery,tsquery,boolean,boolean,tsquery,text,text,bigint,bigint,boolean,integer) to vitrine_search;

CREATE OR REPLACE FUNCTION public.search_words_v2(p_typed text, p_words text, p_forms text, p_plain text, p_head text, p_tail text, p_unspaced tsquery, p_partly tsquery, p_is_sku boolean, p_begins_sku boolean, p_narrow tsquery, p_category text, p_brand text, p_price_min bigint, p_price_max bigint, p_in_stock boolean, p_limit integer, OUT matching text, OUT reach integer, OUT counted integer, OUT among bigint, OUT everything bigint, OUT rule json, OUT widened boolean, OUT unpriced boolean, OUT listed json)
 RETURNS record
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
    typed constant text := fold_v1(p_typed);
    lexemes constant tsvector := to_tsvector('public.shop', p_words);
    asked tsquery;
    head tsquery;
    narrow tsquery := p_narrow;
    narrowed tsquery;
    most_narrowed tsquery;
    in_name tsquery;
    in_description tsquery;
    beside constant tsquery := beside_v1(p_typed);
    any_of tsquery;
    low constant bigint := coalesce(p_price_min, 0);
    high constant bigint := coalesce(p_price_max, 9223372036854775807);
    cheapest bigint;
    dearest bigint;
    priced integer;
    categories uuid[];
    brand uuid;
    whole uuid[] := '{}';
    begun uuid[] := '{}';
    matched integer;
    ids uuid[];
    keys bigint[];
    first_ids uuid[] := '{}';
    first_keys bigint[] := '{}';
begin
    matching := 'nothing';
    reach := 4;
    counted := 0;
    unpriced := false;
    listed := '[]';
    select json_build_object('pinned', r.pinned, 'buried', r.buried) into rule from query_rules r where r.query = typed;
    widened := exists (
        select from synonym_rewrites r where r.lexeme = any (tsvector_to_array(lexemes)) and lexemes @@ r.target);
    if rule is not null or widened then
        return;
    end if;
    asked := (plainto_tsquery('public.shop', p_words)
        || (to_tsquery('public.shop', p_forms) && plainto_tsquery('public.shop', p_plain))) && p_unspaced;

    -- Prices that few products have are asked for as words; each of these costs a look at all that the others find.
    if p_price_min is not null or p_price_max is not null then
        select count(*), min(few.price_minor), max(few.price_minor) into priced, cheapest, dearest
            from (select p.price_minor from search_prices p where p.price_minor between low and high limit 20001) few;
        unpriced := priced = 0;
        if unpriced then
            return;
        end if;
        if priced <= 20000 then
            narrow := narrow && price_query_v1(cheapest, dearest);
        end if;
    end if;
    if p_category is not null then
        categories := array(select c.id from categories c
            where c.path = p_category or (c.path > p_category || '/' and c.path < p_category || '0'));
    end if;
    if p_brand is not null then
        select b.id into brand from brands b where b.slug = p_brand;
    end if;
    -- What asks for nothing finds nothing, not all that the filters leave.
    most_narrowed := p_partly && p_unspaced && narrow;
    narrowed := case when numnode(asked) > 0 then asked && narrow end;
    in_name := query_in_v1(asked, 'A'); in_description := query_in_v1(asked, 'D');

    -- A SKU that was typed, whole or so much of it that few begin like this, goes before whatever has its words, from any tier.
    if p_is_sku then
        whole := array(select v.product_id from search_variants v where v.folded = typed);
        begun := whole;
    end if;
    if p_begins_sku then
        begun := array(select v.product_id from search_variants v
            where v.folded >= typed and v.folded < typed || chr(1114111) order by v.folded limit 20);
    end if;
    if begun <> '{}' then
        select coalesce(array_agg(p.product_id), '{}'), coalesce(array_agg(
                case when p.product_id = any (whole) then 2000000000 else 1000000000 end + relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost)), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.product_id = any (begun) and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock);
    end if;

    if numnode(p_partly) > 0 then
        -- The few that have all words are found in whatever tier.
        select first_ids || coalesce(array_agg(p.product_id), '{}'), first_keys || coalesce(array_agg(relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost)), '{}')
            into first_ids, first_keys
            from search_products p where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun) and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock);
        first_keys := array(select 500000000 + f.key from unnest(first_keys) with ordinality as f (key, n) order by f.n);
        any_of := replace(plainto_tsquery('public.shop', p_words)::text, '&', '|')::tsquery
            || replace(p_unspaced::text, '&', '|')::tsquery;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'most';
            reach := case when false then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then partial_relevance_v1(p.words, any_of, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ most_narrowed and (p.words @@ narrowed) is not true and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'most';
            reach := case when false then -1 else 4 end;
        end if;
    end if;
    else
        if exists (select from search_tiers t where t.tier = 0) then
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.named @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 48 then
            matching := 'named';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 3 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 3 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'words';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        if matching = 'nothing' and p_tail <> '' then
            head := plainto_tsquery('public.shop', p_head);
            asked := head && to_tsquery('public.shop', p_tail || ':*') && p_unspaced;
            narrowed := case when numnode(asked) > 0 then asked && narrow end;
            in_name := query_in_v1(asked, 'A'); in_description := query_in_v1(asked, 'D');
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 0 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 0 end;
        end if;
    end if;
    if matching = 'nothing' and matched > 0 then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 1 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 1 end;
        end if;
    end if;
    if matching = 'nothing' then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 2 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 2000 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched;
        if counted >= 48 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 2 end;
        end if;
    end if;
    if matching = 'nothing' and (numnode(head) = 0
            or exists (select from search_products p where p.tier <= 0 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 2 and p.words @@ head)
            or exists (select from search_products p where p.tier <= 4 and p.words @@ head)) then
        with hits as materialized (
            select p.product_id, case when p_limit > 0 then relevance_v2(density_v1(p.words, asked), p.words, in_name, in_description, beside, p.search_text, typed, p.boost) else 0 end as key
            from search_products p
            where p.tier <= 4 and p.words @@ narrowed and p.product_id <> all (begun)
                and (p_category is null or p.category_id = any (categories))
                and (p_brand is null or p.brand_id = brand) and p.price_minor + 0 between low and high
                and (p.in_stock or not p_in_stock)
            limit case when p_limit = 0 then 1001 else 8001 end)
        select (select count(*) from hits), best.ids, best.keys into matched, ids, keys
        from (
            select array_agg(first.product_id) as ids, array_agg(first.key) as keys
            from (select * from hits h order by h.key desc, h.product_id desc limit p_limit) first) best;
        counted := matched + cardinality(first_ids);
        if counted >= 1 then
            matching := 'prefix';
            reach := case when matched > 8000 then -1 else 4 end;
        end if;
    end if;
        end if;
    end if;

    if matching = 'nothing' then
        counted := 0;
        reach := 4;
    end if;
    select t.products into among from search_tiers t where t.tier <= reach order by t.tier desc limit 1;
    select t.products into everything from search_tiers t where t.tier = 4;
    if matching <> 'nothing' and reach >= 0 and p_limit > 0 then
        -- By key, each: as a join it would be planned for a tenth of the catalogue.
        select json_agg(json_build_array(p.product_id, p.slug, p.sku, p.name, p.brand_name, p.brand_slug, p.category_path,
                p.category_name, p.offer_minor, p.currency, p.in_stock, p.image_url, page.key) order by page.key desc, page.product_id desc) into listed
        from (
            select f.product_id, f.key from unnest(first_ids || ids, first_keys || keys) as f (product_id, key)
            order by f.key desc, f.product_id desc limit p_limit) page
        cross join lateral (select * from search_products s where s.product_id = page.product_id offset 0) p;
    end if;
end $function$;
grant execute on function search_words_v2(text,text,text,text,text,text,tsquery,tsquery,boolean,boolean,tsquery,text,text,bigint,bigint,boolean,integer) to vitrine_search;

CREATE OR REPLACE FUNCTION public.ship_stock_v1(p_order_id uuid, p_lines jsonb, p_actor text, p_reason text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
declare
    locked orders;
    short jsonb;
    line record;
begin
    select * into locked from orders where id = p_order_id for update;
    if locked.status not in ('paid', 'fulfilling') then
        perform refuse_v1('NotShippable', jsonb_build_object('status', locked.status));
    end if;
    select jsonb_agg(jsonb_build_object('sku', w.sku, 'wanted', w.quantity, 'available', coalesce(l.allocated, 0))
            order by w.sku)
        into short
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        left join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        where coalesce(l.allocated, 0) < w.quantity;
    if short is not null then
        perform refuse_v1('NotAllocated', jsonb_build_object('lines', short));
    end if;
    update order_lines l set allocated = l.allocated - w.quantity, consumed = l.consumed + w.quantity
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        where l.order_id = p_order_id and l.sku = w.sku;
    for line in
        select l.sku, l.location, w.quantity
        from jsonb_to_recordset(p_lines) as w (sku text collate "C", quantity integer)
        join order_lines l on l.order_id = p_order_id and l.sku = w.sku
        order by l.sku, l.location
    loop
        update stock_levels set on_hand = on_hand - line.quantity, held = held - line.quantity
            where sku = line.sku and location = line.location;
        insert into stock_movements (at, sku, location, kind, delta_on_hand, delta_held, order_id, order_number, actor, reason)
        values (p_now, line.sku, line.location, 'ship', -line.quantity, -line.quantity, p_order_id, locked.number,
            p_actor, p_reason);
    end loop;
end $function$;
grant execute on function ship_stock_v1(uuid,jsonb,text,text,timestamp with time zone) to vitrine_inventory;

CREATE OR REPLACE FUNCTION public.store_answer_v1(p_scope text, p_route text, p_key text, p_token uuid, p_status integer, p_body text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    update idempotency_keys
        set answer_status = p_status, answer_body = p_body, lease_token = null, leased_until = null
        where scope = p_scope and route = p_route and key = p_key and lease_token = p_token;
    if not found then
        perform refuse_v1('LeaseLost');
    end if;
end $function$;
grant execute on function store_answer_v1(text,text,text,uuid,integer,text) to vitrine_checkout;
grant execute on function store_answer_v1(text,text,text,uuid,integer,text) to vitrine_desk;
grant execute on function store_answer_v1(text,text,text,uuid,integer,text) to vitrine_inventory;
grant execute on function store_answer_v1(text,text,text,uuid,integer,text) to vitrine_support;

CREATE OR REPLACE FUNCTION public.suggest_v1(p_typed text, p_head text, p_tail text, p_unspaced tsquery, p_limit integer)
 RETURNS TABLE(kind text, name text, key text)
 LANGUAGE plpgsql
 STABLE
AS $function$
#variable_conflict use_column
declare
    typed constant text := fold_v1(p_typed);
    beyond constant text := typed || chr(1114111);
    hidden uuid[];
    wanted integer;
    head tsquery;
    anywhere tsquery;
    going_on tsquery;
    all_go_on boolean;
    places bigint[] := '{}';
    names text[] := '{}';
    keys text[] := '{}';
begin
    return query
        (select 'brand', b.name, b.slug from (
            select * from brands b
            where fold_v1(b.name) collate "C" >= typed and fold_v1(b.name) collate "C" < beyond
            order by fold_v1(b.name) collate "C" limit 20) b
        order by length(b.name), b.name collate "C", b.slug limit 3)
        union all
        (select 'category', c.name, c.path from (
            select * from categories c
            where fold_v1(c.name) collate "C" >= typed and fold_v1(c.name) collate "C" < beyond
            order by fold_v1(c.name) collate "C" limit 20) c
        order by length(c.name), c.name collate "C", c.path limit 3)
        limit p_limit;
    get diagnostics wanted = row_count;
    wanted := p_limit - wanted;
    if wanted <= 0 then
        return;
    end if;
    -- Staff have said that the whole text does not find them (shared.search.merchandising).
    select r.buried into hidden from query_rules r where r.query = typed;
    hidden := coalesce(hidden, '{}');

    if p_tail <> '' then
        head := plainto_tsquery('public.shop', p_head) && p_unspaced;
        anywhere := head && to_tsquery('public.shop', p_tail || ':*');
        going_on := head && to_tsquery('public.shop', p_tail || ':*A');
    end if;
    if numnode(going_on) > 0 then
        if length(p_typed) <= 2 then
            -- So little is in so many names that the first few hundred products nearly always have enough of them.
            select array_agg(best.name), array_agg(best.slug), bool_and(best.goes_on) into names, keys, all_go_on
            from (
                select p.name, p.slug, p.named @@ going_on as goes_on
                from (select * from search_products p where p.tier <= 4 order by p.place limit 200) p
                where p.product_id <> all (hidden) and (p.named @@ going_on
                    or left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond)
                limit wanted) best;
            if all_go_on and cardinality(keys) = wanted then
                return query select 'product', unnest(names), unnest(keys);
                return;
            end if;
            names := '{}';
            keys := '{}';
        end if;

        select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
            into places, names, keys
            from (
                select p.place, p.name, p.slug from (
                    select * from search_products where named @@ going_on and tier <= 0 offset 0) p
                where p.product_id <> all (hidden)
                order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
        if cardinality(keys) < wanted and not exists (select from search_tiers t where t.tier = 0) then
            select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
                into places, names, keys
                from (
                    select p.place, p.name, p.slug from (
                        select * from search_products where named @@ going_on and tier <= 4 and tier > 0 offset 0) p
                    where p.product_id <> all (hidden)
                    order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
        elsif cardinality(keys) < wanted and length(p_tail) >= 3 then
            select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
                into places, names, keys
                from (
                    select p.place, p.name, p.slug from (
                        select * from search_products where named @@ going_on and tier <= 1 and tier > 0 offset 0) p
                    where p.product_id <> all (hidden)
                    order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
            -- A prefix costs as much as all words that begin so: where few products have the words before it, these are looked at.
            if cardinality(keys) < wanted and numnode(head) > 0 and (
                select count(*) <= 40 from (
                    select from search_products p where p.named @@ head and p.tier <= 2 limit 41) few)
            then
                select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
                    into places, names, keys
                    from (
                        select p.place, p.name, p.slug from (
                            select * from (
                                select * from search_products where named @@ head and tier <= 4 and tier > 1 offset 0) few
                            where few.named @@ going_on offset 0) p
                        where p.product_id <> all (hidden)
                        order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
            elsif cardinality(keys) < wanted then
                select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
                    into places, names, keys
                    from (
                        select p.place, p.name, p.slug from (
                            select * from search_products where named @@ going_on and tier <= 2 and tier > 1 offset 0) p
                        where p.product_id <> all (hidden)
                        order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
                if cardinality(keys) < wanted then
                    select places || array_agg(best.place), names || array_agg(best.name), keys || array_agg(best.slug)
                        into places, names, keys
                        from (
                            select p.place, p.name, p.slug from (
                                select * from (
                                    select * from search_products where named @@ anywhere and tier <= 4 and tier > 2 limit 2000) many
                                where many.named @@ going_on offset 0) p
                            where p.product_id <> all (hidden)
                            order by p.place, length(p.name), p.name collate "C", p.slug limit wanted - cardinality(keys)) best;
                end if;
            end if;
        end if;
    end if;

    -- The names themselves add nothing where none that begins so is more popular than what was found: the index tells, without a product.
    if cardinality(keys) < wanted or length(p_typed) = 1 or exists (
        select from search_products p
        where left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond and p.tier <= 4
            and p.place < places[wanted] and p.slug <> all (keys))
    then
        select array_agg(best.name), array_agg(best.key) into names, keys
        from (
            select once.name, once.key
            from (
                select distinct on (found.key) found.place, found.name, found.key
                from (
                    select unnest(places) as place, unnest(names) as name, unnest(keys) as key
                    union all
                    select begun.place, begun.name, begun.slug from (
                        select * from search_products p
                        where left(p.search_text, 60) collate "C" >= typed and left(p.search_text, 60) collate "C" < beyond and p.tier <= 4
                        order by left(p.search_text, 60) collate "C" limit 300) begun
                    where begun.product_id <> all (hidden)) found
                order by found.key, found.place) once
            order by once.place, length(once.name), once.name collate "C", once.key limit wanted) best;
    end if;
    return query select 'product', unnest(names), unnest(keys);
end $function$;
grant execute on function suggest_v1(text,text,text,tsquery,integer) to vitrine_search;

CREATE OR REPLACE FUNCTION public.take_stock_again_v1(p_order_id uuid, p_number text, p_now timestamp with time zone)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    perform hold_stock_v1(p_order_id, p_number,
        (select jsonb_agg(jsonb_build_object('sku', sku, 'location', location, 'quantity', quantity - held))
         from order_lines where order_id = p_order_id and held < quantity),
        'paypal', 'paid late', p_now);
    update order_lines set held = quantity, expired = 0, released = 0 where order_id = p_order_id;
    perform allocate_stock_v1(p_order_id, p_number, p_now);
end $function$;
grant execute on function take_stock_again_v1(uuid,text,timestamp with time zone) to vitrine_checkout;
grant execute on function take_stock_again_v1(uuid,text,timestamp with time zone) to vitrine_desk;
grant execute on function take_stock_again_v1(uuid,text,timestamp with time zone) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.unspaced_lexemes_v1(words text)
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$
    select coalesce(string_agg(format('%L:%sA', substr(run[1], n, size), n), ' '), '')::tsvector
    from (select run from regexp_matches(left(words, 1000), '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]+', 'g') as run limit 50) runs,
        generate_series(1, least(length(run[1]), 200)) as n, (values (1), (2)) as sizes (size)
    where n + size - 1 <= length(run[1]);
$function$;
grant execute on function unspaced_lexemes_v1(text) to vitrine_search;
grant execute on function unspaced_lexemes_v1(text) to vitrine_search_jobs;

CREATE OR REPLACE FUNCTION public.voucher_json_v1(p_code text, p_email text, p_customer_id uuid, p_without uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select to_jsonb(v) || jsonb_build_object(
        'percent', v.percent::text,
        'redeemed', v.redeemed - (select count(*) from voucher_redemptions r
            where r.order_id = p_without and r.voucher_id = v.id and r.state = 'redeemed'),
        'used_by_customer', voucher_uses_v1(v.id, p_email, p_customer_id, p_without))
    from vouchers v where v.code = p_code);
end $function$;
grant execute on function voucher_json_v1(text,text,uuid,uuid) to vitrine_checkout;

CREATE OR REPLACE FUNCTION public.voucher_uses_v1(p_voucher_id uuid, p_email text, p_customer_id uuid, p_without uuid)
 RETURNS bigint
 LANGUAGE plpgsql
 STABLE
 SET plan_cache_mode TO 'force_generic_plan'
AS $function$
begin return (
    select count(*) from (
        select order_id from voucher_redemptions
            where voucher_id = p_voucher_id and state = 'redeemed' and email = lower(p_email)
        union
        select order_id from voucher_redemptions
            where voucher_id = p_voucher_id and state = 'redeemed' and customer_id = p_customer_id) r
    where order_id is distinct from p_without);
end $function$;
grant execute on function voucher_uses_v1(uuid,text,uuid,uuid) to vitrine_checkout;
grant execute on function voucher_uses_v1(uuid,text,uuid,uuid) to vitrine_desk;
grant execute on function voucher_uses_v1(uuid,text,uuid,uuid) to vitrine_payment_jobs;

CREATE OR REPLACE FUNCTION public.widened_query_v1(p_words text)
 RETURNS tsquery
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
    widened tsquery := plainto_tsquery('public.shop', p_words);
    rewrite record;
    marks tsquery[] := '{}';
    substitutes tsquery[] := '{}';
begin
    for rewrite in
        select target, substitute from public.synonym_rewrites
        where lexeme = any (tsvector_to_array(to_tsvector('public.shop', p_words)))
        order by numnode(target) desc, target
    loop
        -- No text has such a lexeme: the parser takes control characters for spaces.
        marks := marks || format(E'\'\x01%s\'', cardinality(marks))::tsquery;
        substitutes := substitutes || rewrite.substitute;
        widened := ts_rewrite(widened, rewrite.target, marks[cardinality(marks)]);
    end loop;
    for n in 1 .. cardinality(marks) loop
        widened := ts_rewrite(widened, marks[n], substitutes[n]);
    end loop;
    return widened;
end $function$;
grant execute on function widened_query_v1(text) to vitrine_search;

CREATE OR REPLACE FUNCTION public.widened_query_v2(p_words text, p_any boolean)
 RETURNS tsquery
 LANGUAGE plpgsql
 STABLE
AS $function$
declare
    typed constant tsvector := to_tsvector('public.shop', p_words);
    words tsquery := public.word_query_v1(p_words);
    without tsquery;
    rewrite record;
    entries uuid[] := '{}';
    substitutes text[] := '{}';
    room int := 120;
begin
    for rewrite in
        select target, substitute, synonym_id from public.synonym_rewrites
        where lexeme = any (tsvector_to_array(typed)) and typed @@ target
        order by numnode(target) desc, target
    loop
        without := ts_rewrite(words, rewrite.target, '');
        continue when without = words;
        if rewrite.synonym_id <> all (entries) then
            continue when room < (numnode(rewrite.substitute) + 1) / 2;
            room := room - (numnode(rewrite.substitute) + 1) / 2;
            entries := entries || rewrite.synonym_id;
            substitutes := substitutes || format('( %s )', rewrite.substitute);
        end if;
        words := without;
    end loop;
    if p_any then
        return replace(public.word_query_v1(p_words)::text, '&', '|')::tsquery
            || array_to_string(substitutes, ' | ')::tsquery;
    end if;
    return words && array_to_string(substitutes, ' & ')::tsquery;
end $function$;
grant execute on function widened_query_v2(text,boolean) to vitrine_search;

CREATE OR REPLACE FUNCTION public.word_query_v1(p_words text)
 RETURNS tsquery
 LANGUAGE sql
 STABLE
AS $function$
    select replace(strip(to_tsvector('public.shop', p_words))::text, ''' ''', ''' & ''')::tsquery
$function$;
grant execute on function word_query_v1(text) to vitrine_inventory;
grant execute on function word_query_v1(text) to vitrine_search;

CREATE OR REPLACE FUNCTION public.words_of_products_v1(p_ids uuid[])
 RETURNS TABLE(product_id uuid, word text, named boolean)
 LANGUAGE sql
 STABLE
AS $function$
    select s.product_id, t.token, bool_or(t.named)
    from search_products s join products p on p.id = s.product_id,
    lateral (
        select token, true as named
            from ts_parse('default', parted_v1(fold_v1(concat_ws(' ', s.name, s.brand_name, s.category_name))))
            where tokid in (1, 2, 10, 11)
        union all
        select token, false from ts_parse('default', parted_v1(fold_v1(left(p.description, 1000))))
            where tokid in (1, 2, 10, 11)
    ) t
    where s.product_id = any (p_ids) and s.tier <= 4 and length(t.token) between 3 and 30
        and t.token !~ '[぀-ヿ㐀-䶿一-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿]'
    group by 1, 2
$function$;
grant execute on function words_of_products_v1(uuid[]) to vitrine_search_jobs;

grant usage on schema public to public;

-- default for functions: the owner only
