"""Objects in a bucket: what lies there, and what somebody may send there without passing through a function."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.kernel.errors import NotFound


class ObjectGone(NotFound):
    sentence = "This file is no longer there."


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`generation` names this very content: an object that was replaced has another one."""

    name: str
    generation: int
    size_bytes: int
    content_type: str


@dataclass(frozen=True, slots=True)
class SignedUpload:
    """A request that its holder may make until `expires_at`, once, with exactly these headers. The URL is a secret."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    expires_at: datetime


def unguessable_name(folder: str) -> str:
    """A name for an object that nobody can guess: 128 random bits."""
    return f"{folder}/{secrets.token_hex(16)}"
