"""Rows of media: announced, claimed by a job, ready with what their product shows, or refused.

A product is changed under the turn of the imports (catalog_turn), its own row, then the row of media: the order in
which staff and imports take what they share with it.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from shared.audit.entries import Entry
from shared.catalog.products import products_changed
from shared.catalog.rows import MAX_IMAGES
from shared.kernel.clock import Clock
from shared.kernel.errors import Field, Invalid
from shared.kernel.idempotency import Answering
from shared.kernel.storage import StoredObject
from shared.media.media import (
    AGAIN_AFTER,
    LEASE,
    Media,
    Reason,
    Rendered,
    State,
    UnknownMedia,
    UploadExpired,
    process_media,
    with_picture,
)
from shared.persistence import audit
from shared.persistence.catalog_turn import take_turn
from shared.persistence.database import Database, Row, Transaction, as_json

_COLUMNS = """id, state, object_name, content_type, size_bytes, filename, product_id, attached, generation, width,
    height, paths::text as paths, reason, attempts, created_by, created_at, upload_until"""
_LAST_ID = UUID(int=2**128 - 1)

_GET = f"select {_COLUMNS} from media where id = :id::uuid"

_INSERT = """
insert into media (id, state, object_name, content_type, size_bytes, filename, product_id, created_by, created_at,
    updated_at, upload_until)
values (:id::uuid, 'waiting', :object_name::text, :content_type::text, :size_bytes::bigint, :filename::text,
    :product_id::uuid, :created_by::text, :at::timestamptz, :at::timestamptz, :upload_until::timestamptz)
"""

_BEGIN = f"""
update media set state = 'processing', generation = :generation::bigint, next_attempt_at = :now::timestamptz,
    updated_at = :now::timestamptz
where id = :id::uuid and state = 'waiting' returning {_COLUMNS}
"""

_CLAIM = f"""
update media set attempts = attempts + 1, next_attempt_at = :until::timestamptz, updated_at = :now::timestamptz
where id = :id::uuid and state = 'processing' and next_attempt_at <= :now::timestamptz returning {_COLUMNS}
"""

_READY = """
update media set state = 'ready', width = :width::int, height = :height::int, paths = :paths::jsonb,
    attached = :attached::boolean, next_attempt_at = null, updated_at = :now::timestamptz
where id = :id::uuid and state = 'processing' and attempts = :attempts::int returning id
"""

_REFUSE = """
update media set state = 'refused', reason = :reason::text, next_attempt_at = null, updated_at = :now::timestamptz
where id = :id::uuid and state = 'processing' and attempts = :attempts::int returning id
"""

_RELEASE = """
update media set attempts = attempts - 1, next_attempt_at = :again_at::timestamptz
where id = :id::uuid and state = 'processing' and attempts = :attempts::int
"""

_LOCK_PRODUCT = """
select id, to_json(image_urls) as image_urls from products where id = :id::uuid for update
"""

_SHOWN_LATER = """
select paths::text as paths from media where product_id = :product_id::uuid and attached
    and (created_at, id) > (:created_at::timestamptz, :id::uuid)
"""

# Each change has a moment of its own: search tells by it that there was one.
_SHOW = """
update products set image_urls = array(select json_array_elements_text(:urls::json)), version = version + 1,
    updated_at = greatest(:now::timestamptz, updated_at + interval '1 microsecond')
