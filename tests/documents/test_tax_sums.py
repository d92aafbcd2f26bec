"""The taxes of a period: days that are over are summed once, and a period costs its days, not its documents."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, timedelta
from typing import Any

import pytest

from local.database import Address
from shared.documents.issuing import issue_documents
from shared.persistence.database import Transaction
from shared.persistence.documents import Documents
from tests.auditor.auditor import audit_database
from tests.orders.shop import Shop, at_once
from tests.orders.test_plans import _Undone, _Within, rows_read
from tools.scratch_database import ScratchServer

# What an order of one LAMP costs: 1000 and 590 of shipping, untaxed where it goes.
TOTAL = 1590
MANY = 5000


@pytest.fixture
def database(postgres: ScratchServer) -> Address:
    """One of each test's own: days are summed once, and other tests move their clocks back and forth."""
    return postgres.copy()


@pytest.fixture
def shop(database: Address) -> Iterator[Shop]:
    made = Shop(database.url)
    yield made
    made.database.close()
    assert audit_database(database.url) == []


def _issue(shop: Shop, times: int) -> date:
    """So many invoices, and the day that they are of."""
    for _time in range(times):
        issue_documents(shop.paid_order({shop.make_stock("LAMP", 1): 1}).id, store=Documents(shop.database, shop.clock))
    return shop.clock.now().astimezone(UTC).date()


def _to_next_day(shop: Shop, **after: float) -> None:
    now = shop.clock.now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1, **after)
    shop.clock.advance(seconds=(midnight - now).total_seconds())


def _sums(shop: Shop, first: date, last: date) -> list[tuple[Any, ...]]:
    rows = Documents(shop.database, shop.clock).sum_taxes(first, last + timedelta(days=1))
    return [tuple(row.values()) for row in rows]


def _summed_days(shop: Shop) -> list[tuple[date, int]]:
    rows = shop.database.call("select day, documents from document_tax_sums order by day")
    return [(row["day"], row["documents"]) for row in rows]


def test_a_day_is_summed_when_it_is_over_and_counts_the_same(shop: Shop) -> None:
    documents = Documents(shop.database, shop.clock)
    _to_next_day(shop, hours=12)
    first = _issue(shop, 2)
    before = _sums(shop, first, first)
    _to_next_day(shop, minutes=9)
    early = documents.sum_next_day()  # a transaction of the day before may be under way
    shop.clock.advance(minutes=2)
    second = _issue(shop, 1)

    days = [documents.sum_next_day(), documents.sum_next_day()]

    assert (early, days, _summed_days(shop)) == (None, [first, None], [(first, 2)])
    assert before == [("invoice", "USD", "0", 2, 2 * TOTAL, 0, 2 * TOTAL)]
    assert _sums(shop, first, first) == before
    assert _sums(shop, second, second) == [("invoice", "USD", "0", 1, TOTAL, 0, TOTAL)]
    assert _sums(shop, first, second) == [("invoice", "USD", "0", 3, 3 * TOTAL, 0, 3 * TOTAL)]
    assert _sums(shop, first - timedelta(days=400), first - timedelta(days=1)) == []


def test_days_without_documents_are_passed_and_nobody_sums_a_day_twice(shop: Shop) -> None:
    documents = Documents(shop.database, shop.clock)
    first = _issue(shop, 1)
    shop.clock.advance(days=9)
    last = _issue(shop, 1)
    shop.clock.advance(days=2)

    answers, refused = at_once([documents.sum_next_day] * 12)

    assert refused == []
    assert sorted(day for day in answers if day is not None) == [first + timedelta(days=n) for n in range(11)]
    assert _summed_days(shop) == [(first, 1), (last, 1)]
    assert _sums(shop, first, last) == [("invoice", "USD", "0", 2, 2 * TOTAL, 0, 2 * TOTAL)]


def test_a_shop_without_documents_has_nothing_to_sum(shop: Shop) -> None:
    assert Documents(shop.database, shop.clock).sum_next_day() is None
    assert shop.database.call("select taxes_until from document_sweep") == [{"taxes_until": None}]


def test_a_period_of_thousands_of_documents_reads_a_few_rows_of_days(shop: Shop) -> None:
    day = _issue(shop, 1)
    shop.clock.advance(days=2)
    Documents(shop.database, shop.clock).sum_next_day()
    read: list[dict[str, int]] = []
    answers: list[Any] = []

    def by_index(tx: Transaction) -> int:
        (found,) = tx.rows(
            "select coalesce(idx_tup_fetch, 0)::int as rows from pg_stat_xact_user_tables where relname = 'documents'"
        )
        return int(found["rows"])

    def step(tx: Transaction) -> None:
        tx.rows(
            """
            insert into documents
            overriding system value
            select made.* from documents d, generate_series(1, :many::int) as n, jsonb_populate_record(null::documents,
                to_jsonb(d) || jsonb_build_object('id', md5('many ' || n)::uuid, 'position', -n, 'kind', 'credit_note',
                    'refund_id', 'many ' || n, 'serial', n, 'number', 'N' || n)) as made
            """,
            many=MANY,
        )
        documents = Documents(_Within(tx), shop.clock)
        before = by_index(tx)
        scanned = rows_read(
            shop, tx, lambda: answers.extend(documents.sum_taxes(day, day + timedelta(days=400))), "documents"
        )
        read.append({**scanned, "by an index": by_index(tx) - before})
        raise _Undone

    with suppress(_Undone):
        shop.database.step(step)

    assert [row["documents"] for row in answers] == [1]
    assert read == [{"documents": 0, "by an index": 0}]
