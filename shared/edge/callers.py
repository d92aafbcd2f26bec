"""Who calls: the session token of a bearer or a cookie, checked against what the route asks for."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from flask import Request

from shared.accounts.principals import Customer, Guest, Principal, Shop, Staff
from shared.edge.calls import Call
from shared.edge.routes import Route
from shared.edge.services import Services
from shared.edge.tokens import read_session_token
from shared.kernel.errors import Forbidden, NotFound, Unauthenticated
from shared.kernel.tokens import KeyRing

# The prefix makes browsers refuse it without Secure, with a Domain, or from a subdomain (RFC 6265bis s4.1.3.2).
SESSION_COOKIE = "__Host-session"


def find_principal(request: Request, route: Route, services: Services, *, at: datetime) -> Principal:
    """Raises Unauthenticated, Forbidden. One query where the route asks for a permission or a live session."""
    if route.is_job:
        return Shop()  # the platform has checked the caller's OIDC token
    if services.tokens is None:
        return Guest()
    principal = _signed_in(request, route, services, at=at)
    if route.permission is not None:
        if isinstance(principal, Guest):
            raise Unauthenticated
        if not isinstance(principal, Staff) or not principal.may(route.permission):
            raise Forbidden
    if (route.permission is not None or route.live_session) and isinstance(principal, Staff | Customer):
        _require_live(principal.session, services, at=at)
    return principal


def require_permission(call: Call[object], permission: str) -> None:
    """What a query asks for beyond what the route itself needs. Raises Forbidden."""
    if not isinstance(call.principal, Staff) or not call.principal.may(permission):
        raise Forbidden


def require_order_token(call: Call[object], order_id: UUID, ring: KeyRing) -> None:
    """Raises NotFound unless X-Order-Token is that order's: 404 for what is not the caller's."""
    if not call.order_token or not ring.opens(call.order_token, "order", order_id):
        raise NotFound


def _signed_in(request: Request, route: Route, services: Services, *, at: datetime) -> Guest | Customer | Staff:
    ring: Callable[[], KeyRing] | None = services.tokens
    assert ring is not None
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return read_session_token(bearer.strip(), ring(), at=at)
    cookie = request.cookies.get(SESSION_COOKIE)
    if not cookie:
        return Guest()
    try:
        principal = read_session_token(cookie, ring(), at=at)
    except Unauthenticated:
        # A browser sends its cookie everywhere: an old one makes nobody, it does not close the shop.
        return Guest()
    # SameSite=Lax stops most forged calls, not a sibling subdomain's: what a cookie authorises comes from our pages.
    if route.changes_something and not _is_ours(request.headers.get("Origin", ""), services):
        raise Forbidden("This must be done on the shop's own pages.")
    return principal


def _is_ours(origin: str, services: Services) -> bool:
    ours = services.platform().public_origin
    return bool(ours) and origin.lower() == ours


def _require_live(session: UUID, services: Services, *, at: datetime) -> None:
    if services.sessions is None:
        raise LookupError("a route asks for a live session, and the function wires no sessions")
    if not services.sessions().is_live(session, at=at):
        raise Unauthenticated("Your session has ended. Please sign in again.")
