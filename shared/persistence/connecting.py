"""Three ways to the database behind one function (DESIGN.md section 2): a URL, the Cloud SQL connector, a private
address.

Every connection carries its limits as startup parameters, because members of a role do not inherit ALTER ROLE settings:
no statement, lock or forgotten transaction outlives its request (DESIGN.md rule 4).
"""

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

import pg8000.native
from pg8000.core import CoreConnection

from shared.kernel.first_use import first_use
from shared.kernel.logs import Log

log = Log(__name__)
# Cloud Run's metadata server: https://cloud.google.com/compute/docs/access/authenticate-workloads
_TOKEN_URL = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/token"
_CONNECT_TIMEOUT_S = 5


class Settings(Protocol):
    """What connecting needs of shared.settings.DatabaseSettings."""

    @property
    def access(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def instance(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def user(self) -> str: ...
    @property
    def ca_pem(self) -> str: ...


def session_limits(statement_timeout_ms: int) -> dict[str, str]:
    """Startup parameters of every connection; search passes 300 ms, everything else 5,000 ms."""
    return {
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "5000",
        "timezone": "UTC",
        "jit": "off",
        # Of words that it ignores in a text of a shopper PostgreSQL would tell the client, five times a search.
        "client_min_messages": "warning",
    }


# For whoever reads by indexes alone, with statements that stay prepared: a plan is made once, goes by keys, and
# is the same whatever was asked for first and whatever the statistics say (docs/architecture.md).
BY_INDEXES = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off"}


def connector(
    settings: Settings,
    *,
    application: str,
    statement_timeout_ms: int = 5000,
    planning: Mapping[str, str] = MappingProxyType({}),
) -> Callable[[], CoreConnection]:
    """A function that opens one connection; nothing is opened or imported before it is called."""
    limits = session_limits(statement_timeout_ms) | dict(planning)
    if settings.access == "url":
        return lambda: _by_url(settings.url, application, limits)
    if settings.access == "private":
        return lambda: _by_private_address(settings, application, limits)
    return _ByConnector(settings, application, limits)


def _by_url(url: str, application: str, limits: dict[str, str]) -> CoreConnection:
    """By libpq's URL. Without sslmode it is in the clear: asking costs a round trip, and a laptop has nobody
    between.
    """
    parts = urlsplit(url)
    return pg8000.native.Connection(
        unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        sock=_open_socket(parts.hostname or "127.0.0.1", parts.port or 5432, limits),
        ssl_context=_tls(dict(parse_qsl(parts.query)).get("sslmode", "disable")),
        application_name=application,
        startup_params=limits,
    )


def _tls(mode: str) -> ssl.SSLContext | bool:
    """What libpq means by sslmode: require encrypts and asks for no name, verify-full checks both. Raises
    ValueError.
    """
    if mode == "disable":
        return False
    if mode not in ("require", "verify-full"):
        raise ValueError(f"sslmode={mode} is none of disable, require, verify-full")
    context = ssl.create_default_context()
    if mode == "require":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _by_private_address(settings: Settings, application: str, limits: dict[str, str]) -> CoreConnection:
    """Over TLS, with the service account's access token as password (Cloud SQL IAM database authentication)."""
    import urllib.request  # here: whoever connects otherwise need not wait for it

    request = urllib.request.Request(_TOKEN_URL, headers={"Metadata-Flavor": "Google"})
    with urllib.request.urlopen(request, timeout=_CONNECT_TIMEOUT_S) as answer:
        token = json.load(answer)["access_token"]
    # Cloud SQL's server certificate names the instance, not its address; its authority is the instance's own.
    context = ssl.create_default_context(cadata=settings.ca_pem)
    context.check_hostname = False
    return pg8000.native.Connection(
        settings.user,
        password=token,
        database=settings.name,
        host=settings.host,
        sock=_open_socket(settings.host, 5432, limits),
        ssl_context=context,
        application_name=application,
        startup_params=limits,
    )


class _ByConnector:
    """cloud-sql-python-connector with IAM authentication: imported and made at the first connection."""

    def __init__(self, settings: Settings, application: str, limits: dict[str, str]) -> None:
        self._settings = settings
        self._application = application
        self._limits = limits
        self._connector = first_use(_make_connector)

    def __call__(self) -> CoreConnection:
        """Raises OSError where Google's services or the instance cannot be reached, or refuse us."""
        import aiohttp
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.sql.connector import exceptions

        refusals = (
            aiohttp.ClientError,
            GoogleAuthError,
            exceptions.CacheClosedError,
            exceptions.CloudSQLConnectionError,
            exceptions.CloudSQLIPTypeError,
            exceptions.RefreshNotValidError,
        )
        try:
            connection: CoreConnection = self._connector().connect(
                self._settings.instance,
                "pg8000",
                user=self._settings.user,
                db=self._settings.name,
                enable_iam_auth=True,
                application_name=self._application,
                startup_params=self._limits,
            )
        except refusals as error:
            # A role that is missing looks like an outage to who calls: the line says which of the two it is.
            log.warning("database_not_reached", error=type(error).__name__, status=getattr(error, "status", None))
            raise ConnectionError("the connector opens no connection") from error
        _limit(connection._usock, self._limits)
        return connection


def _make_connector() -> Any:
    from google.cloud.sql.connector import Connector

    return Connector(refresh_strategy="lazy", timeout=_CONNECT_TIMEOUT_S)


def _open_socket(host: str, port: int, limits: dict[str, str]) -> socket.socket:
    opened = socket.create_connection((host, port), _CONNECT_TIMEOUT_S)
    _limit(opened, limits)
    return opened


def _limit(opened: socket.socket, limits: dict[str, str]) -> None:
    """pg8000 sets no TCP_NODELAY, and a message over 8 KiB then waits 40 ms for an acknowledgement."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # Longer than a statement may take: a server that is gone must not hold a thread for ever.
    opened.settimeout(max(10, int(limits["statement_timeout"]) / 1000 + 5))
