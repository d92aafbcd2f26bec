"""The OpenAPI 3.1 document of every public route, made from the routes themselves: what is not declared is not served.

Jobs are not in it: nobody but the platform calls them. `python -m tools.openapi` writes docs/openapi.json.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from shared.edge.api import Api
from shared.edge.callers import SESSION_COOKIE
from shared.edge.once import HEADER as IDEMPOTENCY_KEY
from shared.edge.once import LONGEST_KEY
from shared.edge.problems import CONTENT_TYPE, status_of, title_of, type_of
from shared.edge.routes import Route
from shared.kernel.errors import ShopError

Json = dict[str, Any]

_REF = "#/components/schemas/{name}"
_PROBLEM: Json = {
    "title": "Problem",
    "description": "RFC 9457. What a problem carries beside these members depends on its type.",
    "type": "object",
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "a sentence for people"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "pointer": {"type": "string", "description": "JSON pointer into the body, RFC 6901"},
                    "parameter": {"type": "string", "description": "the name of a query parameter or header"},
                    "detail": {"type": "string"},
                },
                "required": ["detail"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["type", "title", "status", "detail"],
}
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRY_AFTER: Json = {"description": "seconds to wait", "schema": {"type": "integer", "minimum": 0}}


def describe(apis: Iterable[Api], *, version: str) -> Json:
    """One document for all of them, in the order of their paths; an Api with nothing but jobs is nobody's to call."""
    public = [api for api in apis if any(route.kind == "http" for route in api.routes)]
    operations = [(api, route) for api in public for route in api.routes if route.kind in ("http", "health")]
    operations.sort(key=lambda operation: (operation[1].template, operation[1].method))
    shapes = sorted(
        {shape for _, route in operations for shape in _shapes(route)}, key=lambda s: (s.__name__, s.__module__)
    )
    references, components = _portable(msgspec.json.schema_components(shapes, ref_template=_REF))
    schemas = dict(zip(shapes, references, strict=True))
    paths: dict[str, Json] = {}
    for api, route in operations:
        paths.setdefault(route.template, {})[route.method.lower()] = _operation(api, route, schemas, components)
    parameters_only = {_name_of(schemas[route.query]) for _, route in operations if route.query is not None}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Vitrine",
            "version": version,
            "description": "A shop. Money is {amount_minor, currency, display}; times are UTC, ISO 8601; lists are "
            "paged by cursor; errors are problem documents (RFC 9457).",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({api.name for api, _ in operations})],
        "paths": paths,
        "components": {
            "schemas": {
                "Problem": _PROBLEM,
                **{name: schema for name, schema in sorted(components.items()) if name not in parameters_only},
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "a session token"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": SESSION_COOKIE,
                    "description": "the same token; what changes something then needs the shop's own Origin",
                },
            },
        },
    }


def _operation(api: Api, route: Route, schemas: Mapping[Any, Json], components: Mapping[str, Json]) -> Json:
    operation: Json = {
        "operationId": f"{api.name.replace('-', '_')}_{route.handler.__name__.lstrip('_')}",
        "tags": [api.name],
        "summary": route.summary,
        "parameters": _parameters(route, schemas, components),
        "responses": _responses(api, route, schemas),
    }
    description = _description(route)
    if description:
        operation["description"] = description
    if route.body is bytes:
        operation["requestBody"] = {"required": True, "content": {"*/*": {"schema": {}}}}
    elif route.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.body]}}}
    if route.permission is not None:
        operation["security"] = [{"bearer": []}, {"session": []}]
    elif api.services.tokens is not None and route.kind == "http":
        operation["security"] = [{}, {"bearer": []}, {"session": []}]
    if not operation["parameters"]:
        del operation["parameters"]
    return operation


def _description(route: Route) -> str:
    _, _, rest = (inspect.getdoc(route.handler) or "").partition("\n")
    parts = [rest.strip()]
    if route.permission is not None:
        parts.append(f"For staff who may {route.permission}.")
    return "\n\n".join(part for part in parts if part)


