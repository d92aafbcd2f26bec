"""What staff did, to what and when: an entry for every action that changes something, written with the change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.kernel.ids import new_id


@dataclass(frozen=True, slots=True)
class Entry:
    """`actor` is staff:<id>, `action` a verb of ours (`stock.adjusted`), `subject` the thing (`sku:BRASS-LAMP`).

    `detail` says what changed; no e-mail, address or token is in it.
    """

    at: datetime
    actor: str
    action: str
    subject: str
    detail: Mapping[str, object] = field(default_factory=dict)
    id: UUID = field(default_factory=new_id)


class AuditLog(Protocol):
    """Entries are appended by the steps that have the effect (shared.persistence.audit), and only read here."""

    def list_entries(
        self, subject: str | None = None, *, limit: int, before: tuple[datetime, UUID] | None = None
    ) -> Sequence[Entry]:
        """The newest entries (of a subject) first, those after the entry with `before`'s moment and id."""
        ...
