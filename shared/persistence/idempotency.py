"""Idempotency keys: claimed before the work, answered by the transaction that has the effect (DESIGN.md rule 10)."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.kernel.idempotency import AlreadyAnswered, Claim, InFlight, KeyReused
from shared.persistence.database import Database

# As claim_key_v1 has it: after that a key is as good as new.
KEPT = timedelta(hours=48)

_CLAIM = """
select state, answer_status, answer_body
from claim_key_v1(
    :scope::text, :route::text, :key::text, :hash::bytea, :token::uuid, :at::timestamptz, :until::timestamptz)
"""

_STORE = """
select store_answer_v1(:scope::text, :route::text, :key::text, :token::uuid, :status::int, :body::text)
"""

_RELEASE = """
update idempotency_keys set lease_token = null, leased_until = null
where scope = :scope::text and route = :route::text and key = :key::text and lease_token = :token::uuid
"""

_SWEEP = """
delete from idempotency_keys
where (scope, route, key) in (
    select scope, route, key from idempotency_keys
    where created_at < :before::timestamptz and coalesce(leased_until, :before) <= :now::timestamptz
    order by created_at limit :most::int for update skip locked)
"""


class IdempotencyKeys:
    """One round trip each."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, claim: Claim) -> None:
        """Take the key, or its lease where that has run out. Raises AlreadyAnswered, InFlight, KeyReused."""
        row = self._database.call(
            _CLAIM,
            scope=claim.scope,
            route=claim.route,
            key=claim.key,
            hash=claim.request_hash,
            token=claim.token,
            at=claim.at,
            until=claim.until,
        )[0]
        raise_unless_mine(row)

    def store(self, claim: Claim, status: int, body: str) -> None:
        """The answer of a request that had no step of its own to store it. Raises LeaseLost."""
        self._database.call(_STORE, **_key(claim), token=claim.token, status=status, body=body)

    def release(self, claim: Claim) -> None:
        """Let the next one have it at once. Nothing happens where the lease was lost or the answer is stored."""
        self._database.call(_RELEASE, **_key(claim), token=claim.token)

    def sweep(self, *, now: datetime, most: int = 1000) -> None:
        """Forget keys older than 48 hours, `most` at a time."""
        self._database.call(_SWEEP, before=now - KEPT, now=now, most=most)


def raise_unless_mine(claimed: Mapping[str, Any]) -> None:
    """For steps that claim in their first statement: `claimed` is what claim_key_v1 returned."""
    state = claimed["state"]
    if state == "answered":
        raise AlreadyAnswered(claimed["answer_status"], claimed["answer_body"])
    if state == "in_flight":
        raise InFlight
    if state == "reused":
        raise KeyReused


def _key(claim: Claim) -> dict[str, str]:
    return {"scope": claim.scope, "route": claim.route, "key": claim.key}
