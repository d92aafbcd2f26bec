"""Any process group may be killed at any moment of a purchase: afterwards the order is paid, once, or not at all.

A kill counts only if it hits work in flight: it is drawn over the steps of the purchase, who is at work in that step,
and a moment within it. Others are pinned between a vendor's effect and our commit.
"""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import pytest

from tests.numbers import KILLS
from tests.system.cloud import Answer, Cloud

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

_STEPS = ("place", "approve", "capture", "after")
# What is at work during a step, so that a kill of it can hit anything.
_AT_WORK = {
    "place": ("checkout", "paypal", "postgres", "pubsub"),
    "approve": ("paypal", "webhooks", "payment-jobs", "tasks"),
    "capture": ("checkout", "paypal", "postgres", "webhooks"),
    "after": ("notify", "sendgrid", "pubsub", "postgres", "payment-jobs", "tasks"),
}


def test_kills_at_random_moments_of_a_purchase(cloud: Cloud) -> None:
    lamp = cloud.make_stock("KILL", 10_000)
    cloud.paid_order({lamp: 1})  # every function is up, so that there is something to kill
    hits, ends = 0, []
    for seed in range(KILLS * 4):
        if hits == KILLS:
            break
        kill = _Kill(cloud, random.Random(seed))
        order = _buy(cloud, lamp, kill)
        hits += kill.hit_work_in_flight
        ends.append(_end(cloud, order))

    assert hits == KILLS
    assert set(ends) <= {"paid", "expired"}
    assert cloud.level(lamp)[1] == ends.count("paid") + 1


