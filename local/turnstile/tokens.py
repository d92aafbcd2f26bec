"""Tokens that were given out, and what siteverify says of them; on disk before anything is answered."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any
from uuid import UUID

from local.clock import Clock
from local.sqlite_state import StateFile

# "A token is valid for 300 seconds", "can only be validated once", "maximum length is 2048 characters".
GOOD_FOR_S = 300
LONGEST_TOKEN = 2048
ALWAYS_PASSES = "1x0000000000000000000000000000000AA"
ALWAYS_FAILS = "2x0000000000000000000000000000000AA"
ALREADY_SPENT = "3x0000000000000000000000000000000AA"

SCHEMA = """
create table if not exists tokens (
    token text primary key,
    action text not null,
    hostname text not null,
    given_at real not null,
    idempotency_key text,
    verdict text
);
create table if not exists requests (
    id integer primary key autoincrement,
    response text not null,
    idempotency_key text,
    success integer not null,
    codes text not null,
    at text not null
);
"""

Verdict = dict[str, Any]


class Tokens:
    """`secret` is the site's own; the published test secrets are known beside it."""

    def __init__(self, folder: Path, clock: Clock, secret: str) -> None:
        self._clock = clock
        self._secret = secret
        self.file = StateFile(folder / "turnstile.db", SCHEMA)

    def give(self, action: str, hostname: str) -> str:
        """What a widget would hand to a page that passed."""
        token = f"0.{secrets.token_urlsafe(240)}"
        with self.file.transaction() as connection:
            connection.execute(
                "insert into tokens (token, action, hostname, given_at) values (?, ?, ?, ?)",
                (token, action, hostname, self._clock.now()),
            )
        return token

    def verify(self, asked: dict[str, Any]) -> Verdict:
        """What siteverify answers; every question is kept."""
        response, key = str(asked.get("response") or ""), asked.get("idempotency_key")
        with self.file.transaction() as connection:
            verdict = self._verdict(connection, str(asked.get("secret") or ""), response, key)
            connection.execute(
                "insert into requests (response, idempotency_key, success, codes, at) values (?, ?, ?, ?, ?)",
                (
                    response,
                    None if key is None else str(key),
                    verdict["success"],
                    json.dumps(verdict["error-codes"]),
                    self._iso(self._clock.now()),
                ),
            )
        return verdict

    def requests(self) -> list[dict[str, Any]]:
        """Every question that was asked, oldest first, without the secret."""
        return [
            {
                "response": row["response"],
                "idempotency_key": row["idempotency_key"],
                "success": bool(row["success"]),
                "error-codes": json.loads(row["codes"]),
                "at": row["at"],
            }
            for row in self.file.rows("select * from requests order by id")
        ]

    def _verdict(self, connection: Connection, secret: str, response: str, key: object) -> Verdict:
        if not secret:
            return _refused("missing-input-secret")
        if secret not in (ALWAYS_PASSES, ALWAYS_FAILS, ALREADY_SPENT, self._secret):
            return _refused("invalid-input-secret")
        if not response:
            return _refused("missing-input-response")
        if key is not None and not _is_uuid(key):
            return _refused("bad-request")
        if secret == ALWAYS_PASSES:
            return {
                "success": True,
                "error-codes": [],
                "challenge_ts": self._iso(self._clock.now()),
                "hostname": "example.com",
                "metadata": {"result_with_testing_key": True},
            }
        if secret == ALREADY_SPENT:
            return _refused("timeout-or-duplicate")
        if secret == ALWAYS_FAILS or len(response) > LONGEST_TOKEN:
            return _refused("invalid-input-response")
        return self._spend(connection, response, None if key is None else str(key).lower())

    def _spend(self, connection: Connection, response: str, key: str | None) -> Verdict:
        row = connection.execute("select * from tokens where token = ?", (response,)).fetchone()
        if row is None:
            return _refused("invalid-input-response")
        if self._clock.now() - row["given_at"] > GOOD_FOR_S:
            return _refused("timeout-or-duplicate")
        if row["verdict"] is not None:
            known: Verdict = json.loads(row["verdict"])
            return known if key is not None and key == row["idempotency_key"] else _refused("timeout-or-duplicate")
        verdict = {
            "success": True,
            "error-codes": [],
            "challenge_ts": self._iso(row["given_at"]),
            "hostname": row["hostname"],
            "action": row["action"],
            "cdata": "",
        }
        connection.execute(
            "update tokens set idempotency_key = ?, verdict = ? where token = ?", (key, json.dumps(verdict), response)
        )
        return verdict

    @staticmethod
    def _iso(at: float) -> str:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _refused(code: str) -> Verdict:
    return {"success": False, "error-codes": [code], "messages": []}


def _is_uuid(key: object) -> bool:
    try:
        return isinstance(key, str) and bool(UUID(key))
    except ValueError:
        return False
