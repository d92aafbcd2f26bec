r"""From bytes to typed values. What cannot be read is a 400, what can be read and is wrong a 422 that names the fields.

Bodies, queries and views are msgspec Structs of the three bases here: closed, so that a misspelt field is refused and
not ignored. Text never carries a NUL (PostgreSQL cannot store it) or half a surrogate pair. Patterns end in \Z, because
Python's $ lets a line break pass.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

import msgspec

from shared.edge.problems import Unreadable
from shared.edge.texts import SENTENCES
from shared.kernel.errors import Field, Invalid


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller sends as JSON."""


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller may write behind the question mark; a list takes a parameter as often as it comes."""


class View(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What we answer. It is closed as well, so that the document in docs/ says all there is."""


S = TypeVar("S", bound=msgspec.Struct)

_AT = re.compile(r" - at `(\$[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\[(\.\.\.)\]")
_NAMED_FIELD = re.compile(r"^Object (?:missing required|contains unknown) field `([^`]*)`")
_MOST_PARAMETERS = 64
_MOST_NAMED = 50
_NUL = "\x00"
_NO_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse_body(raw: bytes, shape: type[S]) -> S:
    """Raises Unreadable (400), Invalid (422) with a JSON pointer for every bad field."""
    try:
        return _parse_body(raw, shape)
    except RecursionError as error:
        raise Unreadable("The body is nested too deeply.") from error


def _parse_body(raw: bytes, shape: type[S]) -> S:
    try:
        body = msgspec.json.decode(raw, type=shape)
    except msgspec.ValidationError:
        # It stops at the first bad field, so the rest may still be no JSON at all, or carry a NUL.
        document = _decoded(raw)
        if b"\\u0000" in raw:
            refuse_nul(document)
        document = _whole_numbers(document)
        try:
            body = msgspec.convert(document, shape)
        except msgspec.ValidationError as error:
            raise Invalid(_bad_fields(document, shape, error)) from error
    except _NO_JSON as error:
        raise Unreadable("The body is no JSON.") from error
    # The escape is searched for in the bytes: only where it may be does anybody look at every text.
    if b"\\u0000" in raw:
        refuse_nul(_decoded(raw))
    return body


def parse_query(query_string: str, shape: type[S] | None) -> S | None:
    """Raises Unreadable (400) that names every bad parameter: unknown, unreadable, out of bounds, given twice."""
    given = _parameters(readable_text(query_string.encode("latin-1")))
    if shape is None:
        if given:
            raise Unreadable(parameters=dict.fromkeys(given, "is not known here"))
        return None
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    bad: dict[str, str] = {}
    values: dict[str, object] = {}
    for name, texts in given.items():
        if name not in fields:
            bad[name] = "is not known here"
        elif _is_list(fields[name].type):
            values[name] = texts
        elif len(texts) > 1:
            bad[name] = "is given more than once"
        else:
            values[name] = texts[0]
    for name, field in fields.items():
        if name in values:
            try:
                if msgspec.convert(values[name], field.type, strict=False) is None:
                    bad[name] = "is left out where it is not meant"  # msgspec reads the text null as None
            except msgspec.ValidationError as error:
                bad[name] = _readable(str(error))
        elif field.required and name not in bad:
            bad[name] = "is required"
    if bad:
        raise Unreadable(parameters=bad)
    return msgspec.convert(values, shape, strict=False)


def refuse_nul(value: object, pointer: str = "") -> None:
    """Raises Unreadable, naming the field, where any text of a decoded document carries a NUL."""
    if isinstance(value, str):
        if _NUL in value:
            raise Unreadable("Text must not contain a NUL.", fields=[Field(pointer, "must not contain a NUL")])
    elif isinstance(value, Mapping):
        for name, item in value.items():
            refuse_nul(name, pointer)  # the name itself cannot be said: the object it is in is
            refuse_nul(item, pointer + _escaped(name))
    elif isinstance(value, Sequence) and not isinstance(value, bytes):
        for place, item in enumerate(value):
            refuse_nul(item, f"{pointer}/{place}")


def readable_text(raw: bytes) -> str:
    """UTF-8 without a NUL, or Unreadable: what a path or a query may be made of."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("The address is not UTF-8.") from error
    if _NUL in text:
        raise Unreadable("The address must not contain a NUL.")
    return text


def _parameters(query_string: str) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(
            query_string, keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=_MOST_PARAMETERS
        )
    except UnicodeDecodeError as error:
        raise Unreadable("The query is not UTF-8.") from error
    except ValueError as error:
        raise Unreadable("These are too many parameters.") from error
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        if _NUL in name or _NUL in value:
            raise Unreadable("The query must not contain a NUL.")
        given.setdefault(name, []).append(value)
    return given


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except _NO_JSON as error:
        raise Unreadable("The body is no JSON.") from error


def _whole_numbers(value: Any) -> Any:
    """1.0 is an integer to JSON Schema (2020-12, 6.1.1), so to the document in docs/; to msgspec it is not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _whole_numbers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    return value


def _is_list(shape: Any) -> bool:
    origin = get_origin(shape)
    if origin in (list, tuple, set, frozenset):
        return True
    return any(_is_list(part) for part in getattr(shape, "__args__", ()))


def _bad_fields(document: Any, shape: type[msgspec.Struct], first: msgspec.ValidationError) -> list[Field]:
    """msgspec stops at the first bad field; people fix all of them at once, so every field is tried on its own."""
    if not isinstance(document, dict):
        return [Field("", _readable(str(first)))]
    fields = {field.encode_name: field for field in msgspec.structs.fields(shape)}
    bad = [Field(_escaped(name), "is not known here") for name in document if name not in fields]
    for name, field in fields.items():
        if name not in document:
            if field.required:
                bad.append(Field(_escaped(name), "is required"))
            continue
        try:
            msgspec.convert(document[name], field.type)
        except msgspec.ValidationError as error:
            bad.append(Field(_escaped(name) + _pointer(str(error)), _readable(str(error))))
    return bad[:_MOST_NAMED] or [Field(_pointer(str(first)), _readable(str(first)))]


def _pointer(message: str) -> str:
    """The JSON pointer (RFC 6901) of msgspec's "... - at `$.lines[0].sku`"; the name it complains about is its end."""
    at = _AT.search(message)
    pointer = ""
    for name, index, _any in _STEP.findall(at.group(1)) if at else ():
        if not name and not index:
            break  # a key of a mapping, which msgspec does not name: the mapping itself is pointed at
        pointer += _escaped(name or index)
    named = _NAMED_FIELD.match(message)
    return pointer + _escaped(named.group(1)) if named else pointer


def _escaped(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _readable(message: str) -> str:
    text = _AT.sub("", message)
    if text.startswith("Object missing required field"):
        return "is required"
    if text.startswith("Object contains unknown field"):
        return "is not known here"
    for pattern, sentence in SENTENCES.items():
        if repr(pattern) in text:  # as msgspec writes it
            return sentence
    return text.replace("`", "")
