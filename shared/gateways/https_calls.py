"""Calls to one origin over kept connections. Standard library only: a function's first answer waits for its imports.

A redirect is an answer like any other and never followed. Proxies of the environment are not used.
"""

import http.client
import select
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

from shared.kernel.errors import Unavailable

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
# However slowly an answer trickles in: what waits for it has to be done before its own platform's timeout.
_CALL_TIMEOUT_S = 15.0
# A load balancer forgets idle connections without a word, and an instance that was frozen does not hear it.
_IDLE_S = 20.0
_KEPT = 8


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    headers: Mapping[str, str]


class Origin:
    """One scheme, host and port. Safe for threads: a connection is used by one call at a time."""

    def __init__(
        self,
        base_url: str,
        *,
        read_timeout_s: float = READ_TIMEOUT_S,
        answer_limit: int = 4 << 20,
        call_timeout_s: float = _CALL_TIMEOUT_S,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is no http or https URL")
        self._tls = parts.scheme == "https"
        self._host = parts.hostname
        self._port = parts.port
        self._path = parts.path.rstrip("/")
        self._read_timeout_s = read_timeout_s
        self._answer_limit = answer_limit
        self._call_timeout_s = call_timeout_s
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []

    def call(
        self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None, repeatable: bool = False
    ) -> Answer:
        """The answer, whatever its status. Raises Unavailable where there is none: it may have been done all the same.

        `repeatable` says that doing it twice is doing it once, so that a kept connection which turns out to be dead is
        replaced by a new one without asking the caller.
        """
        until = time.monotonic() + self._call_timeout_s
        connection, kept = self._take()
        while True:
            try:
                return self._exchange(connection, method, path, headers, body, until)
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                if kept and repeatable and not isinstance(error, TimeoutError):
                    connection, kept = self._connection(), False
                    continue
                raise Unavailable from error
            except BaseException:
                connection.close()
                raise

    def close(self) -> None:
        """Close what is kept idle; a later call opens a new connection."""
        while self._idle:
            self._idle.pop()[0].close()

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | None,
        until: float,
    ) -> Answer:
        if connection.sock is None:
            connection.connect()  # sets TCP_NODELAY
        connection.sock.settimeout(max(0.001, min(self._read_timeout_s, until - time.monotonic())))
        connection.request(method, self._path + path, body=body, headers=dict(headers))
        response = connection.getresponse()
        content = bytearray()
        while part := response.read1(65536):
            content += part
            if len(content) > self._answer_limit:
                raise http.client.HTTPException("the answer is too long")
            if time.monotonic() > until:
                raise TimeoutError("the answer takes too long")
        if response.length == 0:
            response.close()  # read1 leaves that to its caller where the length was known; the connection stays open
        answer = Answer(response.status, bytes(content), {name.lower(): value for name, value in response.getheaders()})
        if not response.isclosed() or response.will_close or len(self._idle) >= _KEPT:
            connection.close()
        else:
            self._idle.append((connection, time.monotonic() + _IDLE_S))
        return answer

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        while self._idle:
            try:
                connection, stale_at = self._idle.pop()
            except IndexError:
                break  # another thread was faster
            if time.monotonic() < stale_at and not _has_news(connection):
                return connection, True
            connection.close()
        return self._connection(), False

    def _connection(self) -> http.client.HTTPConnection:
        timeout_s = min(CONNECT_TIMEOUT_S, self._call_timeout_s)
        if self._tls:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=_trust())
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)


def _has_news(connection: http.client.HTTPConnection) -> bool:
    """Nobody speaks unasked on an idle HTTP/1.1 connection but to end it."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()
