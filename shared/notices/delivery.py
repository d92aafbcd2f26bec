"""What the vendor's event webhook tells of our mails, in whatever order and however often."""

from collections.abc import Collection, Sequence

from shared.kernel.clock import Clock
from shared.kernel.logs import Log
from shared.notices.mails import MailEvent, MailEvents, State

log = Log(__name__)

# Twilio SendGrid, Event Webhook reference: delivery events, and engagement events that only a delivered mail can have.
_LOST = frozenset({"bounce", "dropped"})
_ARRIVED = frozenset(
    {"delivered", "open", "click", "spamreport", "unsubscribe", "group_unsubscribe", "group_resubscribe"}
)
_TAKEN = frozenset({"processed", "deferred"})


def record(events: Sequence[MailEvent], *, mails: MailEvents, clock: Clock) -> int:
    """Keep what is new and settle its mails; how much was new. Events of mails that are not ours are passed over."""
    new = mails.record(events, at=clock.now()) if events else 0
    log.info("mail_events_received", count=len(events), new=new)
    return new


def state_after(events: Collection[str]) -> State | None:
    """Where a mail stands by all that was ever told of it, so that order and repetition do not matter; None: nowhere.

    A bounce may follow a delivery by days, and the mail was not delivered then.
    """
    if not _LOST.isdisjoint(events):
        return "failed"
    if not _ARRIVED.isdisjoint(events):
        return "delivered"
    if not _TAKEN.isdisjoint(events):
        return "accepted"
    return None
