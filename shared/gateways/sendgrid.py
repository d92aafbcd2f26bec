"""SendGrid mail send v3, through its own library, imported on first use.

https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send: 202 is accepted, X-Message-Id names it. There is
no idempotency key: nothing is repeated here, the outcome is told as exactly as it is known, custom_args name our row.
"""

import errno
import json
import socket
import ssl
from http.client import HTTPException
from typing import Any
from urllib.error import URLError

from shared.kernel.errors import Declined, Unavailable
from shared.kernel.logs import Log
from shared.notices.mails import Mail, NoAnswer
from shared.settings import SendGridSettings

log = Log(__name__)
# A mail is accepted in a fraction of a second. Longer waits help nobody: after this it is not known what has happened.
TIMEOUT_S = 10.0

# Refusals that are about us or about now, not about the mail: the key is wrong or has no right to send (401, 403), too
# many at once (429), SendGrid's own failure (500, 503). None of them has accepted anything. Any other 5xx is spoken by
# a gateway on the way, for a server that it could not hear.
_LATER = frozenset({401, 403, 429, 500, 503})
# The first two will not pass by themselves, and until then no mail leaves: a person must look.
_US = frozenset({401, 403})
# Nobody was reached, so nothing was asked for.
_NOT_REACHED = frozenset({errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})


class SendGrid:
    """Implements shared.notices.mails.Mailer. Safe for threads."""

    def __init__(self, settings: SendGridSettings, *, timeout_s: float = TIMEOUT_S) -> None:
        self._settings = settings
        self._timeout_s = timeout_s
        self._made: Any = None

    def send(self, mail: Mail) -> str:
        """One request. Raises Unavailable, Declined, NoAnswer; each with a `reason` that names no person."""
        from python_http_client.exceptions import HTTPError

        body = self._body(mail)
        try:
            response = self._client().mail.send.post(request_body=body, timeout=self._timeout_s)
        except HTTPError as error:
            raise _refusal(error.status_code, error.headers, error.body) from None
        except URLError as error:
            # urllib wraps what happens until the request is sent; after that errors come as they are.
            if _not_reached(error.reason):
                raise Unavailable(reason="not reached") from error
            raise NoAnswer(reason="broken off") from error
        except (OSError, HTTPException, ValueError) as error:
            raise NoAnswer(reason="no answer") from error
        message_id: str = response.headers.get("X-Message-Id") or ""
        return message_id

    def _client(self) -> Any:
        if self._made is None:
            from sendgrid import SendGridAPIClient

            self._made = SendGridAPIClient(self._settings.api_key, host=self._settings.base_url).client
        return self._made

    def _body(self, mail: Mail) -> dict[str, Any]:
        name, address = self._settings.sender
        sender = {"email": address, "name": name} if name else {"email": address}
        ours = {"mail_id": str(mail.id), "event_id": str(mail.event_id)}
        return {
            "from": sender,
            "personalizations": [{"to": [{"email": mail.recipient}], "custom_args": ours}],
            "subject": mail.subject,
            "content": [{"type": "text/plain", "value": mail.text}, {"type": "text/html", "value": mail.html}],
            "categories": [mail.template],
            # A rewritten link would lose its fragment, or hand the order's token to a redirecting host.
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
            },
        }


def _refusal(status: int, headers: Any, body: bytes) -> Unavailable | Declined:
    reason = _reason(status, body)
    if status in _US:
        log.error("sendgrid_refused_us", status=status)
    if status in _LATER:
        return Unavailable(retry_after_s=_retry_after_s(headers), reason=reason)
    if status >= 500 or status == 408:
        return NoAnswer(reason=reason)
    return Declined(reason=reason)


def _reason(status: int, body: bytes) -> str:
    """Status and the field that SendGrid names; its message may carry an address and stays out."""
    try:
        fields = [str(error.get("field")) for error in json.loads(body)["errors"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        fields = []
    return " ".join([str(status), *fields])[:200]


def _retry_after_s(headers: Any) -> int:
    text = str((headers or {}).get("Retry-After", ""))
    return min(int(text), 3600) if text.isdecimal() else 2


def _not_reached(reason: object) -> bool:
    if isinstance(reason, socket.gaierror | ssl.SSLCertVerificationError):
        return True
    return isinstance(reason, OSError) and reason.errno in _NOT_REACHED
