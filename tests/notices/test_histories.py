"""Any history of pushes, sweeps, answers, silences and events ends in one mail.

A second one needs a vendor that accepted the first and then told us nothing, by answer or event (DESIGN.md rule 11).
"""

from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.kernel.errors import Unavailable
from shared.notices import delivery
from shared.notices.mails import Mail, MailEvent, NoAnswer
from tests.notices.conftest import Notices, StandingClock, make_order
from tests.numbers import PROPERTY_EXAMPLES

MOODS = st.lists(st.sampled_from(["accept", "refuse", "lose", "accept in silence"]), max_size=5)
STEPS = st.lists(st.sampled_from(["push", "sweep", "a minute", "ten minutes", "events", "events again"]), max_size=15)


class Vendor:
    """Does the next thing of its list with each call; afterwards it accepts."""

    def __init__(self, moods: list[str], clock: StandingClock) -> None:
        self.moods = list(moods)
        self.clock = clock
        self.accepted = 0
        self.untold: list[MailEvent] = []
        self.told: list[MailEvent] = []

    def send(self, mail: Mail) -> str:
        mood = self.moods.pop(0) if self.moods else "accept"
        if mood == "refuse":
            raise Unavailable(reason="503")
        if mood == "lose":
            raise NoAnswer
        self.accepted += 1
        message_id = f"{mail.id}.{self.accepted}"
        for event in ("processed", "delivered"):
            told = MailEvent(f"{event}.{message_id}", mail.id, event, message_id, self.clock.now())
            self.untold.append(told)
        if mood == "accept in silence":
            raise NoAnswer
        return message_id

    def tell(self) -> list[MailEvent]:
        self.told += self.untold
        self.untold = []
        return self.told


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moods=MOODS, steps=STEPS, hears=st.booleans())
def test_every_history_ends_in_one_mail(notices: Notices, moods: list[str], steps: list[str], hears: bool) -> None:
    """Where the vendor tells its events before each repetition (`hears`), there is exactly one."""
    notices.mailer = vendor = Vendor(moods, notices.clock)
    order, event_id = make_order(), uuid4()
    silent = moods.count("accept in silence")

    def listen() -> None:
        delivery.record(vendor.tell(), mails=notices.mails, clock=notices.clock)

    for step in ["push", *steps]:
        if hears:
            listen()
        match step:
            case "push":
                notices.announce(order, event_id=event_id)
            case "sweep":
                notices.sweep()
            case "a minute":
                notices.clock.advance(minutes=1)
            case "ten minutes":
                notices.clock.advance(minutes=10)
            case _:
                listen()
    for _ in range(12):
        if hears:
            listen()
        notices.clock.advance(hours=1)
        notices.sweep()

    [row] = [row for row in notices.rows() if row["event_id"] == event_id]
    assert row["state"] in ("accepted", "delivered")
    assert vendor.accepted == 1 if hears else 1 <= vendor.accepted <= 1 + silent
