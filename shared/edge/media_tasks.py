"""What the tasks of media carry (shared/media/media.py writes them): the id of the row to go on with."""

from uuid import UUID

from shared.edge.parsing import Body


class MediaTaskBody(Body, frozen=True, kw_only=True):
    media_id: UUID
