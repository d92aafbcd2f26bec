"""The simulator's state: accepted mails and the events still to be told, on disk before anything is answered."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local.clock import Clock
from local.sqlite_state import StateFile

SCHEMA = """
create table if not exists mails (
    id integer primary key autoincrement,
    message_id text not null,
    sender text not null,
    recipients text not null,
    subject text not null,
    plain text not null,
    html text not null,
    request text not null,
    at real not null
);
create table if not exists events (
    id integer primary key autoincrement,
    body text not null,
    state text not null default 'open',
    next_at real not null,
    attempts integer not null default 0,
    tried_at real,
    hurried integer not null default 0,
    spared integer not null default 0
);
create index if not exists events_due on events (next_at) where state = 'open';
create table if not exists posts (
    id integer primary key autoincrement,
    at text not null,
    events integer not null,
    status integer,
    error text
);
"""


class Mailbox:
    """Every mail that was accepted, each as often as it was sent."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.clock = clock
        self.file = StateFile(folder / "sendgrid.db", SCHEMA)

    def accept(self, request: dict[str, Any]) -> str:
        """Keep one mail for each personalization, and its events; returns the X-Message-Id of them all."""
        message_id = secrets.token_urlsafe(16)
        now = self.clock.now()
        content = {block["type"]: block["value"] for block in request.get("content") or []}
        with self.file.transaction() as connection:
            for personalization in request["personalizations"]:
                recipients = [person["email"] for person in personalization["to"]]
                copies = [person["email"] for name in ("cc", "bcc") for person in personalization.get(name) or []]
                cursor = connection.execute(
                    "insert into mails (message_id, sender, recipients, subject, plain, html, request, at)"
                    " values (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        message_id,
                        request["from"]["email"],
                        json.dumps(recipients),
                        personalization.get("subject") or request.get("subject") or "",
                        content.get("text/plain", ""),
                        content.get("text/html", ""),
                        json.dumps({**request, "personalizations": [personalization]}),
                        now,
                    ),
                )
                due = max(now, personalization.get("send_at") or request.get("send_at") or 0)
                for address in (*recipients, *copies):
                    events = _events(request, personalization, address, message_id, int(cursor.lastrowid or 0), due)
                    for number, event in enumerate(events):
                        # Told apart: SendGrid reports a delivery after the acceptance, often in another post.
                        connection.execute(
                            "insert into events (body, next_at) values (?, ?)", (json.dumps(event), due + 0.1 * number)
                        )
        return message_id

    def mails(self) -> list[dict[str, Any]]:
        """Oldest first."""
        return [_mail(dict(row)) for row in self.file.rows("select * from mails order by id")]

    def mail(self, mail_id: int) -> dict[str, Any] | None:
        rows = self.file.rows("select * from mails where id = ?", (mail_id,))
        return _mail(dict(rows[0])) if rows else None


def iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _mail(row: dict[str, Any]) -> dict[str, Any]:
    request = json.loads(row["request"])
    personalization = request["personalizations"][0]
    return {
        "id": str(row["id"]),
        "to": ", ".join(json.loads(row["recipients"])),
        "subject": row["subject"],
        "text": row["plain"],
        "html": row["html"],
        "at": iso(row["at"]),
        "from": row["sender"],
        "message_id": row["message_id"],
        "custom_args": {**(request.get("custom_args") or {}), **(personalization.get("custom_args") or {})},
        "headers": {**(request.get("headers") or {}), **(personalization.get("headers") or {})},
        "categories": request.get("categories") or [],
    }


def _events(
    request: dict[str, Any], personalization: dict[str, Any], address: str, message_id: str, mail: int, at: float
) -> list[dict[str, Any]]:
    """What SendGrid tells of one recipient: processed, then delivered; bounce@ and drop@ end as their names say."""
    args = {**(request.get("custom_args") or {}), **(personalization.get("custom_args") or {})}
    common: dict[str, Any] = {
        # custom_args lie flat among SendGrid's own fields, and lose against them.
        **args,
        "email": address,
        "timestamp": int(at),
        "smtp-id": f"<{message_id}@geopod-ismtpd-local>",
        "sg_message_id": f"{message_id}.recvd-local-{mail}-0",
    }
    if request.get("categories"):
        common["category"] = request["categories"]
    name = address.partition("@")[0]
    if name.startswith("drop"):
        return [{**common, "event": "dropped", "reason": "Bounced Address", "sg_event_id": _event_id()}]
    processed = {**common, "event": "processed", "sg_event_id": _event_id()}
    if name.startswith("bounce"):
        reason = "550 5.1.1 The email account that you tried to reach does not exist."
        ended = {"event": "bounce", "type": "bounce", "status": "5.1.1", "reason": reason}
    else:
        ended = {"event": "delivered", "response": "250 2.0.0 OK"}
    return [processed, {**common, **ended, "sg_event_id": _event_id()}]


def _event_id() -> str:
    return secrets.token_urlsafe(18)
