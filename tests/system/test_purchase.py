"""One purchase over HTTP, from the cart to the mail, and the ways in which buyers get in each other's way."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

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
    opened = len(cloud.ledger()["orders"])

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(cloud.place, carts))

    refused = [answer.json for answer in answers if answer.status == 409]
    assert sorted(answer.status for answer in answers) == [201] + [409] * 49
    assert all(each["type"].endswith("/out-of-stock") for each in refused)
    assert all(each["lines"] == [{"sku": lamp, "wanted": 1, "available": 0}] for each in refused)
    assert cloud.level(lamp) == (1, 1)
    assert len(cloud.ledger()["orders"]) == opened + 1


def test_one_key_twenty_times_at_once(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 50)
    cart = cloud.make_cart({lamp: 1})
    opened = len(cloud.ledger()["orders"])

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: cloud.place(cart, key="the-same"), range(20)))

    assert {answer.status for answer in answers} == {201}
    assert len({answer.raw for answer in answers}) == 1
    assert cloud.level(lamp) == (50, 1)
    assert len(cloud.ledger()["orders"]) == opened + 1


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
    opened = len(cloud.ledger()["orders"])
    cloud.fault("paypal", "delay", path="/v2/checkout/orders", delay_s=8)
    waiting = threading.Thread(target=lambda: _ignoring_errors(lambda: cloud.place(cart, key="dies", patient=False)))
    waiting.start()
    _until(lambda: cloud.sql("select 1 from orders where cart_id = :c", c=cart["id"]))

    assert cloud.kill("checkout")
    waiting.join(timeout=60)
    held = cloud.place(cart, key="dies", patient=False)
    cloud.advance(75)
    answer = cloud.place(cart, key="dies")

    assert (held.status, held.json["type"].rpartition("/")[2]) == (409, "in-flight")
    assert answer.status == 201 or answer.status == 200
    assert cloud.level(lamp) == (5, 1)
    assert len(cloud.ledger()["orders"]) == opened + 1
    assert [fault["fired"] for fault in cloud.clear_faults()] == [1]


def test_a_frozen_process_with_the_hot_row_delays_the_next_buyer_by_ten_seconds_at_most(cloud: Cloud) -> None:
    """Rule 4. The process is stopped while its transaction holds the row; PostgreSQL ends that transaction."""
    lamp = cloud.make_stock("HOT", 5)
    first, second = cloud.make_cart({lamp: 1}), cloud.make_cart({lamp: 1})
    stopped = _stop_with_lock(cloud, lamp)

    answer = cloud.place(first)
    os.killpg(stopped, signal.SIGCONT)

    assert answer.status == 201
    limits = cloud.sql("select current_setting('idle_in_transaction_session_timeout')")
    assert limits  # the owner's own; what the functions' sessions have is asserted beside connecting
    assert cloud.place(second).status == 201


def _stop_with_lock(cloud: Cloud, sku: str) -> int:
    """A process of the checkout's own kind that locks the row and is then frozen. Returns its group."""
    import subprocess
    import sys

    program = (
        "import sys\n"
        "from shared.kernel.clock import SystemClock\n"
        "from shared.persistence.connecting import connector\n"
        "from shared.persistence.database import Database\n"
        "from shared.settings import DatabaseSettings\n"
        "def work(tx):\n"
        "    tx.rows('update stock_levels set held = held where sku = :s::text', s=sys.argv[2])\n"
        "    print('locked', flush=True)\n"
        "    sys.stdin.read()\n"
        "connect = connector(DatabaseSettings('url', 1, sys.argv[1]), application='frozen')\n"
        "Database(connect, size=1, clock=SystemClock()).step(work)\n"
    )
    frozen = subprocess.Popen(
        [sys.executable, "-c", program, cloud.database_url, sku],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert frozen.stdout is not None
    assert frozen.stdout.readline() == b"locked\n"
    os.killpg(frozen.pid, signal.SIGSTOP)
    _FROZEN.append(frozen)
    return frozen.pid


_FROZEN: list[object] = []


def _until(condition: object, within_s: float = 30) -> None:
    deadline = time.monotonic() + within_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.05)


def _ignoring_errors(work: object) -> None:
    try:
        work()  # type: ignore[operator]
    except OSError:
        return


def test_checkout_needs_an_address(cloud: Cloud) -> None:
    lamp = cloud.make_stock("LAMP", 5)
    cart = cloud.call("POST", "/v1/carts", {}).json
    cart = cloud.call("PUT", f"/v1/carts/{cart['id']}/lines/{lamp}", {"quantity": 1}).json
    refused = cloud.place(cart)
    cart = cloud.call("PATCH", f"/v1/carts/{cart['id']}", {"shipping_address": ADDRESS}).json

    assert refused.status == 422
    assert refused.json["errors"][0]["pointer"] == "/shipping_address"
    assert cloud.place(cart).status == 201
