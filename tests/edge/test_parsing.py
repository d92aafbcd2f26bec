import json
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Meta

from shared.edge.buying_views import CartBody
from shared.edge.fulfilment_views import HandOverBody
from shared.edge.inventory_views import SettingsBody
from shared.edge.parsing import Body, Query, parse_body, parse_query, readable_text
from shared.edge.problems import Unreadable, problem
from shared.edge.return_views import RejectionBody, ReturnBody, ReturnRefundBody
from shared.edge.staff_order_views import CancelBody, NoteBody, RefundBody
from shared.kernel.countries import COUNTRIES
from shared.kernel.errors import Field, Invalid


class Line(Body, frozen=True):
    sku: Annotated[str, Meta(min_length=1, max_length=8)]
    quantity: Annotated[int, Meta(ge=1, le=999)] = 1


class Order(Body, frozen=True):
    email: str
    lines: tuple[Line, ...] = ()
    notes: dict[str, int] | None = None
    gift: bool = False


class Search(Query, frozen=True):
    q: Annotated[str, Meta(max_length=10)] = ""
    limit: Annotated[int, Meta(ge=1, le=100)] = 24
    brand: Annotated[tuple[str, ...], Meta(max_length=2)] = ()
    in_stock: bool | None = None
    sort: Literal["relevance", "newest"] = "relevance"


class Needed(Query, frozen=True):
    sku: str


def test_a_good_body_becomes_what_it_says() -> None:
    assert parse_body(b'{"email": "a@b.example", "lines": [{"sku": "A", "quantity": 2}]}', Order) == Order(
        email="a@b.example", lines=(Line(sku="A", quantity=2),)
    )


def test_a_whole_number_may_be_written_with_a_point() -> None:
    assert parse_body(b'{"email": "a", "lines": [{"sku": "A", "quantity": 2.0}]}', Order).lines[0].quantity == 2


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (
            b'{"email": "a", "lines": [{"sku": "A", "quantity": 1.5}]}',
            [Field("/lines/0/quantity", "Expected int, got float")],
        ),
        (
            b'{"email": "a", "lines": [{"sku": "A", "quantity": 1e3}]}',
            [Field("/lines/0/quantity", "Expected int <= 999")],
        ),
        (b"{}", [Field("/email", "is required")]),
        (b"[]", [Field("", "Expected object, got array")]),
        (b"null", [Field("", "Expected object, got null")]),
        (b'"text"', [Field("", "Expected object, got str")]),
        (b'{"email": 1}', [Field("/email", "Expected str, got int")]),
        (b'{"email": null}', [Field("/email", "Expected str, got null")]),
        (b'{"email": "a", "total": 1}', [Field("/total", "is not known here")]),
        (b'{"email": "a", "a/b~c": 1}', [Field("/a~1b~0c", "is not known here")]),
        (
            b'{"email": "a", "lines": [{"sku": "A"}, {"sku": ""}]}',
            [Field("/lines/1/sku", "Expected str of length >= 1")],
        ),
        (b'{"email": "a", "lines": [{"sku": "A", "quantity": 0}]}', [Field("/lines/0/quantity", "Expected int >= 1")]),
        (b'{"email": "a", "lines": [{"quantity": 1}]}', [Field("/lines/0/sku", "is required")]),
        (b'{"email": "a", "lines": [{"sku": "A", "price": 1}]}', [Field("/lines/0/price", "is not known here")]),
        (b'{"email": "a", "notes": {"x": "y"}}', [Field("/notes", "Expected int, got str")]),
        (b'{"email": "a", "gift": 1}', [Field("/gift", "Expected bool, got int")]),
        (
            b'{"lines": 1, "gift": "no", "extra": 0}',
            [
                Field("/extra", "is not known here"),
                Field("/email", "is required"),
                Field("/lines", "Expected array, got int"),
                Field("/gift", "Expected bool, got str"),
            ],
        ),
    ],
)
def test_a_readable_body_with_bad_fields_names_every_one_of_them(raw: bytes, fields: list[Field]) -> None:
    with pytest.raises(Invalid) as caught:
        parse_body(raw, Order)

    assert type(caught.value) is Invalid
    assert list(caught.value.fields) == fields


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'email': 1}",
        b'{"email": "a"} x',
        b'{"email": "\xff"}',
        b'{"email": "\xed\xa0\x80"}',  # half a surrogate pair as bytes
        b'{"email": "\\ud800"}',
        b'{"email": "\\udc00x"}',
        b'{"email": "\\u0000"}',
        b'{"email": "a", "notes": {"\\u0000": 1}}',
        b'{"email": "\x00"}',
        b'\xef\xbb\xbf{"email": "a"}',
        b"[" * 100_000,
        b'{"email": "a", "zz": ' + b"[" * 100_000,
        b'{"email": 1, "lines": [',
        b'{"email": NaN}',
    ],
)
def test_an_unreadable_body_is_no_422(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_body(raw, Order)


def test_a_backslash_before_u0000_is_text() -> None:
    assert parse_body(rb'{"email": "\\u0000"}', Order).email == r"\u0000"


@settings(max_examples=60)
@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_at_all_surprise_the_parser(raw: bytes) -> None:
    try:
        found: Order | None = parse_body(raw, Order)
    except Invalid:
        found = None
    assert found is None or json.loads(raw)["email"] == found.email


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Search()),
        ("q=tea+pot&limit=5", Search(q="tea pot", limit=5)),
        ("q=%C3%A9t%C3%A9", Search(q="été")),
        ("brand=a&brand=b", Search(brand=("a", "b"))),
        ("in_stock=true&sort=newest", Search(in_stock=True, sort="newest")),
        ("in_stock=0", Search(in_stock=False)),
        ("q=", Search(q="")),
    ],
)
def test_a_query_becomes_what_it_says(query: str, expected: Search) -> None:
    assert parse_query(query, Search) == expected


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("limit=0", {"limit": "Expected int >= 1"}),
        ("limit=101", {"limit": "Expected int <= 100"}),
        ("limit=many", {"limit": "Expected int, got str"}),
        ("limit=", {"limit": "Expected int, got str"}),
        ("limit=9999999999999999999999", {"limit": "Expected int <= 100"}),
        ("limit=1&limit=2", {"limit": "is given more than once"}),
        ("colour=red", {"colour": "is not known here"}),
        ("brand=a&brand=b&brand=c", {"brand": "Expected array of length <= 2"}),
        ("in_stock=maybe", {"in_stock": "Expected bool | null, got str"}),
        ("in_stock=null", {"in_stock": "is left out where it is not meant"}),
        ("sort=price", {"sort": "Invalid enum value 'price'"}),
        (
            "limit=x&sort=y&z=1",
            {"z": "is not known here", "limit": "Expected int, got str", "sort": "Invalid enum value 'y'"},
        ),
    ],
)
def test_every_bad_parameter_is_named(query: str, parameters: dict[str, str]) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_query(query, Search)

    assert caught.value.parameters == parameters


