import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from local.database import Address
from shared.kernel.messages import Event
from shared.outbox.publishing import Publisher
from shared.outbox.relaying import Relayed, relay
from shared.persistence.database import Transaction
from tests.outbox.conftest import Recorder, Shop, make_event, make_task

ROOT = Path(__file__).resolve().parents[2]


def run_relay(shop: Shop, *, batch: int = 200, within_s: float = 40) -> Relayed:
    return relay(shop.outbox, shop.publisher, clock=shop.clock, within_s=within_s, batch=batch)


def test_the_relay_publishes_what_no_request_did_in_order_and_marks_it(shop: Shop) -> None:
    """S59: a process that died between commit and publish owes nothing."""
    paid, capture, expired = make_event(1), make_task(), make_event(2, name="order.expired")
    shop.emit(paid, capture, expired)
    shop.clock.advance(seconds=6)

    done = run_relay(shop)

    assert done == Relayed(published=3, left=0, purged=0)
    assert shop.sent.batches == [("orders", [paid, expired])]
    assert shop.sent.tasks == [capture]
    assert set(shop.published().values()) == {shop.clock.now()}


def test_a_row_that_its_request_may_still_publish_is_not_touched(shop: Shop) -> None:
    shop.emit(make_event())
    shop.clock.advance(seconds=4)

    assert run_relay(shop) == Relayed(published=0, left=0, purged=0)
    assert shop.sent.events == []


def test_a_second_run_finds_nothing(shop: Shop) -> None:
    paid = make_event()
    shop.emit(paid)
    shop.clock.advance(seconds=6)

    run_relay(shop)
    shop.clock.advance(hours=1)
    again = run_relay(shop)

    assert again == Relayed(published=0, left=0, purged=0)
    assert shop.sent.times_taken() == {paid.id: 1}


def test_a_failed_publish_leaves_the_row_and_it_goes_when_the_topic_is_back(shop: Shop) -> None:
    paid, changed = make_event(), make_event(topic="catalog", name="stock.changed")
    shop.emit(paid, changed)
    shop.clock.advance(seconds=6)
    shop.sent.down = {"orders"}

    assert run_relay(shop) == Relayed(published=1, left=1, purged=0)
    assert shop.published() == {paid.id: None, changed.id: shop.clock.now()}

    shop.sent.down = set()
    shop.clock.advance(seconds=5)
    assert run_relay(shop) == Relayed(published=1, left=0, purged=0)
    assert shop.sent.times_taken() == {paid.id: 1, changed.id: 1}


def test_rows_that_cannot_go_do_not_hold_up_those_behind_them(shop: Shop) -> None:
    stuck = [make_event(number, topic="catalog") for number in range(3)]
    paid = make_event()
    shop.emit(*stuck, paid)
    shop.clock.advance(seconds=6)
    shop.sent.down = {"catalog"}

    first = run_relay(shop, batch=3)

    assert (first.published, first.left) == (1, 3)
    assert shop.sent.events == [paid]


def test_rows_that_never_can_go_hold_up_nothing_in_the_minutes_to_come(shop: Shop) -> None:
    """The schedule comes each minute, when those rows have long rested: what was never tried still goes first."""
    shop.emit(*[make_event(number, topic="catalog") for number in range(5)])
    shop.clock.advance(seconds=6)
    shop.sent.down = {"catalog"}
    published = 0
    for _minute in range(6):
        shop.emit(make_event())
        shop.clock.advance(seconds=60)
        published += run_relay(shop, batch=2, within_s=0).published

    assert published == 6


def test_one_event_that_is_refused_for_good_goes_alone(shop: Shop) -> None:
    poison, fine = make_event(1, name="order.poison"), [make_event(number) for number in (2, 3)]
    shop.emit(fine[0], poison, fine[1])
    shop.clock.advance(seconds=6)
    shop.sent.refused = {poison.id}

    relayed = run_relay(shop)

    assert (relayed.published, relayed.left) == (2, 1)
    assert shop.sent.events == fine


def test_one_task_that_is_refused_for_good_goes_alone(shop: Shop) -> None:
    poison, fine = make_task(), make_task()
    shop.emit(poison, fine)
    shop.clock.advance(seconds=6)
    shop.sent.refused = {poison.id}

    assert run_relay(shop).published == 1
    assert shop.sent.tasks == [fine]


