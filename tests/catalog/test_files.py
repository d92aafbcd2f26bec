"""Files of every kind become rows; what cannot be read is named by its line."""

import gzip
import io
from decimal import Decimal

import pytest

from shared.catalog.files import MAX_ROW_BYTES, BadRow, Row, Unreadable, read_rows


def read(content: bytes, name: str = "products.csv") -> list[Row | BadRow]:
    return list(read_rows(io.BufferedReader(io.BytesIO(content)), name))


LAMP = Row(2, {"sku": "A", "name": "Lamp"})


@pytest.mark.parametrize(
    "content",
    [
        b"sku,name\nA,Lamp\n",
        b"sku,name\r\nA,Lamp\r\n",
        b"\xef\xbb\xbfsku,name\nA,Lamp\n",
        b"SKU;Name\nA;Lamp\n",
        b"sku\tname\nA\tLamp",
        b'"sku","name"\n"A","Lamp"\n',
        b"sku,name\nA,Lamp\n\n\n",
        gzip.compress(b"sku,name\nA,Lamp\n"),
    ],
)
def test_csv_is_read_however_a_spreadsheet_wrote_it(content: bytes) -> None:
    assert read(content) == [LAMP]


def test_a_quoted_field_may_hold_lines_and_the_next_row_keeps_its_number() -> None:
    rows = read(b'sku,name\nA,"Lamp\nof two lines, with ""quotes"""\nB,Mug\n')

    assert rows == [
        Row(2, {"sku": "A", "name": 'Lamp\nof two lines, with "quotes"'}),
        Row(4, {"sku": "B", "name": "Mug"}),
    ]


@pytest.mark.parametrize("name", ["products.jsonl", "products.jsonl.gz", "products.ndjson", "products"])
def test_json_lines_are_read_by_what_they_are(name: str) -> None:
    rows = read(gzip.compress(b'{"sku": "A", "price": 19.90}\n\n{"sku": "B", "n": 1}\n'), name)

    assert rows == [Row(1, {"sku": "A", "price": Decimal("19.90")}), Row(3, {"sku": "B", "n": 1})]


@pytest.mark.parametrize(
    ("content", "name", "bad"),
    [
        (b'{"sku": \n{"sku": "B"}\n', "p.jsonl", BadRow(1, "the line is not JSON: Expecting value")),
        (b'[1]\n{"sku": "B"}\n', "p.jsonl.txt", None),
        (b'{"sku": "A"}\n[1]\n{"sku": "B"}\n', "p.jsonl", BadRow(2, "the line is not a JSON object")),
        (b'{"price": NaN}\n{"sku": "B"}\n', "p.jsonl", BadRow(1, "the line is not JSON: NaN is not a number")),
        (b'{"sku": "\xff"}\n{"sku": "B"}\n', "p.jsonl", BadRow(1, "the line is not valid UTF-8")),
        (
            b'{"sku": "' + b"x" * MAX_ROW_BYTES + b'"}\n{"sku": "B"}\n',
            "p.jsonl",
            BadRow(1, "the line is longer than 1048576 bytes"),
        ),
        (b"sku,name\nA\nB,Mug\n", "p.csv", BadRow(2, "the line has 1 fields, and the header 2")),
        (b"sku,name\nA,Lamp,1\nB,Mug\n", "p.csv", BadRow(2, "the line has 3 fields, and the header 2")),
        (b"sku,name\nA,\xe4\nB,Mug\n", "p.csv", BadRow(2, "the line is not valid UTF-8")),
        (
            b"sku,name\nA," + b"x" * MAX_ROW_BYTES + b"\nB,Mug\n",
            "p.csv",
            BadRow(2, "the line is longer than 1048576 bytes"),
        ),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_is_read(content: bytes, name: str, bad: BadRow | None) -> None:
    if bad is None:
        with pytest.raises(Unreadable, match="one JSON array"):
            read(content, name)
        return

    rows = read(content, name)

    assert [row for row in rows if isinstance(row, BadRow)] == [bad]
    last = rows[-1]
    assert isinstance(last, Row)
    assert last.cells["sku"] == "B"


def test_a_quote_that_is_never_closed_is_named_by_the_line_where_it_opens() -> None:
    rows = read(b'sku,name\nA,"Lamp\n' + b"B,Mug\n" * 200_000)

    first = rows[0]
    assert isinstance(first, BadRow)
    assert (first.line, first.reason.startswith("the line is not CSV: field larger than field limit")) == (2, True)
    assert len(rows) > 10_000


@pytest.mark.parametrize(
    ("content", "name", "reason"),
    [
        (b"", "p.csv", "the file is empty"),
        (b"\xef\xbb\xbf\n \n", "p.jsonl", "the file is empty"),
        (b"name,price\nLamp,1\n", "p.csv", "the header has no column sku: 'name,price'"),
        (b"sku,name,name\nA,b,c\n", "p.csv", "the header names a column twice: name"),
        (b'[{"sku": "A"}]', "p.json", "the file is one JSON array; write one object on each line (JSON Lines)"),
        ("sku,name\n".encode("utf-16"), "p.csv", "the file is UTF-16; save it as UTF-8"),
        (
            b"PK\x03\x04rest of a spreadsheet",
            "p.csv",
            "the file is a spreadsheet or an archive; save it as CSV (UTF-8)",
        ),
        (b"\0" * 100, "p.csv", "the file is not text"),
    ],
)
def test_a_file_that_is_no_catalogue_is_unreadable(content: bytes, name: str, reason: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        read(content, name)

    assert str(unreadable.value) == reason


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            b'\xef\xbb\xbfsku;name\r\nA;Lamp\r\n\r\nB;"Mug\nof ""two"" lines\n"\nC;x;y\nD;\xe4\n"E;"";\n;"\n'
            b'F;"a\xe4\nG;b\n' + b"H;" + b"x" * MAX_ROW_BYTES + b"\nI;last",
            "p.csv",
        ),
        (
            b'{"sku": "A"}\n\n[1]\n{"sku": \n{"n": "\xff"}\n' + b"x" * 2 * MAX_ROW_BYTES + b'\n{"sku": "B"}\n\n',
            "p.jsonl",
        ),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_reading_goes_on_behind_any_row_as_if_it_had_never_stopped(content: bytes, name: str, packed: bool) -> None:
    file = gzip.compress(content, 1) if packed else content
    rows = read_rows(io.BufferedReader(io.BytesIO(file)), name)
    read_so_far = [(row, rows.place) for row in rows]

    assert len(read_so_far) >= 5
    assert rows.place.bytes == len(content)
    for n, (_row, place) in enumerate(read_so_far):
        rest = read_rows(io.BufferedReader(io.BytesIO(file)), name, after=place)
        assert [(row, rest.place) for row in rest] == read_so_far[n + 1 :]


def test_a_file_that_unpacks_to_too_much_is_unreadable() -> None:
    content = b"sku,name\n" + b"A" * 200_000 + b"\n"

    with pytest.raises(Unreadable, match="the file is longer than 100000 bytes when it is unpacked"):
        list(read_rows(io.BufferedReader(io.BytesIO(gzip.compress(content))), "p.csv", most_bytes=100_000))


def test_a_gzip_that_ends_too_early_gives_what_it_holds_and_says_so() -> None:
    whole = gzip.compress(b"sku,name\n" + b"".join(b"A%d,Lamp\n" % n for n in range(50_000)))
    rows = read_rows(io.BufferedReader(io.BytesIO(whole[: len(whole) // 2])), "p.csv.gz")

    with pytest.raises(Unreadable, match="damaged or ends too early"):
        for _ in rows:
            pass
