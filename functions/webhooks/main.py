"""Webhooks: what vendors tell us is checked, stored once and handed over."""

from functools import cache

from flask import Flask, Request

from shared.edge.api import Api
from shared.edge.calls import Call, Reply
from shared.edge.parsing import View
from shared.edge.services import Services
from shared.gateways.paypal_webhooks import CertificateUnreachable, TransmissionVerifier
from shared.gateways.pubsub import PubSubPublisher
from shared.gateways.tasks import TaskQueue
from shared.kernel.clock import SystemClock
from shared.outbox.dispatching import Dispatcher
from shared.outbox.publishing import Publisher
from shared.payments import webhooks as paypal
from shared.payments.webhooks import SignatureRefused
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.outbox import Outbox
from shared.persistence.webhooks import WebhookEvents
from shared.settings import DatabaseSettings, GoogleSettings, PlatformSettings, WebhookSettings, environment

BODY_LIMIT = 256 * 1024

clock = SystemClock()


@cache
def platform() -> PlatformSettings:
    return PlatformSettings.from_env(environment())


@cache
def google() -> GoogleSettings:
    return GoogleSettings.from_env(environment())


@cache
def dispatcher() -> Dispatcher:
    publisher = Publisher(lambda: PubSubPublisher.from_settings(google()), lambda: TaskQueue.from_settings(google()))
    return Dispatcher(publisher, outbox, clock)


@cache
def database() -> Database:
    settings = DatabaseSettings.from_env(environment())
    return Database(
        connector(settings, application=platform().deployment),
        size=settings.pool_size,
        clock=clock,
        committed=dispatcher().collect,
    )


@cache
def outbox() -> Outbox:
    return Outbox(database())


@cache
def events() -> WebhookEvents:
    return WebhookEvents(database())


@cache
def verifier() -> TransmissionVerifier:
    settings = WebhookSettings.from_env(environment())
    return TransmissionVerifier(
        webhook_id=settings.paypal_webhook_id,
        cert_prefixes=settings.cert_prefixes,
        cert_roots=settings.cert_roots,
        clock=clock,
    )


api = Api(
    "webhooks",
    services=Services(
        platform=platform,
        ping=lambda: database().call("select 1 as alive"),
        clock=clock,
        flush=lambda: dispatcher().flush(),
    ),
)


class ReceivedView(View, frozen=True):
    """`status` is received, or repeated where the event was known already."""

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
    headers = {name.lower(): value for name, value in call.headers.items()}
    event = paypal.receive(headers, call.raw, verifier=verifier(), events=events(), clock=clock)
    return Reply(200, ReceivedView(status="repeated" if event is None else "received"))


def webhooks(request: Request) -> Flask:
    return api.app
