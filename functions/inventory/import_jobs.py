"""What imports files that staff have sent: a task takes a turn at an import, and a schedule wakes what no task does."""

from datetime import timedelta
from uuid import UUID

from shared.edge.calls import Call, Reply
from shared.edge.parsing import Body
from shared.edge.routing import Routes
from shared.gateways.storage import Bucket
from shared.kernel.first_use import first_use
from shared.kernel.logs import Log
from shared.persistence.import_rows import sweep
from shared.settings import UploadSettings, environment
from shared.wiring.parts import Parts

routes = Routes()
log = Log(__name__)

# The longest statement waits a minute for the turn at the catalogue.
parts = Parts(statement_timeout_ms=75_000)
# No batch begins later. One may wait a minute for the turn at the catalogue, and the platform gives up after 150 s.
TURN = timedelta(seconds=60)
# A shop without settings yet sells in this; its settings, once written, decide.
DEFAULT_CURRENCY = "USD"


class ImportTaskBody(Body, frozen=True, kw_only=True):
    """The row to go on with."""

    import_id: UUID


@first_use
def uploads() -> Bucket:
    return Bucket.from_settings(UploadSettings.from_env(environment()).bucket, parts.google())


@routes.task("/jobs/imports/go-on", body=ImportTaskBody)
def go_on(call: Call[ImportTaskBody]) -> Reply:
    """A turn at an import, batch by batch until the time is up; what is left the next task does."""
    # The deployment `inventory` does none of this, and its cold start should not pay for it.
    from shared.catalog.imports import take_turn_at
    from shared.catalog.uploads import open_upload
    from shared.persistence.imports import Imports

    take_turn_at(
        call.body.import_id,
        ledger=Imports(parts.database(), parts.clock),
        open_file=lambda of: open_upload(of, bucket=uploads()),
        default_currency=DEFAULT_CURRENCY,
        give_up_at=call.at + TURN,
        clock=parts.clock,
    )
    return Reply(204)


@routes.schedule("/jobs/imports/sweep")
def sweep_imports(call: Call[None]) -> Reply:
    """Wake what nobody is at, give up what was left lying for a week, forget what was over long ago."""
    woken = sweep(parts.database(), now=call.at)
    if woken:
        log.info("imports_woken", imports=woken)
    return Reply(204)
