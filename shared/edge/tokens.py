"""Session tokens: base64url(JSON) "." base64url(HMAC-SHA256 of the first part), signed by the key that the JSON names.

{"v": 1, "kid", "kind": "staff" | "customer", "subject", "session", "permissions", "exp": seconds since 1970}
"""

import base64
import binascii
import json
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from shared.accounts.principals import Customer, Staff
from shared.kernel.errors import Unauthenticated
from shared.kernel.tokens import KeyRing, is_signature, sign

_VERSION = 1
_LONGEST = 4096  # a cookie cannot be longer


def read_session_token(token: str, ring: KeyRing, *, at: datetime) -> Customer | Staff:
    """Whose token it is. Raises Unauthenticated where it is forged, expired, or not a token at all."""
    payload_text, dot, signature = token.partition(".")
    if not dot or len(token) > _LONGEST:
        raise Unauthenticated
    try:
        payload = json.loads(_decoded(payload_text))
        key = ring.keys.get(payload["kid"])
        # Nothing else of the payload is looked at before the signature is known to be ours.
        if key is None or not is_signature(signature, key, payload_text):
            raise Unauthenticated
        if payload["v"] != _VERSION or not at.timestamp() < payload["exp"]:
            raise Unauthenticated
        subject, session = UUID(payload["subject"]), UUID(payload["session"])
        if payload["kind"] == "staff":
            return Staff(subject, session, frozenset(payload["permissions"]))
        if payload["kind"] == "customer":
            return Customer(subject, session)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unauthenticated from error
    raise Unauthenticated


def make_session_token(
    ring: KeyRing, *, kind: str, subject: UUID, session: UUID, expires_at: datetime, permissions: Iterable[str] = ()
) -> str:
    payload = {
        "v": _VERSION,
        "kid": ring.current,
        "kind": kind,
        "subject": str(subject),
        "session": str(session),
        "permissions": sorted(permissions),
        "exp": int(expires_at.timestamp()),
    }
    text = base64.urlsafe_b64encode(json.dumps(payload, separators=(",", ":")).encode()).rstrip(b"=").decode()
    return f"{text}.{sign(ring.keys[ring.current], text)}"


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("not base64url") from error
