"""PayPal-Request-Id: a repeat with the same id gets the latest status of the earlier request.

Keys are scoped by operation and kept 6 hours (orders v2) or 45 days (payments v2), by the shifted clock. What a call
refused without effect (a 400, ORDER_NOT_APPROVED) is not kept: the repeat is judged afresh. A declined payment is.
"""

import json

from local.paypal.books import Entries
from local.paypal.problems import Problem, detail, invalid

KEPT_S = {"orders": 6 * 3600, "payments": 45 * 24 * 3600}
LONGEST = 108


def check(request_id: str | None) -> None:
    """Raises Problem (400) for an id that is too long."""
    if request_id is not None and not 1 <= len(request_id) <= LONGEST:
        raise invalid([detail("INVALID_STRING_LENGTH", "PayPal-Request-Id", value=request_id, location="header")])


def recall(entries: Entries, operation: str, request_id: str | None) -> str | None:
    """The id of the object that the earlier request made or changed. Raises the Problem it ended with, if it did."""
    if request_id is None:
        return None
    row = entries.connection.execute(
        "select object_id, failure from request_keys where operation = ? and request_id = ? and kept_until > ?",
        (operation, request_id, entries.now),
    ).fetchone()
    if row is None:
        return None
    if row["failure"] is not None:
        raise Problem(**json.loads(row["failure"]))
    return str(row["object_id"])


def keep(
    entries: Entries, operation: str, request_id: str | None, object_id: str, *, failure: Problem | None = None
) -> None:
    if request_id is None:
        return
    kept = None
    if failure is not None:
        kept = json.dumps({"status": failure.status, "details": failure.details, "links": failure.links})
    entries.connection.execute(
        "insert or replace into request_keys (operation, request_id, object_id, failure, kept_until)"
        " values (?, ?, ?, ?, ?)",
        (
            operation,
            request_id,
            object_id,
            kept,
            entries.now + KEPT_S[operation.partition(".")[0]],
        ),
    )
