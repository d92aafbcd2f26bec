"""What the routes of answers and those of pages both need, made on first use."""

from shared.kernel.first_use import first_use
from shared.persistence.connecting import BY_INDEXES
from shared.persistence.search import CatalogueReader
from shared.wiring.read_only import ReadOnlyParts

# No answer of search is worth waiting longer for: it is a 503, and the shopper asks again (DESIGN.md rule 4).
STATEMENT_TIMEOUT_MS = 300

parts = ReadOnlyParts(statement_timeout_ms=STATEMENT_TIMEOUT_MS, planning=BY_INDEXES)
platform = parts.platform


@first_use
def catalogue() -> CatalogueReader:
    return CatalogueReader(parts.database())
