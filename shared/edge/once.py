"""A POST that changes something runs once per Idempotency-Key (DESIGN.md rule 10): the edge's half of it.

The claim is taken before the handler, or by its first statement where the route claims itself; the answer is stored by
the step that has the effect. What no step has stored is stored here: a refusal (400, 422), an answer without effect.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from shared.accounts.principals import Customer, Principal, Staff
from shared.edge.calls import Call, Reply
from shared.edge.problems import Unreadable, problem
from shared.edge.routes import Route
from shared.edge.services import Keys
from shared.kernel.errors import ShopError, Unavailable
from shared.kernel.idempotency import AlreadyAnswered, Claim, InFlight, KeyReused, LeaseLost
from shared.kernel.logs import Log

log = Log(__name__)

HEADER = "Idempotency-Key"
LONGEST_KEY = 255
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
# How long a lease outlasts the platform's timeout: whoever held it is answered for, frozen or dead.
_GRACE_S = 10
_LONGEST_SCOPE = 200
# What an answer may be to be said again; anything else lets the key go.
_KEPT_REFUSALS = (400, 422)


def read_key(header: str | None) -> str:
    """Raises Unreadable where it is missing, too long or not printable ASCII."""
    if not header:
        raise Unreadable(parameters={HEADER: "is required"})
    if not _KEY.fullmatch(header):
        raise Unreadable(parameters={HEADER: f"must be 1 to {LONGEST_KEY} printable ASCII characters, no space"})
    return header


def make_claim(key: str, route: Route, *, scope: str, asked: object, at: datetime, timeout_s: int) -> Claim:
    """`asked` is all that makes two requests the same: path, query and body as they were understood."""
    if len(scope) > _LONGEST_SCOPE:
        scope = hashlib.sha256(scope.encode()).hexdigest()
    return Claim(
        scope=scope,
        route=route.name,
        key=key,
        request_hash=hashlib.sha256(msgspec.json.encode(asked, order="deterministic")).digest(),
        token=uuid4(),
        at=at,
        until=at + timedelta(seconds=timeout_s + _GRACE_S),
    )


def find_scope(route: Route, principal: Principal, named: Callable[[], object], client_address: str) -> str:
    """Whose key it is: the session's, else the cart's or order's that the call names, else the address's."""
    if isinstance(principal, Staff | Customer):
        return f"session:{principal.session}"
    if route.scope is not None:
        return f"named:{named()}"
    return f"client:{client_address}"


def answer_once(route: Route, call: Call[object], claim: Claim, keys: Keys) -> tuple[int, str, Mapping[str, str], bool]:
    """Status, body, headers, and whether it was said before. Raises what the handler raises."""
    try:
        if not route.claims_itself:
            keys.claim(claim)
    except AlreadyAnswered as answered:
        return answered.status, answered.body, {}, True
    try:
        reply = route.handler(call)
    except AlreadyAnswered as answered:
        return answered.status, answered.body, {}, True
    except (InFlight, KeyReused):
        raise  # the key is another request's: nothing of it is ours to store or release
    except ShopError as error:
        refusal = problem(error)
        if refusal.status in _KEPT_REFUSALS:
            _store_refusal(keys, claim, refusal.status, refusal.text())
        else:
            _release(keys, claim)
        raise
    except BaseException:
        _release(keys, claim)
        raise
    reply = reply or Reply(204)
    if call.rendered.answer is not None:
        return *call.rendered.answer, reply.headers, False
    body = "" if reply.body is None else msgspec.json.encode(reply.body).decode()
    if 200 <= reply.status < 300:
        keys.store(claim, reply.status, body)
    else:
        _release(keys, claim)
    return reply.status, body, reply.headers, False


def _store_refusal(keys: Keys, claim: Claim, status: int, body: str) -> None:
    try:
        keys.store(claim, status, body)
    except (LeaseLost, Unavailable):
        log.warning("refusal_not_stored", route=claim.route, status=status)  # it had no effect: said twice is as good


def _release(keys: Keys, claim: Claim) -> None:
    try:
        keys.release(claim)
    except Exception as error:  # noqa: BLE001 - the lease ends by itself, and the first error is the one to tell
        log.warning("lease_not_released", route=claim.route, error=type(error).__name__)
