"""The statement of suggestions: categories, brands and products whose name goes on from what was typed."""

from typing import Any

from shared.persistence.search_matching import quote_lexeme
from shared.search.texts import Text

_SUGGESTIONS = """
select kind, name, key
from suggest_v1(:typed::text, :head::text, :tail::text, :unspaced::tsquery, :limit::int)
"""


def suggestions_statement(text: Text, *, limit: int) -> tuple[str, dict[str, Any]]:
    """{kind, name, key} of `limit` at most: three brands, three categories, and products, the most popular first.

    Where the 72,000 most popular products have too few words that go on so, no more than 2,000 of the others are looked
    at that have such a word in name, brand or category, whichever these are: a more popular one may be missing. Up to
    32,000 products are all looked at.
    """
    return _SUGGESTIONS, {
        "typed": text.typed,
        "head": text.head,
        "tail": text.tail,
        "unspaced": " & ".join(quote_lexeme(pair) for pair in text.unspaced),
        "limit": limit,
    }
