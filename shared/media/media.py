"""Pictures that staff send: what may be sent, what becomes of it, and what is made of it.

waiting      the browser has a signed URL and sends, or not
processing   the file is there; a job looks at it
ready        its pictures are public, and the product that was named for it shows it
refused      it is no picture that the shop can show; `reason` says why
expired      nobody said in time that it was sent
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, get_args
from uuid import UUID

from shared.kernel.errors import Conflict, NotFound
from shared.kernel.messages import Task

ContentType = Literal["image/jpeg", "image/png", "image/webp", "image/gif"]
State = Literal["waiting", "processing", "ready", "refused", "expired"]
Reason = Literal["not_a_picture", "too_large", "too_many_pixels", "damaged", "gone"]

CONTENT_TYPES: tuple[str, ...] = get_args(ContentType)
MOST_BYTES = 20 * 1024 * 1024
# What is to be decoded is 160 MB large then, and twice that while its colours are converted.
MOST_PIXELS = 40_000_000
LONGEST_SIDE = 12_000
WIDTHS = (320, 640, 1280)
SIGNED_FOR = timedelta(minutes=15)
# How much later than the last byte somebody may say that it was the last.
FINISHED_WITHIN = timedelta(hours=1)
KEPT_FOR = timedelta(days=30)

# Longer than the function may take: who holds it then is frozen or dead.
LEASE = timedelta(seconds=75)
AGAIN_AFTER = timedelta(seconds=10)
# One that ends the process each time, for its memory say, would be taken up for ever.
MOST_ATTEMPTS = 5


class UnknownMedia(NotFound):
    sentence = "There is no such file."


class NotUploaded(Conflict):
    sentence = "The file has not arrived yet. Send it to the address that was given for it first."


class UploadExpired(Conflict):
    sentence = "The file was not finished in time. Please send it again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """`object_name` is where the browser sends to; `paths` are those of its pictures in the public bucket, by width.

    `generation` is the content that was there when it was finished. `attempts` names the holder of the lease.
    """

    id: UUID
    state: State
    object_name: str
    content_type: str
    size_bytes: int
    filename: str | None
    product_id: UUID | None
    attached: bool
    generation: int | None
    width: int | None
    height: int | None
    paths: Mapping[str, str]
    reason: Reason | None
    attempts: int
    created_by: str
    created_at: datetime
    upload_until: datetime

    @property
    def image_path(self) -> str | None:
        """Its largest picture, as a product keeps it."""
        return self.paths[max(self.paths, key=int)] if self.paths else None


class RefusedPicture(Exception):
    """It cannot be shown, now or later."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rendition:
    width: int
    height: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Rendered:
    """`width` and `height` are the file's own, upright; `renditions` are never wider, each of another width."""

    width: int
    height: int
    content_type: str
    suffix: str
    renditions: Sequence[Rendition]


def process_media(media_id: UUID) -> Task:
    return Task("media", "/jobs/media/process", {"media_id": str(media_id)})


def with_picture(shown: Sequence[str], path: str, *, later: Sequence[str]) -> tuple[str, ...]:
    """The pictures of a product with one more: in front of those that were sent after it, else at the end."""
    if path in shown:
        return tuple(shown)
    behind = set(later)
    place = next((n for n, each in enumerate(shown) if each in behind), len(shown))
    return (*shown[:place], path, *shown[place:])
