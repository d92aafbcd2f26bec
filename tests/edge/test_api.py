import json
import logging
from typing import Annotated, Any

import pytest
from msgspec import Meta

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import Body, Query, View
from shared.edge.routing import Routes
from shared.kernel.errors import Conflict, Field, Invalid, NotFound, RateLimited, Unavailable
from tests.edge.conftest import House, call, client_of, problem_of


class Tea(Body, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=20)]


class TeaView(View, frozen=True):
    name: str


class Browse(Query, frozen=True):
    limit: Annotated[int, Meta(ge=1, le=100)] = 24


@pytest.fixture
def api(house: House) -> Api:
    made = house.make_api()

    @made.get("/v1/teas", query=Browse, answers={200: TeaView}, cache_control="public, max-age=60")
    def browse(call: Call[None]) -> Reply:
        return Reply(200, TeaView(name=f"{call.query.limit} teas"))

    @made.get("/v1/teas/<name>", answers={200: TeaView})
    def tea(call: Call[None]) -> Reply:
        return Reply(200, TeaView(name=call.path["name"]), {"ETag": '"7"'})

    @made.put("/v1/teas/<name>", body=Tea, answers={200: TeaView}, if_match="required", body_limit=100)
    def rename(call: Call[Tea]) -> Reply:
        return Reply(200, TeaView(name=f"{call.body.name} {call.if_match}"))

    @made.delete("/v1/teas/<name>", answers={204: None})
    def drink(call: Call[None]) -> None:
        return None

    @made.get("/v1/trouble/<kind>", answers={204: None})
    def trouble(call: Call[None]) -> Reply:
        raise {
            "gone": NotFound(),
            "moved": Conflict(lines=[1]),
            "often": RateLimited(retry_after_s=30),
            "busy": Unavailable(retry_after_s=3),
            "bad": Invalid([Field("/name", "is no tea")]),
            "crash": RuntimeError("the secret text"),
            "exit": SystemError("the secret text"),
            "odd": RuntimeError("half a pair: \ud800"),
        }[call.path["kind"]]

    return made


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/", 404, "not-found"),
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/teas/", 404, "not-found"),
        ("GET", "http://localhost//v1/teas", 404, "not-found"),
        ("GET", "http://localhost", 404, "not-found"),
        ("GET", "/v1//teas", 404, "not-found"),
        ("GET", "/robots.txt", 404, "not-found"),
        ("GET", "/favicon.ico", 404, "not-found"),
        ("GET", "/static/x", 404, "not-found"),
        ("GET", "/v1/teas/%00", 400, "unreadable"),
        ("GET", "/v1/teas?limit=0", 400, "unreadable"),
        ("GET", "/v1/teas?limit=1&colour=red", 400, "unreadable"),
        ("GET", "/v1/teas/green?x=1", 400, "unreadable"),
        ("POST", "/v1/teas", 405, "method-not-allowed"),
        ("OPTIONS", "/v1/teas", 405, "method-not-allowed"),
        ("TRACE", "/v1/teas", 405, "method-not-allowed"),
        ("PATCH", "/v1/teas/green", 405, "method-not-allowed"),
        ("GET", "/v1/trouble/gone", 404, "not-found"),
        ("GET", "/v1/trouble/moved", 409, "conflict"),
        ("GET", "/v1/trouble/often", 429, "rate-limited"),
        ("GET", "/v1/trouble/busy", 503, "unavailable"),
        ("GET", "/v1/trouble/bad", 422, "invalid"),
        ("GET", "/v1/trouble/crash", 500, "internal"),
        ("GET", "/v1/trouble/exit", 500, "internal"),
    ],
)
def test_whatever_goes_wrong_is_a_problem_document(api: Api, method: str, path: str, status: int, kind: str) -> None:
    response = call(api, method, path)

    assert problem_of(response)[:2] == (status, kind)
    assert b"<" not in response.get_data()
    assert b"secret" not in response.get_data()
    assert response.headers["Cache-Control"] == "no-store"


