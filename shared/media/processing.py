"""From a file that was sent to pictures that everybody sees: claim, read, check, write, show, and delete what was sent.

Every step may be repeated: the lease keeps two apart, the attempt's number keeps what a frozen one wrote from counting,
and the names of pictures come from what is in them. No call to storage is made inside a transaction.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.idempotency import Answering
from shared.kernel.logs import Log
from shared.kernel.storage import ObjectGone, StoredObject
from shared.media.media import (
    FINISHED_WITHIN,
    KEPT_FOR,
    MOST_ATTEMPTS,
    MOST_BYTES,
    Media,
    NotUploaded,
    Reason,
    RefusedPicture,
    Rendered,
)

CACHE_CONTROL = "public, max-age=31536000, immutable"
# What one file may take from here: storage that answers late, and a large picture.
LONGEST = timedelta(seconds=30)
_WITHIN_S = 10.0
_BATCH = 50

log = Log(__name__)


class Uploads(Protocol):
    """The private bucket. Each raises Unavailable, Declined."""

    def find(self, name: str, *, within_s: float) -> StoredObject | None: ...

    def read(self, name: str, *, generation: int, most_bytes: int | None = None, within_s: float) -> bytes:
        """Raises ObjectGone."""
        ...

    def delete(self, name: str, *, within_s: float) -> None: ...


class Published(Protocol):
    """The public bucket."""

    def write(self, name: str, content: bytes, *, content_type: str, cache_control: str, within_s: float) -> bool: ...


class Renderer(Protocol):
    def render(self, content: bytes) -> Rendered:
        """Raises RefusedPicture."""
        ...


class Finishing(Protocol):
    def get(self, media_id: UUID) -> Media:
        """Raises UnknownMedia."""
        ...

    def begin(self, media_id: UUID, found: StoredObject | None, *, answering: Answering[Media] | None) -> Media:
        """Processing of what was found, with its wake-up; what is no longer waiting stays as it is.

        Raises UnknownMedia, UploadExpired.
        """
        ...


class Store(Protocol):
    def claim(self, media_id: UUID) -> Media | None:
        """The row for as long as LEASE, if it is to be processed and nobody else is at it."""
        ...

    def complete(self, media: Media, rendered: Rendered, paths: dict[str, str]) -> bool:
        """Ready, and shown by its product, in one transaction; False where the lease was lost."""
        ...

    def refuse(self, media: Media, reason: Reason) -> bool: ...

    def release(self, media: Media) -> None:
        """For another attempt; this one does not count."""
        ...

    def expire(self, before: datetime) -> int: ...

    def list_due(self, limit: int) -> Sequence[UUID]: ...

    def list_unemptied(self, limit: int) -> Sequence[tuple[UUID, str]]:
        """Rows that are done, and whose upload may still be there."""
        ...

    def mark_emptied(self, media_id: UUID) -> None: ...

    def purge(self, before: datetime) -> int: ...


def finish(media_id: UUID, *, store: Finishing, uploads: Uploads, answering: Answering[Media] | None) -> Media:
    """Take a file that was sent. Saying so twice is as good. Raises UnknownMedia, NotUploaded, UploadExpired."""
    media, found = store.get(media_id), None
    if media.state == "waiting":
        found = uploads.find(media.object_name, within_s=_WITHIN_S)
        if found is None:
            raise NotUploaded
    return store.begin(media_id, found, answering=answering)


def process(media_id: UUID, *, store: Store, uploads: Uploads, published: Published, renderer: Renderer) -> None:
    """What becomes of a file. Does nothing where somebody else is at it or it is done. Raises Unavailable, Declined."""
    media = store.claim(media_id)
    if media is None:
        return
    try:
        try:
            rendered = _render(media, uploads, renderer)
        except RefusedPicture as refused:
            ended = store.refuse(media, refused.reason)
            log.info("media_refused", media_id=media.id, reason=refused.reason)
        else:
            ended = store.complete(media, rendered, _publish(rendered, published))
            log.info("media_ready", media_id=media.id, width=rendered.width, height=rendered.height)
    except (Unavailable, Declined):
        store.release(media)
        raise
    if ended:  # else another one has it, and reads
        _empty(media.id, media.object_name, store, uploads)


def sweep(
    *, store: Store, uploads: Uploads, published: Published, renderer: Renderer, clock: Clock, give_up_at: datetime
) -> None:
    """What requests and tasks have left: never sent, never processed, never deleted."""
    now = clock.now()
    expired = store.expire(now - FINISHED_WITHIN)
    purged = store.purge(now - KEPT_FOR)
    if expired or purged:
        log.info("media_swept", expired=expired, purged=purged)
    for media_id in store.list_due(_BATCH):
        if clock.now() >= give_up_at:
            return
        try:
            process(media_id, store=store, uploads=uploads, published=published, renderer=renderer)
        except (Unavailable, Declined):
            log.warning("media_left_open", media_id=media_id)
    for media_id, object_name in store.list_unemptied(_BATCH):
        if clock.now() >= give_up_at:
            return
        _empty(media_id, object_name, store, uploads)


def _render(media: Media, uploads: Uploads, renderer: Renderer) -> Rendered:
    if media.attempts > MOST_ATTEMPTS:
        raise RefusedPicture("damaged")
    if media.generation is None:
        raise RefusedPicture("gone")
    try:
        content = uploads.read(
            media.object_name, generation=media.generation, most_bytes=MOST_BYTES + 1, within_s=_WITHIN_S
        )
    except ObjectGone as gone:
        raise RefusedPicture("gone") from gone
    if len(content) > MOST_BYTES:
        raise RefusedPicture("too_large")
    return renderer.render(content)


def _publish(rendered: Rendered, published: Published) -> dict[str, str]:
    """All widths under one name, which is the digest of all of them: whoever has one address has the others."""
    digest = hashlib.sha256(b"".join(hashlib.sha256(each.content).digest() for each in rendered.renditions)).hexdigest()
    paths: dict[str, str] = {}
    for each in rendered.renditions:
        path = f"pictures/{digest[:40]}/{each.width}.{rendered.suffix}"
        published.write(
            path,
            each.content,
            content_type=rendered.content_type,
            cache_control=CACHE_CONTROL,
            within_s=_WITHIN_S,
        )
        paths[str(each.width)] = path
    return paths


def _empty(media_id: UUID, object_name: str, store: Store, uploads: Uploads) -> None:
    try:
        uploads.delete(object_name, within_s=_WITHIN_S)
    except (Unavailable, Declined):
        log.warning("upload_not_deleted", media_id=media_id)  # the next sweep does
        return
    store.mark_emptied(media_id)
