"""What is asked of a catalogue, and how quickly it should be answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

from shared.persistence.search import CatalogueReader
from shared.search.cursors import write_cursor
from shared.search.listing import Continuation, Search, Sort

LIMIT = 24


class Way(StrEnum):
    """count: a list of one product with its total."""

    LIST = "list"
    COUNT = "count"
    FACETS = "facets"
    SUGGESTIONS = "suggestions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`page` counts from 1, `following` is where the page before ends. `misspelt`: the predecessor answers by similar
    words, not by what stands in the name."""

    search: Search
    way: Way = Way.LIST
    page: int = 1
    following: Continuation | None = None
    misspelt: bool = False

    def ask(self, reader: CatalogueReader) -> object:
        match self.way:
            case Way.LIST:
                return reader.list_products(self.search, limit=LIMIT, following=self.following)
            case Way.COUNT:
                return reader.list_products(self.search, limit=1)
            case Way.FACETS:
                return reader.facets(self.search)
            case Way.SUGGESTIONS:
                return reader.suggest(self.search.text, limit=8)

    @property
    def path(self) -> str:
        """What a storefront asks for."""
        search = self.search
        query: dict[str, object] = {"q": search.text, "category": search.category}
        query |= {"price_min": search.price_min, "price_max": search.price_max}
        match self.way:
            case Way.SUGGESTIONS:
                return f"/v1/suggestions?{urlencode({'q': search.text})}"
            case Way.FACETS:
                place = "/v1/facets"
            case Way.LIST | Way.COUNT:
                place = "/v1/products"
                query["sort"] = search.sort.value if search.sort is not Sort.RELEVANCE else None
                query["limit"] = 1 if self.way is Way.COUNT else None
                query["cursor"] = write_cursor(search, self.following) if self.following is not None else None
        return f"{place}?{urlencode({name: value for name, value in query.items() if value not in (None, '')})}"


@dataclass(frozen=True, slots=True)
class Goal:
    """Milliseconds in the database at most; times as fast as the predecessor at least."""

    p50_ms: float | None = None
    p99_ms: float | None = None
    p50_times: float | None = None
    p99_times: float | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """`why_not`: there is nothing to ask, and why."""

    name: str
    questions: Sequence[Question] = ()
    goal: Goal = Goal()
    why_not: str = ""
