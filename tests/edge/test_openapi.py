from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.openapi import describe
from shared.edge.parsing import Body, Query, View
from shared.kernel.errors import Conflict, RateLimited
from tests.edge.conftest import House
from tools.openapi import find_apis


class Refill(Body, frozen=True):
    cups: Annotated[int, Meta(ge=1, le=9)]


class Find(Query, frozen=True):
    q: Annotated[str, Meta(max_length=10)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 24
    in_stock: bool | None = None
    brand: Annotated[tuple[str, ...], Meta(max_length=3)] = ()


class PotView(View, frozen=True):
    cups: int


class PotIsFull(Conflict):
    sentence = "The pot is full."


@pytest.fixture
def document(house: House) -> dict[str, Any]:
    api: Api = house.make_api("kitchen")

    @api.post(
        "/v1/pots/<id>/refill",
        body=Refill,
        answers={200: PotView, 201: PotView},
        errors=[PotIsFull, RateLimited],
        order_token=True,
    )
    def refill_pot(call: Call[Refill]) -> Reply:
        """Fill a pot up.

        Nothing is spilled.
        """
        raise NotImplementedError

    @api.get("/v1/pots", query=Find, answers={200: PotView})
    def find_pots(call: Call[None]) -> Reply:
        """The pots."""
        raise NotImplementedError

    @api.put("/v1/pots/<path:id>", body=Refill, answers={204: None}, permission="pots:write", if_match="required")
    def change_pot(call: Call[Refill]) -> Reply:
        raise NotImplementedError

    jobs, reading = house.make_api("kitchen-jobs"), house.make_api("open", tokens=None)
    jobs.schedule("/jobs/kitchen/wash")(lambda call: None)
    reading.get("/v1/menu", answers={200: PotView})(lambda call: None)
    return describe([api, jobs, reading], version="1")


def types(response: dict[str, Any]) -> list[str]:
    found = response["content"]["application/problem+json"]["schema"]["properties"]["type"]["enum"]
    return [name.removeprefix("https://vitrine.example/problems/") for name in found]


def test_every_public_operation_is_there_and_no_job(document: dict[str, Any]) -> None:
    assert {path: sorted(operations) for path, operations in document["paths"].items()} == {
        "/v1/health/kitchen": ["get"],
        "/v1/health/open": ["get"],
        "/v1/menu": ["get"],
        "/v1/pots": ["get"],
        "/v1/pots/{id}": ["put"],
        "/v1/pots/{id}/refill": ["post"],
    }


def test_an_operation_names_every_status_that_it_may_answer(document: dict[str, Any]) -> None:
    refill = document["paths"]["/v1/pots/{id}/refill"]["post"]
    responses = refill["responses"]

    assert list(responses) == ["200", "201", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"]
    assert types(responses["409"]) == ["in-flight", "pot-is-full"]
    assert types(responses["422"]) == ["invalid", "key-reused"]
    assert types(responses["503"]) == ["lease-lost", "unavailable"]
    assert responses["201"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/PotView"}
    assert responses["429"]["headers"]["Retry-After"]["required"] is True
    assert (refill["summary"], refill["description"]) == ("Fill a pot up.", "Nothing is spilled.")
    assert (refill["operationId"], refill["tags"]) == ("kitchen_refill_pot", ["kitchen"])


def test_a_read_names_few(document: dict[str, Any]) -> None:
    assert list(document["paths"]["/v1/pots"]["get"]["responses"]) == ["200", "400", "401", "503"]
    assert list(document["paths"]["/v1/menu"]["get"]["responses"]) == ["200", "400", "503"]
    assert list(document["paths"]["/v1/health/open"]["get"]["responses"]) == ["200", "400", "503"]


def test_a_page_says_by_itself_that_there_is_nothing(house: House) -> None:
    api = house.make_api("open", tokens=None)
    api.get("/pots/<path:name>", any_query=True, answers={200: None, 304: None, 404: None}, media=["text/html"])(
        lambda call: None
    )
    api.get("/v1/plans/<name>", answers={200: None}, media=["image/png"])(lambda call: None)

    paths = describe([api], version="1")["paths"]

    page, plan = (paths[path]["get"]["responses"] for path in ("/pots/{name}", "/v1/plans/{name}"))
    assert {status: list(answer.get("content", {})) for status, answer in page.items()} == {
        "200": ["text/html"],
        "304": [],
        "400": ["application/problem+json"],
        "404": ["text/html", "application/problem+json"],
        "503": ["application/problem+json"],
    }
    assert types(page["404"]) == ["not-found"]
    assert list(plan["404"]["content"]) == ["application/problem+json"]


def test_headers_are_parameters(document: dict[str, Any]) -> None:
    def headers(path: str, method: str) -> dict[str, bool]:
        parameters = document["paths"][path][method]["parameters"]
        return {parameter["name"]: parameter["required"] for parameter in parameters if parameter["in"] == "header"}

    assert headers("/v1/pots/{id}/refill", "post") == {"Idempotency-Key": True, "X-Order-Token": False}
    assert headers("/v1/pots/{id}", "put") == {"If-Match": True}


def test_query_parameters_carry_their_bounds_and_no_null(document: dict[str, Any]) -> None:
    parameters = {parameter["name"]: parameter for parameter in document["paths"]["/v1/pots"]["get"]["parameters"]}

    assert {name: (given["required"], given["schema"]) for name, given in parameters.items()} == {
        "q": (True, {"type": "string", "maxLength": 10}),
        "limit": (False, {"type": "integer", "minimum": 1, "maximum": 100, "default": 24}),
        "in_stock": (False, {"type": "boolean"}),
        "brand": (False, {"type": "array", "items": {"type": "string"}, "maxItems": 3}),
    }


def test_bodies_and_answers_are_closed(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]

    assert sorted(schemas) == ["HealthView", "PotView", "Problem", "Refill"]
    assert schemas["Refill"]["additionalProperties"] is False
    assert schemas["PotView"]["additionalProperties"] is False
    assert schemas["Refill"]["properties"]["cups"] == {"type": "integer", "minimum": 1, "maximum": 9}


def test_who_may_call_is_said(document: dict[str, Any]) -> None:
    paths = document["paths"]

    assert paths["/v1/pots/{id}"]["put"]["security"] == [{"bearer": []}, {"session": []}]
    assert paths["/v1/pots/{id}"]["put"]["description"] == "For staff who may pots:write."
    assert paths["/v1/pots"]["get"]["security"] == [{}, {"bearer": []}, {"session": []}]
    assert "security" not in paths["/v1/health/kitchen"]["get"]


def every_shape() -> list[type]:
    """Every body and query of every function, and what is nested in them."""
    wanted: list[Any] = [shape for api in find_apis() for route in api.routes for shape in (route.body, route.query)]
    found: list[type] = []
    while wanted:
        shape = wanted.pop()
        if isinstance(shape, type) and issubclass(shape, msgspec.Struct) and shape not in found:
            found.append(shape)
            wanted += [part for field in msgspec.structs.fields(shape) for part in parts_of(field.type)]
    return found


def parts_of(annotation: Any) -> list[Any]:
    inner = [part for each in getattr(annotation, "__args__", ()) for part in parts_of(each)]
    return [annotation, *getattr(annotation, "__metadata__", ()), *inner]


def test_whatever_a_caller_may_send_has_its_bounds() -> None:
    """A number that no column holds, or a text without an end, must not get as far as PostgreSQL."""
    unbounded = []
    for shape in every_shape():
        for name, schema in msgspec.json.schema_components([shape])[1][shape.__name__]["properties"].items():
            for part in [schema, schema.get("items", {}), *schema.get("anyOf", ())]:
                kind, bounds = part.get("type"), set(part)
                free = (
                    (kind == "string" and not bounds & {"maxLength", "pattern", "format"})
                    or (kind == "integer" and not {"minimum", "maximum"} <= bounds)
                    or (kind == "array" and "maxItems" not in bounds)
                    or (kind == "object" and "maxProperties" not in bounds)
                )
                if free:
                    unbounded.append(f"{shape.__name__}.{name}")

    assert unbounded == []


def test_no_pattern_lets_a_line_break_or_a_foreign_digit_pass() -> None:
    patterns = {
        f"{shape.__name__}.{field.name}": part.pattern
        for shape in every_shape()
        for field in msgspec.structs.fields(shape)
        for part in parts_of(field.type)
        if isinstance(part, Meta) and part.pattern
    }

    assert patterns
    assert [name for name, pattern in patterns.items() if "$" in pattern or r"\d" in pattern or r"\w" in pattern] == []


def test_every_function_can_be_described_without_any_setting() -> None:
    apis = find_apis()

    document = describe(apis, version="1")

    assert {"checkout", "payment-jobs", "search", "webhooks"} <= {api.name for api in apis}
    assert {"/v1/health/checkout", "/v1/health/search", "/v1/health/webhooks"} <= set(document["paths"])
    assert "/v1/health/payment-jobs" not in document["paths"]
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert sorted(names) == sorted(set(names))
    assert [operation["operationId"] for operation in operations if not operation["summary"].endswith(".")] == []
