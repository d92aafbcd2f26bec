"""What staff send and see of media."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from shared.edge.paging import Cursor, Limit
from shared.edge.parsing import Body, Query, View
from shared.kernel.clock import iso
from shared.kernel.storage import SignedUpload
from shared.media.media import MOST_BYTES, ContentType, Media, Reason, State


class MediaQuery(Query, frozen=True, kw_only=True):
    state: State | None = None
    product_id: UUID | None = None
    cursor: Cursor | None = None
    limit: Limit = 24


class MediaBody(Body, frozen=True, kw_only=True):
    """A picture that is about to be sent, of exactly so many bytes; `product_id` is the product that will show it."""

    content_type: ContentType
    bytes: Annotated[int, Meta(ge=1, le=MOST_BYTES)]
    filename: Annotated[str, Meta(max_length=255)] | None = None
    product_id: UUID | None = None


class UploadView(View, frozen=True, kw_only=True):
    """A PUT of the file to make before `expires_at`, with exactly these headers. Its URL is a secret."""

    method: str
    url: str
    headers: dict[str, str]
    expires_at: str


class MediaView(View, frozen=True, kw_only=True):
    """`urls` are its pictures by width, once it is ready, and `image_url` the largest of them: what a product takes.

    `attached` says whether the product that was named shows it; one that had no room left, or is gone, does not.
    `upload` is only in the answer to its creation, and only as long as it is good.
    """

    id: str
    state: State
    content_type: str
    bytes: int
    filename: str | None
    product_id: str | None
    attached: bool
    width: int | None
    height: int | None
    image_url: str | None
    urls: dict[str, str]
    reason: Reason | None
    created_at: str
    upload: UploadView | UnsetType = UNSET


class MediaPage(View, frozen=True, kw_only=True):
    items: list[MediaView]
    next_cursor: str | None


def media_view(media: Media, *, media_url: str) -> MediaView:
    return MediaView(
        id=str(media.id),
        state=media.state,
        content_type=media.content_type,
        bytes=media.size_bytes,
        filename=media.filename,
        product_id=None if media.product_id is None else str(media.product_id),
        attached=media.attached,
        width=media.width,
        height=media.height,
        image_url=None if media.image_path is None else f"{media_url}/{media.image_path}",
        urls={
            width: f"{media_url}/{path}" for width, path in sorted(media.paths.items(), key=lambda pair: int(pair[0]))
        },
        reason=media.reason,
        created_at=iso(media.created_at),
    )


def upload_document(upload: SignedUpload) -> dict[str, object]:
    """An UploadView, as it goes into an answer that was stored without it."""
    expires_at: datetime = upload.expires_at
    return {"method": upload.method, "url": upload.url, "headers": dict(upload.headers), "expires_at": iso(expires_at)}
