"""Whatever fails and whoever dies: what was committed is published, what was rolled back never is (STYLE.md 37)."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.kernel.messages import Event
from shared.outbox.relaying import LEASE, relay
from shared.persistence.database import Transaction
from tests.numbers import PROPERTY_EXAMPLES
from tests.outbox.conftest import Shop, make_event

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.sampled_from(["orders", "catalog"])),
        st.tuples(st.just("roll back"), st.sampled_from(["orders", "catalog"])),
        st.tuples(st.just("request ends"), st.sampled_from(["published", "killed", "unmarked"])),
        st.tuples(st.just("relay"), st.sampled_from(["whole", "killed before", "killed after"])),
        st.tuples(st.just("topics down"), st.sampled_from(["", "orders", "catalog", "orders catalog"])),
        st.tuples(st.just("time passes"), st.sampled_from(["1", "6", "31"])),
    ),
    max_size=20,
)


class RolledBackError(Exception):
    """The step failed."""


class History:
    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.committed: list[Event] = []
        self.rolled_back: list[Event] = []

    def play(self, step: str, how: str) -> None:
        shop = self.shop
        if step == "commit":
            self.committed.append(make_event(topic=how))
            shop.emit(self.committed[-1])
        elif step == "roll back":
            self.rolled_back.append(make_event(topic=how))
            self._fail(self.rolled_back[-1])
        elif step == "request ends":
            if how == "published":
                shop.dispatcher.flush()
            elif how == "unmarked":
                shop.dispatcher.publish()
            shop.restart()
        elif step == "relay":
            self._relay(how)
        elif step == "topics down":
            shop.sent.down = set(how.split())
        elif step == "time passes":
            shop.clock.advance(seconds=float(how))

    def _fail(self, event: Event) -> None:
        def work(tx: Transaction) -> None:
            tx.emit(event)
            raise RolledBackError

        with pytest.raises(RolledBackError):
            self.shop.database.step(work)

    def _relay(self, how: str) -> None:
        shop = self.shop
        if how == "whole":
            relay(shop.outbox, shop.publisher, clock=shop.clock, within_s=40)
            return
        now = shop.clock.now()
        leased = shop.outbox.lease(10, now=now, until=now + LEASE, created_before=now, due_before=now)
        if how == "killed after":
            shop.publisher.hand_over(leased, within_s=1)


@settings(max_examples=PROPERTY_EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_what_was_committed_is_published_at_least_once_and_nothing_else(
    shop: Shop, steps: list[tuple[str, str]]
) -> None:
    history = History(shop)

    for step, how in steps:
        history.play(step, how)
    shop.sent.down = set()
    for _ in range(3):
        shop.clock.advance(seconds=31)
        history.play("relay", "whole")

    published = {event.id for event in shop.sent.events}
    assert {event.id for event in history.committed} <= published
    assert not {event.id for event in history.rolled_back} & published
    assert None not in shop.published().values()