def test_what_cannot_be_done_says_what_can(api: Api) -> None:
    assert call(api, "POST", "/v1/teas").headers["Allow"] == "GET, HEAD"
    assert call(api, "PATCH", "/v1/teas/green").headers["Allow"] == "DELETE, GET, HEAD, PUT"


def test_who_must_wait_is_told_how_long(api: Api) -> None:
    assert call(api, "GET", "/v1/trouble/often").headers["Retry-After"] == "30"
    assert call(api, "GET", "/v1/trouble/busy").headers["Retry-After"] == "3"


def test_a_read_answers_json_that_caches_may_keep_where_the_route_says_so(api: Api) -> None:
    browsed, one = call(api, "GET", "/v1/teas?limit=7"), call(api, "GET", "/v1/teas/green%20tea")

    assert (browsed.status_code, browsed.get_json()) == (200, {"name": "7 teas"})
    assert (browsed.content_type, browsed.headers["Cache-Control"]) == ("application/json", "public, max-age=60")
    assert (one.get_json(), one.headers["Cache-Control"], one.headers["ETag"]) == (
        {"name": "green tea"},
        "no-store",
        '"7"',
    )
    assert one.headers["X-Content-Type-Options"] == "nosniff"


def test_a_link_that_people_pass_on_may_be_appended_to(house: House) -> None:
    api = house.make_api()

    @api.get("/pots/<name>", any_query=True, answers={200: TeaView})
    def pot(call: Call[None]) -> Reply:
        assert call.query is None
        return Reply(200, TeaView(name=call.path["name"]))

    for query in ("", "?fbclid=1&fbclid=2", "?name=other", "?%00=%FF", "?" + "&".join(f"p{n}=1" for n in range(100))):
        assert call(api, "GET", f"/pots/brown{query}").get_json() == {"name": "brown"}


def test_head_is_get_without_the_body(api: Api) -> None:
    response = call(api, "HEAD", "/v1/teas")

    assert (response.status_code, response.get_data()) == (200, b"")
    assert response.content_type == "application/json"


def test_no_content_is_no_content(api: Api) -> None:
    response = call(api, "DELETE", "/v1/teas/green")

    assert (response.status_code, response.get_data()) == (204, b"")
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("given", ["7", '"7"', 'W/"7"'])
def test_if_match_names_a_version(api: Api, given: str) -> None:
    response = call(api, "PUT", "/v1/teas/x", json_body={"name": "Oolong"}, headers={"If-Match": given})

    assert response.get_json() == {"name": "Oolong 7"}


@pytest.mark.parametrize("given", [None, "*", "x", '"x"', "-1", "", '"7', "12345678901", '"1", "2"'])
def test_an_if_match_that_names_no_version_is_refused(api: Api, given: str | None) -> None:
    headers = {} if given is None else {"If-Match": given}

    status, kind, errors = problem_of(call(api, "PUT", "/v1/teas/x", json_body={"name": "Oolong"}, headers=headers))

    assert (status, kind) == (400, "unreadable")
    assert errors[0]["parameter"] == "If-Match"


