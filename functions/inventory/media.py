"""Pictures of products: sent by staff straight to storage, looked at and published by the function `media-jobs`."""

from typing import Any
from uuid import UUID

from functions.inventory.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.media_views import (
    MediaBody,
    MediaPage,
    MediaQuery,
    MediaView,
    media_view,
    upload_document,
)
from shared.edge.paging import cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.gateways.storage import Bucket
from shared.kernel.errors import Invalid
from shared.kernel.first_use import first_use
from shared.kernel.ids import new_id
from shared.kernel.storage import unguessable_name
from shared.media import processing
from shared.media.media import SIGNED_FOR, Media, NotUploaded, UnknownMedia, UploadExpired
from shared.persistence.media import MediaRows
from shared.settings import UploadSettings, environment

routes = Routes()


@first_use
def uploads() -> Bucket:
    return Bucket.from_settings(UploadSettings.from_env(environment()).bucket, parts.google())


@first_use
def rows() -> MediaRows:
    return MediaRows(parts.database(), parts.clock)


def view(media: Media) -> MediaView:
    return media_view(media, media_url=parts.platform().media_url)


def _sign(call: Call[Any], document: dict[str, Any]) -> None:
    """The address to send to, signed anew for every answer and kept nowhere."""
    media = rows().get(UUID(document["id"]))
    left_s = int((media.upload_until - call.at).total_seconds())
    if media.state != "waiting" or left_s <= 0:
        return
    upload = uploads().sign_upload(
        media.object_name,
        content_type=media.content_type,
        least_bytes=media.size_bytes,
        most_bytes=media.size_bytes,
        at=call.at,
        ttl_s=left_s,
    )
    document["upload"] = upload_document(upload)


@routes.post(
    "/v1/admin/media",
    body=MediaBody,
    answers={201: MediaView},
    errors=[UnknownMedia, Invalid],
    permission="products:write",
    completing=_sign,
)
def create_media(call: Call[MediaBody]) -> Reply:
    """Announce a picture; the answer says where to send it, with a PUT that is good once and for minutes."""
    body = call.body
    media = Media(
        id=new_id(),
        state="waiting",
        object_name=unguessable_name("media"),
        content_type=body.content_type,
        size_bytes=body.bytes,
        filename=body.filename,
        product_id=body.product_id,
        attached=False,
        generation=None,
        width=None,
        height=None,
        paths={},
        reason=None,
        attempts=0,
        created_by=call.actor,
        created_at=call.at,
        upload_until=call.at + SIGNED_FOR,
    )
    rows().create(media, answering=call.answering(201, view))
    return Reply(201)


@routes.post(
    "/v1/admin/media/<uuid:media_id>/finish",
    answers={202: MediaView},
    errors=[UnknownMedia, NotUploaded, UploadExpired],
    permission="products:write",
)
def finish_media(call: Call[None]) -> Reply:
    """Say that the file was sent: it is checked, resized and published from now on."""
    processing.finish(call.uuid("media_id"), store=rows(), uploads=uploads(), answering=call.answering(202, view))
    return Reply(202)


@routes.get(
    "/v1/admin/media/<uuid:media_id>",
    answers={200: MediaView},
    errors=[UnknownMedia],
    permission="products:read",
)
def get_media(call: Call[None]) -> Reply:
    """What has become of a picture."""
    return Reply(200, view(rows().get(call.uuid("media_id"))))


@routes.get("/v1/admin/media", query=MediaQuery, answers={200: MediaPage}, permission="products:read")
def list_media(call: Call[None]) -> Reply:
    """Every picture that was announced, the newest first."""
    asked = call.query
    found = rows().list_media(
        state=asked.state, product_id=asked.product_id, before=read_moment_cursor(call), limit=asked.limit
    )
    cursor = cursor_after(call, found, lambda media: (media.created_at, media.id))
    return Reply(200, MediaPage(items=[view(media) for media in found], next_cursor=cursor))
