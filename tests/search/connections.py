"""A shop as the search function reads it."""

from collections.abc import Iterator
from contextlib import contextmanager

from local.database import Address
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import BY_INDEXES, connector
from shared.persistence.database import Database
from shared.settings import DatabaseSettings
from tools.scratch_database import ScratchServer


@contextmanager
def as_search(postgres: ScratchServer, address: Address) -> Iterator[Database]:
    """One connection, with search's rights and settings, but time enough for a busy machine."""
    settings = DatabaseSettings("url", 1, postgres.login(address, "search").url)
    database = Database(connector(settings, application="test", planning=BY_INDEXES), size=1, clock=SystemClock())
    try:
        yield database
    finally:
        database.close()
