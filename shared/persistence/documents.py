"""Invoices and credit notes in SQL: numbered by the one statement that writes them, and read as they were written."""

from collections.abc import Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from uuid import UUID

from shared.documents.documents import Content, Document, content_from_json, content_to_json
from shared.documents.errors import DocumentNotFound, DocumentsMoved
from shared.documents.issuing import Case
from shared.documents.owing import Kind, Owed
from shared.kernel.clock import Clock, parse_iso
from shared.orders import order as order_values
from shared.persistence.database import Database, Row, as_json, as_uuid
from shared.shop import settings as shop_values

# How long a deployment may lie behind its migration: what older code settled meanwhile is looked for.
_FORGOTTEN_WITHIN = timedelta(days=2)

# A row that is older is in sight of whoever reads the rows up to it: its transaction is over, whatever its place.
_IN_SIGHT = timedelta(minutes=10)

_FORGOTTEN = """
o.paid_at is not null and (
    not exists (select 1 from documents d where d.order_id = o.id and d.kind = 'invoice')
    or exists (
        select 1 from payment_facts f
        where f.order_id = o.id and f.kind = 'refund' and f.status = 'COMPLETED' and not f.reversal
            and f.amount_minor > 0 and f.capture_id = o.bound_capture_id and not exists (
                select 1 from documents d where d.order_id = o.id and d.refund_id = f.object_id)
            and o.total_minor > (
                select coalesce(sum(d.amount_minor), 0) from documents d
                where d.order_id = o.id and d.kind = 'credit_note')
            and (
                select sum(r.amount_minor) from payment_facts r
                where r.order_id = o.id and r.kind = 'refund' and r.status = 'COMPLETED' and not r.reversal
                    and r.capture_id = o.bound_capture_id
            ) > greatest(0, (
                select max(c.amount_minor) - o.total_minor from payment_facts c
                where c.order_id = o.id and c.kind = 'capture' and c.object_id = o.bound_capture_id
                    and c.currency = o.currency)) + (
                select coalesce(sum(d.amount_minor), 0) from documents d
                where d.order_id = o.id and d.kind = 'credit_note' and not exists (
                    select 1 from payment_facts v where v.order_id = o.id and v.kind = 'refund'
                        and v.object_id = d.refund_id and v.reversal))))
"""

_CASE = """
select d.id, d.kind, d.refund_id, d.amount_minor, d.currency, order_json_v2(d.order_id) as found,
    (select jsonb_agg(jsonb_build_object('id', i.id, 'kind', i.kind, 'number', i.number, 'issued_at', i.issued_at,
            'content', i.content) order by i.position)
        from documents i where i.order_id = d.order_id and i.number is not null) as issued,
    (select jsonb_build_object('value', value, 'version', version) from shop_settings where id = 'shop') as settings
from documents d where d.order_id = :order_id::uuid and d.number is null
order by d.position limit 1
"""

_FIRST_DAY = "(select (min(issued_at) at time zone 'UTC')::date from documents where number is not null)"

# One after another: whoever comes second waits for the row, and takes the day after.
_SUM_NEXT_DAY = f"""
with turn as (
    update document_sweep set taxes_until = coalesce(taxes_until, {_FIRST_DAY}) + 1
    where id = 'sweep' and coalesce(taxes_until, {_FIRST_DAY}) < :today::date
    returning taxes_until - 1 as day
), summed as (
    insert into document_tax_sums (day, kind, currency, rate, documents, net_minor, tax_minor, gross_minor)
    select turn.day, d.kind, d.currency, t ->> 'rate', count(*), sum((t ->> 'net_minor')::bigint),
        sum((t ->> 'tax_minor')::bigint), sum((t ->> 'gross_minor')::bigint)
    from turn, documents d, jsonb_array_elements(d.content -> 'taxes') t
    where d.number is not null and d.issued_at >= turn.day::timestamp at time zone 'UTC'
        and d.issued_at < (turn.day + 1)::timestamp at time zone 'UTC'
    group by turn.day, d.kind, d.currency, t ->> 'rate'
)
select day from turn
"""

# What is summed by days, and one by one the documents that are younger.
_SUM_PERIOD = """
select kind, currency, rate, sum(documents)::bigint as documents, sum(net_minor)::bigint as net_minor,
    sum(tax_minor)::bigint as tax_minor, sum(gross_minor)::bigint as gross_minor
from (
    select kind, currency, rate, documents, net_minor, tax_minor, gross_minor from document_tax_sums
    where day >= :first::date and day < :until::date
    union all
    select kind, currency, t ->> 'rate', 1, (t ->> 'net_minor')::bigint, (t ->> 'tax_minor')::bigint,
        (t ->> 'gross_minor')::bigint
    from documents, jsonb_array_elements(content -> 'taxes') t
    where number is not null and issued_at < :until::date::timestamp at time zone 'UTC' and issued_at >= greatest(
        :first::date::timestamp at time zone 'UTC',
        (select taxes_until::timestamp at time zone 'UTC' from document_sweep where id = 'sweep'))
) parts
group by kind, currency, rate
order by kind desc, currency, rate::numeric
"""


