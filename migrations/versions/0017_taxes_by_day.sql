-- What the documents of a day that is over amount to: issued documents never change, so it is summed once, and a period of
-- any size costs its days. payment_jobs sum day by day, from the first document on; documents of later days are read themselves.

create table document_tax_sums (
    day date not null,
    kind text not null,
    currency char(3) not null,
    rate text not null,
    documents bigint not null,
    net_minor bigint not null,
    tax_minor bigint not null,
    gross_minor bigint not null,
    primary key (day, kind, currency, rate),
    constraint document_tax_sums_kind_known check (kind in ('invoice', 'credit_note')),
    constraint document_tax_sums_documents_positive check (documents > 0)
);

alter table document_sweep add column taxes_until date;
comment on column document_sweep.taxes_until is 'days before this one are in document_tax_sums; null where none is yet';

grant select, insert on document_tax_sums to vitrine_payment_jobs;
grant select on document_tax_sums, document_sweep to vitrine_desk;
