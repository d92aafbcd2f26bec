"""Ids are made before the insert: UUIDs for things, 128 random bits for what an id alone opens, Crockford for
people.
"""

import secrets
import uuid

# Crockford's base 32: no I, L, O, U, so that an order number survives a telephone.
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> uuid.UUID:
    """A random UUID (RFC 9562 version 4)."""
    return uuid.uuid4()


def new_order_number() -> str:
    """Ten random characters of Crockford's base 32 (50 bits); a constraint makes them unique."""
    return "".join(secrets.choice(CROCKFORD) for _ in range(10))
