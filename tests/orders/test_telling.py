"""What events say of an order: written with what they tell of, and never read again."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from shared.inventory.stock import OutOfStock
from shared.kernel.messages import Event, Task
from shared.outbox.publishing import Publisher
from shared.outbox.relaying import relay
from shared.persistence.outbox import Outbox
from tests.orders.shop import Shop


class Sent:
    """Topics and queues that take everything."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
        self.events += events

    def enqueue(self, task: Task, *, within_s: float) -> None: ...


def test_an_event_tells_what_was_when_it_came_to_pass(shop: Shop) -> None:
    """S60: the payload is frozen in the outbox's row; a relay that comes late tells of the same order."""
    lamp = shop.make_stock("LAMP", 2)
    order = shop.paid_order({lamp: 2})
    shop.database.call("update orders set email = 'changed@example.com' where id = :id::uuid", id=order.id)
    sent = Sent()
    shop.clock.advance(minutes=5)

    relay(Outbox(shop.database), Publisher(lambda: sent, lambda: sent), clock=shop.clock, within_s=60)

    payloads: list[tuple[str, Any]] = [(event.name, event.payload) for event in sent.events if event.topic == "orders"]
    told = [(name, payload["order"]) for name, payload in payloads if payload["order"]["id"] == str(order.id)]
    assert [(name, frozen["status"], frozen["email"]) for name, frozen in told] == [
        ("order.placed", "pending_payment", order.email),
        ("order.paid", "paid", order.email),
    ]
    assert [(line["held"], line["allocated"]) for _name, frozen in told for line in frozen["lines"]] == [(2, 0), (0, 2)]
    assert shop.clock.now() - order.placed_at > timedelta(minutes=4)


def test_what_is_rolled_back_is_never_told(shop: Shop) -> None:
    """S59: an order that does not come to be leaves no event behind."""
    lamp, chair = shop.make_stock("LAMP", 5), shop.make_stock("CHAIR", 1)
    carts = [shop.make_cart({lamp: 1, chair: 1}) for _ in range(2)]
    order = shop.place(carts[0])
    before = shop.database.call("select count(*) as n from outbox")[0]["n"]

    with pytest.raises(OutOfStock):
        shop.place(carts[1])

    assert shop.events(order) == ["order.placed"]
    assert shop.database.call("select count(*) as n from outbox")[0]["n"] == before
