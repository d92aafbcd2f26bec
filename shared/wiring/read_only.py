"""The parts of a deployment that only reads: it sends nothing, so its archive holds no client of Google's."""

from collections.abc import Mapping
from types import MappingProxyType

from shared.edge.services import Services
from shared.kernel.clock import SystemClock
from shared.kernel.first_use import first_use
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.settings import DatabaseSettings, PlatformSettings, environment


class ReadOnlyParts:
    """Nothing is read, opened or made before its first use (DESIGN.md rule 14)."""

    def __init__(self, *, statement_timeout_ms: int, planning: Mapping[str, str] = MappingProxyType({})) -> None:
        self._statement_timeout_ms = statement_timeout_ms
        self._planning = planning
        self.clock = SystemClock()
        self.platform = first_use(lambda: PlatformSettings.from_env(environment()))
        self.database = first_use(self._make_database)

    def services(self) -> Services:
        return Services(
            platform=self.platform, ping=lambda: self.database().call("select 1 as alive"), clock=self.clock
        )

    def _make_database(self) -> Database:
        settings = DatabaseSettings.from_env(environment())
        connect = connector(
            settings,
            application=self.platform().deployment,
            statement_timeout_ms=self._statement_timeout_ms,
            planning=self._planning,
        )
        return Database(connect, size=settings.pool_size, clock=self.clock)