def test_a_parameter_that_is_missing_is_named() -> None:
    with pytest.raises(Unreadable) as caught:
        parse_query("", Needed)

    assert caught.value.parameters == {"sku": "is required"}


def test_a_route_without_parameters_takes_none() -> None:
    assert parse_query("", None) is None
    with pytest.raises(Unreadable) as caught:
        parse_query("debug=1", None)
    assert caught.value.parameters == {"debug": "is not known here"}


@pytest.mark.parametrize("query", ["q=%00", "q=%ff", "q=%ed%a0%80", "%00=1", "&".join(["brand=a"] * 65)])
def test_an_unreadable_query_is_refused(query: str) -> None:
    with pytest.raises(Unreadable):
        parse_query(query, Search)


@pytest.mark.parametrize("raw", [b"/v1/\x00", b"/v1/\xff", b"/v1/\xed\xa0\x80"])
def test_an_unreadable_path_is_refused(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        readable_text(raw)


@pytest.mark.parametrize("depth", [200, 450, 600, 900, 2_000, 100_000])
def test_no_depth_of_nesting_is_too_much_for_a_clear_refusal(depth: int) -> None:
    raw = b'{"email":' + b"[" * depth + b"]" * depth + b"}"

    with pytest.raises((Unreadable, Invalid)):
        parse_body(raw, CartBody)


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (rb'{"email": "a\u0000b"}', "/email"),
        (rb'{"email": "a", "lines": [{"sku": "A"}, {"sku": "\u0000"}]}', "/lines/1/sku"),
        (rb'{"email": "a", "notes": {"\u0000": 1}}', "/notes"),
        (rb'{"email": "\u0000", "lines": 7}', "/email"),  # wrong besides: it cannot be read all the same
    ],
)
def test_a_nul_is_told_by_its_field(raw: bytes, pointer: str) -> None:
    with pytest.raises(Unreadable) as refused:
        parse_body(raw, Order)

    assert refused.value.fields == (Field(pointer, "must not contain a NUL"),)
    assert problem(refused.value).document["errors"] == [{"pointer": pointer, "detail": "must not contain a NUL"}]


@pytest.mark.parametrize("text", ["Ada\nBuyer", "Ada\r", "\tAda", "Ada\x1b[31m", "Ada\x7f", "Ada\x85", " ", "\u2003"])
def test_a_name_is_one_line_of_text(text: str) -> None:
    address = {"name": text, "line1": "1 Main St", "city": "Springfield", "country": "US"}

    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps({"shipping_address": address}).encode(), CartBody)

    assert refused.value.fields == (
        Field("/shipping_address/name", "must be a line of text that can be seen, without control characters"),
    )


