"""One purchase over HTTP, from the cart to the mail, and the ways in which buyers get in each other's way."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from tests.system.cloud import ADDRESS, Cloud

pytestmark = pytest.mark.slow


def test_a_purchase_ends_paid_with_moved_stock_and_one_mail(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5, price_minor=1999)

    order = cloud.paid_order({lamp: 2})
    cloud.settle()

    assert order["status"] == "paid"
    assert order["totals"]["total"] == {"amount_minor": 4921, "currency": "USD", "display": "49.21 USD"}
    assert cloud.level(lamp) == (5, 2)
    (mail,) = [mail for mail in cloud.inbox() if order["number"] in mail["subject"]]
    assert mail["to"] == "ada@example.com"
    assert f"/orders/{order['number']}#k=" in mail["text"]
    by_number = cloud.call("GET", f"/v1/orders/{order['number']}", headers=cloud.token(order))
    assert by_number.json["status"] == "paid"


def test_an_approval_is_captured_even_if_the_buyer_never_comes_back(cloud: Cloud) -> None:
    order = cloud.order({cloud.make_stock("LAMP", 5): 1})

    cloud.approve(order)
    cloud.settle()

    assert cloud.look(order)["status"] == "paid"


def test_an_order_opens_only_for_whoever_holds_its_token(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    mine, other = cloud.order({lamp: 1}), cloud.order({lamp: 1})

    for headers in ({}, cloud.token(other), {"X-Order-Token": "local-1.forged"}):
        assert cloud.call("GET", f"/v1/checkouts/{mine['id']}", headers=headers).status == 404
        assert cloud.call("POST", f"/v1/checkouts/{mine['id']}/cancel", headers=headers).status == 404
        assert cloud.call("GET", f"/v1/orders/{mine['number']}", headers=headers).status == 404
    assert cloud.look(mine)["status"] == "pending_payment"


def test_fifty_buyers_of_the_last_unit_over_http(cloud: Cloud) -> None:
    """S1; each follows Retry-After where it got 503."""
    lamp = cloud.make_stock("LAST", 1)
    carts = [cloud.make_cart({lamp: 1}) for _ in range(50)]

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(cloud.place, carts))

    refused = [answer.json for answer in answers if answer.status == 409]
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert all(each["type"].endswith("/out-of-stock") for each in refused)
    assert all(each["lines"] == [{"sku": lamp, "wanted": 1, "available": 0}] for each in refused)
    assert cloud.level(lamp) == (1, 1)
    assert sum(len(_orders_at_paypal(cloud, cart)) for cart in carts) == 1


def test_one_key_twenty_times_at_once(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 50)
    cart = cloud.make_cart({lamp: 1})

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: cloud.place(cart, key="the-same"), range(20)))
    placed = [answer for answer in answers if answer.status == 201]
    waiting = [answer.json["type"].rpartition("/")[2] for answer in answers if answer.status != 201]

    assert len({answer.raw for answer in placed}) == 1
    assert set(waiting) <= {"in-flight"}
    assert cloud.place(cart, key="the-same").raw == placed[0].raw
    assert cloud.level(lamp) == (50, 1)
    assert len(_orders_at_paypal(cloud, cart)) == 1


def _orders_at_paypal(cloud: Cloud, cart: Any) -> list[str]:
    """What PayPal was asked to collect for this cart: by its orders' ids, which PayPal has as custom_id."""
    ours = {str(row[0]) for row in cloud.sql("select id from orders where cart_id = :c", c=cart["id"])}
    made: list[dict[str, Any]] = cloud.ledger()["orders"]
    # A refused buyer has no order of ours either: whatever PayPal has under an unknown id would be theirs.
    known = {str(row[0]) for row in cloud.sql("select id from orders")}
    assert {order["purchase_units"][0]["custom_id"] for order in made} <= known
    return [order["id"] for order in made if order["purchase_units"][0]["custom_id"] in ours]


def test_one_key_with_another_body_is_refused(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 50)
    cart = cloud.make_cart({lamp: 1})
    first = cloud.place(cart, key="once")

    other = cloud.call(
        "POST",
        "/v1/checkouts",
        {"cart_id": cart["id"], "cart_version": cart["version"], "email": "eve@example.com"},
        key="once",
    )

    assert (first.status, other.status) == (201, 422)
    assert other.json["type"].endswith("/key-reused")


