"""The routes, and what befalls every API call: a line in the books, a fault that was asked for, the bearer token."""

from collections.abc import Awaitable, Callable

from aiohttp import web

from local.paypal import approval, control, oauth, orders_api, payments_api, webhooks_api
from local.paypal.problems import Problem
from local.paypal.signing import CERTS_PATH
from local.paypal.simulator import SIMULATOR, Simulator, refusal
from local.vendor_server import through_faults

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

TOKEN_PATH = "/v1/oauth2/token"
API = ("/v1/", "/v2/")
PUBLIC = (TOKEN_PATH, CERTS_PATH)


@web.middleware
async def api_call(request: web.Request, handler: Handler) -> web.StreamResponse:
    if not request.path.startswith(API):
        return await _answer(request, handler)
    simulator = request.app[SIMULATOR]
    line = simulator.books.log_request(request.method, request.path_qs, _shown_headers(request))

    async def act() -> web.StreamResponse:
        if not request.path.startswith(PUBLIC) and not oauth.is_signed_in(simulator, request):
            response: web.StreamResponse = oauth.not_signed_in()
        else:
            response = await _answer(request, handler)
        simulator.books.log_status(line, response.status)
        return response

    def refuse() -> web.Response:
        status = 503 if request.method == "GET" else 500
        simulator.books.log_status(line, status)
        return refusal(Problem(status))

    async with simulator.turn(request):
        return await through_faults(request, faults=simulator.faults, target="paypal", act=act, refuse=refuse)


async def _answer(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return refusal(problem)


def _shown_headers(request: web.Request) -> dict[str, str]:
    return {
        name.lower(): value.partition(" ")[0] if name.lower() == "authorization" else value
        for name, value in request.headers.items()
    }


def make_app(simulator: Simulator) -> web.Application:
    app = web.Application(middlewares=[api_call], client_max_size=4 * 1024 * 1024)
    app[SIMULATOR] = simulator
    app.add_routes(
        [
            web.post(TOKEN_PATH, oauth.issue),
            web.post("/v2/checkout/orders", orders_api.create),
            web.get("/v2/checkout/orders/{id}", orders_api.show),
            web.patch("/v2/checkout/orders/{id}", orders_api.patch),
            web.post("/v2/checkout/orders/{id}/capture", orders_api.capture),
            web.post("/v2/checkout/orders/{id}/track", orders_api.track),
            web.get("/v2/payments/captures/{id}", payments_api.show_capture),
            web.post("/v2/payments/captures/{id}/refund", payments_api.refund),
            web.get("/v2/payments/refunds/{id}", payments_api.show_refund),
            web.get("/v1/customer/disputes/{id}", payments_api.show_dispute),
            web.get("/v1/notifications/webhooks-events", webhooks_api.list_events),
            web.get("/v1/notifications/webhooks-events/{id}", webhooks_api.show_event),
            web.post("/v1/notifications/webhooks-events/{id}/resend", webhooks_api.resend),
            web.post("/v1/notifications/verify-webhook-signature", webhooks_api.verify),
            web.get(CERTS_PATH + "{name}", webhooks_api.certificate),
            web.post("/_local/paypal/orders/{id}/approve", control.approve),
            web.post("/_local/paypal/orders/{id}/cancel", control.cancel),
            web.post("/_local/paypal/captures/{id}/refunds", control.ordain_refunds),
            web.post("/_local/paypal/events", control.happen),
            web.get("/_local/paypal/ledger", control.ledger),
            web.get("/_local/health", control.health),
            web.get("/_local/pending", control.pending),
            web.post("/_local/retry-now", control.retry_now),
        ]
    )
    # The page is reached directly, or through the gateway that hands on everything under /_local/paypal/.
    for prefix in ("", "/_local/paypal"):
        app.router.add_get(f"{prefix}/checkoutnow", approval.page)
        app.router.add_post(f"{prefix}/checkoutnow", approval.press)
    return app
