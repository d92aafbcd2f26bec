"""Reading the environment: every missing or bad name is collected, so that one error names them all."""

import os
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")


class SettingsError(Exception):
    """A deployment's configuration is wrong. `problems` are sentences that name variables and never show a value."""

    def __init__(self, group: str, problems: list[str]) -> None:
        super().__init__(f"{group}: {'; '.join(problems)}")
        self.problems = tuple(problems)


def environment() -> Mapping[str, str]:
    """The environment of this process. Nothing else reads it (ruff TID251)."""
    return os.environ


class Reader:
    """Reads one group of settings; `finish` raises what was found wrong on the way."""

    def __init__(self, group: str, env: Mapping[str, str]) -> None:
        self._group = group
        self._env = env
        self._problems: list[str] = []

    @property
    def in_production(self) -> bool:
        """Whatever is not named local is production: a forgotten name must not switch a refusal off."""
        return self._env.get("VITRINE_ENVIRONMENT") != "local"

    def text(self, name: str, default: str | None = None) -> str:
        value = self._env.get(name, "").strip()
        if value:
            return value
        if default is None:
            self.refuse(name, "is missing")
        return default or ""

    def parsed(self, name: str, parse: Callable[[str], T], expected: str, empty: T, *, optional: bool = False) -> T:
        """What `parse` reads; `empty` where it is missing, which is a problem unless `optional`, or unreadable."""
        value = self.text(name, "" if optional else None)
        if not value:
            return empty
        try:
            return parse(value)
        except (ValueError, TypeError, KeyError, AttributeError):
            self.refuse(name, f"is not {expected}")
            return empty

    def positive(self, name: str, default: int | None = None) -> int:
        if default is not None and not self.text(name, ""):
            return default
        number = self.parsed(name, int, "a whole number", 1)
        if number < 1:
            self.refuse(name, "must be at least 1")
        return number

    def choice(self, name: str, *choices: str) -> str:
        value = self.text(name)
        if value and value not in choices:
            self.refuse(name, f"must be one of {', '.join(choices)}")
        return value

    def base_url(self, name: str, *, production: tuple[str, ...] | None = None) -> str:
        """A base URL without its last slash. In production https only, and one of `production` where it is given."""
        value = self.text(name).rstrip("/")
        if not value:
            return ""
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
            self.refuse(name, "is not the base of a URL")
        elif self.in_production and parts.scheme != "https":
            self.refuse(name, "must be https in production")
        elif self.in_production and production is not None and value not in production:
            self.refuse(name, f"must be one of {', '.join(production)} in production")
        return value

    def refuse(self, name: str, why: str) -> None:
        self._problems.append(f"{name} {why}")

    def finish(self) -> None:
        if self._problems:
            raise SettingsError(self._group, self._problems)
