"""Which events a consumer has worked on: written in the transaction of the effect (DESIGN.md rule 11)."""

from datetime import datetime, timedelta
from uuid import UUID

from shared.persistence.database import Database, Transaction

_RECORD = """
insert into inbox (consumer, event_id, recorded_at) values (:consumer::text, :event_id::uuid, :at::timestamptz)
on conflict do nothing returning event_id
"""

_PURGE = """
with old as materialized (
    select consumer, event_id from inbox where recorded_at < :before::timestamptz order by recorded_at limit :limit::int
)
delete from inbox i using old where i.consumer = old.consumer and i.event_id = old.event_id returning i.event_id
"""

# Far longer than an event can come again: Pub/Sub keeps one for 7 days, a dead letter waits for a person.
KEPT_FOR = timedelta(days=90)
PURGED_AT_ONCE = 500


def record_event(tx: Transaction, consumer: str, event_id: UUID) -> bool:
    """True the first time. A second delivery at the same moment waits here until the first has committed."""
    return tx.find(_RECORD, consumer=consumer, event_id=event_id, at=tx.clock.now()) is not None


def purge_inbox(database: Database, *, at: datetime, limit: int = PURGED_AT_ONCE) -> int:
    """Delete that many old records at most; how many."""
    return len(database.call(_PURGE, before=at - KEPT_FOR, limit=limit))
