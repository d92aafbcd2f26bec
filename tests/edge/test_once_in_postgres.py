"""Idempotency keys against a real PostgreSQL: races, leases, and effects that roll back with a lost lease."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from local.database import Address
from shared.audit.entries import Entry
from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import Body, View
from shared.kernel.idempotency import AlreadyAnswered, Answering, Claim, InFlight, KeyReused, LeaseLost
from shared.persistence import audit
from shared.persistence.connecting import connector
from shared.persistence.database import Database, Transaction
from shared.persistence.idempotency import IdempotencyKeys
from shared.settings import DatabaseSettings
from tests.edge.conftest import House, StandingClock, call, client_of


class Effects:
    """Something that a step changes: rows of the audit log under a subject of this test alone."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.subject = f"test:{uuid4()}"

    def make(self, tx: Transaction) -> int:
        audit.append(tx, Entry(tx.clock.now(), "test", "test.made", self.subject, {"n": 1}))
        return len(self.list())

    def list(self) -> list[Any]:
        return list(audit.AuditLog(self.database).list_entries(self.subject, limit=100))


class EffectBody(Body, frozen=True):
    cart: str


class EffectView(View, frozen=True):
    made: UUID


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def pool(database: Address, clock: StandingClock) -> Iterator[Database]:
    opened: list[Any] = []
    connect = connector(DatabaseSettings("url", 20, database.url), application="test")

    def open_one() -> Any:
        opened.append(connect())
        return opened[-1]

    yield Database(open_one, size=20, clock=clock, wait_s=10)
    for connection in opened:
        connection.close()


@pytest.fixture
def keys(pool: Database) -> IdempotencyKeys:
    return IdempotencyKeys(pool)


@pytest.fixture
def effects(pool: Database) -> Effects:
    return Effects(pool)


def make_claim(clock: StandingClock, *, key: str = "k", request: bytes = b"same", scope: str | None = None) -> Claim:
    return Claim(
        scope=scope or f"test:{uuid4()}",
        route="POST /v1/test",
        key=key,
        request_hash=request.ljust(32),
        token=uuid4(),
        at=clock.now(),
        until=clock.now() + timedelta(seconds=70),
    )


def again(claim: Claim, clock: StandingClock, **changes: Any) -> Claim:
    """The same key, asked for by another request at this moment."""
    return replace(claim, token=uuid4(), at=clock.now(), until=clock.now() + timedelta(seconds=70), **changes)


def test_a_claimed_key_is_in_flight_for_everybody_else(keys: IdempotencyKeys, clock: StandingClock) -> None:
    claim = make_claim(clock)
    keys.claim(claim)

    with pytest.raises(InFlight):
        keys.claim(again(claim, clock))
    with pytest.raises(KeyReused):
        keys.claim(again(claim, clock, request_hash=b"other".ljust(32)))


def test_a_claim_that_is_made_twice_over_by_one_request_is_its_own(keys: IdempotencyKeys, clock: StandingClock) -> None:
    claim = make_claim(clock)

    keys.claim(claim)
    keys.claim(claim)  # the first answer was lost with its connection

    keys.store(claim, 201, "{}")
    with pytest.raises(AlreadyAnswered):
        keys.claim(again(claim, clock))


def test_a_stored_answer_is_given_to_the_same_request_and_to_no_other(
    keys: IdempotencyKeys, clock: StandingClock
) -> None:
    claim = make_claim(clock)
    keys.claim(claim)
    keys.store(claim, 201, '{"id":7}')

    with pytest.raises(AlreadyAnswered) as caught:
        keys.claim(again(claim, clock))
    assert (caught.value.status, caught.value.body) == (201, '{"id":7}')
    with pytest.raises(KeyReused):
        keys.claim(again(claim, clock, request_hash=b"other".ljust(32)))


def test_one_key_in_two_scopes_or_routes_is_two_keys(keys: IdempotencyKeys, clock: StandingClock) -> None:
    claim = make_claim(clock)

    keys.claim(claim)
    elsewhere = again(claim, clock, scope=f"test:{uuid4()}")
    keys.claim(elsewhere)
    other_route = again(claim, clock, route="POST /v1/other")
    keys.claim(other_route)

    for number, each in enumerate((claim, elsewhere, other_route)):
        keys.store(each, 201, f"{number}")
    for number, each in enumerate((claim, elsewhere, other_route)):
        with pytest.raises(AlreadyAnswered) as caught:
            keys.claim(again(each, clock))
        assert caught.value.body == f"{number}"


def test_a_released_key_is_free_at_once_and_only_its_owner_releases_it(
    keys: IdempotencyKeys, clock: StandingClock
) -> None:
    claim = make_claim(clock)
    keys.claim(claim)

    keys.release(again(claim, clock))
    with pytest.raises(InFlight):
        keys.claim(again(claim, clock))
    keys.release(claim)

    keys.claim(again(claim, clock))


def test_a_lease_is_taken_over_when_it_has_run_out_and_not_before(keys: IdempotencyKeys, clock: StandingClock) -> None:
    claim = make_claim(clock)
    keys.claim(claim)

    clock.advance(seconds=69)
    with pytest.raises(InFlight):
        keys.claim(again(claim, clock))
    clock.advance(seconds=1)
    keys.claim(again(claim, clock))

    with pytest.raises(LeaseLost):
        keys.store(claim, 201, "{}")


