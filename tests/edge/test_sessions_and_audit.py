from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from local.database import Address
from shared.audit.entries import Entry
from shared.persistence import audit
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Transaction
from shared.persistence.sessions import Sessions
from shared.settings import DatabaseSettings
from tests.edge.conftest import StandingClock


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def pool(database: Address, clock: StandingClock) -> Iterator[Database]:
    connection = connector(DatabaseSettings("url", 1, database.url), application="test")()
    yield Database(lambda: connection, size=1, clock=clock)
    connection.close()


def make_session(pool: Database, clock: StandingClock, *, revoked: bool = False) -> UUID:
    session = uuid4()
    pool.call(
        "insert into sessions (id, kind, subject, permissions, created_at, expires_at, revoked_at) values"
        " (:id::uuid, 'staff', :subject::uuid, '{*}', :now::timestamptz, :until::timestamptz, :revoked::timestamptz)",
        id=session,
        subject=uuid4(),
        now=clock.now(),
        until=clock.now() + timedelta(hours=12),
        revoked=clock.now() if revoked else None,
    )
    return session


def test_a_session_lives_until_it_expires_or_is_revoked(pool: Database, clock: StandingClock) -> None:
    sessions = Sessions(pool)
    live, revoked = make_session(pool, clock), make_session(pool, clock, revoked=True)

    assert sessions.is_live(live, at=clock.now())
    assert sessions.is_live(live, at=clock.now() + timedelta(hours=11, minutes=59))
    assert not sessions.is_live(live, at=clock.now() + timedelta(hours=12))
    assert not sessions.is_live(revoked, at=clock.now())
    assert not sessions.is_live(uuid4(), at=clock.now())


def test_an_entry_is_there_with_its_effect_and_not_without(pool: Database, clock: StandingClock) -> None:
    subject = f"sku:{uuid4()}"
    entry = Entry(clock.now(), "staff:1", "stock.adjusted", subject, {"delta": -2, "order_id": str(UUID(int=1))})

    def rolled_back(tx: Transaction) -> None:
        audit.append(tx, Entry(clock.now(), "staff:1", "stock.counted", subject))
        raise RuntimeError

    pool.step(lambda tx: audit.append(tx, entry))
    with pytest.raises(RuntimeError):
        pool.step(rolled_back)

    assert audit.AuditLog(pool).list_entries(subject, limit=10) == [entry]


def test_entries_are_paged_newest_first_and_none_is_lost_between_pages(pool: Database, clock: StandingClock) -> None:
    subject = f"sku:{uuid4()}"
    for minute in (0, 0, 0, 1, 1):
        moment = clock.now() + timedelta(minutes=minute)
        pool.step(lambda tx, at=moment: audit.append(tx, Entry(at, "staff:1", "stock.adjusted", subject)))  # type: ignore[misc]
    log = audit.AuditLog(pool)

    everything = list(log.list_entries(subject, limit=10))
    paged: list[Entry] = []
    while page := log.list_entries(subject, limit=2, before=(paged[-1].at, paged[-1].id) if paged else None):
        paged += page

    assert [entry.at for entry in everything] == sorted((entry.at for entry in everything), reverse=True)
    assert paged == everything
    assert len(paged) == 5
