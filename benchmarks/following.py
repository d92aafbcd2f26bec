"""How soon shoppers find what staff change: the whole local cloud, shoppers who search all the time, all over HTTP.

A time runs from staff's answer to the end of the first look (GET /v1/products) that shows the change. Looks follow each
other after PAUSE_S, so a time is too long by one pause and two looks at most, and never shorter than a look: what the
first one shows may have been there before it. Where an event was lost, they follow after SELDOM_S.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import quote

from benchmarks.figures import Figure, Goal, bounded, compare
from benchmarks.searching.timing import Times
from benchmarks.stage import ROOT, Stage
from local.database import Address, read_url
from local.demo.shop import Called, Shop
from local.demo_catalogue.products import rows
from local.forking import AS_IS, child_environment, unforked

PRODUCTS = 1_000
# Those of them that staff change, one after another.
CHANGED = 20
SHOPPERS = 2
PAUSE_S, SELDOM_S = 0.005, 0.1
# So many changes of either kind for each of the rounds; fewer where that takes longer than their time together.
CHANGES_A_ROUND, CHANGING_S = 30, 110.0
LOST = 5
P99_MS, WORST_S = 2_000, 90
_GIVE_UP_S = 120.0
_MINUTE_S = 60.0
_SWEEP = "sweep-search"


@dataclass(slots=True)
class Product:
    """One variant, as staff left it."""

    id: str
    sku: str
    price_minor: int
    on_hand: int

    def is_shown_by(self, items: Sequence[Any]) -> bool:
        told = [(each["price"]["amount_minor"], each["in_stock"]) for each in items if each["sku"] == self.sku]
        return told == [(self.price_minor, self.on_hand > 0)]


@dataclass(frozen=True, slots=True)
class Answered:
    """What staff were told of a change: when, by time.monotonic(), and after how long."""

    at: float
    took_s: float


@dataclass(frozen=True, slots=True)
class Followed:
    """How long after its answer a change was seen, by which look, and how long that one took."""

    answered: Answered
    seen_s: float
    looks: int
    look_s: float


class Staff:
    """Changes one thing at a time. Raises RuntimeError where the shop refuses."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        token = shop.send("POST", "/_local/staff-session", {}, status=201)["token"]
        self._headers = {"Authorization": f"Bearer {token}"}

    def find(self, sku: str) -> Product:
        [found] = self._shop.get("/v1/admin/products", self._headers, sku=sku)["items"]
        [item] = [each for each in look(self._shop, sku).json["items"] if each["sku"] == sku]
        level = self._shop.get(f"/v1/inventory/levels/{sku}", self._headers)
        return Product(found["id"], sku, item["price"]["amount_minor"], level["on_hand"])

    def change_price(self, product: Product) -> Answered:
        product.price_minor += 1
        body = {"variants": [{"sku": product.sku, "price_minor": product.price_minor}]}
        return self._ask("PATCH", f"/v1/admin/products/{product.id}", body)

    def change_stock(self, product: Product) -> Answered:
        """Takes all of what is there, brings one of what is not."""
        delta = -product.on_hand or 1
        product.on_hand += delta
        body = {"sku": product.sku, "delta": delta, "reason": "a benchmark's"}
        return self._ask("POST", "/v1/inventory/adjustments", body)

    def _ask(self, method: str, path: str, body: Any) -> Answered:
        answer = self._shop.ask(method, path, body, headers=self._headers)
        if answer.status not in (200, 201):
            raise RuntimeError(f"{method} {path} was answered with {answer.status}: {answer.complaint}")
        return Answered(time.monotonic(), answer.took_s)