class Documents:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    # Issuing --------------------------------------------------------------------------------------

    def list_owing(self, after: int, limit: int) -> Sequence[tuple[int, UUID]]:
        """The place of each document that is owed and its order, beyond a place, those owed the longest first."""
        rows = self._database.call(
            """
            select position, order_id from documents where number is null and position > :after::bigint
            order by position limit :limit::int
            """,
            after=after,
            limit=limit,
        )
        return [(row["position"], row["order_id"]) for row in rows]

    def list_forgotten(self, limit: int) -> Sequence[UUID]:
        """Young orders that were settled by code from before there were documents; settling them again owes them."""
        return [
            row["id"]
            for row in self._database.call(
                f"""
                select o.id from orders o where o.placed_at > :since::timestamptz and {_FORGOTTEN}
                order by o.placed_at limit :limit::int
                """,
                since=self._clock.now() - _FORGOTTEN_WITHIN,
                limit=limit,
            )
        ]

    def look_on(self, limit: int, *, past: Collection[UUID] = ()) -> list[UUID] | None:
        """Forgotten orders, whatever their age, of the next `limit` facts; None where all facts have been looked at.

        What is before the first of them is not looked at again: settle them, then look on, `past` those that stay
        forgotten though they are settled.
        """
        facts = self._database.call(
            f"""
            select p.id, p.order_id, p.recorded_at, p.order_id <> all (:past::uuid[]) and coalesce((
                select {_FORGOTTEN} from orders o where o.id = p.order_id), false) as is_forgotten
            from payment_facts p where p.id > (select facts_seen from document_sweep where id = 'sweep')
            order by p.id limit :limit::int
            """,
            limit=limit,
            past=list(past),
        )
        before = self._clock.now() - _IN_SIGHT
        settled = list(takewhile(lambda fact: fact["recorded_at"] < before, facts))
        clear = list(takewhile(lambda fact: not fact["is_forgotten"], settled))
        if clear:
            self._database.call(
                """
                update document_sweep set facts_seen = :seen::bigint where id = 'sweep' and facts_seen < :seen::bigint
                """,
                seen=clear[-1]["id"],
            )
        return list(dict.fromkeys(fact["order_id"] for fact in settled if fact["is_forgotten"])) if settled else None

    def sum_next_day(self) -> date | None:
        """Sum the taxes of the first day that is over and not summed; that day, None where there is none."""
        row = self._database.find(_SUM_NEXT_DAY, today=(self._clock.now() - _IN_SIGHT).astimezone(UTC).date())
        return row["day"] if row is not None else None

    def find_case(self, order_id: UUID) -> Case | None:
        found = self._database.find(_CASE, order_id=order_id)
        if found is None:
            return None
        return Case(
            id=found["id"],
            owed=Owed(found["kind"], found["amount_minor"], found["currency"], found["refund_id"]),
            order=order_values.from_json(found["found"]),
            issued=tuple(_document(row) for row in found["issued"] or ()),
            shop=shop_values.from_json(found["settings"]["value"], found["settings"]["version"]),
        )

    def issue(self, document_id: UUID, content: Content, *, before: int, prefix: str) -> str:
        number: str | None = self._database.call(
            """
            select issue_document_v1(:id::uuid, :before::int, :content::jsonb, :prefix::text, :now::timestamptz)
                as number
            """,
            id=document_id,
            before=before,
            content=as_json(content_to_json(content)),
            prefix=prefix,
            now=self._clock.now(),
        )[0]["number"]
        if number is None:
            raise DocumentsMoved
        return number

    # Reading --------------------------------------------------------------------------------------

    def get_of_order(self, order_id: UUID, kind: Kind, number: str | None = None) -> Document:
        """The invoice of an order, or its credit note of that number. Raises DocumentNotFound."""
        found = self._database.find(
            """
            select id, kind, number, issued_at, content from documents
            where order_id = :order_id::uuid and kind = :kind::text and number is not null
                and (number = :number::text or :number::text is null)
            order by position limit 1
            """,
            order_id=order_id,
            kind=kind,
            number=number,
        )
        if found is None:
            raise DocumentNotFound
        return _document(found)

    def get_by_number(self, number: str) -> Document:
        """Raises DocumentNotFound."""
        found = self._database.find(
            """
            select id, kind, number, issued_at, content from documents
            where kind in ('invoice', 'credit_note') and number = :number::text order by kind desc limit 1
            """,
            number=number,
        )
        if found is None:
            raise DocumentNotFound
        return _document(found)

    def list_issued(
        self, *, kind: Kind | None, order_number: str | None, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[Document]:
        """The newest first."""
        rows = self._database.call(
            """
            select id, kind, number, issued_at, content from documents
            where number is not null
                and (issued_at, id) < (coalesce(:at::timestamptz, 'infinity'), coalesce(:id::uuid, :most::uuid))
                and (kind = :kind::text or :kind::text is null)
                and (order_id = (select o.id from orders o where o.number = :order_number::text)
                    or :order_number::text is null)
            order by issued_at desc, id desc limit :limit::int
            """,
            kind=kind,
            order_number=order_number,
            at=before[0] if before else None,
            id=before[1] if before else None,
            most=UUID(int=2**128 - 1),
            limit=limit,
        )
        return [_document(row) for row in rows]

    def list_period(self, first: datetime, until: datetime, *, limit: int) -> list[Document]:
        """What was issued from one moment to before another, oldest first."""
        rows = self._database.call(
            """
            select id, kind, number, issued_at, content from documents
            where number is not null and issued_at >= :first::timestamptz and issued_at < :until::timestamptz
            order by issued_at, id limit :limit::int
            """,
            first=first,
            until=until,
            limit=limit,
        )
        return [_document(row) for row in rows]

    def sum_taxes(self, first: date, until: date) -> list[Row]:
        """What documents of a period amount to by kind, currency and rate, minor units; `until` is the day after it.

        It reads a few rows a day, and whole documents only of days that nobody has summed yet.
        """
        return self._database.call(_SUM_PERIOD, first=first, until=until)


def _document(row: Row) -> Document:
    at = row["issued_at"]
    return Document(
        id=as_uuid(row["id"]),
        kind=row["kind"],
        number=row["number"],
        issued_at=parse_iso(at) if isinstance(at, str) else at,
        content=content_from_json(row["content"]),
    )
