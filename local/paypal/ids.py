"""Ids and times in the forms PayPal gives them."""

import secrets
from datetime import UTC, datetime

_LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAYER_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"


def resource_id() -> str:
    """Of orders, captures and refunds: 17 letters and digits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(17))


def event_id() -> str:
    return f"WH-{resource_id()}-{resource_id()}"


def dispute_id() -> str:
    return f"PP-R-{''.join(secrets.choice(_LETTERS[10:]) for _ in range(3))}-{secrets.randbelow(10**8):08}"


def payer_id() -> str:
    return "".join(secrets.choice(_PAYER_LETTERS) for _ in range(13))


def iso(epoch_s: float) -> str:
    """Whole seconds, as in resources."""
    return datetime.fromtimestamp(int(epoch_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_ms(epoch_s: float) -> str:
    """Milliseconds, as in events."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(text: str) -> float:
    """Raises ValueError for what is no RFC 3339 time."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without a zone")
    return at.timestamp()
