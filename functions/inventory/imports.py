"""Imports of whole files: a browser sends the file to a bucket, the jobs read it, staff see how far they are."""

from typing import Any

from functions.inventory.wiring import parts
from shared.catalog.imports import (
    MOST_ERRORS,
    ImportOfShell,
    ImportOver,
    UnknownImport,
    UploadChanged,
    UploadMissing,
)
from shared.edge.calls import Call, Reply
from shared.edge.import_views import (
    CSV,
    CreatedImportView,
    ImportBody,
    ImportErrorsPage,
    ImportsPage,
    ImportView,
    created_import_view,
    errors_as_csv,
    import_error_view,
    import_view,
)
from shared.edge.paging import PageQuery, cursor_after, foreign_cursor, read_cursor, read_moment_cursor
from shared.edge.routing import Routes
from shared.gateways.storage import Bucket
from shared.kernel.clock import iso
from shared.kernel.errors import Declined, Invalid
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.persistence.import_desk import ImportDesk
from shared.persistence.import_rows import list_errors
from shared.settings import UploadSettings, environment

routes = Routes()
# To begin with; a file that is under way may take longer.
UPLOAD_TTL_S = 3600
_FIND_WITHIN_S = 5.0


@first_use
def imports() -> ImportDesk:
    return ImportDesk(parts.database(), parts.clock)


@first_use
def uploads() -> Bucket:
    return Bucket.from_settings(UploadSettings.from_env(environment()).bucket, parts.google())


def _object_name(import_id: str) -> str:
    # 122 random bits, and nobody reads this bucket but by its own name.
    return f"imports/{import_id}"


def _sign_upload(call: Call[ImportBody], made: dict[str, Any]) -> None:
    """Anew for each answer: a stored one holds no secret (DESIGN.md rule 10)."""
    size_bytes = call.body.bytes
    signed = uploads().sign_upload(
        _object_name(made["id"]),
        content_type=call.body.content_type(),
        least_bytes=size_bytes,
        most_bytes=size_bytes,
        ttl_s=UPLOAD_TTL_S,
        at=call.at,
    )
    made["upload"] = {
        "method": signed.method,
        "url": signed.url,
        "headers": dict(signed.headers),
        "expires_at": iso(signed.expires_at),
    }


@routes.get("/v1/admin/imports", query=PageQuery, answers={200: ImportsPage}, permission="products:read")
def list_imports(call: Call[None]) -> Reply:
    """Every import, the newest first, those of a shell too."""
    listed = imports().list_imports(before=read_moment_cursor(call), limit=call.query.limit)
    cursor = cursor_after(call, listed, lambda each: (each.created_at, each.id))
    return Reply(200, ImportsPage(items=[import_view(each) for each in listed], next_cursor=cursor))


@routes.post(
    "/v1/admin/imports",
    body=ImportBody,
    answers={201: CreatedImportView},
    errors=[Invalid, Declined],
    permission="products:write",
    completing=_sign_upload,
)
def create_import(call: Call[ImportBody]) -> Reply:
    """An import that waits for its file, and where to send that; then it is started."""
    body, import_id = call.body, new_id()
    body.content_type()
    imports().create(
        import_id,
        body.filename,
        object_name=_object_name(str(import_id)),
        size_bytes=body.bytes,
        default_on_hand=body.default_on_hand,
        actor=call.actor,
        answering=call.answering(201, created_import_view),
    )
    return Reply(201)


@routes.get(
    "/v1/admin/imports/<import_id>", answers={200: ImportView}, errors=[UnknownImport], permission="products:read"
)
def get_import(call: Call[None]) -> Reply:
    """One import: how far it has come, and what it did."""
    return Reply(200, import_view(imports().get(call.uuid("import_id"))))


@routes.post(
    "/v1/admin/imports/<import_id>/start",
    answers={200: ImportView},
    errors=[UnknownImport, UploadMissing, UploadChanged, ImportOver, ImportOfShell, Declined],
    permission="products:write",
)
def start_import(call: Call[None]) -> Reply:
    """Read the file that was sent; one that has failed goes on behind its last batch."""
    import_id = call.uuid("import_id")
    found = imports().get(import_id)
    if found.object_name is None:
        raise ImportOfShell
    if found.state in ("finished", "cancelled"):
        raise ImportOver(state=found.state)
    file = uploads().find(found.object_name, within_s=_FIND_WITHIN_S)
    if file is None:
        raise UploadMissing
    imports().start(import_id, file, actor=call.actor, answering=call.answering(200, import_view))
    return Reply(200)


@routes.post(
    "/v1/admin/imports/<import_id>/cancel",
    answers={200: ImportView},
    errors=[UnknownImport, ImportOver],
    permission="products:write",
)
def cancel_import(call: Call[None]) -> Reply:
    """Read no further; what is in stays in."""
    answering = call.answering(200, import_view)
    imports().cancel(call.uuid("import_id"), actor=call.actor, answering=answering)
    return Reply(200)


@routes.get(
    "/v1/admin/imports/<import_id>/errors",
    query=PageQuery,
    answers={200: ImportErrorsPage},
    errors=[UnknownImport],
    permission="products:read",
)
def list_import_errors(call: Call[None]) -> Reply:
    """What was refused, line by line and why; the first 10,000 are listed, and all are counted."""
    import_id = imports().get(call.uuid("import_id")).id
    found = read_cursor(call, 1)
    if found and not (found[0].isascii() and found[0].isdigit() and len(found[0]) < 9):
        raise foreign_cursor()
    errors = list_errors(parts.database(), import_id, after=int(found[0]) if found else 0, limit=call.query.limit)
    cursor = cursor_after(call, errors, lambda each: (each[0],))
    items = [import_error_view(number, refusal) for number, refusal in errors]
    return Reply(200, ImportErrorsPage(items=items, next_cursor=cursor))


@routes.get(
    "/v1/admin/imports/<import_id>/errors/export",
    answers={200: None},
    media=[CSV],
    errors=[UnknownImport],
    permission="products:read",
)
def export_import_errors(call: Call[None]) -> Reply:
    """The same as CSV, all of them in one file."""
    import_id = imports().get(call.uuid("import_id")).id
    errors = list_errors(parts.database(), import_id, limit=MOST_ERRORS)
    headers = {"Content-Type": f"{CSV}; charset=utf-8", "Content-Disposition": 'attachment; filename="errors.csv"'}
    return Reply(200, errors_as_csv(refusal for _number, refusal in errors), headers)