def following(stage: Stage) -> Iterator[Figure]:
    catalogue = stage.folder / "catalogue.jsonl"
    skus = [f"FOLLOWED-{number:02d}" for number in range(CHANGED)]
    words = _write_catalogue(catalogue, skus)
    with local_cloud(stage.folder / "cloud", catalogue) as about:
        shop, database = Shop(about["url"], _unheard), read_url(about["database_url"])
        shop.send("POST", "/_local/settle?timeout_s=90", {})
        staff = Staff(shop)
        products = [staff.find(sku) for sku in skus]
        with shoppers(about["url"], words) as searched_s:
            by_events(shop, staff, products, many=1)  # first calls, of functions that have only just been started
            prices, stocks = by_events(shop, staff, products, many=CHANGES_A_ROUND * stage.effort.rounds)
            swept = by_sweeps(shop, staff, database, products[:LOST])
    searches = Times(sorted(1000 * each for each in searched_s))
    at_once = f"{SHOPPERS} shoppers meanwhile, {searches.p50:.0f} ms a search"
    yield _figure(f"a new price in the list, {PRODUCTS:,} products", prices, at_once)
    yield _figure("sold out or there again, in the list", stocks, at_once)
    figure = compare(
        "the same where the event was lost",
        [left_s for left_s, _ in swept],
        [each.seen_s for _, each in swept],
        unit="s",
        floor_name="the sweep's next turn",
        goal=Goal(),
        note=f"the worst was changed right after a sweep; looked for every {1000 * SELDOM_S:.0f} ms",
    )
    yield bounded(figure, "worst", max(each.seen_s for _, each in swept), at_most=WORST_S, unit="s")


def by_events(
    shop: Shop, staff: Staff, products: Sequence[Product], *, many: int
) -> tuple[list[Followed], list[Followed]]:
    """So many prices and stocks by turns, each seen before the next is changed."""
    prices: list[Followed] = []
    stocks: list[Followed] = []
    until = time.monotonic() + CHANGING_S
    for product in cycle(products):
        prices.append(follow(shop, product, staff.change_price(product)))
        stocks.append(follow(shop, product, staff.change_stock(product)))
        if len(stocks) == many or time.monotonic() > until:
            return prices, stocks
    raise ValueError("there is no product")


def by_sweeps(shop: Shop, staff: Staff, database: Address, products: Sequence[Product]) -> list[tuple[float, Followed]]:
    """A price and a stock by turns, spread over a minute that begins after a sweep, all lost; before each, how long it
    was from its answer to the sweep's next turn."""
    began = _wait_for_a_sweep(shop)
    left_s, seen = [], []
    with ThreadPoolExecutor(len(products)) as looking:
        for number, product in enumerate(products):
            time.sleep(max(0.0, began + number * _MINUTE_S / len(products) - time.monotonic()))
            answered = lose(shop, staff, database, product, price=number % 2 == 0)
            left_s.append(_sweep(shop)["due_at"] - time.time() + time.monotonic() - answered.at)
            seen.append(looking.submit(follow, shop, product, answered, pause_s=SELDOM_S))
    return list(zip(left_s, [each.result() for each in seen], strict=True))


def follow(shop: Shop, product: Product, answered: Answered, *, pause_s: float = PAUSE_S) -> Followed:
    """Looks until the list shows what was changed. Raises TimeoutError."""
    for looks in count(1):
        seen = look(shop, product.sku)
        since_s = time.monotonic() - answered.at
        if product.is_shown_by(seen.json["items"]):
            return Followed(answered, since_s, looks, seen.took_s)
        if since_s > _GIVE_UP_S:
            break
        time.sleep(pause_s)
    raise TimeoutError(f"what was changed of {product.sku} is not in the list after {_GIVE_UP_S:.0f} s")


def look(shop: Shop, sku: str) -> Called:
    return shop.ask("GET", f"/v1/products?q={sku}")


def lose(shop: Shop, staff: Staff, database: Address, product: Product, *, price: bool) -> Answered:
    """A change whose event nobody is told: Pub/Sub refuses it, and it is deleted before the relay tries again."""
    fault = {"target": "pubsub-publish", "fault": "error", "path": "catalog", "probability": 1.0}
    shop.send("POST", "/_local/faults", fault, status=201)
    try:
        answered = staff.change_price(product) if price else staff.change_stock(product)
        connection = database.connect()
        lost = connection.run(
            "delete from outbox where destination = 'topic:catalog' and published_at is null returning id"
        )
        connection.close()
    finally:
        shop.ask("DELETE", "/_local/faults")
    if len(lost) != 1:
        raise RuntimeError(f"{len(lost)} events were lost where one should have been")
    return answered


