"""The parts of a deployment that changes something: what its steps commit leaves through the outbox."""

from collections.abc import Callable, Mapping
from typing import Any

from shared.edge.services import Services
from shared.gateways.pubsub import PubSubPublisher
from shared.gateways.tasks import TaskQueue
from shared.kernel.clock import SystemClock
from shared.kernel.errors import ShopError
from shared.kernel.first_use import first_use
from shared.outbox.dispatching import Dispatcher
from shared.outbox.publishing import Publisher
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.idempotency import IdempotencyKeys
from shared.persistence.outbox import Outbox
from shared.persistence.sessions import Sessions
from shared.settings import DatabaseSettings, GoogleSettings, PlatformSettings, TokenKeys, environment


class Parts:
    """Nothing is read, opened or made before its first use (DESIGN.md rule 14).

    `guards` are the errors that this deployment's SQL functions raise, by name.
    """

    def __init__(
        self,
        *,
        guards: Mapping[str, Callable[[Mapping[str, Any]], ShopError]] | None = None,
        statement_timeout_ms: int = 5000,
    ) -> None:
        self._guards = guards or {}
        self._statement_timeout_ms = statement_timeout_ms
        self.clock = SystemClock()
        self.platform = first_use(lambda: PlatformSettings.from_env(environment()))
        self.token_keys = first_use(lambda: TokenKeys.from_env(environment()))
        self.google = first_use(lambda: GoogleSettings.from_env(environment()))
        self.publisher = first_use(self._make_publisher)
        self.dispatcher = first_use(self._make_dispatcher)
        self.database = first_use(self._make_database)

    def services(self, *, signed_in: bool = False) -> Services:
        """`signed_in`: callers may be customers or staff, so tokens are read. Else no TOKEN_KEYS are needed."""
        return Services(
            platform=self.platform,
            ping=lambda: self.database().call("select 1 as alive"),
            clock=self.clock,
            tokens=self.token_keys if signed_in else None,
            keys=lambda: IdempotencyKeys(self.database()),
            sessions=lambda: Sessions(self.database()),
            flush=lambda: self.dispatcher().flush(),
        )

    def _make_publisher(self) -> Publisher:
        return Publisher(
            lambda: PubSubPublisher.from_settings(self.google()), lambda: TaskQueue.from_settings(self.google())
        )

    def _make_dispatcher(self) -> Dispatcher:
        return Dispatcher(self.publisher(), lambda: Outbox(self.database()), self.clock)

    def _make_database(self) -> Database:
        settings = DatabaseSettings.from_env(environment())
        return Database(
            connector(
                settings,
                application=self.platform().deployment,
                statement_timeout_ms=self._statement_timeout_ms,
            ),
            size=settings.pool_size,
            clock=self.clock,
            committed=self.dispatcher().collect,
            guards=self._guards,
        )
