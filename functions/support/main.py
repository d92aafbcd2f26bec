"""Support: the desk, where staff see orders, move money back and look after what has not gone by itself (`desk`)."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.desk_views import AuditPage, AuditQuery, audit_entry_view
from shared.edge.paging import make_cursor, read_moment_cursor
from shared.persistence.audit import AuditLog
from shared.wiring.parts import Parts

parts = Parts()
api = Api("desk", services=parts.services(signed_in=True))


def desk(request: Request) -> Response:
    """The entry point of the deployment `desk`."""
    return api.serve(request)


# What staff did ------------------------------------------------------------------------------------------


@api.get("/v1/admin/audit-log", query=AuditQuery, answers={200: AuditPage}, permission="audit:read")
def list_audit_log(call: Call[None]) -> Reply:
    """Who did what, the newest first; all of it, or what was done to one thing."""
    before = read_moment_cursor(call.query.cursor)
    entries = AuditLog(parts.database()).list_entries(call.query.subject, limit=call.query.limit, before=before)
    last = entries[-1] if len(entries) == call.query.limit else None
    cursor = make_cursor(last.at.isoformat(), last.id) if last else None
    return Reply(200, AuditPage(items=[audit_entry_view(entry) for entry in entries], next_cursor=cursor))
