"""Webhooks: what vendors tell us is checked, stored once and handed over."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import View
from shared.gateways.paypal_webhooks import CertificateUnreachable, TransmissionVerifier
from shared.gateways.sendgrid_events import SignedEvents
from shared.kernel.first_use import first_use
from shared.notices import delivery
from shared.payments import webhooks as receiving
from shared.payments.webhooks import SignatureRefused
from shared.persistence.mails import Mails
from shared.persistence.webhooks import WebhookEvents
from shared.settings import WebhookSettings, environment
from shared.wiring.parts import Parts

BODY_LIMIT = 256 * 1024

parts = Parts()
clock, database = parts.clock, parts.database


@first_use
def settings() -> WebhookSettings:
    return WebhookSettings.from_env(environment())


@first_use
def events() -> WebhookEvents:
    return WebhookEvents(database())


@first_use
def paypal() -> TransmissionVerifier:
    return TransmissionVerifier(
        webhook_id=settings().paypal_webhook_id,
        cert_prefixes=settings().cert_prefixes,
        cert_roots=settings().cert_roots,
        clock=clock,
    )


@first_use
def sendgrid() -> SignedEvents | None:
    key = settings().sendgrid_key
    return None if key is None else SignedEvents(key)


api = Api("webhooks", services=parts.services())


class ReceivedView(View, frozen=True):
    """`status` is received, or repeated where all of it was known already."""

    status: str


@api.post(
    "/v1/webhooks/paypal",
    body=bytes,
    answers={200: ReceivedView},
    errors=[SignatureRefused, CertificateUnreachable],
    idempotent=False,
    body_limit=BODY_LIMIT,
)
def receive_paypal(call: Call[bytes]) -> Reply:
    """Takes a transmission of PayPal's, once."""
    event = receiving.receive(_by_name(call), call.raw, verifier=paypal(), events=events(), clock=clock)
    return Reply(200, ReceivedView(status="repeated" if event is None else "received"))


@api.post(
    "/v1/webhooks/sendgrid",
    body=bytes,
    answers={200: ReceivedView},
    errors=[SignatureRefused],
    idempotent=False,
)
def receive_sendgrid(call: Call[bytes]) -> Reply:
    """Takes events of mails, signed by SendGrid; those of mails that are not ours are passed over."""
    with receiving.counting_refusals("sendgrid", events=events(), clock=clock):
        signed = sendgrid()
        if signed is None:
            raise SignatureRefused("not-configured")
        told = signed.read(_by_name(call), call.raw)
    new = delivery.record(told, mails=Mails(database()), clock=clock)
    return Reply(200, ReceivedView(status="received" if new else "repeated"))


def _by_name(call: Call[bytes]) -> dict[str, str]:
    return {name.lower(): value for name, value in call.headers.items()}


def webhooks(request: Request) -> Response:
    return api.serve(request)
