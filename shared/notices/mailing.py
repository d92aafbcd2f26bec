"""From an event to a mail: written once, sent once, and looked after until the vendor has told what became of it."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Literal, Protocol
from uuid import UUID

from shared.kernel.clock import Clock
from shared.kernel.errors import Declined, Unavailable
from shared.kernel.ids import new_id
from shared.kernel.logs import Log
from shared.kernel.tokens import KeyRing
from shared.notices.mails import SILENT, TEMPLATES, Draft, Mail, Mailer, Mails, NoAnswer
from shared.notices.orders import Goods, Order, Shipment

log = Log(__name__)

CONSUMER = "notify"
# The event webhook tells within seconds. Only a mail that it has not told of for this long is repeated.
GRACE = timedelta(minutes=10)
# Five waits, each twice the last: after more than five hours of silence a person must look.
MOST_UNANSWERED = 5
_BACKOFF = timedelta(minutes=1)
_LONGEST_BACKOFF = timedelta(minutes=15)
# What one attempt may take, and how many that fail in a row say that the vendor is down.
_ATTEMPT_S = 12.0
_ENOUGH_FAILURES = 3

# Stands in the stored mail where its token goes: tokens are never stored (DESIGN.md section 2).
TOKEN_PLACEHOLDER = "ORDER-TOKEN"

Outcome = Literal["accepted", "put_off", "refused", "unanswered", "given_up", "untouched"]


class Writer(Protocol):
    """Words and looks, as shared.notices.writing provides them."""

    def write(
        self,
        template: str,
        order: Order,
        *,
        shipment: Shipment | None = None,
        goods: Goods | None = None,
        refund_id: UUID | None = None,
    ) -> tuple[str, str, str]:
        """Subject, text and HTML."""


def announce(
    event_id: UUID,
    event_name: str,
    order: Order,
    *,
    shipment: Shipment | None = None,
    goods: Goods | None = None,
    refund_id: UUID | None = None,
    writer: Writer,
    mails: Mails,
    mailer: Mailer,
    tokens: KeyRing,
    clock: Clock,
) -> Outcome | None:
    """Tell the buyer what has happened, once, however often the event comes; None where nobody is told.

    The mail is made of the event's payload alone. A vendor that is down raises nothing: the row waits for the sweep.
    """
    template = template_of(event_name, order)
    if template is None:
        return None
    subject, text, html = writer.write(template, order, shipment=shipment, goods=goods, refund_id=refund_id)
    draft = Draft(new_id(), event_id, template, order.email, order.id, subject, text, html)
    mail_id = mails.write(draft, consumer=CONSUMER, at=clock.now())
    if mail_id is None:
        return "untouched"
    return send(mail_id, mails=mails, mailer=mailer, tokens=tokens, clock=clock)


def template_of(event_name: str, order: Order) -> str | None:
    """Which mail follows an event; None: none does. Raises LookupError for an event that nobody has thought of."""
    if event_name in SILENT:
        return None
    if event_name == "order.cancelled" and order.status_reason == "replaced":
        return None  # the buyer has placed the cart again, and hears of that order
    return TEMPLATES[event_name]


def send(mail_id: UUID, *, mails: Mails, mailer: Mailer, tokens: KeyRing, clock: Clock) -> Outcome:
    """One attempt at a mail that is due. Raises Unavailable only for the database."""
    mail = mails.claim(mail_id, at=clock.now(), grace=GRACE)
    if mail is None:
        return "untouched"
    if mail.unanswered > MOST_UNANSWERED:
        mails.refuse(mail.id, attempt=mail.attempt, failure="the vendor never answered", at=clock.now())
        log.error("mail_given_up", mail_id=mail.id, unanswered=mail.unanswered)
        return "given_up"
    try:
        message_id = mailer.send(_with_token(mail, tokens))
    except NoAnswer:
        # Nothing is written: the row says `sending`, and its event, or the end of its grace, will settle it.
        log.warning("mail_unanswered", mail_id=mail.id, attempt=mail.attempt)
        return "unanswered"
    except Unavailable as error:
        wait = max(_backoff(mail.attempt), timedelta(seconds=error.retry_after_s))
        failure = str(error.data.get("reason", "unavailable"))
        mails.put_off(mail.id, attempt=mail.attempt, until=clock.now() + wait, failure=failure, at=clock.now())
        log.warning("mail_put_off", mail_id=mail.id, attempt=mail.attempt, wait_s=wait.total_seconds(), reason=failure)
        return "put_off"
    except Declined as error:
        failure = str(error.data.get("reason", "declined"))
        mails.refuse(mail.id, attempt=mail.attempt, failure=failure, at=clock.now())
        log.error("mail_refused", mail_id=mail.id, reason=failure)
        return "refused"
    mails.accept(mail.id, message_id=message_id, at=clock.now())
    log.info("mail_accepted", mail_id=mail.id, template=mail.template)
    return "accepted"


def sweep(
    *,
    mails: Mails,
    mailer: Mailer,
    tokens: KeyRing,
    clock: Clock,
    within_s: float,
    limit: int = 200,
    ticks: Callable[[], float] = time.monotonic,
) -> list[Outcome]:
    """Send what is due: put off, left behind by a process that died, or without an answer for the length of its grace.

    Ends early where the vendor is down; what is left keeps its turn.
    """
    stop_at = ticks() + within_s - _ATTEMPT_S
    outcomes: list[Outcome] = []
    failures = 0
    for mail_id in mails.list_due(at=clock.now(), limit=limit):
        if ticks() > stop_at or failures == _ENOUGH_FAILURES:
            break
        outcome = send(mail_id, mails=mails, mailer=mailer, tokens=tokens, clock=clock)
        failures = failures + 1 if outcome in ("put_off", "unanswered") else 0
        outcomes.append(outcome)
    return outcomes


def _backoff(attempt: int) -> timedelta:
    return min(_BACKOFF * (1 << min(attempt - 1, 10)), _LONGEST_BACKOFF)


def _with_token(mail: Mail, tokens: KeyRing) -> Mail:
    token = tokens.token("order", mail.order_id)
    return replace(
        mail,
        text=mail.text.replace(f"#k={TOKEN_PLACEHOLDER}", f"#k={token}"),
        html=mail.html.replace(f"#k={TOKEN_PLACEHOLDER}", f"#k={token}"),
    )
