"""Media: what staff have sent becomes pictures, or is refused. Jobs only; staff ask the function `inventory`."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.media_tasks import MediaTaskBody
from shared.gateways.pictures import Pictures
from shared.gateways.storage import Bucket
from shared.kernel.first_use import first_use
from shared.media import processing
from shared.persistence.media import MediaRows
from shared.settings import MediaSettings, UploadSettings, environment
from shared.wiring.parts import Parts

parts = Parts()


@first_use
def uploads() -> Bucket:
    return Bucket.from_settings(UploadSettings.from_env(environment()).bucket, parts.google())


@first_use
def published() -> Bucket:
    return Bucket.from_settings(MediaSettings.from_env(environment()).bucket, parts.google())


@first_use
def rows() -> MediaRows:
    return MediaRows(parts.database(), parts.clock)


api = Api("media-jobs", services=parts.services())


@api.task("/jobs/media/process", body=MediaTaskBody)
def process(call: Call[MediaTaskBody]) -> Reply:
    """Check one file that was sent, and publish its pictures."""
    processing.process(call.body.media_id, store=rows(), uploads=uploads(), published=published(), renderer=Pictures())
    return Reply(204)


@api.schedule("/jobs/media/sweep")
def sweep(call: Call[None]) -> Reply:
    """Take up what no task has finished, give up what was never sent, and delete what was read."""
    processing.sweep(
        store=rows(),
        uploads=uploads(),
        published=published(),
        renderer=Pictures(),
        clock=parts.clock,
        give_up_at=call.give_up_at - processing.LONGEST,
    )
    return Reply(204)


def media_jobs(request: Request) -> Response:
    """The entry point of the deployment `media-jobs`."""
    return api.serve(request)
