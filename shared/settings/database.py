"""How to reach the database: by URL, by the Cloud SQL connector, by its private address (DESIGN.md section 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from shared.settings.reading import Reader


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """`access` is url, connector or private, and says which of the others are filled."""

    access: str
    pool_size: int
    url: str = field(default="", repr=False)
    instance: str = ""
    host: str = ""
    name: str = ""
    user: str = ""
    ca_pem: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        reader = Reader("database", env)
        access = reader.choice("DATABASE_ACCESS", "url", "connector", "private")
        pool_size = reader.positive("POOL_SIZE")
        url = instance = host = name = user = ca_pem = ""
        if access == "url":
            url = reader.text("DATABASE_URL")
            if url and not _is_database_url(url):
                reader.refuse("DATABASE_URL", "is not postgresql://login:password@host:port/database")
            if reader.in_production:
                reader.refuse("DATABASE_ACCESS", "must be connector or private in production: a URL carries a password")
        if access == "connector":
            instance = reader.text("DATABASE_INSTANCE")
            if instance and instance.count(":") < 2:
                reader.refuse("DATABASE_INSTANCE", "is not project:region:name")
        if access == "private":
            host = reader.text("DATABASE_HOST")
            ca_pem = reader.text("DATABASE_CA")
        if access in ("connector", "private"):
            name = reader.text("DATABASE_NAME")
            user = reader.text("DATABASE_USER")
        reader.finish()
        return cls(access, pool_size, url, instance, host, name, user, ca_pem)


def _is_database_url(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("postgresql", "postgres") and bool(parts.hostname) and len(parts.path) > 1
