"""What an Idempotency-Key does to an answer; what PostgreSQL makes of keys is in test_once_in_postgres.py."""

import json
from typing import Any

import pytest

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import Body, View
from shared.kernel.errors import Conflict, Declined, Field, Invalid, NotFound, Unavailable
from shared.kernel.idempotency import Answering, InFlight
from tests.edge.conftest import House, call, problem_of


class PourBody(Body, frozen=True):
    cup: str
    sugar: int = 0


class CupView(View, frozen=True):
    cup: str
    number: int


class Kitchen:
    """One route that pours; `failing` is what it raises after it has poured."""

    def __init__(self, house: House, **options: Any) -> None:
        self.api: Api = house.make_api()
        self.poured: list[Call[PourBody]] = []
        self.failing: Exception | None = None
        self.stores_itself = False
        self.keys = house.keys
        self.api.post("/v1/cups/<kitchen>", body=PourBody, answers={201: CupView}, **options)(self._pour)

    def _pour(self, call: Call[PourBody]) -> Reply:
        self.poured.append(call)
        if self.failing:
            raise self.failing
        view = CupView(cup=call.body.cup, number=len(self.poured))
        if self.stores_itself:
            answering: Answering[int] | None = call.answering(
                201, lambda number: CupView(cup=call.body.cup, number=number)
            )
            assert answering is not None
            self.keys.store(answering.claim, answering.status, answering.render(len(self.poured)))
        return Reply(201, view)

    def pour(self, cup: str = "blue", *, key: str | None = "k", path: str = "/v1/cups/east", **more: Any) -> Any:
        headers = {"Idempotency-Key": key} if key is not None else {"Idempotency-Key": ""}
        return call(self.api, "POST", path, json_body={"cup": cup, **more}, headers=headers)


@pytest.fixture
def kitchen(house: House) -> Kitchen:
    return Kitchen(house)


def test_a_key_is_done_once_and_answered_alike(kitchen: Kitchen) -> None:
    first, second = kitchen.pour(), kitchen.pour()

    assert len(kitchen.poured) == 1
    assert (first.status_code, first.get_json()) == (201, {"cup": "blue", "number": 1})
    assert (second.status_code, second.get_data()) == (201, first.get_data())
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"


def test_the_same_body_written_otherwise_is_the_same_request(kitchen: Kitchen) -> None:
    headers = {"Idempotency-Key": "k"}
    first = call(kitchen.api, "POST", "/v1/cups/east", raw=b'{"cup": "blue", "sugar": 0}', headers=headers)
    second = call(kitchen.api, "POST", "/v1/cups/east", raw=b' {"cup":"blue"}', headers=headers)

    assert first.get_data() == second.get_data()
    assert len(kitchen.poured) == 1


@pytest.mark.parametrize("other", [{"cup": "red"}, {"sugar": 1}, {"path": "/v1/cups/west"}])
def test_a_key_of_another_request_is_refused_and_changes_nothing(kitchen: Kitchen, other: dict[str, Any]) -> None:
    kitchen.pour()

    assert problem_of(kitchen.pour(**other))[:2] == (422, "key-reused")
    assert len(kitchen.poured) == 1
    assert kitchen.pour().status_code == 201


def test_another_key_is_another_request(kitchen: Kitchen) -> None:
    kitchen.pour(key="a")

    assert kitchen.pour(key="b").get_json() == {"cup": "blue", "number": 2}


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "tab\tbed", "schlüssel"])
def test_a_key_must_be_there_and_printable(kitchen: Kitchen, key: str) -> None:
    status, kind, errors = problem_of(kitchen.pour(key=key))

    assert (status, kind) == (400, "unreadable")
    assert errors[0]["parameter"] == "Idempotency-Key"
    assert kitchen.poured == []


def test_a_key_may_have_255_characters(kitchen: Kitchen) -> None:
    assert kitchen.pour(key="~" * 255).status_code == 201


def test_a_bad_body_takes_no_key(kitchen: Kitchen, house: House) -> None:
    assert kitchen.pour(cup=7).status_code == 422  # type: ignore[arg-type]
    assert house.keys.claims == []


def test_a_refused_field_is_refused_alike_and_asked_once(kitchen: Kitchen) -> None:
    kitchen.failing = Invalid([Field("/cup", "has a crack")])
    first = kitchen.pour()
    kitchen.failing = None
    second = kitchen.pour()

    assert problem_of(first) == (422, "invalid", [{"pointer": "/cup", "detail": "has a crack"}])
    assert (second.status_code, second.get_data()) == (422, first.get_data())
    assert second.content_type == "application/problem+json"
    assert len(kitchen.poured) == 1


@pytest.mark.parametrize("failing", [Conflict(), Declined(), Unavailable(), RuntimeError("crash"), KeyError("crash")])
def test_whatever_else_goes_wrong_lets_the_key_go(kitchen: Kitchen, house: House, failing: Exception) -> None:
    kitchen.failing = failing
    assert kitchen.pour().status_code in (402, 409, 500, 503)
    assert house.keys.held == {}

    kitchen.failing = None

    assert kitchen.pour().status_code == 201


