"""What every deployment is told about itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from shared.settings.reading import Reader


@dataclass(frozen=True, slots=True)
class PlatformSettings:
    """`public_url` and `media_url` are bases without a slash at their end, empty where the row does not name them."""

    deployment: str
    environment: str
    project: str
    function_timeout_s: int
    public_url: str
    media_url: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("platform", env)
        settings = cls(
            deployment=reader.text("VITRINE_DEPLOYMENT"),
            environment=reader.choice("VITRINE_ENVIRONMENT", "local", "production"),
            project=reader.text("GOOGLE_CLOUD_PROJECT"),
            function_timeout_s=reader.positive("FUNCTION_TIMEOUT_S"),
            public_url=reader.base_url("PUBLIC_URL") if env.get("PUBLIC_URL") else "",
            media_url=reader.base_url("MEDIA_URL") if env.get("MEDIA_URL") else "",
        )
        reader.finish()
        return settings

    @property
    def public_origin(self) -> str:
        """Scheme, host and port of the storefront, as a browser writes them into Origin (RFC 6454)."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}".lower() if parts.netloc else ""
