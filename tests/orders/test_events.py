"""What leaves after a commit says what was true then, whenever it leaves."""

from datetime import timedelta
from typing import Any

from shared.kernel.messages import Event
from shared.persistence.outbox import Outbox
from tests.orders.shop import Shop


def test_an_event_says_what_was_so_when_it_was_written(shop: Shop) -> None:
    """S60: the payload is frozen in its row; nobody reads the order again when it is published at last."""
    order = shop.paid_order({shop.make_stock("LAMP", 5): 2})
    shop.database.call("update orders set email = 'other@example.com' where id = :id::uuid", id=order.id)
    later = shop.clock.now() + timedelta(minutes=5)

    messages = Outbox(shop.database).lease(
        100_000, now=later, until=later + timedelta(seconds=1), created_before=later, due_before=later
    )

    told: list[tuple[str, Any]] = [
        (message.name, message.payload["order"])
        for message in messages
        if isinstance(message, Event) and str(order.id) in str(message.payload)
    ]
    assert [(name, frozen["status"], frozen["captured_minor"]) for name, frozen in told] == [
        ("order.placed", "pending_payment", 0),
        ("order.paid", "paid", order.total_minor),
    ]
    assert {frozen["email"] for _name, frozen in told} == {order.email}
