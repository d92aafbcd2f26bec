"""The keys that sign sessions and order tokens."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.kernel.tokens import KeyRing
from shared.settings.reading import Reader

_EMPTY = KeyRing("", {})


@dataclass(frozen=True, slots=True)
class TokenKeys(KeyRing):
    """The key ring of TOKEN_KEYS: {"current": "<kid>", "keys": {"<kid>": "<base64 of 32 bytes>"}}."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("token keys", env)
        ring = reader.parsed("TOKEN_KEYS", _key_ring, "a ring of base64 keys of 32 bytes with a current one", _EMPTY)
        reader.finish()
        return cls(ring.current, ring.keys)


def _key_ring(text: str) -> KeyRing:
    value = json.loads(text)
    keys = {kid: base64.b64decode(key, validate=True) for kid, key in value["keys"].items()}
    if value["current"] not in keys or any(len(key) < 32 or not kid or "." in kid for kid, key in keys.items()):
        raise ValueError("the current key is not in the ring, or a key is too short")
    return KeyRing(value["current"], keys)