where id = :id::uuid
"""


class MediaRows:
    """Raises Unavailable as every step does."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def get(self, media_id: UUID) -> Media:
        """Raises UnknownMedia."""
        found = self._database.find(_GET, id=media_id)
        if found is None:
            raise UnknownMedia
        return _media(found)

    def list_media(
        self,
        *,
        state: State | None,
        product_id: UUID | None,
        before: tuple[datetime, UUID] | None,
        limit: int,
    ) -> Sequence[Media]:
        """The newest first; what is not asked for is not in the statement."""
        given = {"state": state, "product_id": product_id}
        narrowed = {"state": "and state = :state::text", "product_id": "and product_id = :product_id::uuid"}
        before_at, before_id = before or (None, _LAST_ID)
        rows = self._database.call(
            f"""
            select {_COLUMNS} from media
            where (created_at, id) < (coalesce(:before_at::timestamptz, 'infinity'), :before_id::uuid)
                {" ".join(narrowed[name] for name, value in given.items() if value is not None)}
            order by created_at desc, id desc limit :limit::int
            """,
            **{name: value for name, value in given.items() if value is not None},
            before_at=before_at,
            before_id=before_id,
            limit=limit,
        )
        return [_media(row) for row in rows]

    def create(self, media: Media, *, answering: Answering[Media] | None = None) -> Media:
        """Raises Invalid where its product is none."""

        def in_one_step(tx: Transaction) -> Media:
            if media.product_id is not None and not tx.rows(
                "select id from products where id = :id::uuid", id=media.product_id
            ):
                raise Invalid([Field("/product_id", "is no product of this shop")])
            tx.rows(
                _INSERT,
                id=media.id,
                object_name=media.object_name,
                content_type=media.content_type,
                size_bytes=media.size_bytes,
                filename=media.filename,
                product_id=media.product_id,
                created_by=media.created_by,
                at=media.created_at,
                upload_until=media.upload_until,
            )
            detail = {"content_type": media.content_type, "bytes": media.size_bytes, "product_id": media.product_id}
            told = {name: str(value) if name == "product_id" else value for name, value in detail.items() if value}
            audit.append(tx, Entry(media.created_at, media.created_by, "media.created", f"media:{media.id}", told))
            return tx.answer(answering, media)

        return self._database.step(in_one_step)

    def begin(self, media_id: UUID, found: StoredObject | None, *, answering: Answering[Media] | None) -> Media:
        """Processing of what was found, with its wake-up; what is no longer waiting stays as it is.

        Raises UnknownMedia, UploadExpired.
        """

        def in_one_step(tx: Transaction) -> Media:
            begun = None
            if found is not None:
                begun = tx.find(_BEGIN, id=media_id, generation=found.generation, now=self._clock.now())
            row = begun or tx.find(_GET, id=media_id)
            if row is None:
                raise UnknownMedia
            media = _media(row)
            if media.state == "expired":
                raise UploadExpired
            if begun is not None:
                tx.emit(process_media(media_id))
            return tx.answer(answering, media)

        return self._database.step(in_one_step)

    def claim(self, media_id: UUID) -> Media | None:
        """The row for as long as LEASE, if it is to be processed and nobody else is at it."""
        now = self._clock.now()
        found = self._database.step(lambda tx: tx.find(_CLAIM, id=media_id, now=now, until=now + LEASE))
        return None if found is None else _media(found)

    def complete(self, media: Media, rendered: Rendered, paths: Mapping[str, str]) -> bool:
        """Ready, and shown by its product, in one transaction; False where the lease was lost."""

        def in_one_step(tx: Transaction) -> bool:
            now, product = self._clock.now(), None
            if media.product_id is not None:
                take_turn(tx)
                product = tx.find(_LOCK_PRODUCT, id=media.product_id)
            before = () if product is None else tuple(product["image_urls"])
            path = paths[max(paths, key=int)]
            has_room = product is not None and (path in before or len(before) < MAX_IMAGES)
            ready = tx.rows(
                _READY,
                id=media.id,
                attempts=media.attempts,
                width=rendered.width,
                height=rendered.height,
                paths=as_json(paths),
                attached=has_room,
                now=now,
            )
            if not ready:
                return False
            if has_room:
                self._show(tx, media, path, before, now)
            return True

        return self._database.step(in_one_step)

    def _show(self, tx: Transaction, media: Media, path: str, before: Sequence[str], now: datetime) -> None:
        later = tx.rows(_SHOWN_LATER, product_id=media.product_id, id=media.id, created_at=media.created_at)
        after = with_picture(before, path, later=[each for row in later for each in _paths(row).values()])
        if after == tuple(before):
            return
        tx.rows(_SHOW, id=media.product_id, urls=as_json(after), now=now)
        detail = {"image_urls": {"was": list(before), "now": list(after)}, "media_id": str(media.id)}
        audit.append(tx, Entry(now, media.created_by, "product.changed", f"product:{media.product_id}", detail))
        assert media.product_id is not None  # whoever shows it has found it
        tx.emit(products_changed([media.product_id]))

    def refuse(self, media: Media, reason: Reason) -> bool:
        """False where the lease was lost."""
        now = self._clock.now()
        return bool(
            self._database.step(
                lambda tx: tx.rows(_REFUSE, id=media.id, attempts=media.attempts, reason=reason, now=now)
            )
        )

    def release(self, media: Media) -> None:
        """For another attempt; this one does not count."""
        again_at = self._clock.now() + AGAIN_AFTER
        self._database.step(lambda tx: tx.rows(_RELEASE, id=media.id, attempts=media.attempts, again_at=again_at))

    def expire(self, before: datetime) -> int:
        """What was to be sent until then and nobody has finished; how many."""
        return len(
            self._database.call(
                """
                update media set state = 'expired', updated_at = :now::timestamptz
                where state = 'waiting' and upload_until < :before::timestamptz returning id
                """,
                before=before,
                now=self._clock.now(),
            )
        )

    def list_due(self, limit: int) -> Sequence[UUID]:
        rows = self._database.call(
            """
            select id from media where state = 'processing' and next_attempt_at <= :now::timestamptz
            order by next_attempt_at limit :limit::int
            """,
            now=self._clock.now(),
            limit=limit,
        )
        return [row["id"] for row in rows]

    def list_unemptied(self, limit: int) -> Sequence[tuple[UUID, str]]:
        """Rows that are done, and whose upload may still be there: nobody can send any more, so it stays gone."""
        rows = self._database.call(
            """
            select id, object_name from media
            where emptied_at is null and state in ('ready', 'refused', 'expired')
                and upload_until <= :now::timestamptz
            order by upload_until limit :limit::int
            """,
            now=self._clock.now(),
            limit=limit,
        )
        return [(row["id"], row["object_name"]) for row in rows]

    def mark_emptied(self, media_id: UUID) -> None:
        """Not while its URL is good: somebody may send again to where nothing is any more."""
        self._database.call(
            """
            update media set emptied_at = :now::timestamptz
            where id = :id::uuid and upload_until <= :now::timestamptz
            """,
            id=media_id,
            now=self._clock.now(),
        )

    def purge(self, before: datetime) -> int:
        """Rows that came to nothing, that long ago; how many."""
        return len(
            self._database.call(
                """
                delete from media where state in ('refused', 'expired') and emptied_at is not null
                    and updated_at < :before::timestamptz returning id
                """,
                before=before,
            )
        )


def _media(row: Row) -> Media:
    return Media(**{**row, "paths": _paths(row)})


def _paths(row: Row) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads(row["paths"])
    return found
