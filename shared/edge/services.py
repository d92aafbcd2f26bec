"""What the edge needs of the rest of the house; each function provides it, every part made on first use."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from shared.kernel.clock import Clock, SystemClock
from shared.kernel.idempotency import Claim
from shared.kernel.tokens import KeyRing
from shared.settings import PlatformSettings


class Keys(Protocol):
    """Idempotency keys (shared.persistence.idempotency)."""

    def claim(self, claim: Claim) -> None:
        """Raises AlreadyAnswered, InFlight, KeyReused."""
        ...

    def store(self, claim: Claim, status: int, body: str) -> None:
        """Raises LeaseLost."""
        ...

    def release(self, claim: Claim) -> None: ...


class Sessions(Protocol):
    """The sessions that have not been revoked (shared.persistence.sessions)."""

    def is_live(self, session: UUID, *, at: datetime) -> bool: ...


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens` is None where nobody signs in (search, webhooks); `keys` and `sessions` where no route needs them.

    `ping` asks the database one thing; `flush` publishes what this request has committed, within a second, best effort.
    """

    platform: Callable[[], PlatformSettings]
    ping: Callable[[], object]
    clock: Clock = msgspec.field(default_factory=SystemClock)
    tokens: Callable[[], KeyRing] | None = None
    keys: Callable[[], Keys] | None = None
    sessions: Callable[[], Sessions] | None = None
    flush: Callable[[], object] = lambda: None
