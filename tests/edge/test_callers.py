from uuid import UUID, uuid4

import pytest

from shared.accounts.principals import Customer, Guest, Staff
from shared.edge.api import Api
from shared.edge.callers import require_order_token
from shared.edge.calls import Call, Reply
from shared.edge.parsing import View
from tests.edge.conftest import OUR_ORIGIN, RING, House, call, problem_of

ORDER = UUID("7a1c2f9e-3a4b-4c5d-8e6f-0123456789ab")


class WhoView(View, frozen=True):
    who: str


@pytest.fixture
def api(house: House) -> Api:
    made = house.make_api()

    @made.get("/v1/who", answers={200: WhoView})
    def who(call: Call[None]) -> Reply:
        return Reply(200, WhoView(who=type(call.principal).__name__))

    @made.put("/v1/who", answers={200: WhoView})
    def change_who(call: Call[None]) -> Reply:
        return who(call)

    @made.put("/v1/who/paying", answers={200: WhoView}, live_session=True)
    def pay(call: Call[None]) -> Reply:
        return who(call)

    @made.get("/v1/inventory", answers={200: WhoView}, permission="stock:read")
    def inventory(call: Call[None]) -> Reply:
        return Reply(200, WhoView(who=call.actor))

    @made.put("/v1/inventory", answers={200: WhoView}, permission="stock:write")
    def change_inventory(call: Call[None]) -> Reply:
        return Reply(200, WhoView(who=call.actor))

    @made.get("/v1/orders/<id>", answers={204: None}, order_token=True)
    def order(call: Call[None]) -> None:
        require_order_token(call, call.uuid("id"), RING)

    return made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def cookie(token: str, origin: str | None = None) -> dict[str, str]:
    return {"Cookie": f"__Host-session={token}"} | ({"Origin": origin} if origin else {})


def test_whoever_is_not_signed_in_is_a_guest(api: Api) -> None:
    assert call(api, "GET", "/v1/who").get_json() == {"who": "Guest"}
    assert call(api, "GET", "/v1/who", headers={"Authorization": "Basic eDp5"}).get_json() == {"who": "Guest"}


def test_a_token_says_who_calls_as_bearer_and_as_cookie(api: Api, house: House) -> None:
    staff, customer = house.token("staff"), house.token("customer")

    assert call(api, "GET", "/v1/who", headers=bearer(staff)).get_json() == {"who": "Staff"}
    assert call(api, "GET", "/v1/who", headers=bearer(customer)).get_json() == {"who": "Customer"}
    assert call(api, "GET", "/v1/who", headers=cookie(customer)).get_json() == {"who": "Customer"}


def test_a_bad_bearer_is_refused_and_an_old_cookie_makes_a_guest(api: Api, house: House) -> None:
    token = house.token("customer")
    house.clock.advance(minutes=11)

    refused = call(api, "GET", "/v1/who", headers=bearer(token))

    assert problem_of(refused)[:2] == (401, "unauthenticated")
    assert refused.headers["WWW-Authenticate"] == "Bearer"
    assert call(api, "GET", "/v1/who", headers=cookie(token)).get_json() == {"who": "Guest"}


def test_where_nobody_signs_in_tokens_are_not_looked_at(house: House) -> None:
    api = house.make_api("search", tokens=None)

    @api.get("/v1/who", answers={200: WhoView})
    def who(call: Call[None]) -> Reply:
        return Reply(200, WhoView(who=type(call.principal).__name__))

    assert call(api, "GET", "/v1/who", headers=bearer("nonsense")).get_json() == {"who": "Guest"}


@pytest.mark.parametrize(
    "origin", [None, "https://evil.example", "http://shop.example", "https://shop.example:8443", "null"]
)
def test_a_cookie_changes_nothing_from_another_origin(api: Api, house: House, origin: str | None) -> None:
    token = house.token("staff", "*")

    assert problem_of(call(api, "PUT", "/v1/who", headers=cookie(token, origin)))[:2] == (403, "forbidden")
    assert problem_of(call(api, "PUT", "/v1/inventory", headers=cookie(token, origin)))[:2] == (403, "forbidden")


