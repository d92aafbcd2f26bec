"""SendGrid's signed event webhook: whose it is, and what it tells of our mails.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features:
ECDSA P-256 with SHA-256 over the timestamp header and the raw body, every byte of it (it ends in CRLF).
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from shared.notices.mails import MailEvent
from shared.payments.webhooks import SignatureRefused

SIGNATURE_HEADER = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP_HEADER = "X-Twilio-Email-Event-Webhook-Timestamp"
_LONGEST = 512


class SignedEvents:
    """Reads what the holder of the private key sends; `public_key` is base64 of its DER form, as SendGrid shows it.

    An old delivery that is played again is believed: it can tell nothing that is not stored already.
    """

    def __init__(self, public_key: str) -> None:
        self._public_key = public_key
        self._loaded: Any = None

    def read(self, headers: Mapping[str, str], body: bytes) -> list[MailEvent]:
        """Events that name a mail of ours, in their order. Raises SignatureRefused.

        What is signed and no event, or of somebody else's mail, is passed over: asking again would not change it.
        """
        given = {name.lower(): value for name, value in headers.items()}
        self.verify(body, given.get(SIGNATURE_HEADER.lower(), ""), given.get(TIMESTAMP_HEADER.lower(), ""))
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return []
        return list(_events(found if isinstance(found, list) else [found]))

    def verify(self, body: bytes, signature: str, timestamp: str) -> None:
        """Raises SignatureRefused with a reason."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec

        if not signature or not timestamp:
            raise SignatureRefused("unsigned")
        try:
            der = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            raise SignatureRefused("unreadable") from None
        try:
            self._key().verify(der, timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise SignatureRefused("signature") from None

    def _key(self) -> Any:
        if self._loaded is None:
            from cryptography.hazmat.primitives.serialization import load_der_public_key

            self._loaded = load_der_public_key(base64.b64decode(self._public_key))
        return self._loaded


def _events(items: list[Any]) -> Iterator[MailEvent]:
    for item in items:
        try:
            yield MailEvent(
                id=_word(item["sg_event_id"]),
                mail_id=UUID(item["mail_id"]),
                event=_word(item["event"]),
                message_id=_word(item["sg_message_id"]),
                at=datetime.fromtimestamp(int(item["timestamp"]), UTC),
                reason=str(item["reason"])[:_LONGEST].replace("\x00", "").encode("utf-8", "replace").decode()
                if item.get("reason")
                else None,
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError):
            continue  # not of a mail of ours, or not an event


def _word(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= _LONGEST:
        raise ValueError(value)
    return value