def _parameters(route: Route, schemas: Mapping[Any, Json], components: Mapping[str, Json]) -> list[Json]:
    found: list[Json] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in route.variables
    ]
    if route.query is not None:
        shape = components[_name_of(schemas[route.query])]
        for name, schema in shape["properties"].items():
            found.append(
                {"name": name, "in": "query", "required": name in shape["required"], "schema": _as_parameter(schema)}
            )
    if route.idempotent:
        key = {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[!-~]+$"}
        found.append({"name": IDEMPOTENCY_KEY, "in": "header", "required": True, "schema": key})
    if route.if_match is not None:
        version = {"type": "string", "pattern": '^([0-9]{1,9}|(W/)?"[0-9]{1,9}")$'}
        required = route.if_match == "required"
        found.append({"name": "If-Match", "in": "header", "required": required, "schema": version})
    if route.order_token:
        found.append({"name": "X-Order-Token", "in": "header", "required": False, "schema": {"type": "string"}})
    return found


def _as_parameter(schema: Json) -> Json:
    """A parameter cannot say null: where the Struct has None, the parameter is left out."""
    schema = {name: value for name, value in schema.items() if not (name == "default" and value in (None, [], ()))}
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del schema["anyOf"]
        schema = {**choices[0], **schema}
    elif choices:
        schema["anyOf"] = choices
    return schema


def _responses(api: Api, route: Route, schemas: Mapping[Any, Json]) -> Json:
    responses: dict[int, Json] = {}
    for status, shape in route.answers.items():
        response: Json = {"description": _SAID.get(status, "Done.")}
        if shape is not None:
            response["content"] = {"application/json": {"schema": schemas[shape]}}
        elif status in (200, 404) and route.media:
            response["content"] = {media: {"schema": {}} for media in route.media}
        if status in _REDIRECTS:
            response["headers"] = {"Location": {"schema": {"type": "string"}, "required": True}}
        if status == 201 and route.made_at:
            response["headers"] = {
                name: {"schema": {"type": "string"}, "required": True} for name in ("ETag", "Location")
            }
        responses[status] = response
    by_status: dict[int, list[type[ShopError]]] = {}
    for error in route.every_error(signed_in=api.services.tokens is not None and route.kind == "http"):
        by_status.setdefault(status_of(error), []).append(error)
    for status, errors in by_status.items():
        problems = _problems(status, errors)
        # A page for people says by itself that there is nothing, and the edge what it does not even look for.
        pages = responses.get(status, {}).get("content", {})
        responses[status] = {**problems, "content": {**pages, **problems["content"]}}
    return {str(status): responses[status] for status in sorted(responses)}


def _problems(status: int, errors: Sequence[type[ShopError]]) -> Json:
    types = sorted({type_of(error) for error in errors})
    response: Json = {
        "description": "; ".join(sorted({title_of(error) for error in errors})) + ".",
        "content": {
            CONTENT_TYPE: {
                "schema": {
                    "allOf": [{"$ref": _REF.format(name="Problem")}],
                    "properties": {"type": {"enum": types}, "status": {"const": status}},
                }
            }
        },
    }
    if status in (429, 503):
        response["headers"] = {"Retry-After": {**_RETRY_AFTER, "required": True}}
    elif any(hasattr(error, "retry_after_s") for error in errors):
        response["headers"] = {"Retry-After": _RETRY_AFTER}
    return response


def _shapes(route: Route) -> list[type[msgspec.Struct]]:
    bodies = [route.body] if route.has_json_body else []
    return [shape for shape in (*bodies, route.query, *route.answers.values()) if shape is not None]  # type: ignore[misc]


def _portable(schema: Any) -> Any:
    r"""Patterns as JSON Schema has them, in ECMA-262: what ends in \Z to Python ends in $ there.

    Python's own $ would let "USD\n" pass for three letters, so our patterns never use it.
    """
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$") if name == "pattern" and isinstance(value, str) else _portable(value)
            for name, value in schema.items()
        }
    if isinstance(schema, list | tuple):
        return type(schema)(_portable(part) for part in schema)
    return schema


def _name_of(reference: Json) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


_SAID = {
    200: "Here it is.",
    201: "Made.",
    202: "Taken.",
    204: "Done; nothing to say.",
    301: "It has moved.",
    304: "It has not changed.",
}