@pytest.mark.parametrize(
    "text", ["\u200b", "\ufeff", " \u2060\u00ad", "\u3164", "\U000e0041", "Ada\u202e", "\u2066Ada"]
)
@pytest.mark.parametrize("field", ["name", "line1", "city"])
def test_a_part_of_an_address_can_be_seen_and_is_what_it_looks_like(field: str, text: str) -> None:
    address = {"name": "Ada", "line1": "1 Main St", "city": "Springfield", "country": "US"} | {field: text}

    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps({"shipping_address": address}).encode(), CartBody)

    sentence = "must be a line of text that can be seen, without control characters"
    assert refused.value.fields == (Field(f"/shipping_address/{field}", sentence),)


@pytest.mark.parametrize("country", ["XX", "UK", "EU", "XK", "C2", "ZZ", "AA", "us", "USA", "US\n", ""])
def test_a_country_is_one_that_iso_has_assigned(country: str) -> None:
    address = {"name": "Ada", "line1": "1 Main St", "city": "Springfield", "country": country}

    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps({"shipping_address": address}).encode(), CartBody)

    sentence = "must be a country's code as ISO 3166-1 alpha-2 has it"
    assert refused.value.fields == (Field("/shipping_address/country", sentence),)


@pytest.mark.parametrize("text", ["UPS\nPaid", "UPS\t", "\x1b[31mUPS", "UPS\u202e", "\u2066UPS", "UPS\u2028", "\u200b"])
@pytest.mark.parametrize(
    ("shape", "body", "field"),
    [
        (HandOverBody, {"tracking_number": "1Z"}, "carrier"),
        (HandOverBody, {"carrier": "UPS"}, "tracking_number"),
        (SettingsBody, {}, "name"),
        (RefundBody, {}, "reason"),
        (CancelBody, {}, "reason"),
        (ReturnRefundBody, {}, "reason"),
        (RejectionBody, {}, "reason"),
    ],
)
def test_what_staff_write_to_buyers_is_one_line(shape: type[Body], body: dict[str, str], field: str, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps(body | {field: text}).encode(), shape)

    sentence = "must be a line of text that can be seen, without control characters"
    assert refused.value.fields == (Field(f"/{field}", sentence),)


def test_a_note_has_lines_and_tabs_and_no_other_control_characters() -> None:
    lines = [{"sku": "A", "quantity": 1, "reason": "other"}]

    def returned(note: str) -> ReturnBody:
        return parse_body(json.dumps({"order_number": "V-1", "lines": lines, "note": note}).encode(), ReturnBody)

    assert returned("one\n\ttwo").note == "one\n\ttwo"
    assert returned("").note == ""
    assert parse_body(b'{"text": "\\n one\\n\\ttwo"}', NoteBody).text == "\n one\n\ttwo"
    for note in ("one\x1b[2J", "one\u202etwo", "\x07", "one\rtwo"):
        with pytest.raises(Invalid) as refused:
            returned(note)
        assert refused.value.fields == (Field("/note", "must be text without control characters"),)
    with pytest.raises(Invalid) as refused:
        parse_body(b'{"text": "\\n\\u200b\\t"}', NoteBody)
    sentence = "must be text that can be seen, without control characters"
    assert refused.value.fields == (Field("/text", sentence),)


def test_there_are_as_many_countries_as_iso_has_assigned() -> None:
    assert len(COUNTRIES) == 249
    assert {"AX", "BQ", "CW", "DE", "GB", "GR", "SS", "TW", "US"} <= COUNTRIES


@pytest.mark.parametrize("name", ["Ada", "Zoë Ångström", "李小龍", "O'Neil & Sons, 2nd floor", "\u200fعلي", "👩‍🚀"])
def test_a_name_of_any_script_is_taken(name: str) -> None:
    address = {"name": name, "line1": "1 Main St", "line2": "", "city": "Springfield", "phone": "", "country": "US"}

    cart = parse_body(json.dumps({"shipping_address": address}).encode(), CartBody)

    assert cart.shipping_address is not None
    assert cart.shipping_address.name == name


@pytest.mark.parametrize("field", ["line1", "line2", "city", "region", "postal_code", "phone"])
def test_no_part_of_an_address_breaks_its_line(field: str) -> None:
    address = {"name": "Ada", "line1": "1 Main St", "city": "Springfield", "country": "US", field: "a\nb"}

    with pytest.raises(Invalid) as refused:
        parse_body(json.dumps({"shipping_address": address}).encode(), CartBody)

    assert [bad.pointer for bad in refused.value.fields] == [f"/shipping_address/{field}"]