def test_a_step_whose_lease_was_taken_over_leaves_nothing_behind(
    pool: Database, keys: IdempotencyKeys, effects: Effects, clock: StandingClock
) -> None:
    slow = make_claim(clock)
    keys.claim(slow)
    clock.advance(seconds=70)
    fast = again(slow, clock)
    keys.claim(fast)

    def step(claim: Claim, body: str) -> Callable[[Transaction], int]:
        return lambda tx: tx.answer(Answering(claim, 201, lambda made: body), effects.make(tx))

    pool.step(step(fast, '{"by":"fast"}'))
    with pytest.raises(LeaseLost):
        pool.step(step(slow, '{"by":"slow"}'))

    assert len(effects.list()) == 1
    with pytest.raises(AlreadyAnswered) as caught:
        keys.claim(again(slow, clock))
    assert caught.value.body == '{"by":"fast"}'


def test_a_step_that_rolls_back_stores_no_answer(
    pool: Database, keys: IdempotencyKeys, effects: Effects, clock: StandingClock
) -> None:
    claim = make_claim(clock)
    keys.claim(claim)

    def step(tx: Transaction) -> None:
        tx.answer(Answering(claim, 201, lambda made: "{}"), effects.make(tx))
        raise RuntimeError("after the answer")

    with pytest.raises(RuntimeError):
        pool.step(step)

    assert effects.list() == []
    with pytest.raises(InFlight):
        keys.claim(again(claim, clock))


def test_a_key_is_kept_48_hours(keys: IdempotencyKeys, clock: StandingClock) -> None:
    claim = make_claim(clock)
    keys.claim(claim)
    keys.store(claim, 201, "{}")

    clock.advance(hours=47, minutes=59)
    with pytest.raises(AlreadyAnswered):
        keys.claim(again(claim, clock))
    clock.advance(minutes=1)

    keys.claim(again(claim, clock, request_hash=b"other".ljust(32)))


def test_a_sweep_forgets_old_keys_and_keeps_leased_and_young_ones(
    pool: Database, keys: IdempotencyKeys, clock: StandingClock
) -> None:
    clock.moment = clock.moment.replace(year=2001)  # older than what any other test leaves
    scope = f"test:{uuid4()}"
    for key in ("answered", "released"):
        claim = make_claim(clock, key=key, scope=scope)
        keys.claim(claim)
        (keys.store(claim, 201, "{}") if key == "answered" else keys.release(claim))
    clock.advance(hours=48, minutes=1)
    keys.claim(make_claim(clock, key="young", scope=scope))
    pool.call(
        "insert into idempotency_keys (scope, route, key, request_hash, lease_token, leased_until, created_at) values"
        " (:scope::text, 'r', 'leased', 'x', :token::uuid, :until::timestamptz, :at::timestamptz)",
        scope=scope,
        token=uuid4(),
        until=clock.now() + timedelta(seconds=1),
        at=clock.now() - timedelta(hours=50),
    )

    keys.sweep(now=clock.now())

    left = pool.call("select key from idempotency_keys where scope = :scope::text order by key", scope=scope)
    assert [row["key"] for row in left] == ["leased", "young"]


def test_twenty_requests_with_one_key_have_one_effect_and_one_answer(
    pool: Database, keys: IdempotencyKeys, effects: Effects
) -> None:
    house = House()
    api: Api = house.make_api(keys=lambda: keys)
    start = threading.Barrier(20)

    @api.post("/v1/effects", body=EffectBody, answers={201: EffectView}, scope=lambda call: call.body.cart)
    def make(call: Call[EffectBody]) -> Reply:
        made = uuid4()
        answering: Answering[int] | None = call.answering(201, lambda _: EffectView(made=made))
        pool.step(lambda tx: tx.answer(answering, effects.make(tx)))
        return Reply(201, EffectView(made=made))

    client_of(api)  # the first is made by one thread

    def ask(_: int) -> tuple[int, bytes]:
        start.wait(30)
        response = call(api, "POST", "/v1/effects", json_body={"cart": effects.subject})
        assert response.status_code == 201 or response.headers["Retry-After"] == "2"
        return response.status_code, response.get_data()

    with ThreadPoolExecutor(20) as threads:
        at_once = list(threads.map(ask, range(20)))
        later = list(threads.map(ask, range(20)))

    assert len(effects.list()) == 1
    assert {status for status, _ in at_once} <= {201, 409}
    assert {status for status, _ in later} == {201}
    assert len({body for status, body in at_once + later if status == 201}) == 1


def test_what_a_dead_request_began_is_taken_up_after_its_lease(keys: IdempotencyKeys, effects: Effects) -> None:
    house = House()
    api = house.make_api(keys=lambda: keys)
    began: list[Claim] = []

    @api.post("/v1/effects", body=EffectBody, answers={201: EffectView}, scope=lambda call: call.body.cart)
    def make(call: Call[EffectBody]) -> Reply:
        if not began:
            assert call.claim is not None
            began.append(call.claim)
            return Reply(500)  # as good as dead: what it claimed is put back below
        return Reply(201, EffectView(made=UUID(int=1)))

    def status() -> int:
        return call(api, "POST", "/v1/effects", json_body={"cart": effects.subject}).status_code

    status()
    keys.claim(began[0])
    assert status() == 409
    house.clock.advance(seconds=70)
    assert status() == 201
