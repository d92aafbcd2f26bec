"""What a spreadsheet takes for a formula is marked in an export, and comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog.formulas import marked, unmarked


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-20 C", "'-20 C"),
        ("@home", "'@home"),
        ("'@home' mug", "''@home' mug"),
        ("''=", "'''="),
        ("\tLamp", "'\tLamp"),
        ("Lamp", "Lamp"),
        ("'n' Roll", "'n' Roll"),
        ("Ø=5", "Ø=5"),
        ("'", "'"),
        ("", ""),
    ],
)
def test_a_formula_is_marked_and_nothing_else(cell: str, written: str) -> None:
    assert (marked(cell), unmarked(marked(cell))) == (written, cell)


@given(st.text(st.sampled_from("'=+-@\t\ra ")))
def test_no_written_cell_is_a_formula_and_every_one_comes_back(cell: str) -> None:
    assert marked(cell)[:1] not in ("=", "+", "-", "@", "\t", "\r")
    assert unmarked(marked(cell)) == cell
