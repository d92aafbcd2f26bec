"""Signatures that open one thing and are never stored: an order for its guest, a session for its holder.

A token names the key that signed it, so that keys can change: the current one signs, every key of the ring still opens.
"""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyRing:
    """HMAC-SHA256 keys by key id; `current` is the one that signs."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def token(self, kind: str, subject: object) -> str:
        """`<key id>.<signature>` for the thing `subject` of that kind: token("order", order_id)."""
        return f"{self.current}.{sign(self.keys[self.current], f'{kind}:{subject}')}"

    def opens(self, token: str, kind: str, subject: object) -> bool:
        """Whether the token was made for this very thing, by any key of the ring."""
        kid, _, signature = token.partition(".")
        key = self.keys.get(kid)
        return key is not None and is_signature(signature, key, f"{kind}:{subject}")


def sign(key: bytes, text: str) -> str:
    """HMAC-SHA256 of the text, base64url without padding."""
    return base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()


def is_signature(signature: str, key: bytes, text: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), sign(key, text).encode())
