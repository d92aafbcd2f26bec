"""Texts arrive in PostgreSQL's arrays as they were said."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.settings import DatabaseSettings
from tests.numbers import PROPERTY_EXAMPLES

TEXTS = st.text(st.sampled_from("nulNUL\"'\\{}, \t\né手"), max_size=6)


def test_an_array_has_the_texts_that_were_put_into_it(database: Address) -> None:
    made = Database(
        connector(DatabaseSettings("url", 1, database.url), application="test"), size=1, clock=SystemClock()
    )

    @settings(max_examples=PROPERTY_EXAMPLES)
    @given(st.lists(st.none() | TEXTS))
    @example(["null", "Null", "NULL", None, "nULL", 'a"b', "\\", "{,}", ""])
    def arrives(texts: list[str | None]) -> None:
        assert made.call("select :texts::text[] as texts", texts=texts)[0]["texts"] == texts

    arrives()
    made.close()