def test_kills_between_paypals_effect_and_our_commit(cloud: Cloud) -> None:
    """PayPal answers the capture late, and whoever asked for it is dead by then."""
    lamp = cloud.make_stock("KILL", 10_000)
    for _ in range(max(KILLS // 5, 1)):
        order = cloud.order({lamp: 1})
        captured = len(cloud.ledger()["captures"])
        cloud.fault("webhooks", "delay", path="/v1/webhooks/paypal", probability=1, delay_s=60)
        cloud.approve(order)
        paypal_order_id = order["payment"]["paypal_order_id"]
        cloud.fault("paypal", "timeout_after_effect", path=f"/v2/checkout/orders/{paypal_order_id}/capture", delay_s=9)
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(_past_the_lease, cloud, partial(_capture, cloud, order))
            _until(partial(_more_captures, cloud, captured))
            assert cloud.sql("select state from capture_attempts where order_id = :id", id=order["id"]) == [
                ["requested"]
            ]
            assert cloud.kill("checkout")
            asking.result(timeout=120)
        assert cloud.clear_faults()[1]["fired"] == 1

        assert _end(cloud, order) == "paid"
        assert len(cloud.ledger()["captures"]) == captured + 1


def test_kills_between_paypals_refund_and_our_commit(cloud: Cloud) -> None:
    """PayPal has given the money back and answers late, and who asked for it is dead: it is given back once."""
    lamp = cloud.make_stock("KILL", 10_000)
    for _ in range(max(KILLS // 5, 1)):
        order = cloud.paid_order({lamp: 1})
        cloud.settle()
        refunded = len(cloud.ledger()["refunds"])
        cloud.fault("webhooks", "delay", path="/v1/webhooks/paypal", probability=1, delay_s=60)
        cloud.fault("paypal", "timeout_after_effect", path="/v2/payments/captures/", delay_s=9)
        path = f"/v1/admin/orders/{order['number']}/cancel"
        assert cloud.patiently("POST", path, {}, headers=cloud.staff()).status == 200
        _until(partial(_more_refunds, cloud, refunded))
        assert cloud.sql("select state from refunds where order_id = :id", id=order["id"]) == [["requested"]]
        assert cloud.kill("payment-jobs")
        assert cloud.clear_faults()[1]["fired"] == 1

        cloud.settle(timeout_s=90)
        cloud.advance(5 * 60)
        cloud.settle(timeout_s=90)

        assert cloud.look(order)["status"] == "cancelled"
        assert cloud.sql("select state from refunds where order_id = :id", id=order["id"]) == [["completed"]]
        assert len(cloud.ledger()["refunds"]) == refunded + 1


def test_kills_between_sendgrids_effect_and_our_commit(cloud: Cloud) -> None:
    lamp = cloud.make_stock("KILL", 10_000)
    for _ in range(max(KILLS // 5, 1)):
        order = cloud.order({lamp: 1})
        cloud.fault("sendgrid", "timeout_after_effect", path="/v3/mail/send", delay_s=9)
        cloud.fault("webhooks", "delay", path="/v1/webhooks/sendgrid", probability=1, delay_s=20)
        cloud.approve(order)
        assert cloud.capture(order).status == 200
        _until(partial(_confirmed, cloud, order))
        assert cloud.sql("select state from mails where order_id = :id", id=order["id"]) == [["sending"]]
        assert cloud.kill("notify")
        assert cloud.clear_faults()[0]["fired"] == 1

        cloud.settle()
        cloud.advance(15 * 60)
        cloud.settle()

        confirmations = [mail for mail in cloud.inbox() if order["number"] in mail["subject"]]
        assert len(confirmations) == 1


class _Kill:
    """One kill, drawn beforehand: this group, so long after that step of the purchase has begun."""

    def __init__(self, cloud: Cloud, draw: random.Random) -> None:
        self.step = draw.choice(_STEPS)
        self._victim = draw.choice(_AT_WORK[self.step])
        self._after_s = draw.uniform(0, 0.15)
        self._cloud = cloud
        self._landed = threading.Event()
        self.hit_work_in_flight = False

    def during(self, step: str, work: Callable[[], Answer]) -> Answer:
        """Do the work of this step, and be killed in the middle of it if this is the one."""
        if step != self.step:
            return work()
        striking = threading.Thread(target=self._strike)
        striking.start()
        answer = work()
        self.hit_work_in_flight = self._landed.is_set()
        striking.join(timeout=30)
        return answer

    def _strike(self) -> None:
        time.sleep(self._after_s)
        if self._cloud.kill(self._victim):
            self._landed.set()


def _buy(cloud: Cloud, sku: str, kill: _Kill) -> Any:
    """A purchase by a buyer who asks again, with the same key, whenever there was no answer."""
    cart = cloud.make_cart({sku: 1})
    order = kill.during("place", lambda: _past_the_lease(cloud, lambda key: cloud.place(cart, key=key))).json
    kill.during("approve", lambda: _approve(cloud, order))
    kill.during("capture", lambda: _past_the_lease(cloud, lambda key: cloud.capture(order, key=key)))
    kill.during("after", lambda: cloud.patiently("POST", "/_local/settle?timeout_s=60", {}))
    return order


def _past_the_lease(cloud: Cloud, ask: Callable[[str], Answer]) -> Answer:
    """A killed request keeps its key until its lease is over; then the same key goes on where it stopped."""
    key = uuid4().hex
    answer = ask(key)
    if answer.status == 409 and answer.json["type"].endswith("/in-flight"):
        cloud.advance(75)
        answer = ask(key)
    return answer


def _approve(cloud: Cloud, order: Any) -> Answer:
    path = f"/_local/paypal/orders/{order['payment']['paypal_order_id']}/approve"
    return cloud.patiently("POST", path, {})


def _capture(cloud: Cloud, order: Any, key: str) -> Answer:
    return cloud.capture(order, key=key)


def _more_captures(cloud: Cloud, than: int) -> bool:
    return len(cloud.ledger()["captures"]) > than


def _more_refunds(cloud: Cloud, than: int) -> bool:
    return len(cloud.ledger()["refunds"]) > than


def _confirmed(cloud: Cloud, order: Any) -> bool:
    return any(order["number"] in mail["subject"] for mail in cloud.inbox())


def _end(cloud: Cloud, order: Any) -> str:
    """What became of it once everything has settled; an order that nobody paid for is given the time to expire."""
    cloud.settle(timeout_s=90)
    status = str(cloud.look(order)["status"])
    if status == "pending_payment":
        cloud.advance(20 * 60)
        cloud.settle(timeout_s=90)
        status = str(cloud.look(order)["status"])
    return status


def _until(condition: Callable[[], bool], within_s: float = 60) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
