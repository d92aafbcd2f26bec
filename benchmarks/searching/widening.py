"""Synonyms, as many as an entry may have, for terms that no product has."""

from uuid import uuid4

from benchmarks.searching.vocabulary import Vocabulary
from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.synonyms import Synonyms
from shared.search.merchandising import MOST_SYNONYMS
from shared.settings import DatabaseSettings

TERMS = 100


def term_of(word: str) -> str:
    return f"{word}qqz"


def widen(shop: Address, vocabulary: Vocabulary) -> None:
    """A term for each common word, which means that word and as many rare ones as an entry may have."""
    database = Database(
        connector(DatabaseSettings("url", 1, shop.url), application="staff"), size=1, clock=SystemClock()
    )
    synonyms, rare = Synonyms(database, SystemClock()), vocabulary.words[-TERMS * MOST_SYNONYMS :]
    for n, word in enumerate(vocabulary.words[:TERMS]):
        others = rare[n * MOST_SYNONYMS : (n + 1) * MOST_SYNONYMS - 1]
        synonyms.create(uuid4(), term=term_of(word), synonyms=[word, *others], one_way=True, actor="benchmark")
    database.close()
