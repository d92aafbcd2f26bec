"""Turnstile: Cloudflare's bot check, whom to ask, and whose pages its answers may come from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from shared.settings.reading import Reader

# https://developers.cloudflare.com/turnstile/get-started/server-side-validation/
_HOST = "https://challenges.cloudflare.com"
# https://developers.cloudflare.com/turnstile/troubleshooting/testing/: one passes everything, one fails everything, one
# says that the token was spent. One page of theirs ends them in AAA.
_PUBLISHED_SECRET = re.compile(r"[123]x0+A{2,3}")


@dataclass(frozen=True, slots=True)
class TurnstileSettings:
    """`secret` is None where nobody is checked, which production refuses; `hostnames` are those of our own pages."""

    base_url: str
    hostnames: tuple[str, ...]
    secret: str | None = field(repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("turnstile", env)
        secret = reader.text("TURNSTILE_SECRET", None if reader.in_production else "")
        if reader.in_production and _PUBLISHED_SECRET.fullmatch(secret):
            reader.refuse("TURNSTILE_SECRET", "is one of Cloudflare's published test secrets")
        base_url = (
            reader.base_url("TURNSTILE_BASE_URL", production=(_HOST,)) if env.get("TURNSTILE_BASE_URL") else _HOST
        )
        named = reader.text("TURNSTILE_HOSTNAMES", urlsplit(env.get("PUBLIC_URL", "")).hostname or "")
        hostnames = tuple(name.strip().lower() for name in named.split(",") if name.strip())
        if secret and not hostnames:
            reader.refuse("TURNSTILE_HOSTNAMES", "is missing, and so is PUBLIC_URL, which it defaults to")
        reader.finish()
        return cls(base_url, hostnames, secret or None)

    @property
    def is_published(self) -> bool:
        """Whether the secret is one of Cloudflare's for tests: what it answers names no page of ours and no action."""
        return self.secret is not None and _PUBLISHED_SECRET.fullmatch(self.secret) is not None