def test_a_killed_checkout_is_finished_by_its_own_key_after_the_lease(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.make_cart({lamp: 1})
    cloud.fault("paypal", "delay", path="/v2/checkout/orders", delay_s=8)
    waiting = threading.Thread(target=lambda: _ignoring_hang_ups(lambda: cloud.place(cart, key="dies", patient=False)))
    waiting.start()
    _until(lambda: bool(cloud.sql("select 1 from orders where cart_id = :c", c=cart["id"])))

    assert cloud.kill("checkout")
    waiting.join(timeout=60)
    held = cloud.place(cart, key="dies", patient=False)
    cloud.advance(75)
    answer = cloud.place(cart, key="dies")

    assert (held.status, held.json["type"].rpartition("/")[2]) == (409, "in-flight")
    assert answer.status == 200  # the order that the killed request had placed
    assert cloud.level(lamp) == (5, 1)
    assert _orders_at_paypal(cloud, cart) == [answer.json["payment"]["paypal_order_id"]]
    assert [fault["fired"] for fault in cloud.clear_faults()] == [1]


def test_a_frozen_process_with_the_hot_row_does_not_keep_the_next_buyer_out(cloud: Cloud) -> None:
    """Rule 4: the next buyer's wait for the lock ends after 2 s, the frozen transaction after 5 s idle: within 10 s the
    server is free of it. Both limits came with the connection, as is read from the server itself."""
    lamp = cloud.make_stock("HOT", 5)
    cart = cloud.make_cart({lamp: 1})

    with _frozen_with_lock(cloud, lamp) as frozen:
        locked = cloud.sql("select count(*) from pg_stat_activity where application_name = 'frozen'")
        answer = cloud.place(cart)
        ended = cloud.sql("select count(*) from pg_stat_activity where application_name = 'frozen'")

    assert frozen == {"lock_timeout": "2s", "idle_in_transaction_session_timeout": "5s", "statement_timeout": "5s"}
    assert (locked, ended) == ([[1]], [[0]])
    assert answer.status == 201
    assert cloud.level(lamp) == (5, 1)


_LOCK_AND_FREEZE = """
import json, sys
from shared.kernel.clock import SystemClock
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.settings import DatabaseSettings

def work(tx):
    tx.rows("update stock_levels set held = held where sku = :s::text", s=sys.argv[2])
    names = ("lock_timeout", "idle_in_transaction_session_timeout", "statement_timeout")
    limits = {name: tx.one("select current_setting(:n::text) as value", n=name)["value"] for name in names}
    print(json.dumps(limits), flush=True)
    sys.stdin.read()

connect = connector(DatabaseSettings("url", 1, sys.argv[1]), application="frozen")
Database(connect, size=1, clock=SystemClock()).step(work)
"""


@contextmanager
def _frozen_with_lock(cloud: Cloud, sku: str) -> Iterator[dict[str, str]]:
    """A process that locks the SKU's row through the functions' own connection and is stopped there; its limits."""
    argv = [sys.executable, "-c", _LOCK_AND_FREEZE, cloud.database_url, sku]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True) as frozen:
        try:
            assert frozen.stdout is not None
            limits: dict[str, str] = json.loads(frozen.stdout.readline())
            os.killpg(frozen.pid, signal.SIGSTOP)
            yield limits
        finally:
            os.killpg(frozen.pid, signal.SIGKILL)


def test_a_paypal_that_sleeps_delays_no_other_buyer(cloud: Cloud) -> None:
    """S11: while one buyer's call hangs at PayPal no lock is held, and the next buyer's order is placed before it."""
    lamp = cloud.make_stock("LAMP", 5)
    slow, quick = cloud.make_cart({lamp: 1}), cloud.make_cart({lamp: 1})
    cloud.fault("paypal", "delay", path="/v2/checkout/orders", delay_s=20)

    with ThreadPoolExecutor(1) as pool:
        sleeping = pool.submit(cloud.place, slow, patient=False)
        _until(lambda: bool(cloud.sql("select 1 from orders where cart_id = :c", c=slow["id"])))
        locks = cloud.sql(
            "select count(*) from pg_locks l join pg_class c on c.oid = l.relation "
            "where c.relname in ('stock_levels', 'orders', 'carts') and l.mode like 'Row%'"
        )
        answer = cloud.place(quick, patient=False)
        still_sleeping = not sleeping.done()

    assert locks == [[0]]
    assert (answer.status, still_sleeping) == (201, True)
    assert [fault["fired"] for fault in cloud.clear_faults()] == [1]


def _until(condition: Callable[[], bool], within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def _ignoring_hang_ups(work: Callable[[], object]) -> None:
    with suppress(OSError, http.client.HTTPException):
        work()


def test_checkout_needs_an_address(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.call("POST", "/v1/carts", {}).json
    cart = cloud.call("PUT", f"/v1/carts/{cart['id']}/lines/{lamp}", {"quantity": 1}).json
    refused = cloud.place(cart)
    cart = cloud.call("PATCH", f"/v1/carts/{cart['id']}", {"shipping_address": ADDRESS}).json

    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/shipping_address"
    assert cloud.place(cart).status == 201
