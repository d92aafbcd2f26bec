"""Buyers at once, a process of them: each places cart after cart as the function checkout does, PayPal at 0 ms.

`python -m benchmarks.buyers --url postgresql://... --threads 8 --seconds 4` takes cart ids from its standard input, one
a line, and an empty line; says "ready"; begins at the next line; and prints what came of it as JSON.
"""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec

from shared.edge.buying_views import order_view
from shared.inventory.stock import OutOfStock
from shared.kernel.clock import SystemClock
from shared.kernel.idempotency import Answering, Claim
from shared.kernel.messages import Message
from shared.orders import placing
from shared.orders.order import Order
from shared.payments.processor import Approval, PaymentRequest
from shared.persistence import orders as orders_in_sql
from shared.persistence.connecting import connector
from shared.persistence.database import Database
from shared.persistence.orders import Orders
from shared.settings import DatabaseSettings

WARM_UP = 5


class PayPalAtOnce:
    """Takes every order."""

    def open(self, request: PaymentRequest) -> Approval:
        name = request.order_id.hex[:17].upper()
        return Approval(name, f"https://paypal.example/checkoutnow?token={name}", "PAYER_ACTION_REQUIRED")


class _Published(threading.local):
    """Events of this thread's commits, as published as they can be without anybody to publish to."""

    def __init__(self) -> None:
        self.ids: list[UUID] = []

    def collect(self, messages: Sequence[Message]) -> None:
        self.ids += [message.id for message in messages]

    def take(self) -> Sequence[UUID]:
        taken, self.ids = self.ids, []
        return taken


class Buyers:
    def __init__(self, url: str, threads: int, carts: Sequence[str]) -> None:
        self._clock = SystemClock()
        published = _Published()
        self._database = Database(
            connector(DatabaseSettings("url", threads, url), application="buyers"),
            size=threads,
            clock=self._clock,
            committed=published.collect,
            guards=orders_in_sql.GUARDS,
            wait_s=30,
        )
        self._orders = Orders(self._database, self._clock, take_published=published.take)
        self._carts = iter(carts)
        self._drawing = threading.Lock()
        self._threads = threads
        self.took_s: list[float] = []
        self.refused = 0
        self.failures: list[str] = []

    def warm_up(self) -> None:
        """Every thread's own connection, every statement prepared and planned."""
        together = threading.Barrier(self._threads)

        def work() -> None:
            together.wait()
            for _ in range(WARM_UP):
                self._buy(self._next_cart())
                together.wait(30)  # so that no thread gets by with the connection of another

        self._in_threads(work)
        self.took_s.clear()

    def buy_for(self, seconds: float) -> float:
        """Until the time is over or the carts are; how long it took."""
        began = time.perf_counter()
        until = began + seconds

        def work() -> None:
            while time.perf_counter() < until and (cart := self._next_cart()):
                self._buy(cart)

        self._in_threads(work)
        return time.perf_counter() - began

    def close(self) -> None:
        self._database.close()

    def _in_threads(self, work: Callable[[], None]) -> None:
        threads = [threading.Thread(target=work) for _ in range(self._threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _next_cart(self) -> str:
        with self._drawing:
            return next(self._carts, "")

    def _buy(self, cart_id: str) -> None:
        began = time.perf_counter()
        now = self._clock.now()
        until = now + timedelta(seconds=70)
        claim = Claim(cart_id, "POST /v1/checkouts", uuid4().hex, b"of this request", uuid4(), now, until)
        try:
            placing.place_order(
                # Buyers of their own: of one e-mail address or network, few orders may be open at once.
                placing.PlaceOrder(cart_id, 1, f"{cart_id}@example.com", f"2001:db8:{cart_id[:4]}:{cart_id[4:8]}::/64"),
                claim=claim,
                answering=lambda status: Answering(claim, status, _render),
                return_url=lambda order: f"https://shop.example/checkout/return?order={order.id}",
                cancel_url=lambda order: f"https://shop.example/checkout/cancel?order={order.id}",
                store=self._orders,
                cashier=PayPalAtOnce(),
                clock=self._clock,
            )
        except OutOfStock:
            self.refused += 1
        except Exception as error:  # noqa: BLE001 - counted, and shown by whoever started us
            self.failures.append(f"{type(error).__name__}: {error}")
        else:
            self.took_s.append(time.perf_counter() - began)


def _render(order: Order) -> str:
    return msgspec.json.encode(order_view(order)).decode()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.buyers", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    carts = []
    while line := sys.stdin.readline().strip():
        carts.append(line)
    buyers = Buyers(options.url, options.threads, carts)
    buyers.warm_up()
    print("ready", flush=True)
    sys.stdin.readline()
    seconds = buyers.buy_for(options.seconds)
    took_ms = sorted(1000 * each for each in buyers.took_s)
    answer = {
        "orders": len(took_ms),
        "seconds": seconds,
        "took_ms": took_ms,
        "refused": buyers.refused,
        "failures": buyers.failures,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
