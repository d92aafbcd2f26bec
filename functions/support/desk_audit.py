"""What staff did."""

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.desk_views import AuditPage, AuditQuery, audit_entry_view
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.persistence.audit import AuditLog

routes = Routes()


@routes.get("/v1/admin/audit-log", query=AuditQuery, answers={200: AuditPage}, permission="audit:read")
def list_audit_log(call: Call[None]) -> Reply:
    """Who did what, the newest first; all of it, or what was done to one thing."""
    before = read_moment_cursor(call)
    entries = AuditLog(parts.database()).list_entries(call.query.subject, limit=call.query.limit, before=before)
    cursor = cursor_after(call, entries, lambda entry: (entry.at, entry.id))
    return Reply(200, AuditPage(items=[audit_entry_view(entry) for entry in entries], next_cursor=cursor))
