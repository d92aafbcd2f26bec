"""Calls to Google's APIs: one deadline over all attempts, and only errors that the shop knows.

Google's libraries are imported by whoever makes a client, on first use: they cost a cold start more than all the rest.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from shared.kernel.errors import Declined, Unavailable
from shared.kernel.logs import Log

_FIRST_PAUSE_S = 0.05
_LONGEST_PAUSE_S = 0.4
# A local server that was killed is back within a second; gRPC by itself would look for it ever more rarely.
LOCAL_CHANNEL = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 500))

log = Log(__name__)

Answer = TypeVar("Answer")


@contextmanager
def google_errors(service: str) -> Iterator[None]:
    """No connection, a time-out, 5xx, 429 and what asks to be repeated are Unavailable; other refusals are Declined.

    A refusal here is a mistake of ours (no such topic, no permission) and not the caller's: somebody must look.
    """
    from google.api_core import exceptions as api
    from google.auth import exceptions as auth

    try:
        yield
    except (api.ServerError, api.TooManyRequests, api.Aborted, api.Cancelled) as error:
        raise Unavailable from error
    except auth.GoogleAuthError as error:
        if error.retryable or isinstance(error, auth.TransportError):
            raise Unavailable from error
        log.error("google_refused", service=service, reason=type(error).__name__)
        raise Declined(reason=type(error).__name__) from error
    except api.GoogleAPICallError as error:
        reason = error.grpc_status_code.name if error.grpc_status_code is not None else type(error).__name__
        log.error("google_refused", service=service, reason=reason)
        raise Declined(reason=reason) from error


@contextmanager
def transport_errors() -> Iterator[None]:
    """What the HTTP clients among Google's libraries let through of a broken connection, as Unavailable."""
    import requests

    try:
        yield
    except requests.RequestException as error:
        raise Unavailable from error


def call(rpc: Callable[..., Answer], request: Any, *, service: str, within_s: float) -> Answer:
    """One answer, asked for again while there is time. Raises Unavailable within that time, Declined.

    The client's own retries are off: with less than a second left they start each attempt with the whole time again
    (google.api_core.timeout.TimeToDeadlineTimeout), and what was to take a second takes two.
    """
    until = time.monotonic() + within_s
    pause_s = _FIRST_PAUSE_S
    while True:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise Unavailable
        try:
            with google_errors(service):
                return rpc(request=request, retry=None, timeout=left_s)
        except Unavailable:
            if until - time.monotonic() <= pause_s:
                raise
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
