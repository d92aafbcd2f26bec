"""Sessions: a signed token is good for ten minutes, the row says whether it was revoked meanwhile."""

from datetime import datetime
from uuid import UUID

from shared.persistence.database import Database

_IS_LIVE = """
select true as live from sessions
where id = :id::uuid and revoked_at is null and expires_at > :at::timestamptz
"""


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def is_live(self, session: UUID, *, at: datetime) -> bool:
        """One round trip."""
        return self._database.find(_IS_LIVE, id=session, at=at) is not None
