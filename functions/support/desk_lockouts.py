"""Who waits after too many refused payments."""

from functions.support.wiring import parts
from shared.edge.calls import Call, Reply
from shared.edge.desk_views import LockoutsPage, lockout_view
from shared.edge.paging import PageQuery, cursor_after, read_moment_cursor
from shared.edge.routing import Routes
from shared.orders.lockout import LockoutNotFound
from shared.persistence.lockouts import Lockouts

routes = Routes()


@routes.get("/v1/admin/lockouts", query=PageQuery, answers={200: LockoutsPage}, permission="lockouts:read")
def list_lockouts(call: Call[None]) -> Reply:
    """Carts, e-mail addresses and networks that wait after too many refused payments, the longest wait first."""
    after = read_moment_cursor(call)
    found = Lockouts(parts.database(), parts.clock).list_locked(limit=call.query.limit, after=after)
    cursor = cursor_after(call, found, lambda each: (each.locked_until, each.id))
    return Reply(200, LockoutsPage(items=[lockout_view(lockout) for lockout in found], next_cursor=cursor))


@routes.delete(
    "/v1/admin/lockouts/<lockout_id>", answers={204: None}, errors=[LockoutNotFound], permission="lockouts:write"
)
def lift_lockout(call: Call[None]) -> Reply:
    """Let it go on at once: its refusals are forgotten."""
    Lockouts(parts.database(), parts.clock).lift(call.uuid("lockout_id"), actor=call.actor)
    return Reply(204)