def test_a_long_backlog_goes_batch_by_batch_in_one_run(shop: Shop) -> None:
    events = [make_event(number) for number in range(25)]
    shop.emit(*events)
    shop.clock.advance(seconds=6)

    assert run_relay(shop, batch=10).published == 25
    assert [len(batch) for _, batch in shop.sent.batches] == [10, 10, 5]
    assert shop.sent.events == events


def test_a_task_keeps_its_time_and_one_beyond_the_horizon_waits_until_it_is_near(shop: Shop) -> None:
    remind = make_task(not_before=shop.clock.now() + timedelta(days=40))
    shop.emit(remind)

    shop.clock.advance(days=10)
    assert run_relay(shop).published == 0

    shop.clock.advance(hours=1)
    assert run_relay(shop).published == 1
    assert shop.sent.tasks == [remind]
    assert shop.sent.tasks[0].not_before == remind.not_before


def test_two_relays_at_once_publish_each_row_once(shop: Shop, another_shop: Shop) -> None:
    """The first is inside its publish call while the second does a whole run."""
    first, second = shop, another_shop
    events = [make_event(number) for number in range(20)]
    first.emit(*events)
    shop.clock.advance(seconds=6)
    publishing, go_on = threading.Event(), threading.Event()

    class Slow(Recorder):
        def publish_all(self, topic: str, batch: Sequence[Event], *, within_s: float) -> None:
            publishing.set()
            assert go_on.wait(20)
            super().publish_all(topic, batch, within_s=within_s)

    slow = Slow()
    first.publisher = Publisher(lambda: slow, lambda: slow)
    held_up = threading.Thread(target=run_relay, args=(first,), kwargs={"batch": 10})
    held_up.start()
    assert publishing.wait(20)
    run_relay(second)
    go_on.set()
    held_up.join()

    assert second.sent.events == events[10:]
    assert slow.events == events[:10]
    assert None not in first.published().values()


def test_rows_that_another_relay_locks_at_this_moment_are_passed_over(shop: Shop) -> None:
    first, second = make_event(1), make_event(2)
    shop.emit(first, second)
    shop.clock.advance(seconds=6)

    def while_locked(tx: Transaction) -> None:
        tx.rows("select 1 from outbox where id = :id::uuid for update", id=first.id)
        assert run_relay(shop).published == 1

    shop.database.step(while_locked)

    assert shop.sent.events == [second]


def test_the_rows_of_a_killed_relay_come_again_after_its_lease(shop: Shop, outbox_database: Address) -> None:
    paid = make_event()
    shop.emit(paid)
    shop.clock.advance(seconds=6)
    at = shop.clock.now().isoformat()
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.outbox.relay_that_hangs", outbox_database.url, at],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "publishing 1\n"
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    shop.clock.advance(seconds=29)
    assert run_relay(shop).published == 0

    shop.clock.advance(seconds=1)
    assert run_relay(shop).published == 1
    assert shop.sent.events == [paid]


def test_no_transaction_is_open_while_the_relay_publishes(shop: Shop) -> None:
    shop.emit(make_event())
    shop.clock.advance(seconds=6)
    open_transactions: list[int] = []

    class Looking(Recorder):
        def publish_all(self, topic: str, events: Sequence[Event], *, within_s: float) -> None:
            row = shop.database.find(
                "select count(*)::int as n from pg_stat_activity where application_name = 'test' and datname ="
                " current_database() and pid <> pg_backend_pid() and state <> 'idle'"
            )
            assert row is not None
            open_transactions.append(row["n"])

    looking = Looking()
    relay(shop.outbox, Publisher(lambda: looking, lambda: looking), clock=shop.clock, within_s=40)

    assert open_transactions == [0]


def test_published_rows_are_purged_in_small_batches_and_open_ones_never(shop: Shop) -> None:
    old = [make_event(number) for number in range(3)]
    shop.emit(*old)
    shop.dispatcher.flush()
    waiting = make_task(not_before=shop.clock.now() + timedelta(days=60))
    shop.emit(waiting)
    shop.clock.advance(days=10, seconds=1)
    recent = make_event(4)
    shop.emit(recent)
    shop.dispatcher.flush()

    assert shop.outbox.purge(shop.clock.now() - timedelta(days=10), 2) == 2
    assert run_relay(shop).purged == 1
    assert [row["id"] for row in shop.rows()] == [waiting.id, recent.id]
