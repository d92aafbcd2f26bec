import socket
import threading
import time
from datetime import timedelta

import pytest

from shared.gateways.pubsub import PubSubPublisher
from shared.kernel.errors import Unavailable
from shared.outbox.dispatching import Dispatcher
from shared.outbox.publishing import Publisher
from shared.persistence.database import Transaction
from tests.outbox.conftest import Recorder, Shop, StandingClock, make_event, make_task


def test_what_a_step_committed_is_published_and_marked_in_one_go(shop: Shop) -> None:
    paid, capture = make_event(), make_task()
    shop.emit(paid, capture)

    shop.dispatcher.flush()

    assert shop.sent.batches == [("orders", [paid])]
    assert shop.sent.tasks == [capture]
    assert shop.published() == {paid.id: shop.clock.now(), capture.id: shop.clock.now()}


def test_a_step_that_rolls_back_publishes_nothing_and_leaves_no_row(shop: Shop) -> None:
    """S59: nothing is told that is not true."""

    def pay_and_fail(tx: Transaction) -> None:
        tx.emit(make_event())
        raise RuntimeError("the handler failed")

    with pytest.raises(RuntimeError):
        shop.database.step(pay_and_fail)
    shop.dispatcher.flush()

    assert shop.sent.events == []
    assert shop.rows() == []


def test_a_step_that_runs_twice_publishes_once(shop: Shop) -> None:
    runs: list[int] = []
    paid = make_event()

    def pay(tx: Transaction) -> None:
        tx.emit(paid)
        runs.append(1)
        if len(runs) == 1:
            tx.rows("do $$ begin raise exception using errcode = '40001'; end $$")

    shop.database.step(pay)
    shop.dispatcher.flush()

    assert len(runs) == 2
    assert shop.sent.events == [paid]


def test_events_of_one_topic_leave_in_one_call_and_in_their_order(shop: Shop) -> None:
    first, other, second = make_event(1), make_event(2, topic="catalog"), make_event(3)
    shop.emit(first, other, second)

    shop.dispatcher.flush()

    assert shop.sent.batches == [("orders", [first, second]), ("catalog", [other])]


def test_a_failed_publish_leaves_its_row_to_the_relay_and_the_others_are_marked(shop: Shop) -> None:
    paid, changed = make_event(), make_event(topic="catalog", name="stock.changed")
    shop.sent.down = {"orders"}
    shop.emit(paid, changed)

    shop.dispatcher.flush()

    assert shop.published() == {paid.id: None, changed.id: shop.clock.now()}


def test_a_mistake_of_the_publisher_does_not_reach_the_request(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Recorder):
        def publish_all(self, *_: object, **__: object) -> None:
            raise KeyError("a mistake of ours")

    shop.dispatcher = Dispatcher(Publisher(Broken, Broken), lambda: shop.outbox, shop.clock)

    shop.dispatcher.collect([make_event()])
    shop.dispatcher.flush()

    assert [record.message for record in caplog.records] == ["outbox_left_to_relay"]


def test_a_database_that_is_gone_when_rows_are_marked_does_not_reach_the_request(shop: Shop) -> None:
    class Gone:
        def mark_published(self, ids: object, at: object) -> None:
            raise Unavailable

    dispatcher = Dispatcher(shop.publisher, Gone, shop.clock)
    paid = make_event()

    dispatcher.collect([paid])
    dispatcher.flush()

    assert shop.sent.events == [paid]


def test_published_ids_are_taken_once_to_be_marked_in_passing(shop: Shop) -> None:
    placed = make_event(name="order.placed")
    shop.emit(placed)

    shop.dispatcher.publish()

    assert shop.dispatcher.take_published() == [placed.id]
    assert shop.dispatcher.take_published() == []
    assert shop.published() == {placed.id: None}


def test_a_task_due_in_more_than_thirty_days_waits_in_the_outbox(shop: Shop) -> None:
    soon = make_task(not_before=shop.clock.now() + timedelta(days=29))
    late = make_task(not_before=shop.clock.now() + timedelta(days=30))
    shop.emit(soon, late)

    shop.dispatcher.flush()

    assert shop.sent.tasks == [soon]
    assert shop.published() == {soon.id: shop.clock.now(), late.id: None}


def test_each_thread_publishes_what_it_committed_itself(shop: Shop) -> None:
    mine, theirs = make_event(1), make_event(2)
    shop.emit(mine)
    other = threading.Thread(target=shop.emit, args=(theirs,))
    other.start()
    other.join()

    shop.dispatcher.flush()

    assert shop.sent.events == [mine]


def test_two_destinations_share_the_second_and_one_that_hangs_leaves_the_other_its_half(clock: StandingClock) -> None:
    ticks = [100.0]

    class Hanging(Recorder):
        def publish_all(self, topic: str, events: object, *, within_s: float) -> None:
            self.allowed_s[topic] = within_s
            ticks[0] += within_s
            raise Unavailable

    sent = Hanging()
    publisher = Publisher(lambda: sent, lambda: sent, ticks=lambda: ticks[0])
    capture = make_task()

    taken = publisher.hand_over([make_event(), capture], within_s=1.0)

    assert taken == [capture.id]
    assert sent.allowed_s == {"orders": 0.5, "payments": 0.5}
    assert ticks[0] == 100.5


def test_a_pubsub_that_hangs_costs_a_request_one_second_and_the_row_stays(shop: Shop) -> None:
    """It takes the connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        pubsub = PubSubPublisher(project="p", emulator_host=f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(Unavailable):
            pubsub.publish_all("orders", [make_event()], within_s=0.1)  # the library is imported
        dispatcher = Dispatcher(Publisher(lambda: pubsub, lambda: shop.sent), lambda: shop.outbox, shop.clock)
        paid = make_event()
        shop.emit(paid)
        dispatcher.collect([paid])

        started = time.monotonic()
        dispatcher.flush()
        took_s = time.monotonic() - started

    assert 0.9 < took_s < 5
    assert shop.published() == {paid.id: None}
