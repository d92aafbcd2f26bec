import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.accounts.principals import Customer, Staff
from shared.edge.tokens import make_session_token, read_session_token
from shared.kernel.errors import Unauthenticated
from shared.kernel.tokens import KeyRing, sign

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SUBJECT = UUID("5c8a8d35-5a4b-4be5-8c26-5f8ad0a1d5a1")
SESSION = UUID("0f1e6a7c-0a34-4f6e-9f7e-3c6f3f0d9b11")
OLD = KeyRing("old", {"old": b"o" * 32})
RING = KeyRing("new", {"new": b"n" * 32, "old": b"o" * 32})
PAYLOAD: dict[str, Any] = {
    "v": 1,
    "kid": "new",
    "kind": "staff",
    "subject": str(SUBJECT),
    "session": str(SESSION),
    "permissions": ["stock:write"],
    "exp": int(NOW.timestamp()) + 600,
}


def encoded(payload: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=").decode()


def signed(text: str, key: bytes = b"n" * 32) -> str:
    return f"{text}.{sign(key, text)}"


def make_token(ring: KeyRing = RING, kind: str = "staff", **lifetime: float) -> str:
    return make_session_token(
        ring,
        kind=kind,
        subject=SUBJECT,
        session=SESSION,
        expires_at=NOW + timedelta(**(lifetime or {"minutes": 10})),
        permissions=["stock:write"],
    )


def test_a_staff_token_names_staff_session_and_permissions() -> None:
    assert read_session_token(make_token(), RING, at=NOW) == Staff(SUBJECT, SESSION, frozenset({"stock:write"}))


def test_a_customer_token_names_customer_and_session() -> None:
    assert read_session_token(make_token(kind="customer"), RING, at=NOW) == Customer(SUBJECT, SESSION)


def test_a_token_written_by_hand_from_the_contract_is_read() -> None:
    assert read_session_token(signed(encoded(PAYLOAD)), RING, at=NOW) == Staff(
        SUBJECT, SESSION, frozenset({"stock:write"})
    )


def test_a_token_of_the_old_key_is_good_while_the_ring_has_it() -> None:
    token = make_token(OLD)

    assert isinstance(read_session_token(token, RING, at=NOW), Staff)
    with pytest.raises(Unauthenticated):
        read_session_token(token, KeyRing("new", {"new": b"n" * 32}), at=NOW)


def test_a_token_ends_in_its_last_second() -> None:
    token = make_token(seconds=600)

    assert isinstance(read_session_token(token, RING, at=NOW + timedelta(seconds=599)), Staff)
    with pytest.raises(Unauthenticated):
        read_session_token(token, RING, at=NOW + timedelta(seconds=600))


def test_no_single_character_of_a_token_can_be_changed() -> None:
    token = make_token()

    for position, character in enumerate(token):
        forged = token[:position] + ("A" if character != "A" else "B") + token[position + 1 :]
        with pytest.raises(Unauthenticated):
            read_session_token(forged, RING, at=NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "abc",
        "a.b",
        "é.b",
        "\udcff.b",
        encoded(PAYLOAD),
        encoded(PAYLOAD) + ".",
        signed(encoded(PAYLOAD), b"x" * 32),
        signed(encoded(PAYLOAD), b"o" * 32),  # signed by another key than the one it names
        signed(encoded({**PAYLOAD, "kid": "none"})),
        signed(encoded({**PAYLOAD, "kid": ["new"]})),
        signed(encoded({**PAYLOAD, "v": 2})),
        signed(encoded({**PAYLOAD, "kind": "shop"})),
        signed(encoded({**PAYLOAD, "exp": "tomorrow"})),
        signed(encoded({**PAYLOAD, "exp": None})),
        signed(encoded({**PAYLOAD, "subject": "me"})),
        signed(encoded({**PAYLOAD, "session": 7})),
        signed(encoded({**PAYLOAD, "permissions": None})),
        signed(encoded({name: value for name, value in PAYLOAD.items() if name != "exp"})),
        signed(encoded([PAYLOAD])),
        signed(encoded("text")),
        signed("!!!"),
        signed(base64.urlsafe_b64encode(b"[" * 3000).decode()),
        signed(encoded({**PAYLOAD, "filler": "x" * 5000})),
    ],
)
def test_whatever_is_no_token_of_ours_makes_nobody(token: str) -> None:
    with pytest.raises(Unauthenticated):
        read_session_token(token, RING, at=NOW)


def test_an_order_token_opens_that_order_only() -> None:
    token = OLD.token("order", SUBJECT)

    assert RING.opens(token, "order", SUBJECT)
    assert not RING.opens(token, "order", SESSION)
    assert not RING.opens(token, "ticket", SUBJECT)
    assert not KeyRing("new", {"new": b"n" * 32}).opens(token, "order", SUBJECT)
    for forged in ("", "old", "old.", "new." + token.partition(".")[2], token + "A", "é.ü", "\udcff.\udcff"):
        assert not RING.opens(forged, "order", SUBJECT)
