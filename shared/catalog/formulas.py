"""Cells that a spreadsheet would take for a formula: marked when the catalogue is written, unmarked when it is read.

Whoever can name a product could otherwise run `=HYPERLINK(...)` on the machine of whoever opens the file (OWASP, CSV
injection). The mark is one apostrophe before the cell, as WooCommerce's exports and imports have it. A cell that has
apostrophes of its own there gets one more, so that unmarked(marked(cell)) is the cell, whatever it is.
"""

import re

# Apostrophes, any number of them, then what begins a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_MARKED = re.compile(r"'+[=+\-@\t\r]")


def marked(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unmarked(cell: str) -> str:
    return cell[1:] if _MARKED.match(cell) else cell
