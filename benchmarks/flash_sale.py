"""A flash sale: eighty buyers at once want one SKU that has sixty units, over HTTP, at two instances of checkout.

What is shown is what the excess is answered: 409 at once where the goods are gone, 503 with Retry-After where the
database is busy, and never a wait without an end. Every buyer comes from a network of his own and follows Retry-After.
"""

import json
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import uuid4

from benchmarks import goods
from benchmarks.figures import Figure, Goal, compare
from benchmarks.ordering import held, oversold
from benchmarks.processes import FunctionProcess, get, post
from benchmarks.stage import SET_ASIDE, SKUS, Stage
from benchmarks.starting import pubsub
from benchmarks.stubs import stub

CALLERS = 80
UNITS = 60
INSTANCES = 2
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one caller was told in the end, after how long, and how often he was sent away for a moment."""

    status: int
    took_s: float
    sent_away: int


def flash_sale(stage: Stage) -> Iterator[Figure]:
    shop = stage.shop
    floors: list[float] = []
    ours: list[float] = []
    told: Counter[int] = Counter()
    sent_away, beyond, sold = 0, 0, 0
    with ExitStack() as stack:
        paypal, events = stack.enter_context(stub()), stack.enter_context(pubsub(stage))
        hello = [stack.enter_context(stage.hello()) for _ in range(INSTANCES)]
        checkouts = [
            stack.enter_context(stage.function("checkout", PAYPAL_BASE_URL=paypal, PUBSUB_EMULATOR_HOST=events))
            for _ in range(INSTANCES)
        ]
        for process in checkouts:
            process.answer(get("/v1/health/checkout"))
        for run in range(stage.effort.rounds):
            sku = goods.sku_of(SKUS - SET_ASIDE + run)
            carts = goods.make_carts_of(shop, f"flash-{run}-{uuid4().hex}", CALLERS, sku=sku, free=UNITS)
            floors.append(max(outcome.took_s for outcome in _call_at_once(hello, [get("/")] * CALLERS)))
            outcomes = _call_at_once(checkouts, [_place(cart, number) for number, cart in enumerate(carts)])
            ours.append(max(outcome.took_s for outcome in outcomes))
            told.update(outcome.status for outcome in outcomes)
            sent_away += sum(outcome.sent_away for outcome in outcomes)
            beyond += oversold(shop, sku)
            sold += held(shop, sku)
    rounds = stage.effort.rounds
    answers = ", ".join(f"{count} times {status}" for status, count in sorted(told.items()))
    yield compare(
        f"flash sale: {CALLERS} callers, {UNITS} units, until the last answer",
        [1000 * each for each in floors],
        [1000 * each for each in ours],
        unit="ms",
        floor_name="hello",
        goal=Goal(),
        note=f"{answers} in {rounds} sales; {sent_away} times 503 on the way; {sold} of {rounds * UNITS} units sold, "
        f"{beyond} oversold; the last answer after {statistics.median(ours):.1f} s",
    )


def _place(cart_id: str, number: int) -> bytes:
    body = json.dumps({"cart_id": cart_id, "cart_version": 1, "email": f"buyer-{number}@example.com"}).encode()
    # As the load balancer writes it: the client's address, then its own.
    forwarded = f"X-Forwarded-For: 10.{number}.0.1, 192.0.2.1\r\n"
    return post("/v1/checkouts", body, key=uuid4().hex).replace(b"Host:", forwarded.encode() + b"Host:", 1)


def _call_at_once(processes: Sequence[FunctionProcess], requests: Sequence[bytes]) -> list[Outcome]:
    together = threading.Barrier(len(requests))

    def call(number: int) -> Outcome:
        process = processes[number % len(processes)]
        together.wait(_PATIENCE_S)
        return _ask(process.port, requests[number])

    with ThreadPoolExecutor(len(requests)) as callers:
        return list(callers.map(call, range(len(requests))))


def _ask(port: int, request: bytes) -> Outcome:
    """Until an answer that is not 503, waiting as long as each of those says. Raises TimeoutError."""
    began = time.perf_counter()
    for sent_away in range(100):
        status, wait_s = _once(port, request)
        took_s = time.perf_counter() - began
        if status != 503:
            return Outcome(status, took_s, sent_away)
        if took_s > _PATIENCE_S:
            break
        time.sleep(wait_s)
    raise TimeoutError("a caller was sent away for longer than a buyer has patience")


def _once(port: int, request: bytes) -> tuple[int, float]:
    with socket.create_connection(("127.0.0.1", port), _PATIENCE_S) as connection:
        connection.sendall(request)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    head = received.partition(b"\r\n\r\n")[0].decode("latin-1").lower()
    wait = next((line.partition(":")[2] for line in head.splitlines() if line.startswith("retry-after:")), "0")
    return int(head.split(" ", 2)[1]), float(wait)