def test_a_key_in_flight_is_a_conflict_that_says_when(kitchen: Kitchen, house: House) -> None:
    kitchen.pour(key="other")
    claim = house.keys.claims[0]
    del house.keys.answers[(claim.scope, claim.route, "other")]
    house.keys.held[(claim.scope, claim.route, "other")] = claim

    response = kitchen.pour(key="other")

    assert problem_of(response)[:2] == (409, "in-flight")
    assert response.headers["Retry-After"] == "2"
    assert house.keys.held == {(claim.scope, claim.route, "other"): claim}


def test_what_the_step_stored_is_what_is_said(kitchen: Kitchen, house: House) -> None:
    kitchen.stores_itself = True

    first, second = kitchen.pour(), kitchen.pour()

    assert first.get_json() == {"cup": "blue", "number": 1}
    assert second.get_data() == first.get_data()
    assert [json.loads(body) for _, _, body in house.keys.answers.values()] == [{"cup": "blue", "number": 1}]


def test_secrets_are_said_each_time_and_stored_never(house: House) -> None:
    def complete(call: Call[PourBody], document: dict[str, Any]) -> None:
        document["access_token"] = f"secret of {document['number']} for {call.path['kitchen']}"

    kitchen = Kitchen(house, completing=complete)

    first, second = kitchen.pour(), kitchen.pour()

    expected = {"cup": "blue", "number": 1, "access_token": "secret of 1 for east"}
    assert (first.get_json(), second.get_json()) == (expected, expected)
    assert [json.loads(body) for _, _, body in house.keys.answers.values()] == [{"cup": "blue", "number": 1}]


def test_a_refusal_is_not_completed(house: House) -> None:
    def complete(call: Call[PourBody], document: dict[str, Any]) -> None:
        document["access_token"] = "secret"

    kitchen = Kitchen(house, completing=complete)
    kitchen.failing = Invalid()

    assert "access_token" not in kitchen.pour().get_json()
    assert "access_token" not in kitchen.pour().get_json()


def test_whoever_may_not_hears_no_old_answer_and_takes_no_key(house: House) -> None:
    def admit(call: Call[PourBody]) -> None:
        if call.order_token != "mine":
            raise NotFound

    kitchen = Kitchen(house, admitting=admit)

    def pour(token: str) -> int:
        headers = {"Idempotency-Key": "k", "X-Order-Token": token}
        return call(kitchen.api, "POST", "/v1/cups/east", json_body={"cup": "blue"}, headers=headers).status_code

    assert (pour("theirs"), pour("mine"), pour("theirs"), pour("mine")) == (404, 201, 404, 201)
    assert len(kitchen.poured) == 1
    assert len(house.keys.claims) == 2


def test_the_scope_is_the_session_then_what_the_call_names_then_the_address(house: House) -> None:
    kitchen = Kitchen(house, scope=lambda call: call.body.cup)
    unnamed = house.make_api()
    unnamed.post("/v1/plain", answers={204: None})(lambda call: None)
    token = house.token("customer")

    kitchen.pour("blue")
    kitchen.pour("red")
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
    call(kitchen.api, "POST", "/v1/cups/east", json_body={"cup": "blue"}, headers=headers)
    call(unnamed, "POST", "/v1/plain", headers={"X-Forwarded-For": "198.51.100.7,203.0.113.1"})

    scopes = [claim.scope for claim in house.keys.claims]
    assert scopes[:2] == ["named:blue", "named:red"]
    assert scopes[2].startswith("session:")
    assert scopes[3] == "client:198.51.100.7"
    assert len(kitchen.poured) == 3


def test_a_scope_of_any_length_fits_the_index(house: House) -> None:
    kitchen = Kitchen(house, scope=lambda call: call.body.cup)

    kitchen.pour("x" * 5000)

    assert len(house.keys.claims[0].scope) == 64


def test_the_lease_outlasts_the_functions_timeout(kitchen: Kitchen, house: House) -> None:
    kitchen.pour()

    claim = house.keys.claims[0]
    assert (claim.until - claim.at).total_seconds() == 70
    assert claim.route == "POST /v1/cups/{kitchen}"


def test_a_route_that_claims_itself_is_left_to_it(house: House) -> None:
    kitchen = Kitchen(house, claims_itself=True)
    kitchen.failing = InFlight()

    assert problem_of(kitchen.pour())[:2] == (409, "in-flight")
    assert house.keys.claims == []
    assert kitchen.poured[0].claim is not None


def test_a_refusal_before_the_route_has_claimed_itself_is_said_all_the_same(house: House) -> None:
    kitchen = Kitchen(house, claims_itself=True)
    kitchen.failing = Invalid([Field("/cup", "has a crack")])

    assert problem_of(kitchen.pour())[:2] == (422, "invalid")


def test_a_key_store_that_is_away_pours_nothing(house: House) -> None:
    def away() -> Any:
        raise Unavailable

    api = house.make_api(keys=away)
    poured: list[str] = []
    api.post("/v1/cups", answers={204: None})(lambda call: poured.append("cup"))

    assert problem_of(call(api, "POST", "/v1/cups"))[:2] == (503, "unavailable")
    assert poured == []