def test_a_cookie_changes_things_from_our_own_origin_and_a_bearer_from_any(api: Api, house: House) -> None:
    token = house.token("staff", "*")

    assert call(api, "PUT", "/v1/inventory", headers=cookie(token, OUR_ORIGIN)).status_code == 200
    assert call(api, "PUT", "/v1/inventory", headers=bearer(token)).status_code == 200
    assert (
        call(api, "PUT", "/v1/inventory", headers=bearer(token) | {"Origin": "https://evil.example"}).status_code == 200
    )


def test_a_guest_needs_no_origin(api: Api) -> None:
    assert call(api, "PUT", "/v1/who").get_json() == {"who": "Guest"}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y"}, {"Cookie": "__Host-session=x.y"}])
def test_a_staff_route_asks_who_calls(api: Api, headers: dict[str, str]) -> None:
    assert problem_of(call(api, "GET", "/v1/inventory", headers=headers))[:2] == (401, "unauthenticated")


def test_a_staff_route_asks_for_its_permission(api: Api, house: House) -> None:
    def status(token: str) -> int:
        return call(api, "PUT", "/v1/inventory", headers=bearer(token)).status_code

    assert status(house.token("staff", "stock:write")) == 200
    assert status(house.token("staff", "*")) == 200
    assert status(house.token("staff", "stock:read")) == 403
    assert status(house.token("staff")) == 403
    assert status(house.token("customer", "stock:write", "*")) == 403


def test_a_revoked_session_ends_before_its_token_does(api: Api, house: House) -> None:
    session = uuid4()
    token = house.token("staff", "*", session=session)
    assert call(api, "GET", "/v1/inventory", headers=bearer(token)).status_code == 200

    house.sessions.live.discard(session)

    assert problem_of(call(api, "GET", "/v1/inventory", headers=bearer(token)))[:2] == (401, "unauthenticated")
    assert call(api, "GET", "/v1/who", headers=bearer(token)).status_code == 200


def test_what_moves_money_asks_for_a_live_session_of_whoever_is_signed_in(api: Api, house: House) -> None:
    revoked = house.token("customer", live=False)

    assert problem_of(call(api, "PUT", "/v1/who/paying", headers=bearer(revoked)))[:2] == (401, "unauthenticated")
    assert call(api, "PUT", "/v1/who/paying", headers=bearer(house.token("customer"))).status_code == 200
    assert call(api, "PUT", "/v1/who/paying").get_json() == {"who": "Guest"}


def test_a_stranger_learns_no_field_of_a_staff_route(api: Api) -> None:
    assert problem_of(call(api, "GET", "/v1/inventory?x=1"))[:2] == (401, "unauthenticated")
    assert problem_of(call(api, "PUT", "/v1/inventory", raw=b"{"))[:2] == (401, "unauthenticated")


def test_a_staff_route_of_a_function_without_sessions_stays_closed(house: House) -> None:
    api = house.make_api(sessions=None)
    api.get("/v1/inventory", answers={204: None}, permission="stock:read")(lambda call: None)

    assert call(api, "GET", "/v1/inventory", headers=bearer(house.token("staff", "*"))).status_code == 500


def test_an_order_opens_with_its_own_token_only(api: Api) -> None:
    def status(token: str | None) -> int:
        return call(
            api, "GET", f"/v1/orders/{ORDER}", headers={} if token is None else {"X-Order-Token": token}
        ).status_code

    assert status(RING.token("order", ORDER)) == 204
    for wrong in (
        None,
        "",
        "x",
        RING.token("order", uuid4()),
        RING.token("ticket", ORDER),
        RING.token("order", ORDER)[:-1],
    ):
        assert status(wrong) == 404


def test_actors_are_named_alike_everywhere() -> None:
    someone, session = UUID(int=1), UUID(int=2)

    assert Guest().actor == "buyer"
    assert Customer(someone, session).actor == f"customer:{someone}"
    assert Staff(someone, session, frozenset()).actor == f"staff:{someone}"