@pytest.mark.parametrize("content_type", ["text/plain", "", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_that_is_not_called_json_is_refused(api: Api, content_type: str) -> None:
    headers = {"If-Match": "1", "Content-Type": content_type}

    assert problem_of(call(api, "PUT", "/v1/teas/x", raw=b'{"name": "a"}', headers=headers))[:2] == (
        415,
        "unsupported-media-type",
    )


def test_json_may_name_its_charset(api: Api) -> None:
    headers = {"If-Match": "1", "Content-Type": "Application/JSON; charset=utf-8"}

    assert call(api, "PUT", "/v1/teas/x", raw=b'{"name": "a"}', headers=headers).status_code == 200


def test_a_body_over_the_limit_of_its_route_is_refused(api: Api) -> None:
    def put(raw: bytes) -> int:
        return call(api, "PUT", "/v1/teas/x", raw=raw, headers={"If-Match": "1"}).status_code

    assert put(b'{"name": "a"}'.ljust(100)) == 200
    assert put(b'{"name": "a"}'.ljust(101)) == 413
    assert (
        problem_of(call(api, "PUT", "/v1/teas/x", raw=b" " * 101, headers={"If-Match": "1"}))[1] == "content-too-large"
    )


def test_a_body_without_a_length_is_refused_over_the_limit_as_well(api: Api) -> None:
    from io import BytesIO

    response = client_of(api).put(
        "/v1/teas/x",
        input_stream=BytesIO(b" " * 200),
        headers={"If-Match": "1", "Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert problem_of(response)[:2] == (413, "content-too-large")


def test_a_route_that_expects_no_body_takes_none(api: Api) -> None:
    assert call(api, "DELETE", "/v1/teas/x", raw=b"{}").status_code == 204
    assert problem_of(call(api, "DELETE", "/v1/teas/x", raw=b'{"name": "a"}'))[:2] == (400, "unreadable")


def test_bad_fields_are_named(api: Api) -> None:
    response = call(api, "PUT", "/v1/teas/x", json_body={"name": "", "price": 1}, headers={"If-Match": "1"})

    assert problem_of(response) == (
        422,
        "invalid",
        [
            {"pointer": "/price", "detail": "is not known here"},
            {"pointer": "/name", "detail": "Expected str of length >= 1"},
        ],
    )


def test_health_asks_the_database_one_thing(api: Api, house: House) -> None:
    response = call(api, "GET", "/v1/health/checkout")

    assert (response.status_code, response.get_json(), house.pings) == (200, {"status": "ok"}, ["ping"])


def test_health_says_so_when_the_database_is_away(api: Api, house: House) -> None:
    def away() -> None:
        raise Unavailable

    house.ping = away

    assert problem_of(call(api, "GET", "/v1/health/checkout"))[:2] == (503, "unavailable")


def test_what_a_request_committed_is_published_whatever_became_of_it(api: Api, house: House) -> None:
    call(api, "GET", "/v1/teas")
    call(api, "GET", "/v1/trouble/moved")
    call(api, "GET", "/v1/trouble/crash")

    assert house.flushes == ["flush"] * 3


def test_an_answer_stands_though_publishing_failed(house: House) -> None:
    def broken() -> None:
        raise RuntimeError("no publisher")

    api = house.make_api(flush=broken)

    assert call(api, "GET", "/v1/health/checkout").status_code == 200


def test_every_request_has_one_line_and_nothing_private_in_it(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        call(
            api,
            "PUT",
            "/v1/teas/anna@example.org",
            json_body={"name": "secret"},
            headers={"If-Match": "1", "X-Order-Token": "key.secret", "Authorization": "Basic secret"},
        )

    lines = [record for record in caplog.records if record.getMessage() == "request"]
    assert len(lines) == 1
    fields: dict[str, Any] = lines[0].fields  # type: ignore[attr-defined]
    assert fields.pop("duration_ms") >= 0
    assert fields == {"deployment": "checkout", "method": "PUT", "route": "PUT /v1/teas/{name}", "status": 200}


def test_what_nobody_foresaw_is_logged_once_with_its_trace(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"

    response = call(api, "GET", "/v1/trouble/crash", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})

    assert json.loads(response.get_data())["trace"] == trace
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    crashed = [line for line in lines if line["severity"] == "ERROR"]
    assert len(crashed) == 1
    assert crashed[0]["message"] == "unforeseen"
    assert "RuntimeError: the secret text" in crashed[0]["exception"]
    assert {line["logging.googleapis.com/trace"] for line in lines} == {f"projects/vitrine-project/traces/{trace}"}


def test_no_text_is_too_odd_for_the_log(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    assert problem_of(call(api, "GET", "/v1/trouble/odd"))[:2] == (500, "internal")

    (crashed,) = [line for line in capsys.readouterr().out.splitlines() if "unforeseen" in line]
    assert json.loads(crashed)["exception"].endswith("RuntimeError: half a pair: \ud800\n")


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"X-Cloud-Trace-Context": "105445aa7843bc8bf206b12000100000/1;o=1"}, "105445aa7843bc8bf206b12000100000"),
        ({"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"}, None),
        ({"traceparent": "x\ty"}, None),
        ({}, None),
    ],
)
def test_a_request_without_a_trace_gets_one(
    api: Api, capsys: pytest.CaptureFixture[str], headers: dict[str, str], trace: str | None
) -> None:
    call(api, "GET", "/v1/teas", headers=headers)

    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(line["trace"]) == 32
    assert line["trace"] == (trace or line["trace"])
    assert line["trace"] != "0" * 32


def test_settings_that_are_missing_are_no_secret_for_the_log(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    def missing() -> Any:
        raise ValueError("FUNCTION_TIMEOUT_S is missing")

    response = call(house.make_api(platform=missing), "GET", "/v1/health/checkout")

    assert problem_of(response)[:2] == (500, "internal")
    assert "FUNCTION_TIMEOUT_S is missing" in capsys.readouterr().out


def test_a_handler_knows_where_the_call_came_from_and_when_to_give_up(house: House) -> None:
    api = house.make_api()
    seen: list[Call[None]] = []

    @api.get("/v1/me", answers={204: None})
    def me(call: Call[None]) -> None:
        seen.append(call)

    call(api, "GET", "/v1/me", headers={"X-Forwarded-For": "6.6.6.6,198.51.100.7,203.0.113.1", "X-Order-Token": "t"})

    assert (seen[0].client_address, seen[0].client_network) == ("198.51.100.7", "198.51.100.0/24")
    assert (seen[0].give_up_at - seen[0].at).total_seconds() == 55
    assert (seen[0].order_token, seen[0].if_match, seen[0].claim, seen[0].actor) == ("t", None, None, "buyer")


def test_a_path_variable_that_is_no_uuid_is_not_found(house: House) -> None:
    api = house.make_api()

    @api.get("/v1/orders/<id>", answers={204: None})
    def order(call: Call[None]) -> None:
        call.uuid("id")

    assert call(api, "GET", "/v1/orders/7a1c2f9e-3a4b-4c5d-8e6f-0123456789ab").status_code == 204
    assert problem_of(call(api, "GET", "/v1/orders/7"))[:2] == (404, "not-found")


def test_an_open_shape_or_a_foreign_variable_is_refused_when_the_route_is_made(house: House) -> None:
    import msgspec

    class Open(msgspec.Struct):
        name: str

    api = house.make_api()
    with pytest.raises(ValueError, match="takes unknown fields"):
        api.post("/v1/x", body=Open, answers={204: None})(lambda call: None)
    with pytest.raises(ValueError, match="variables are written"):
        api.get("/v1/{x}", answers={204: None})(lambda call: None)
    with pytest.raises(ValueError, match="wires no keys"):
        house.make_api(keys=None).post("/v1/x", answers={204: None})(lambda call: None)
    with pytest.raises(ValueError, match="jobs are under /jobs/"):
        api.task("/v1/x")(lambda call: None)


def test_routes_of_two_modules_are_served_by_one_api_and_a_route_is_named_once(house: House) -> None:
    teas, cups = Routes(), Routes()
    teas.get("/v1/teas/<name>", answers={200: TeaView})(lambda call: Reply(200, TeaView(name=call.path["name"])))
    cups.get("/v1/cups", answers={200: TeaView})(lambda call: Reply(200, TeaView(name="cup")))
    services = house.make_api().services

    client = client_of(Api("toy", services=services, routes=[teas, cups]))

    assert client.get("/v1/teas/oolong").get_json() == {"name": "oolong"}
    assert client.get("/v1/cups").get_json() == {"name": "cup"}
    with pytest.raises(ValueError, match="GET /v1/cups is there twice in toy"):
        Api("toy", services=services, routes=[teas, cups, cups])
