"""A relay that has leased its rows and never comes back from Pub/Sub: to be killed."""

import sys
import time
from collections.abc import Sequence
from datetime import datetime

from shared.kernel.messages import Event
from shared.outbox.publishing import Publisher
from shared.outbox.relaying import relay
from tests.outbox.conftest import Recorder, Shop, StandingClock


class Hanging(Recorder):
    def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
        print("publishing", len(events), flush=True)  # noqa: T201 - how the test knows
        time.sleep(600)


if __name__ == "__main__":
    clock = StandingClock()
    clock.moment = datetime.fromisoformat(sys.argv[2])
    shop = Shop(sys.argv[1], clock)
    hanging = Hanging()
    relay(shop.outbox, Publisher(lambda: hanging, lambda: hanging), clock=clock, within_s=40)