@contextmanager
def local_cloud(folder: Path, catalogue: Path) -> Iterator[dict[str, Any]]:
    """`python -m local` with a state of its own and this catalogue; what it says of itself."""
    folder.mkdir()
    ready = folder / "ready.json"
    argv = [sys.executable, "-m", "local", "--state", str(folder / "state"), "--port", "0"]
    argv += ["--catalog", str(catalogue), "--ready-file", str(ready)]
    log = folder / "out.txt"
    with open(log, "wb") as out:
        process = subprocess.Popen(
            unforked(argv, AS_IS), cwd=ROOT, env=child_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        until = time.monotonic() + 150
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the local cloud does not start: {log.read_text()[-1500:].strip()}")
            time.sleep(0.05)
        yield json.loads(ready.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def shoppers(url: str, words: Sequence[str]) -> Iterator[list[float]]:
    """They search for these words, on and on; how long each answer took. Raises RuntimeError where one was refused."""
    took_s: list[float] = []
    refused: list[str] = []
    stop = threading.Event()

    def search(first: int) -> None:
        shop = Shop(url, _unheard)
        for word in cycle([*words[first:], *words[:first]]):
            if stop.is_set():
                return
            answer = shop.ask("GET", f"/v1/products?q={quote(word)}")
            took_s.append(answer.took_s)
            if answer.status != 200:
                refused.append(f"{answer.status} to {word}: {answer.complaint}")

    with ThreadPoolExecutor(SHOPPERS) as pool:
        searching = [pool.submit(search, number * len(words) // SHOPPERS) for number in range(SHOPPERS)]
        try:
            yield took_s
        finally:
            stop.set()
    for each in searching:
        each.result()
    if refused:
        raise RuntimeError(f"{len(refused)} searches were refused, the first with {refused[0]}")


def _figure(what: str, followed: Sequence[Followed], note: str) -> Figure:
    times = Times(sorted(1000 * each.seen_s for each in followed))
    look_ms = Times(sorted(1000 * each.look_s for each in followed)).p50
    at_once = sum(each.looks == 1 for each in followed)
    figure = compare(
        what,
        [1000 * each.answered.took_s for each in followed],
        [1000 * each.seen_s for each in followed],
        unit="ms",
        floor_name="the change's own answer",
        goal=Goal(),
        note=f"worst {times.took[-1]:.0f} ms; {at_once} by the first look, a look takes {look_ms:.0f} ms; {note}",
    )
    return bounded(figure, "p99", times.p99, at_most=P99_MS, unit="ms")


def _write_catalogue(file: Path, skus: Sequence[str]) -> list[str]:
    """The demo catalogue and what staff will change; the words of its names."""
    demo = list(rows(PRODUCTS - len(skus)))
    own = [{"sku": sku, "name": f"Brass lamp {sku}", "price": "19.90", "currency": "USD", "on_hand": 1} for sku in skus]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*demo, *own]))
    return sorted({word for row in demo for word in row.get("name", "").split()})


def _wait_for_a_sweep(shop: Shop) -> float:
    """Until one has ended; time.monotonic() then. Raises TimeoutError."""
    ran, until = _sweep(shop)["runs"], time.monotonic() + 2 * _MINUTE_S
    while _sweep(shop)["runs"] == ran:
        if time.monotonic() > until:
            raise TimeoutError("no sweep runs")
        time.sleep(SELDOM_S)
    return time.monotonic()


def _sweep(shop: Shop) -> Any:
    return next(each for each in shop.get("/_local/schedules") if each["name"] == _SWEEP)


def _unheard(call: Called) -> None:
    pass
