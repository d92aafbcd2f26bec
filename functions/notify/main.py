"""Notify: events become mails, open mails are looked after, and the relay sweeps the outbox of every deployment."""

from flask import Request, Response

from shared.edge.api import Api
from shared.edge.calls import Call
from shared.edge.payloads import read_payload
from shared.edge.pushes import DeadLetterQuery, read_dead_letter
from shared.gateways.sendgrid import SendGrid
from shared.kernel.first_use import first_use
from shared.kernel.logs import Log
from shared.notices import mailing
from shared.notices.orders import OrderEvent
from shared.outbox.relaying import relay
from shared.persistence.inbox import purge_inbox
from shared.persistence.mails import Mails
from shared.persistence.outbox import Outbox
from shared.settings import SendGridSettings, environment
from shared.wiring.parts import Parts

log = Log(__name__)
parts = Parts()
clock, database, tokens = parts.clock, parts.database, parts.token_keys


@first_use
def sendgrid() -> SendGridSettings:
    return SendGridSettings.from_env(environment())


@first_use
def mailer() -> SendGrid:
    return SendGrid(sendgrid())


def writer() -> mailing.Writer:
    """As the shop's settings name the shop and its locale now."""
    from shared.notices.writing import writer_of  # Jinja2 and Babel: the relay, each minute, needs neither
    from shared.persistence.shop_settings import SettingsOfShop

    shop = SettingsOfShop(database(), clock).get()
    return writer_of(shop.name, parts.platform().public_url, shop.locale)


def mails() -> Mails:
    return Mails(database())


api = Api("notify", services=parts.services())


@api.push("/jobs/notify/orders")
def announce(call: Call[None]) -> None:
    """Mails the buyer what an event of an order tells, once."""
    event = call.event
    assert event is not None
    told = read_payload(event, OrderEvent)
    mailing.announce(
        event.id,
        event.name,
        told.order,
        shipment=told.shipment,
        goods=told.goods,
        refund_id=told.refund_id,
        writer=writer(),
        mails=mails(),
        mailer=mailer(),
        tokens=tokens(),
        clock=clock,
    )


@api.dead_letters("/jobs/notify/dead-letters", query=DeadLetterQuery)
def keep_dead_letter(call: Call[None]) -> None:
    """Keeps what no consumer took, for staff to look at."""
    from shared.persistence.dead_letters import DeadLetters

    message = read_dead_letter(call.raw)
    DeadLetters(database(), clock).keep(message, subscription=call.query.subscription, topic=call.query.topic)
    log.error("dead_letter_kept", subscription=call.query.subscription, event_id=message.event_id)


@api.schedule("/jobs/notify/relay")
def relay_outbox(call: Call[None]) -> None:
    """Publishes what no request did, and deletes what was published long ago."""
    done = relay(Outbox(database()), parts.publisher(), clock=clock, within_s=_time_left_s(call))
    purge_inbox(database(), at=clock.now())
    if done.published or done.left or done.purged:
        log.info("outbox_relayed", published=done.published, left=done.left, purged=done.purged)


@api.schedule("/jobs/notify/sweep-mails")
def sweep_mails(call: Call[None]) -> None:
    """Sends mails that are due again."""
    mailing.sweep(mails=mails(), mailer=mailer(), tokens=tokens(), clock=clock, within_s=_time_left_s(call))


def _time_left_s(call: Call[None]) -> float:
    return (call.give_up_at - call.at).total_seconds()


def notify(request: Request) -> Response:
    """The entry point of the deployment `notify`."""
    return api.serve(request)
